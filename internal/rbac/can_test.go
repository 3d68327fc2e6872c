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

// A world is what an API server would store: every object in it is one that it
// takes.
type world struct {
	clusterRoles    []*rbacv1.ClusterRole
	roles           []*rbacv1.Role
	clusterBindings []*rbacv1.ClusterRoleBinding
	bindings        []*rbacv1.RoleBinding
}

var (
	worldNamespaces = []string{"red", "blue", "green"}
	worldUsers      = []string{"alice", "bob", "system:serviceaccount:red:ci", "system:serviceaccount:blue:ci", "system:serviceaccount:red", Anonymous}
	worldGroups     = []string{"devs", "ops", ServiceAccounts, ServiceAccounts + ":red", Authenticated, Unauthenticated}
	worldAccounts   = []string{"ci", "web"}
	worldVerbs      = []string{"get", "list", "create", "delete", "frobnicate"}
	worldAPIGroups  = []string{"", "apps", "shop.example.com"}
	worldResources  = []string{"pods", "secrets", "deployments", "nodes"}
	worldBelow      = []string{"exec", "scale", "status"}
	worldNames      = []string{"one", "two"}
	worldPaths      = []string{"/metrics", "/shop", "/shop/carts", "/shopping", "/logs/kubelet.log"}
)

func pick(r *rand.Rand, lists ...[]string) string {
	all := slices.Concat(lists...)
	return all[r.IntN(len(all))]
}

func several(r *rand.Rand, lists ...[]string) (list []string) {
	for range 1 + r.IntN(2) {
		list = append(list, pick(r, lists...))
	}
	return list
}

func resourceRule(r *rand.Rand) rbacv1.PolicyRule {
	star := []string{"*"}
	resources := slices.Clone(worldResources)
	for _, parent := range append(worldResources, "*") {
		for _, below := range append(worldBelow, "*") {
			resources = append(resources, parent+"/"+below)
		}
	}
	rule := rbacv1.PolicyRule{
		Verbs:     several(r, worldVerbs, star),
		APIGroups: several(r, worldAPIGroups, worldAPIGroups, star),
		Resources: several(r, resources, worldResources, worldResources, star),
	}
	if r.IntN(4) == 0 {
		rule.ResourceNames = several(r, worldNames)
	}
	return rule
}

func pathRule(r *rand.Rand) rbacv1.PolicyRule {
	patterns := []string{"/shop/*", "/shop*", "/logs/*", "*", "/metrics/*"}
	return rbacv1.PolicyRule{Verbs: several(r, worldVerbs, []string{"*"}), NonResourceURLs: several(r, patterns, worldPaths)}
}

// newWorld makes roles and bindings, some of them aggregated, some to nothing.
func newWorld(r *rand.Rand) *world {
	w := &world{}
	for i := range 10 {
		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("world-%d", i), Labels: map[string]string{"world/part": pick(r, worldNames)}}}
		for range 1 + r.IntN(3) {
			role.Rules = append(role.Rules, resourceRule(r))
		}
		if r.IntN(3) == 0 {
			role.Rules = append(role.Rules, pathRule(r))
		}
		w.clusterRoles = append(w.clusterRoles, role)
	}
	for _, part := range worldNames {
		w.clusterRoles = append(w.clusterRoles, &rbacv1.ClusterRole{
			ObjectMeta:      metav1.ObjectMeta{Name: "world-all-" + part},
			AggregationRule: &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"world/part": part}}}},
		})
	}
	for i := range 4 {
		for _, namespace := range worldNamespaces {
			role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("world-%d", i)}}
			for range 1 + r.IntN(2) {
				role.Rules = append(role.Rules, resourceRule(r))
			}
			w.roles = append(w.roles, role)
		}
	}
	for i := range 12 {
		w.clusterBindings = append(w.clusterBindings, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("world-%d", i)},
			RoleRef:    w.roleRef(r, false), Subjects: subjects(r, false),
		})
	}
	for i := range 24 {
		w.bindings = append(w.bindings, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: pick(r, worldNamespaces), Name: fmt.Sprintf("world-%d", i)},
			RoleRef:    w.roleRef(r, true), Subjects: subjects(r, true),
		})
	}
	return w
}

