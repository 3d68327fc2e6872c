package checks

import (
	"cmp"
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/reach"
)

// NamespaceBundle reports namespaces that come without what makes them a border:
// a default-deny policy, a quota, a LimitRange and role bindings (guide:
// Namespaces, which says that a namespace alone isolates nothing).
var NamespaceBundle = &check.Check{
	ID:             "namespace-bundle",
	Title:          "namespace without the controls that make it a border",
	Recommendation: "NS-01",
	Severity:       guide.Low,
	Remedy:         "create the namespace together with a default-deny NetworkPolicy, a ResourceQuota, a LimitRange and RoleBindings",
	Needs:          []evidence.Fact{evidence.Namespaces, evidence.Workloads, evidence.NetworkPolicies, evidence.Quotas, evidence.LimitRanges, evidence.RBAC},
	Doc:            namespaceBundleDoc,
	Run:            namespaceBundle,
}

const namespaceBundleDoc = `A namespace by itself separates names and nothing else. It becomes a border by
what is attached to it: a NetworkPolicy that denies by default, a ResourceQuota, a
LimitRange, and RoleBindings that give its people and programs rights in it alone.

Looked at is every Namespace object that is not the platform's (those that
Kubernetes makes for itself and the system namespaces of the configuration). All four are asked for together; the
rows NET-02, RES-01 and RES-02 look at what each of them says. What could not be
seen is not counted as missing.

    apiVersion: v1
    kind: ResourceQuota
    metadata: {name: compute, namespace: shop}
    spec:
      hard: {requests.cpu: "4", requests.memory: 8Gi, limits.cpu: "8", limits.memory: 16Gi}
`

func namespaceBundle(r *check.Run) {
	quotas := namespacesOf(r.ResourceQuotas)
	limits := namespacesOf(r.LimitRanges)
	bindings := map[string]bool{}
	for _, b := range r.Bindings {
		bindings[b.Namespace] = true
	}
	for _, ns := range inUse(r.Scan, userSpaces(r.Scan)) {
		if ns.object == nil {
			r.Unknown(ns.scope(), ns.unseen(r)+", so what belongs to it may stand elsewhere")
			continue
		}
		denies, why := deniesByDefault(r.Reach(), ns.name)
		if !denies && why != "" {
			r.Unknown(ns.scope(), why)
			continue
		}
		judgeBundle(r, ns, []bundlePart{
			{evidence.NetworkPolicies, "a default-deny NetworkPolicy", denies},
			{evidence.Quotas, "a ResourceQuota", quotas[ns.name]},
			{evidence.LimitRanges, "a LimitRange", limits[ns.name]},
			{evidence.RBAC, "RoleBindings", bindings[ns.name]},
		})
	}
}

type bundlePart struct {
	fact  evidence.Fact
	name  string
	there bool
}

func judgeBundle(r *check.Run, ns *space, parts []bundlePart) {
	var missing []string
	for _, p := range parts {
		if p.there {
			continue
		}
		if ok, why := r.Complete(p.fact, ns.name); !ok {
			r.Unknown(ns.scope(), why)
			return
		}
		missing = append(missing, p.name)
	}
	if len(missing) == 0 {
		r.Judge(ns.object.Ref, nil)
		return
	}
	r.Judge(ns.object.Ref, []check.Problem{{
		Path:    evidence.NewPath("metadata", "name"),
		Value:   ns.name,
		Message: fmt.Sprintf("namespace %q comes without %s", ns.name, listed(missing)),
	}})
}

func namespacesOf[T any](objects []*evidence.Object[T]) map[string]bool {
	names := make(map[string]bool, len(objects))
	for _, o := range objects {
		names[o.Namespace] = true
	}
	return names
}

// deniesByDefault reports whether a policy isolates all pods of the namespace in some
// direction and no other lets everyone through, and why that is not certain.
func deniesByDefault(g *reach.Graph, namespace string) (denies bool, unknown string) {
	all := g.Unread(namespace)
	for _, d := range directions {
		c := g.Coverage(all, d)
		if c.Isolated && c.Unknown == "" && openToAll(g, all, d) == nil {
			return true, ""
		}
		unknown = cmp.Or(unknown, c.Unknown)
	}
	return false, unknown
}
