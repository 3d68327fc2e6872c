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

// WildcardRule reports rules of roles with a wildcard for verbs, resources, API
// groups or paths (guide: Role-based access control).
var WildcardRule = &check.Check{
	ID:             "wildcard-rule",
	Title:          "role grants rights by a wildcard",
	Recommendation: "RBAC-02",
	Severity:       guide.High,
	Remedy:         "replace the wildcard by the verbs and resources that are really used",
	Needs:          []evidence.Fact{evidence.RBAC},
	Leaves:         check.Rest{What: "whether every right that is granted is used", To: []guide.Evidence{guide.AuditLog}},
	Doc: `A wildcard grants more than its author had in mind: every verb holds escalate,
bind and impersonate, every resource holds Secrets and subresources such as
pods/exec, and whatever is installed later comes in too.

Looked at is each rule of every Role and ClusterRole. All verbs on all resources
of all groups rank highest; a wildcard among the resources of the core group or
of all groups next; wildcards for the verbs of named resources, for groups, or
inside one other group less; ` + "`*/scale`" + `, one subresource of everything, least. A
path that ends in a star, such as ` + "`/healthz/*`" + `, is no wildcard. ` + "`pods/*`" + ` is none
either: it matches nothing at all. Rules that Kubernetes itself makes, in the roles that
it makes them in, pass (tampered-default-role compares them), and what an aggregated
ClusterRole collects is judged where it comes from.

Whether each named right is in use can only be told from an audit log.

` + "```yaml" + `
rules:
  - apiGroups: [""]
    resources: [configmaps]
    verbs: [get, list, watch]
` + "```",
	Run: judgeRules(wildcardRule),
}

func wildcardRule(_ *check.Scan, w writtenRole, rule *rbacv1.PolicyRule) (p check.Problem, field string, bad bool) {
	all := func(list []string) bool { return slices.Contains(list, "*") }
	if _, everything := rbac.Everything.In(rule, false); everything {
		p = check.Problem{
			Value: `["*"]`, Message: fmt.Sprintf("%s %q grants every verb on every resource", w.Kind, w.Name),
			Severity: guide.Critical, SeverityReason: "it grants everything in the whole cluster",
		}
		if w.inNamespace() {
			p.Severity, p.SeverityReason = 0, ""
		}
		return p, "resources", true
	}
	verbs := strings.Join(rule.Verbs, ", ")
	if all(rule.Verbs) {
		verbs = "every verb"
	}
	switch {
	case all(rule.Resources) && (all(rule.APIGroups) || slices.Contains(rule.APIGroups, "")):
		return check.Problem{Value: yamlList(rule.Resources), Message: fmt.Sprintf("%s %q grants %s on every resource of %s", w.Kind, w.Name, verbs, groupWords(rule.APIGroups))}, "resources", true
	case all(rule.Resources):
		p, field = check.Problem{Value: yamlList(rule.Resources), Message: fmt.Sprintf("%s %q grants %s on every resource of %s", w.Kind, w.Name, verbs, groupWords(rule.APIGroups))}, "resources"
		p.Severity, p.SeverityReason = guide.Medium, "the wildcard holds in named groups other than the core one"
	case all(rule.NonResourceURLs) || slices.Contains(rule.NonResourceURLs, "/*"):
		p, field = check.Problem{Value: yamlList(rule.NonResourceURLs), Message: fmt.Sprintf("%s %q grants %s on every path of the API server", w.Kind, w.Name, verbs)}, "nonResourceURLs"
		p.Severity, p.SeverityReason = guide.Medium, "paths hold metrics, logs and profiles, no objects"
	case all(rule.Verbs):
		p, field = check.Problem{Value: yamlList(rule.Verbs), Message: fmt.Sprintf("%s %q grants every verb on %s", w.Kind, w.Name, targets(rule))}, "verbs"
		p.Severity, p.SeverityReason = guide.Medium, "the resources are named"
	case all(rule.APIGroups):
		p, field = check.Problem{Value: yamlList(rule.APIGroups), Message: fmt.Sprintf("%s %q grants %s on %s of every API group", w.Kind, w.Name, verbs, targets(rule))}, "apiGroups"
		p.Severity, p.SeverityReason = guide.Medium, "verbs and resources are named"
	case slices.ContainsFunc(rule.Resources, func(r string) bool { return strings.HasPrefix(r, "*/") }):
		p, field = check.Problem{Value: yamlList(rule.Resources), Message: fmt.Sprintf("%s %q grants %s on %s", w.Kind, w.Name, verbs, targets(rule))}, "resources"
		p.Severity, p.SeverityReason = guide.Low, "the wildcard stands for one subresource only"
	default:
		return p, "", false
	}
	return p, field, true
}

// targets names what a rule is about.
func targets(rule *rbacv1.PolicyRule) string {
	if len(rule.Resources) == 0 {
		return listed(rule.NonResourceURLs)
	}
	return listed(rule.Resources)
}

func groupWords(groups []string) string {
	if slices.Contains(groups, "*") {
		return "every API group"
	}
	names := slices.Clone(groups)
	for i, g := range names {
		if g == "" {
			names[i] = "the core group"
		}
	}
	return listed(names)
}
