package checks

import "github.com/gabion-k8s/gabion/internal/check"

func podSecurity() []*check.Check {
	return []*check.Check{
		ImageUser,
		RunAsNonRoot,
		RootGroup,
		UserNamespace,
		NodeUserNamespaces,
		PrivilegedContainer,
		HostProcess,
		HostPID,
		HostIPC,
		HostNetwork,
		HostPath,
		PrivilegeEscalation,
		DropCapabilities,
		AddedCapabilities,
		SELinuxOptions,
		SELinuxUnset,
		AppArmorProfile,
		AppArmorUnset,
		SeccompProfile,
		VolumeTypes,
		ReadOnlyRootFilesystem,
		EmptyDirSizeLimit,
		TrustedRegistry,
		ImageNotPinned,
		ImageAdmission,
	}
}

// resources are the workload checks of the section on network separation, which
// is also the guide's section on resource policies.
func resources() []*check.Check {
	return []*check.Check{
		ResourceRequests,
		ResourceLimits,
	}
}
