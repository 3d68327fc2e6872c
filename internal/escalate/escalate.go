// Package escalate searches chains of escalation: which subject can become which
// other, by which permission and binding, and why that works, until it may do
// everything, is root on a node, reads the Secrets of a namespace or is a given
// ServiceAccount. It knows the ways in which the API server, its controllers and
// well-known operators turn a right into another identity, and the guards that
// close some of them (Technique has the list).
//
// It sees objects only. What their programs, the network or a flag of the API
// server allow or forbid is not known here, and the rights of different
// identities on the way are not added up: every hop needs no more than the rights
// of the one it starts from.
package escalate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/rbac"
)

// A Path is one chain from a subject to a target.
type Path struct {
	From string `json:"from"`
	To   string `json:"to"`
	Hops []Hop  `json:"hops"`
}

// A Hop is one step: who is From can be To.
type Hop struct {
	// From and To are users and groups as the API server writes them, or targets.
	From string `json:"from"`
	To   string `json:"to"`
	// Technique is the ID of a Technique.
	Technique string `json:"technique"`
	// Why says in a sentence why it works, and what about it was not seen.
	Why string `json:"why"`
	// Permission is the request that makes the hop, empty where none is needed: who
	// is root on a node asks nobody.
	Permission Permission `json:"permission"`
	GrantedBy  GrantedBy  `json:"grantedBy"`
	// Also are the other permissions that it takes.
	Also []Grant `json:"also,omitempty"`
	// ClosedBy is the guard that refuses the hop, "" when none is seen to.
	ClosedBy string `json:"closedBy,omitempty"`
}

