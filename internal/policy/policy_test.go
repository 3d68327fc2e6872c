package policy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/engine"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func load(t *testing.T, text string) *Set {
	t.Helper()
	s, err := Load([]File{{"policy.yaml", []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func snapshot(t *testing.T, text string) *evidence.Snapshot {
	t.Helper()
	snap, src := &evidence.Snapshot{}, &evidence.Source{Type: "manifest"}
	r := manifest.Reader{Options: manifest.Options{KeepJSON: true}}
	manifest.Add(snap, src, r.Read("objects.yaml", []byte(text)))
	for _, issues := range [][]evidence.Issue{src.Errors, src.Skipped} {
		for _, i := range issues {
			t.Fatalf("objects: %s", i)
		}
	}
	return snap
}

func judge(t *testing.T, s *Set, snap *evidence.Snapshot) ([]engine.Extra, []*evidence.Source) {
	t.Helper()
	found, rows, err := s.Judge(context.Background(), snap)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Type != "policy" || r.Documents != r.Objects+len(r.Skipped)+len(r.Errors) {
			t.Errorf("row %+v: documents are not objects + skipped + errors", r)
		}
	}
	return found, rows
}

// ofObjects are the findings about the objects that are written, without those
// about the pods that they create.
func ofObjects(found []engine.Extra) []engine.Extra {
	return slices.DeleteFunc(slices.Clone(found), func(f engine.Extra) bool { return strings.HasPrefix(f.Problem.Message, "the pods it creates") })
}

func lines(found []engine.Extra) []string {
	var out []string
	for _, f := range found {
		out = append(out, fmt.Sprintf("%s: %s: %s", f.Rule, f.Ref, f.Problem.Message))
	}
	slices.Sort(out)
	return out
}

func warnings(rows []*evidence.Source) string {
	var out []string
	for _, r := range rows {
		for _, w := range r.Warnings {
			out = append(out, w.String())
		}
	}
	return strings.Join(out, "\n")
}

// The want.txt of each case was written by the API server's own admission plugin
// (k8s.io/apiserver v0.37.2), which was given the policies, one binding at a
// time, and asked about the creation of each object.
func TestLikeTheAPIServer(t *testing.T) {
	dirs, err := filepath.Glob("testdata/cases/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no cases (%v)", err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			set := load(t, string(read(t, filepath.Join(dir, "policy.yaml"))))
			found, _ := judge(t, set, snapshot(t, string(read(t, filepath.Join(dir, "objects.yaml")))))
			want := strings.Split(strings.TrimSpace(string(read(t, filepath.Join(dir, "want.txt")))), "\n")
			if diff := cmp.Diff(want, lines(ofObjects(found))); diff != "" {
				t.Errorf("the API server says - and not +:\n%s", diff)
			}
			seen := map[string]string{}
			for _, f := range found {
				id := engine.Fingerprint(f.Rule, f.Ref, f.Problem.Container, f.Problem.Path)
				if seen[id] != "" {
					t.Errorf("two findings with one fingerprint: %q and %q", seen[id], f.Problem.Message)
				}
				seen[id] = f.Problem.Message
			}
		})
	}
}

// onConfigMaps is a policy with a spec of its own on ConfigMaps, or another resource.
func onConfigMaps(name, more string) string {
	return onResource(name, `{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}`, more)
}

func onResource(name, rule, more string) string {
	return fmt.Sprintf(`---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: %s}
spec:
  matchConstraints: {resourceRules: [%s]}
%s
`, name, rule, more)
}

const deny = "  validations: [{expression: 'false', message: denied}]"

func boundBy(policy, more string) string {
	return fmt.Sprintf("---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\nmetadata: {name: %s-b}\nspec: {policyName: %s, %s}\n", policy, policy, more)
}

const configMap = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: shop}\n"

