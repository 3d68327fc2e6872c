package checks

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// DanglingNetworkPolicy reports NetworkPolicies that protect no pod (guide:
// Upgrading and application security practices).
var DanglingNetworkPolicy = &check.Check{
	ID:             "dangling-network-policy",
	Title:          "NetworkPolicy selects no pod",
	Recommendation: "UPG-06",
	Severity:       guide.Low,
	Remedy:         "delete the policy, or correct its podSelector",
	Needs:          []evidence.Fact{evidence.Workloads, evidence.NetworkPolicies, evidence.Namespaces},
	Doc: `A NetworkPolicy whose podSelector finds no pod gives false comfort: either its workload
is gone, or a label is misspelt and the workload that it was meant for is not protected.

Looked at is the podSelector of each NetworkPolicy, against the labels of all pod
templates in its namespace. An empty selector selects all pods, those of tomorrow too,
and passes. That there is no pod is certain only in a namespace that the files create,
and where no custom resource may create pods with labels that are not written there.

` + "```yaml" + `
spec:
  podSelector:
    matchLabels:
      app: web   # a label of the pod template
` + "```",
	Run: danglingNetworkPolicies,
}

func danglingNetworkPolicies(r *check.Run) {
	if len(r.NetworkPolicies) == 0 {
		return
	}
	finder := newPodFinder(r)
	for _, o := range r.NetworkPolicies {
		written := &o.Value.Spec.PodSelector
		selector, err := metav1.LabelSelectorAsSelector(written)
		if err != nil {
			r.Unknown(o.Ref.String(), "its podSelector is not valid: "+err.Error())
			continue
		}
		found, unsure := selector.Empty(), ""
		if !found {
			found, unsure = finder.finds(o.Namespace, written.MatchLabels, selector)
		}
		switch {
		case found:
			r.Judge(o.Ref, nil)
		case unsure != "":
			r.Unknown(o.Ref.String(), "its podSelector matches nothing that was read, but "+unsure)
		default:
			r.Judge(o.Ref, []check.Problem{{
				Path: evidence.NewPath("spec", "podSelector"), Value: selector.String(),
				Message: fmt.Sprintf("NetworkPolicy %q selects no pod of namespace %q", o.Name, o.Namespace),
			}})
		}
	}
}
