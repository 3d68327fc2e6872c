package escalate_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/escalate"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/rbac"
)

var randomNamespaces = []string{"a", "b", "c"}

// random makes a cluster with random roles and bindings of rights that matter.
// Every binding is to be the n-th of the same seed, whatever n is.
func random(seed uint64, bindings int) *evidence.Snapshot {
	r := rand.New(rand.NewPCG(seed, 1))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	c := newCluster()
	for i, ns := range randomNamespaces {
		c.namespace(ns, []string{"", "baseline", "restricted"}[(i+int(seed))%3])
		for _, name := range []string{"one", "two"} {
			c.account(ns, name)
			c.workload(ns, name, name)
		}
	}
	rules := func() []rbacv1.PolicyRule {
		switch r.IntN(14) {
		case 0:
			return []rbacv1.PolicyRule{rule("", "serviceaccounts/token", "create", pick("one", "two"))}
		case 1:
			return []rbacv1.PolicyRule{rule("", "serviceaccounts/token", "create")}
		case 2:
			return []rbacv1.PolicyRule{rule("", "pods", "create")}
		case 3:
			return []rbacv1.PolicyRule{rule("", "secrets", "create")}
		case 4:
			return []rbacv1.PolicyRule{rule("", "secrets", pick("get", "list"))}
		case 5:
			return []rbacv1.PolicyRule{rule("", "serviceaccounts", "impersonate", "one")}
		case 6:
			return []rbacv1.PolicyRule{rule("", "pods/exec", pick("get", "create"))}
		case 7:
			return []rbacv1.PolicyRule{rule(rbacv1.GroupName, "clusterroles", "bind", pick("r1", "r2", "r3"))}
		case 8:
			return []rbacv1.PolicyRule{rule(rbacv1.GroupName, "rolebindings clusterrolebindings", pick("create", "update"))}
		case 9:
			return []rbacv1.PolicyRule{rule(rbacv1.GroupName, "clusterroles", pick("escalate", "patch"), pick("r1", "r2", "r3", "r4"))}
		case 10:
			return []rbacv1.PolicyRule{rule("", "namespaces", "patch", pick(randomNamespaces...))}
		case 11:
			return []rbacv1.PolicyRule{rule("", "persistentvolumes persistentvolumeclaims", "create")}
		case 12:
			return []rbacv1.PolicyRule{rule("", "nodes/proxy", "get")}
		}
		return []rbacv1.PolicyRule{rule("", "groups users", "impersonate", pick("g", "u"))}
	}
	for i := range 8 {
		c.clusterRole(fmt.Sprintf("r%d", i), append(rules(), rules()...)...)
	}
	c.bind("", "boss", "ClusterRole", "cluster-admin", account(pick(randomNamespaces...), "two"))
	for i := range bindings {
		role := fmt.Sprintf("r%d", r.IntN(8))
		var who rbacv1.Subject
		switch r.IntN(5) {
		case 0:
			who = rbacv1.Subject{Kind: rbacv1.GroupKind, Name: pick(rbac.ServiceAccounts+":a", rbac.ServiceAccounts, "g")}
		case 1:
			who = rbacv1.Subject{Kind: rbacv1.UserKind, Name: "u"}
		default:
			who = account(pick(randomNamespaces...), pick("one", "two"))
		}
		ns := pick("", "a", "b", "c", "a", "b", "c")
		c.bind(ns, fmt.Sprintf("b%d", i), "ClusterRole", role, who)
	}
	return c.snap
}

var randomTargets = []escalate.Target{escalate.ClusterAdmin, escalate.Node, "secrets:a", "serviceaccount:b:one"}

func graph(snap *evidence.Snapshot) (*escalate.Graph, *rbac.Index, []rbac.Subject) {
	index := rbac.NewIndex(snap)
	g := escalate.New(snap, index, evidence.Newest())
	return g, index, append(g.Starts(), append(g.Find("u"), g.Find("g")...)...)
}

// Paths hold in the index, and a binding more closes none.
func TestMoreRightsMorePaths(t *testing.T) {
	found := 0
	for seed := range uint64(150) {
		had := map[escalate.Target]map[string]int{}
		for bindings := range 9 {
			g, index, starts := graph(random(seed, bindings))
			for _, to := range randomTargets {
				paths, _ := g.Paths(starts, to, escalate.Options{})
				now := map[string]int{}
				for _, p := range paths {
					verify(t, g, index, p)
					now[p.From] = len(p.Hops)
					found++
				}
				for from, hops := range had[to] {
					if now[from] == 0 || now[from] > hops {
						t.Fatalf("seed %d: with binding %d the way from %s to %s went from %d to %d hops", seed, bindings, from, to, hops, now[from])
					}
				}
				had[to] = now
			}
		}
	}
	if found < 1000 {
		t.Errorf("only %d paths", found)
	}
}

// All paths begin with a shortest, none is given twice, and shorter ones come first.
func TestAllPaths(t *testing.T) {
	for seed := range uint64(40) {
		g, index, starts := graph(random(seed, 8))
		for _, to := range randomTargets {
			for _, from := range starts {
				one, _ := g.Paths([]rbac.Subject{from}, to, escalate.Options{})
				all, _ := g.Paths([]rbac.Subject{from}, to, escalate.Options{All: true, Limit: 50})
				if len(one) != min(1, len(all)) || len(one) > 0 && len(one[0].Hops) != len(all[0].Hops) {
					t.Fatalf("seed %d: the first of all paths is not a shortest: %v, %v", seed, chains(one), chains(all))
				}
				for i, p := range all {
					verify(t, g, index, p)
					if i > 0 && len(p.Hops) < len(all[i-1].Hops) {
						t.Fatalf("seed %d: %s after a longer one", seed, chain(p))
					}
					for _, other := range all[:i] {
						if cmp.Equal(p, other) {
							t.Fatalf("seed %d: twice: %s", seed, chain(p))
						}
					}
				}
			}
		}
	}
}