func (w *world) roleRef(r *rand.Rand, local bool) rbacv1.RoleRef {
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: w.clusterRoles[r.IntN(len(w.clusterRoles))].Name}
	if local && r.IntN(2) == 0 {
		ref.Kind, ref.Name = "Role", w.roles[r.IntN(len(w.roles))].Name
	}
	if r.IntN(8) == 0 {
		ref.Name = "world-nowhere"
	}
	return ref
}

func subjects(r *rand.Rand, local bool) (list []rbacv1.Subject) {
	for range 1 + r.IntN(2) {
		switch r.IntN(3) {
		case 0:
			list = append(list, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: pick(r, worldUsers)})
		case 1:
			list = append(list, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: pick(r, worldGroups)})
		default:
			s := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: pick(r, worldNamespaces), Name: pick(r, worldAccounts)}
			if local && r.IntN(3) == 0 {
				s.Namespace = ""
			}
			list = append(list, s)
		}
	}
	return list
}

func (w *world) objects() (list []any) {
	for _, o := range w.clusterRoles {
		list = append(list, o)
	}
	for _, o := range w.roles {
		list = append(list, o)
	}
	for _, o := range w.clusterBindings {
		list = append(list, o)
	}
	for _, o := range w.bindings {
		list = append(list, o)
	}
	return list
}

// A question is one that a SubjectAccessReview could ask.
type question struct {
	who       Subject
	request   Request
	namespace string
}

func randomQuestion(r *rand.Rand) question {
	q := question{request: Request{Verb: pick(r, worldVerbs)}}
	switch r.IntN(4) {
	case 0:
		q.who = ServiceAccount(pick(r, worldNamespaces), pick(r, worldAccounts))
	case 1:
		q.who = NewSubject(pick(r, worldUsers), several(r, worldGroups)...)
	case 2:
		q.who = Subject{User: pick(r, worldUsers)}
	default:
		q.who = Subject{User: "carol", Groups: several(r, worldGroups, worldGroups, []string{Masters})}
	}
	if r.IntN(6) == 0 {
		q.request.Path = pick(r, worldPaths)
		return q
	}
	q.request.Group, q.request.Resource = pick(r, worldAPIGroups), pick(r, worldResources)
	if r.IntN(2) == 0 {
		q.request.Resource += "/" + pick(r, worldBelow)
	}
	q.request.Name = pick(r, worldNames, []string{"", "three"})
	q.namespace = pick(r, worldNamespaces, []string{"", "empty"})
	return q
}

// decide is the authorizer as one would tell it: it goes through everything.
func (w *world) decide(q question) bool {
	if slices.Contains(q.who.Groups, "system:masters") {
		return true
	}
	clusterRole := func(name string) (rules []rbacv1.PolicyRule) {
		for _, role := range w.clusterRoles {
			if role.Name != name {
				continue
			}
			if role.AggregationRule == nil {
				return role.Rules
			}
			for _, part := range w.clusterRoles {
				if part.Labels["world/part"] != "" && part.Labels["world/part"] == role.AggregationRule.ClusterRoleSelectors[0].MatchLabels["world/part"] {
					rules = append(rules, part.Rules...)
				}
			}
		}
		return rules
	}
	is := func(s rbacv1.Subject, namespace string) bool {
		switch s.Kind {
		case "User":
			return s.Name == q.who.User
		case "Group":
			return slices.Contains(q.who.Groups, s.Name)
		}
		if s.Namespace != "" {
			namespace = s.Namespace
		}
		return q.who.User == "system:serviceaccount:"+namespace+":"+s.Name
	}
	var rules []rbacv1.PolicyRule
	for _, b := range w.clusterBindings {
		for _, s := range b.Subjects {
			if is(s, "") {
				rules = append(rules, clusterRole(b.RoleRef.Name)...)
			}
		}
	}
	for _, b := range w.bindings {
		for _, s := range b.Subjects {
			switch {
			case b.Namespace != q.namespace || !is(s, b.Namespace):
			case b.RoleRef.Kind == "ClusterRole":
				rules = append(rules, clusterRole(b.RoleRef.Name)...)
			default:
				for _, role := range w.roles {
					if role.Namespace == b.Namespace && role.Name == b.RoleRef.Name {
						rules = append(rules, role.Rules...)
					}
				}
			}
		}
	}
	return slices.ContainsFunc(rules, func(rule rbacv1.PolicyRule) bool { return allowsByExpression(&rule, q.request) })
}