// A Permission is a request that the API server's authorizer is asked about.
type Permission struct {
	Verb     string `json:"verb"`
	APIGroup string `json:"apiGroup"`
	// Resource has its subresource: pods/exec.
	Resource  string `json:"resource"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// GrantedBy is the binding that gives a permission, and the role and the rule in
// it; empty when none does, as for the members of system:masters.
type GrantedBy struct {
	Binding Object `json:"binding"`
	Role    Object `json:"role"`
	// Rule is the index of the rule in the role.
	Rule int `json:"rule"`
}

// An Object names an object.
type Object struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// A Grant is a permission and where it comes from.
type Grant struct {
	Permission Permission `json:"permission"`
	GrantedBy  GrantedBy  `json:"grantedBy"`
}

// A Target is what an attacker is after: ClusterAdmin, Node, or one of the kinds
// that ParseTarget reads.
type Target string

// The targets that stand for themselves.
const (
	// ClusterAdmin is to be allowed everything.
	ClusterAdmin Target = "cluster-admin"
	// Node is to be root on some node.
	Node Target = "node"
)

const (
	secretsPrefix = "secrets:"
	accountPrefix = "serviceaccount:"
	// userAccountPrefix begins the user names of ServiceAccounts.
	userAccountPrefix = "system:serviceaccount:"
	nodesGroup        = "system:nodes"
	nodePrefix        = "system:node:" // of the user names of kubelets
)

// ParseTarget reads a target: cluster-admin, node, secrets:NAMESPACE (to read
// every Secret of a namespace) or serviceaccount:NAMESPACE:NAME.
func ParseTarget(s string) (Target, error) {
	t := Target(s)
	if t == ClusterAdmin || t == Node {
		return t, nil
	}
	if ns, ok := strings.CutPrefix(s, secretsPrefix); ok && ns != "" && !strings.Contains(ns, ":") {
		return t, nil
	}
	if rest, ok := strings.CutPrefix(s, accountPrefix); ok {
		ns, name, ok := strings.Cut(rest, ":")
		if ok && ns != "" && name != "" && !strings.Contains(name, ":") {
			return t, nil
		}
	}
	return "", fmt.Errorf("target %q: want cluster-admin, node, secrets:NAMESPACE or serviceaccount:NAMESPACE:NAME", s)
}

// Options say how many paths are wanted.
type Options struct {
	// All asks for every minimal path of each start, not only for a shortest: those
	// of which no hop can be left out with the rights that they take. Who takes a
	// right of each away leaves none.
	All bool
	// Limit is the most paths given for each start with All; zero means 20.
	Limit int
	// Closed asks instead for starts without a path for one that a guard closes.
	Closed bool
}

const defaultLimit = 20

// A Graph answers from which subject one can become which. It is built of what
// subjects may do, not of who can become whom, so that it grows with the
// bindings. It is not safe for concurrent use.
type Graph struct {
	*world
	*rights
	searches map[searchKey]*search
}

// New prepares the graph of a snapshot. The version of Kubernetes decides which
// requests the API server lets through.
func New(snap *evidence.Snapshot, index *rbac.Index, version evidence.Version) *Graph {
	w := newWorld(snap, version)
	return &Graph{world: w, rights: newRights(w, index), searches: map[searchKey]*search{}}
}

// Starts are the subjects that are asked about by default, sorted: the
// ServiceAccounts that workloads run as, whoever is not authenticated, and
// whoever is.
func (g *Graph) Starts() []rbac.Subject {
	seen := map[account]bool{}
	for _, w := range g.snap.Workloads {
		if w.Namespace != "" {
			seen[accountOf(w)] = true
		}
	}
	var list []rbac.Subject
	for a := range seen {
		list = append(list, rbac.ServiceAccount(a.namespace, a.name))
	}
	list = append(list, anonymous(), rbac.Subject{Groups: []string{rbac.Authenticated}})
	slices.SortFunc(list, func(a, b rbac.Subject) int { return cmp.Compare(Name(a), Name(b)) })
	return list
}

func anonymous() rbac.Subject {
	return rbac.Subject{User: rbac.Anonymous, Groups: []string{rbac.Unauthenticated}}
}

// Name is how a subject is written: its user, or else its first group.
func Name(s rbac.Subject) string {
	if s.User != "" || len(s.Groups) == 0 {
		return s.User
	}
	return s.Groups[0]
}

// Find returns the subjects that a name can mean: a ServiceAccount's by its user
// name, a kubelet's by its own, the group when only bindings of groups use the name, both a user and a
// group when bindings use it for both, and else a user.
func (g *Graph) Find(name string) []rbac.Subject {
	if ns, account, ok := splitAccount(name); ok {
		return []rbac.Subject{rbac.ServiceAccount(ns, account)}
	}
	switch name {
	case rbac.Anonymous:
		return []rbac.Subject{anonymous()}
	case rbac.Unauthenticated, rbac.Authenticated:
		return []rbac.Subject{{Groups: []string{name}}}
	}
	if strings.HasPrefix(name, nodePrefix) {
		return []rbac.Subject{{User: name, Groups: []string{nodesGroup, rbac.Authenticated}}}
	}
	var list []rbac.Subject
	group := g.principals[principalKey{true, name}] != nil || name == rbac.Masters || name == nodesGroup || strings.HasPrefix(name, rbac.ServiceAccounts)
	if !group || g.principals[principalKey{false, name}] != nil {
		list = append(list, rbac.Subject{User: name, Groups: []string{rbac.Authenticated}})
	}
	if group {
		list = append(list, groupSubject(name))
	}
	return list
}

// groupSubject is somebody who is known to be in a group.
func groupSubject(name string) rbac.Subject {
	s := rbac.Subject{Groups: []string{name}}
	switch {
	case name == rbac.Authenticated || name == rbac.Unauthenticated:
	case strings.HasPrefix(name, rbac.ServiceAccounts+":"):
		s.Groups = append(s.Groups, rbac.ServiceAccounts, rbac.Authenticated)
	default:
		s.Groups = append(s.Groups, rbac.Authenticated)
	}
	return s
}

func splitAccount(user string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(user, userAccountPrefix)
	if !ok {
		return "", "", false
	}
	namespace, name, ok = strings.Cut(rest, ":")
	return namespace, name, ok && namespace != "" && name != "" && !strings.Contains(name, ":")
}

// Paths returns the paths from each subject to a target, those of the first
// subject first, and shorter ones before longer. A subject that is the target has
// none. The second result is set when there are more than the limit, or may be.
func (g *Graph) Paths(from []rbac.Subject, to Target, o Options) (paths []Path, cut bool) {
	starts := make([]*state, len(from))
	for i, s := range from {
		starts[i] = g.start(s)
	}
	open := g.search(to, false)
	for _, start := range starts {
		if o.Closed {
			if open.best(start).hops < 0 {
				paths = append(paths, g.shortest(g.search(to, true), start)...)
			}
			continue
		}
		if !o.All {
			paths = append(paths, g.shortest(open, start)...)
			continue
		}
		more, c := g.minimal(open, start, cmp.Or(o.Limit, defaultLimit))
		paths, cut = append(paths, more...), cut || c
	}
	return paths, cut || g.full
}
