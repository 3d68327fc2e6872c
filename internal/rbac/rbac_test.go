package rbac

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

func TestAllows(t *testing.T) {
	read := []string{"get", "list"}
	for _, c := range []struct {
		name string
		rule rbacv1.PolicyRule
		q    Request
		want bool
	}{
		{"plain", rbacv1.PolicyRule{Verbs: read, APIGroups: []string{""}, Resources: []string{"pods"}}, Request{Verb: "get", Resource: "pods"}, true},
		{"other verb", rbacv1.PolicyRule{Verbs: read, APIGroups: []string{""}, Resources: []string{"pods"}}, Request{Verb: "watch", Resource: "pods"}, false},
		{"other group", rbacv1.PolicyRule{Verbs: read, APIGroups: []string{"apps"}, Resources: []string{"pods"}}, Request{Verb: "get", Resource: "pods"}, false},
		{"a resource is not its subresource", rbacv1.PolicyRule{Verbs: read, APIGroups: []string{""}, Resources: []string{"pods"}}, Request{Verb: "get", Resource: "pods/exec"}, false},
		{"a subresource is not its resource", rbacv1.PolicyRule{Verbs: read, APIGroups: []string{""}, Resources: []string{"pods/log"}}, Request{Verb: "get", Resource: "pods"}, false},
		{"star is every subresource too", rbacv1.PolicyRule{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}, Request{Verb: "create", Resource: "pods/exec"}, true},
		{"star below a slash", rbacv1.PolicyRule{Verbs: read, APIGroups: []string{"*"}, Resources: []string{"*/scale"}}, Request{Verb: "get", Group: "apps", Resource: "deployments/scale"}, true},
		{"star below a slash, other subresource", rbacv1.PolicyRule{Verbs: read, APIGroups: []string{"*"}, Resources: []string{"*/scale"}}, Request{Verb: "get", Group: "apps", Resource: "deployments/status"}, false},
		{"pods/* matches nothing", rbacv1.PolicyRule{Verbs: []string{"*"}, APIGroups: []string{""}, Resources: []string{"pods/*"}}, Request{Verb: "create", Resource: "pods/exec"}, false},
		{"named", rbacv1.PolicyRule{Verbs: read, APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"a", "b"}}, Request{Verb: "get", Resource: "secrets", Name: "b"}, true},
		{"named does not allow all", rbacv1.PolicyRule{Verbs: read, APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"a"}}, Request{Verb: "list", Resource: "secrets"}, false},
		{"path", rbacv1.PolicyRule{Verbs: read, NonResourceURLs: []string{"/healthz/*"}}, Request{Verb: "get", Path: "/healthz/etcd"}, true},
		{"path, not below", rbacv1.PolicyRule{Verbs: read, NonResourceURLs: []string{"/healthz/*"}}, Request{Verb: "get", Path: "/healthz"}, false},
		{"every path", rbacv1.PolicyRule{Verbs: read, NonResourceURLs: []string{"*"}}, Request{Verb: "get", Path: "/metrics"}, true},
		{"resources are no paths", rbacv1.PolicyRule{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}, Request{Verb: "get", Path: "/metrics"}, false},
	} {
		if got := Allows(&c.rule, c.q); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

// allowsByExpression is the authorizer's rule written down as regular expressions.
func allowsByExpression(rule *rbacv1.PolicyRule, q Request) bool {
	match := func(patterns []string, text string, star func(string) string) bool {
		for _, p := range patterns {
			if regexp.MustCompile("^(" + star(p) + ")$").MatchString(text) {
				return true
			}
		}
		return false
	}
	whole := func(p string) string {
		if p == "*" {
			return ".*"
		}
		return regexp.QuoteMeta(p)
	}
	resource := func(p string) string {
		if rest, ok := strings.CutPrefix(p, "*/"); ok {
			return "[^/]+/" + regexp.QuoteMeta(rest) + "|" + regexp.QuoteMeta(p)
		}
		return whole(p)
	}
	path := func(p string) string {
		return strings.ReplaceAll(regexp.QuoteMeta(strings.TrimRight(p, "*")), `\*`, "*") + map[bool]string{true: ".*"}[strings.HasSuffix(p, "*")]
	}
	if !match(rule.Verbs, q.Verb, whole) {
		return false
	}
	if q.Path != "" {
		return match(rule.NonResourceURLs, q.Path, path)
	}
	named := len(rule.ResourceNames) == 0 || match(rule.ResourceNames, q.Name, regexp.QuoteMeta)
	return named && match(rule.APIGroups, q.Group, whole) && match(rule.Resources, q.Resource, resource)
}

func some(r *rand.Rand, from ...string) []string {
	var list []string
	for range r.IntN(3) {
		list = append(list, from[r.IntN(len(from))])
	}
	return list
}

func randomRule(r *rand.Rand) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{
		Verbs:           some(r, "get", "create", "*"),
		APIGroups:       some(r, "", "apps", "*"),
		Resources:       some(r, "pods", "pods/exec", "pods/*", "*/exec", "*/scale", "deployments", "*"),
		NonResourceURLs: some(r, "/a", "/a/*", "*", "/a*"),
	}
}

