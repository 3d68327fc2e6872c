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

// TamperedDefaultRole reports roles of Kubernetes' own to which somebody has added
// (guide: Role-based access control).
var TamperedDefaultRole = &check.Check{
	ID:             "tampered-default-role",
	Title:          "a default role grants more than Kubernetes makes it grant",
	Recommendation: "RBAC-02",
	Severity:       guide.High,
	Remedy:         "take the addition out of the default role, and bind a role of its own to whoever needs it",
	Needs:          []evidence.Fact{evidence.RBAC},
	Doc: `The API server makes about eighty roles by itself, and kubeadm a few more. Nobody reads
them, they are bound to parts of the system and to everyone, and at each start the API
server adds what is missing to its own but takes nothing away. That makes them a good
place to hide a right. The annotation rbac.authorization.kubernetes.io/autoupdate and the
label kubernetes.io/bootstrapping change nothing about that.

Looked at is each Role and ClusterRole that bears the name of a default one, in files
too. Its rules are compared one by one with those that its release makes, behind feature
gates as well; so are the selectors by which it collects rules of other roles, and the
labels by which others collect its own. What an earlier release made is left over from an
upgrade and passes, as does what the next one makes. What admin, edit and view collect
from roles that you installed is looked at there, and no change of theirs. A rule that is
missing is no risk and is not reported. A release that is not known is compared with the
nearest one that is.

All other rules let defaults pass as far as they are untouched. Rights beyond that are
judged by them like any other.

` + "```yaml" + `
kind: ClusterRole
metadata:
  name: shop-carts   # not view
  labels: {rbac.authorization.k8s.io/aggregate-to-view: "true"}
` + "```",
	Run: func(r *check.Run) {
		for _, w := range writtenRoles(r.Snapshot) {
			if d, ok := w.compare(r.Scan); ok {
				r.Judge(w.Ref, tamperedDefaultRole(r.Scan, w, d))
			}
		}
	},
}

func tamperedDefaultRole(s *check.Scan, w writtenRole, d rbac.Difference) (problems []check.Problem) {
	begin := fmt.Sprintf("%s %q is not as %s of %s makes it: ", w.Kind, w.Name, d.Maker, release(s, d))
	for _, added := range d.Rules {
		rule := &w.rules[added.Index]
		p := check.Problem{
			Path:    evidence.NewPath("rules").Index(added.Index, ruleKey(rule)),
			Value:   ruleWords(rule),
			Message: begin + "it may also " + wholeRequest(added.Request),
		}
		p.Severity, p.SeverityReason = addedSeverity(s, w, rule)
		problems = append(problems, p)
	}
	for _, i := range d.Selectors {
		problems = append(problems, check.Problem{
			Path:    evidence.NewPath("aggregationRule", "clusterRoleSelectors").Index(i, ""),
			Message: begin + "it also collects the rules of other roles",
		})
	}
	for _, label := range d.Labels {
		problems = append(problems, check.Problem{
			Path: evidence.NewPath("metadata", "labels", label), Value: w.Labels[label],
			Message: begin + fmt.Sprintf("by the label %q other roles collect its rules", label),
		})
	}
	return problems
}

// release names what an object was compared with.
func release(s *check.Scan, d rbac.Difference) string {
	if d.Version == s.Settings.Version {
		return "Kubernetes " + d.Version.String()
	}
	return fmt.Sprintf("Kubernetes %s, the nearest known release,", d.Version)
}

// addedSeverity ranks a rule that was added to a default role; zero is the check's own.
func addedSeverity(s *check.Scan, w writtenRole, rule *rbacv1.PolicyRule) (guide.Severity, string) {
	_, everything := rbac.Everything.In(rule, w.inNamespace())
	severity, _ := ruleBreadth(rule, w.inNamespace())
	switch {
	case everything && !w.inNamespace():
		return guide.Critical, "it grants everything in the whole cluster"
	case severity == guide.Critical && everyoneHas(s, w.Ref):
		return guide.Critical, "the role is bound to everyone, and the right lets its holder become somebody else"
	}
	return 0, ""
}

// everyoneHas reports whether a role is bound to a group that holds everyone, or is one
// that the API server so binds.
func everyoneHas(s *check.Scan, role *evidence.Ref) bool {
	return role.Kind == "ClusterRole" && slices.Contains(everyonesRoles, role.Name) ||
		slices.ContainsFunc(s.RBAC().Bindings(role), func(b *evidence.Binding) bool { return slices.ContainsFunc(b.Subjects, isEveryone) })
}

// wholeRequest says what a request does, with its group, name or path.
func wholeRequest(q rbac.Request) string {
	if q.Path != "" {
		return q.Verb + " " + q.Path
	}
	words := requestWords(q)
	switch {
	case q.Group == "*":
		words += " of every API group"
	case q.Group != "":
		words += "." + q.Group
	}
	if q.Name != "" {
		words += fmt.Sprintf(" %q", q.Name)
	}
	return words
}

// ruleWords writes a rule as YAML in flow style.
func ruleWords(rule *rbacv1.PolicyRule) string {
	var parts []string
	for _, field := range []struct {
		name string
		list []string
	}{{"apiGroups", rule.APIGroups}, {"resources", rule.Resources}, {"resourceNames", rule.ResourceNames}, {"nonResourceURLs", rule.NonResourceURLs}, {"verbs", rule.Verbs}} {
		if len(field.list) > 0 {
			parts = append(parts, field.name+": "+yamlList(field.list))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
