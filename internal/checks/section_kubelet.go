package checks

import "github.com/gabion-k8s/gabion/internal/check"

// kubelets are the checks of kubelets, and of the container runtime and the operating
// system below them.
func kubelets() []*check.Check {
	return []*check.Check{
		RuntimeUserNamespaces,
		NodeSELinux,
		NodeAppArmor,
		KubeletSeccompDefault,
		PodPIDsLimit,
		ReservedPIDs,
		KubeletAPIAccess,
		KubeletReadOnlyPort,
		KubeletClientRotation,
		KubeletServingCertificate,
		KubeletAuthorization,
		ContainerLogLimits,
		SeccompLogProfile,
		UnsupportedNodeRelease,
		UnsupportedNodeRuntime,
		UnsupportedSystem,
		UnsupportedComponent,
	}
}