// worldSubjects are all subjects that a world's bindings can name.
func worldSubjects() (list []Subject) {
	for _, user := range worldUsers {
		list = append(list, Subject{User: user})
	}
	for _, namespace := range worldNamespaces {
		for _, account := range worldAccounts {
			list = append(list, Subject{User: ServiceAccount(namespace, account).User})
		}
	}
	for _, group := range append(worldGroups, Masters) {
		list = append(list, Subject{Groups: []string{group}})
	}
	return list
}

// subject is a holder alone, without the groups that it is in.
func (h Holder) subject() Subject {
	if h.Kind == rbacv1.GroupKind {
		return Subject{Groups: []string{h.Name}}
	}
	return Subject{User: h.String()}
}

func shuffled(r *rand.Rand, objects []any) []any {
	r.Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
	return objects
}

func TestCan(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	answers := map[bool]int{}
	for range 60 {
		w := newWorld(r)
		x := NewIndex(snapshot(shuffled(r, w.objects())...))
		for range 100 {
			q := randomQuestion(r)
			want := w.decide(q)
			g, got := x.Can(q.who, q.request, q.namespace)
			answers[got]++
			if got != want {
				t.Fatalf("%+v: %t, want %t", q, got, want)
			}
			if got && !slices.Contains(q.who.Groups, Masters) {
				decides(t, x, g, q.who, q.request, q.namespace)
			}
			in := x.Namespaces(q.who, q.request)
			if got && g.Namespace != "" && !slices.Contains(in, q.namespace) {
				t.Fatalf("%+v: may in %s, which is not among %v", q, q.namespace, in)
			}
		}
	}
	if answers[true] < 1000 || answers[false] < 1000 {
		t.Errorf("%d yes, %d no: the test proves little", answers[true], answers[false])
	}
}

// decides checks that a grant is a reason: the binding names the subject, holds in
// the namespace and leads to the role, and the role's rule allows the request.
func decides(t *testing.T, x *Index, g Grant, who Subject, q Request, namespace string) {
	t.Helper()
	switch {
	case !named(g.Binding, who):
		t.Fatalf("%s does not name %+v", g.Binding, who)
	case g.Namespace != g.Binding.Namespace || g.Namespace != "" && g.Namespace != namespace:
		t.Fatalf("%s does not hold in %q", g.Binding, namespace)
	case x.Role(g.Binding) != g.Role || !Allows(&g.Role.Rules[g.RuleIndex()], q):
		t.Fatalf("rule %d of %s does not allow %+v", g.RuleIndex(), g.Role, q)
	}
}

func TestWhoCan(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for range 60 {
		w := newWorld(r)
		x := NewIndex(snapshot(shuffled(r, w.objects())...))
		for range 5 {
			q := randomQuestion(r)
			everywhere := map[string]bool{}
			for _, h := range x.WhoCan(q.request, "") {
				everywhere[h.String()] = true
			}
			listed := map[string]bool{}
			for _, h := range x.WhoCan(q.request, q.namespace) {
				if everywhere[h.String()] && h.Grant.Namespace != "" {
					t.Fatalf("%s may everywhere, and is said to by %s", h, h.Grant.Binding)
				}
				if key := h.Kind + " " + h.String(); listed[key] {
					t.Fatalf("%s is listed twice", key)
				} else {
					listed[key] = true
				}
				if h.Grant.Binding != nil {
					decides(t, x, h.Grant, h.subject(), q.request, q.namespace)
				}
			}
			for _, s := range worldSubjects() {
				key := "User " + s.User
				if _, _, ok := SplitAccount(s.User); ok {
					key = "ServiceAccount " + s.User
				}
				if s.User == "" {
					key = "Group " + s.Groups[0]
				}
				if want := w.decide(question{s, q.request, q.namespace}); listed[key] != want {
					t.Fatalf("%+v: %s is listed: %t, want %t", q, key, listed[key], want)
				}
			}
			anywhere(t, x, q.request)
		}
	}
}

