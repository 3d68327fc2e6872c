package rbac

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
)

// A Holder is a subject of a binding, and the rule that lets it do what was asked.
type Holder struct {
	// Kind is User, Group or ServiceAccount. A user that a binding calls by the name
	// of a ServiceAccount is that account.
	Kind, Namespace, Name string
	// Grant is empty for system:masters when no binding names it: it needs none.
	Grant Grant
}

// String names the subject as the API server does.
func (h Holder) String() string {
	if h.Kind == rbacv1.ServiceAccountKind {
		return ServiceAccount(h.Namespace, h.Name).User
	}
	return h.Name
}

// WhoCan returns every subject of a binding that Can would allow a request in a
// namespace, each once, with the rule that decides: those that may everywhere
// first, then in the order of the snapshot. A group stands for its members, who
// are not listed. system:masters is always the first.
func (x *Index) WhoCan(q Request, namespace string) []Holder {
	if q.Path != "" {
		namespace = ""
	}
	return x.holders(q, func(in string) bool { return in == namespace }, func(Holder) string { return "" })
}

// WhoCanAnywhere is WhoCan for every namespace at once: a subject that may only in
// some namespaces is there for each of them.
func (x *Index) WhoCanAnywhere(q Request) []Holder {
	return x.holders(q, func(string) bool { return q.Path == "" }, func(h Holder) string { return h.Grant.Namespace })
}

// holders goes through the bindings of the whole cluster and those of the
// namespaces that count. A subject is listed once for each value that apart
// gives, and only once if it may everywhere.
func (x *Index) holders(q Request, counts func(namespace string) bool, apart func(Holder) string) []Holder {
	list := []Holder{{Kind: rbacv1.GroupKind, Name: Masters}}
	type entry struct{ subject, apart string }
	everywhere := entry{subject: groupPrefix + Masters}
	seen := map[entry]bool{everywhere: true}
	for _, g := range x.grantsOf(q) {
		if g.Namespace != "" && !counts(g.Namespace) {
			continue
		}
		for _, s := range g.Binding.Subjects {
			e := entry{subject: subjectKey(s, g.Namespace)}
			if e == everywhere && g.Namespace == "" && list[0].Grant.Binding == nil {
				list[0].Grant = g
			}
			if e.subject == "" || seen[e] {
				continue
			}
			h := holder(e.subject)
			h.Grant = g
			e.apart = apart(h)
			if !seen[e] {
				seen[e] = true
				list = append(list, h)
			}
		}
	}
	return list
}

// grantsOf returns, of every binding whose role allows a request, the first rule
// that does: those of the whole cluster first, then in the order of the snapshot.
func (x *Index) grantsOf(q Request) (list []Grant) {
	for key, bindings := range x.byRole {
		role := x.roles[key]
		if role == nil {
			continue
		}
		i := slices.IndexFunc(role.Rules, func(r rbacv1.PolicyRule) bool { return Allows(&r, q) })
		if i < 0 {
			continue
		}
		for _, b := range bindings {
			if x.Role(b) != nil {
				list = append(list, Grant{b, role, &role.Rules[i], b.Namespace})
			}
		}
	}
	slices.SortFunc(list, compareGrants)
	return list
}

// holder is the subject that a key of the index stands for.
func holder(key string) Holder {
	if name, ok := strings.CutPrefix(key, groupPrefix); ok {
		return Holder{Kind: rbacv1.GroupKind, Name: name}
	}
	user := strings.TrimPrefix(key, userPrefix)
	if namespace, name, ok := SplitAccount(user); ok {
		return Holder{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}
	}
	return Holder{Kind: rbacv1.UserKind, Name: user}
}

const accountPrefix = "system:serviceaccount:"

// SplitAccount takes the user name of a ServiceAccount apart, and reports whether
// it is one.
func SplitAccount(user string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(user, accountPrefix)
	if !ok {
		return "", "", false
	}
	namespace, name, ok = strings.Cut(rest, ":")
	if !ok || namespace == "" || name == "" || strings.Contains(name, ":") {
		return "", "", false
	}
	return namespace, name, true
}
