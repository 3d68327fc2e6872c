package chart

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/fix/fieldpath"
	"github.com/gabion-k8s/gabion/internal/fix/rendered"
	"github.com/gabion-k8s/gabion/internal/source/helm"
)

// pod is a template of a Pod with lines in its spec.
func pod(spec ...string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n" + lines(spec...)
}

func lines(list ...string) string { return strings.Join(list, "\n") + "\n" }

// folder writes a chart into a folder of its own.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	all := map[string]string{"Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n"}
	maps.Copy(all, files)
	for name, text := range all {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A made chart is one in which fields were set.
type made struct {
	rendered.Result
	dir    string
	chart  *helm.Chart
	before rendered.Files
}

// set sets fields of the Pod web, PATH=VALUE. All files but the schemas may be edited.
func set(t *testing.T, files map[string]string, o helm.Options, fields ...string) made {
	t.Helper()
	m := made{dir: folder(t, files), before: rendered.Files{}}
	var err error
	if m.chart, err = helm.LoadDir(m.dir); err != nil {
		t.Fatal(err)
	}
	values := []string{filepath.Join(m.dir, "values.yaml")}
	for i, name := range o.ValuesFiles {
		o.ValuesFiles[i] = filepath.Join(m.dir, name)
		values = append(values, o.ValuesFiles[i])
	}
	for name, text := range files {
		m.before[filepath.Join(m.dir, name)] = []byte(text)
	}
	m.Result, err = New(t.Context(), m.chart, o, values).Make(m.before, wants(t, fields))
	if err != nil {
		t.Fatal(err)
	}
	m.onlyThese(t, o, fields)
	return m
}

func wants(t *testing.T, fields []string) (list []rendered.Want) {
	t.Helper()
	for _, f := range fields {
		path, value, _ := strings.Cut(f, "=")
		want, err := rendered.NewWant("Pod web", path, value)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, want)
	}
	return list
}

// onlyThese renders the chart with a Maker that knows nothing of the first, and finds no
// field changed but those that were set, and these have their values.
func (m made) onlyThese(t *testing.T, o helm.Options, fields []string) {
	t.Helper()
	look := func(files rendered.Files) map[string]any {
		w, _, err := New(t.Context(), m.chart, o, nil).Render(files)
		if err != nil {
			t.Fatal(err)
		}
		flat := map[string]any{"rest": w.Rest}
		for _, o := range w.Objects {
			flatten(flat, o.Tree, o.ID+": ", nil)
		}
		return flat
	}
	was, now := look(m.before), look(m.Files)
	set := map[string]any{}
	for i, want := range wants(t, fields) {
		if m.Done[i] {
			flatten(set, want.Value, want.Object+": ", want.Path)
		}
	}
	for at := range set {
		if !reflect.DeepEqual(set[at], now[at]) {
			t.Errorf("%s is %v, want %v", at, now[at], set[at])
		}
	}
	maps.Copy(was, set)
	if diff := cmp.Diff(was, now); diff != "" {
		t.Errorf("something else changed (-want +got):\n%s", diff)
	}
}

func flatten(flat map[string]any, tree any, id string, at fieldpath.Path) {
	switch v := tree.(type) {
	case map[string]any:
		for name, child := range v {
			flatten(flat, child, id, at.Below(fieldpath.Step{Name: name}))
		}
	case []any:
		for i, child := range v {
			flatten(flat, child, id, at.Below(fieldpath.Step{Index: i}))
		}
	default:
		flat[id+at.String()] = v
	}
}

// changed are the lines that are not in the files as they were, and those that are gone.
func (m made) changed() (list []string) {
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		was, now := strings.Split(string(m.before[name]), "\n"), strings.Split(string(m.Files[name]), "\n")
		short, err := filepath.Rel(m.dir, name)
		if err != nil {
			short = name
		}
		for _, side := range []struct {
			sign       string
			lines, not []string
		}{{"-", was, now}, {"+", now, was}} {
			for _, l := range side.lines {
				if !slices.Contains(side.not, l) {
					list = append(list, short+side.sign+l)
				}
			}
		}
	}
	return list
}

