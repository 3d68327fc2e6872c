package yamldoc_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
	yamlv2 "go.yaml.in/yaml/v2"
	"pgregory.net/rapid"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

// read returns the documents of a text and its errors, each as LINE:COLUMN REASON.
func read(text string) (docs []yamldoc.Document, problems []string) {
	var d yamldoc.Decoder
	for doc, err := range d.Documents("file.yaml", []byte(text)) {
		if err != nil {
			problems = append(problems, fmt.Sprintf("%d:%d %s", err.Line, err.Column, err.Reason))
			continue
		}
		docs = append(docs, doc)
	}
	return docs, problems
}

// canonical returns JSON with sorted keys, without space, and each number as Go
// writes it. (cmp on the values takes for ever when they are nested deep.)
func canonical(t fataler, doc []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, doc)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return string(b)
}

// unlikeKubectl matches what we read otherwise than kubectl: the tag that is a
// mere "!", which makes a string of a number there and which the library hides
// from us, directives, which kubectl does not take, and tabs on a line of nothing
// else, or before a comment, which kubectl takes in some places and the library in
// some more.
var unlikeKubectl = regexp.MustCompile(`(?m)(?:^|[\s\[{,:?&-])!(?:[\s,\]}]|$)|^%|(?:^|[\r\x{85}\x{2028}\x{2029}]) *\t[ \t]*(?:#|\r|\x{85}|\x{2028}|\x{2029}|$)`)

type fataler interface {
	Fatalf(format string, args ...any)
	Helper()
}

// TestScalars compares what we make of a scalar, as a value and as a key, with
// what kubectl makes of it.
func TestScalars(t *testing.T) {
	texts := strings.Fields(`yes Yes YES yEs y Y n N no No NO on On ON off Off OFF true True TRUE tRUE false False FALSE
		null Null NULL nULL ~ 0 -0 +0 00 007 0777 0888 0o777 0O777 0o9 -0o17 -017 1_000 1__0 _1 1_ +12 -12 12e3 1e3 1E3 1e-3 1.0 1. .5 -.5 +.5
		-. . .. 1.2.3 1e 1e+ 0x1F 0X1f -0x10 0x 0xg 0b101 0b2 -0b11 0b-1 0B1 1e400 -1e400 1e-400 123456789012345678 9223372036854775807
		9223372036854775808 18446744073709551615 18446744073709551616 -9223372036854775808 -9223372036854775809 3.14159265358979
		1.5e300 1e20 1e21 1e22 1e-6 1e-7 0.1 100m 128Mi 8080/tcp 10.0.0.1 2001-01-01 2001-12-14t21:59:43.10-05:00 2001-1-1 12:30:45 190:20:30
		<< = a "yes" 'no' "12" "" '' !!str 0b !yes - -- --x foo .inf -.inf +.inf .nan .NaN .INF .e1 .1e2 1.e2 +1.5e+3 +_1 0_7 0x_f é
		"\x41\u00e9\n\t\"\\" "\/" '\''' a"b a\b`)
	texts = append(texts, "!!int 12", `!!int "12"`, "!!int 1.5", "!!float 1", "!!float 1.5", "!!float x", "!!float 18446744073709551615",
		"!!bool yes", `!!bool "yes"`, "!!bool 1", "!!str 12", "!!str yes", "!!null x", `!!null ""`, "!!null ~", "!!binary aGk=", "!!binary a", "!!binary /w==",
		"!!timestamp 2001-01-01", "!!timestamp x", "!!timestamp 2001-12-14 21:59:43", "!mine 12", "!<tag:yaml.org,2002:int> 12", "!!set x", "!!merge x", "|\n  12\n", ">-\n  yes\n  no\n",
		"2001-12-14 21:59:43.1", "", "# none", "a b", "a: b", "a:b", "[a, yes, 1]", "{a: 1}", "{a}", "[a: 1]")
	for _, text := range texts {
		for _, doc := range []string{"k: " + text + "\n", "? " + text + "\n: 1\n", text + ": 1\n", "- " + text + "\n"} {
			want, wantErr := sigsyaml.YAMLToJSON([]byte(doc))
			docs, problems := read(doc)
			if len(problems) > 0 && strings.Contains(problems[0], "text after the end of") || len(docs)+len(problems) == 0 && string(want) == "null" {
				continue
			}
			if (wantErr != nil) != (len(problems) > 0) {
				t.Errorf("%q: problems %q, kubectl says %v", doc, problems, wantErr)
				continue
			}
			if wantErr == nil && canonical(t, docs[0].JSON) != canonical(t, want) {
				t.Errorf("%q: %s, kubectl makes it %s", doc, docs[0].JSON, want)
			}
		}
	}
}

