package carrier

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

const web = `containers: [{name: web, image: "example.org/web:1"}]`

func TestShape(t *testing.T) {
	tests := []struct {
		name  string
		group string // example.org when empty
		kind  string // Shop when empty
		yaml  string // without apiVersion and kind
		want  []string
	}{
		{
			name: "template",
			yaml: `spec: {replicas: 2, template: {metadata: {labels: {a: b}}, spec: {` + web + `}}}`,
			want: []string{`spec.template.spec "" web x2 meta:spec.template.metadata shape`},
		},
		{
			name: "every list of containers",
			yaml: `spec: {template: {spec: {initContainers: [{name: a, image: a}], ` + web + `, ephemeralContainers: [{name: e, image: e}]}}}`,
			want: []string{`spec.template.spec "" init:a web ephemeral:e shape`},
		},
		{
			name: "directly in the spec, where the metadata are the object's",
			yaml: `{metadata: {name: a}, spec: {` + web + `}}`,
			want: []string{`spec "spec" web shape`},
		},
		{
			name: "several, in lists",
			yaml: `spec: {groups: [{name: a, pod: {spec: {` + web + `}}}, {pod: {spec: {` + web + `}}}]}`,
			want: []string{
				`spec.groups[0].pod.spec "spec.groups[a].pod.spec" web shape`,
				`spec.groups[1].pod.spec "spec.groups[1].pod.spec" web shape`,
			},
		},
		{
			name: "equal names do not give equal keys",
			yaml: `spec: {groups: [{name: a, pod: {` + web + `}}, {name: a, pod: {` + web + `}}]}`,
			want: []string{
				`spec.groups[0].pod "spec.groups[a].pod" web shape`,
				`spec.groups[1].pod "spec.groups[1].pod" web shape`,
			},
		},
		{
			name: "whole objects inside another",
			yaml: `spec: {workload: {manifests: [{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 1, template: {spec: {` + web + `}}}}]}}`,
			want: []string{`spec.workload.manifests[0].spec.template.spec "spec.workload.manifests[0].spec.template.spec" web x1 shape`},
		},
		{
			name: "below a field that ends in Template",
			yaml: `podTemplate: {` + web + `}`,
			want: []string{`podTemplate "podTemplate" web shape`},
		},
		{
			name: "no image, but a field of pods",
			yaml: `spec: {pod: {hostNetwork: true, containers: [{name: web}]}}`,
			want: []string{`spec.pod "spec.pod" web shape`},
		},
		{
			name: "a field with a dot in its name",
			yaml: `spec: {"a.b": {` + web + `}}`,
			want: []string{`spec["a.b"] "spec.a.b" web shape`},
		},
		{
			name:  "a known kind whose table does not fit",
			group: "ray.io", kind: "RayCluster",
			yaml: `spec: {novel: {template: {spec: {` + web + `}}}}`,
			want: []string{`spec.novel.template.spec "spec.novel.template.spec" web shape`},
		},

		{name: "no spec above it", yaml: `data: {` + web + `}`},
		{name: "names only", yaml: `spec: {containers: [{name: web}]}`},
		{name: "no names", yaml: `spec: {containers: [{image: web}]}`},
		{name: "one without name", yaml: `spec: {containers: [{name: web, image: web}, {image: b}]}`},
		{name: "empty list", yaml: `spec: {hostNetwork: true, containers: []}`},
		{name: "strings", yaml: `spec: {hostNetwork: true, containers: [web]}`},
		{name: "a map", yaml: `spec: {hostNetwork: true, containers: {web: {image: a}}}`},
		{name: "what was observed", yaml: `status: {spec: {` + web + `}}`},
		{name: "annotations", yaml: `{metadata: {template: {` + web + `}}}`},
		{name: "values of a chart", yaml: `spec: {values: {` + web + `}, source: {helm: {valuesObject: {` + web + `}}}}`},
		{name: "a schema", yaml: `spec: {versions: [{schema: {openAPIV3Schema: {properties: {spec: {` + web + `}}}}}]}`},
		{name: "a CustomResourceDefinition", group: "apiextensions.k8s.io", kind: "CustomResourceDefinition",
			yaml: `spec: {versions: [{schema: {x: {spec: {` + web + `}}}}]}`},
		{name: "history of a built-in kind", group: "apps", kind: "ControllerRevision", yaml: `data: {spec: {template: {spec: {` + web + `}}}}`},
		{name: "ConfigMap", group: "", kind: "ConfigMap", yaml: `spec: {` + web + `}`},
		{name: "a policy's pattern", group: "kyverno.io", kind: "ClusterPolicy", yaml: `spec: {rules: [{validate: {pattern: {spec: {` + web + `}}}}]}`},
		{name: "a pattern elsewhere", yaml: `spec: {rules: [{pattern: {spec: {` + web + `}}}]}`},
		{name: "a Rollout that refers to a Deployment", group: "argoproj.io", kind: "Rollout", yaml: `spec: {workloadRef: {name: "containers"}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			data, err := yaml.YAMLToJSONStrict([]byte(test.yaml))
			if err != nil {
				t.Fatal(err)
			}
			group, kind := test.group, test.kind
			if kind == "" {
				group, kind = "example.org", "Shop"
			}
			found, errs := Find(group, kind, data)
			for _, err := range errs {
				t.Error(err)
			}
			var got []string
			for _, f := range found {
				got = append(got, describeTemplate(f))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("templates (-want +got):\n%s", diff)
			}
		})
	}
}

// One template that cannot be read does not hide the others.
func TestFindErrors(t *testing.T) {
	tests := []struct {
		name, group, kind, yaml string
		want                    []string // errors
		templates               int
	}{
		{
			"a bad port by shape", "example.org", "Shop",
			`spec: {a: {containers: [{name: web, image: a, ports: [{containerPort: "80"}]}]}, b: {` + web + `}}`,
			[]string{`spec.a.containers[0].ports[0].containerPort: want a number, got string "80"`}, 1,
		},
		{
			"a bad task of a table kind", "batch.volcano.sh", "Job",
			`spec: {tasks: [{name: a, template: {spec: {containers: web}}}, {name: b, template: {spec: {` + web + `}}}]}`,
			[]string{`spec.tasks[0].template.spec.containers: want a list, got a string`}, 1,
		},
		{
			"a list where the table has an object", "argoproj.io", "Rollout", `spec: [1]`,
			[]string{`spec: want an object, got a list`}, 0,
		},
		{
			"an object where the table has a list", "tekton.dev", "Task", `spec: {steps: {name: a}}`,
			[]string{`spec.steps: want a list, got an object`}, 0,
		},
		{
			"a bad element that stands elsewhere", "tekton.dev", "Task",
			`spec: {steps: [{name: a, image: a, securityContext: {privileged: "yes"}}]}`,
			[]string{`spec.steps[0].securityContext.privileged: want true or false, got string "yes"`}, 0,
		},
		{
			"replicas in words", "argoproj.io", "Rollout", `spec: {replicas: "three", template: {spec: {` + web + `}}}`,
			[]string{`spec.replicas: want a number, got string "three"`}, 1,
		},
		{
			"metadata of a wrong kind", "argoproj.io", "Rollout", `spec: {template: {metadata: {labels: [a]}, spec: {` + web + `}}}`,
			[]string{`spec.template.metadata.labels: want an object, got a list`}, 1,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			data, err := yaml.YAMLToJSONStrict([]byte(test.yaml))
			if err != nil {
				t.Fatal(err)
			}
			found, errs := Find(test.group, test.kind, data)
			var got []string
			for _, err := range errs {
				got = append(got, err.Error())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
			if len(found) != test.templates {
				t.Errorf("%d templates, want %d", len(found), test.templates)
			}
		})
	}
}

func TestHostileObjects(t *testing.T) {
	pod := `{"containers":[{"name":"web","image":"a"}]}`
	deep := func(n int, open, end string) string {
		return `{"spec":` + strings.Repeat(open, n) + pod + strings.Repeat(end, n) + `}`
	}
	tests := []struct {
		name, data string
		templates  int
		errors     string // part of the last error; "" for none
	}{
		{"as deep as allowed", deep(maxDepth-2, `{"a":`, `}`), 1, ""},
		{"deeper than allowed", deep(maxDepth+10, `{"a":`, `}`), 0, "nested deeper than 32 levels"},
		{"deeper than the decoder allows", deep(20000, `{"a":`, `}`), 0, "not valid JSON"},
		{"deep lists", deep(9000, `[`, `]`), 0, "nested deeper than 32 levels"},
		{"deep without pods", `{"spec":` + strings.Repeat(`{"a":`, 5000) + `1` + strings.Repeat(`}`, 5000) + `}`, 0, ""},
		{"many", `{"spec":[` + strings.Repeat(pod+",", 3000) + pod + `]}`, maxTemplates, "more than 1000 pod templates"},
		{"broken", `{"spec":{"containers":[`, 0, "not valid JSON"},
		{"not an object", `["containers"]`, 0, ""},
		{"empty", ``, 0, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			found, errs := Find("example.org", "Shop", []byte(test.data))
			if len(found) != test.templates {
				t.Errorf("%d templates, want %d", len(found), test.templates)
			}
			switch {
			case test.errors == "" && len(errs) > 0:
				t.Errorf("unexpected error: %v", errs[0])
			case test.errors != "" && (len(errs) == 0 || !strings.Contains(errs[len(errs)-1].Error(), test.errors)):
				t.Errorf("errors %v, want one with %q", errs, test.errors)
			}
		})
	}
	for _, r := range table { // a table kind whose object is broken
		kind, _, _ := strings.Cut(r.kinds, " ")
		for _, data := range []string{"", "null", "1", "[]", `{"spec":1}`, `{"spec":{"template":null}}`, `{"spec"`} {
			if found, _ := Find(r.group, kind, []byte(data)); len(found) > 0 && found[0].Partial == "" {
				t.Errorf("%s %s: %q gives a pod", r.group, kind, data)
			}
		}
	}
	tasks := strings.Repeat(fmt.Sprintf(`{"name":"a","template":{"spec":%s}},`, pod), 3000)
	found, errs := Find("batch.volcano.sh", "Job", []byte(`{"spec":{"tasks":[`+strings.TrimSuffix(tasks, ",")+`]}}`))
	if len(found) != maxTemplates || len(errs) != 1 {
		t.Errorf("%d templates, errors %v", len(found), errs)
	}
}

func FuzzFind(f *testing.F) {
	for _, e := range examples(f) {
		f.Add(e.group, e.kind, e.json)
		f.Add("example.org", e.kind, e.json)
	}
	f.Fuzz(func(t *testing.T, group, kind string, data []byte) {
		found, errs := Find(group, kind, data)
		if len(found)+len(errs) > 3*maxTemplates {
			t.Errorf("%d templates and %d errors", len(found), len(errs))
		}
		keys := map[string]bool{}
		for _, template := range found {
			if template.Pod == nil {
				t.Fatalf("%s has no pod", template.Path)
			}
			if key := template.Path.Key(); keys[key] {
				t.Errorf("two templates have the key %q", key)
			} else {
				keys[key] = true
			}
		}
		for _, err := range errs {
			if err.Error() == "" {
				t.Error("an error without text")
			}
		}
	})
}

func BenchmarkFindNothing(b *testing.B) {
	data := []byte(`{"apiVersion":"example.org/v1","kind":"Shop","spec":{"items":[` + strings.Repeat(`{"name":"a"},`, 50000) + `{}]}}`)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		Find("example.org", "Shop", data)
	}
}
