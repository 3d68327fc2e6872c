package escalate_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gabion-k8s/gabion/internal/escalate"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/rbac"
)

// large is a cluster of 2,000 namespaces with five ServiceAccounts each, 20,000
// pods and 5,000 bindings.
func large() *evidence.Snapshot {
	const namespaces, accounts, bindings = 2000, 5, 5000
	c := newCluster()
	c.clusterRole("reader", rule("", "configmaps pods services", "get list watch"))
	c.clusterRole("builder", rule("", "pods", "create"), rule("", "secrets", "get"))
	c.clusterRole("secrets", rule("", "secrets", "list"))
	c.clusterRole("tokens", rule("", "serviceaccounts/token", "create"))
	roles := []string{"reader", "view", "edit", "reader", "admin", "secrets", "builder", "tokens", "reader", "view"}
	for i := range namespaces {
		ns := fmt.Sprintf("team-%04d", i)
		c.namespace(ns, []string{"", "baseline", "restricted"}[i%3])
		for j := range accounts {
			name := fmt.Sprintf("sa-%d", j)
			c.account(ns, name)
			c.workload(ns, name, name)
			c.workload(ns, "more-"+name, name)
		}
	}
	for i := range bindings - 10 {
		from := fmt.Sprintf("team-%04d", i*7%namespaces)
		c.bind(fmt.Sprintf("team-%04d", i%namespaces), fmt.Sprintf("b-%d", i), "ClusterRole", roles[i%len(roles)],
			account(from, fmt.Sprintf("sa-%d", i%accounts)))
	}
	for i := range 10 {
		c.bind("", fmt.Sprintf("c-%d", i), "ClusterRole", []string{"cluster-admin", "reader", "builder", "tokens", "view"}[i%5], account(fmt.Sprintf("team-%04d", 150*i+1), "sa-3"))
	}
	return c.snap
}

func TestLarge(t *testing.T) {
	snap := large()
	index := rbac.NewIndex(snap)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begin := time.Now()
	g := escalate.New(snap, index, evidence.Newest())
	paths, _ := g.Paths(g.Starts(), escalate.ClusterAdmin, escalate.Options{})
	took := time.Since(begin)
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d paths of %d starts in %s, %d MB kept", len(paths), len(g.Starts()), took, (int64(after.HeapAlloc)-int64(before.HeapAlloc))>>20)
	if len(paths) < 100 {
		t.Errorf("only %d paths", len(paths))
	}
	for _, p := range paths[:50] {
		verify(t, g, index, p)
	}
}

// BenchmarkPaths is every default start of a large cluster to each target.
func BenchmarkPaths(b *testing.B) {
	snap := large()
	index := rbac.NewIndex(snap)
	for _, to := range []escalate.Target{escalate.ClusterAdmin, escalate.Node, "secrets:team-0001", "serviceaccount:team-0001:sa-3"} {
		b.Run(string(to), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g := escalate.New(snap, index, evidence.Newest())
				g.Paths(g.Starts(), to, escalate.Options{})
			}
		})
	}
}

// A cluster that is made in Go.
type cluster struct{ snap *evidence.Snapshot }

func newCluster() *cluster {
	return &cluster{&evidence.Snapshot{Cluster: &evidence.Cluster{Name: "made"}}}
}

func (c *cluster) add(apiVersion, kind, ns, name string, object any) *evidence.Ref {
	ref := &evidence.Ref{APIVersion: apiVersion, Kind: kind, Namespace: ns, Name: name}
	c.snap.Add(ref, object)
	return ref
}

func (c *cluster) namespace(name, level string) {
	ns := &corev1.Namespace{}
	ref := c.add("v1", "Namespace", "", name, ns)
	if level != "" {
		ref.Labels = map[string]string{"pod-security.kubernetes.io/enforce": level}
	}
}

func (c *cluster) account(ns, name string) {
	c.add("v1", "ServiceAccount", ns, name, &corev1.ServiceAccount{})
}

func (c *cluster) workload(ns, name, account string) {
	pod := &corev1.PodSpec{ServiceAccountName: account, Containers: []corev1.Container{{Name: "main"}}}
	c.add("apps/v1", "Deployment", ns, name, []*evidence.Workload{{Pod: pod, Running: 1}})
}

func rule(group, resources, verbs string, names ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: words(resources), Verbs: words(verbs), ResourceNames: names}
}

func (c *cluster) clusterRole(name string, rules ...rbacv1.PolicyRule) {
	c.add("rbac.authorization.k8s.io/v1", "ClusterRole", "", name, &rbacv1.ClusterRole{Rules: rules})
}

func account(ns, name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: ns, Name: name}
}

func (c *cluster) bind(ns, name, kind, role string, subjects ...rbacv1.Subject) {
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: role}
	if ns == "" {
		c.add("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "", name, &rbacv1.ClusterRoleBinding{Subjects: subjects, RoleRef: ref})
		return
	}
	c.add("rbac.authorization.k8s.io/v1", "RoleBinding", ns, name, &rbacv1.RoleBinding{Subjects: subjects, RoleRef: ref})
}
