package fix

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddDocument(t *testing.T) {
	const object = "kind: A # new\nt: |\n  x\n"
	const mac = "\r\n"
	windows := strings.ReplaceAll(object, "\n", mac)
	for _, test := range []struct {
		name, text string
		want       string // behind the text, or "refused: " and what the reason holds
	}{
		{"an empty file", "", object},
		{"blank lines", "\n  \n", object},
		{"a mark alone", "\ufeff", object},
		{"comments alone", "# all\n# gone\n", "---\n" + object},
		{"a document", "a: 1\n", "---\n" + object},
		{"comments at the end", "a: 1\n# end\n\n", "---\n" + object},
		{"no line end at the end", "a: 1", "\n---\n" + object},
		{"no line end after space", "a: 1\n  ", "\n---\n" + object},
		{"no line end after a comment", "a: 1 # x", "\n---\n" + object},
		{"carriage returns", "a: 1\r\nb: 2\r\n", "---" + mac + windows},
		{"carriage returns, and no line end", "\ufeffa: 1\r\nb: 2", mac + "---" + mac + windows},
		{"a document that was ended", "a: 1\n...\n", "---\n" + object},
		{"ended, with no line end", "a: 1\n...", "\n---\n" + object},
		{"ended, with a comment", "a: 1\n---\nb: 1\n... # end\n# of it\n", "---\n" + object},
		{"an empty document", "a: 1\n---\n", object},
		{"an empty document with comments", "a: 1\n--- # next\n\n# soon\n", object},
		{"an empty document, with no line end", "a: 1\n---", "\n" + object},
		{"an empty document in carriage returns", "a: 1\r\n---\r\n", windows},
		{"an empty document that was ended", "a: 1\n---\n...\n", "---\n" + object},
		{"a marker alone", "---\n", object},
		{"a marker before text", "--- a\n", "---\n" + object},
		{"a marker before a block of text", "--- |+\n\n", "---\n" + object},
		{"no marker, but a word like one", "---# a\n", "---\n" + object},
		{"no marker in a block of text", "a: |\n  ---\n", "---\n" + object},
		{"a block of text that keeps its lines", "a: |+\n  x\n\n\n", "---\n" + object},
		{"one at the end of a list", "- a\n- >+\n  x\n\n", "---\n" + object},
		{"a block of text that ends with the file", "a: |-\n  x", "\n---\n" + object},
		{"a list", "apiVersion: v1\nkind: List\nitems:\n- kind: B\n", "---\n" + object},
		{"anchors and merges", "a: &x {b: 1}\nc:\n  <<: *x\n", "---\n" + object},
		{"a directive", "%YAML 1.1\n---\na: 1\n", "---\n" + object},
		{"there already", "b: 1\n---\nt: \"x\\n\"\nkind: A\n", ""},
		{"there already, before another", "t: \"x\\n\"\nkind: A\n---\nb: 1", ""},
		{"there already, as JSON", `{"kind":"A","t":"x\n"}`, ""},
		{"an item of a list is no document", "kind: List\nitems:\n- kind: A\n  t: \"x\\n\"\n", "---\n" + object},
		{"JSON", "{\"a\": 1}\n", "refused: the file is JSON"},
		{"JSON after a mark", "\ufeff {\"a\": 1}", "refused: the file is JSON"},
		{"a stream of JSON", "{\"a\": 1}\n{\"a\": 2}\n", "refused: the file is JSON"},
		{"JSON and YAML", "a: 1\n---\n{\"a\": 2}\n", "refused: the file is JSON"},
		{"a template", "a: {{ .x }}\n", "refused: cannot be read"},
		{"a quote that does not end", "a: 1\n---\nb: \"x\n", "refused: cannot be read"},
		{"lines that end as on old machines", "a: 1\rb: 2\r", "refused: carriage return alone"},
		{"UTF-16", "\xff\xfea\x00", "refused: UTF-16"},
		{"a block of text whose last line would get an end", "a: |+\n  x", "refused: without changing"},
	} {
		out, err := AddDocument([]byte(test.text), []byte(object))
		if reason, refused := strings.CutPrefix(test.want, "refused: "); refused {
			if err == nil || !strings.Contains(err.Error(), reason) || out != nil {
				t.Errorf("%s: %v, want %s\n%s", test.name, err, test.want, out)
			}
			continue
		}
		if err != nil || string(out) != test.text+test.want {
			t.Errorf("%s: %v %s", test.name, err, cmp.Diff(test.text+test.want, string(out)))
		}
		addsOne(t, []byte(test.text), []byte(object))
	}
}