func TestLoadErrors(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"broken YAML":       {"a: b: c\n", `^policy.yaml:1: `},
		"no policy":         {configMap, "no ValidatingAdmissionPolicy"},
		"nothing":           {"", "no ValidatingAdmissionPolicy"},
		"no object":         {"a: 1\n", "policy.yaml:1: not an object"},
		"unknown field":     {onConfigMaps("a", "  validation: []\n"+deny), `policy.yaml:7: ValidatingAdmissionPolicy: unknown field "spec.validation"`},
		"wrong type":        {onConfigMaps("a", "  validations: 1"), "policy.yaml:7: ValidatingAdmissionPolicy: "},
		"unknown version":   {strings.Replace(onConfigMaps("a", deny), "/v1", "/v1alpha1", 1), "policy.yaml:2: admissionregistration.k8s.io/v1alpha1: want"},
		"other kind":        {strings.Replace(onConfigMaps("a", deny), "ValidatingAdmissionPolicy", "MutatingAdmissionPolicy", 1), "policy.yaml:3: kind MutatingAdmissionPolicy"},
		"no validations":    {onConfigMaps("a", ""), `policy "a" has no validations`},
		"broken CEL":        {onConfigMaps("a", "  validations:\n    - message: b\n      expression: object.metadata.name ==\n"), "policy.yaml:9: spec.validations[0].expression: Syntax error"},
		"unknown name":      {onConfigMaps("a", "  validations:\n    - expression: objct.metadata.name == ''\n"), "policy.yaml:8: spec.validations[0].expression: undeclared reference to 'objct'"},
		"second line":       {onConfigMaps("a", "  validations:\n    - expression: |\n        true &&\n        nothing\n"), "policy.yaml:8: spec.validations[0].expression: line 2 of the expression: undeclared reference to 'nothing'"},
		"no boolean":        {onConfigMaps("a", "  validations: [{expression: '1 + 1'}]"), "must evaluate to bool but got int"},
		"message no string": {onConfigMaps("a", "  validations: [{expression: 'true', messageExpression: '1'}]"), "spec.validations[0].messageExpression: must evaluate to string"},
		"message asks":      {onConfigMaps("a", "  validations: [{expression: 'true', messageExpression: 'string(authorizer.group(\"\").resource(\"a\").check(\"get\").allowed())'}]"), "undeclared reference to 'authorizer'"},
		"variable":          {onConfigMaps("a", "  variables: [{name: v, expression: 'x'}]\n"+deny), "spec.variables[0].expression: undeclared"},
		"later variable":    {onConfigMaps("a", "  variables: [{name: v, expression: 'variables.w'}, {name: w, expression: '1'}]\n"+deny), "spec.variables[0].expression: undefined field 'w'"},
		"condition":         {onConfigMaps("a", "  matchConditions: [{name: v, expression: 'x'}]\n"+deny), "spec.matchConditions[0].expression: undeclared"},
		"params without":    {onConfigMaps("a", "  validations: [{expression: 'params != null'}]"), "undeclared reference to 'params'"},
		"twice":             {onConfigMaps("a", deny) + onConfigMaps("a", deny), `policy "a" is written twice`},
		"failure policy":    {onConfigMaps("a", "  failurePolicy: Sometimes\n"+deny), "want Fail or Ignore"},
		"recommendation":    {strings.Replace(onConfigMaps("a", deny), "{name: a}", "{name: a, annotations: {gabion.dev/recommendation: POD-99}}", 1), `policy.yaml:4: gabion.dev/recommendation: there is no recommendation "POD-99"`},
		"severity":          {strings.Replace(onConfigMaps("a", deny), "{name: a}", "{name: a, annotations: {gabion.dev/severity: grave}}", 1), "policy.yaml:4: gabion.dev/severity: "},
		"no actions":        {onConfigMaps("a", deny) + boundBy("a", "validationActions: []"), "validationActions must name"},
		"unknown action":    {onConfigMaps("a", deny) + boundBy("a", "validationActions: [Shout]"), `validation action "Shout"`},
		"param ref":         {onConfigMaps("a", deny) + boundBy("a", "validationActions: [Deny], paramRef: {parameterNotFoundAction: Deny}"), "paramRef needs either"},
		"selector":          {onConfigMaps("a", deny) + boundBy("a", "validationActions: [Deny], matchResources: {objectSelector: {matchExpressions: [{key: a, operator: Near}]}}"), "objectSelector: "},
		"deep":              {onConfigMaps("a", "  validations: [{expression: '"+strings.Repeat("(", 50_000)+"true"+strings.Repeat(")", 50_000)+"'}]"), "spec.validations[0].expression: "},
		"long":              {onConfigMaps("a", "  validations: [{expression: '"+strings.Repeat("true && ", 50_000)+"true'}]"), "spec.validations[0].expression: "},
		"empty rule":        {onResource("a", "{resources: [pods]}", deny), "a resource rule needs"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load([]File{{"policy.yaml", []byte(test.text)}})
			if err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(test.want, "^")) {
				t.Errorf("%v, want %q in\n%s", err, test.want, test.text)
			}
		})
	}
}