// TestAsKubectl compares whole documents.
func TestAsKubectl(t *testing.T) {
	for name, doc := range map[string]string{
		"anchor":                "a: &x {b: 1}\nc: *x\n",
		"anchor on scalar":      "a: &x yes\nb: *x\n*x : 1\n",
		"anchor redefined":      "a: &x 1\nb: *x\nc: &x 2\nd: *x\n",
		"merge before":          "a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}\n",
		"merge after":           "a: &x {b: 1, c: 2}\nd: {b: 3, <<: *x}\n",
		"merge list":            "a: &x {b: 1, c: 2}\ne: &y {b: 4, f: 5}\nd: {<<: [*x, *y], g: 6}\n",
		"merge twice":           "a: &x {b: 1}\nd: {<<: [*x, *x]}\n",
		"merge inline":          "d: {<<: {a: 1}, b: 2}\n",
		"merge nested":          "a: &x {b: {c: 1}}\ny: &y {<<: *x, d: 1}\nz: {<<: *y}\n",
		"merge of a scalar":     "d: {<<: 1}\n",
		"merge of null":         "d: {<<: }\n",
		"merge of list of list": "d: {<<: [[a]]}\n",
		"quoted merge key":      "d: {'<<': {a: 1}}\n",
		"merged overridden bad": "a: &x {b: !!int z}\nd: {<<: *x, b: 3}\n",
		"self":                  "a: &x [*x]\n",
		"self in merge":         "a: &x {b: {<<: *x}}\n",
		"self in key":           "&x a: *x\n",
		"complex key":           "{a: 1}: 2\n",
		"list key":              "[a]: 2\n",
		"alias to complex key":  "a: &x [1]\n*x : 1\n",
		"null key":              "~: 1\n",
		"empty key":             ": 1\n",
		"huge key":              "18446744073709551615: 1\n",
		"float key":             "1.5: 1\n3.14159265358979: 2\n",
		"scalar document":       "just text\n",
		"list document":         "- 1\n- 2\n",
		"block scalars":         "a: |\n  x\n   y\n\n  z\nb: >-\n  x\n  y\n\n  z\nc: |+\n  x\n\n",
		"multi-line plain":      "a: x\n  y\n  z\nb: 'it''s\n\n  so'\n",
		"no final newline":      "a: 1",
		"crlf":                  "a: 1\r\nb:\r\n  - x\r\n  - |\r\n    y\r\n    z\r\n",
		"old mac":               "a: 1\rb: 2\r",
		"comment at the end":    "a: 1 # one\n# two\n",
		"comments everywhere":   "# a\na: # b\n# c\n  # d\n  - 1 # e\n  # f\n\n  # g\n# h\nb: [ # i\n  1 # j\n  # k\n]\n",
		"tag directive":         "%TAG !e! tag:example.com,2000:\n---\na: !e!x 1\n",
		"escapes":               "a: \"\\x41\\u00e9\\U0001F600\\0\\e\\_\\N\\L\\P\\ \\/\"\n",
		"unicode":               "é: ☃\n\"\\u2028\": \"\u2028\"\n",
		"tabs between":          "a:\t1\nb: [\t1,\t2 ]\n",
		"deep":                  strings.Repeat("- ", 150) + "x\n",
		"question":              "? a\n: 1\n? b\n",
		"flow":                  "{a: [b, {c: d, 'e': \"f\"}], g, h: }\n",
		"json":                  `{"a": [1, 2.5, true, null, "xé\n"], "b": {}}`,
		"long key":              "{\"" + strings.Repeat("k", 500) + "\": 1}",
	} {
		t.Run(name, func(t *testing.T) {
			check(t, []byte(doc))
			want, wantErr := sigsyaml.YAMLToJSON([]byte(doc))
			docs, problems := read(doc)
			if wantErr != nil {
				if len(problems) == 0 {
					t.Fatalf("accepted as %s, kubectl says %v", docs[0].JSON, wantErr)
				}
				return
			}
			if len(problems) > 0 || len(docs) != 1 {
				t.Fatalf("problems %q, kubectl makes it %s", problems, want)
			}
			if got, want := canonical(t, docs[0].JSON), canonical(t, want); got != want {
				t.Errorf("got  %s\nkubectl %s", got, want)
			}
		})
	}
}

