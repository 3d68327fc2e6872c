package escalate_test

import (
	"fmt"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gabion-k8s/gabion/internal/escalate"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/rbac"
)

// Rights that everybody has in many namespaces, and many names in one rule, take
// no more than time that grows with their number.
func TestHostile(t *testing.T) {
	if testing.Short() {
		t.Skip("large clusters")
	}
	everybody := rbacv1.Subject{Kind: rbacv1.GroupKind, Name: rbac.ServiceAccounts}
	authenticated := rbacv1.Subject{Kind: rbacv1.GroupKind, Name: rbac.Authenticated}
	var names []string
	for i := range 300 {
		names = append(names, fmt.Sprintf("role-%d", i))
	}
	for name, fill := range map[string]func(c *cluster, ns string){
		"admin everywhere": func(c *cluster, ns string) {
			c.bind(ns, "admin", "ClusterRole", "admin", everybody)
		},
		"halves": func(c *cluster, ns string) {
			c.bind(ns, "one", "ClusterRole", "one", everybody)
			c.bind(ns, "two", "ClusterRole", "two", authenticated)
		},
		"binders": func(c *cluster, ns string) {
			c.bind(ns, "binder", "ClusterRole", "binder", everybody)
		},
		"escalators": func(c *cluster, ns string) {
			c.bind(ns, "escalator", "ClusterRole", "escalator", everybody)
			c.bind(ns, "two", "ClusterRole", "two", authenticated)
		},
		"everything": func(c *cluster, ns string) {
			c.bind(ns, "all", "ClusterRole", "cluster-admin", account(ns, "sa-0"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster()
			c.clusterRole("one", rule("", "secrets persistentvolumeclaims", "create"))
			c.clusterRole("two", rule("", "secrets", "get"))
			c.clusterRole("binder", rule(rbacv1.GroupName, "clusterroles", "bind", names...), rule(rbacv1.GroupName, "rolebindings", "create"))
			c.clusterRole("escalator", rule(rbacv1.GroupName, "roles", "escalate patch"))
			for _, r := range names {
				c.clusterRole(r, rule("", "pods secrets", "create get list"))
			}
			for i := range 300 {
				ns := fmt.Sprintf("ns-%d", i)
				c.namespace(ns, "")
				for j := range 5 {
					c.account(ns, fmt.Sprintf("sa-%d", j))
					c.workload(ns, fmt.Sprintf("sa-%d", j), fmt.Sprintf("sa-%d", j))
				}
				fill(c, ns)
			}
			c.bind("", "boss", "ClusterRole", "cluster-admin", account("ns-150", "sa-3"))
			begin := time.Now()
			index := rbac.NewIndex(c.snap)
			g := escalate.New(c.snap, index, evidence.Newest())
			paths, cut := g.Paths(g.Starts(), escalate.ClusterAdmin, escalate.Options{})
			some := g.Starts()[:3]
			all, cutAll := g.Paths(some, escalate.ClusterAdmin, escalate.Options{All: true, Limit: 50})
			took := time.Since(begin)
			t.Logf("%d paths, cut %t, %d of all, cut %t, %s", len(paths), cut, len(all), cutAll, took)
			if took > 20*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}
