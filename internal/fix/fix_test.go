package fix_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/fix"
)

func TestApply(t *testing.T) {
	for _, test := range []struct {
		name, text, path, value string
		line, column            int
		want                    string // or "refused: " and what the reason holds
	}{
		{"a scalar keeps its comment and its quotes", "a:\n  b: \"x\"   # why\n", "a.b", "z", 1, 1, "a:\n  b: \"z\"   # why\n"},
		{"parents in the indentation of the file", "a:\n    b: 1\nc:\n    d: 2\n", "a.p.m", "true", 1, 1, "a:\n    b: 1\n    p:\n        m: true\nc:\n    d: 2\n"},
		{"dashes as the others have them", "a:\n  - x\nb: 1\n", "c.drop", "[ALL]", 1, 1, "a:\n  - x\nb: 1\nc:\n  drop:\n    - ALL\n"},
		{"dashes at the margin", "a:\n- x\nb: 1\n", "c.drop", "[ALL]", 1, 1, "a:\n- x\nb: 1\nc:\n  drop:\n  - ALL\n"},
		{"an item of a list", "a:\n- name: x\n  # below\n- name: y\n", "a[0].p", "false", 1, 1, "a:\n- name: x\n  p: false\n  # below\n- name: y\n"},
		{"braces", "a: {b: 1} # c\n", "a.p.q", "false", 1, 1, "a: {b: 1, p: {q: false}} # c\n"},
		{"empty braces", "a: {}\n", "a.p", "false", 1, 1, "a: {p: false}\n"},
		{"empty braces with space in them", "a: {  }\n", "a.p", "false", 1, 1, "a: {p: false}\n"},
		{"empty braces over two lines", "a: {  \n  }\n", "a.p", "false", 1, 1, "a: {  \n    p: false\n  }\n"},
		{"empty braces of JSON over two lines", "{  \n}", "p", "{q: [1]}", 1, 1, "{  \n  \"p\":{\n    \"q\":[\n      1\n    ]\n  }\n}"},
		{"empty braces over two lines in JSON", "{\n\t\"a\": {\n\t}\n}\n", "a.p", "false", 1, 1, "{\n\t\"a\": {\n\t\t\"p\": false\n\t}\n}\n"},
		{"empty braces with comments", "{ # why\n  # todo\n}\n", "p", "false", 1, 1, "{ # why\n  # todo\n  p: false\n}\n"},
		{"empty braces in a block, their end at the margin", "a:\n    b:\n        c: { # why\n\n}\n    d: 1\n", "a.b.c.p", "false", 1, 1, "a:\n    b:\n        c: { # why\n\n            p: false\n}\n    d: 1\n"},
		{"empty braces after a dash", "a:\n- {\n  }\n- 1\n", "a[0].p", "false", 1, 1, "a:\n- {\n    p: false\n  }\n- 1\n"},
		{"empty brackets over two lines", "a: [\n  ] # end\n", "a[0]", "x", 1, 1, "a: [\n    x\n  ] # end\n"},
		{"empty brackets with comments", "a:\n  b: [ # why\n    # todo\n  ]\n", "a.b[0]", "{c: 1}", 1, 1, "a:\n  b: [ # why\n    # todo\n    {c: 1}\n  ]\n"},
		{"empty braces in lines with carriage returns", "a: { # why\r\n  }\r\nb: [\r\n  ]\r\n", "a.p", "false", 1, 1, "a: { # why\r\n    p: false\r\n  }\r\nb: [\r\n  ]\r\n"},
		{"empty braces in empty brackets", "a: [{\n  }, [\n  ]]\n", "a[0].p", "false", 1, 1, "a: [{\n    p: false\n  }, [\n  ]]\n"},
		{"an empty value", "a: # none\nb: 1\n", "a.p", "false", 1, 1, "a: # none\n  p: false\nb: 1\n"},
		{"no line end at the end", "a: 1", "b", "2", 1, 1, "a: 1\nb: 2"},
		{"carriage returns and a mark", "\ufeffa: 1\r\nb:\r\n  c: 1\r\n", "b.d.e", "2", 1, 1, "\ufeffa: 1\r\nb:\r\n  c: 1\r\n  d:\r\n    e: 2\r\n"},
		{"after a block of text", "a:\n  t: |\n    x\n\n    # no comment\n\nb: 1\n", "a.q", "2", 1, 1, "a:\n  t: |\n    x\n\n    # no comment\n  q: 2\n\nb: 1\n"},
		{"the second document", "a: 1\n---\n# x\na: 1\n...\n", "a", "2", 4, 1, "a: 1\n---\n# x\na: 2\n...\n"},
		{"an item of a List", "kind: List\nitems:\n- a: 1\n- a: 1\n", "a", "2", 4, 3, "kind: List\nitems:\n- a: 1\n- a: 2\n"},
		{"JSON", "{\n\t\"a\": {\n\t\t\"b\": 1\n\t}\n}\n", "a.c", "{type: x}", 1, 1, "{\n\t\"a\": {\n\t\t\"b\": 1,\n\t\t\"c\": {\n\t\t\t\"type\": \"x\"\n\t\t}\n\t}\n}\n"},
		{"JSON on one line", `{"a":{"b":1}}`, "a.c", "[ALL]", 1, 1, `{"a":{"b":1,"c":["ALL"]}}`},
		{"a value of JSON after another", "{\"a\": 1}\n{\"a\": 1}\n", "a", "no", 2, 1, "{\"a\": 1}\n{\"a\": false}\n"},
		{"a mapping that is there gets its fields", "a:\n  type: Unconfined # x\n", "a", "{type: RuntimeDefault}", 1, 1, "a:\n  type: RuntimeDefault # x\n"},
		{"an anchor that others repeat", "a: &x\n  b: 1\nc: *x\n", "a.b", "2", 1, 1, "refused: anchor &x"},
		{"an alias", "a: &x {b: 1}\nc: *x\n", "c.b", "2", 1, 1, "refused: anchor &x"},
		{"an anchor that nothing repeats", "a: &x\n  b: 1\n", "a.b", "2", 1, 1, "a: &x\n  b: 2\n"},
		{"an alias for a scalar", "a: &x 1\nc: *x # y\n", "c", "2", 1, 1, "a: &x 1\nc: 2 # y\n"},
		{"a merged field is set beside the merge", "a: &x {b: 1}\nc:\n  <<: *x\n  d: 1\n", "c.b", "2", 1, 1, "a: &x {b: 1}\nc:\n  <<: *x\n  d: 1\n  b: 2\n"},
		{"below a merged field", "a: &x {b: {e: 1}}\nc:\n  <<: *x\n", "c.b.f", "2", 1, 1, "refused: anchor &x"},
		{"a comment in what would be replaced", "a:\n- x # why\n- y\n", "a", "[ALL]", 1, 1, "refused: a comment"},
		{"no such element", "a: [1]\n", "a[3]", "2", 1, 1, "refused: no element 3"},
		{"no object there", "a: 1\n", "a", "2", 7, 1, "refused: no object begins on line 7"},
		{"a template", "a: {{ .x }}\n", "a", "2", 1, 1, "refused: no object"},
		{"a word that is no string to kubectl", "a: \"x\"\n", "a", "no", 1, 1, "a: no\n"},
		{"a key that needs quotes", "a: 1\n", "n", "2", 1, 1, "a: 1\n\"n\": 2\n"},
		{"already so", "a: yes # as YAML has it\n", "a", "true", 1, 1, "a: yes # as YAML has it\n"},
	} {
		out, outcomes := fix.Apply([]byte(test.text), []fix.Edit{{evidence.Position{Line: test.line, Column: test.column}, []fix.Field{{test.path, test.value}}}})
		reason, refused := strings.CutPrefix(test.want, "refused: ")
		switch err := outcomes[0].Err; {
		case refused && (err == nil || !strings.Contains(err.Error(), reason)):
			t.Errorf("%s: %v, want %s\n%s", test.name, err, test.want, out)
		case refused && string(out) != test.text:
			t.Errorf("%s: refused, and yet: %s", test.name, out)
		case !refused && (err != nil || string(out) != test.want):
			t.Errorf("%s: %v\n%s", test.name, err, cmp.Diff(test.want, string(out)))
		}
	}
}

