package carrier

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	sigsjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// An example is one document of testdata, with the templates it is said to hold
// in comments "# want …" as describeTemplate writes them.
type example struct {
	file        string
	group, kind string
	want        []string
	json        []byte
}

func examples(t testing.TB) []example {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	var all []example
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for doc := range strings.SplitSeq(string(content), "---\n") {
			all = append(all, parseExample(t, file, doc))
		}
	}
	return all
}

func parseExample(t testing.TB, file, doc string) example {
	t.Helper()
	e := example{file: file}
	for line := range strings.Lines(doc) {
		if want, ok := strings.CutPrefix(line, "# want "); ok {
			e.want = append(e.want, strings.TrimSpace(want))
		}
	}
	var head struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal([]byte(doc), &head); err != nil {
		t.Fatalf("%s: %v\n%s", file, err, doc)
	}
	e.group, _, _ = strings.Cut(head.APIVersion, "/")
	e.kind = head.Kind
	var err error
	if e.json, err = yaml.YAMLToJSONStrict([]byte(doc)); err != nil {
		t.Fatalf("%s: %v\n%s", file, err, doc)
	}
	return e
}

// describeTemplate writes a template on one line: path, key, containers, what
// else is known, and where the parts are that stand elsewhere.
func describeTemplate(t Template) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q", t.Path, t.Path.Key())
	for _, c := range t.Pod.InitContainers {
		b.WriteString(" init:" + c.Name)
	}
	for _, c := range t.Pod.Containers {
		b.WriteString(" " + c.Name)
	}
	for _, c := range t.Pod.EphemeralContainers {
		b.WriteString(" ephemeral:" + c.Name)
	}
	for _, v := range t.Pod.Volumes {
		b.WriteString(" volume:" + v.Name)
	}
	if t.Pod.ServiceAccountName != "" {
		b.WriteString(" account:" + t.Pod.ServiceAccountName)
	}
	if t.Replicas != nil {
		fmt.Fprintf(&b, " x%d", *t.Replicas)
	}
	if t.Meta != nil {
		b.WriteString(" meta:" + t.MetaPath.String())
	}
	if t.Partial != "" {
		b.WriteString(" partial")
	}
	if t.ByShape {
		b.WriteString(" shape")
	}
	for _, part := range slices.Sorted(maps.Keys(t.Moved)) {
		fmt.Fprintf(&b, " %s=%s(%s)", part, t.Moved[part], t.Moved[part].Key())
	}
	return b.String()
}

func TestExamples(t *testing.T) {
	for _, e := range examples(t) {
		t.Run(e.group+"/"+e.kind, func(t *testing.T) {
			if !Known(e.group, e.kind) {
				t.Fatalf("%s: the table has no %s of group %s", e.file, e.kind, e.group)
			}
			found, errs := Find(e.group, e.kind, e.json)
			for _, err := range errs {
				t.Errorf("%s: %v", e.file, err)
			}
			var got []string
			for _, f := range found {
				got = append(got, describeTemplate(f))
				if f.ByShape {
					t.Errorf("%s was found by shape", f.Path)
				}
				checkPaths(t, e, f)
			}
			if diff := cmp.Diff(e.want, got); diff != "" {
				t.Errorf("%s: templates (-want +got):\n%s", e.file, diff)
			}
		})
	}
}

// checkPaths looks every container up where the template says it stands, and
// compares its image with what is written there.
func checkPaths(t *testing.T, e example, f Template) {
	t.Helper()
	var object any
	if err := json.Unmarshal(e.json, &object); err != nil {
		t.Fatal(err)
	}
	lists := map[string][]corev1.Container{"containers": f.Pod.Containers, "initContainers": f.Pod.InitContainers}
	for list, containers := range lists {
		for i, c := range containers {
			part := fmt.Sprintf("%s[%d]", list, i)
			path, moved := f.Moved[part]
			text := path.String()
			if !moved {
				text = f.Path.String() + "." + part
			}
			written, ok := lookUp(object, text).(map[string]any)
			if !ok {
				t.Errorf("%s stands at %s, which is not there", part, text)
				continue
			}
			if image, _ := written["image"].(string); image != "" && image != c.Image {
				t.Errorf("%s has image %q, but at %s is %q", part, c.Image, text, image)
			}
		}
	}
}

