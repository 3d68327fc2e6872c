package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// HostIPC reports pods that share memory with the processes of their node.
//
// Guide: Table I, hostIPC. Pod Security Standards, baseline: hostNamespaces (1.0).
var HostIPC = &check.Check{
	ID:             "host-ipc",
	Title:          "pod shares the node's IPC namespace",
	Doc:            hostIPCDoc,
	Recommendation: "POD-06",
	Severity:       guide.High,
	Remedy:         "remove hostIPC; containers of one pod already share an IPC namespace",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            pods(everyPod, hostIPC),
}

const hostIPCDoc = `With hostIPC a container reaches the shared memory, semaphores and message queues
of the processes on its node, and can read or disturb what they exchange.

The pod's hostIPC is judged; left out it is false.

    spec:
      hostIPC: false

The containers of one pod share an IPC namespace anyway. Applications that need
a large /dev/shm can mount an emptyDir with medium: Memory there.
`

func hostIPC(_ *check.Scan, w *evidence.Workload) []check.Problem {
	if !w.Pod.HostIPC {
		return nil
	}
	at := w.PodPath.Field("hostIPC")
	return []check.Problem{{
		Path:    at,
		Value:   "true",
		Message: "the pod shares memory with the processes of its node: hostIPC is true",
		Fix:     &check.Fix{Path: at, Value: "false", Breaks: "an application that shares memory with processes of the node"},
	}}
}