// TestPositions looks at the place of every field: each must show, in the file,
// the key that the outline names (for lists, mappings) or the value.
func TestPositions(t *testing.T) {
	text := "# head\n---\na: 1\nb:\n  c: # why\n  - é: \"x\"\n    f: {g: h, i: [j]}\n  - &y k\n  -   - l\nm: *y\ne:\no: |\n  p\n---\nq: 2\n"
	want := map[string]string{
		"": "3:1", "a": "3:4", "b": "4:1", "b.c": "5:3", "b.c[0]": "6:5", "b.c[0].é": "6:8", "b.c[0].f": "7:5",
		"b.c[0].f.g": "7:12", "b.c[0].f.i": "7:15", "b.c[0].f.i[0]": "7:19", "b.c[1]": "8:5", "b.c[2]": "9:7", "b.c[2][0]": "9:9",
		"m": "10:4", "e": "11:3", "o": "12:4", "second": "15:1", "second.q": "15:4",
	}
	for name, text := range map[string]string{
		"unix": text, "windows": strings.ReplaceAll(text, "\n", "\r\n"), "mac": strings.ReplaceAll(text, "\n", "\r"),
		"mark": "\ufeff" + text, "mark later": strings.ReplaceAll(text, "\n---", "\n\ufeff---"),
		"utf-16le": utf16Text(text, "\xff\xfe", 0), "utf-16be": utf16Text(text, "\xfe\xff", 8),
	} {
		docs, problems := read(text)
		if len(docs) != 2 || problems != nil {
			t.Fatalf("%s: %d documents, %q", name, len(docs), problems)
		}
		got := map[string]string{}
		for i, prefix := range []string{"", "second."} {
			docs[i].Outline.Walk(func(n int, p evidence.Path) {
				at := docs[i].Outline.At(n)
				got[strings.TrimSuffix(prefix+p.String(), ".")] = fmt.Sprintf("%d:%d", at.Line, at.Column)
			})
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
		if docs[0].Line != 3 || docs[1].Line != 15 {
			t.Errorf("%s: documents at lines %d and %d", name, docs[0].Line, docs[1].Line)
		}
	}
}

func utf16Text(s, mark string, shift int) string {
	b := []byte(mark)
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u>>shift), byte(u>>(8-shift)))
	}
	return string(b)
}

// TestExoticLineEnds: YAML ends lines where no editor does.
func TestExoticLineEnds(t *testing.T) {
	docs, problems := read("z: 0\n---\na: \"x\u2028y\u0085z\" # \u2029\nb: [\"\u2028\", c]\n")
	if problems != nil || len(docs) != 2 {
		t.Fatal(problems)
	}
	n, _ := docs[1].Outline.Find(evidence.NewPath("b").Index(1, ""))
	if at := docs[1].Outline.At(n); at.Line != 4 || at.Column != 10 {
		t.Errorf("c stands at %d:%d", at.Line, at.Column)
	}
}

func TestSplit(t *testing.T) {
	tests := map[string][]string{ // file: LINE JSON of each document
		"":                          nil,
		"\n \n# x\n":                nil,
		"---\n---\n# x\n---\n":      nil,
		"--- # x\n...\n...\n":       nil,
		"a: 1\n---\nb: 2\n":         {`1 {"a":1}`, `3 {"b":2}`},
		"---\na: 1\n--- # x\nb: 2":  {`2 {"a":1}`, `4 {"b":2}`},
		"--- a\n--- {b: 1}\n---\tc": {`1 "a"`, `2 {"b":1}`, `3 "c"`},
		"--- |\n x\n ---\n":         {`1 "x\n---\n"`},
		"...\na: 1\n  ...x\n":       {`2 {"a":"1 ...x"}`},
		"a: 1\n...\nb: 2\n":         {`1 {"a":1}`, `3 {"b":2}`},
		"a: 1\n... # x\n---\nb: 2":  {`1 {"a":1}`, `4 {"b":2}`},
		"%YAML 1.1\n---\na: 1\n...\n%TAG ! x:\n---\nb: 2\n": {`1 {"a":1}`, `5 {"b":2}`},
		"# c\n%YAML 1.1\n# d\n---\na: 1\n":                  {`2 {"a":1}`},
		"a: '\n  ---\n  b'\n":                               {`1 {"a":" --- b"}`},
		"a: ---\nb: --- x\n---b: 1\n":                       {`1 {"---b":1,"a":"---","b":"--- x"}`},
		"---\n--- ~\n":                                      {`2 null`},
		"a: 1\n---":                                         {`1 {"a":1}`},
		"a: 1\r\n---\r\nb: 2\r\n":                           {`1 {"a":1}`, `3 {"b":2}`},
		"{\"a\": 1}{\"b\": 2}\n\n [3]\n":                    {`1 {"a":1}`, `1 {"b":2}`, `3 [3]`},
		"---\n{\"a\": 1}\n{\"b\": 2}\n--- \n{c: 3}\n":       {`2 {"a":1}`, `3 {"b":2}`, `5 {"c":3}`},
		"{\"a\": 1} # comment\n":                            {`1 {"a":1}`},
		"{\"a\": 1,}\n":                                     {`1 {"a":1}`},
	}
	for text, want := range tests {
		var got []string
		docs, problems := read(text)
		for _, d := range docs {
			got = append(got, fmt.Sprintf("%d %s", d.Line, canonical(t, d.JSON)))
		}
		if problems != nil || !cmp.Equal(got, want) {
			t.Errorf("%q: %q, problems %q", text, got, problems)
		}
	}
}

