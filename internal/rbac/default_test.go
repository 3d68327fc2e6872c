package rbac

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

func release(minor int) evidence.Version { return evidence.Version{Major: 1, Minor: minor} }

// tables are the project's own data, which must be whole.
func tables(t *testing.T) map[string]*defaultTable {
	t.Helper()
	all := map[string]*defaultTable{}
	for name, table := range map[string]func() (*defaultTable, error){"builtin.txt": builtinTable, "kubeadm.txt": kubeadmTable} {
		parsed, err := table()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = parsed
	}
	return all
}

func TestDefaultTables(t *testing.T) {
	for file, table := range tables(t) {
		if newest := table.minors[len(table.minors)-1]; newest != evidence.Newest().Minor {
			t.Errorf("%s: newest release is 1.%d, want %s", file, newest, evidence.Newest())
		}
		for _, key := range table.names {
			o := table.objects[key]
			isRole := strings.HasSuffix(key.kind, "Role")
			if isRole != (o.roleRef.Name == "") || isRole && len(o.rules)+len(o.from) == 0 || !isRole && len(o.subjects) == 0 && key.name != "system:node" {
				t.Errorf("%s: %v: %+v", file, key, o)
			}
			if (key.kind == "Role" || key.kind == "RoleBinding") != (key.namespace != "") {
				t.Errorf("%s: %v", file, key)
			}
			for _, r := range o.rules {
				for _, group := range r.rule.APIGroups {
					for _, resource := range r.rule.Resources {
						if ScopeOf(group, resource) == UnknownScope && !strings.HasSuffix(group, "metrics.k8s.io") {
							t.Errorf("%s: %s: %s in group %q has no scope", file, key.name, resource, group)
						}
					}
				}
			}
		}
	}
}

func TestParseDefaults(t *testing.T) {
	const minors = "minors 29 30 31\n"
	for _, text := range []string{
		"minors x\n", "ClusterRole * a\n", minors + "ClusterRole *\n", minors + " * get core pods\n", minors + "ClusterRole 2x a\n",
		minors + "ClusterRole * a\n x get core pods\n", minors + "ClusterRole * a\n * get core\n", minors + "ClusterRole * a\nClusterRole * a\n",
		minors + "ClusterRole 29-x a\n",
	} {
		if _, err := parseDefaults(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

// A release between two that are known may hold what either makes, and what is left
// over from earlier ones.
func TestReleases(t *testing.T) {
	table, err := parseDefaults("minors 13 29 30 36 37\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		minor, nearest int
		upTo           uint64
	}{
		{10, 13, 0b1}, {13, 13, 0b1}, {20, 13, 0b11}, {25, 29, 0b11}, {28, 29, 0b11}, {29, 29, 0b111}, {30, 30, 0b111},
		{33, 36, 0b1111}, {36, 36, 0b11111}, {37, 37, 0b11111}, {40, 37, 0b11111},
	} {
		v := release(c.minor)
		if got := table.nearest(v).Minor; got != c.nearest {
			t.Errorf("nearest to %s is 1.%d, want 1.%d", v, got, c.nearest)
		}
		if got := table.upTo(v); got != c.upTo {
			t.Errorf("up to %s: %05b, want %05b", v, got, c.upTo)
		}
	}
}

// asMade is a snapshot of what the API server and kubeadm make in a release, with the
// rules collected, the way a cluster serves it.
func asMade(t *testing.T, minor int) *evidence.Snapshot {
	t.Helper()
	v := release(minor)
	roles := builtinRoles(v)
	var objects []any
	for _, file := range []string{"builtin.txt", "kubeadm.txt"} {
		table := tables(t)[file]
		set := table.at(v)
		for _, key := range table.names {
			o := table.objects[key]
			if o.releases.always&set != 0 {
				objects = append(objects, o.make(key, set, roles[key]))
			}
		}
	}
	snap := snapshot(objects...)
	snap.Cluster = &evidence.Cluster{Version: "v" + v.String() + ".1", Lists: []evidence.Listing{
		{Resource: "clusterroles.rbac.authorization.k8s.io"}, {Resource: "roles.rbac.authorization.k8s.io"}}}
	return snap
}

func (o *defaultObject) make(key roleKey, set uint64, collected *Role) any {
	meta := metav1.ObjectMeta{Name: key.name, Namespace: key.namespace, Labels: map[string]string{"kubernetes.io/bootstrapping": "rbac-defaults"}}
	for _, label := range o.into {
		meta.Labels[aggregationPrefix+label] = "true"
	}
	var rules []rbacv1.PolicyRule
	for _, r := range o.rules {
		if r.releases.always&set != 0 {
			rules = append(rules, r.rule)
		}
	}
	var subjects []rbacv1.Subject
	for _, s := range o.subjects {
		if s.releases.always&set != 0 {
			subjects = append(subjects, s.subject)
		}
	}
	switch key.kind {
	case "Role":
		return &rbacv1.Role{ObjectMeta: meta, Rules: rules}
	case "RoleBinding":
		return &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: o.roleRef, Subjects: subjects}
	case "ClusterRoleBinding":
		return &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: o.roleRef, Subjects: subjects}
	}
	role := &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules}
	if len(o.from) > 0 {
		role.AggregationRule, role.Rules = &rbacv1.AggregationRule{ClusterRoleSelectors: o.selectors()}, collected.Rules
	}
	return role
}

