package overlay

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/fix/fieldpath"
	"github.com/gabion-k8s/gabion/internal/fix/rendered"
)

const (
	web = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n  - name: main\n    image: registry.example/web:1\n"
	// site is of a kind whose lists no patch can merge.
	site = "apiVersion: example.org/v1\nkind: Site\nmetadata:\n  name: web\nspec:\n  parts:\n  - name: a\n    size: 1\n  - name: b\n    size: 2\n"
	head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
	file = "over/kustomization.yaml"
)

// files are an overlay of a base that has one object.
func files(object string, overlay ...string) map[string]string {
	return map[string]string{
		"base/kustomization.yaml": "resources: [object.yaml]\n", "base/object.yaml": object,
		file: head + "resources: # ours\n  - ../base\n" + strings.Join(overlay, ""),
	}
}

// written writes files into a folder of their own.
func written(t *testing.T, list map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range list {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// set sets fields, OBJECT PATH=VALUE, in the overlay of files, or in its base. It
// returns the files below a root as they are afterwards.
func set(t *testing.T, list map[string]string, base bool, fields ...string) (rendered.Result, map[string]string) {
	t.Helper()
	root, own := written(t, list), rendered.Files{}
	for name, text := range list {
		if strings.HasPrefix(name, "over/") != base {
			own[filepath.Join(root, name)] = []byte(text)
		}
	}
	m := New(t.Context(), filepath.Join(root, "over"), root, filepath.Join(root, file), base)
	var wants []rendered.Want
	for _, f := range fields {
		at, value, _ := strings.Cut(f, "=")
		i := strings.LastIndex(at, " ")
		want, err := rendered.NewWant(at[:i], at[i+1:], value)
		if err != nil {
			t.Fatal(err)
		}
		wants = append(wants, want)
	}
	result, err := m.Make(own, wants)
	if err != nil {
		t.Fatal(err)
	}
	after := maps.Clone(list)
	for name, text := range result.Files {
		short, err := filepath.Rel(root, name)
		if err != nil {
			t.Fatal(err)
		}
		after[short] = string(text)
	}
	onlyThese(t, list, after, wants, result.Done)
	return result, after
}

// onlyThese builds the overlay of files before and after, in folders of their own, and
// finds no field changed but those that were set.
func onlyThese(t *testing.T, before, after map[string]string, wants []rendered.Want, done []bool) {
	t.Helper()
	look := func(list map[string]string) map[string]any {
		root, flat := written(t, list), map[string]any{}
		w, _, err := New(t.Context(), filepath.Join(root, "over"), root, filepath.Join(root, file), false).Render(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range w.Objects {
			flatten(flat, o.Tree, o.ID+": ", nil)
		}
		return flat
	}
	was, now, set := look(before), look(after), map[string]any{}
	for i, want := range wants {
		if done[i] {
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

// TestWhereFieldsAreSet holds which files are made or changed for a field.
func TestWhereFieldsAreSet(t *testing.T) {
	t.Parallel()
	const (
		users   = "Pod web spec.hostUsers=false"
		listed  = "patches:\n  - path: gabion-patch-pod-web.yaml\n    target:\n      kind: Pod\n      name: web\n"
		patched = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  hostUsers: false\n"
		plain   = head + "resources: # ours\n  - ../base\n"
	)
	for name, test := range map[string]struct {
		files  map[string]string
		base   bool
		fields []string
		want   map[string]string // of the files that are not as they were
	}{
		"a patch": {
			files: files(web), fields: []string{users},
			want: map[string]string{file: plain + listed, "over/gabion-patch-pod-web.yaml": patched},
		},
		"an element of a list": {
			files: files(web), fields: []string{"Pod web spec.containers[0].tty=false", "Pod web spec.containers[0].stdin=false"},
			want: map[string]string{
				file:                             plain + listed,
				"over/gabion-patch-pod-web.yaml": "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n  - name: main\n    tty: false\n    stdin: false\n",
			},
		},
		"a patch that is there": {
			files:  withFile(files(web, listed), "over/gabion-patch-pod-web.yaml", "# ours\n"+patched),
			fields: []string{"Pod web spec.hostPID=false"},
			want:   map[string]string{"over/gabion-patch-pod-web.yaml": "# ours\n" + patched + "  hostPID: false\n"},
		},
		"an object that the overlay renames": {
			files: files(web, "namePrefix: new-\n"), fields: []string{"Pod new-web spec.hostUsers=false"},
			want: map[string]string{file: plain + "namePrefix: new-\n" + listed, "over/gabion-patch-pod-web.yaml": patched},
		},
		"a list that no patch can merge": {
			files: files(site), fields: []string{"Site web spec.parts[1].size=3"},
			want: map[string]string{
				file: plain + "patches:\n  - path: gabion-patch-site-web-operations.yaml\n    target:\n      kind: Site\n      name: web\n",
				"over/gabion-patch-site-web-operations.yaml": "- op: add\n  path: /spec/parts/1/size\n  value: 3\n",
			},
		},
		"line ends of Windows": {
			files: withFile(files(web), file, strings.ReplaceAll(plain, "\n", "\r\n")), fields: []string{users},
			want: map[string]string{file: strings.ReplaceAll(plain+listed, "\n", "\r\n"), "over/gabion-patch-pod-web.yaml": patched},
		},
		"the base": {
			files: files("# ours\n" + web), base: true, fields: []string{users},
			want: map[string]string{"base/object.yaml": "# ours\n" + web + "  hostUsers: false\n"},
		},
		"the base, where a patch decides": {
			files: files(web, "patches:\n  - patch: '{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {hostUsers: true}}'\n"),
			base:  true, fields: []string{users},
		},
		"the base, of an object that a patch puts an element first in": {
			files: files(web, "patches:\n  - patch: '{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: side, image: x}]}}'\n"),
			base:  true, fields: []string{"Pod web spec.containers[1].tty=false"},
			want: map[string]string{"base/object.yaml": web + "    tty: false\n"},
		},
		"a name that is no name of a file": {
			files: files(strings.ReplaceAll(web, "name: web\n", `name: "../../Web:x"`+"\n")), fields: []string{"Pod ../../Web:x spec.hostUsers=false"},
			want: map[string]string{
				file:                                     plain + "patches:\n  - path: gabion-patch-pod-..-..-web-x.yaml\n    target:\n      kind: Pod\n      name: '\\.\\./\\.\\./Web:x'\n",
				"over/gabion-patch-pod-..-..-web-x.yaml": strings.ReplaceAll(patched, "name: web", "name: ../../Web:x"),
			},
		},
		"no such object": {files: files(web), fields: []string{"Pod mail spec.hostUsers=false"}},
		"below a scalar": {files: files(web), fields: []string{"Pod web metadata.name.x=1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, after := set(t, test.files, test.base, test.fields...)
			maps.DeleteFunc(after, func(name, text string) bool { return test.files[name] == text })
			want := test.want
			if want == nil {
				want = map[string]string{}
			}
			if diff := cmp.Diff(want, after); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if slices.Contains(result.Done, len(want) == 0) {
				t.Errorf("done: %v, because %q", result.Done, result.Reason)
			}
		})
	}
}

func withFile(list map[string]string, name, text string) map[string]string {
	list[name] = text
	return list
}

// TestBrokenOverlays: what cannot be built is an error, and no crash.
func TestBrokenOverlays(t *testing.T) {
	t.Parallel()
	for name, list := range map[string]map[string]string{
		"cycle":     {file: "resources: [../base]\n", "base/kustomization.yaml": "resources: [../over]\n"},
		"itself":    {file: "resources: [.]\n"},
		"no base":   {file: "resources: [../base]\n"},
		"outside":   {file: "resources: [../../../../etc]\n"},
		"no YAML":   {file: "{"},
		"aliases":   {file: "a: &a [x, x]\nb: &b [*a, *a]\nresources: *b\n"},
		"elsewhere": {file: "resources: ['https://registry.example/x?ref=1']\n"},
	} {
		root := written(t, list)
		for _, base := range []bool{false, true} {
			m := New(t.Context(), filepath.Join(root, "over"), root, filepath.Join(root, file), base)
			if _, err := m.Make(rendered.Files{}, nil); err == nil {
				t.Errorf("%s: built", name)
			}
		}
	}
}

// TestPointer holds how places in objects are written for JSON Patch.
func TestPointer(t *testing.T) {
	t.Parallel()
	tree := map[string]any{"list": []any{"x"}}
	for path, want := range map[string]string{
		"a.b": "/a/b", `metadata.annotations["a/b~c"]`: "/metadata/annotations/a~1b~0c", "list[0]": "/list/0", "list[1]": "/list/-",
	} {
		at, err := fieldpath.Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := pointer(tree, at); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
