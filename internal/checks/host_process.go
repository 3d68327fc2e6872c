package checks

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// HostProcess reports Windows containers that run as processes of the host.
//
// The same as privileged on Linux. Pod Security Standards, baseline:
// windowsHostProcess (1.0).
var HostProcess = &check.Check{
	ID:             "host-process",
	Title:          "Windows container runs as a process of the host",
	Doc:            hostProcessDoc,
	Recommendation: "POD-05",
	Severity:       guide.Critical,
	Remedy:         "remove hostProcess from windowsOptions",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            pods(everyPod, hostProcess),
}

const hostProcessDoc = `A HostProcess container is not a container: it is a process on the Windows node
with the rights of the account that it names, often the system's. It is what
privileged is on Linux.

windowsOptions.hostProcess is judged in the pod's security context and in that
of every container. The API server wants it to be the same for all containers of
a pod.

    securityContext:
      windowsOptions:
        hostProcess: false

Node agents that cannot do without belong in a namespace of their own with a
written exception.
`

func hostProcess(_ *check.Scan, w *evidence.Workload) (problems []check.Problem) {
	if onHost(podContext(w).WindowsOptions) {
		problems = append(problems, check.Problem{
			Path:    podField(w, "windowsOptions", "hostProcess"),
			Value:   "true",
			Message: "the pod's containers run as processes of the Windows host",
		})
	}
	for c := range w.Containers() {
		if onHost(ownContext(c).WindowsOptions) {
			problems = append(problems, check.Problem{
				Path:      ownField(c, "windowsOptions", "hostProcess"),
				Value:     "true",
				Container: c.Name,
				Message:   fmt.Sprintf("container %q runs as a process of the Windows host", c.Name),
			})
		}
	}
	return problems
}

func onHost(o *corev1.WindowsSecurityContextOptions) bool { return o != nil && is(o.HostProcess, true) }