// differences compares every object of a snapshot that has a default, by its name.
func differences(snap *evidence.Snapshot, v evidence.Version) map[string]Difference {
	x, all := NewIndex(snap), map[string]Difference{}
	for _, o := range snap.ClusterRoles {
		if d, ok := x.CompareClusterRole(o, v); ok {
			all[o.String()] = d
		}
	}
	for _, o := range snap.Roles {
		if d, ok := CompareRole(o, v); ok {
			all[o.String()] = d
		}
	}
	for _, b := range snap.Bindings {
		if d, ok := CompareBinding(b, v); ok {
			all[b.String()] = d
		}
	}
	return all
}

// What a release makes is a default of it, of the one before, while a cluster is
// being upgraded, and of all later ones, where it is left over.
func TestDefaultsAreUntouched(t *testing.T) {
	minors := tables(t)["builtin.txt"].minors
	for i, made := range minors {
		snap := asMade(t, made)
		for j, judged := range minors {
			if j < i-1 || j == i-1 && made != judged+1 {
				continue
			}
			all := differences(snap, release(judged))
			if len(all) != len(snap.Objects) {
				t.Errorf("1.%d judged as 1.%d: %d defaults among %d objects", made, judged, len(all), len(snap.Objects))
			}
			for name, d := range all {
				if d.Changed() {
					t.Errorf("1.%d judged as 1.%d: %s: %+v", made, judged, name, d)
				}
			}
		}
	}
	if d := differences(asMade(t, 29), release(25))["ClusterRole edit"]; d.Version != release(29) || d.Changed() {
		t.Errorf("edit of 1.29 judged as 1.25: %+v", d)
	}
	if _, ok := differences(asMade(t, 37), release(29))["ClusterRole system:cluster-trust-bundle-discovery"]; !ok {
		t.Error("a role that 1.29 makes behind a feature gate is no default of it")
	}
}

// One rule, subject, label or selector more is seen, whatever the object; one less
// is nothing.
func TestEveryChangeIsSeen(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for _, change := range changes {
		snap, want := asMade(t, 36), map[string]bool{}
		for i := range snap.Objects {
			if name, changed := change.make(r, snap, i); name != "" {
				want[name] = changed
			}
		}
		for name, d := range differences(snap, release(36)) {
			if d.Changed() != want[name] {
				t.Errorf("%s: %s is said to be changed %t: %+v", change.name, name, d.Changed(), d)
			}
		}
		if len(want) < 15 {
			t.Errorf("%s: applied to %d objects only", change.name, len(want))
		}
	}
}