func randomRequest(r *rand.Rand) Request {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	return Request{
		Verb: pick("get", "create", "watch"), Group: pick("", "apps", "batch"),
		Resource: pick("pods", "pods/exec", "deployments/scale", "deployments", "exec"),
		Name:     pick("", "a", "b"), Path: pick("", "", "/a", "/a/b", "/ab", "/b"),
	}
}

func TestAllowsAgainstExpressions(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	allowed := 0
	for range 20000 {
		rule, q := randomRule(r), randomRequest(r)
		rule.ResourceNames = some(r, "a", "b")
		got := Allows(&rule, q)
		if got {
			allowed++
		}
		if want := allowsByExpression(&rule, q); got != want {
			t.Fatalf("%+v of %+v: %t, want %t", q, rule, got, want)
		}
	}
	if allowed < 500 {
		t.Errorf("only %d random requests were allowed: the test proves little", allowed)
	}
}

// What covers a rule allows all that the rule allows.
func TestCovers(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	covered := 0
	for range 20000 {
		owner, rule := []rbacv1.PolicyRule{randomRule(r), randomRule(r)}, randomRule(r)
		if !Covers(owner, &rule) {
			continue
		}
		covered++
		for range 20 {
			q := randomRequest(r)
			if Allows(&rule, q) && !slices.ContainsFunc(owner, func(o rbacv1.PolicyRule) bool { return Allows(&o, q) }) {
				t.Fatalf("%+v is said to cover %+v, but does not allow %+v", owner, rule, q)
			}
		}
	}
	if covered < 500 {
		t.Errorf("only %d rules were covered: the test proves little", covered)
	}
}

// snapshot collects objects as the manifest reader would.
func snapshot(objects ...any) *evidence.Snapshot {
	snap := &evidence.Snapshot{}
	for _, o := range objects {
		m := o.(metav1.Object)
		kind := strings.TrimPrefix(fmt.Sprintf("%T", o), "*v1.")
		snap.Add(&evidence.Ref{APIVersion: "rbac.authorization.k8s.io/v1", Kind: kind, Namespace: m.GetNamespace(), Name: m.GetName()}, o)
	}
	return snap
}

func clusterRole(name string, rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}
}

func rule(verbs, group, resources string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{Verbs: strings.Split(verbs, ","), APIGroups: []string{group}, Resources: strings.Split(resources, ",")}
}

func bind(namespace, name, roleKind, role string, subjects ...rbacv1.Subject) any {
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: roleKind, Name: role}
	if namespace == "" {
		return &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: ref, Subjects: subjects}
	}
	return &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, RoleRef: ref, Subjects: subjects}
}

func account(namespace, name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: "ServiceAccount", Namespace: namespace, Name: name}
}