// Several edits in one pass: those that need the same parent share it; of two
// that cannot both be, the earlier is refused.
func TestSeveralEdits(t *testing.T) {
	at := evidence.Position{Line: 1, Column: 1}
	edits := []fix.Edit{
		{at, []fix.Field{{"s.a", "true"}}},
		{at, []fix.Field{{"s.b", "[x]"}}},
		{at, []fix.Field{{"q", "1"}}},
		{at, []fix.Field{{"q", "2"}}},
	}
	out, outcomes := fix.Apply([]byte("k: v\n"), edits)
	if want := "k: v\ns:\n  a: true\n  b:\n  - x\nq: 2\n"; string(out) != want {
		t.Error(cmp.Diff(want, string(out)))
	}
	for i, refused := range []bool{false, false, true, false} {
		if (outcomes[i].Err != nil) != refused {
			t.Errorf("edit %d: %v", i, outcomes[i].Err)
		}
	}
}

// Fields that belong together are set together or not at all, and elements that
// several edits add to a list all find room.
func TestAddedElements(t *testing.T) {
	const mounts, volumes = "mounts[1]", "volumes[0]"
	volume := func(name string) string { return "{name: " + name + ", emptyDir: {}}" }
	for _, test := range []struct{ name, text, want string }{
		{"in blocks", "mounts:\n  - {a: 1} # the only one\nz: 1\n", "mounts:\n  - {a: 1} # the only one\n  - {b: 1}\n  - {b: 2}\nz: 1\nvolumes:\n  - name: one\n    emptyDir: {}\n  - name: two\n    emptyDir: {}\n"},
		{"in brackets", "{mounts: [{a: 1}], volumes: []}\n", "{mounts: [{a: 1}, {b: 1}, {b: 2}], volumes: [{name: one, emptyDir: {}}, {name: two, emptyDir: {}}]}\n"},
		{"where nothing is written", "mounts: [a]\nvolumes: # none\nz: 1\n", "mounts: [a, {b: 1}, {b: 2}]\nvolumes: # none\n- name: one\n  emptyDir: {}\n- name: two\n  emptyDir: {}\nz: 1\n"},
		{"in JSON", "{\n  \"mounts\": [\n    1\n  ],\n  \"volumes\": []\n}\n", "{\n  \"mounts\": [\n    1,\n    {\n      \"b\": 1\n    },\n    {\n      \"b\": 2\n    }\n  ],\n  \"volumes\": [\n    {\n      \"name\": \"one\",\n      \"emptyDir\": {}\n    },\n    {\n      \"name\": \"two\",\n      \"emptyDir\": {}\n    }\n  ]\n}\n"},
	} {
		at := evidence.Position{}
		out, outcomes := fix.Apply([]byte(test.text), []fix.Edit{
			{at, []fix.Field{{volumes, volume("one")}, {mounts, "{b: 1}"}}},
			{at, []fix.Field{{volumes, volume("two")}, {mounts, "{b: 2}"}}},
			{at, []fix.Field{{volumes, volume("one")}}},                      // is there
			{at, []fix.Field{{"new", "1"}, {"mounts[7]", "1"}}},              // and so neither
			{at, []fix.Field{{volumes, "{name: three}"}, {"mounts.x", "1"}}}, // likewise
		})
		if string(out) != test.want {
			t.Errorf("%s: %s", test.name, cmp.Diff(test.want, string(out)))
		}
		for i, refused := range []bool{false, false, false, true, true} {
			if (outcomes[i].Err != nil) != refused {
				t.Errorf("%s, edit %d: %v", test.name, i, outcomes[i].Err)
			}
		}
	}
}

func TestDiff(t *testing.T) {
	before := "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12"
	after := "1\n2\nnew\n3\n4\n5\n6\n7\n8\n9\n10\n12"
	want := "--- a/x\n+++ b/x\n@@ -1,5 +1,6 @@\n 1\n 2\n+new\n 3\n 4\n 5\n@@ -8,5 +9,4 @@\n 8\n 9\n 10\n-11\n 12\n\\ No newline at end of file\n"
	if got := fix.Diff("a/x", "b/x", []byte(before), []byte(after)); got != want {
		t.Error(cmp.Diff(want, got))
	}
}