// changes alter the object of an index, and return its name and whether that is a
// difference; no name when the change does not apply.
var changes = []struct {
	name string
	make func(r *rand.Rand, s *evidence.Snapshot, i int) (string, bool)
}{
	{"a rule more", func(_ *rand.Rand, s *evidence.Snapshot, i int) (string, bool) {
		return changeRules(s, i, func(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
			return append(rules, rule("conquer", "shop.example.com", fmt.Sprint("carts-", i))) // no other role has it
		}), s.Objects[i].Name != "cluster-admin"
	}},
	{"a verb more", func(r *rand.Rand, s *evidence.Snapshot, i int) (string, bool) {
		return changeRules(s, i, func(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
			k := r.IntN(len(rules))
			rules[k].Verbs = append(slices.Clone(rules[k].Verbs), "conquer")
			return rules
		}), s.Objects[i].Name != "cluster-admin"
	}},
	{"names less", func(_ *rand.Rand, s *evidence.Snapshot, i int) (string, bool) {
		found := false
		name := changeRules(s, i, func(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
			for k := range rules {
				if len(rules[k].ResourceNames) > 0 {
					rules[k].ResourceNames, found = nil, true
					break
				}
			}
			return rules
		})
		return name, found
	}},
	{"a rule less", func(_ *rand.Rand, s *evidence.Snapshot, i int) (string, bool) {
		return changeRules(s, i, func(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule { return rules[min(1, len(rules)):] }), false
	}},
	{"a subject more", func(_ *rand.Rand, s *evidence.Snapshot, i int) (string, bool) {
		return changeBinding(s, i, func(b *evidence.Binding) { b.Subjects = append(slices.Clone(b.Subjects), group("developers")) }), true
	}},
	{"a subject less", func(_ *rand.Rand, s *evidence.Snapshot, i int) (string, bool) {
		return changeBinding(s, i, func(b *evidence.Binding) { b.Subjects = b.Subjects[min(1, len(b.Subjects)):] }), false
	}},
	{"another role", func(_ *rand.Rand, s *evidence.Snapshot, i int) (string, bool) {
		return changeBinding(s, i, func(b *evidence.Binding) { b.RoleRef.Name = "edit" }), true
	}},
	{"a label more", func(_ *rand.Rand, s *evidence.Snapshot, i int) (string, bool) {
		return changeClusterRole(s, i, func(c *rbacv1.ClusterRole) { c.Labels[aggregationPrefix+"aggregate-to-shop"] = "true" }), true
	}},
	{"another label", func(_ *rand.Rand, s *evidence.Snapshot, i int) (string, bool) {
		return changeClusterRole(s, i, func(c *rbacv1.ClusterRole) { c.Labels["team"] = "shop" }), false
	}},
	{"a selector more", func(_ *rand.Rand, s *evidence.Snapshot, i int) (string, bool) {
		return changeClusterRole(s, i, func(c *rbacv1.ClusterRole) {
			if c.AggregationRule == nil {
				c.AggregationRule = &rbacv1.AggregationRule{}
			}
			c.AggregationRule.ClusterRoleSelectors = append(slices.Clone(c.AggregationRule.ClusterRoleSelectors), metav1.LabelSelector{MatchLabels: map[string]string{"team": "shop"}})
		}), true
	}},
}

func changeRules(s *evidence.Snapshot, i int, change func([]rbacv1.PolicyRule) []rbacv1.PolicyRule) string {
	for _, o := range s.Roles {
		if o.ID == i {
			o.Value.Rules = change(slices.Clone(o.Value.Rules))
			return o.String()
		}
	}
	return changeClusterRole(s, i, func(c *rbacv1.ClusterRole) { c.Rules = change(slices.Clone(c.Rules)) })
}

func changeClusterRole(s *evidence.Snapshot, i int, change func(*rbacv1.ClusterRole)) string {
	for _, o := range s.ClusterRoles {
		if o.ID == i {
			change(o.Value)
			return o.String()
		}
	}
	return ""
}

func changeBinding(s *evidence.Snapshot, i int, change func(*evidence.Binding)) string {
	for _, b := range s.Bindings {
		if b.ID == i {
			change(b)
			return b.String()
		}
	}
	return ""
}

// A role that adds to admin, edit or view makes no tampered default of them: what
// they collect from it is to be judged there.
func TestCollectedIsNoDifference(t *testing.T) {
	carts := rule("get", "shop.example.com", "carts")
	contributor := clusterRole("carts", carts)
	contributor.Labels = map[string]string{aggregationPrefix + "aggregate-to-edit": "true"}
	for _, present := range []bool{true, false} {
		snap := asMade(t, 36)
		for _, o := range snap.ClusterRoles {
			if o.Name == "admin" || o.Name == "edit" {
				o.Value.Rules = append(slices.Clone(o.Value.Rules), carts)
			}
		}
		if present {
			snap.Add(&evidence.Ref{Kind: "ClusterRole", Name: "carts"}, contributor)
		}
		all := differences(snap, release(36))
		for _, name := range []string{"ClusterRole admin", "ClusterRole edit"} {
			if d := all[name]; d.Changed() == present {
				t.Errorf("with the contributor %t: %s: %+v", present, name, d)
			}
		}
	}
}

// In a live cluster the roles are what was read; what was asked for and is not there
// does not exist.
func TestLiveIndex(t *testing.T) {
	snap := asMade(t, 36)
	view := slices.IndexFunc(snap.ClusterRoles, func(o *evidence.Object[rbacv1.ClusterRole]) bool { return o.Name == "view" })
	snap.ClusterRoles[view].Value.Rules = []rbacv1.PolicyRule{rule("get", "", "secrets")}
	snap.ClusterRoles = slices.DeleteFunc(snap.ClusterRoles, func(o *evidence.Object[rbacv1.ClusterRole]) bool { return o.Name == "edit" })
	custom := clusterRole("custom")
	custom.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{aggregationPrefix + "aggregate-to-edit": "true"}}}}
	snap.Add(&evidence.Ref{Kind: "ClusterRole", Name: "custom"}, custom)
	binding := func(role string) *evidence.Binding {
		return &evidence.Binding{Ref: &evidence.Ref{Kind: "ClusterRoleBinding"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: role}}
	}
	x := NewIndex(snap)
	if r := x.Role(binding("view")); r == nil || !r.BuiltIn || len(r.Rules) != 1 {
		t.Errorf("view: %+v", r)
	}
	if r := x.Role(binding("edit")); r != nil {
		t.Errorf("edit exists: %+v", r)
	}
	if r := x.Role(binding("custom")); r == nil || r.BuiltIn || len(r.Rules) != 0 || len(r.Inherited) == 0 {
		t.Errorf("custom: %+v", r)
	}
	if rules, ok := x.BuiltIn("ClusterRole", "", "view"); !ok || len(rules) < 5 {
		t.Errorf("the built-in view: %v", rules)
	}
	snap.Cluster.Lists = nil // nobody could list
	if r := NewIndex(snap).Role(binding("edit")); r == nil || len(r.Rules) < 5 {
		t.Errorf("edit, unseen: %+v", r)
	}
}