// anywhere checks that WhoCanAnywhere says what WhoCan says of each namespace.
func anywhere(t *testing.T, x *Index, q Request) {
	t.Helper()
	places := func(list []Holder) (names []string) {
		for _, h := range list {
			names = append(names, h.Kind+" "+h.String()+" in "+h.Grant.Namespace)
		}
		return names
	}
	got := places(x.WhoCanAnywhere(q))
	slices.Sort(got)
	var want []string
	for _, namespace := range append(worldNamespaces, "") {
		want = append(want, places(x.WhoCan(q, namespace))...)
	}
	slices.Sort(want)
	if diff := cmp.Diff(slices.Compact(want), got); diff != "" {
		t.Fatalf("%+v: %s", q, diff)
	}
}

// A URL path is in no namespace, whatever is asked, and so no RoleBinding grants it.
func TestPathNeedsClusterBinding(t *testing.T) {
	role := clusterRole("r", rbacv1.PolicyRule{Verbs: []string{"get"}, NonResourceURLs: []string{"/metrics"}})
	x := NewIndex(snapshot(role, bind("team", "b", "ClusterRole", "r", group("devs"))))
	q, who := Request{Verb: "get", Path: "/metrics"}, Member("devs")
	if _, ok := x.Can(who, q, "team"); ok || len(x.Namespaces(who, q)) > 0 || len(x.WhoCan(q, "team")) != 1 || len(x.WhoCanAnywhere(q)) != 1 {
		t.Error("a RoleBinding grants a URL path")
	}
}

// A ClusterRoleBinding leads to no Role, not even to one that is in no namespace by
// mistake.
func TestClusterBindingToRole(t *testing.T) {
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "r"}, Rules: []rbacv1.PolicyRule{rule("get", "", "pods")}}
	x := NewIndex(snapshot(role, bind("", "b", "Role", "r", group("devs"))))
	if h := x.WhoCan(Request{Verb: "get", Resource: "pods"}, ""); len(h) != 1 {
		t.Errorf("%+v", h)
	}
}

func TestSays(t *testing.T) {
	x := NewIndex(snapshot(clusterRole("r", rule("frobnicate", "", "pods"), rbacv1.PolicyRule{Verbs: []string{"trace"}, NonResourceURLs: []string{"/"}})))
	for _, c := range []struct {
		verb string
		path bool
		want bool
	}{{"frobnicate", false, true}, {"frobnicate", true, false}, {"trace", true, true}, {"trace", false, false}} {
		if got := x.Says(c.verb, c.path); got != c.want {
			t.Errorf("%s: %t", c.verb, got)
		}
	}
}

func TestUnknownRole(t *testing.T) {
	x := NewIndex(snapshot(bind("team", "b", "Role", "nowhere", account("", "ci")), bind("other", "c", "Role", "nowhere", account("team", "ci"))))
	got := x.Unknown(ServiceAccount("team", "ci"), "team")
	if len(got) != 1 || got[0].Name != "b" {
		t.Errorf("%v", got)
	}
	if g := (Grant{}).RuleIndex(); g != -1 {
		t.Errorf("the rule of no grant is %d", g)
	}
}

func TestMasters(t *testing.T) {
	x := NewIndex(snapshot(bind("", "root", "ClusterRole", "cluster-admin", group(Masters))))
	if h := x.WhoCan(Request{Verb: "get", Resource: "pods"}, ""); len(h) != 1 || h[0].Grant.Binding == nil {
		t.Errorf("%+v: want the binding that names the group", h)
	}
	if h := x.WhoCan(Request{Verb: "get", Path: "/metrics"}, "team"); len(h) != 1 || h[0].Name != Masters {
		t.Errorf("%+v", h)
	}
	x = NewIndex(snapshot(bind("team", "root", "ClusterRole", "cluster-admin", group(Masters))))
	if h := x.WhoCan(Request{Verb: "get", Resource: "pods"}, "team"); len(h) != 1 || h[0].Grant.Binding != nil {
		t.Errorf("%+v: a RoleBinding is no reason for what holds everywhere", h)
	}
	x = NewIndex(&evidence.Snapshot{})
	if h := x.WhoCan(Request{Verb: "get", Resource: "pods"}, ""); len(h) != 1 || h[0].Grant.Binding != nil {
		t.Errorf("%+v: want the group without a binding", h)
	}
}