// TestWhereFieldsAreSet holds where a field is set in charts of all kinds.
func TestWhereFieldsAreSet(t *testing.T) {
	t.Parallel()
	const token, users, automount = "spec.automountServiceAccountToken=false", "spec.hostUsers=false", "  automountServiceAccountToken: "
	for name, test := range map[string]struct {
		files  map[string]string
		values []string // files with --values
		set    []string // --set
		field  string
		want   []string // changed lines, none when the field cannot be set
	}{
		"a literal": {
			files: map[string]string{"templates/a.yaml": pod(automount + "true # ours")},
			field: token,
			want:  []string{"templates/a.yaml-" + automount + "true # ours", "templates/a.yaml+" + automount + "false # ours"},
		},
		"a value": {
			files: map[string]string{"templates/a.yaml": pod(automount + "{{ .Values.token }}"), "values.yaml": "token: true # ours\n"},
			field: token,
			want:  []string{"values.yaml-token: true # ours", "values.yaml+token: false # ours"},
		},
		"a value that a default replaces": {
			files: map[string]string{"templates/a.yaml": pod(automount + "{{ .Values.token | default true }}"), "values.yaml": "other: 1\n"},
			field: "spec.automountServiceAccountToken=0", // counts as missing
		},
		"the last file of values": {
			files:  map[string]string{"templates/a.yaml": pod(automount + "{{ .Values.token }}"), "values.yaml": "token: true\n", "one.yaml": "token: true\n", "two.yaml": "token: true\n"},
			values: []string{"one.yaml", "two.yaml"},
			field:  token,
			want:   []string{"two.yaml-token: true", "two.yaml+token: false"},
		},
		"a new key, of a mapping that several files have": {
			files:  map[string]string{"templates/a.yaml": pod("  {{- toYaml .Values.pod | nindent 2 }}"), "values.yaml": "pod:\n  hostPID: false\n", "one.yaml": "pod:\n  hostNetwork: false\n"},
			values: []string{"one.yaml"},
			field:  users,
			want:   []string{"one.yaml+  hostUsers: false"},
		},
		"a value of the command line": {
			files: map[string]string{"templates/a.yaml": pod(automount + "{{ .Values.token }}"), "values.yaml": "token: true\n"},
			set:   []string{"token=true"},
			field: token,
		},
		"a mapping of the values": {
			files: map[string]string{"templates/a.yaml": pod("  {{- toYaml .Values.pod | nindent 2 }}"), "values.yaml": "pod:\n  hostNetwork: false # ours\n"},
			field: users,
			want:  []string{"values.yaml+  hostUsers: false"},
		},
		"an anchor that two keys share": {
			files: map[string]string{"templates/a.yaml": pod("  {{- toYaml .Values.pod | nindent 2 }}"), "values.yaml": "base: &base {hostNetwork: false}\npod: *base\n"},
			field: users,
			want:  []string{"templates/a.yaml+  hostUsers: false"},
		},
		"an anchor that is merged": {
			files: map[string]string{"templates/a.yaml": pod("  {{- toYaml .Values.pod | nindent 2 }}"), "values.yaml": "base: &base\n  hostNetwork: false\npod:\n  <<: *base\n  hostPID: false\n"},
			field: users,
			want:  []string{"values.yaml+  hostUsers: false"},
		},
		"line ends of Windows": {
			files: map[string]string{"templates/a.yaml": strings.ReplaceAll(pod("  hostNetwork: false"), "\n", "\r\n")},
			field: users,
			want:  []string{"templates/a.yaml+  hostUsers: false\r"},
		},
		"line ends of Windows in the values": {
			files: map[string]string{"templates/a.yaml": pod("  {{- toYaml .Values.pod | nindent 2 }}"), "values.yaml": "pod:\r\n  hostNetwork: false\r\n"},
			field: users,
			want:  []string{"values.yaml+  hostUsers: false\r"},
		},
		"a value that another field has as well": {
			files: map[string]string{"templates/a.yaml": pod(automount+"{{ .Values.on }}", "  hostPID: {{ .Values.on }}"), "values.yaml": "on: true\n"},
			field: token,
		},
		"a value without which a template fails": {
			files: map[string]string{"templates/a.yaml": pod(automount+"{{ .Values.token }}", `  {{- if not .Values.token }}{{ fail "no" }}{{ end }}`), "values.yaml": "token: true\n"},
			field: token,
		},
		"a chart of which another template fails": {
			files: map[string]string{"templates/a.yaml": pod(automount + "{{ .Values.token }}"), "templates/b.yaml": `{{ fail "always" }}`, "values.yaml": "token: true\n"},
			field: token,
			want:  []string{"values.yaml-token: true", "values.yaml+token: false"},
		},
		"a schema that forbids it": {
			files: map[string]string{
				"templates/a.yaml": pod(automount + "{{ .Values.token }}"), "values.yaml": "token: true\n",
				"values.schema.json": `{"properties": {"token": {"const": true}}}`,
			},
			field: token,
		},
		"helpers that include each other": {
			files: map[string]string{
				"templates/a.yaml":      pod(automount+"true", "  hostNetwork: false"),
				"templates/b.yaml":      `{{ include "a" . }}`,
				"templates/_helper.tpl": `{{ define "a" }}{{ include "b" . }}{{ end }}{{ define "b" }}{{ include "a" . }}{{ end }}`,
			},
			field: token,
			want:  []string{"templates/a.yaml-" + automount + "true", "templates/a.yaml+" + automount + "false"},
		},
		"a value that would be a template": {
			files: map[string]string{"templates/a.yaml": pod("  schedulerName: ours")},
			field: `spec.schedulerName="{{ .Values }}"`,
		},
		"names that look like marks": {
			files: map[string]string{"templates/a.yaml": pod("  {{- toYaml .Values.pod | nindent 2 }}"), "values.yaml": "pod: {gabionmark0: x, gabionmark99999999999999999999: y}\n"},
			field: users,
			want:  []string{"values.yaml-pod: {gabionmark0: x, gabionmark99999999999999999999: y}", "values.yaml+pod: {gabionmark0: x, gabionmark99999999999999999999: y, hostUsers: false}"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := set(t, test.files, helm.Options{ValuesFiles: slices.Clone(test.values), Set: test.set}, test.field)
			if diff := cmp.Diff(test.want, m.changed()); diff != "" {
				t.Errorf("changed lines (-want +got):\n%s", diff)
			}
			if m.Done[0] != (test.want != nil) || m.Done[0] == (m.Reason[0] != "") {
				t.Errorf("done: %t, because %q", m.Done[0], m.Reason[0])
			}
		})
	}
}

