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

// AuthenticatedBinding reports broad rights of the group that holds every account
// (guide: Authentication).
var AuthenticatedBinding = &check.Check{
	ID:             "authenticated-binding",
	Title:          "every account is given broad rights",
	Recommendation: "AUTHN-02",
	Severity:       guide.High,
	Remedy:         "bind the role to the group that is meant",
	Needs:          []evidence.Fact{evidence.RBAC},
	Doc: `system:authenticated holds whoever the API server could name: people of every
identity provider, all ServiceAccounts, on some clouds every account of the provider's
customers. A right bound to it is nearly public.

Looked at is what the roles of its bindings grant. Health, version, discovery and
questions about oneself, which the API server gives to everyone, pass, and so does get
on named objects. Reading more ranks medium, writing or a wildcard high, and rights by
which one becomes somebody else (Secrets, pods, exec, escalate and the like) critical.

` + "```yaml" + `
subjects:
  - apiGroup: rbac.authorization.k8s.io
    kind: Group
    name: developers   # not system:authenticated
` + "```",
	Run: authenticatedBindings,
}

func authenticatedBindings(r *check.Run) {
	for _, b := range r.Bindings {
		i := slices.IndexFunc(b.Subjects, func(s rbacv1.Subject) bool {
			return s.Kind == rbacv1.GroupKind && s.Name == rbac.Authenticated
		})
		if i < 0 {
			r.Judge(b.Ref, nil)
			continue
		}
		role := r.RBAC().Role(b)
		if role == nil {
			unknownRole(r, b)
			continue
		}
		r.Judge(b.Ref, authenticatedBinding(r.Scan, b, i, role))
	}
}

func authenticatedBinding(s *check.Scan, b *evidence.Binding, subject int, role *rbac.Role) []check.Problem {
	severity, what := breadth(s, b, role)
	if what == "" {
		return nil
	}
	p := check.Problem{
		Path: subjectPath(b, subject).Field("name"), Value: rbac.Authenticated,
		Message:  fmt.Sprintf("%s %q: every account may %s%s, by %s", b.Kind, b.Name, what, inNamespace(b.Namespace), role),
		Severity: severity,
	}
	switch severity {
	case guide.Critical:
		p.SeverityReason = "the right lets its holder become somebody else"
	case guide.High:
		p.SeverityReason = "the right changes objects"
	default:
		p.SeverityReason = "the right only reads"
	}
	return []check.Problem{p}
}

// breadth is the worst that a role grants beyond what the API server gives to
// everyone, "" when there is nothing.
func breadth(s *check.Scan, b *evidence.Binding, role *rbac.Role) (worst guide.Severity, what string) {
	for i := range role.Rules {
		rule := &role.Rules[i]
		if everyonesRule(s, rule) {
			continue
		}
		if severity, w := ruleBreadth(rule, b.Namespace != ""); w != "" && severity > worst {
			worst, what = severity, w
		}
	}
	return worst, what
}

func ruleBreadth(rule *rbacv1.PolicyRule, inNamespace bool) (guide.Severity, string) {
	for p := rbac.Everything; p <= rbac.CreatePods; p++ {
		if _, ok := p.In(rule, inNamespace); ok {
			return guide.Critical, p.String()
		}
	}
	reads := !slices.ContainsFunc(rule.Verbs, func(v string) bool { return v != "get" && v != "list" && v != "watch" })
	onlyGets := !slices.ContainsFunc(rule.Verbs, func(v string) bool { return v != "get" })
	switch {
	case onlyGets && (len(rule.ResourceNames) > 0 || len(rule.Resources) == 0):
		return 0, ""
	case !reads:
		return guide.High, listed(rule.Verbs) + " " + targets(rule)
	case slices.Contains(rule.Resources, "*"):
		return guide.High, "read every resource"
	}
	return guide.Medium, "read " + targets(rule)
}

// everyonesRoles are the ClusterRoles that the API server binds to groups that hold
// everyone, or every pod.
var everyonesRoles = []string{publicInfo, "system:discovery", "system:basic-user", "system:service-account-issuer-discovery", "system:cluster-trust-bundle-discovery"}

// everyonesRule reports whether the API server gives what a rule grants to
// everyone by itself.
func everyonesRule(s *check.Scan, rule *rbacv1.PolicyRule) bool {
	for _, name := range everyonesRoles {
		if rules, _ := s.RBAC().BuiltIn("ClusterRole", "", name); rbac.Covers(rules, rule) {
			return true
		}
	}
	return false
}
