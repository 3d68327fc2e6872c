// Package gabion_test states the architecture of the whole module: which room
// may import which, and what no package does.
package gabion_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/gabion-k8s/gabion/"

// rooms says what each room may import of the others, and which modules of
// others; a prefix ending in / stands for everything below it. The standard
// library is free but for purity, below. Tests may import what they like.
var rooms = map[string][]string{
	"cmd/gabion":                        {"internal/cli"},
	"internal/cli":                      {"internal/", "k8s.io/api/rbac/v1", "k8s.io/api/core/v1", "github.com/spf13/cobra", "github.com/spf13/pflag", "golang.org/x/term", "go.yaml.in/yaml/v3", "sigs.k8s.io/yaml", "k8s.io/apimachinery/"},
	"internal/guide":                    {"go.yaml.in/yaml/v3"},
	"internal/evidence":                 {"k8s.io/api/", "k8s.io/apimachinery/"},
	"internal/credential":               {},
	"internal/rbac":                     {"internal/evidence", "k8s.io/api/", "k8s.io/apimachinery/"},
	"internal/reach/interval":           {},
	"internal/reach/ports":              {"internal/reach/interval"},
	"internal/reach/cidr":               {"internal/reach/interval"},
	"internal/reach/netpol":             {"internal/evidence", "internal/reach/"},
	"internal/reach/kubernetes":         {"internal/evidence", "internal/reach/", "k8s.io/api/", "k8s.io/apimachinery/", "sigs.k8s.io/json"},
	"internal/reach/cilium":             {"internal/evidence", "internal/reach/", "k8s.io/apimachinery/", "sigs.k8s.io/json"},
	"internal/reach/calico":             {"internal/evidence", "internal/reach/", "k8s.io/apimachinery/", "sigs.k8s.io/json"},
	"internal/reach/istio":              {"internal/evidence", "internal/reach/", "k8s.io/apimachinery/", "sigs.k8s.io/json"},
	"internal/reach":                    {"internal/evidence", "internal/reach/", "k8s.io/api/", "k8s.io/apimachinery/", "sigs.k8s.io/json"},
	"internal/reach/need":               {"internal/evidence", "internal/reach", "internal/reach/", "k8s.io/", "sigs.k8s.io/json"},
	"internal/check":                    {"internal/evidence", "internal/guide", "internal/rbac", "internal/reach", "internal/reach/", "k8s.io/api/"},
	"internal/checks":                   {"internal/check", "internal/firewall", "internal/evidence", "internal/guide", "internal/rbac", "internal/reach", "internal/reach/", "internal/credential", "k8s.io/api/", "k8s.io/apimachinery/", "k8s.io/pod-security-admission/", "sigs.k8s.io/json"},
	"internal/checktest":                {"internal/check", "internal/evidence", "internal/source/host", "internal/source/host/", "github.com/rogpeppe/go-internal/txtar", "golang.org/x/tools/txtar", "internal/source/cluster", "internal/source/kind", "internal/source/manifest", "internal/source/yamldoc", "k8s.io/apimachinery/"},
	"internal/engine":                   {"internal/check", "internal/evidence", "internal/guide", "internal/report"},
	"internal/report":                   {"internal/evidence", "internal/guide", "internal/picture", "golang.org/x/text/width"},
	"internal/network":                  {"internal/report", "internal/evidence", "internal/picture", "internal/reach", "internal/reach/", "k8s.io/api/"},
	"internal/picture":                  {"golang.org/x/text/width"},
	"internal/flows":                    {"internal/evidence", "internal/reach/", "sigs.k8s.io/json"},
	"internal/policy":                   {"internal/engine", "internal/check", "internal/evidence", "internal/guide", "internal/source/yamldoc", "k8s.io/", "sigs.k8s.io/", "github.com/google/cel-go/"},
	"internal/source/yamldoc":           {"internal/evidence", "go.yaml.in/yaml/v2", "go.yaml.in/yaml/v3", "golang.org/x/text/"},
	"internal/source/carrier":           {"internal/evidence", "k8s.io/api/", "k8s.io/apimachinery/", "sigs.k8s.io/json"},
	"internal/source/kind":              {"internal/evidence", "k8s.io/api/"},
	"internal/source/cluster":           {"internal/evidence", "internal/source/carrier", "internal/source/kind", "k8s.io/api/", "k8s.io/apimachinery/"},
	"internal/source/live":              {"internal/evidence", "internal/source/carrier", "internal/source/cluster", "internal/source/kind", "k8s.io/api/", "k8s.io/apimachinery/", "k8s.io/client-go/", "k8s.io/klog/v2", "sigs.k8s.io/yaml"},
	"internal/source/snapshot":          {"internal/evidence", "internal/source/carrier", "internal/source/cluster", "internal/source/kind", "internal/source/manifest", "k8s.io/api/", "k8s.io/apimachinery/", "sigs.k8s.io/json"},
	"internal/rbac/generate":            {"k8s.io/api/", "k8s.io/apimachinery/", "sigs.k8s.io/yaml"},
	"internal/firewall":                 {},
	"internal/escalate":                 {"internal/evidence", "internal/rbac", "internal/policy", "k8s.io/api/", "k8s.io/apimachinery/", "k8s.io/pod-security-admission/"},
	"internal/source/manifest":          {"internal/evidence", "internal/source/carrier", "internal/source/kind", "internal/source/yamldoc", "k8s.io/api/", "k8s.io/apimachinery/", "sigs.k8s.io/json"},
	"internal/source/helm":              {"internal/evidence", "github.com/Masterminds/sprig/v3", "golang.org/x/text/", "github.com/santhosh-tekuri/jsonschema/v6", "github.com/santhosh-tekuri/jsonschema/v6/", "helm.sh/helm/v4/", "go.yaml.in/yaml/v3", "github.com/Masterminds/", "sigs.k8s.io/yaml", "k8s.io/apimachinery/"},
	"internal/source/kustomize":         {"internal/evidence", "internal/source/yamldoc", "sigs.k8s.io/kustomize/", "go.yaml.in/yaml/v3"},
	"internal/source/gitops":            {"internal/evidence", "internal/source/helm", "sigs.k8s.io/"},
	"internal/source/host/tree":         {"internal/evidence"},
	"internal/source/host/process":      {"internal/evidence", "internal/source/host/tree"},
	"internal/source/host/netfilter":    {},
	"internal/source/host/etcd":         {"internal/evidence"},
	"internal/source/host/pki":          {"internal/evidence", "internal/source/yamldoc", "sigs.k8s.io/json"},
	"internal/source/host/system":       {"internal/evidence", "internal/source/host/tree", "internal/source/host/netfilter", "internal/source/yamldoc", "github.com/BurntSushi/toml"},
	"internal/source/host":              {"internal/evidence", "internal/source/host/", "internal/source/yamldoc", "k8s.io/api/", "sigs.k8s.io/json"},
	"internal/source/cloud":             {"internal/evidence", "k8s.io/api/core/v1", "internal/source/yamldoc", "sigs.k8s.io/json"},
	"internal/source/probe":             {"internal/evidence", "internal/source/host/pki"},
	"internal/generate":                 {"internal/evidence", "internal/firewall", "internal/source/yamldoc", "k8s.io/", "sigs.k8s.io/"},
	"internal/generate/networkpolicy":   {"internal/evidence", "internal/flows", "internal/reach", "internal/reach/", "internal/source/yamldoc", "k8s.io/", "sigs.k8s.io/"},
	"internal/generate/podsecurity":     {"internal/evidence", "k8s.io/api/", "k8s.io/apimachinery/", "k8s.io/pod-security-admission/", "sigs.k8s.io/yaml"},
	"internal/generate/admissionpolicy": {"internal/check", "internal/checks", "internal/evidence", "k8s.io/", "sigs.k8s.io/yaml", "go.yaml.in/yaml/v3"},
	"internal/generate/limits":          {"internal/evidence", "k8s.io/api/", "k8s.io/apimachinery/", "sigs.k8s.io/yaml"},
	"internal/generate/namespace":       {"internal/evidence", "internal/generate/", "k8s.io/api/", "k8s.io/apimachinery/", "sigs.k8s.io/yaml"},
	"internal/remedy":                   {"internal/check", "internal/evidence", "k8s.io/api/", "k8s.io/apimachinery/"},
	"internal/fix/patch":                {},
	"internal/apply":                    {"internal/fix/patch", "k8s.io/apimachinery/"},
	"internal/server/admission":         {"internal/check", "internal/checks", "internal/engine", "internal/evidence", "internal/guide", "internal/report", "internal/source/cluster", "internal/source/kind", "k8s.io/api/", "k8s.io/apimachinery/", "k8s.io/client-go/", "sigs.k8s.io/json"},
	"internal/fix/fieldpath":            {},
	"internal/fix/rendered":             {"internal/evidence", "internal/fix", "internal/fix/fieldpath", "internal/source/yamldoc"},
	"internal/fix/chart":                {"internal/fix", "internal/fix/fieldpath", "internal/fix/rendered", "internal/source/helm", "internal/source/yamldoc", "go.yaml.in/yaml/v3"},
	"internal/fix/overlay":              {"internal/evidence", "internal/fix", "internal/fix/fieldpath", "internal/fix/rendered", "internal/source/kustomize", "internal/source/yamldoc", "go.yaml.in/yaml/v3"},
	"internal/fix":                      {"internal/evidence", "internal/fix/fieldpath", "internal/source/yamldoc", "go.yaml.in/yaml/v3"},
	"docs/generate":                     {"internal/cli", "internal/check", "internal/checks", "internal/guide", "github.com/spf13/cobra", "github.com/spf13/cobra/doc"},
	"test/bench":                        {"go.yaml.in/yaml/v3"},
	"internal/source/files":             {"internal/evidence", "internal/source/", "go.yaml.in/yaml/v3"},
}

