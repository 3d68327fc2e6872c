package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// verify checks an output by what its readers demand, whatever the report was.
func verify(t testing.TB, format, out string, r *Report) {
	t.Helper()
	if !utf8.ValidString(out) {
		t.Errorf("%s: not UTF-8", format)
	}
	if format != "html" { // its own tests look at the pages
		documents := slices.Contains([]string{"json", "yaml", "sarif", "gitlab"}, format)
		for i, c := range out {
			if documents && c > 0xffff {
				continue
			}
			if c != '\n' && (c != '\r' || format != "csv") && c != '\t' && c != utf8.RuneError && !visible(c) {
				t.Fatalf("%s: raw %U in %q", format, c, out[max(0, i-40):min(len(out), i+20)])
			}
		}
	}
	check, ok := map[string]func(testing.TB, string, *Report){
		"json": verifyJSON, "yaml": verifyYAML, "sarif": verifySARIF, "junit": verifyJUnit,
		"csv": verifyCSV, "github": verifyGitHub, "gitlab": verifyGitLab, "markdown": verifyMarkdown, "html": verifyHTML,
	}[format]
	if ok {
		check(t, out, r)
	}
}

func verifyJSON(t testing.TB, out string, _ *Report) {
	t.Helper()
	var back Report
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&back); err != nil {
		t.Fatalf("json: %v", err)
	}
	var again bytes.Buffer
	if err := writeJSON(&again, &back, Options{}); err != nil || again.String() != out {
		t.Errorf("json: written, read and written again it is another (%v):\n%s", err, cmp.Diff(out, again.String()))
	}
}

// yamlLine is a field with its value, a quoted element of a list, or nothing.
var yamlLine = regexp.MustCompile(`^[ -]*[a-zA-Z]+:( |$)|^ *- "|^$`)

func verifyYAML(t testing.TB, out string, r *Report) {
	t.Helper()
	var back Report
	if err := yaml.UnmarshalStrict([]byte(out), &back); err != nil {
		t.Fatalf("yaml: %v\n%s", err, out)
	}
	var want, got bytes.Buffer
	if err := writeJSON(&want, r, Options{}); err != nil {
		t.Fatal(err)
	}
	if err := writeJSON(&got, &back, Options{}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(out, "\n") {
		if !yamlLine.MatchString(line) {
			t.Errorf("yaml: a line begins with text: %q", line)
		}
	}
	if diff := cmp.Diff(want.String(), got.String()); diff != "" {
		t.Errorf("yaml: not the document that json writes (-json +yaml):\n%s", diff)
	}
}

func verifyJUnit(t testing.TB, out string, r *Report) {
	t.Helper()
	var doc junitSuites
	if err := xml.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatalf("junit: %v\n%s", err, out)
	}
	var total junitCounts
	rules := map[string]bool{}
	for _, f := range orphans(r, worstFirst(r)) {
		rules[f.Rule] = true
	}
	for _, s := range doc.Suites {
		var n junitCounts
		for _, c := range s.Cases {
			n.Tests++
			outcomes := 0
			for _, o := range []struct {
				is      *junitOutcome
				counter *int
			}{{c.Failure, &n.Failures}, {c.Error, &n.Errors}, {c.Skipped, &n.Skipped}} {
				if o.is != nil {
					*o.counter++
					outcomes++
				}
			}
			if outcomes > 1 || c.Class == "" && s.Name != "" {
				t.Errorf("junit: %q has %d outcomes, class %q", c.Name, outcomes, c.Class)
			}
		}
		if n != s.junitCounts {
			t.Errorf("junit: suite %q says %+v and has %+v", s.Name, s.junitCounts, n)
		}
		total.Tests += n.Tests
		total.Failures += n.Failures
		total.Errors += n.Errors
		total.Skipped += n.Skipped
	}
	if total != doc.junitCounts || total.Tests != len(r.Recommendations)+len(r.Sources)+len(rules) {
		t.Errorf("junit: says %+v and has %+v for %d rows, %d sources, %d policies", doc.junitCounts, total,
			len(r.Recommendations), len(r.Sources), len(rules))
	}
}

func verifyCSV(t testing.TB, out string, r *Report) {
	t.Helper()
	records, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatalf("csv: %v", err)
	}
	if len(records) != 1+len(r.Findings) {
		t.Fatalf("csv: %d records for %d findings", len(records), len(r.Findings))
	}
	if strings.Contains(strings.ReplaceAll(out, "\r\n", ""), "\n") {
		t.Error("csv: a line does not end in CR LF")
	}
	for _, record := range records[1:] {
		for i, cell := range record {
			if start := strings.TrimSpace(cell); start != "" && strings.ContainsAny(firstRune(start), "=+-@\t\r＝＋－＠") {
				t.Errorf("csv: %s is a formula: %q", csvHeader[i], cell)
			}
		}
	}
}

var (
	githubLine   = regexp.MustCompile(`^::(error|warning|notice) ([^:]*)::(.*)$`)
	githubEscape = regexp.MustCompile(`%(25|3A|2C)`)
)

