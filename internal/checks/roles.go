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
}

func writtenRoles(s *evidence.Snapshot) []writtenRole {
	list := make([]writtenRole, 0, len(s.Roles)+len(s.ClusterRoles))
	for _, o := range s.Roles {
		list = append(list, writtenRole{o.Ref, o.Value.Rules})
	}
	for _, o := range s.ClusterRoles {
		list = append(list, writtenRole{o.Ref, o.Value.Rules})
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

// judgeRules lifts a judgement about one rule to all roles of a scan. Left out are
// the rules that the API server itself writes into its built-in roles. A problem
// stands at a field of the rule, or at the rule, when it names none.
func judgeRules(judge func(*check.Scan, writtenRole, *rbacv1.PolicyRule) (p check.Problem, field string, bad bool)) func(*check.Run) {
	return check.Each(writtenRoles, func(s *check.Scan, w writtenRole) (problems []check.Problem) {
		for i := range w.rules {
			rule := &w.rules[i]
			p, field, bad := judge(s, w, rule)
			if !bad || ownRule(s, w, rule) {
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

// bootstrapped reports whether the object has the label that the API server puts
// on the roles and bindings that it makes. Anybody can write it, so it is never
// enough by itself.
func bootstrapped(r *evidence.Ref) bool {
	return r.Labels["kubernetes.io/bootstrapping"] == "rbac-defaults"
}

// ownRule reports whether a rule is one that the API server itself makes: of a
// built-in role by name and label, and within what that role has.
func ownRule(s *check.Scan, w writtenRole, rule *rbacv1.PolicyRule) bool {
	if !bootstrapped(w.Ref) {
		return false
	}
	rules, ok := s.RBAC().BuiltIn(w.Kind, w.Namespace, w.Name)
	return ok && rbac.Covers(rules, rule)
}

// ownBinding reports whether a binding is one that the API server or kubeadm
// makes: of a built-in role to the part of the system that it is for.
func ownBinding(b *evidence.Binding) bool {
	if len(b.Subjects) != 1 {
		return false
	}
	subject := b.Subjects[0]
	switch {
	case b.Name == "kubeadm:cluster-admins":
		return b.Kind == "ClusterRoleBinding" && b.RoleRef.Name == "cluster-admin" && subject.Kind == rbacv1.GroupKind && subject.Name == b.Name
	case !bootstrapped(b.Ref) || b.RoleRef.Name != b.Name:
		return false
	case b.Name == "cluster-admin":
		return subject.Kind == rbacv1.GroupKind && subject.Name == rbac.Masters
	case strings.HasPrefix(b.Name, "system:controller:"):
		return subject.Kind == rbacv1.ServiceAccountKind && subject.Namespace == "kube-system" && "system:controller:"+subject.Name == b.Name
	}
	return strings.HasPrefix(b.Name, "system:") && subject.Kind == rbacv1.UserKind && strings.HasPrefix(subject.Name, "system:kube-")
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
	if len(names) == 0 {
		return ""
	}
	return " (bound by " + listed(names) + ")"
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
// what its role grants.
func unknownRole(r *check.Run, b *evidence.Binding) {
	r.Unknown(b.String(), fmt.Sprintf("what %s %q grants is not known: it is not among what was read", b.RoleRef.Kind, b.RoleRef.Name))
}

// judgeBuiltInGrants judges bindings that hand out a built-in role nobody wrote
// down, such as edit: what its rules give is given by the binding. The roles that
// were written are judged by themselves.
func judgeBuiltInGrants(r *check.Run, powers ...rbac.Power) {
	for _, b := range r.Bindings {
		role := r.RBAC().Role(b)
		if role == nil {
			unknownRole(r, b)
			continue
		}
		if !role.BuiltIn || ownBinding(b) || len(b.Subjects) == 0 {
			continue
		}
		r.Judge(b.Ref, builtInGrant(b, role, powers))
	}
}

func builtInGrant(b *evidence.Binding, role *rbac.Role, powers []rbac.Power) []check.Problem {
	for _, power := range powers {
		for i := range role.Rules {
			if _, ok := power.In(&role.Rules[i], b.Namespace != ""); !ok {
				continue
			}
			var names []string
			for _, s := range b.Subjects {
				names = append(names, subjectWords(b, s))
			}
			p := check.Problem{
				Path:    evidence.NewPath("roleRef"),
				Value:   b.RoleRef.Name,
				Message: fmt.Sprintf("%s may %s%s: the built-in %s grants it", listed(names), power, inNamespace(b.Namespace), role),
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