func TestNewSubject(t *testing.T) {
	for _, c := range []struct {
		user   string
		groups []string
		want   []string
	}{
		{"alice", nil, []string{"system:authenticated"}},
		{"alice", []string{"devs", "system:authenticated"}, []string{"devs", "system:authenticated"}},
		{Anonymous, nil, []string{"system:unauthenticated"}},
		{"system:serviceaccount:team:ci", nil, []string{"system:authenticated", "system:serviceaccounts", "system:serviceaccounts:team"}},
		{"system:serviceaccount:team", nil, []string{"system:authenticated"}},
		{"system:serviceaccount:team:a:b", nil, []string{"system:authenticated"}},
	} {
		if diff := cmp.Diff(c.want, NewSubject(c.user, c.groups...).Groups); diff != "" {
			t.Errorf("%s: %s", c.user, diff)
		}
	}
	for group, want := range map[string][]string{
		"devs":                       {"devs", "system:authenticated"},
		"system:unauthenticated":     {"system:unauthenticated"},
		"system:authenticated":       {"system:authenticated"},
		"system:serviceaccounts:red": {"system:authenticated", "system:serviceaccounts", "system:serviceaccounts:red"},
	} {
		if diff := cmp.Diff(Subject{Groups: want}, Member(group)); diff != "" {
			t.Errorf("%s: %s", group, diff)
		}
	}
}

func TestSubject(t *testing.T) {
	x := NewIndex(snapshot(bind("", "b", "ClusterRole", "view", group("devs"), group("both"), rbacv1.Subject{Kind: "User", Name: "both"})))
	for name, want := range map[string]bool{
		"devs": true, "both": false, "jane": false, Anonymous: false, Authenticated: true, Masters: true,
		ServiceAccounts + ":team": true, "system:serviceaccount:team:ci": false,
	} {
		s, got := x.Subject(name, "more")
		if got != want || (s.User == "") != want || !slices.Contains(s.Groups, "more") {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// A live cluster goes by what is stored: neither by what Kubernetes makes, nor by
// what an aggregated role would collect.
func TestLive(t *testing.T) {
	view := clusterRole("view", rule("get", "", "pods"))
	view.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"extra": "1"}}}}
	extra := clusterRole("extra", rule("get", "", "secrets"))
	extra.Labels = map[string]string{"extra": "1"}
	objects := []any{view, extra,
		bind("", "a", "ClusterRole", "view", account("team", "a")), bind("", "b", "ClusterRole", "edit", account("team", "b")),
		bind("kube-system", "c", "Role", "extension-apiserver-authentication-reader", account("team", "c")), bind("", "d", "ClusterRole", "gone", account("team", "d"))}
	for _, c := range []struct {
		name     string
		lists    []evidence.Listing
		account  string
		resource string
		may      bool
		unknown  int
		lost     bool
	}{
		{"stored rules", nil, "a", "pods", true, 0, false},
		{"not collected yet", nil, "a", "secrets", false, 0, false},
		{"not the rules of the built-in", nil, "a", "services", false, 0, false},
		{"built-in role that could not be listed", []evidence.Listing{{Resource: "clusterroles.rbac.authorization.k8s.io", Error: "forbidden"}}, "b", "services", true, 0, false},
		{"deleted built-in role", []evidence.Listing{{Resource: "clusterroles.rbac.authorization.k8s.io"}}, "b", "services", false, 1, true},
		{"role that could not be listed", []evidence.Listing{{Resource: "clusterroles.rbac.authorization.k8s.io", Error: "forbidden"}}, "d", "pods", false, 1, false},
		{"role that does not exist", []evidence.Listing{{Resource: "clusterroles.rbac.authorization.k8s.io"}}, "d", "pods", false, 1, true},
		{"roles of another namespace were listed", []evidence.Listing{{Resource: "roles.rbac.authorization.k8s.io", Namespace: "team"}}, "c", "configmaps", true, 0, false},
		{"deleted built-in Role", []evidence.Listing{{Resource: "roles.rbac.authorization.k8s.io"}}, "c", "configmaps", false, 1, true},
	} {
		snap := snapshot(objects...)
		snap.Cluster = &evidence.Cluster{Lists: c.lists}
		x := NewIndex(snap)
		q := Request{Verb: "get", Resource: c.resource, Name: "extension-apiserver-authentication"}
		if _, ok := x.Can(ServiceAccount("team", c.account), q, "kube-system"); ok != c.may {
			t.Errorf("%s: may: %t", c.name, ok)
		}
		unknown := x.Unknown(ServiceAccount("team", c.account), "kube-system")
		if len(unknown) != c.unknown {
			t.Errorf("%s: %d bindings lead to unknown roles", c.name, len(unknown))
		}
		if got := len(unknown) > 0 && x.Lost(unknown[0]); got != c.lost {
			t.Errorf("%s: lost: %t", c.name, got)
		}
	}
}

