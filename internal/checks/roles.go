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

// A writtenRole is a Role or ClusterRole as somebody wrote it.
type writtenRole struct {
	*evidence.Ref
	rules []rbacv1.PolicyRule
	// compare compares it with the default of that name, if there is one.
	compare func(*check.Scan) (rbac.Difference, bool)
}

func writtenRoles(s *evidence.Snapshot) []writtenRole {
	list := make([]writtenRole, 0, len(s.Roles)+len(s.ClusterRoles))
	for _, o := range s.Roles {
		list = append(list, writtenRole{o.Ref, o.Value.Rules, func(s *check.Scan) (rbac.Difference, bool) {
			return rbac.CompareRole(o, s.Settings.Version)
		}})
	}
	for _, o := range s.ClusterRoles {
		list = append(list, writtenRole{o.Ref, o.Value.Rules, func(s *check.Scan) (rbac.Difference, bool) {
			return s.RBAC().CompareClusterRole(o, s.Settings.Version)
		}})
	}
	return list
}

func bindings(s *evidence.Snapshot) []*evidence.Binding { return s.Bindings }

// inNamespace reports whether the role can only grant rights in one namespace.
func (w writtenRole) inNamespace() bool { return w.Kind == "Role" }

// has returns the first of some powers that a rule of the role gives, and the
// request that gives it.
func (w writtenRole) has(rule *rbacv1.PolicyRule, powers ...rbac.Power) (rbac.Power, rbac.Request, bool) {
	for _, p := range powers {
		if q, ok := p.In(rule, w.inNamespace()); ok {
			return p, q, true
		}
	}
	return 0, rbac.Request{}, false
}

// judgeRules lifts a judgement about one rule to all roles of a scan. Rules that
// nobody wrote pass, see ownRules. A problem stands at a field of the rule, or at the
// rule, when it names none.
func judgeRules(judge func(*check.Scan, writtenRole, *rbacv1.PolicyRule) (p check.Problem, field string, bad bool)) func(*check.Run) {
	return check.Each(writtenRoles, func(s *check.Scan, w writtenRole) (problems []check.Problem) {
		var own []bool
		for i := range w.rules {
			rule := &w.rules[i]
			p, field, bad := judge(s, w, rule)
			if !bad {
				continue
			}
			if own == nil {
				own = ownRules(s, w)
			}
			if own[i] {
				continue
			}
			p.Path = evidence.NewPath("rules").Index(i, ruleKey(rule))
			if field != "" {
				p.Path = p.Path.Field(field)
			}
			p.Message += boundBy(s, w.Ref)
			problems = append(problems, p)
		}
		return problems
	})
}

// ownRules tells of each rule of a role whether nobody wrote it: it belongs to a role
// that Kubernetes or the distribution makes, or an aggregated ClusterRole collects it
// from a role that is judged by itself.
func ownRules(s *check.Scan, w writtenRole) []bool {
	own := make([]bool, len(w.rules))
	shipped := !s.Settings.ShowDefaults && shippedRole(s, w.Ref)
	for i := range own {
		own[i] = shipped || w.Kind == "ClusterRole" && s.RBAC().Collects(w.Ref, &w.rules[i])
	}
	d, isDefault := w.compare(s)
	if !isDefault || s.Settings.ShowDefaults {
		return own
	}
	for i := range own {
		own[i] = own[i] || !slices.ContainsFunc(d.Rules, func(a rbac.AddedRule) bool { return a.Index == i })
	}
	return own
}

// shippedRole reports whether only bindings of the distribution lead to a role.
func shippedRole(s *check.Scan, role *evidence.Ref) bool {
	list := s.RBAC().Bindings(role)
	return len(list) > 0 && !slices.ContainsFunc(list, func(b *evidence.Binding) bool { return !rbac.Shipped(b, s.Cluster) })
}

// foreignSubjects returns the indices of the subjects that neither Kubernetes nor the
// distribution put into a binding.
func foreignSubjects(s *check.Scan, b *evidence.Binding) []int {
	d, isDefault := rbac.CompareBinding(b, s.Settings.Version)
	switch {
	case s.Settings.ShowDefaults:
	case rbac.Shipped(b, s.Cluster):
		return nil
	case isDefault && d.RoleRef == nil:
		return d.Subjects
	}
	all := make([]int, len(b.Subjects))
	for i := range all {
		all[i] = i
	}
	return all
}

// ownBinding reports whether all subjects of a binding are where Kubernetes or the
// distribution put them.
func ownBinding(s *check.Scan, b *evidence.Binding) bool {
	return len(b.Subjects) > 0 && len(foreignSubjects(s, b)) == 0
}

// ruleKey tells a rule from its neighbours by what it says, wherever it stands.
func ruleKey(rule *rbacv1.PolicyRule) string {
	var parts []string
	for _, list := range [][]string{rule.Verbs, rule.APIGroups, rule.Resources, rule.ResourceNames, rule.NonResourceURLs} {
		parts = append(parts, strings.Join(slices.Sorted(slices.Values(list)), ","))
	}
	return strings.Join(parts, "|")
}

// boundBy says which bindings use a role, in words that end a message.
func boundBy(s *check.Scan, role *evidence.Ref) string {
	const shown = 2
	var names []string
	for _, b := range s.RBAC().Bindings(role) {
		names = append(names, b.String())
	}
	slices.Sort(names)
	names = slices.Compact(names) // an object may be written in several files
	if more := len(names) - shown; more > 1 {
		names = append(names[:shown:shown], fmt.Sprintf("%d more", more))
	}
	words := collectedBy(role)
	if len(names) > 0 {
		words += " (bound by " + listed(names) + ")"
	}
	return words
}

