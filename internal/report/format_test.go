package report

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/guide"
)

var update = flag.Bool("update", false, "write the golden files anew")

// testOptions are those of a command that knows its rules.
func testOptions() Options {
	return Options{
		FailOn: guide.Medium,
		Rules: func(id string) (string, string, bool) {
			if id != "privileged-container" {
				return "", "", false
			}
			return "container runs privileged", "# privileged-container\n\nSet `privileged: false` or `{}`.\n", true
		},
	}
}

func load(t testing.TB, file string) *Report {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Load(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return r
}

func reports(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 4 {
		t.Fatalf("reports in testdata: %v, %v", files, err)
	}
	return files
}

func render(t testing.TB, format string, r *Report, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := Formats()[format](&b, r, o); err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	return b.String()
}

// Every format of every report in testdata is what its golden file says, passes
// the format's own tests, and is the same every time.
func TestFormats(t *testing.T) {
	for _, file := range reports(t) {
		for _, format := range Names() {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".json")+"/"+format, func(t *testing.T) {
				r := load(t, file)
				got := render(t, format, r, testOptions())
				if again := render(t, format, load(t, file), testOptions()); again != got {
					t.Error("the same report gave other bytes")
				}
				verify(t, format, got, r)
				if format == "json" {
					validate(t, strictSchema(t, "report.schema.json"), got)
				}
				if format == "html" {
					return // its own tests look at the pages
				}
				golden := strings.TrimSuffix(file, ".json") + "." + format + ".golden"
				if *update {
					if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
					return
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatalf("%v: run the test with -update and look at it", err)
				}
				if diff := cmp.Diff(string(want), got); diff != "" {
					t.Errorf("%s (-want +got), -update if it is right:\n%s", golden, diff)
				}
			})
		}
	}
}

// No golden file is left over from a format or a report that is gone.
func TestGoldenFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name, format, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".golden"), ".")
		if !slices.Contains(Names(), format) || !slices.Contains(reports(t), filepath.Join("testdata", name+".json")) {
			t.Errorf("%s belongs to nothing", file)
		}
	}
}

// The contract names the formats.
func TestNames(t *testing.T) {
	for _, want := range []string{"table", "wide", "json", "yaml", "sarif", "junit", "markdown", "csv", "github", "gitlab"} {
		if !slices.Contains(Names(), want) {
			t.Errorf("no format %q", want)
		}
	}
}

// Every format shows every finding: nothing that is excepted or known disappears.
func TestNothingDisappears(t *testing.T) {
	for _, file := range []string{"testdata/shop.json", "testdata/baseline.json"} {
		r := load(t, file)
		for _, format := range Names() {
			if format == "table" {
				continue // it shows the first of each row
			}
			text := strings.ReplaceAll(render(t, format, r, testOptions()), `\`, "")
			for _, f := range r.Findings {
				if !strings.Contains(text, f.Object.Name) {
					t.Errorf("%s, %s: nothing of %s", file, format, naming{}.text(&f))
				}
				if f.Exception != nil && !strings.Contains(strings.ReplaceAll(text, "&#39;", "'"), f.Exception.Reason) {
					t.Errorf("%s, %s: no reason of the exception of %s", file, format, naming{}.text(&f))
				}
			}
		}
	}
}

// In a fleet every format tells whose cluster a finding is of, and what manages the
// object: the same fault in two clusters is two findings everywhere.
func TestClustersApart(t *testing.T) {
	r := load(t, "testdata/fleet.json")
	swapped := *r
	for _, format := range Names() {
		if format == "table" || format == "json" || format == "yaml" {
			continue // it has no managers; they have all
		}
		text := strings.ReplaceAll(render(t, format, r, testOptions()), `\`, "")
		for _, f := range r.Findings {
			if !strings.Contains(text, f.Object.Cluster) {
				t.Errorf("%s: nothing of cluster %s", format, f.Object.Cluster)
			}
			if format != "gitlab" && !strings.Contains(text, f.Object.Manager) { // it has no remedies
				t.Errorf("%s: nothing of %s", format, f.Object.Manager)
			}
		}
		swapped.Findings = slices.Clone(r.Findings)
		swapped.Findings[1].Object.Cluster, swapped.Findings[2].Object.Cluster = "west", "east"
		other := strings.ReplaceAll(render(t, format, &swapped, testOptions()), `\`, "")
		if text == other {
			t.Errorf("%s: the same when the clusters change places", format)
		}
	}
}

// The value at a place that holds a credential is in the report, not in the formats.
func TestSensitive(t *testing.T) {
	r := load(t, "testdata/shop.json")
	o := testOptions()
	o.Excerpt = func(_ string, line int) (string, bool) { return "must not be shown", line == 6 }
	for _, format := range Names() {
		if format == "json" || format == "yaml" {
			continue // the report itself: the value is never a credential
		}
		if strings.Contains(render(t, format, r, o), "must not be shown") {
			t.Errorf("%s shows the text of a sensitive place", format)
		}
	}
}

// What cannot be read is told in every format that has a place for it.
func TestUnreadableIsTold(t *testing.T) {
	r := load(t, "testdata/shop.json")
	for _, format := range Names() {
		if format == "csv" {
			continue
		}
		if !strings.Contains(render(t, format, r, testOptions()), "mapping values are not allowed here") {
			t.Errorf("%s does not tell that a file could not be read", format)
		}
	}
}

type brokenPipe struct{ after int }

func (w *brokenPipe) Write(p []byte) (int, error) {
	if w.after -= len(p); w.after < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

// A writer that fails makes the format fail, wherever it fails.
func TestWriteErrors(t *testing.T) {
	r := load(t, "testdata/shop.json")
	for name, format := range Formats() {
		for _, after := range []int{0, 100} {
			if err := format(&brokenPipe{after}, r, testOptions()); err == nil {
				t.Errorf("%s: no error when the output is closed after %d bytes", name, after)
			}
		}
	}
}

// Huge reports are cut where the reader of the format has a limit, loudly.
func TestBounds(t *testing.T) {
	r := load(t, "testdata/shop.json")
	example := r.Findings[0]
	r.Findings = nil
	for i := range sarifResults + 10 {
		f := example
		f.Severity = guide.Severity(1 + i%5)
		r.Findings = append(r.Findings, f)
	}
	text := render(t, "markdown", r, testOptions())
	verify(t, "markdown", text, r)
	if !strings.Contains(text[:500], "Cut short") {
		t.Errorf("the Markdown does not say that it is cut: %s", text[:500])
	}
	text = render(t, "sarif", r, testOptions())
	verify(t, "sarif", text, r)
	if !strings.Contains(text, "10 findings left out") {
		t.Error("the SARIF does not say that it is cut")
	}
	if n := strings.Count(text, `"level": "error"`); n < 2*(sarifResults+10)/5 {
		t.Errorf("the SARIF keeps %d errors: the worst were cut", n)
	}

	for _, length := range []int{markdownCut, 1 << 16} {
		long := strings.Repeat("|", length)
		r = load(t, "testdata/hostile.json")
		fill(&feed{text: long}, r)
		for _, format := range Names() {
			verify(t, format, render(t, format, r, testOptions()), r)
		}
	}
}
