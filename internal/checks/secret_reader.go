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

// SecretReader reports rights to read Secrets in general (guide: Secrets).
var SecretReader = &check.Check{
	ID:             "secret-reader",
	Title:          "role may read all Secrets",
	Recommendation: "SEC-02",
	Severity:       guide.High,
	Remedy:         "grant get on the single Secrets that are needed, by resourceNames, in a Role of the namespace",
	Needs:          []evidence.Fact{evidence.RBAC},
	Leaves:         bindingsElsewhere,
	Doc: `Whoever reads the Secrets of a namespace can become every account whose credential
lies there. get, list and watch all return the content: a rule with only list hides
nothing.

Looked at is each rule of every Role and ClusterRole, wildcards included, and each
binding to a built-in role that nobody wrote down, such as edit or admin. get on
Secrets that the rule names passes. list and watch with names rank low: they work
for requests that ask for that one name, and tempt to drop the names. A Role, or a
RoleBinding, ranks lower than rights in the whole cluster. Whoever may create pods
can mount any Secret of the namespace, and nodes/proxy reaches them too: that is
for a person to weigh (exec-access reports nodes/proxy). Rules and bindings that
Kubernetes itself makes pass as long as nobody has added to them.

` + "```yaml" + `
rules:
  - apiGroups: [""]
    resources: [secrets]
    resourceNames: [payment-key]
    verbs: [get]
` + "```",
	Run: everywhere(func(r *check.Run) {
		judgeRules(secretReader)(r)
		judgeBuiltInGrants(r, rbac.ReadSecrets)
	}),
}

func secretReader(_ *check.Scan, w writtenRole, rule *rbacv1.PolicyRule) (p check.Problem, field string, bad bool) {
	unnamed := *rule
	unnamed.ResourceNames = nil
	_, _, readsAll := w.has(rule, rbac.ReadSecrets)
	_, q, reads := w.has(&unnamed, rbac.ReadSecrets)
	switch {
	case readsAll && w.inNamespace():
		p.Severity, p.SeverityReason = guide.Medium, "a Role holds in one namespace"
	case readsAll:
	case reads && (slices.Contains(rule.Verbs, "list") || slices.Contains(rule.Verbs, "watch")):
		p.Severity, p.SeverityReason = guide.Low, "the Secrets are named, but list and watch cannot be limited to names in a useful way"
		p.Message, p.Value = fmt.Sprintf("%s %q may list or watch Secrets by name", w.Kind, w.Name), yamlList(rule.Verbs)
		return p, "verbs", true
	default:
		return p, "", false
	}
	p.Message = fmt.Sprintf("%s %q may read all Secrets (%s)", w.Kind, w.Name, requestWords(q))
	p.Value = yamlList(rule.Resources)
	return p, "resources", true
}