// Changed reports whether there is any difference.
func (d *Difference) Changed() bool {
	return len(d.Rules)+len(d.Selectors)+len(d.Labels)+len(d.Subjects) > 0 || d.RoleRef != nil
}

func TestBuiltinRoles(t *testing.T) {
	has := func(minor int, role string, want rbacv1.PolicyRule) bool {
		r := builtinRoles(release(minor))[roleKey{"ClusterRole", "", role}]
		return r != nil && Covers(r.Rules, &want)
	}
	for _, c := range []struct {
		minor int
		role  string
		rule  rbacv1.PolicyRule
		want  bool
	}{
		{22, "view", rule("get", "", "events"), true},
		{34, "view", rule("get", "events.k8s.io", "events"), false},
		{35, "view", rule("get", "events.k8s.io", "events"), true},
		{37, "admin", rule("create", "", "pods/exec"), true},
		{36, "view", rule("get", "scheduling.k8s.io", "podgroups"), false}, // behind a gate
		{33, "view", rule("get", "resource.k8s.io", "resourceclaims"), false},
		{34, "view", rule("get", "resource.k8s.io", "resourceclaims"), true},
		{37, "cluster-admin", rule("*", "*", "*"), true},
		{37, "carts", rule("get", "", "pods"), false},
	} {
		if got := has(c.minor, c.role, c.rule); got != c.want {
			t.Errorf("1.%d %s %v: %t", c.minor, c.role, c.rule, got)
		}
	}
}

