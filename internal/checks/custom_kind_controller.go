package checks

import (
	"fmt"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/rbac"
)

// CustomKindController reports custom kinds whose objects no program in the
// cluster may watch (guide: Upgrading and application security practices).
var CustomKindController = &check.Check{
	ID:             "custom-kind-controller",
	Title:          "custom kind without a controller",
	Recommendation: "UPG-06",
	Severity:       guide.Low,
	Remedy:         "delete the CustomResourceDefinition, after a look at the objects that go with it",
	Needs:          []evidence.Fact{evidence.Extensions, evidence.RBAC, evidence.Workloads},
	Leaves:         check.Rest{What: "whether nodes keep unused images", To: []guide.Evidence{guide.Host}},
	Live:           "whether each custom kind has a controller",
	Doc: `A CustomResourceDefinition outlives the operator that it came with. What people write
into objects of that kind then does nothing, and the rights on them, with the webhooks
and versions of the definition, remain.

Looked at is each CustomResourceDefinition: some workload's ServiceAccount must have
the right to list or watch its objects, by name or by wildcard, in the whole cluster or
in a namespace. No controller works without. Kinds of the groups of clouds and
distributions, whose controllers run beside the control plane, are not judged; another
controller outside of the cluster needs an exception. Nothing is said when roles or
workloads could not all be read.

    kubectl get crd widgets.example.com
    kubectl get widgets.example.com -A
`,
	Run: customKindController,
}

// definition is the part of a CustomResourceDefinition that is read.
type definition struct {
	Spec struct {
		Group string `json:"group"`
		Names struct {
			Kind   string `json:"kind"`
			Plural string `json:"plural"`
		} `json:"names"`
	} `json:"spec"`
}

// providerGroups end the names of groups whose controllers run beside the control
// plane, or as a part of it.
var providerGroups = []string{
	"gke.io", "google.com", "googleapis.com", "amazonaws.com", "k8s.aws", "azure.com", "azmk8s.io", "openshift.io", "cattle.io", "vmware.com", "digitalocean.com",
}

func customKindController(r *check.Run) {
	watchers, unsure := watchRules(r)
	for _, f := range []evidence.Fact{evidence.Workloads, evidence.RBAC} {
		if ok, why := r.Complete(f, ""); !ok {
			unsure = why
		}
	}
	for ref, d := range customs[definition](r, "apiextensions.k8s.io", "CustomResourceDefinition") {
		switch {
		case ofProvider(d.Spec.Group):
		case watched(watchers, d):
			r.Judge(ref, nil)
		case unsure != "":
			r.Unknown(ref.String(), "no workload that was read may watch its objects, but "+unsure)
		default:
			r.Judge(ref, []check.Problem{{
				Path: evidence.NewPath("spec", "names", "kind"), Value: d.Spec.Names.Kind,
				Message: fmt.Sprintf("no workload's ServiceAccount may list or watch %s.%s: the kind %s has no controller in the cluster",
					d.Spec.Names.Plural, d.Spec.Group, d.Spec.Names.Kind),
			}})
		}
	}
}

func ofProvider(group string) bool {
	for _, suffix := range providerGroups {
		if group == suffix || strings.HasSuffix(group, "."+suffix) {
			return true
		}
	}
	return false
}

// watchRules are the rules by which the ServiceAccounts of workloads may list or
// watch anything; unsure says why there may be more.
func watchRules(r *check.Run) (rules []*rbacv1.PolicyRule, unsure string) {
	accounts := map[account]bool{}
	seen := map[*rbacv1.PolicyRule]bool{}
	for _, w := range r.Workloads {
		a := account{w.Namespace, w.ServiceAccountName()}
		if accounts[a] {
			continue
		}
		accounts[a] = true
		for g := range r.RBAC().Granted(rbac.ServiceAccount(a.namespace, a.name)) {
			switch {
			case g.Rule == nil:
				unsure = fmt.Sprintf("what %s grants is not known", g.Binding)
			case !seen[g.Rule] && len(g.Rule.Resources) > 0:
				seen[g.Rule] = true
				rules = append(rules, g.Rule)
			}
		}
	}
	return rules, unsure
}

func watched(rules []*rbacv1.PolicyRule, d *definition) bool {
	for _, rule := range rules {
		for _, verb := range []string{"watch", "list"} {
			if rbac.Allows(rule, rbac.Request{Verb: verb, Group: d.Spec.Group, Resource: d.Spec.Names.Plural}) {
				return true
			}
		}
	}
	return false
}