// lookUp follows a path such as spec.steps[0] in decoded JSON.
func lookUp(v any, path string) any {
	for step := range strings.SplitSeq(strings.ReplaceAll(path, "[", ".["), ".") {
		var i int
		switch value := v.(type) {
		case map[string]any:
			v = value[step]
		case []any:
			if _, err := fmt.Sscanf(step, "[%d]", &i); err != nil || i >= len(value) {
				return nil
			}
			v = value[i]
		default:
			return nil
		}
	}
	return v
}

// Whole pod specs of the examples have no field that the API lacks: a slip in an
// example would prove nothing.
func TestExamplesAreStrict(t *testing.T) {
	for _, e := range examples(t) {
		var object any
		if err := json.Unmarshal(e.json, &object); err != nil {
			t.Fatal(err)
		}
		found, _ := Find(e.group, e.kind, e.json)
		for _, f := range found {
			written, ok := lookUp(object, f.Path.String()).(map[string]any)
			if !ok || f.Partial != "" || len(f.Moved) > 0 {
				continue
			}
			delete(written, "containerConcurrency") // Knative's own
			raw, err := json.Marshal(written)
			if err != nil {
				t.Fatal(err)
			}
			strict, err := sigsjson.UnmarshalStrict(raw, &corev1.PodSpec{})
			if err != nil || len(strict) > 0 {
				t.Errorf("%s: %s %s: %v %v", e.file, e.kind, f.Path, strict, err)
			}
		}
	}
}

func TestTable(t *testing.T) {
	have := map[groupKind]bool{}
	found := map[groupKind]map[string]bool{} // kinds to the places that their examples show
	for _, e := range examples(t) {
		gk := groupKind{e.group, e.kind}
		have[gk] = true
		if found[gk] == nil {
			found[gk] = map[string]bool{}
		}
		for _, p := range index()[gk] {
			f := &finder{keys: map[string]bool{}}
			if f.place(node{raw: e.json}, p); len(f.templates) > 0 {
				found[gk][p.at+p.key] = true
			}
		}
	}
	seen := map[groupKind]bool{}
	for _, r := range table {
		for kind := range strings.FieldsSeq(r.kinds) {
			gk := groupKind{r.group, kind}
			if seen[gk] {
				t.Errorf("%v is in the table twice", gk)
			}
			seen[gk] = true
			if !have[gk] {
				t.Errorf("%v has no example in testdata", gk)
			}
			for _, p := range r.places {
				checkPlace(t, gk, p)
			}
		}
		for kind := range strings.FieldsSeq(r.kinds) {
			for _, p := range r.places {
				if !found[groupKind{r.group, kind}][p.at+p.key] && !shownByOther(found, r, p) {
					t.Errorf("%s %s: no example has a pod at %s", r.group, kind, p.at)
				}
			}
		}
	}
}

// shownByOther reports whether a kind of any row shows the same place.
func shownByOther(found map[groupKind]map[string]bool, r row, p place) bool {
	for _, other := range table {
		if !slices.ContainsFunc(other.places, func(o place) bool { return reflect.DeepEqual(o, p) }) {
			continue
		}
		for kind := range strings.FieldsSeq(other.kinds) {
			if found[groupKind{other.group, kind}][p.at+p.key] {
				return true
			}
		}
	}
	return false
}

// checkPlace sees that a place names fields of pods that exist.
func checkPlace(t *testing.T, gk groupKind, p place) {
	t.Helper()
	pod := reflect.TypeFor[corev1.PodSpec]()
	names := slices.Collect(strings.FieldsSeq(p.fields))
	for _, piece := range p.pieces {
		names = append(names, piece.to)
	}
	for _, name := range names {
		if _, ok := fieldNamed(pod, name); !ok {
			t.Errorf("%v: a pod spec has no field %q", gk, name)
		}
	}
}