func TestFindings(t *testing.T) {
	annotated := strings.Replace(onConfigMaps("noted", "  validations: [{expression: '!has(object.data) || !has(object.data.mode)', message: b}]"), "{name: noted}",
		"{name: noted, annotations: {gabion.dev/recommendation: SEC-01, gabion.dev/severity: high, gabion.dev/remedy: take it out}}", 1)
	set := load(t, annotated+boundBy("noted", "validationActions: [Deny]")+
		onConfigMaps("warns", deny)+boundBy("warns", "validationActions: [Warn]")+
		onConfigMaps("audits", deny)+boundBy("audits", "validationActions: [Audit]")+
		onConfigMaps("both", deny)+boundBy("both", "validationActions: [Audit]")+boundBy("both", "validationActions: [Deny]")+
		onConfigMaps("unbound", "  validations: [{expression: 'object.data.all(k, k.size() > 9) && object.metadata.name == \"\"'}]"))
	found, rows := judge(t, set, snapshot(t, configMap+"data:\n  mode: x\n"))
	type row struct {
		Recommendation, Path, Remedy, Reason string
		Severity                             guide.Severity
		Line                                 int
	}
	got := map[string]row{}
	for _, f := range found {
		if _, twice := got[f.Rule]; twice {
			t.Errorf("%s: two findings", f.Rule)
		}
		got[f.Rule] = row{f.Recommendation, f.Problem.Path.String(), f.Problem.Remedy, f.Problem.SeverityReason, f.Severity, f.Ref.Position(f.Problem.Path).Line}
	}
	want := map[string]row{
		"noted":   {"SEC-01", "data.mode", "take it out", "", guide.High, 6},
		"warns":   {"", "", "make the object satisfy false", "binding warns-b only warns", guide.Low, 2},
		"audits":  {"", "", "make the object satisfy false", "binding audits-b only audits", guide.Info, 2},
		"both":    {"", "", "make the object satisfy false", "", guide.Medium, 2},
		"unbound": {"", "", `make the object satisfy object.data.all(k, k.size() > 9) && object.metadata.name == ""`, "no binding was given, without which a cluster does nothing: judged as if one denied everywhere", guide.Medium, 2},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if w := warnings(rows); w != "" {
		t.Errorf("warnings:\n%s", w)
	}
}

// What cannot be judged is said, and gives no finding.
func TestUnknowns(t *testing.T) {
	const everything = `{apiGroups: ["*"], apiVersions: ["*"], operations: ["*"], resources: ["*"]}`
	inNamespace := func(selector string) string {
		return strings.Replace(onConfigMaps("a", deny), "matchConstraints: {", "matchConstraints: {namespaceSelector: "+selector+", ", 1)
	}
	for name, test := range map[string]struct {
		policy, objects string
		findings        int
		want            string
	}{
		"Secret":               {onResource("a", everything, deny), "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shop}\nstringData: {a: b}\n", 0, "Secret shop/s: the content of Secrets is not kept"},
		"authorizer":           {onConfigMaps("a", "  validations: [{expression: 'authorizer.group(\"\").resource(\"pods\").check(\"get\").allowed()'}]"), configMap, 0, "ConfigMap shop/a: it asks the authorizer"},
		"authorizer, variable": {onConfigMaps("a", "  variables: [{name: v, expression: 'authorizer.group(\"\").resource(\"pods\").check(\"get\").allowed()'}]\n  validations: [{expression: variables.v}]"), configMap, 0, "it asks the authorizer"},
		"namespace labels":     {inNamespace("{matchLabels: {stage: prod}}"), configMap, 0, `the labels of namespace "shop" decide`},
		"namespace name":       {inNamespace("{matchLabels: {kubernetes.io/metadata.name: shop}}"), configMap, 1, ""},
		"other name":           {inNamespace("{matchLabels: {kubernetes.io/metadata.name: dev, stage: prod}}"), configMap, 0, ""},
		"namespace object":     {onConfigMaps("a", "  validations: [{expression: \"namespaceObject.metadata.name == 'x'\"}]"), configMap, 0, `the labels of namespace "shop" decide`},
		"ignored error":        {onConfigMaps("a", "  failurePolicy: Ignore\n  validations: [{expression: 'object.data.x == 1'}]"), configMap, 0, "failurePolicy Ignore admits what cannot be judged"},
		"params missing":       {onConfigMaps("a", "  paramKind: {apiVersion: example.com/v1, kind: Limits}\n"+deny) + boundBy("a", "validationActions: [Deny], paramRef: {name: x, parameterNotFoundAction: Allow}"), configMap, 0, "takes its parameters from a Limits that was not given"},
		"params denied":        {onConfigMaps("a", "  paramKind: {apiVersion: example.com/v1, kind: Limits}\n"+deny) + boundBy("a", "validationActions: [Deny], paramRef: {name: x, parameterNotFoundAction: Deny}"), configMap, 1, ""},
		"foreign binding":      {onConfigMaps("a", deny) + boundBy("b", "validationActions: [Deny]"), "", 0, `policy.yaml:12: binding "b-b" has no effect`},
		"updates only":         {onResource("a", `{apiGroups: [""], apiVersions: [v1], operations: [UPDATE], resources: [configmaps]}`, deny), configMap, 0, "says nothing of the creation"},
		"guessed name":         {onResource("a", `{apiGroups: [example.com], apiVersions: [v1], operations: [CREATE], resources: [octopodes]}`, deny), "apiVersion: example.com/v1\nkind: Octopus\nmetadata: {name: a}\n", 0, `taken to be called "octopuses"`},
		"about policies":       {onResource("a", everything, deny), strings.TrimPrefix(boundBy("x", "validationActions: [Deny]"), "---\n"), 0, ""},
		"several":              {onResource("a", everything, deny), strings.Repeat("---\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shop}\n", 3), 0, "3 objects, such as Secret shop/s"},
	} {
		t.Run(name, func(t *testing.T) {
			found, rows := judge(t, load(t, test.policy), snapshot(t, test.objects))
			if len(found) != test.findings {
				t.Errorf("findings: %q", lines(found))
			}
			if w := warnings(rows); !strings.Contains(w, test.want) || test.want == "" && strings.Contains(w, "was not judged") {
				t.Errorf("warnings:\n%s\nwant %q", w, test.want)
			}
		})
	}
}

// Kinds, their resources and their other versions.
func TestResources(t *testing.T) {
	const crd = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: octopodes.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Octopus, plural: octopodes}
  versions: [{name: v1}, {name: v1beta1}]
---
`
	for _, test := range []struct {
		apiVersion, kind, group, version, resource string
		exact, want                                bool
	}{
		{"apps/v1", "Deployment", "apps", "v1", "deployments", true, true},
		{"extensions/v1beta1", "Deployment", "apps", "v1", "deployments", false, true},
		{"extensions/v1beta1", "Deployment", "apps", "v1", "deployments", true, false},
		{"apps/v1", "Deployment", "apps", "v1beta2", "deployments", false, false},
		{"networking.k8s.io/v1", "Ingress", "networking.k8s.io", "v1", "ingresses", true, true},
		{"networking.k8s.io/v1", "NetworkPolicy", "networking.k8s.io", "*", "networkpolicies", true, true},
		{"policy/v1", "PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets", true, true},
		{"storage.k8s.io/v1", "StorageClass", "storage.k8s.io", "v1", "storageclasses", true, true},
		{"v1", "Endpoints", "", "v1", "endpoints", true, true},
		{"autoscaling/v2", "HorizontalPodAutoscaler", "autoscaling", "v1", "horizontalpodautoscalers", false, true},
		{"example.com/v1", "Octopus", "example.com", "v1", "octopodes", true, true},
		{"example.com/v1", "Octopus", "example.com", "v1beta1", "octopodes", false, true},
		{"example.com/v1", "Octopus", "example.com", "v2", "octopodes", false, false},
	} {
		match := ""
		if test.exact {
			match = "matchPolicy: Exact, "
		}
		rule := fmt.Sprintf(`{apiGroups: [%q], apiVersions: [%q], operations: [CREATE], resources: [%s]}`, test.group, test.version, test.resource)
		text := strings.Replace(onResource("a", rule, deny), "matchConstraints: {", "matchConstraints: {"+match, 1)
		object := fmt.Sprintf(crd+"apiVersion: %s\nkind: %s\nmetadata: {name: a, namespace: b}\n", test.apiVersion, test.kind)
		found, _ := judge(t, load(t, text), snapshot(t, object))
		if (len(found) == 1) != test.want {
			t.Errorf("%+v: %q", test, lines(found))
		}
	}
}

// The API server fills in defaults before it asks a policy, and drops fields it
// does not have.
func TestDefaults(t *testing.T) {
	const objects = `apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {containers: [{name: c, image: "registry:5000/c", ports: [{containerPort: 80}], imagePullPolice: x, resources: {limits: {cpu: 1}}}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec: {selector: {}, template: {spec: {containers: [{name: c, image: "c:1", livenessProbe: {httpGet: {port: 80}}}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: a}
spec: {podSelector: {}, egress: [{ports: [{port: 53}]}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: a}
spec: {schedule: "* * * * *", jobTemplate: {spec: {template: {spec: {containers: [{name: c, image: c}], restartPolicy: Never}}}}}
`
	for kind, expression := range map[string]string{
		"Pod":           `object.spec.containers[0].imagePullPolicy == "Always" && object.spec.containers[0].ports[0].protocol == "TCP" && !has(object.spec.containers[0].imagePullPolice) && object.spec.containers[0].resources.requests.cpu == "1" && object.metadata.namespace == "default"`,
		"Deployment":    `object.spec.replicas == 1 && object.spec.strategy.rollingUpdate.maxSurge == "25%" && object.spec.template.spec.terminationGracePeriodSeconds == 30 && object.spec.template.spec.containers[0].imagePullPolicy == "IfNotPresent" && object.spec.template.spec.containers[0].livenessProbe.periodSeconds == 10`,
		"Service":       `object.spec.type == "ClusterIP" && object.spec.ports[0].targetPort == 80 && object.spec.internalTrafficPolicy == "Cluster"`,
		"NetworkPolicy": `object.spec.policyTypes == ["Ingress", "Egress"] && object.spec.egress[0].ports[0].protocol == "TCP"`,
		"CronJob":       `object.spec.concurrencyPolicy == "Allow" && object.spec.suspend == false && object.spec.jobTemplate.spec.template.spec.restartPolicy == "Never"`,
	} {
		text := onResource("a", `{apiGroups: ["*"], apiVersions: ["*"], operations: [CREATE], resources: ["*"]}`,
			fmt.Sprintf("  matchConditions: [{name: kind, expression: 'object.kind == %q'}]\n  validations: [{expression: '%s'}]", kind, expression))
		found, _ := judge(t, load(t, text), snapshot(t, objects))
		if found = ofObjects(found); len(found) > 0 {
			t.Errorf("%s: %q", kind, lines(found))
		}
		text = strings.Replace(text, "expression: '"+expression, "expression: '!("+expression+")", 1)
		if found, _ := judge(t, load(t, text), snapshot(t, objects)); len(ofObjects(found)) != 1 {
			t.Errorf("%s: judged %d times", kind, len(found))
		}
	}
}

func TestPullPolicy(t *testing.T) {
	for image, want := range map[string]string{
		"a": "Always", "a:latest": "Always", "r:5000/a": "Always", "a:1": "IfNotPresent", "r:5000/a:1": "IfNotPresent",
		"a@sha256:00": "IfNotPresent", "a:1@sha256:00": "IfNotPresent", "a:latest@sha256:00": "Always",
	} {
		if got := string(pullPolicy(image)); got != want {
			t.Errorf("%s: %s, want %s", image, got, want)
		}
	}
}

func TestFieldOf(t *testing.T) {
	for expression, want := range map[string]string{
		"object.spec.hostNetwork == false":                                       "spec.hostNetwork",
		"!has(object.spec.hostNetwork) || object.spec.hostNetwork == false":      "spec.hostNetwork",
		"!has(object.spec) || !has(object.spec.a) || object.spec.a.b":            "spec.a.b",
		"object.spec.containers.all(c, c.image != '')":                           "spec.containers",
		"object.spec.?hostNetwork.orValue(false)":                                "spec.hostNetwork",
		"object.spec.a == object.spec.b":                                         "",
		"oldObject == null":                                                      "",
		"params.x":                                                               "",
		"object.metadata.labels['a'] == 'b'":                                     "metadata.labels",
		"object == null":                                                         "",
		"variables.object.spec == 1 || object.spec.a.startsWith('x')":            "spec.a",
		"request.namespace == '' || object.spec.template.spec.hostPID.orTrue ()": "spec.template.spec.hostPID",
	} {
		if got := strings.Join(fieldOf(expression), "."); got != want {
			t.Errorf("%s: %q, want %q", expression, got, want)
		}
	}
}

// A policy that costs too much is given up, and that is said. One that is within
// the limit for each object is given up in the end as well.
func TestCost(t *testing.T) {
	const thirty = "[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29]"
	text := onConfigMaps("dear", "  validations: [{expression: '"+thirty+".all(a, "+thirty+".all(b, "+thirty+".all(c, "+thirty+".all(d, a + b + c + d >= 0))))'}]") +
		onConfigMaps("cheap", deny)
	var objects strings.Builder
	for i := range 50 {
		fmt.Fprintf(&objects, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a%d, namespace: b}\n", i)
	}
	found, rows := judge(t, load(t, text), snapshot(t, objects.String()))
	if n := len(found); n != mostTooDear+50 {
		t.Errorf("%d findings: the dear one is not given up, or the cheap one is", n)
	}
	if w := warnings(rows); !strings.Contains(w, `policy "dear" was not judged on 40 objects, such as ConfigMap b/a10: its expressions cost more`) {
		t.Errorf("warnings:\n%s", w)
	}
	var s state
	s.charge(evaluation{spent: mostCost})
	if s.stopped == "" {
		t.Error("the cost of all objects is not bounded")
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, err := load(t, onConfigMaps("a", deny)).Judge(ctx, snapshot(t, configMap))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// Parameters of a custom kind, and some that are among the scanned objects.
func TestParams(t *testing.T) {
	text := onConfigMaps("custom", "  paramKind: {apiVersion: example.com/v1, kind: Limits}\n  validations: [{expression: 'object.data.size() <= params.spec.most', messageExpression: \"params.kind + string(params.spec.most)\"}]") +
		boundBy("custom", "validationActions: [Deny], paramRef: {name: l, parameterNotFoundAction: Deny}") +
		"---\napiVersion: example.com/v1\nkind: Limits\nmetadata: {name: l}\nspec: {most: 1}\n" +
		onConfigMaps("scanned", "  paramKind: {apiVersion: v1, kind: ConfigMap}\n  matchConditions: [{name: a, expression: 'object.metadata.name == \"a\"'}]\n  validations: [{expression: 'params.data.ok == \"yes\"', message: scanned}]") +
		boundBy("scanned", "validationActions: [Deny], paramRef: {name: p, parameterNotFoundAction: Deny}")
	found, _ := judge(t, load(t, text), snapshot(t, configMap+"data: {x: a, y: b}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: p, namespace: shop}\ndata: {ok: \"no\"}\n"))
	want := []string{"custom: ConfigMap shop/a: Limits1", "scanned: ConfigMap shop/a: scanned"}
	if diff := cmp.Diff(want, lines(found)); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkJudge(b *testing.B) {
	text, err := os.ReadFile("testdata/cases/workloads/policy.yaml")
	if err != nil {
		b.Fatal(err)
	}
	set, err := Load([]File{{"policy.yaml", text}})
	if err != nil {
		b.Fatal(err)
	}
	objects, err := os.ReadFile("testdata/cases/workloads/objects.yaml")
	if err != nil {
		b.Fatal(err)
	}
	snap := &evidence.Snapshot{}
	r := manifest.Reader{Options: manifest.Options{KeepJSON: true}}
	for range 2000 {
		manifest.Add(snap, &evidence.Source{}, r.Read("objects.yaml", objects))
	}
	for b.Loop() {
		if _, _, err := set.Judge(context.Background(), snap); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(snap.Objects)*b.N)/b.Elapsed().Seconds(), "objects/s")
}
