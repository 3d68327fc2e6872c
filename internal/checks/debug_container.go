package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// DebugContainer reports containers that were added to pods while they ran (guide:
// Pod security enforcement, ways around it; KEP-277).
var DebugContainer = &check.Check{
	ID:             "debug-container",
	Title:          "container was added to a running pod",
	Recommendation: "ENF-03",
	Severity:       guide.Medium,
	Remedy:         "delete the pod once the debugging is over: the container cannot be taken out of it; keep pods/ephemeralcontainers from ordinary roles",
	Needs:          []evidence.Fact{evidence.Workloads},
	Live:           "whether containers were added to running pods",
	Doc: `kubectl debug puts a container of any image into a pod that runs, next to its processes
and volumes. It is in no manifest, no controller takes it out again, and who comes later
can attach to it as long as it runs.

Looked at are the ephemeral containers of every pod, whoever made the pod. Whether the
container has ended since is not told apart: it stays in the pod, and shows that somebody
was there. One that runs privileged is high.

    kubectl get pod web-7d9f8b6c5-x2x4z -o jsonpath='{.spec.ephemeralContainers}'
    kubectl delete pod web-7d9f8b6c5-x2x4z
`,
	Run: containers(everyPod, debugContainer),
}

func debugContainer(_ *check.Scan, w *evidence.Workload, c evidence.Container) []check.Problem {
	if c.List != evidence.EphemeralContainers {
		return nil
	}
	p := check.Problem{
		Path:    c.Path(),
		Message: fmt.Sprintf("container %q was added to the running pod, with the image %s", c.Name, c.Image),
	}
	if target := w.Pod.EphemeralContainers[c.Index].TargetContainerName; target != "" {
		p.Message += fmt.Sprintf(", beside the processes of container %q", target)
	}
	if privileged(c) {
		p.Severity, p.SeverityReason = guide.High, "it runs privileged: "+reachesNode
	}
	return []check.Problem{p}
}