func verifyGitHub(t testing.TB, out string, r *Report) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if want := len(r.unreadable()) + len(r.Findings) + 1; len(lines) != want {
		t.Fatalf("github: %d lines, want %d:\n%s", len(lines), want, out)
	}
	for _, line := range lines[:len(lines)-1] {
		m := githubLine.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("github: no command: %q", line)
		}
		for property := range strings.SplitSeq(m[2], ",") {
			name, _, ok := strings.Cut(property, "=")
			if !ok || !slices.Contains([]string{"file", "line", "col", "title"}, name) {
				t.Errorf("github: property %q in %q", property, line)
			}
		}
		if strings.Contains(githubEscape.ReplaceAllString(line, ""), "%") {
			t.Errorf("github: a raw %% in %q", line)
		}
	}
	if last := lines[len(lines)-1]; strings.Contains(last, "::") {
		t.Errorf("github: the sum is a command: %q", last)
	}
}

func verifyGitLab(t testing.TB, out string, r *Report) {
	t.Helper()
	var issues []gitlabIssue
	if err := json.Unmarshal([]byte(out), &issues); err != nil {
		t.Fatalf("gitlab: %v", err)
	}
	if issues == nil || len(issues) != len(r.unreadable())+len(r.Findings) {
		t.Errorf("gitlab: %d issues for %d findings", len(issues), len(r.Findings))
	}
	seen := map[string]bool{}
	for _, i := range issues {
		if seen[i.Fingerprint] {
			t.Errorf("gitlab: two issues with fingerprint %q", i.Fingerprint)
		}
		seen[i.Fingerprint] = true
		if i.Location.Path == "" || i.Location.Lines.Begin < 1 || !slices.Contains([]string{"info", "minor", "major", "critical", "blocker"}, i.Severity) {
			t.Errorf("gitlab: %+v", i)
		}
	}
}

var (
	markdownEscape = regexp.MustCompile(`\\[[:punct:]]|&#?\w+;`)
	markdownTag    = regexp.MustCompile(`<[^>]*>?`)
	markdownOwn    = regexp.MustCompile(`^</?(details|summary|code)>$`)
	markdownAlive  = regexp.MustCompile("\\]\\(|://|(?i:www)\\.|[@`*_~$\\[]|#\\w")
	markdownLure   = regexp.MustCompile(`@(&#8203;)?`)
)

// verifyMarkdown looks for what would be more than text when it is rendered.
func verifyMarkdown(t testing.TB, out string, _ *Report) {
	t.Helper()
	if len(out) > 65_536 {
		t.Errorf("markdown: %d bytes: no comment", len(out))
	}
	if strings.Count(out, "<details>") != strings.Count(out, "</details>") {
		t.Error("markdown: details without an end")
	}
	for line := range strings.SplitSeq(out, "\n") {
		for _, lure := range markdownLure.FindAllString(line, -1) {
			if lure == "@" {
				t.Errorf("markdown: a mention in %q", line)
			}
		}
		plain := markdownEscape.ReplaceAllString(line, " ")
		for _, tag := range markdownTag.FindAllString(plain, -1) {
			if !markdownOwn.MatchString(tag) {
				t.Errorf("markdown: tag %q in %q", tag, line)
			}
		}
		title := strings.HasPrefix(line, "<details><summary>") // an HTML block: Markdown means nothing in it
		ours := strings.HasPrefix(line, "> **Cut short: ") || strings.HasPrefix(line, "- **and ")
		if !title && !ours && markdownAlive.MatchString(plain) {
			t.Errorf("markdown: something alive in %q", line)
		}
		if strings.HasPrefix(line, "| ") && !slices.Contains([]int{6, 7}, strings.Count(line, "|")) {
			t.Errorf("markdown: %d cells in %q", strings.Count(line, "|")-1, line)
		}
	}
}

// A feed makes a report out of bytes that a fuzzer chose; when it is empty it
// gives text, over and over.
type feed struct {
	data []byte
	text string
}

func (f *feed) byte() int {
	if len(f.data) == 0 {
		return 0
	}
	b := f.data[0]
	f.data = f.data[1:]
	return int(b)
}

func (f *feed) string() string {
	if len(f.data) == 0 {
		return f.text
	}
	n := min(f.byte()%64, len(f.data))
	s := f.data[:n]
	f.data = f.data[n:]
	return string(s)
}

// fill sets every field of a report.
func fill(f *feed, r *Report) {
	fillValue(f, reflect.ValueOf(r).Elem())
	r.APIVersion, r.Kind = APIVersion, Kind
}

