// Package rbac answers who may do what, and by which binding, from Roles,
// ClusterRoles and their bindings. It resolves aggregation, groups and the
// defaults of the API server, and knows the content of the roles that the API
// server makes by itself. It does not search chains of escalation, and knows
// nothing of rights that come from elsewhere: certificates, the Node authorizer,
// webhooks, or bindings that are not in the snapshot.
package rbac

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

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
	// Inherited are the rules that the role collects from those that the API server
	// makes, being none of them itself.
	Inherited []rbacv1.PolicyRule

	labels    labels.Set
	selectors []metav1.LabelSelector // of the aggregation rule
	collected map[string]bool        // what it collects, by ruleText
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
	cluster   *evidence.Cluster // nil for files
}

// NewIndex reads the roles and bindings of a snapshot. Files say nothing of the roles
// that the API server makes by itself: they are added, with the content they have in
// the newest release. A live cluster lists them, and is taken at its word: its roles
// have the rules they were read with, collected ones included, and a built-in role
// that was asked for and is not there does not exist. Where nobody could ask, it
// stands in with what the API server makes.
func NewIndex(snap *evidence.Snapshot) *Index {
	x := &Index{
		roles:     map[roleKey]*Role{},
		builtins:  map[roleKey][]rbacv1.PolicyRule{},
		bySubject: map[string][]*evidence.Binding{},
		byRole:    map[roleKey][]*evidence.Binding{},
		cluster:   snap.Cluster,
	}
	builtins := builtinRoles(versionOf(snap))
	for key, r := range builtins {
		x.builtins[key] = slices.Clone(r.Rules)
		if snap.Cluster == nil {
			x.roles[key] = r
		}
	}
	for _, o := range snap.ClusterRoles {
		x.addClusterRole(o.Value, o.Ref)
	}
	for _, o := range snap.Roles {
		r := x.role(roleKey{"Role", o.Namespace, o.Name})
		r.Rules, r.Refs = append(r.Rules, o.Value.Rules...), append(r.Refs, o.Ref)
	}
	x.collect(snap.Cluster != nil)
	for key, r := range builtins {
		if snap.Cluster != nil && x.roles[key] == nil && !x.listed(key) {
			x.roles[key] = r
		}
	}
	for _, b := range snap.Bindings {
		x.addBinding(b)
	}
	return x
}

// versionOf is the version of a live cluster, or the newest.
func versionOf(snap *evidence.Snapshot) evidence.Version {
	if snap.Cluster != nil {
		if v, err := evidence.ParseVersion(snap.Cluster.Version); err == nil {
			return v
		}
	}
	return evidence.Newest()
}

func (x *Index) role(key roleKey) *Role {
	r := x.roles[key]
	if r == nil {
		_, builtIn := x.builtins[key]
		r = &Role{Kind: key.kind, Namespace: key.namespace, Name: key.name, BuiltIn: builtIn}
		x.roles[key] = r
	}
	return r
}

// listed reports whether all roles of a kind were read in a namespace of a cluster.
func (x *Index) listed(key roleKey) bool {
	resource := strings.ToLower(key.kind) + "s." + rbacGroup
	return x.cluster != nil && slices.ContainsFunc(x.cluster.Lists, func(l evidence.Listing) bool {
		return l.Resource == resource && l.Error == "" && (l.Namespace == "" || l.Namespace == key.namespace)
	})
}

// Lost reports whether the role that a binding leads to is known not to exist: then
// it grants nothing, until somebody makes that role.
func (x *Index) Lost(b *evidence.Binding) bool { return x.Role(b) == nil && x.listed(keyOf(b)) }

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

// collect works out what the aggregated roles collect. In files that replaces the
// rules that such a role was written with, as the aggregation controller would; a
// role for which the budget is too small is forgotten: its content is not known. In a
// live cluster the controller has been there, and the rules stay as they were read.
func (x *Index) collect(live bool) {
	for _, c := range aggregate(x.roles) {
		r := c.role
		if c.tooMany && !live {
			delete(x.roles, roleKey{kind: r.Kind, name: r.Name})
		}
		if len(r.Refs) > 0 {
			r.collected = make(map[string]bool, len(c.rules))
			for i := range c.rules {
				r.collected[ruleText(&c.rules[i])] = true
			}
		}
		if !r.BuiltIn {
			r.Inherited = c.inherited
		}
		if !live {
			r.Rules = c.rules
		}
	}
}

// Collects reports whether an aggregated ClusterRole that an object writes has a rule
// because another role of the snapshot, or a built-in one, has it.
func (x *Index) Collects(ref *evidence.Ref, rule *rbacv1.PolicyRule) bool {
	r := x.roles[roleKey{kind: ref.Kind, name: ref.Name}]
	return r != nil && r.Kind == "ClusterRole" && r.collected[ruleText(rule)]
}

// ruleText tells rules apart.
func ruleText(r *rbacv1.PolicyRule) string {
	return fmt.Sprintf("%q", [][]string{r.Verbs, r.APIGroups, r.Resources, r.ResourceNames, r.NonResourceURLs})
}

// A collection is what an aggregated role collects.
type collection struct {
	role *Role
	// rules are all of it, inherited those that stem from built-in roles.
	rules, inherited []rbacv1.PolicyRule
	// tooMany is set when the budget was too small, and the rest is missing.
	tooMany bool
}

// aggregate collects for each aggregated role the rules of the roles that its
// selectors match, those of aggregated ones among them: what the aggregation
// controller arrives at when it has nothing more to do.
func aggregate(roles map[roleKey]*Role) []collection {
	var all []*Role
	for key, r := range roles {
		if key.kind == "ClusterRole" {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *Role) int { return cmp.Compare(a.Name, b.Name) })
	budget := collectBudget
	var collections []collection
	for _, r := range all {
		if len(r.selectors) > 0 {
			c := collection{role: r}
			c.gather(all, &budget)
			collections = append(collections, c)
		}
	}
	return collections
}

// gather adds the rules of all roles that can be reached from c.role by selectors.
func (c *collection) gather(all []*Role, budget *int) {
	seen := map[*Role]bool{c.role: true}
	for queue := []*Role{c.role}; len(queue) > 0; queue = queue[1:] {
		for i := range queue[0].selectors {
			selector, err := metav1.LabelSelectorAsSelector(&queue[0].selectors[i])
			if err != nil {
				continue // the API server refuses the role
			}
			for _, other := range all {
				if *budget--; *budget < 0 {
					c.tooMany = true
					return
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
					c.tooMany = true
					return
				}
				c.rules = append(c.rules, other.Rules...)
				if other.BuiltIn {
					c.inherited = append(c.inherited, other.Rules...)
				}
			}
		}
	}
}
