package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// HostPID reports pods that see the processes of their node.
//
// Guide: Table I, hostPID. Pod Security Standards, baseline: hostNamespaces (1.0).
var HostPID = &check.Check{
	ID:             "host-pid",
	Title:          "pod shares the node's process namespace",
	Doc:            hostPIDDoc,
	Recommendation: "POD-06",
	Severity:       guide.High,
	Remedy:         "remove hostPID; shareProcessNamespace lets the containers of one pod see each other",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            pods(everyPod, hostPID),
}

const hostPIDDoc = `With hostPID a container sees every process of its node, with its command line,
and those of the same user with their environment and memory too. Together with
root it is a short way out of the container.

The pod's hostPID is judged; left out it is false.

    spec:
      hostPID: false

Containers of one pod that have to see each other's processes need
shareProcessNamespace: true, which does not show them the node's.
`

func hostPID(_ *check.Scan, w *evidence.Workload) []check.Problem {
	if !w.Pod.HostPID {
		return nil
	}
	at := w.PodPath.Field("hostPID")
	return []check.Problem{{
		Path:    at,
		Value:   "true",
		Message: "the pod sees the processes of its node: hostPID is true",
		Fix:     &check.Fix{Path: at, Value: "false", Breaks: "an application that looks at processes of the node or signals them"},
	}}
}
