package admissionpolicy

import (
	"strings"
	"testing"

	celgo "github.com/google/cel-go/cel"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/policy"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

// registries makes a policy of every rule.
var registries = []string{"registry.example.com/shop"}

func minor(m int) evidence.Version { return evidence.Version{Major: 1, Minor: m} }

// documents are the objects of a text, decoded strictly.
func documents(t *testing.T, text string) (policies []*admissionregistrationv1.ValidatingAdmissionPolicy, bindings []*admissionregistrationv1.ValidatingAdmissionPolicyBinding) {
	t.Helper()
	for _, doc := range strings.Split(text, "---\n")[1:] {
		var kind struct{ Kind string }
		if err := yaml.Unmarshal([]byte(doc), &kind); err != nil {
			t.Fatal(err)
		}
		var into any
		if kind.Kind == "ValidatingAdmissionPolicy" {
			policies = append(policies, new(admissionregistrationv1.ValidatingAdmissionPolicy))
			into = policies[len(policies)-1]
		} else {
			bindings = append(bindings, new(admissionregistrationv1.ValidatingAdmissionPolicyBinding))
			into = bindings[len(bindings)-1]
		}
		if err := yaml.UnmarshalStrict([]byte(doc), into); err != nil {
			t.Fatal(err)
		}
	}
	return policies, bindings
}

type accessor struct {
	name, text string
	types      []*celgo.Type
}

func (a accessor) GetName() string            { return a.name }
func (a accessor) GetExpression() string      { return a.text }
func (a accessor) ReturnTypes() []*celgo.Type { return a.types }

// Every expression compiles as the API server compiles a policy that is new to it, in the
// oldest release as in the newest.
func TestCompiles(t *testing.T) {
	for _, v := range []evidence.Version{minor(30), minor(33), minor(34), evidence.Newest()} {
		r, err := Generate(Options{Version: v, Registries: registries})
		if err != nil {
			t.Fatal(err)
		}
		policies, bindings := documents(t, r.Text)
		if len(policies) != 13 || len(bindings) != len(policies) {
			t.Fatalf("%d policies and %d bindings", len(policies), len(bindings))
		}
		for i, p := range policies {
			if bindings[i].Spec.PolicyName != p.Name {
				t.Errorf("%s is bound by %s", p.Name, bindings[i].Spec.PolicyName)
			}
			compiler, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(version.MajorMinor(1, uint(v.Minor))))
			if err != nil {
				t.Fatal(err)
			}
			for _, variable := range p.Spec.Variables {
				result := compiler.CompileAndStoreVariable(accessor{variable.Name, variable.Expression, []*celgo.Type{celgo.AnyType, celgo.DynType}}, cel.OptionalVariableDeclarations{}, environment.NewExpressions)
				if result.Error != nil {
					t.Errorf("%s, %s, variable %s: %v", v, p.Name, variable.Name, result.Error)
				}
			}
			compile := func(text string, as *celgo.Type) {
				if result := compiler.CompileCELExpression(accessor{"", text, []*celgo.Type{as}}, cel.OptionalVariableDeclarations{}, environment.NewExpressions); result.Error != nil {
					t.Errorf("%s, %s: %v", v, p.Name, result.Error)
				}
			}
			for _, rule := range p.Spec.Validations {
				compile(rule.Expression, celgo.BoolType)
				compile(rule.MessageExpression, celgo.StringType)
				if strings.ContainsAny(rule.Message, "\n") || rule.Message == "" {
					t.Errorf("%s: message %q", p.Name, rule.Message)
				}
			}
			for _, a := range p.Spec.AuditAnnotations {
				compile(a.ValueExpression, celgo.StringType)
			}
		}
	}
}

// A policy says of every example of its rule what the rule says.
func TestAgreesWithRule(t *testing.T) {
	for _, id := range Rules() {
		var c *check.Check
		for _, one := range checks.All() {
			if one.ID == id {
				c = one
			}
		}
		failing, passing := 0, 0
		for file, src := range examples(t, id) {
			settings := checktest.Scan(t, file, src).Settings
			if !settings.Version.AtLeast(oldest) || id == checks.TrustedRegistry.ID && settings.TrustedRegistries == nil {
				continue
			}
			r, err := Generate(Options{Rules: []string{id}, Registries: settings.TrustedRegistries, Version: settings.Version})
			if err != nil {
				t.Fatal(err)
			}
			said := saidOf(t, r.Text, load(t, file, src))
			run := checktest.Judge(t, file, src, c)
			failed := map[string][]check.Problem{}
			for _, f := range run.Failures {
				failed[f.Ref.String()] = append(failed[f.Ref.String()], f.Problem)
			}
			open := map[string]bool{}
			for _, u := range run.Unknowns {
				open[u.Scope] = true
			}
			for _, w := range load(t, file, src).Workloads {
				name := w.Ref.String()
				switch problems, text := failed[name], said[name]; {
				case len(problems) > 0:
					failing++
					if text == "" {
						t.Errorf("%s: %s: a problem (%s) that the policy does not see", file, name, problems[0].Message)
					}
					for _, p := range problems {
						if p.Container != "" && !strings.Contains(text, p.Container) {
							t.Errorf("%s: %s: container %s is not named in %q", file, name, p.Container, text)
						}
					}
				case open[name]: // the rule cannot tell: the policy refuses what no runtime would accept
				default:
					passing++
					if text != "" {
						t.Errorf("%s: %s: no problem, and the policy says %q", file, name, text)
					}
				}
			}
		}
		if failing == 0 || passing == 0 {
			t.Errorf("%s: %d failing and %d passing examples", id, failing, passing)
		}
	}
}

// saidOf is what the policies of a text say to each object, and to the pods of each, with
// what the API server adds to pods before it asks a policy.
func saidOf(t *testing.T, text string, snap *evidence.Snapshot) map[string]string {
	t.Helper()
	set, err := policy.Load([]policy.File{{Name: "generated", Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	completePods(t, snap)
	extras, rows, err := set.Judge(t.Context(), snap)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		for _, w := range row.Warnings {
			t.Errorf("not judged: %s", w)
		}
	}
	said := map[string]string{}
	for _, e := range extras {
		said[e.Ref.String()] += e.Problem.Message + "\n"
	}
	return said
}

// load reads an example with the JSON that policies are judged on, its namespaces too.
func load(t *testing.T, file, src string) *evidence.Snapshot {
	t.Helper()
	snap, source := &evidence.Snapshot{}, &evidence.Source{Type: "manifest", Ref: file}
	reader := manifest.Reader{Options: manifest.Options{KeepJSON: true}}
	manifest.Add(snap, source, reader.Read(file, []byte(src)))
	return snap
}