func group(name string) rbacv1.Subject { return rbacv1.Subject{Kind: "Group", Name: name} }

func TestStrong(t *testing.T) {
	ci := account("team", "ci")
	secrets, exec := rule("get", "", "secrets"), rule("create", "", "pods/exec")
	for _, c := range []struct {
		name    string
		objects []any
		want    string
	}{
		{"nothing", nil, ""},
		{"reads config maps", []any{clusterRole("r", rule("get", "", "configmaps")), bind("", "b", "ClusterRole", "r", ci)}, ""},
		{"built-in role that is not in the snapshot", []any{bind("", "ci-admin", "ClusterRole", "cluster-admin", ci)},
			"may do everything (ClusterRoleBinding ci-admin to ClusterRole cluster-admin)"},
		{"the same in a namespace", []any{bind("team", "b", "ClusterRole", "cluster-admin", ci)},
			"may do everything in namespace team (RoleBinding team/b to ClusterRole cluster-admin)"},
		{"edit collects from system:aggregate-to-edit", []any{bind("team", "b", "ClusterRole", "edit", ci)},
			"may act as others (verb impersonate) in namespace team (RoleBinding team/b to ClusterRole edit)"},
		{"view is weak", []any{bind("", "b", "ClusterRole", "view", ci)}, ""},
		{"the subject's namespace is the binding's", []any{clusterRole("r", secrets), bind("team", "b", "ClusterRole", "r", account("", "ci"))},
			"may read all Secrets in namespace team (RoleBinding team/b to ClusterRole r)"},
		{"a cluster-wide binding has no namespace to lend", []any{clusterRole("r", secrets), bind("", "b", "ClusterRole", "r", account("", "ci"))}, ""},
		{"other namespace", []any{clusterRole("r", secrets), bind("", "b", "ClusterRole", "r", account("other", "ci"))}, ""},
		{"by the group of all accounts", []any{clusterRole("r", secrets), bind("", "b", "ClusterRole", "r", group("system:serviceaccounts"))},
			"may read all Secrets (ClusterRoleBinding b to ClusterRole r)"},
		{"by the group of the namespace", []any{clusterRole("r", secrets), bind("", "b", "ClusterRole", "r", group("system:serviceaccounts:team"))},
			"may read all Secrets (ClusterRoleBinding b to ClusterRole r)"},
		{"by the group of everyone", []any{clusterRole("r", secrets), bind("", "b", "ClusterRole", "r", group("system:authenticated"))},
			"may read all Secrets (ClusterRoleBinding b to ClusterRole r)"},
		{"by another namespace's group", []any{clusterRole("r", secrets), bind("", "b", "ClusterRole", "r", group("system:serviceaccounts:other"))}, ""},
		{"by its user name", []any{clusterRole("r", secrets), bind("", "b", "ClusterRole", "r", rbacv1.Subject{Kind: "User", Name: "system:serviceaccount:team:ci"})},
			"may read all Secrets (ClusterRoleBinding b to ClusterRole r)"},
		{"the greatest power is told", []any{clusterRole("r", exec, secrets), bind("", "b", "ClusterRole", "r", ci)},
			"may read all Secrets (ClusterRoleBinding b to ClusterRole r)"},
		{"the whole cluster before a namespace", []any{clusterRole("r", secrets), bind("team", "a", "ClusterRole", "r", ci), bind("", "b", "ClusterRole", "r", ci)},
			"may read all Secrets (ClusterRoleBinding b to ClusterRole r)"},
		{"in whatever order", []any{clusterRole("r", secrets), bind("", "b", "ClusterRole", "r", ci), bind("team", "a", "ClusterRole", "r", ci)},
			"may read all Secrets (ClusterRoleBinding b to ClusterRole r)"},
		{"cluster resources are out of reach of a RoleBinding", []any{clusterRole("r", rule("get", "", "nodes/proxy")), bind("team", "b", "ClusterRole", "r", ci)}, ""},
		{"and within that of a ClusterRoleBinding", []any{clusterRole("r", rule("get", "", "nodes/proxy")), bind("", "b", "ClusterRole", "r", ci)},
			"may reach kubelets through nodes/proxy (ClusterRoleBinding b to ClusterRole r)"},
		{"named Secrets only", []any{clusterRole("r", rbacv1.PolicyRule{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"a"}}), bind("", "b", "ClusterRole", "r", ci)}, ""},
		{"unknown role", []any{bind("", "b", "ClusterRole", "r", ci)}, ""},
		{"creates pods by a controller", []any{clusterRole("r", rule("patch", "apps", "deployments")), bind("team", "b", "ClusterRole", "r", ci)},
			"may create pods in namespace team (RoleBinding team/b to ClusterRole r)"},
	} {
		if got := NewIndex(snapshot(c.objects...)).Strong("team", "ci"); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// Granted is what the authorizer finds when it looks through all bindings.
func TestGrantedAgainstSearch(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		var objects []any
		for i := range 4 {
			objects = append(objects, clusterRole(fmt.Sprintf("role-%d", i), randomRule(r)))
			objects = append(objects, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: one(r, "a", "b"), Name: fmt.Sprintf("role-%d", i)}, Rules: []rbacv1.PolicyRule{randomRule(r)}})
		}
		for i := range 8 {
			namespace := one(r, "", "a", "b")
			kind := "ClusterRole"
			if namespace != "" {
				kind = one(r, "ClusterRole", "Role")
			}
			var subjects []rbacv1.Subject
			for range r.IntN(4) {
				subjects = append(subjects, rbacv1.Subject{Kind: one(r, "User", "Group", "ServiceAccount"),
					Namespace: one(r, "", "a", "b"), Name: one(r, "x", "y", "system:serviceaccounts", "system:serviceaccounts:a", "system:serviceaccount:a:x", "system:authenticated")})
			}
			objects = append(objects, bind(namespace, fmt.Sprintf("b-%d", i), kind, fmt.Sprintf("role-%d", r.IntN(5)), subjects...))
		}
		snap := snapshot(objects...)
		x := NewIndex(snap)
		who := ServiceAccount(one(r, "a", "b"), one(r, "x", "y"))
		var got, want []string
		for g := range x.Granted(who) {
			if g.Rule != nil {
				got = append(got, fmt.Sprint(g.Binding, g.Namespace, *g.Rule))
			}
		}
		for _, b := range snap.Bindings {
			if !named(b, who) {
				continue
			}
			for _, o := range snap.ClusterRoles {
				if b.RoleRef.Kind == "ClusterRole" && b.RoleRef.Name == o.Name {
					want = append(want, fmt.Sprint(b, b.Namespace, o.Value.Rules[0]))
				}
			}
			for _, o := range snap.Roles {
				if b.RoleRef.Kind == "Role" && b.RoleRef.Name == o.Name && b.Namespace == o.Namespace {
					want = append(want, fmt.Sprint(b, b.Namespace, o.Value.Rules[0]))
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%+v: %s", who, diff)
		}
	}
}

