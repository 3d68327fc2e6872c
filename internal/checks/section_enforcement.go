package checks

import "github.com/gabion-k8s/gabion/internal/check"

func podEnforcement() []*check.Check {
	return []*check.Check{
		PodSecurityLabels,
		// What the Pod Security Standards forbid and no other row is about.
		HostPorts,
		ProcMount,
		UnsafeSysctls,
		HostProbes,
		BeyondPodSecurity,
		UnenforcedPodFields,
		PodBelowLevel,
		PodDiffers,
		DebugContainer,
		NamespaceLabelRights,
	}
}
