package checks_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// freshCluster is what a cluster of a release serves of roles and bindings when
// kubeadm has made it and nobody has touched it, read from the tables of rbac without
// its help. It has no accounts of controllers.
func freshCluster(t *testing.T, minor int) *evidence.Snapshot {
	t.Helper()
	snap := &evidence.Snapshot{Cluster: &evidence.Cluster{Version: fmt.Sprintf("v1.%d.2", minor)}}
	for _, resource := range []string{"clusterroles", "roles"} {
		snap.Cluster.Lists = append(snap.Cluster.Lists, evidence.Listing{Resource: resource + ".rbac.authorization.k8s.io"})
	}
	for _, name := range []string{"kube-system", "kube-public"} {
		addServed(snap, "Namespace", &metav1.ObjectMeta{Name: name})
	}
	for _, name := range []string{"coredns", "kube-proxy"} {
		addServed(snap, "ServiceAccount", &metav1.ObjectMeta{Namespace: "kube-system", Name: name})
	}
	aggregated := map[string]*rbacv1.ClusterRole{}
	var parts []*rbacv1.ClusterRole
	for _, file := range []string{"builtin", "kubeadm"} {
		text, err := os.ReadFile("../rbac/" + file + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range strings.Split(string(text), "\n\n") {
			kind, object := served(block, minor)
			if role, ok := object.(*rbacv1.ClusterRole); ok {
				parts = append(parts, role)
				for _, word := range strings.Fields(block) {
					if from, ok := strings.CutPrefix(word, "from="); ok {
						aggregated[from] = role
					}
				}
			}
			if object != nil {
				addServed(snap, kind, object)
			}
		}
	}
	for range 3 { // view collects, then edit, then admin
		for from, role := range aggregated {
			role.Rules = nil
			role.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"rbac.authorization.k8s.io/" + from: "true"}}}}
			for _, part := range parts {
				if part.Labels["rbac.authorization.k8s.io/"+from] != "" {
					role.Rules = append(role.Rules, part.Rules...)
				}
			}
		}
	}
	if len(snap.Objects) < 140 || len(aggregated) != 3 {
		t.Fatalf("1.%d: %d objects, %d aggregated roles", minor, len(snap.Objects), len(aggregated))
	}
	return snap
}

func addServed(snap *evidence.Snapshot, kind string, object metav1.Object) {
	ref := &evidence.Ref{Kind: kind, Namespace: object.GetNamespace(), Name: object.GetName(), Labels: object.GetLabels()}
	switch kind {
	case "Namespace":
		snap.Add(ref, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ref.Name}})
	case "ServiceAccount":
		snap.Add(ref, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ref.Namespace, Name: ref.Name}})
	default:
		ref.APIVersion = "rbac.authorization.k8s.io/v1"
		snap.Add(ref, object)
	}
}

// served reads one object of a table: its head, then its rules or subjects.
func served(block string, minor int) (kind string, object metav1.Object) {
	lines := strings.Split(strings.TrimSpace(block), "\n")
	head := strings.Fields(lines[0])
	if len(head) < 3 || strings.HasPrefix(lines[0], "#") || !in(head[1], minor) {
		return "", nil
	}
	meta := metav1.ObjectMeta{Name: head[2], Labels: map[string]string{"kubernetes.io/bootstrapping": "rbac-defaults"}}
	if namespace, name, ok := strings.Cut(head[2], "/"); ok {
		meta.Namespace, meta.Name = namespace, name
	}
	var rules []rbacv1.PolicyRule
	var subjects []rbacv1.Subject
	for _, line := range lines[1:] {
		f := strings.Fields(line)
		switch {
		case !in(f[0], minor):
		case strings.HasSuffix(head[0], "Binding"):
			s := rbacv1.Subject{Kind: f[1], Name: f[2]}
			if namespace, name, ok := strings.Cut(f[2], "/"); ok {
				s.Namespace, s.Name = namespace, name
			}
			subjects = append(subjects, s)
		case f[2] == "url":
			rules = append(rules, rbacv1.PolicyRule{Verbs: strings.Split(f[1], ","), NonResourceURLs: strings.Split(f[3], ",")})
		default:
			r := rbacv1.PolicyRule{Verbs: strings.Split(f[1], ","), APIGroups: strings.Split(f[2], ","), Resources: strings.Split(f[3], ",")}
			for i, g := range r.APIGroups {
				r.APIGroups[i] = strings.TrimSuffix(g, "core")
			}
			if len(f) > 4 {
				r.ResourceNames = strings.Split(f[4], ",")
			}
			rules = append(rules, r)
		}
	}
	for _, word := range head[3:] {
		if into, ok := strings.CutPrefix(word, "into="); ok {
			meta.Labels["rbac.authorization.k8s.io/"+into] = "true"
		}
	}
	roleKind, role, _ := strings.Cut(head[len(head)-1], "/")
	to := rbacv1.RoleRef{Kind: roleKind, Name: role}
	switch head[0] {
	case "Role":
		return head[0], &rbacv1.Role{ObjectMeta: meta, Rules: rules}
	case "ClusterRole":
		return head[0], &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules}
	case "RoleBinding":
		return head[0], &rbacv1.RoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: to}
	case "ClusterRoleBinding":
		return head[0], &rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: to}
	}
	return "", nil
}