// TestBroken is the table of what people get wrong, and where they look.
func TestBroken(t *testing.T) {
	for _, test := range brokenTexts {
		docs, problems := read("good: 1\n---\n" + test.text + "\n---\ngood: 2\n")
		if len(problems) != 1 || len(docs) != 2 {
			t.Errorf("%q: %d documents, problems %q", test.text, len(docs), problems)
			continue
		}
		got := problems[0]
		var line, column int
		fmt.Sscanf(got, "%d:%d", &line, &column)
		got = fmt.Sprintf("%d:%d", line-2, column) + got[strings.Index(got, " "):]
		if got != test.want {
			t.Errorf("%q:\n got %s\nwant %s", test.text, got, test.want)
		}
	}
}

// TestCost feeds what is small to write and dear to read. Each must be refused or
// read in a time that no one notices.
func TestCost(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 9), ","))
	}
	mergeBomb := "a: &a {x: 1}\n"
	for c := 'b'; c < 'z'; c++ {
		mergeBomb += fmt.Sprintf("%c: &%c {<<: [*%c, *%c, *%c]}\n", c, c, c-1, c-1, c-1)
	}
	mergeTree := "a: &a {x: 1}\n"
	for c := 'b'; c < 'z'; c++ {
		mergeTree += fmt.Sprintf("%c: &%c {p: {<<: *%c}, q: {<<: *%c}, r: {<<: *%c}}\n", c, c, c-1, c-1, c-1)
	}
	var anchors, blocks, keys strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&anchors, "k%d: &a%d v\n", i, i)
		fmt.Fprintf(&keys, "key%d: %d\n", i, i)
	}
	for i := range 3000 {
		fmt.Fprintf(&blocks, "%sk:\n", strings.Repeat(" ", i))
	}
	tests := map[string]struct {
		text   string
		broken bool
	}{
		"bomb":              {bomb, true},
		"merge bomb":        {mergeBomb, true},
		"merge tree":        {mergeTree, true},
		"fat alias":         {"a: &a " + strings.Repeat("x", 1<<20) + "\nb: [" + strings.Repeat("*a,", 1000) + "]\n", true},
		"one line":          {"a: " + strings.Repeat("x", 1<<20) + "\n", false},
		"one line, words":   {"a: " + strings.Repeat("x ", 1<<19) + "\n", false},
		"one line, list":    {"a: [" + strings.Repeat("x, ", 1<<18) + "]\n", false},
		"one line, JSON":    {"[" + strings.Repeat(`{"é": 1},`, 1<<17) + "1]", false},
		"brackets":          {strings.Repeat("[", 5<<20), true},
		"braces":            {strings.Repeat("{", 5<<20), true},
		"quoted braces":     {strings.Repeat(`{"a":`, 1<<20), true},
		"too big":           {strings.Repeat("a,\n", 3<<20), true},
		"pairs":             {strings.Repeat("[]", 1<<17), false},
		"dashes":            {strings.Repeat("- ", 5<<19), true},
		"questions":         {strings.Repeat("? ", 5<<19), true},
		"question lines":    {strings.Repeat("? a\n", 1<<17), true},
		"colons":            {strings.Repeat(": ", 1<<20), true},
		"blocks":            {blocks.String(), true},
		"long comment":      {"a: 1 # " + strings.Repeat("x", 10<<20) + "\n", false},
		"many comments":     {"a: 1\n" + strings.Repeat("# x\n", 1<<20), false},
		"comments between":  {strings.Repeat("- 1 # x\n# y\n\n# z\n", 1<<16), false},
		"comments in flow":  {"[" + strings.Repeat("1, # x\n# y\n\n# z\n", 1<<16) + "]", false},
		"comments, bad end": {strings.Repeat("# x\n", 1<<18) + "a: [\n", true},
		"blank lines":       {"a: 1\n" + strings.Repeat("\n", 5<<20) + "b: 2\n", false},
		"spaces":            {"a: 1\n" + strings.Repeat(" ", 5<<20) + "\nb: 2\n", false},
		"anchors":           {anchors.String(), false},
		"keys":              {keys.String(), false},
		"open quote":        {"a: \"" + strings.Repeat("x\n", 1<<20), true},
		"percent":           {strings.Repeat("%a b\n", 1<<18), true},
		"tags":              {strings.Repeat("!a ", 1<<18), true},
		"stars":             {strings.Repeat("*", 1<<20), true},
		"documents":         {strings.Repeat("a: 1\n---\n", 1<<16), false},
		"empty documents":   {strings.Repeat("---\n", 1<<20), false},
		"ends":              {strings.Repeat("...\n", 1<<20), false},
		"returns":           {"a: 1" + strings.Repeat("\r", 5<<20), false},
		"marks":             {"a: 1" + strings.Repeat("\n\ufeff", 1<<20), false},
		"broken JSON":       {strings.Repeat("{\"a\" 1}\n", 1<<15), true},
		"template":          {strings.Repeat("{{ x\n", 1<<18), true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			docs, problems := read(test.text)
			if (len(problems) > 0) != test.broken {
				t.Errorf("%d documents, problems %.200q", len(docs), problems)
			}
			t.Log(time.Since(start), problems[:min(len(problems), 1)])
		})
	}
}