// collectedBy says which built-in ClusterRoles collect the rules of another, in words
// that end a message.
func collectedBy(role *evidence.Ref) string {
	var names []string
	for label, value := range role.Labels {
		if name, ok := strings.CutPrefix(label, "rbac.authorization.k8s.io/aggregate-to-"); ok && value == "true" && role.Kind == "ClusterRole" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return ""
	}
	return " (collected by ClusterRole " + listed(names) + ")"
}

// requestWords says what a request does: create pods/exec.
func requestWords(q rbac.Request) string { return q.Verb + " " + q.Resource }

// yamlList writes a list as YAML in flow style.
func yamlList(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = s
		if s == "" || strings.ContainsAny(s, "*,[]{}:#&!|>'\"%@` ") {
			quoted[i] = fmt.Sprintf("%q", s)
		}
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// subjectPath is where the i-th subject of a binding stands.
func subjectPath(b *evidence.Binding, i int) evidence.Path {
	s := b.Subjects[i]
	return evidence.NewPath("subjects").Index(i, s.Kind+":"+s.Namespace+":"+s.Name)
}

// subjectWords names a subject: ServiceAccount team/ci, group "developers".
func subjectWords(b *evidence.Binding, s rbacv1.Subject) string {
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		return fmt.Sprintf("ServiceAccount %q", accountNamespace(b, s)+"/"+s.Name)
	case rbacv1.GroupKind:
		return fmt.Sprintf("group %q", s.Name)
	}
	return fmt.Sprintf("user %q", s.Name)
}

// accountNamespace is the namespace of a ServiceAccount subject: the binding's own
// when it names none.
func accountNamespace(b *evidence.Binding, s rbacv1.Subject) string {
	if s.Namespace == "" {
		return b.Namespace
	}
	return s.Namespace
}

// isEveryone reports whether a group holds more than anyone could list.
func isEveryone(s rbacv1.Subject) bool {
	return s.Kind == rbacv1.GroupKind && (s.Name == rbac.Authenticated || s.Name == rbac.Unauthenticated || s.Name == rbac.ServiceAccounts) ||
		s.Kind == rbacv1.UserKind && s.Name == rbac.Anonymous
}

// unknownRole records that a binding could not be judged, because nobody knows
// what its role grants. In a cluster whose roles were all read there is no such role,
// and it grants nothing: dangling-binding reports it.
func unknownRole(r *check.Run, b *evidence.Binding) {
	if r.RBAC().Lost(b) {
		r.Judge(b.Ref, nil)
		return
	}
	r.Unknown(b.String(), fmt.Sprintf("what %s %q grants is not known: it is not among what was read", b.RoleRef.Kind, b.RoleRef.Name))
}

// everywhere is for checks that count who has a right: where only some namespaces of
// a cluster were looked at, nobody knows who has it in the others, or by a role of
// theirs.
func everywhere(run func(*check.Run)) func(*check.Run) {
	return func(r *check.Run) {
		run(r)
		if r.Cluster == nil || r.Cluster.Sees("") {
			return
		}
		if ok, why := r.Complete(evidence.RBAC, ""); !ok {
			r.Unknown("", "roles and bindings of other namespaces: "+why)
		}
	}
}

// judgeBuiltInGrants judges bindings that hand out what the API server's roles grant:
// a built-in role, such as edit, or one that collects the rules of some. Nobody wrote
// those rules down, or they pass there, so what they give is given by the binding. All
// other roles are judged by themselves.
func judgeBuiltInGrants(r *check.Run, powers ...rbac.Power) {
	for _, b := range r.Bindings {
		role := r.RBAC().Role(b)
		if role == nil {
			unknownRole(r, b)
			continue
		}
		if (role.BuiltIn || len(role.Inherited) > 0) && len(b.Subjects) > 0 {
			r.Judge(b.Ref, builtInGrant(r.Scan, b, role, powers))
		}
	}
}

func builtInGrant(s *check.Scan, b *evidence.Binding, role *rbac.Role, powers []rbac.Power) []check.Problem {
	foreign := foreignSubjects(s, b)
	if len(foreign) == 0 {
		return nil
	}
	rules, how := role.Rules, "the built-in "+role.String()+" grants it"
	if !role.BuiltIn {
		rules, how = role.Inherited, role.String()+" collects it from the built-in ones"
	}
	for _, power := range powers {
		for i := range rules {
			if _, ok := power.In(&rules[i], b.Namespace != ""); !ok {
				continue
			}
			var names []string
			for _, i := range foreign {
				names = append(names, subjectWords(b, b.Subjects[i]))
			}
			p := check.Problem{
				Path:    evidence.NewPath("roleRef"),
				Value:   b.RoleRef.Name,
				Message: fmt.Sprintf("%s may %s%s: %s", listed(names), power, inNamespace(b.Namespace), how),
			}
			if b.Namespace != "" {
				p.Severity, p.SeverityReason = guide.Medium, "the binding holds in one namespace"
			}
			return []check.Problem{p}
		}
	}
	return nil
}

func inNamespace(namespace string) string {
	if namespace == "" {
		return ""
	}
	return fmt.Sprintf(" in namespace %q", namespace)
}
