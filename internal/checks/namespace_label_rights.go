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

// NamespaceLabelRights reports who, besides administrators, may change the labels
// by which Pod Security Admission works (guide: Pod security enforcement).
var NamespaceLabelRights = &check.Check{
	ID:             "namespace-label-rights",
	Title:          "subject may change the labels that enforce pod security",
	Recommendation: "ENF-03",
	Severity:       guide.Medium,
	Remedy:         "take update and patch on namespaces out of the role, or guard the labels with a ValidatingAdmissionPolicy",
	Needs:          []evidence.Fact{evidence.RBAC},
	Leaves:         check.Rest{What: "whom and what the API server's admission configuration exempts", To: []guide.Evidence{guide.Host}},
	Live:           "who may change the labels of namespaces",
	Doc: `The level that a namespace enforces is a label of the Namespace. Whoever may update or
patch namespaces can lower it, run what it forbade, and set it again.

Looked at is every binding, cluster-wide or in a namespace: in a RoleBinding the right
on namespaces holds for the namespace that the binding stands in. Left out are what
Kubernetes itself binds for its own parts, and subjects that may do everything: they
are reported by cluster-admin-binding. Rules with resourceNames count, too: they name
the namespaces. An admission policy that guards the labels is not seen here: state it
as an exception.

    rules:
      - apiGroups: [""]
        resources: [namespaces]
        verbs: [get, list, watch]
`,
	Run: namespaceLabelRights,
}

func namespaceLabelRights(r *check.Run) {
	for _, b := range r.Bindings {
		role := r.RBAC().Role(b)
		switch {
		case len(b.Subjects) == 0:
		case ownBinding(r.Scan, b):
			r.Judge(b.Ref, nil)
		case role == nil:
			unknownRole(r, b)
		default:
			r.Judge(b.Ref, labelRights(b, role))
		}
	}
}

func labelRights(b *evidence.Binding, role *rbac.Role) []check.Problem {
	var changes *rbacv1.PolicyRule
	verb := ""
	for i := range role.Rules {
		rule := &role.Rules[i]
		if _, all := rbac.Everything.In(rule, b.Namespace != ""); all {
			return nil
		}
		if v, ok := changesNamespaces(rule, b.Namespace); ok && changes == nil {
			changes, verb = rule, v
		}
	}
	if changes == nil {
		return nil
	}
	var names []string
	for _, s := range b.Subjects {
		names = append(names, subjectWords(b, s))
	}
	which := "of every namespace"
	switch {
	case b.Namespace != "":
		which = fmt.Sprintf("of namespace %q", b.Namespace)
	case len(changes.ResourceNames) > 0:
		which = "of namespace " + strings.Join(changes.ResourceNames, ", ")
	}
	p := check.Problem{
		Path: evidence.NewPath("roleRef"), Value: b.RoleRef.Name,
		Message: fmt.Sprintf("%s may change the labels %s (%s namespaces): %s grants it", listed(names), which, verb, role),
	}
	return []check.Problem{p}
}

// changesNamespaces reports whether a rule lets its holder change Namespaces, and by
// which verb: any of them, or in a RoleBinding the one that it stands in.
func changesNamespaces(rule *rbacv1.PolicyRule, namespace string) (verb string, ok bool) {
	if namespace == "" && len(rule.ResourceNames) > 0 {
		anyName := *rule
		anyName.ResourceNames = nil
		rule = &anyName
	}
	for _, verb := range []string{"update", "patch"} {
		if rbac.Allows(rule, rbac.Request{Verb: verb, Resource: "namespaces", Name: namespace}) {
			return verb, true
		}
	}
	return "", false
}