func TestBinaryAndEncodings(t *testing.T) {
	for text, want := range map[string]string{
		"\x7fELF\x02\x01\x01\x00\x00":                   "1:0 binary file",
		"a\n\x00\x00\x00b\x01\x02":                      "2:0 binary file",
		utf16Text("a: 1\n", "", 0):                      "1:1 the file looks like UTF-16 without a byte order mark: save it as UTF-8",
		utf16Text("a: 1\n", "", 8):                      "1:1 the file looks like UTF-16 without a byte order mark: save it as UTF-8",
		"\xff\xfe\x00\x00a\x00\x00\x00":                 "1:1 the file is UTF-32: save it as UTF-8",
		"\xff\xfea":                                     "1:1 the file is UTF-16 with half a character at its end",
		"a: 1\nb: é\xffx\n":                             "2:5 not UTF-8: byte 0xff",
		"a: 1\nb: \x01\n":                               "2:4 a control character (U+0001)",
		"a: " + strings.Repeat("x", 9000) + "\nb: \x00": "2:4 a NUL byte: the file is damaged or binary",
	} {
		docs, problems := read(text)
		if len(docs) != 0 || len(problems) != 1 || problems[0] != want {
			t.Errorf("%.20q: %q, want %q", text, problems, want)
		}
	}
}

// TestTemplates: what others will replace in a valid document is no business of ours.
func TestTemplates(t *testing.T) {
	for _, text := range []string{
		"a: \"{{ $value }}\"\nb: '{{ x }}'\nc: x {{ y }} z\nd: |\n  {{ range }}\n  {% if %}\n# {{ x }}\n",
	} {
		if _, problems := read(text); problems != nil {
			t.Errorf("%q: %q", text, problems)
		}
	}
	// The block is not to blame for the tab.
	_, problems := read("a:\n- b: |\n    {{ range }}\n\n    {{ end }}\n  c: \"x: {{ y }}\"\n\td: 1\n")
	if len(problems) != 1 || !strings.HasPrefix(problems[0], "7:1 a tab") {
		t.Errorf("%q", problems)
	}
}

func TestHint(t *testing.T) {
	var d yamldoc.Decoder
	for _, err := range d.Documents("f", []byte("apiVersion: apps/v1 # x\nkind: \"Deployment\"\nmetadata:\n  kind: no\n bad: [\n")) {
		if err == nil || err.APIVersion != "apps/v1" || err.Kind != "Deployment" {
			t.Errorf("hint %+v", err)
		}
	}
}

