package checks

import "github.com/gabion-k8s/gabion/internal/check"

// nodeNetwork are the checks of what listens on nodes, of what their firewalls admit,
// and of what probes found.
func nodeNetwork() []*check.Check {
	return []*check.Check{
		CNIPlugin,
		SharedNetwork,
		APIServerReach,
		ControlPlanePortListening,
		ControlPlanePortReached,
		ControlPlaneFirewall,
		KubeletReadOnlyPortListening,
		KubeletAnswers,
		EtcdListening,
		EtcdFirewall,
		EtcdReached,
		EtcdPlainText,
		EtcdAnswers,
		WorkerPortListening,
		WorkerFirewall,
		WeakTLSOffered,
		ServedCertificate,
		APIServerAnswers,
	}
}
