package checks

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ProcMount reports containers that see all of /proc.
//
// Pod Security Standards: procMount (baseline, 1.0), procMount_restricted (1.35).
var ProcMount = &check.Check{
	ID:             "proc-mount",
	Title:          "container sees all of /proc",
	Doc:            procMountDoc,
	Recommendation: "ENF-01",
	Severity:       guide.High,
	Remedy:         "remove procMount, or set it to Default",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            containers(everyPod, procMount),
}

const procMountDoc = `Runtimes hide parts of /proc, because they show or change things of the node. With
procMount: Unmasked a container sees them all. The baseline Pod Security Standard
forbids it, so a namespace that enforces it refuses the pod; from Kubernetes 1.35
on it lets pods with hostUsers: false have it, and only restricted forbids it to
them.

procMount of every container is judged, init and ephemeral ones too. Left out it
is Default. In a user namespace of the pod's own the finding is low.

    securityContext:
      procMount: Default

Builders of images inside containers are the usual users: run them with
hostUsers: false, in a namespace of their own.
`

func procMount(_ *check.Scan, w *evidence.Workload, c evidence.Container) []check.Problem {
	mount := ownContext(c).ProcMount
	if mount == nil || *mount == corev1.DefaultProcMount {
		return nil
	}
	at := ownField(c, "procMount")
	p := check.Problem{
		Path:    at,
		Value:   string(*mount),
		Message: fmt.Sprintf("container %q sees all of /proc: procMount is %q", c.Name, *mount),
		Fix:     &check.Fix{Path: at, Value: "Default", Breaks: "an application that runs containers or mounts /proc by itself"},
	}
	if is(w.Pod.HostUsers, false) {
		p.Severity, p.SeverityReason = guide.Low, "in a user namespace of its own root changes nothing of the node there"
	}
	return []check.Problem{p}
}