func TestTopFields(t *testing.T) {
	for _, text := range []string{
		"kind: Pod\napiVersion: v1\n", `{"kind": "Pod", "apiVersion": "v1", "x": {"kind": "no"}}`, "a: &a Pod\nkind: *a\napiVersion: 'v1'\n",
		"a: &a {apiVersion: v1, kind: X}\n<<: *a\nkind: Pod\n", "a: &a {apiVersion: v1, kind: Pod}\nkind: X\n<<: *a\n",
	} {
		docs, _ := read(text)
		if docs[0].Kind != "Pod" || docs[0].APIVersion != "v1" {
			t.Errorf("%q: %q %q", text, docs[0].APIVersion, docs[0].Kind)
		}
	}
	for _, text := range []string{"kind: yes\napiVersion: 1\n", `{"kind": 1, "apiVersion": null}`, "- kind: x\n", "x"} {
		docs, _ := read(text)
		if docs[0].Kind != "" || docs[0].APIVersion != "" {
			t.Errorf("%q: %q %q", text, docs[0].APIVersion, docs[0].Kind)
		}
	}
}

func TestExpand(t *testing.T) {
	tests := []struct {
		text string
		want []string // LINE apiVersion kind JSON
	}{
		{"apiVersion: v1\nkind: Pod\n", []string{`1 v1 Pod {"apiVersion":"v1","kind":"Pod"}`}},
		{"apiVersion: v1\nkind: List\nitems:\n- kind: Pod\n  apiVersion: v1\n- a: 1\n- x\n",
			[]string{`4 v1 Pod {"apiVersion":"v1","kind":"Pod"}`, `6   {"a":1}`, `7   "x"`}},
		{"apiVersion: v1\nmetadata: {items: [1]}\nkind: PodList\nitems:\n- a: 1\n- {}\n- kind: Secret\n- kind: 1\n  apiVersion: v2\n",
			[]string{`5 v1 Pod {"a":1,"apiVersion":"v1","kind":"Pod"}`, `6 v1 Pod {"apiVersion":"v1","kind":"Pod"}`,
				`7 v1 Secret {"apiVersion":"v1","kind":"Secret"}`, `8 v2  {"apiVersion":"v2","kind":1}`}},
		{`{"apiVersion": "v1", "kind": "List", "items": [ {"kind": "List", "apiVersion": "v1", "items": [{"a": "]\"}"} , {"b": -1.5e3 }]}, {"c" : [ 1 ]} ]}`,
			[]string{`1   {"a":"]\"}"}`, `1   {"b":-1500}`, `1   {"c":[1]}`}},
		{"apiVersion: v1\nkind: List\nitems: []\n", nil},
		{strings.Repeat(`{"apiVersion": "v1", "kind": "List", "items": [`, 5) + "1" + strings.Repeat("]}", 5), // no further than the third
			[]string{`1 v1 List {"apiVersion":"v1","items":[{"apiVersion":"v1","items":[1],"kind":"List"}],"kind":"List"}`}},
		{"apiVersion: v1\nkind: List\n", nil},
		{"apiVersion: v1\nkind: List\nitems: ~\n", nil},
		{"apiVersion: x/v1\nkind: AllowList\nspec: {}\n", []string{`1 x/v1 AllowList {"apiVersion":"x/v1","kind":"AllowList","spec":{}}`}},
		{"apiVersion: x/v1\nkind: AllowList\nitems: {a: 1}\n", []string{`1 x/v1 AllowList {"apiVersion":"x/v1","items":{"a":1},"kind":"AllowList"}`}},
		{"kind: PodList\nitems: [{a: 1}]\n", []string{`1  PodList {"items":[{"a":1}],"kind":"PodList"}`}},
	}
	for _, test := range tests {
		docs, problems := read(test.text)
		if len(docs) != 1 {
			t.Fatalf("%q: %q", test.text, problems)
		}
		var got []string
		for d := range yamldoc.Expand(docs[0]) {
			got = append(got, fmt.Sprintf("%d %s %s %s", d.Line, d.APIVersion, d.Kind, canonical(t, d.JSON)))
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%q: -want +got\n%s", test.text, diff)
		}
	}
}

// TestRandom compares random documents with kubectl's reading.
func TestRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var text string
		for range rapid.IntRange(1, 3).Draw(t, "documents") {
			text += document().Draw(t, "document")
		}
		check(t, []byte(text))
	})
}

