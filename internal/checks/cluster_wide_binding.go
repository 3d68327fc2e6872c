package checks

import (
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/rbac"
)

// ClusterWideBinding reports ClusterRoleBindings whose rights are all about
// namespaced resources (guide: Role-based access control; example roles and bindings).
var ClusterWideBinding = &check.Check{
	ID:             "cluster-wide-binding",
	Title:          "namespaced rights are granted in the whole cluster",
	Recommendation: "RBAC-05",
	Severity:       guide.Medium,
	Remedy:         "bind the same ClusterRole by RoleBindings in the namespaces where it is used",
	Needs:          []evidence.Fact{evidence.RBAC, evidence.Extensions},
	Leaves:         bindingsElsewhere,
	Doc: `A ClusterRoleBinding grants in every namespace, also in those that will be created
later. Who works in one namespace, or in a few, should be bound there.

Looked at are ClusterRoleBindings of ServiceAccounts, users and groups. One whose role
has a right on a resource of the whole cluster (nodes, namespaces, ClusterRoles, …), on
a path, or on everything, needs it and passes. Where all rights are about resources that
live in namespaces, it is reported: for people, and where the rights only read, it ranks
low. No object shows in how many namespaces a subject works; one that really works in
all of them, such as an operator, needs an exception with that reason. Groups that hold
everyone are reported by authenticated-binding and anonymous-binding.

The subjects that Kubernetes itself and the distribution put into their bindings pass.
Whether a custom resource lives in a namespace is known where its
CustomResourceDefinition was read; a role with nothing but others is not judged.

` + "```yaml" + `
kind: RoleBinding
metadata: {name: report, namespace: reporting}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: report}
` + "```",
	Run: clusterWideBindings,
}

func clusterWideBindings(r *check.Run) {
	custom := customScopes(r)
	for _, b := range r.Bindings {
		if b.Kind != "ClusterRoleBinding" || !slices.ContainsFunc(b.Subjects, worksInNamespaces) {
			continue
		}
		role := r.RBAC().Role(b)
		if role == nil {
			unknownRole(r, b)
			continue
		}
		scope, resource := scopeOfRole(role, custom)
		switch {
		case scope == rbac.ClusterWide || ownBinding(r.Scan, b):
			r.Judge(b.Ref, nil)
		case scope == rbac.UnknownScope:
			r.Unknown(b.String(), fmt.Sprintf("whether %s of %s live in a namespace is not known", resource, role))
		default:
			r.Judge(b.Ref, clusterWideBinding(r.Scan, b, role))
		}
	}
}

// worksInNamespaces reports whether a subject is a pod or a person: one that could be
// bound in a namespace.
func worksInNamespaces(s rbacv1.Subject) bool { return isAccount(s) || isPeople(s) }

func isPeople(s rbacv1.Subject) bool {
	kind := rbac.KindOf(s)
	return kind == rbac.Person || kind == rbac.People
}

// A groupResource names a resource: carts of shop.example.com.
type groupResource struct{ group, resource string }

// customScopes are the scopes of custom resources, as their definitions say.
func customScopes(r *check.Run) map[groupResource]rbac.Scope {
	type definition struct {
		Spec struct {
			Group string `json:"group"`
			Scope string `json:"scope"`
			Names struct {
				Plural string `json:"plural"`
			} `json:"names"`
		} `json:"spec"`
	}
	scopes := map[groupResource]rbac.Scope{}
	for _, d := range customs[definition](r, "apiextensions.k8s.io", "CustomResourceDefinition") {
		scope := rbac.Namespaced
		if d.Spec.Scope == "Cluster" {
			scope = rbac.ClusterWide
		}
		scopes[groupResource{d.Spec.Group, d.Spec.Names.Plural}] = scope
	}
	return scopes
}

func isAccount(s rbacv1.Subject) bool { return s.Kind == rbacv1.ServiceAccountKind }

// scopeOfRole is the widest scope of what a role's rules are about; for an unknown
// one with the resource in question. A role without rules is about nothing wider
// than a namespace, but grants nothing either.
func scopeOfRole(role *rbac.Role, custom map[groupResource]rbac.Scope) (scope rbac.Scope, unknown string) {
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
				of := rbac.ScopeOf(group, resource)
				if of == rbac.UnknownScope {
					parent, _, _ := strings.Cut(resource, "/")
					of = custom[groupResource{group, parent}]
				}
				switch of {
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

func clusterWideBinding(scan *check.Scan, b *evidence.Binding, role *rbac.Role) (problems []check.Problem) {
	reads := !slices.ContainsFunc(role.Rules, func(rule rbacv1.PolicyRule) bool {
		return slices.ContainsFunc(rule.Verbs, func(v string) bool { return v != "get" && v != "list" && v != "watch" })
	})
	for _, i := range foreignSubjects(scan, b) {
		s := b.Subjects[i]
		if !worksInNamespaces(s) {
			continue
		}
		p := check.Problem{
			Path: subjectPath(b, i).Field("name"), Value: s.Name,
			Message: fmt.Sprintf("%s has the rights of %s in every namespace, and all of them are about namespaced resources", subjectWords(b, s), role),
		}
		switch {
		case reads:
			p.Severity, p.SeverityReason = guide.Low, "all these rights only read"
		case isPeople(s):
			p.Severity, p.SeverityReason = guide.Low, "people may work in all namespaces; nobody but the organization knows whether these do"
		}
		problems = append(problems, p)
	}
	return problems
}
