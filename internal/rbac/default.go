package rbac

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A Difference says in what a role or binding that Kubernetes makes is not as it
// makes it. What was taken away is no difference: it gives nobody anything. Neither
// is what an earlier release or the next one makes: an upgrade leaves the former
// where it is and begins with the latter, see defaultTable.upTo.
type Difference struct {
	// Maker is who makes the object: "the API server" or "kubeadm".
	Maker string
	// Version is the release that the object was compared with: the nearest that is
	// known to the one asked for.
	Version evidence.Version
	// Rules are those with a right that the default has not, in the object's order.
	Rules []AddedRule
	// Selectors are the indices of the aggregation rule's selectors that are not the
	// default's.
	Selectors []int
	// Labels are those that have other roles collect the rules of this one, and that
	// the default does not have, sorted.
	Labels []string
	// Subjects are the indices of the subjects that the default has not.
	Subjects []int
	// RoleRef is the role that the default leads to, nil unless the binding leads to
	// another.
	RoleRef *rbacv1.RoleRef
}

// An AddedRule is a rule of a role, by its index, and the first request that it
// allows and the default does not.
type AddedRule struct {
	Index   int
	Request Request
}

// builtinRoles are the roles that the API server of a version makes by itself, feature
// gates as they come. Those of a version that is not known are those of the nearest
// that is.
func builtinRoles(v evidence.Version) map[roleKey]*Role {
	t, err := builtinTable()
	if err != nil {
		return nil
	}
	roles := map[roleKey]*Role{}
	for _, r := range t.roles(v) {
		roles[roleKey{r.Kind, r.Namespace, r.Name}] = r
	}
	for _, c := range aggregate(roles) {
		c.role.Rules = c.rules
	}
	return roles
}

// CompareRole compares a Role with the default of that name, if there is one.
func CompareRole(o *evidence.Object[rbacv1.Role], v evidence.Version) (Difference, bool) {
	d, base, ok := findDefault(roleKey{"Role", o.Namespace, o.Name}, v)
	if ok {
		d.Rules = addedRules(base.table.rulesOf(base.object, base.set), o.Value.Rules, nil)
	}
	return d, ok
}

// CompareClusterRole compares a ClusterRole with the default of that name, if there
// is one. What an aggregated ClusterRole collects from other roles of the snapshot
// is no difference: those roles are there to be looked at.
func (x *Index) CompareClusterRole(o *evidence.Object[rbacv1.ClusterRole], v evidence.Version) (Difference, bool) {
	d, base, ok := findDefault(roleKey{kind: "ClusterRole", name: o.Name}, v)
	if !ok {
		return d, false
	}
	d.Rules = addedRules(base.table.rulesOf(base.object, base.set), o.Value.Rules, func(rule *rbacv1.PolicyRule) bool {
		return x.Collects(o.Ref, rule)
	})
	if o.Value.AggregationRule != nil {
		for i, s := range o.Value.AggregationRule.ClusterRoleSelectors {
			if !isDefaultSelector(base.object, &s) {
				d.Selectors = append(d.Selectors, i)
			}
		}
	}
	for label := range o.Value.Labels {
		if short, ok := strings.CutPrefix(label, aggregationPrefix); ok && !slices.Contains(base.object.into, short) {
			d.Labels = append(d.Labels, label)
		}
	}
	slices.Sort(d.Labels)
	return d, true
}

// CompareBinding compares a binding with the default of that name, if there is one.
func CompareBinding(b *evidence.Binding, v evidence.Version) (Difference, bool) {
	d, base, ok := findDefault(roleKey{b.Kind, b.Namespace, b.Name}, v)
	if !ok {
		return d, false
	}
	if ref := base.object.roleRef; ref.Kind != b.RoleRef.Kind || ref.Name != b.RoleRef.Name {
		d.RoleRef = &ref
	}
	for i, s := range b.Subjects {
		own := func(have defaultSubject) bool {
			return have.releases.in(base.set) && subjectKey(have.subject, b.Namespace) == subjectKey(s, b.Namespace)
		}
		if !slices.ContainsFunc(base.object.subjects, own) {
			d.Subjects = append(d.Subjects, i)
		}
	}
	return d, true
}

// A basis is a default object, with the releases in which a cluster may hold it.
type basis struct {
	table  *defaultTable
	object *defaultObject
	set    uint64
}

func findDefault(key roleKey, v evidence.Version) (Difference, basis, bool) {
	for _, maker := range []struct {
		name  string
		table func() (*defaultTable, error)
	}{{"the API server", builtinTable}, {"kubeadm", kubeadmTable}} {
		t, err := maker.table()
		if err != nil {
			continue
		}
		set := t.upTo(v)
		if o := t.objects[key]; o != nil && o.releases.in(set) {
			return Difference{Maker: maker.name, Version: t.nearest(v)}, basis{t, o, set}, true
		}
	}
	return Difference{}, basis{}, false
}

// addedRules are the rules with a request that the default does not allow, but for
// those that are explained otherwise.
func addedRules(defaults, rules []rbacv1.PolicyRule, explained func(*rbacv1.PolicyRule) bool) (added []AddedRule) {
	for i := range rules {
		q, beyond := Beyond(defaults, &rules[i])
		if beyond && (explained == nil || !explained(&rules[i])) {
			added = append(added, AddedRule{i, q})
		}
	}
	return added
}

func isDefaultSelector(o *defaultObject, s *metav1.LabelSelector) bool {
	if len(s.MatchLabels) != 1 || len(s.MatchExpressions) > 0 {
		return false
	}
	for label, value := range s.MatchLabels {
		short, ok := strings.CutPrefix(label, aggregationPrefix)
		return ok && value == "true" && slices.Contains(o.from, short)
	}
	return false
}