func one(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

func named(b *evidence.Binding, who Subject) bool {
	for _, s := range b.Subjects {
		namespace := s.Namespace
		if namespace == "" {
			namespace = b.Namespace
		}
		switch {
		case s.Kind == "User" && s.Name == who.User,
			s.Kind == "Group" && slices.Contains(who.Groups, s.Name),
			s.Kind == "ServiceAccount" && namespace != "" && who.User == "system:serviceaccount:"+namespace+":"+s.Name:
			return true
		}
	}
	return false
}

// The rules that are collected are those that the controller arrives at by
// repeating itself until nothing changes.
func TestAggregationAgainstController(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		var objects []any
		var roles []*rbacv1.ClusterRole
		for i := range 6 {
			role := clusterRole(fmt.Sprintf("r%d", i), rule(fmt.Sprintf("verb-%d", i), "", "pods"))
			role.Labels = map[string]string{one(r, "p", "q", "s"): "1"}
			if r.IntN(2) == 0 {
				role.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{one(r, "p", "q", "s"): "1"}}}}
				role.Rules = nil
			}
			objects, roles = append(objects, role), append(roles, role)
		}
		x := NewIndex(snapshot(objects...))
		want := map[string]map[string]bool{}
		for _, role := range roles {
			want[role.Name] = map[string]bool{}
			for _, rl := range role.Rules {
				want[role.Name][rl.Verbs[0]] = true
			}
		}
		for range 10 {
			for _, role := range roles {
				for _, other := range roles {
					if role.AggregationRule == nil || other == role {
						continue
					}
					for label := range role.AggregationRule.ClusterRoleSelectors[0].MatchLabels {
						if other.Labels[label] != "" {
							for verb := range want[other.Name] {
								want[role.Name][verb] = true
							}
						}
					}
				}
			}
		}
		for _, role := range roles {
			got := map[string]bool{}
			for _, rl := range x.roles[roleKey{kind: "ClusterRole", name: role.Name}].Rules {
				got[rl.Verbs[0]] = true
			}
			if diff := cmp.Diff(want[role.Name], got); diff != "" {
				t.Fatalf("%s: %s", role.Name, diff)
			}
		}
	}
}