// TestAlone: documents that are read in one go are as they are alone, broken
// neighbours, anchors of others and all.
func TestAlone(t *testing.T) {
	parts := []string{
		"a: &x 1\nb: *x\n", "b: *x\n", "*x : 1\n", "c: {<<: *x}\n", "x: &x {d: [1]}\ny: {<<: *x}\n", "a: [\n", "a: 'b\n", "{a: 1}\nb: 2\n", "{\"a\": 1}\n{\"b\": 2}\n",
		"# only\n", "a: |\n  x\n\n", "--- # c\nq: 1\n", "--- |\n  x\n", "- \u2028\n- a\n", "a: 1\na: 2\n", "a: 1 # c\n# d\n", "? b\n", "text\n", "%YAML 1.1\n---\na: 1\n", "...\n", "\t\n", "a:\n\t- b\n", "a: \xff\n", "~\n", "a: \"\n",
	}
	for _, first := range parts {
		for _, second := range parts {
			check(t, []byte(first+"---\n"+second+"---\na: 1\n---\n"+first))
		}
	}
}

// document makes texts that are YAML more often than not.
func document() *rapid.Generator[string] {
	scalar := rapid.OneOf(
		rapid.SampledFrom([]string{"yes", "n", "0777", "1_0", "~", "", "1e3", `"a\tb"`, "'it''s'", "<<", "a b", "- x", "!!str 1", "*a", "&a x", "0o17", "2001-01-01", "# c"}),
		rapid.StringMatching(`[-a-c0-9 :.'"#_e+]{0,6}`),
	)
	key := rapid.OneOf(rapid.SampledFrom([]string{"a", "b", "c", "yes", "1", "<<", `"q"`, "*a", "&a k"}), rapid.StringMatching(`[a-z]{1,3}`))
	return rapid.Custom(func(t *rapid.T) string {
		var b bytes.Buffer
		var node func(indent string, depth int)
		node = func(indent string, depth int) {
			what := rapid.IntRange(0, 6).Draw(t, "what")
			if depth > 4 || what < 2 {
				b.WriteString(" " + scalar.Draw(t, "scalar") + "\n")
				return
			}
			if what == 2 {
				b.WriteString(" [" + scalar.Draw(t, "scalar") + ", {" + key.Draw(t, "key") + ": " + scalar.Draw(t, "scalar") + "}]\n")
				return
			}
			if what == 3 {
				b.WriteString(" |\n" + indent + "  " + scalar.Draw(t, "scalar") + "\n")
				return
			}
			if rapid.IntRange(0, 5).Draw(t, "anchored") == 0 {
				b.WriteString(" &a")
			}
			b.WriteString("\n")
			for range rapid.IntRange(1, 3).Draw(t, "length") {
				if what == 4 {
					b.WriteString(indent + "-")
				} else {
					b.WriteString(indent + key.Draw(t, "key") + ":")
				}
				node(indent+"  ", depth+1)
			}
		}
		b.WriteString("---")
		node("", 0)
		return b.String()
	})
}

// refusals are the reasons for which we, and not kubectl, refuse a document.
var refusals = []string{
	"is already there, on line", // kubectl takes the last and warns
	"alias bomb",                // kubectl counts nodes, we count bytes as well
	"nested deeper than",
	"did not find expected comment", // of the parser of version 3
	"the YAML library gives up",
}

// check compares our reading of a text with kubectl's, and looks at positions.
func check(t fataler, data []byte) {
	t.Helper()
	chunks, err := yamldoc.Split(data)
	if err != nil {
		return
	}
	var d yamldoc.Decoder
	checkRun(t, &d, chunks)
	lines := bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")) + len(data)/2 + 1
	for _, c := range chunks {
		n := 0
		for doc, err := range d.Decode("f", []yamldoc.Chunk{c}) {
			n++
			if err != nil {
				checkError(t, c, err, lines, n)
				continue
			}
			checkDocument(t, c, doc, n)
		}
	}
}

// checkRun compares chunks that are decoded at once with the same one by one.
func checkRun(t fataler, d *yamldoc.Decoder, chunks []yamldoc.Chunk) {
	t.Helper()
	var alone, together, texts []string
	for i := range chunks {
		alone = append(alone, outcomes(d, chunks[i:i+1])...)
		texts = append(texts, string(chunks[i].Text))
	}
	together = outcomes(d, chunks)
	if !slices.Equal(alone, together) {
		t.Fatalf("%+q\nalone    %q\ntogether %q", texts, alone, together)
	}
}

