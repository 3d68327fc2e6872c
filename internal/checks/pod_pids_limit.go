package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// PodPIDsLimit reports kubelets that let a pod use up the process ids of the node
// (guide: Resource policies, since 1.1).
var PodPIDsLimit = &check.Check{
	ID:             "pod-pids-limit",
	Title:          "pods may use all process ids of the node",
	Recommendation: "RES-04",
	Severity:       guide.Medium,
	Remedy:         "set podPidsLimit in the kubelet's configuration, for instance to 4096",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "how many process ids a pod may use",
	Doc: `Process ids belong to the whole node. One Pod that forks without end takes the last of
them, and then neither the kubelet nor anybody who wants to help can start a process.

Looked at is podPidsLimit of the kubelet's configuration in force. It has to be above 0:
-1, which it also is when it is not set, means no limit.

    apiVersion: kubelet.config.k8s.io/v1beta1
    kind: KubeletConfiguration
    podPidsLimit: 4096
`,
	Run: eachKubelet(podPIDsLimit),
}

func podPIDsLimit(n *node, c *evidence.Component) {
	const option = "podPidsLimit"
	limit, at, known := setting(n, c, option, int64(-1))
	if known && limit <= 0 {
		n.say(at, flagPath(c, option), optionText(c, option), "a pod may use all process ids of the node: podPidsLimit is %d%s", limit, unset(c, option))
	}
}