// pure rooms judge: they read no file, open no connection and start nothing.
var pure = []string{"internal/guide", "internal/evidence", "internal/credential", "internal/rbac", "internal/reach", "internal/network", "internal/picture", "internal/flows", "internal/fix", "internal/fix/chart", "internal/fix/fieldpath", "internal/fix/overlay", "internal/fix/patch", "internal/fix/rendered", "internal/remedy", "internal/escalate", "internal/firewall", "internal/generate", "internal/generate/admissionpolicy", "internal/generate/limits", "internal/generate/namespace", "internal/generate/networkpolicy", "internal/generate/podsecurity", "internal/reach/need",
	"internal/check", "internal/checks", "internal/engine", "internal/report"}

var impure = []string{"os", "os/exec", "net", "net/http", "syscall", "io/ioutil", "plugin"}

// forbidden modules must not be linked: too heavy for what they give, or they
// bring network and process access that nothing here should have.
var forbidden = []string{
	"helm.sh/helm/v4/pkg/action", "helm.sh/helm/v4/pkg/registry", "helm.sh/helm/v4/pkg/getter",
	"github.com/stretchr/testify", "github.com/sirupsen/logrus", "github.com/spf13/viper", "oras.land/", "google.golang.org/grpc",
}

type listed struct {
	ImportPath, Dir                    string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Imports, Deps                      []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps=false", "-json", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p listed
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 {
			list = append(list, p)
		}
	}
	if len(list) < 10 {
		t.Fatalf("only %d packages: not the whole module", len(list))
	}
	return list
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		room := strings.TrimPrefix(p.ImportPath, module)
		allowed, ok := rooms[room]
		if !ok {
			t.Errorf("%s: a room that is not in the plan: add it to rooms, with what it may import", room)
			continue
		}
		for _, imp := range p.Imports {
			name := strings.TrimPrefix(imp, module)
			switch {
			case !strings.Contains(strings.SplitN(imp, "/", 2)[0], "."):
				if slices.Contains(pure, room) && slices.Contains(impure, imp) {
					t.Errorf("%s imports %s: it judges, and must not reach for the world", room, imp)
				}
			case !permits(allowed, name):
				t.Errorf("%s imports %s", room, name)
			}
		}
		for _, dep := range p.Deps {
			for _, f := range forbidden {
				if dep == f || strings.HasPrefix(dep, strings.TrimSuffix(f, "/")+"/") {
					t.Errorf("%s links %s", room, dep)
				}
			}
		}
	}
}

func permits(allowed []string, name string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool {
		return name == a || strings.HasSuffix(a, "/") && strings.HasPrefix(name, a)
	})
}

// Every package says once what it knows and what it does not do; nothing runs
// before main; types are named.
func TestSource(t *testing.T) {
	for _, p := range packages(t) {
		var docs []string
		for _, name := range p.GoFiles {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc != nil {
				docs = append(docs, name)
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s/%s has a func init", p.ImportPath, name)
				}
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if i, ok := n.(*ast.InterfaceType); ok && len(i.Methods.List) == 0 {
					t.Errorf("%s: interface{}: write any, or better a type", fset.Position(i.Pos()))
				}
				return true
			})
		}
		if len(docs) != 1 {
			t.Errorf("%s has package comments in %v, want exactly one", p.ImportPath, docs)
		}
		room := strings.TrimPrefix(p.ImportPath, module)
		for _, part := range strings.Split(room, "/") {
			if slices.Contains([]string{"utils", "util", "common", "helpers", "manager", "misc"}, part) {
				t.Errorf("%s: the name says nothing", room)
			}
		}
	}
}