// Rules of a size that no one writes take no time.
func TestBeyondIsBounded(t *testing.T) {
	many := func(prefix string) []string {
		list := []string{"get"}
		for i := range 10000 {
			list = append(list, "get", fmt.Sprint(prefix, i))
		}
		return list
	}
	all := []rbacv1.PolicyRule{{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}}
	if q, beyond := Beyond(all, &rbacv1.PolicyRule{Verbs: many("v"), APIGroups: many("g"), Resources: many("r"), ResourceNames: many("n")}); beyond {
		t.Errorf("%+v is not allowed by everything", q)
	}
	list := append(all[:0:0], rbacv1.PolicyRule{Verbs: []string{"list"}, APIGroups: []string{"*"}, Resources: []string{"*"}})
	if q, beyond := Beyond(list, &rbacv1.PolicyRule{Verbs: []string{"list", "get"}, APIGroups: many("g"), Resources: many("r")}); !beyond || q.Verb != "get" {
		t.Errorf("%+v, %t", q, beyond)
	}
}

func TestKindOf(t *testing.T) {
	for text, want := range map[string]SubjectKind{
		"User mara": Person, "Group developers": People, "Group system:masters": People, "User system:admin": Person,
		"Group system:authenticated": Everyone, "User system:anonymous": Everyone, "Group system:unauthenticated": Everyone,
		"ServiceAccount shop/web": Account, "User system:serviceaccount:shop:web": Account, "Group system:serviceaccounts": Account, "Group system:serviceaccounts:shop": Account,
		"ServiceAccount kube-system/replicaset-controller": ControlPlane, "ServiceAccount kube-system/coredns": AddOn, "ServiceAccount openshift-dns/dns": AddOn,
		"ServiceAccount shop/replicaset-controller": Account,
		"User system:node:worker-1":                 Node, "Group system:nodes": Node, "Group system:bootstrappers:kubeadm:default-node-token": Node, "User system:kube-proxy": Node,
		"User system:kube-scheduler": ControlPlane, "User kube-apiserver-kubelet-client": ControlPlane,
		"User eks:addon-manager": AddOn, "User system:gke-controller": AddOn, "User system:k3s-controller": AddOn, "Group kubeadm:cluster-admins": People,
	} {
		kind, name, _ := strings.Cut(text, " ")
		s := rbacv1.Subject{Kind: kind, Name: name}
		if kind == "ServiceAccount" {
			s.Namespace, s.Name, _ = strings.Cut(name, "/")
		}
		if got := KindOf(s); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestShipped(t *testing.T) {
	user := func(names ...string) (list []rbacv1.Subject) {
		for _, n := range names {
			list = append(list, rbacv1.Subject{Kind: "User", Name: n})
		}
		return list
	}
	var got []bool
	for _, c := range []struct {
		version, name string
		subjects      []rbacv1.Subject
	}{
		{"v1.33.1-eks-1a2b3c", "eks:addon-cluster-admin", user("eks:addon-manager")},
		{"v1.33.1-eks-1a2b3c", "eks:addon-cluster-admin", user("eks:addon-manager", "mara")},
		{"v1.33.1-eks-1a2b3c", "addon", user("eks:addon-manager")},
		{"v1.33.1-eks-1a2b3c", "eks:addon", []rbacv1.Subject{group("eks:all")}},
		{"v1.33.1", "eks:addon-cluster-admin", user("eks:addon-manager")},
		{"v1.33.1+k3s1", "system:k3s-controller", user("system:k3s-controller")},
		{"v1.33.1+k3s1", "system:k3s-controller", nil},
	} {
		b := &evidence.Binding{Ref: &evidence.Ref{Kind: "ClusterRoleBinding", Name: c.name}, Subjects: c.subjects}
		got = append(got, Shipped(b, &evidence.Cluster{Version: c.version}))
	}
	if diff := cmp.Diff([]bool{true, false, false, false, false, true, false}, got); diff != "" {
		t.Error(diff)
	}
}