// A role that grows beyond all measure is not known, instead of half known.
func TestAggregationIsBounded(t *testing.T) {
	var objects []any
	for i := range 3000 {
		role := clusterRole(fmt.Sprintf("r%d", i), rule("get", "", "pods"))
		role.Labels = map[string]string{"a": "1"}
		role.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"a": "1"}}}}
		objects = append(objects, role)
	}
	objects = append(objects, bind("", "b", "ClusterRole", "r999", account("team", "ci")))
	x := NewIndex(snapshot(objects...))
	unknown := 0
	for g := range x.Granted(ServiceAccount("team", "ci")) {
		if g.Rule == nil {
			unknown++
		}
	}
	if unknown != 1 {
		t.Errorf("%d grants of unknown content, want 1", unknown)
	}
}

func TestBuiltIn(t *testing.T) {
	x := NewIndex(&evidence.Snapshot{})
	for _, c := range []struct {
		role  string
		power Power
		want  bool
	}{
		{"cluster-admin", Everything, true}, {"admin", Everything, false}, {"admin", EditRoles, true}, {"admin", ReadSecrets, true},
		{"edit", ReadSecrets, true}, {"edit", EditRoles, false}, {"edit", Exec, true}, {"view", ReadSecrets, false},
		{"system:node", ReadSecrets, true}, {"system:basic-user", CreateTokens, false}, {"system:kubelet-api-admin", NodeProxy, true},
		{"system:controller:clusterrole-aggregation-controller", Escalate, true},
	} {
		rules, ok := x.BuiltIn("ClusterRole", "", c.role)
		if !ok || len(rules) == 0 {
			t.Errorf("%s: not known", c.role)
		}
		if got := slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool { _, ok := c.power.In(&r, false); return ok }); got != c.want {
			t.Errorf("%s: may %s: %t", c.role, c.power, got)
		}
	}
}

func TestScopeOf(t *testing.T) {
	for _, c := range []struct {
		group, resource string
		want            Scope
	}{
		{"", "pods", Namespaced}, {"", "pods/exec", Namespaced}, {"", "nodes/proxy", ClusterWide}, {"", "*", ClusterWide},
		{"apps", "*", Namespaced}, {"*", "pods", ClusterWide}, {"shop.example.com", "carts", UnknownScope},
		{"rbac.authorization.k8s.io", "clusterroles", ClusterWide}, {"rbac.authorization.k8s.io", "roles", Namespaced},
	} {
		if got := ScopeOf(c.group, c.resource); got != c.want {
			t.Errorf("%s in %q: %d", c.resource, c.group, got)
		}
	}
}
