package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// What fix promises of every file, over manifests in the styles that people write and
// over a folder of manifests that the caller has: all that is automatic is fixed, nothing
// else changes in the objects or in the lines, and a second time there is nothing to do.
func TestFixedManifests(t *testing.T) {
	t.Run("styles", func(t *testing.T) { fixesAll(t, filepath.Join("testdata", "styles")) })
	t.Run("examples", func(t *testing.T) { fixesAll(t, filepath.Join("..", "..", "examples", "shop")) })
	t.Run("corpus", func(t *testing.T) {
		root := os.Getenv("GABION_CORPUS")
		if root == "" {
			t.Skip("GABION_CORPUS, a folder of manifests, is not set")
		}
		fixesAll(t, root)
	})
}

func fixesAll(t *testing.T, from string) {
	work := t.TempDir()
	if err := os.CopyFS(work, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	first := fixInPlace(t, work)
	if len(first.Edits) == 0 {
		t.Fatal("nothing was fixed")
	}
	files := map[string][]FixEdit{}
	for _, e := range first.Edits {
		files[e.File] = append(files[e.File], e)
	}
	for file, edits := range files {
		name, err := filepath.Rel(work, file)
		if err != nil {
			t.Fatal(err)
		}
		before, after := readText(t, filepath.Join(from, name)), readText(t, file)
		sameButFor(t, name, before, after, edits)
		sameLinesButFor(t, name, before, after, edits)
	}
	added := 0
	for _, e := range first.Edits {
		if e.Path == "" {
			added++
		}
	}
	t.Logf("%d files, %d edits, %d objects added", len(files), len(first.Edits), added)
	for _, r := range first.Refused {
		if !strings.HasPrefix(r.Reason, "no automatic fix") && !strings.Contains(r.Reason, "JSON") { // which takes no second document
			t.Errorf("finding %s has a fix, and it was refused: %s", r.Finding, r.Reason)
		}
	}
	if second := fixInPlace(t, work); len(second.Edits) > 0 {
		t.Errorf("the second time there are %d edits: %+v …", len(second.Edits), second.Edits[0])
	}
}

func fixInPlace(t *testing.T, folder string) (r FixReport) {
	t.Helper()
	var out, errs bytes.Buffer
	env := Env{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }, Dir: folder, Now: time.Now,
		Terminal: func(any) (int, bool) { return 0, false },
	}
	if code := Main(t.Context(), []string{"gabion", "fix", folder, "--unsafe", "--write", "-o", "json", "--fail-on", "none"}, env); code != ExitClean && code != ExitIncomplete {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func readText(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// trees are the documents of a text that are not empty, read by a parser that fix does not prove with.
func trees(t *testing.T, name string, text []byte) (all []any) {
	t.Helper()
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var tree any
		switch err := d.Decode(&tree); {
		case err == io.EOF:
			return all
		case err != nil:
			t.Logf("%s is read no further than document %d: %v", name, len(all), err)
			return all
		}
		if tree != nil { // what follows a marker at the end is one, until something is added
			all = append(all, tree)
		}
	}
}

// sameButFor checks that the objects of a file differ in fields that an edit names, and
// that after them come those that edits add, and no others.
func sameButFor(t *testing.T, name string, before, after []byte, edits []FixEdit) {
	t.Helper()
	was, now := trees(t, name, before), trees(t, name, after)
	var added []any
	for _, e := range edits {
		if e.Path == "" {
			added = append(added, trees(t, name, []byte(e.New))...)
		}
	}
	if len(was)+len(added) != len(now) {
		t.Errorf("%s: %d documents became %d, of which %d were added", name, len(was), len(now), len(added))
		return
	}
	if some := differences(added, now[len(was):], ""); len(some) > 0 {
		t.Errorf("%s: added is something else: %v", name, some)
	}
	for i := range was {
		for _, at := range differences(was[i], now[i], "") {
			if !named(at, edits) {
				t.Errorf("%s, document %d: %s changed, which no fix names", name, i, at)
			}
		}
	}
}

// named reports whether a place is that of an edit, something in its value, or a parent
// that had to be made. An item of a List is an object itself.
func named(at string, edits []FixEdit) bool {
	for strings.HasPrefix(at, "items[") {
		_, at, _ = strings.Cut(at, "].")
	}
	for _, e := range edits {
		if at == e.Path || isBelow(at, e.Path) || e.Old == "" && isBelow(e.Path, at) {
			return true
		}
	}
	return false
}

func isBelow(at, above string) bool {
	rest, ok := strings.CutPrefix(at, above)
	return ok && (strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "["))
}

// differences are the places in which two trees differ, as deep as they can be named.
func differences(a, b any, at string) (list []string) {
	am, aIsMap := a.(map[string]any)
	bm, bIsMap := b.(map[string]any)
	al, aIsList := a.([]any)
	bl, bIsList := b.([]any)
	switch {
	case aIsMap && bIsMap:
		for key := range merged(am, bm) {
			below := strings.TrimPrefix(at+"."+key, ".")
			if strings.ContainsAny(key, `.[]"`) {
				below = fmt.Sprintf("%s[%q]", at, key)
			}
			list = append(list, differences(am[key], bm[key], below)...)
		}
	case aIsList && bIsList && len(al) <= len(bl):
		for i := range bl {
			var had any
			if i < len(al) {
				had = al[i]
			}
			list = append(list, differences(had, bl[i], fmt.Sprintf("%s[%d]", at, i))...)
		}
	case !reflect.DeepEqual(a, b):
		return []string{at}
	}
	return list
}

func merged(a, b map[string]any) map[string]bool {
	keys := map[string]bool{}
	for key := range a {
		keys[key] = true
	}
	for key := range b {
		keys[key] = true
	}
	return keys
}

// sameLinesButFor checks that every line that is gone is one that an edit names, or the
// end of a value that it replaced; a line of JSON may have got a comma.
func sameLinesButFor(t *testing.T, name string, before, after []byte, edits []FixEdit) {
	t.Helper()
	may := map[int]bool{}
	for _, e := range edits {
		if e.Path == "" {
			continue
		}
		for n := range 2 + strings.Count(e.Old, ",") {
			may[e.Line+n] = true
		}
	}
	lines := bytes.SplitAfter(after, []byte("\n"))
	for i, line := range bytes.SplitAfter(before, []byte("\n")) {
		at := -1
		for n := range lines {
			now, was := bytes.TrimRight(lines[n], "\r\n"), bytes.TrimRight(line, "\r\n") // the last one may get a line end
			if bytes.Equal(now, was) || bytes.Equal(bytes.TrimSuffix(now, []byte(",")), was) {
				at = n
				break
			}
		}
		switch {
		case at >= 0:
			lines = lines[at+1:]
		case !may[i+1]:
			t.Errorf("%s: line %d changed, which no fix names: %s", name, i+1, line)
		}
	}
}