func fillValue(f *feed, v reflect.Value) {
	statuses := []Status{Pass, Fail, NotApplicable, NotEvaluated, Manual, Excepted}
	switch v.Type() {
	case reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Date(2000+f.byte(), 1, 2, 3, 4, 5, 0, time.UTC)))
		return
	case reflect.TypeFor[guide.Severity]():
		v.SetInt(int64(1 + f.byte()%5))
		return
	case reflect.TypeFor[Status]():
		v.SetString(string(statuses[f.byte()%len(statuses)]))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(f.string())
	case reflect.Int:
		v.SetInt(int64(f.byte()))
	case reflect.Bool:
		v.SetBool(f.byte()%2 == 1)
	case reflect.Pointer:
		if v.Type() == reflect.TypeFor[*evidence.Source]() || f.byte()%2 == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fillValue(f, v.Elem())
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+f.byte()%3, 4))
		for i := range v.Len() {
			fillValue(f, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fillValue(f, v.Field(i))
		}
	}
}

// ownColors are the escape sequences that the formats use themselves.
var ownColors = regexp.MustCompile(`\x1b\[[0-9]{1,2}m`)

// FuzzWriters: whatever stands in a report, no format panics, and each gives
// what its readers can read.
func FuzzWriters(f *testing.F) {
	for _, file := range reports(f) {
		var b bytes.Buffer
		if err := writeJSON(&b, load(f, file), Options{}); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Add([]byte("\x10\x1b[31m=1+1\r\n::error\xff\xfe\x00"))
	f.Add([]byte("\x3f]]>\ue000\ufffe\U000e0001\u2028\u061c\u0085|\x05@a\\|b\x06http:"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Load(bytes.NewReader(data))
		if err != nil {
			r = &Report{}
			fill(&feed{data: data, text: string(data[:min(len(data), 64)])}, r)
			validate(t, strictSchema(t, "report.schema.json"), render(t, "json", r, Options{}))
		}
		options := Options{Width: len(data) % 200}
		for _, name := range Names() {
			verify(t, name, render(t, name, r, testOptions()), r)
			plain, colored := options, options
			colored.Color = true
			if got := ownColors.ReplaceAllString(render(t, name, r, colored), ""); got != render(t, name, r, plain) {
				t.Errorf("%s: color says more than the text", name)
			}
		}
	})
}

// Reports that nothing writes are refused, not shown.
func TestLoadRefuses(t *testing.T) {
	for _, doc := range []string{
		"", "[]", `{"apiVersion": "gabion.dev/v1", "kind": "ScanDiff"}`,
		`{"apiVersion": "gabion.dev/v1", "kind": "ScanReport", "sources": [null]}`,
		`{"apiVersion": "gabion.dev/v1", "kind": "ScanReport", "findings": [{}]}`,
		`{"apiVersion": "gabion.dev/v1", "kind": "ScanReport", "recommendations": [{"id": "POD-05"}]}`,
	} {
		if r, err := Load(strings.NewReader(doc)); err == nil {
			t.Errorf("%s was read as %+v", doc, r)
		}
	}
}

func TestUnique(t *testing.T) {
	u := unique{}
	var got []string
	for _, name := range []string{"a", "a-2", "a", "a", "", "", "a-2"} {
		got = append(got, u.name(name))
	}
	want := []string{"a", "a-2", "a-3", "a-4", "", "-2", "a-2-2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSARIFArtifact(t *testing.T) {
	for file, want := range map[string]sarifArtifact{
		"deploy/web.yaml":     {"deploy/web.yaml", "%SRCROOT%"},
		"a b/ä%2F:#?[x].yaml": {"a%20b/%C3%A4%252F%3A%23%3F%5Bx%5D.yaml", "%SRCROOT%"},
		"http://x/y":          {"http%3A//x/y", "%SRCROOT%"},
		"../x.yaml":           {"../x.yaml", ""},
		"/srv/x y.yaml":       {"file:///srv/x%20y.yaml", ""},
	} {
		if got := sarifArtifactOf(file); got != want {
			t.Errorf("%s: %+v, want %+v", file, got, want)
		}
	}
}

// The level of what counts decides: CI that counts failures agrees with the exit code.
func TestJUnitFailOn(t *testing.T) {
	finding := Finding{ID: "a", Rule: "r", Recommendation: "POD-05", Severity: guide.Medium}
	known := finding
	known.Baseline = true
	for _, c := range []struct {
		name     string
		findings []Finding
		failOn   guide.Severity
		failed   bool
	}{
		{"at the threshold", []Finding{finding}, guide.Medium, true},
		{"below it", []Finding{finding}, guide.High, false},
		{"no threshold", []Finding{finding}, 0, true},
		{"in the baseline", []Finding{known}, guide.Medium, false},
		{"one is new", []Finding{known, finding}, guide.Medium, true},
		{"a person said so", nil, guide.Critical, true},
	} {
		r := &Report{Recommendations: []Recommendation{{ID: "POD-05", Severity: guide.Medium, Status: Fail}}, Findings: c.findings}
		var doc junitSuites
		if err := xml.Unmarshal([]byte(render(t, "junit", r, Options{FailOn: c.failOn})), &doc); err != nil {
			t.Fatal(err)
		}
		want := junitCounts{Tests: 1, Failures: 1}
		if !c.failed {
			want = junitCounts{Tests: 1, Skipped: 1} // never a pass
		}
		if doc.junitCounts != want {
			t.Errorf("%s: %+v, want %+v", c.name, doc.junitCounts, want)
		}
	}
}
