package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// SELinuxUnset reports containers that state no SELinux label.
//
// Guide: Table I asks for labelling where the platform has it. No Pod Security
// Standard does: they only forbid bad labels.
var SELinuxUnset = &check.Check{
	ID:             "selinux-unset",
	Title:          "no SELinux label is set",
	Doc:            seLinuxUnsetDoc,
	Recommendation: "POD-11",
	Severity:       guide.Low,
	Remedy:         "on nodes with SELinux, set seLinuxOptions with a level of the application's own",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            seLinuxUnset,
}

const seLinuxUnsetDoc = `On nodes with SELinux a label keeps a process away from the files of the node and
of other pods even when the user ids match. The guide asks for one wherever the
platform has SELinux. Without one the runtime picks a confined type and a random
level, which is why this is of low severity.

seLinuxOptions of every container are judged, its own or its pod's. A pod that
asks for an AppArmor profile is not judged: the kubelet starts it only on nodes
with AppArmor, which do not run SELinux. Whether a node enforces SELinux is
written in its /sys/fs/selinux/enforce, so that files alone never prove this
row. Windows has no SELinux.

    spec:
      securityContext:
        seLinuxOptions:
          level: "s0:c123,c456"
`

func seLinuxUnset(r *check.Run) {
	for _, w := range r.Workloads {
		if linuxPods(r.Settings, w) && !asksForAppArmor(r.Settings.Version, w) {
			settle(r, w, withoutSELinux(w))
		}
	}
}

func withoutSELinux(w *evidence.Workload) (problems []check.Problem) {
	if podContext(w).SELinuxOptions != nil {
		return nil
	}
	for c := range w.Containers() {
		if ownContext(c).SELinuxOptions != nil {
			continue
		}
		problems = append(problems, check.Problem{
			Path:           ownField(c, "seLinuxOptions"),
			Container:      c.Name,
			Message:        fmt.Sprintf("container %q leaves its SELinux label to the runtime", c.Name),
			Severity:       guide.Low,
			SeverityReason: "nodes with SELinux give it a confined label of their own",
		})
	}
	return problems
}

// asksForSELinux reports whether the pod is written for nodes with SELinux.
func asksForSELinux(w *evidence.Workload) bool {
	if podContext(w).SELinuxOptions != nil {
		return true
	}
	for c := range w.Containers() {
		if ownContext(c).SELinuxOptions != nil {
			return true
		}
	}
	return false
}
