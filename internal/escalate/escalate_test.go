package escalate_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/escalate"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/rbac"
)

// An example is a cluster with the chains that are expected in it, in comments:
//
//	# version: 1.36              the newest by default
//	# to: node                   for the lines that follow; cluster-admin by default
//	# from: NAME NAME            whom to ask about; the default starts by default
//	# path: FROM -> technique -> TO -> technique -> TO
//	# none                       there is no path to this target
//	# closed: FROM -> technique -> TO | the guards
//	# all: FROM -> …             with Options.All
type example struct {
	version evidence.Version
	queries []*query
}

type query struct {
	to            escalate.Target
	from          []string
	paths, closed []string
	all           []string
	none          bool
}

func parse(t *testing.T, file, src string) example {
	t.Helper()
	ex := example{version: evidence.Newest()}
	q := &query{to: escalate.ClusterAdmin}
	ex.queries = append(ex.queries, q)
	for lines := bufio.NewScanner(strings.NewReader(src)); lines.Scan(); {
		key, value, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "# "), ":")
		value = strings.TrimSpace(value)
		if !strings.HasPrefix(lines.Text(), "# ") {
			continue
		}
		var err error
		switch key {
		case "version":
			ex.version, err = evidence.ParseVersion(value)
		case "to":
			if len(q.paths)+len(q.closed)+len(q.all) > 0 || q.none || len(q.from) > 0 {
				q = &query{}
				ex.queries = append(ex.queries, q)
			}
			q.to, err = escalate.ParseTarget(value)
		case "from":
			q.from = strings.Fields(value)
		case "path":
			q.paths = append(q.paths, value)
		case "closed":
			q.closed = append(q.closed, value)
		case "all":
			q.all = append(q.all, value)
		case "none":
			q.none = true
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	return ex
}

func load(t *testing.T, file, src string) *evidence.Snapshot {
	t.Helper()
	snap := checktest.Load(t, file, src)
	snap.Cluster = &evidence.Cluster{Name: "example"}
	return snap
}

func read(t *testing.T, file string) string {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(src)
}

func subjects(g *escalate.Graph, names []string) (list []rbac.Subject) {
	if len(names) == 0 {
		return g.Starts()
	}
	for _, name := range names {
		list = append(list, g.Find(name)...)
	}
	return list
}

func chain(p escalate.Path) string {
	text := p.From
	var closed []string
	for _, h := range p.Hops {
		text += " -> " + h.Technique + " -> " + h.To
		if h.ClosedBy != "" {
			closed = append(closed, h.ClosedBy)
		}
	}
	if len(closed) > 0 {
		text += " | " + strings.Join(closed, ", ")
	}
	return text
}

func chains(paths []escalate.Path) (list []string) {
	for _, p := range paths {
		list = append(list, chain(p))
	}
	return list
}

func examples(t *testing.T) []string {
	t.Helper()
	files, _ := filepath.Glob("testdata/*.yaml")
	if len(files) < 20 {
		t.Fatalf("only %d examples", len(files))
	}
	return files
}

func TestExamples(t *testing.T) {
	shown := map[string]bool{}
	for _, file := range examples(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			src := read(t, file)
			ex, snap := parse(t, file, src), load(t, file, src)
			index := rbac.NewIndex(snap)
			g := escalate.New(snap, index, ex.version)
			for _, q := range ex.queries {
				if len(q.paths) == 0 != q.none {
					t.Fatalf("to %s: neither paths nor none expected, or both", q.to)
				}
				from := subjects(g, q.from)
				paths, cut := g.Paths(from, q.to, escalate.Options{})
				compare(t, q.to, q.paths, paths)
				closed, _ := g.Paths(from, q.to, escalate.Options{Closed: true})
				compare(t, q.to, q.closed, closed)
				if len(q.all) > 0 {
					all, _ := g.Paths(from, q.to, escalate.Options{All: true})
					compare(t, q.to, q.all, all)
				}
				if cut {
					t.Errorf("to %s: cut", q.to)
				}
				for _, p := range paths {
					verify(t, g, index, p)
					for _, h := range p.Hops {
						shown[h.Technique] = true
						t.Logf("%s %s: %s %+v %+v", h.From, h.Technique, h.Why, h.Permission, h.Also)
					}
				}
			}
		})
	}
	for _, technique := range escalate.Techniques() {
		if !shown[technique.ID] {
			t.Errorf("no example has a path by %s", technique.ID)
		}
	}
}

func compare(t *testing.T, to escalate.Target, want []string, got []escalate.Path) {
	t.Helper()
	a, b := slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(chains(got)))
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("to %s (-want +got):\n%s", to, diff)
	}
}