// Without the binding of its first hop the only path is closed.
func TestRemovedBindingCloses(t *testing.T) {
	closed := 0
	for seed := range uint64(100) {
		snap := random(seed, 6)
		g, _, starts := graph(snap)
		for _, from := range starts {
			all, _ := g.Paths([]rbac.Subject{from}, escalate.ClusterAdmin, escalate.Options{All: true})
			if len(all) != 1 {
				continue
			}
			less := *snap
			less.Bindings = slices.DeleteFunc(slices.Clone(snap.Bindings), func(b *evidence.Binding) bool {
				return b.Name == all[0].Hops[0].GrantedBy.Binding.Name
			})
			h, _, _ := graph(&less)
			if left, _ := h.Paths([]rbac.Subject{from}, escalate.ClusterAdmin, escalate.Options{}); len(left) > 0 {
				// What the binding was one of several to give is given by the others.
				if len(left[0].Hops) == len(all[0].Hops) && left[0].Hops[0].Technique == all[0].Hops[0].Technique {
					continue
				}
				t.Fatalf("seed %d: %s, and without its binding %s", seed, chain(all[0]), chain(left[0]))
			}
			closed++
		}
	}
	if closed < 20 {
		t.Errorf("only %d paths closed", closed)
	}
}

// A search that knows few techniques and does them one by one finds the same
// subjects.
func TestAgainstSearch(t *testing.T) {
	for seed := range uint64(300) {
		snap := plain(seed)
		g, index, starts := graph(snap)
		paths, _ := g.Paths(starts, escalate.ClusterAdmin, escalate.Options{})
		got := map[string]int{}
		for _, p := range paths {
			got[p.From] = len(p.Hops)
		}
		for _, from := range starts {
			if want := walk(snap, index, from); got[escalate.Name(from)] != want {
				t.Fatalf("seed %d: %s: %d hops, want %d", seed, escalate.Name(from), got[escalate.Name(from)], want)
			}
		}
	}
}

// plain is a random cluster in which only the techniques of walk work.
func plain(seed uint64) *evidence.Snapshot {
	r := rand.New(rand.NewPCG(seed, 2))
	c := newCluster()
	for _, ns := range randomNamespaces {
		c.namespace(ns, "restricted")
		for _, name := range []string{"one", "two", "three"} {
			c.account(ns, name)
			c.workload(ns, name, name)
		}
	}
	for i, rules := range [][]rbacv1.PolicyRule{
		{rule("", "serviceaccounts/token", "create", "one")}, {rule("", "serviceaccounts/token", "create", "three")},
		{rule("", "pods", "create")}, {rule("", "secrets", "create")}, {rule("", "secrets", "get", "x")}, {rule("", "pods/exec", "create")},
		{rule("", "serviceaccounts", "impersonate", "two")}, {rule("", "pods", "get list watch")},
	} {
		c.clusterRole(fmt.Sprintf("r%d", i), rules...)
	}
	c.bind("", "boss", "ClusterRole", "cluster-admin", account("a", "two"))
	for i := range 5 + r.IntN(6) {
		ns := randomNamespaces[r.IntN(3)]
		if r.IntN(6) == 0 {
			ns = ""
		}
		who := account(randomNamespaces[r.IntN(3)], []string{"one", "two", "three"}[r.IntN(3)])
		switch r.IntN(6) {
		case 0:
			who = rbacv1.Subject{Kind: rbacv1.GroupKind, Name: []string{rbac.ServiceAccounts + ":b", rbac.Authenticated}[r.IntN(2)]}
		case 1:
			who = rbacv1.Subject{Kind: rbacv1.UserKind, Name: "u"}
		}
		c.bind(ns, fmt.Sprintf("b%d", i), "ClusterRole", fmt.Sprintf("r%d", r.IntN(8)), who)
	}
	return c.snap
}

func walk(snap *evidence.Snapshot, index *rbac.Index, from rbac.Subject) int {
	may := func(s rbac.Subject, verb, resource, ns, name string) bool {
		for g := range index.Granted(s) {
			if g.Rule != nil && (g.Namespace == "" || g.Namespace == ns) && rbac.Allows(g.Rule, rbac.Request{Verb: verb, Resource: resource, Name: name}) {
				return true
			}
		}
		return false
	}
	seen := map[string]bool{escalate.Name(from): true}
	frontier := []rbac.Subject{from}
	for hops := 1; len(frontier) > 0; hops++ {
		var next []rbac.Subject
		for _, s := range frontier {
			for g := range index.Granted(s) {
				if g.Namespace == "" && g.Rule != nil && rbac.Allows(g.Rule, rbac.Request{Verb: "*", Group: "*", Resource: "*"}) {
					return hops
				}
			}
			for _, sa := range snap.ServiceAccounts {
				to := rbac.ServiceAccount(sa.Namespace, sa.Name)
				if seen[to.User] {
					continue
				}
				if may(s, "create", "serviceaccounts/token", sa.Namespace, sa.Name) || may(s, "create", "pods", sa.Namespace, "") ||
					may(s, "create", "pods/exec", sa.Namespace, "") || may(s, "impersonate", "serviceaccounts", sa.Namespace, sa.Name) ||
					may(s, "create", "secrets", sa.Namespace, "") && may(s, "get", "secrets", sa.Namespace, "x") {
					seen[to.User] = true
					next = append(next, to)
				}
			}
		}
		frontier = next
	}
	return 0
}
