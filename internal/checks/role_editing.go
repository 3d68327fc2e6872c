package checks

import (
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/rbac"
)

// RoleEditing reports rights to write roles and bindings (guide: Role-based
// access control).
var RoleEditing = &check.Check{
	ID:             "role-editing",
	Title:          "role may change roles or bindings",
	Recommendation: "RBAC-04",
	Severity:       guide.Medium,
	Remedy:         "leave changes of roles and bindings to administrators and to the tool that deploys them",
	Needs:          []evidence.Fact{evidence.RBAC},
	Doc: `Who may create or change roles and bindings hands on all rights they have, to
anyone, and can give a stolen account a way back in. A role's rules can be edited at
any time and take effect at once for all that are bound to it; only the reference
from a binding to its role is fixed.

Looked at is each rule of every Role and ClusterRole, wildcards included: create,
update and patch on roles, clusterroles, rolebindings and clusterrolebindings. A
rule that escalation-verbs reports is not reported again. Rules that name the
objects pass for update and patch, and so do those that Kubernetes itself makes.

` + "```yaml" + `
rules:
  - apiGroups: [rbac.authorization.k8s.io]
    resources: [roles, rolebindings]
    verbs: [get, list, watch]
` + "```",
	Run: judgeRules(roleEditing),
}

func roleEditing(s *check.Scan, w writtenRole, rule *rbacv1.PolicyRule) (p check.Problem, field string, bad bool) {
	_, q, edits := w.has(rule, rbac.EditRoles)
	if !edits {
		return p, "", false
	}
	if _, _, worse := escalationVerbs(s, w, rule); worse {
		return p, "", false
	}
	p.Message = fmt.Sprintf("%s %q may %s (%s)", w.Kind, w.Name, rbac.EditRoles, requestWords(q))
	p.Value = yamlList(rule.Verbs)
	return p, "verbs", true
}