func outcomes(d *yamldoc.Decoder, chunks []yamldoc.Chunk) (all []string) {
	for doc, err := range d.Decode("f", chunks) {
		if err != nil {
			all = append(all, fmt.Sprintf("%+v", *err))
			continue
		}
		places := ""
		doc.Outline.Walk(func(n int, p evidence.Path) {
			at := doc.Outline.At(n)
			places += fmt.Sprintf(" %d:%d", at.Line, at.Column)
		})
		all = append(all, fmt.Sprint(doc.Line, doc.Kind, string(doc.JSON), places))
	}
	return all
}

func checkError(t fataler, c yamldoc.Chunk, e *yamldoc.Error, lines, n int) {
	t.Helper()
	if e.Line < 1 || e.Line > lines || e.Column < 1 || e.Reason == "" {
		t.Fatalf("%q: error at %d:%d %q", c.Text, e.Line, e.Column, e.Reason)
	}
	if n > 1 || unlikeKubectl.Match(c.Text) {
		return
	}
	for _, reason := range refusals {
		if strings.Contains(e.Reason, reason) {
			return
		}
	}
	if got, err := sigsyaml.YAMLToJSON(c.Text); err == nil && endsThere(c.Text) {
		t.Fatalf("%q: error %d:%d %s, kubectl makes it %s", c.Text, e.Line, e.Column, e.Reason, got)
	}
}

func beginsAsJSON(text []byte) bool {
	var v any
	return json.NewDecoder(bytes.NewReader(text)).Decode(&v) == nil
}

// endsThere tells whether nothing follows the first document of a text. kubectl
// drops what does, without a word.
func endsThere(text []byte) bool {
	var v any
	d := yamlv2.NewDecoder(bytes.NewReader(text))
	return d.Decode(&v) == nil && d.Decode(&v) == io.EOF
}

func checkDocument(t fataler, c yamldoc.Chunk, doc yamldoc.Document, n int) {
	t.Helper()
	var got any
	if err := json.Unmarshal(doc.JSON, &got); err != nil {
		if strings.Contains(err.Error(), "cannot unmarshal number") { // 1e400 is JSON, but Go has no such number
			return
		}
		t.Fatalf("%q: no JSON: %v: %s", c.Text, err, doc.JSON)
	}
	doc.Outline.Walk(func(n int, p evidence.Path) {
		if at := doc.Outline.At(n); at.Line < doc.Line || at.Column < 1 {
			t.Fatalf("%q: %s stands at %d:%d", c.Text, p, at.Line, at.Column)
		}
	})
	if nodes := count(got); nodes != doc.Outline.Len() {
		t.Fatalf("%q: %d nodes, %d outlined", c.Text, nodes, doc.Outline.Len())
	}
	for range yamldoc.Expand(doc) {
	}
	if n > 1 || beginsAsJSON(c.Text) || unlikeKubectl.Match(c.Text) {
		return
	}
	oracle, err := sigsyaml.YAMLToJSON(c.Text)
	if err != nil {
		t.Fatalf("%q: accepted as %s, kubectl says %v", c.Text, doc.JSON, err)
	}
	if got, want := canonical(t, doc.JSON), canonical(t, oracle); got != want {
		t.Fatalf("%q: %s, kubectl makes it %s", c.Text, got, want)
	}
}

func count(v any) int {
	n := 1
	switch v := v.(type) {
	case map[string]any:
		for _, x := range v {
			n += count(x)
		}
	case []any:
		for _, x := range v {
			n += count(x)
		}
	}
	return n
}

func FuzzDocuments(f *testing.F) {
	for _, test := range brokenTexts {
		f.Add([]byte(test.text))
	}
	for _, text := range []string{
		"a: &x {b: [1, yes, 0777]}\nc: {<<: *x, d: ~}\n---\n- |\n  x\n- >-\n  y\n# z\n", "{\"a\": [1.5, \"\\u00e9\"]}\n{\"b\": null}\n", "a: 1\r\nb: 2\r\n...\r\nc: 3\r\n",
		"? a\n: - b\n  - ? c\n", "%TAG !e! x:\n---\n!e!a b: !!int '1'\n", "!", "[\n]0:", "{\"a\",\"a\" }", "{}\n{\"",
		utf16Text("a: 1\n", "\xff\xfe", 0), "apiVersion: v1\nkind: PodList\nitems: [{a: 1}, {kind: X}]\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { check(t, data) })
}
