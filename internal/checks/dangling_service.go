package checks

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// DanglingService reports Services that no pod stands behind (guide: Upgrading and
// application security practices).
var DanglingService = &check.Check{
	ID:             "dangling-service",
	Title:          "Service selects no pod",
	Recommendation: "UPG-06",
	Severity:       guide.Low,
	Remedy:         "delete the Service, or correct its selector",
	Needs:          []evidence.Fact{evidence.Workloads, evidence.Exposure, evidence.Namespaces},
	Doc: `A Service whose selector finds no pod is what remains of a workload that was removed,
or a misspelt label. Whoever may create pods in the namespace can put one with these
labels behind it and take over its name.

Looked at are Services with a selector, against the labels of all pod templates in
their namespace. Services without a selector and of type ExternalName are not. That
there is no pod is certain only in a namespace that the files create, and where no
custom resource may create pods with labels that are not written there.

` + "```yaml" + `
spec:
  selector:
    app: web   # a label of the pod template
` + "```",
	Run: danglingServices,
}

func danglingServices(r *check.Run) {
	if len(r.Services) == 0 {
		return
	}
	finder := newPodFinder(r)
	for _, o := range r.Services {
		spec := &o.Value.Spec
		if len(spec.Selector) == 0 || spec.Type == corev1.ServiceTypeExternalName {
			continue
		}
		found, unsure := finder.finds(o.Namespace, spec.Selector, labels.SelectorFromSet(spec.Selector))
		switch {
		case found:
			r.Judge(o.Ref, nil)
		case unsure != "":
			r.Unknown(o.Ref.String(), "its selector matches nothing that was read, but "+unsure)
		default:
			r.Judge(o.Ref, []check.Problem{{
				Path: evidence.NewPath("spec", "selector"), Value: labels.SelectorFromSet(spec.Selector).String(),
				Message: fmt.Sprintf("Service %q selects no pod of namespace %q", o.Name, o.Namespace),
			}})
		}
	}
}
