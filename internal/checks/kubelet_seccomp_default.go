package checks

import (
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// KubeletSeccompDefault reports kubelets that leave pods without a seccomp profile
// unconfined (guide: Table I, seccomp; KEP-2413).
//
// It needs no hosts: pods that set their profile answer the row by themselves.
var KubeletSeccompDefault = &check.Check{
	ID:             "kubelet-seccomp-default",
	Title:          "kubelet filters no system calls of pods that do not ask for it",
	Recommendation: "POD-13",
	Severity:       guide.Low,
	Remedy:         "set seccompDefault to true in the kubelet's configuration, first on a node with a test workload",
	Node:           "whether the kubelets give pods without a seccomp profile the runtime's default one",
	Doc: `A Pod that names no seccomp profile is Unconfined, unless the kubelet of its node gives it the
runtime's default profile. That is a net below Pods that somebody forgot; seccomp-profile
still reports them, as manifests do not tell which node they will run on.

Looked at is seccompDefault of the kubelet's configuration in force, or the flag
--seccomp-default; it is false unless it is set. It exists since Kubernetes 1.22, from 1.25
without a feature gate of its own. The finding is low, since Pods that set a profile are
filtered all the same.

    apiVersion: kubelet.config.k8s.io/v1beta1
    kind: KubeletConfiguration
    seccompDefault: true
`,
	Run: belowPods(eachKubelet(kubeletSeccompDefault)),
}

func kubeletSeccompDefault(n *node, c *evidence.Component) {
	const option = "seccompDefault"
	if on, at, known := setting(n, c, option, false); known && !on {
		p := n.say(at, flagPath(c, option), optionText(c, option), "the kubelet filters no system calls of pods without a seccompProfile: seccompDefault is not true")
		p.Severity, p.SeverityReason = guide.Low, "pods that set a profile are filtered all the same"
	}
}

// belowPods is for what nodes do for pods that do not ask for it. Where pods were read
// they answer the row: what is not known of nodes is then not missing.
func belowPods(run func(*check.Run)) func(*check.Run) {
	return func(r *check.Run) {
		run(r)
		switch {
		case !r.HasObjects():
		case slices.ContainsFunc(r.Workloads, func(w *evidence.Workload) bool { return linuxPods(r.Settings, w) }):
			r.Unknowns = nil
		default:
			r.Unknown("", "no pod of Linux is among what was read")
		}
	}
}
