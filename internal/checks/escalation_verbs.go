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

// EscalationVerbs reports rules with the verbs escalate, bind and impersonate
// (guide: Role-based access control).
var EscalationVerbs = &check.Check{
	ID:             "escalation-verbs",
	Title:          "role may escalate, bind or impersonate",
	Recommendation: "RBAC-04",
	Severity:       guide.High,
	Remedy:         "remove the verb, or limit it by resourceNames to what may be handed on",
	Needs:          []evidence.Fact{evidence.RBAC},
	Leaves:         bindingsElsewhere,
	Doc: `The API server lets nobody write a role, or bind one, with rights that they do not
hold themselves. The verbs escalate and bind on roles and clusterroles lift that
limit; impersonate on users, groups and serviceaccounts makes the requests those of
somebody else. Each turns a small role into any role.

Looked at is each rule of every Role and ClusterRole, wildcards included, and each
binding to a built-in role that nobody wrote down: edit lets its holder act as any
ServiceAccount of the namespace. A rule that names what may be bound or impersonated
passes, unless it names a role with more rights than edit has, a user or group with such
rights in the whole cluster, or the group system:masters. A rule that names a role to
escalate does not: that role can be given any right. Rules and bindings
that Kubernetes itself makes pass as long as nobody has added to them.

` + "```yaml" + `
rules:
  - apiGroups: [rbac.authorization.k8s.io]
    resources: [clusterroles]
    resourceNames: [view]
    verbs: [bind]
` + "```",
	Run: everywhere(func(r *check.Run) {
		judgeRules(escalationVerbs)(r)
		judgeBuiltInGrants(r, escalationPowers...)
	}),
}

var escalationPowers = []rbac.Power{rbac.Escalate, rbac.Bind, rbac.Impersonate}

// beyondEdit are powers that the built-in role edit does not have.
var beyondEdit = []rbac.Power{rbac.Everything, rbac.Escalate, rbac.Bind, rbac.NodeProxy, rbac.ChangeAdmission,
	rbac.ApproveCertificates, rbac.SignCertificates, rbac.EditRoles}

func escalationVerbs(s *check.Scan, w writtenRole, rule *rbacv1.PolicyRule) (p check.Problem, field string, bad bool) {
	power, q, ok := w.has(rule, escalationPowers...)
	dangerous := ""
	if !ok && len(rule.ResourceNames) > 0 {
		unnamed := *rule
		unnamed.ResourceNames = nil
		if power, q, ok = w.has(&unnamed, escalationPowers...); !ok {
			return p, "", false
		}
		i := slices.IndexFunc(rule.ResourceNames, func(name string) bool { return strongName(s, w, power, q, name) })
		if i < 0 {
			return p, "", false
		}
		dangerous = fmt.Sprintf(" %q", rule.ResourceNames[i])
	}
	if !ok {
		return p, "", false
	}
	p.Message = fmt.Sprintf("%s %q may %s (%s%s)", w.Kind, w.Name, power, requestWords(q), dangerous)
	p.Value = yamlList(rule.Verbs)
	if w.inNamespace() {
		p.Severity, p.SeverityReason = guide.Medium, "a Role holds in one namespace"
	}
	return p, "verbs", true
}

// strongName reports whether a power over one name alone reaches far: it does over a
// role that may be given any right, over one that has rights that edit has not, and
// over a user or group that has such rights in the whole cluster.
func strongName(s *check.Scan, w writtenRole, power rbac.Power, q rbac.Request, name string) bool {
	switch {
	case power == rbac.Escalate, name == rbac.Masters:
		return true
	case power == rbac.Bind:
		return slices.ContainsFunc([]string{"ClusterRole", "Role"}, func(kind string) bool {
			role := s.RBAC().Role(&evidence.Binding{Ref: &evidence.Ref{Namespace: w.Namespace}, RoleRef: rbacv1.RoleRef{Kind: kind, Name: name}})
			return role != nil && slices.ContainsFunc(role.Rules, isBeyondEdit)
		})
	}
	who := rbac.NewSubject(name)
	if q.Resource == "groups" {
		who = rbac.Subject{Groups: []string{name}}
	}
	for g := range s.RBAC().Granted(who) {
		if g.Rule != nil && g.Namespace == "" && isBeyondEdit(*g.Rule) {
			return true
		}
	}
	return false
}

func isBeyondEdit(rule rbacv1.PolicyRule) bool {
	return slices.ContainsFunc(beyondEdit, func(p rbac.Power) bool {
		_, ok := p.In(&rule, false)
		return ok
	})
}