func TestParseResource(t *testing.T) {
	custom := []Names{
		{Group: "shop.example.com", Plural: "carts", Singular: "cart", Short: []string{"ct"}},
		{Group: "shop.example.com", Plural: "regions", Singular: "region", Cluster: true},
		{Group: "cluster.example.com", Plural: "deployments", Singular: "deployment"},
	}
	for _, c := range []struct {
		text, group, name string
		scope             Scope
		known             bool
	}{
		{"pods", "", "pods", Namespaced, true}, {"po", "", "pods", Namespaced, true}, {"Pod", "", "pods", Namespaced, true},
		{"pods/exec", "", "pods/exec", Namespaced, true}, {"po/exec", "", "pods/exec", Namespaced, true},
		{"deploy", "apps", "deployments", Namespaced, true}, {"deployments.apps", "apps", "deployments", Namespaced, true},
		{"deployments.v1.apps/scale", "apps", "deployments/scale", Namespaced, true}, {"secrets.v1.", "", "secrets", Namespaced, true},
		{"deployments.cluster.example.com", "cluster.example.com", "deployments", Namespaced, true},
		{"events", "", "events", Namespaced, true}, {"ev.events.k8s.io", "events.k8s.io", "events", Namespaced, true},
		{"no/proxy", "", "nodes/proxy", ClusterWide, true}, {"nodes.metrics.k8s.io", "metrics.k8s.io", "nodes", ClusterWide, true},
		{"ingress", "networking.k8s.io", "ingresses", Namespaced, true}, {"ingress.extensions", "extensions", "ingresses", Namespaced, true},
		{"crd", "apiextensions.k8s.io", "customresourcedefinitions", ClusterWide, true},
		{"users", "", "users", ClusterWide, true}, {"userextras/scopes", "authentication.k8s.io", "userextras/scopes", ClusterWide, true},
		{"signers", "certificates.k8s.io", "signers", ClusterWide, true},
		{"ct", "shop.example.com", "carts", Namespaced, true}, {"regions", "shop.example.com", "regions", ClusterWide, true},
		{"*", "*", "*", ClusterWide, true}, {"*/scale", "*", "*/scale", ClusterWide, true}, {"*.apps", "apps", "*", Namespaced, true},
		{"widgets", "", "widgets", Namespaced, false}, {"widgets.example.com", "example.com", "widgets", UnknownScope, false},
		{"widgets.v1beta1.example.com", "example.com", "widgets", UnknownScope, false}, {"", "", "", Namespaced, false},
	} {
		if diff := cmp.Diff(Resource{c.group, c.name, c.scope, c.known}, ParseResource(c.text, custom)); diff != "" {
			t.Errorf("%s: %s", c.text, diff)
		}
	}
}

// Every resource of the table has a known scope, and a word of its own.
func TestOwnResources(t *testing.T) {
	seen := map[string]bool{}
	for _, n := range ownResources() {
		if name := n.Plural + "." + n.Group; seen[name] {
			t.Errorf("%s is there twice", name)
		} else {
			seen[name] = true
		}
		if ScopeOf(n.Group, n.Plural) == UnknownScope {
			t.Errorf("%s.%s has no scope", n.Plural, n.Group)
		}
		if got := ParseResource(n.Plural+"."+n.Group, nil); got.Name != n.Plural || got.Group != n.Group {
			t.Errorf("%s.%s is taken for %+v", n.Plural, n.Group, got)
		}
		if strings.ToLower(n.Singular) != n.Singular || slices.Contains(n.Short, "") {
			t.Errorf("%+v", n)
		}
	}
}
