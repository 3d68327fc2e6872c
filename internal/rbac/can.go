package rbac

import (
	"cmp"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// Can decides whether a subject may do something in a namespace, "" for a request
// that is in none: about a resource of the whole cluster, about the objects of all
// namespaces, or about a URL path. It decides as the API server's RBAC authorizer
// does (k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac) and returns the rule by
// which it allowed: the first in the order of the snapshot, one that holds
// everywhere before one of the namespace. The grant is empty for members of
// system:masters, whom the API server lets do everything before it asks RBAC.
func (x *Index) Can(s Subject, q Request, namespace string) (Grant, bool) {
	if slices.Contains(s.Groups, Masters) {
		return Grant{}, true
	}
	if q.Path != "" {
		namespace = ""
	}
	var local Grant
	for g := range x.Granted(s) {
		switch {
		case g.Rule == nil || !Allows(g.Rule, q):
		case g.Namespace == "":
			return g, true
		case g.Namespace == namespace && local.Rule == nil:
			local = g
		}
	}
	return local, local.Rule != nil
}

// Namespaces returns, sorted, the namespaces in which bindings of their own let a
// subject do something: where it may although it may not everywhere.
func (x *Index) Namespaces(s Subject, q Request) (list []string) {
	for g := range x.Granted(s) {
		if g.Namespace != "" && q.Path == "" && g.Rule != nil && Allows(g.Rule, q) {
			list = append(list, g.Namespace)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Unknown returns the bindings of a subject that hold in a namespace and lead to
// a role whose content is not known: they grant nothing if there is no such role,
// and anything if there is.
func (x *Index) Unknown(s Subject, namespace string) (list []*evidence.Binding) {
	for g := range x.Granted(s) {
		if g.Role == nil && (g.Namespace == "" || g.Namespace == namespace) {
			list = append(list, g.Binding)
		}
	}
	return list
}

// RuleIndex is the place of the grant's rule among those of its role, -1 for a
// grant without a rule.
func (g Grant) RuleIndex() int {
	if g.Rule == nil {
		return -1
	}
	for i := range g.Role.Rules {
		if &g.Role.Rules[i] == g.Rule {
			return i
		}
	}
	return -1
}

// NewSubject returns who a user name and groups are to the authorizer: an account's
// name brings the groups of accounts, and everyone is authenticated but
// system:anonymous.
func NewSubject(user string, groups ...string) Subject {
	namespace, name, account := SplitAccount(user)
	switch {
	case account:
		groups = append(slices.Clone(groups), ServiceAccount(namespace, name).Groups...)
	case user == Anonymous:
		groups = append(slices.Clone(groups), Unauthenticated)
	default:
		groups = append(slices.Clone(groups), Authenticated)
	}
	slices.Sort(groups)
	return Subject{User: user, Groups: slices.Compact(groups)}
}

// Member returns who somebody is of whom only the group is known, and further ones
// as given: no user that a binding could name.
func Member(group string, groups ...string) Subject {
	groups = append(slices.Clone(groups), group)
	if strings.HasPrefix(group, ServiceAccounts+":") {
		groups = append(groups, ServiceAccounts)
	}
	if group != Unauthenticated {
		groups = append(groups, Authenticated)
	}
	slices.Sort(groups)
	return Subject{Groups: slices.Compact(groups)}
}

// Subject returns who a name means, as bindings use it: a user, or, when they have
// it for groups only, somebody of whom only that group is known. The groups are
// further ones that are given.
func (x *Index) Subject(name string, groups ...string) (s Subject, isGroup bool) {
	isGroup = name == Masters || name == Authenticated || name == Unauthenticated ||
		name == ServiceAccounts || strings.HasPrefix(name, ServiceAccounts+":") || len(x.bySubject[groupPrefix+name]) > 0
	if isGroup && len(x.bySubject[userPrefix+name]) == 0 {
		return Member(name, groups...), true
	}
	return NewSubject(name, groups...), false
}

// Names reports whether some binding names a user, a group, or the ServiceAccount
// of a user name.
func (x *Index) Names(name string) bool {
	return len(x.bySubject[userPrefix+name])+len(x.bySubject[groupPrefix+name]) > 0
}

// compareGrants orders by reach, then by the snapshot.
func compareGrants(a, b Grant) int {
	return cmp.Or(
		cmp.Compare(min(len(a.Namespace), 1), min(len(b.Namespace), 1)),
		cmp.Compare(a.Binding.ID, b.Binding.ID),
	)
}