// verify asks the index about every permission of a path.
func verify(t *testing.T, g *escalate.Graph, index *rbac.Index, p escalate.Path) {
	t.Helper()
	for i, h := range p.Hops {
		if i == 0 && h.From != p.From || i > 0 && h.From != p.Hops[i-1].To {
			t.Errorf("%s: hop %d begins at %s", chain(p), i, h.From)
		}
		if h.Why == "" {
			t.Errorf("%s: hop %d says not why", chain(p), i)
		}
		if h.Permission == (escalate.Permission{}) {
			continue
		}
		for _, grant := range append([]escalate.Grant{{Permission: h.Permission, GrantedBy: h.GrantedBy}}, h.Also...) {
			if !allowed(g, index, h.From, grant) {
				t.Errorf("%s: hop %d: %s may not: %+v", chain(p), i, h.From, grant)
			}
		}
	}
}

func allowed(g *escalate.Graph, index *rbac.Index, from string, want escalate.Grant) bool {
	p := want.Permission
	q := rbac.Request{Verb: p.Verb, Group: p.APIGroup, Resource: p.Resource, Name: p.Name}
	for _, who := range g.Find(from) {
		for granted := range index.Granted(who) {
			if granted.Rule == nil || granted.Namespace != "" && granted.Namespace != p.Namespace || !rbac.Allows(granted.Rule, q) {
				continue
			}
			b, r := granted.Binding, granted.Role
			if want.GrantedBy.Binding == (escalate.Object{Kind: b.Kind, Namespace: b.Namespace, Name: b.Name}) &&
				want.GrantedBy.Role == (escalate.Object{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}) &&
				&r.Rules[want.GrantedBy.Rule] == granted.Rule {
				return true
			}
		}
	}
	return false
}

func words(s string) []string { return strings.Fields(s) }

func TestParseTarget(t *testing.T) {
	for s, ok := range map[string]bool{
		"cluster-admin": true, "node": true, "secrets:team": true, "serviceaccount:team:ci": true,
		"": false, "nodes": false, "secrets:": false, "secrets:a:b": false, "serviceaccount:ci": false, "serviceaccount::ci": false,
		"serviceaccount:a:b:c": false, "system:serviceaccount:a:b": false,
	} {
		if to, err := escalate.ParseTarget(s); (err == nil) != ok || ok && string(to) != s {
			t.Errorf("%q: %q, %v", s, to, err)
		}
	}
}

// The document is that of the contract, with what a hop takes besides.
func TestJSON(t *testing.T) {
	c := newCluster()
	c.namespace("team", "")
	c.account("team", "boss")
	c.clusterRole("pods", rule("", "configmaps", "get"), rule("", "pods", "create"))
	c.bind("team", "pods", "ClusterRole", "pods", account("team", "ci"))
	g := escalate.New(c.snap, rbac.NewIndex(c.snap), evidence.Newest())
	paths, _ := g.Paths(g.Find("system:serviceaccount:team:ci"), "serviceaccount:team:boss", escalate.Options{})
	got, err := json.Marshal(paths)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"from":"system:serviceaccount:team:ci","to":"serviceaccount:team:boss","hops":[{"from":"system:serviceaccount:team:ci",` +
		`"to":"system:serviceaccount:team:boss","technique":"create-pods","why":"a pod in namespace team can run as any of its ServiceAccounts",` +
		`"permission":{"verb":"create","apiGroup":"","resource":"pods","namespace":"team","name":""},` +
		`"grantedBy":{"binding":{"kind":"RoleBinding","namespace":"team","name":"pods"},"role":{"kind":"ClusterRole","namespace":"","name":"pods"},"rule":1}}]}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestFind(t *testing.T) {
	c := newCluster()
	c.bind("", "a", "ClusterRole", "view", rbacv1.Subject{Kind: rbacv1.GroupKind, Name: "devs"}, rbacv1.Subject{Kind: rbacv1.GroupKind, Name: "both"},
		rbacv1.Subject{Kind: rbacv1.UserKind, Name: "both"})
	g := escalate.New(c.snap, rbac.NewIndex(c.snap), evidence.Newest())
	for name, want := range map[string][]rbac.Subject{
		"alice":            {{User: "alice", Groups: []string{rbac.Authenticated}}},
		"devs":             {{Groups: []string{"devs", rbac.Authenticated}}},
		"both":             {{User: "both", Groups: []string{rbac.Authenticated}}, {Groups: []string{"both", rbac.Authenticated}}},
		"system:anonymous": {{User: rbac.Anonymous, Groups: []string{rbac.Unauthenticated}}},
		"system:masters":   {{Groups: []string{rbac.Masters, rbac.Authenticated}}},
		"system:nodes":     {{Groups: []string{"system:nodes", rbac.Authenticated}}},
		"system:node:one":  {{User: "system:node:one", Groups: []string{"system:nodes", rbac.Authenticated}}},

		"system:serviceaccount:a:b": {rbac.ServiceAccount("a", "b")},
	} {
		if diff := cmp.Diff(want, g.Find(name)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTechniques(t *testing.T) {
	seen := map[string]bool{}
	for _, technique := range escalate.Techniques() {
		if seen[technique.ID] || technique.ID == "" || technique.Title == "" || technique.Doc == "" {
			t.Errorf("technique %q is not whole, or not the only one of its name", technique.ID)
		}
		seen[technique.ID] = true
	}
}
