// Package rbac answers who may do what, and by which binding, from Roles,
// ClusterRoles and their bindings. It resolves aggregation, groups and the
// defaults of the API server, and knows the content of the roles that the API
// server makes by itself. It does not search chains of escalation, and knows
// nothing of rights that come from elsewhere: certificates, the Node authorizer,
// webhooks, or bindings that are not in the snapshot.
package rbac

import (
	"cmp"
	"iter"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// The users and groups that the API server itself names.
const (
	Anonymous       = "system:anonymous"
	Unauthenticated = "system:unauthenticated"
	Authenticated   = "system:authenticated"
	// Masters is a group that may do everything, whatever the bindings say.
	Masters         = "system:masters"
	ServiceAccounts = "system:serviceaccounts"
)

// A Role is what a binding leads to.
type Role struct {
	// Kind is Role or ClusterRole.
	Kind, Namespace, Name string
	// Rules are the role's own, or, for an aggregated role, those collected. An
	// object that is written several times counts with the rules of all.
	Rules []rbacv1.PolicyRule
	// Refs are the objects of the snapshot; none for a role that is only known
	// because the API server makes it.
	Refs []*evidence.Ref
	// BuiltIn is set for the roles that the API server makes.
	BuiltIn bool

	labels    labels.Set
	selectors []metav1.LabelSelector // of the aggregation rule
}

// String names the role: ClusterRole view, Role shop/reader.
func (r *Role) String() string {
	return (&evidence.Ref{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}).String()
}

type roleKey struct{ kind, namespace, name string }

// An Index holds the bindings of a snapshot by subject, and the roles.
type Index struct {
	roles map[roleKey]*Role
	// builtins are the built-in roles as the API server makes them, whatever a
	// snapshot says of them.
	builtins  map[roleKey][]rbacv1.PolicyRule
	bySubject map[string][]*evidence.Binding
	byRole    map[roleKey][]*evidence.Binding
}

// NewIndex reads the roles and bindings of a snapshot.
func NewIndex(snap *evidence.Snapshot) *Index {
	x := &Index{
		roles:     map[roleKey]*Role{},
		builtins:  map[roleKey][]rbacv1.PolicyRule{},
		bySubject: map[string][]*evidence.Binding{},
		byRole:    map[roleKey][]*evidence.Binding{},
	}
	for _, r := range builtinRoles() {
		x.roles[roleKey{r.Kind, r.Namespace, r.Name}] = r
	}
	x.aggregate()
	for key, r := range x.roles {
		x.builtins[key] = slices.Clone(r.Rules)
	}
	for _, o := range snap.ClusterRoles {
		x.addClusterRole(o.Value, o.Ref)
	}
	for _, o := range snap.Roles {
		r := x.role(roleKey{"Role", o.Namespace, o.Name})
		r.Rules, r.Refs = append(r.Rules, o.Value.Rules...), append(r.Refs, o.Ref)
	}
	x.aggregate()
	for _, b := range snap.Bindings {
		x.addBinding(b)
	}
	return x
}

func (x *Index) role(key roleKey) *Role {
	r := x.roles[key]
	if r == nil {
		r = &Role{Kind: key.kind, Namespace: key.namespace, Name: key.name}
		x.roles[key] = r
	}
	return r
}

func (x *Index) addClusterRole(role *rbacv1.ClusterRole, ref *evidence.Ref) {
	r := x.role(roleKey{kind: "ClusterRole", name: ref.Name})
	r.Rules, r.Refs = append(r.Rules, role.Rules...), append(r.Refs, ref)
	r.labels = labels.Merge(r.labels, role.Labels)
	if role.AggregationRule != nil {
		r.selectors = append(r.selectors, role.AggregationRule.ClusterRoleSelectors...)
	}
}

func (x *Index) addBinding(b *evidence.Binding) {
	key := keyOf(b)
	x.byRole[key] = append(x.byRole[key], b)
	for _, s := range b.Subjects {
		name := subjectKey(s, b.Namespace)
		if list := x.bySubject[name]; name != "" && (len(list) == 0 || list[len(list)-1] != b) {
			x.bySubject[name] = append(list, b)
		}
	}
}

// keyOf is the role that a binding refers to. A ClusterRoleBinding can refer to
// a ClusterRole only: the API server refuses any other.
func keyOf(b *evidence.Binding) roleKey {
	key := roleKey{kind: b.RoleRef.Kind, name: b.RoleRef.Name}
	if key.kind == "Role" {
		key.namespace = b.Namespace
	}
	return key
}

const (
	userPrefix  = "user:"
	groupPrefix = "group:"
)

// subjectKey is how a binding's subject is found again, "" for one that nobody
// can be: a ServiceAccount belongs to the binding's namespace when it names none.
func subjectKey(s rbacv1.Subject, namespace string) string {
	switch s.Kind {
	case rbacv1.UserKind:
		return userPrefix + s.Name
	case rbacv1.GroupKind:
		return groupPrefix + s.Name
	case rbacv1.ServiceAccountKind:
		if namespace = cmp.Or(s.Namespace, namespace); namespace != "" {
			return userPrefix + ServiceAccount(namespace, s.Name).User
		}
	}
	return ""
}

// Role returns the role that a binding leads to, nil when its content is not known.
func (x *Index) Role(b *evidence.Binding) *Role {
	key := keyOf(b)
	if key.kind == "Role" && b.Namespace == "" {
		return nil
	}
	return x.roles[key]
}

// Bindings returns the bindings that lead to the role written by an object.
func (x *Index) Bindings(ref *evidence.Ref) []*evidence.Binding {
	return x.byRole[roleKey{ref.Kind, ref.Namespace, ref.Name}]
}

// BuiltIn returns the rules that the API server gives a Role or ClusterRole by
// itself, and whether it makes one of that name.
func (x *Index) BuiltIn(kind, namespace, name string) ([]rbacv1.PolicyRule, bool) {
	rules, ok := x.builtins[roleKey{kind, namespace, name}]
	return rules, ok
}

// A Subject is who asks, as the API server's authenticators name it.
type Subject struct {
	User   string
	Groups []string
}

// ServiceAccount is the subject that a pod of this account is.
func ServiceAccount(namespace, name string) Subject {
	return Subject{
		User:   "system:serviceaccount:" + namespace + ":" + name,
		Groups: []string{ServiceAccounts, ServiceAccounts + ":" + namespace, Authenticated},
	}
}

// A Grant is one rule that a subject has.
type Grant struct {
	Binding *evidence.Binding
	// Role is nil when what the binding leads to is not known; Rule then is, too.
	Role *Role
	Rule *rbacv1.PolicyRule
	// Namespace is where it holds, "" for the whole cluster.
	Namespace string
}

// Granted yields every rule that a subject has, by its name and by its groups,
// with the binding and the role that grant it, in the order of the snapshot. A
// binding to an unknown role yields one grant without a rule.
func (x *Index) Granted(s Subject) iter.Seq[Grant] {
	bindings := slices.Clone(x.bySubject[userPrefix+s.User])
	for _, g := range s.Groups {
		bindings = append(bindings, x.bySubject[groupPrefix+g]...)
	}
	slices.SortStableFunc(bindings, func(a, b *evidence.Binding) int { return cmp.Compare(a.ID, b.ID) })
	bindings = slices.Compact(bindings)
	return func(yield func(Grant) bool) {
		for _, b := range bindings {
			role := x.Role(b)
			if role == nil {
				if !yield(Grant{Binding: b, Namespace: b.Namespace}) {
					return
				}
				continue
			}
			for i := range role.Rules {
				if !yield(Grant{b, role, &role.Rules[i], b.Namespace}) {
					return
				}
			}
		}
	}
}

// collectBudget bounds the work and the memory of aggregation: to look at a role
// costs one, to collect a rule ruleCost. No cluster comes near it, but a file may.
const (
	collectBudget = 1 << 22
	ruleCost      = 16
)

// aggregate gives each aggregated role the rules of the roles that its selectors
// match, those of aggregated ones among them: what the aggregation controller
// arrives at when it has nothing more to do. It replaces the rules that such a
// role was written with. A role for which the budget is too small is forgotten:
// its content is not known.
func (x *Index) aggregate() {
	var all []*Role
	for key, r := range x.roles {
		if key.kind == "ClusterRole" {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *Role) int { return cmp.Compare(a.Name, b.Name) })
	budget := collectBudget
	collected := map[*Role][]rbacv1.PolicyRule{}
	for _, r := range all {
		if len(r.selectors) == 0 {
			continue
		}
		if collected[r] = collect(r, all, &budget); budget < 0 {
			delete(x.roles, roleKey{kind: r.Kind, name: r.Name})
		}
	}
	for r, rules := range collected {
		r.Rules = rules
	}
}

// collect gathers the rules of all roles that can be reached from r by selectors.
func collect(r *Role, all []*Role, budget *int) (rules []rbacv1.PolicyRule) {
	seen := map[*Role]bool{r: true}
	for queue := []*Role{r}; len(queue) > 0; queue = queue[1:] {
		for i := range queue[0].selectors {
			selector, err := metav1.LabelSelectorAsSelector(&queue[0].selectors[i])
			if err != nil {
				continue // the API server refuses the role
			}
			for _, other := range all {
				if *budget--; *budget < 0 {
					return nil
				}
				if seen[other] || !selector.Matches(other.labels) {
					continue
				}
				seen[other] = true
				if len(other.selectors) > 0 {
					queue = append(queue, other)
					continue
				}
				if *budget -= ruleCost * len(other.Rules); *budget < 0 {
					return nil
				}
				rules = append(rules, other.Rules...)
			}
		}
	}
	return rules
}