// What is no document in lines of its own is not added to anything.
func TestAddDocumentThatIsNone(t *testing.T) {
	for _, added := range []string{
		"", "\n", "# a\n", "a: 1", "a: 1\r\n", "\ufeffa: 1\n", "---\na: 1\n", "--- {a: 1}\n", "a: 1\n---\n", "a: 1\n...\n",
		"a: 1\n---\nb: 1\n", "{\"a\": 1}\n{\"b\": 1}\n", "a: [\n", "a: {{ .x }}\n", "%YAML 1.1\n---\na: 1\n", "a: 1\na: 2\n  b: 3\n",
	} {
		if out, err := AddDocument([]byte("b: 1\n"), []byte(added)); err == nil {
			t.Errorf("%q is added: %s", added, out)
		}
	}
}

// addsOne adds a document and checks everything that is promised of it. It reports
// whether the file has it then.
func addsOne(t *testing.T, text, added []byte) bool {
	t.Helper()
	out, err := AddDocument(text, added)
	if err != nil {
		return false
	}
	want, err := decode(added)
	if err != nil {
		t.Fatalf("%q is no document, and yet it was added: %v", added, err)
	}
	before, after := trees(t, text), trees(t, out)
	has := false
	for _, tree := range before {
		has = has || reflect.DeepEqual(tree, want)
	}
	if !has {
		before = append(before, want)
	}
	if !reflect.DeepEqual(after, before) {
		t.Errorf("%s\n%q\n=====\n%q", cmp.Diff(before, after), text, out)
	}
	if has && !bytes.Equal(out, text) {
		t.Errorf("it has the document, and yet:\n%q\n=====\n%q", text, out)
	}
	if !bytes.HasPrefix(out, text) {
		t.Errorf("bytes that were there changed:\n%q\n=====\n%q", text, out)
	}
	if crs := bytes.Count(out[len(text):], []byte("\r\n")); !has && bytes.Contains(text, []byte("\r\n")) && crs != bytes.Count(out[len(text):], []byte("\n")) {
		t.Errorf("lines do not end as in the file: %q", out)
	}
	if again, err := AddDocument(out, added); err != nil || !bytes.Equal(again, out) {
		t.Errorf("added twice: %v\n%q\n=====\n%q", err, out, again)
	}
	return true
}

// trees are the documents of a file.
func trees(t *testing.T, text []byte) []any {
	t.Helper()
	f, err := open(text)
	if err != nil {
		t.Fatal(err)
	}
	var list []any
	for _, d := range f.docs {
		if !d.read {
			t.Fatalf("a document cannot be read:\n%q", text)
		}
		list = append(list, d.tree)
	}
	return list
}

// document writes one random document without markers.
func (a *author) document() []byte {
	return []byte(a.mapping(0, 3) + a.one("", "", "# end\n", "\n"))
}

// ending is what a file may have after its last document.
func (a *author) ending() string {
	return a.one("", "", "---\n", "...\n", "... # over\n", "# end\n\n", "---", "--- # next\n# soon\n", "---\nz: |+\n  x\n\n", "---\nz: >+\n  x")
}

func TestRandomDocumentAddedToRandomText(t *testing.T) {
	added, refused, other := 0, 0, 0
	for seed := range uint64(2000) {
		a := newAuthor(seed)
		text := []byte(a.file() + a.ending())
		document := newAuthor(seed + 1<<32).document()
		f, err := open(text)
		if err != nil {
			continue // the ending went into a line
		}
		ok := addsOne(t, text, document)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
		_, unreadable := oneDocument(document)
		reason := unreadable != nil
		for _, d := range f.docs {
			reason = reason || !d.read || d.isJSON
		}
		switch {
		case ok:
			added++
		case reason || bytes.HasSuffix(text, []byte("  x")):
			refused++
		default:
			if other++; testing.Verbose() {
				_, err := AddDocument(text, document)
				t.Logf("seed %d: %v\n%q", seed, err, text)
			}
		}
	}
	t.Logf("%d documents were added, %d refused with reason, %d for another", added, refused, other)
	if added < 1000 || other*100 > added {
		t.Errorf("%d documents were added, %d refused with reason, %d for another", added, refused, other)
	}
}

// FuzzAddDocument adds whatever it is given to whatever it is given.
func FuzzAddDocument(f *testing.F) {
	for seed := range uint64(40) {
		a := newAuthor(seed)
		f.Add([]byte(a.file()+a.ending()), a.document())
	}
	f.Fuzz(func(t *testing.T, text, document []byte) {
		if len(text)+len(document) <= 4<<10 {
			addsOne(t, text, document)
		}
	})
}