// TestHugeCharts: what is large costs time and memory in proportion, and no crash.
func TestHugeCharts(t *testing.T) {
	t.Parallel()
	var many, deep strings.Builder
	for i := range 2 * maxMarks {
		fmt.Fprintf(&many, "k%d: {}\n", i)
	}
	for i := range 500 {
		deep.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	for name, values := range map[string]string{
		"a long text":          "note: " + strings.Repeat("x", 1<<20) + "\n",
		"more keys than tried": many.String(),
		"deep":                 deep.String(),
		"aliases of aliases":   "a: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\nd: [*c, *c, *c, *c]\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			files := map[string]string{"templates/a.yaml": pod("  hostNetwork: false", `  schedulerName: {{ .Values.name | default "x" }}`), "values.yaml": values}
			if m := set(t, files, helm.Options{}, "spec.hostUsers=false"); !m.Done[0] {
				t.Errorf("not done: %s", m.Reason[0])
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

// TestOneEditForTwo: what a helper or a value makes of two objects is set for both or for
// none of them.
func TestOneEditForTwo(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"templates/a.yaml": "{{- range list \"web\" \"mail\" }}\n---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ . }}\nspec:\n  hostPID: true\n{{- end }}\n",
	}
	if m := set(t, files, helm.Options{}, "spec.hostPID=false"); m.Done[0] || len(m.changed()) > 0 {
		t.Errorf("for one: %q", m.changed())
	}
	dir := folder(t, files)
	loaded, err := helm.LoadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	both := wants(t, []string{"spec.hostPID=false", "spec.hostPID=false"})
	both[1].Object = "Pod mail"
	template := filepath.Join(dir, "templates/a.yaml")
	got, err := New(t.Context(), loaded, helm.Options{}, nil).Make(rendered.Files{template: []byte(files["templates/a.yaml"])}, both)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(files["templates/a.yaml"], "hostPID: true", "hostPID: false", 1)
	if diff := cmp.Diff(want, string(got.Files[template])); diff != "" {
		t.Errorf("for both (-want +got):\n%s", diff)
	}
}

// TestParseKey reads keys as Helm's --set has them.
func TestParseKey(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"image.tag": "image.tag", "hosts[0].name": "hosts[0].name", `a\.b.c`: `["a.b"].c`, "": "", "[2]": "[2]",
		"a[x]": "", "a[1": "", `a\`: `a\`, "..a..": "a",
	} {
		if got := parseKey(text).String(); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// TestBlock writes values as people do, and what it writes is read as what was meant.
func TestBlock(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ path, value, want string }{
		{"a.b", "true", "a:\n  b: true"},
		{"a[0].b", "{c: [x, y], d: {}}", "a:\n  - b:\n      c:\n        - x\n        - y\n      d: {}"},
		{`["a: b"]`, `"off"`, "'a: b': \"off\""},
		{"a", `"x: #y"`, `a: "x: #y"`},
		{"a[1]", "x", ""},
		{"a", "[}", ""},
	} {
		at, err := fieldpath.Parse(c.path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, strings.Join(block(at, c.value, 0), "\n")); diff != "" {
			t.Errorf("%s=%s (-want +got):\n%s", c.path, c.value, diff)
		}
	}
}
