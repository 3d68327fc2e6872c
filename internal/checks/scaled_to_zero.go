package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ScaledToZero reports workloads that are set to run no pod (guide: Upgrading and
// application security practices).
var ScaledToZero = &check.Check{
	ID:             "scaled-to-zero",
	Title:          "workload stands at zero replicas",
	Recommendation: "UPG-06",
	Severity:       guide.Low,
	Remedy:         "delete the workload if it is no longer needed, with its account, its rights and its Service",
	Needs:          []evidence.Fact{evidence.Workloads},
	Doc: `A workload at zero replicas runs nothing, but keeps its ServiceAccount, its rights and
its old image, which nobody patches. One patch of a number starts it again.

Looked at is spec.replicas of every workload that has it; a missing one means one
replica, not none. Where a KEDA ScaledObject stands in the namespace, a workload may
rightly rest at zero, and is not judged. One that is switched off on purpose needs an
exception with that reason.

` + "```yaml" + `
spec:
  replicas: 2
` + "```",
	Run: scaledToZero,
}

func scaledToZero(r *check.Run) {
	scaled := map[string]string{}
	for _, o := range r.Objects {
		if o.Kind == "ScaledObject" && o.Group() == "keda.sh" {
			scaled[o.Namespace] = o.String()
		}
	}
	for _, w := range r.Workloads {
		switch {
		case w.Replicas == nil || *w.Replicas != 0:
			r.Judge(w.Ref, nil)
		case scaled[w.Namespace] != "":
			r.Unknown(w.Ref.String(), "it stands at zero replicas, but "+scaled[w.Namespace]+" may scale it")
		default:
			r.Judge(w.Ref, []check.Problem{{
				Path: evidence.NewPath("spec", "replicas"), Value: "0",
				Message: fmt.Sprintf("%s %q stands at zero replicas", w.Kind, w.Name),
			}})
		}
	}
}