// in reports whether a minor is in ranges such as "29-31,33?,34-", without the gated.
func in(ranges string, minor int) bool {
	for _, r := range strings.Split(ranges, ",") {
		first, last, isRange := strings.Cut(r, "-")
		from, _ := strconv.Atoi(first)
		to, err := strconv.Atoi(last)
		if !isRange {
			to = from
		} else if err != nil {
			to = 1 << 16
		}
		if r == "*" || !strings.HasSuffix(r, "?") && from <= minor && minor <= to {
			return true
		}
	}
	return false
}

// rbacChecks are those that judge roles and bindings.
func rbacChecks() (list []*check.Check) {
	for _, c := range checks.All() {
		if slices.Contains(c.Needs, evidence.RBAC) {
			list = append(list, c)
		}
	}
	return list
}

func judged(c *check.Check, snap *evidence.Snapshot, settings check.Settings) *check.Run {
	run := &check.Run{Scan: check.NewScan(snap, settings)}
	c.Run(run)
	return run
}

// Nothing is wrong with a cluster that nobody has touched, whatever its release.
func TestFreshClusterPasses(t *testing.T) {
	for minor := 29; minor <= evidence.Newest().Minor; minor++ {
		snap := freshCluster(t, minor)
		for _, c := range rbacChecks() {
			run := judged(c, snap, check.Settings{Version: evidence.Version{Major: 1, Minor: minor}})
			for _, f := range run.Failures {
				t.Errorf("1.%d: %s: %s: %s", minor, c.ID, f.Ref, f.Problem.Message)
			}
			for _, u := range run.Unknowns {
				if u.Scope != "" {
					t.Errorf("1.%d: %s: %s: %s", minor, c.ID, u.Scope, u.Reason)
				}
			}
		}
	}
}

// Defaults are judged like anything else when they are asked for; that nobody has
// changed them stays so.
func TestShowDefaults(t *testing.T) {
	snap := freshCluster(t, 36)
	failed := map[string]bool{}
	for _, c := range rbacChecks() {
		run := judged(c, snap, check.Settings{Version: evidence.Version{Major: 1, Minor: 36}, ShowDefaults: true})
		failed[c.ID] = len(run.Failures) > 0
	}
	for _, id := range []string{"wildcard-rule", "cluster-admin-binding", "escalation-verbs", "role-editing", "exec-access", "secret-reader", "anonymous-binding", "default-account-rights"} {
		if !failed[id] {
			t.Errorf("%s reports no default", id)
		}
	}
	for _, id := range []string{"tampered-default-role", "tampered-default-binding"} {
		if failed[id] {
			t.Errorf("%s reports a default that nobody has changed", id)
		}
	}
}

// One bad object among all defaults is found, and nothing else.
func TestFreshClusterWithOneFault(t *testing.T) {
	role := func(rule rbacv1.PolicyRule) metav1.Object {
		return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "bad"}, Rules: []rbacv1.PolicyRule{rule}}
	}
	one := func(verb, group, resource string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{Verbs: []string{verb}, APIGroups: []string{group}, Resources: []string{resource}}
	}
	binding := func(name, role string, subjects ...rbacv1.Subject) metav1.Object {
		return &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: role}, Subjects: subjects}
	}
	everyone := func(name string) rbacv1.Subject { return rbacv1.Subject{Kind: "Group", Name: name} }
	proxy := rbacv1.Subject{Kind: "ServiceAccount", Namespace: "kube-system", Name: "kube-proxy"}
	mara := rbacv1.Subject{Kind: "User", Name: "mara"}
	for id, object := range map[string]metav1.Object{
		"wildcard-rule":          role(one("get", "", "*")),
		"escalation-verbs":       role(one("bind", "rbac.authorization.k8s.io", "clusterroles")),
		"role-editing":           role(one("create", "rbac.authorization.k8s.io", "rolebindings")),
		"exec-access":            role(one("create", "", "pods/exec")),
		"secret-reader":          role(one("list", "", "secrets")),
		"cluster-admin-binding":  binding("bad", "cluster-admin", proxy),
		"anonymous-binding":      binding("bad", "system:monitoring", everyone("system:unauthenticated")),
		"authenticated-binding":  binding("bad", "view", everyone("system:authenticated")),
		"cluster-wide-binding":   binding("bad", "system:kube-dns", proxy),
		"dangling-binding":       binding("bad", "system:monitoring", rbacv1.Subject{Kind: "ServiceAccount", Namespace: "shop", Name: "gone"}),
		"mixed-subjects":         binding("bad", "system:monitoring", mara, proxy),
		"default-account-rights": binding("bad", "system:monitoring", everyone("system:serviceaccounts")),
	} {
		snap := freshCluster(t, 36)
		kind := "ClusterRole"
		if strings.HasSuffix(id, "-binding") || id == "mixed-subjects" || id == "default-account-rights" {
			kind = "ClusterRoleBinding"
		}
		addServed(snap, kind, object)
		c, _ := checks.Find(id)
		run := judged(c, snap, check.Settings{Version: evidence.Version{Major: 1, Minor: 36}})
		if len(run.Failures) != 1 || run.Failures[0].Ref.Name != "bad" {
			t.Errorf("%s: %d problems: %+v", id, len(run.Failures), run.Failures)
		}
	}
	if got := len(rbacChecks()); got < 14 {
		t.Errorf("%d checks of roles and bindings", got)
	}
}
