package checks

import (
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/rbac"
)

// ClusterWideBinding reports ClusterRoleBindings of ServiceAccounts whose rights
// are all about namespaced resources (guide: Role-based access control; example
// roles and bindings).
var ClusterWideBinding = &check.Check{
	ID:             "cluster-wide-binding",
	Title:          "ServiceAccount has namespaced rights in the whole cluster",
	Recommendation: "RBAC-05",
	Severity:       guide.Medium,
	Remedy:         "bind the same ClusterRole by RoleBindings in the namespaces where it is used",
	Needs:          []evidence.Fact{evidence.RBAC},
	Leaves:         bindingsElsewhere,
	Doc: `A ClusterRoleBinding grants in every namespace, also in those that will be created
later. A ServiceAccount that works in one namespace, or in a few, should be bound there.

Looked at are ClusterRoleBindings of ServiceAccounts. One whose role has a right on a
resource of the whole cluster (nodes, namespaces, ClusterRoles, …), on a path, or on
everything, needs it and passes. Where all rights are about resources that live in
namespaces, it is reported: low when they only read. Files do not show in how many
namespaces the account is used; one that really works in all of them, such as an
operator, needs an exception with that reason. Whether a custom resource lives in a
namespace is not known here, so a role with nothing but such resources is not judged.

` + "```yaml" + `
kind: RoleBinding
metadata: {name: report, namespace: reporting}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: report}
` + "```",
	Run: clusterWideBindings,
}

func clusterWideBindings(r *check.Run) {
	for _, b := range r.Bindings {
		if b.Kind != "ClusterRoleBinding" || !slices.ContainsFunc(b.Subjects, isAccount) {
			continue
		}
		role := r.RBAC().Role(b)
		if role == nil {
			unknownRole(r, b)
			continue
		}
		scope, resource := scopeOfRole(role)
		switch {
		case scope == rbac.UnknownScope:
			r.Unknown(b.String(), fmt.Sprintf("whether %s of %s live in a namespace is not known", resource, role))
		case scope == rbac.ClusterWide || ownBinding(b):
			r.Judge(b.Ref, nil)
		default:
			r.Judge(b.Ref, clusterWideBinding(b, role))
		}
	}
}

func isAccount(s rbacv1.Subject) bool { return s.Kind == rbacv1.ServiceAccountKind }

// scopeOfRole is the widest scope of what a role's rules are about; for an unknown
// one with the resource in question. A role without rules is about nothing wider
// than a namespace, but grants nothing either.
func scopeOfRole(role *rbac.Role) (scope rbac.Scope, unknown string) {
	if len(role.Rules) == 0 {
		return rbac.ClusterWide, ""
	}
	scope = rbac.Namespaced
	for _, rule := range role.Rules {
		if len(rule.NonResourceURLs) > 0 {
			return rbac.ClusterWide, ""
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				switch rbac.ScopeOf(group, resource) {
				case rbac.ClusterWide:
					return rbac.ClusterWide, ""
				case rbac.UnknownScope:
					scope, unknown = rbac.UnknownScope, resource+"."+group
				}
			}
		}
	}
	return scope, unknown
}

func clusterWideBinding(b *evidence.Binding, role *rbac.Role) (problems []check.Problem) {
	reads := !slices.ContainsFunc(role.Rules, func(rule rbacv1.PolicyRule) bool {
		return slices.ContainsFunc(rule.Verbs, func(v string) bool { return v != "get" && v != "list" && v != "watch" })
	})
	for i, s := range b.Subjects {
		if !isAccount(s) {
			continue
		}
		p := check.Problem{
			Path: subjectPath(b, i).Field("name"), Value: s.Name,
			Message: fmt.Sprintf("%s has the rights of %s in every namespace, and all of them are about namespaced resources", subjectWords(b, s), role),
		}
		if reads {
			p.Severity, p.SeverityReason = guide.Low, "all these rights only read"
		}
		problems = append(problems, p)
	}
	return problems
}
