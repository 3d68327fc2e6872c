package cli_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabion-k8s/gabion/internal/cli"
	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/internal/source/helm"
)

// scan runs the whole program and returns its report.
func scan(t *testing.T, args ...string) *report.Report {
	t.Helper()
	var out, errs bytes.Buffer
	env := cli.System()
	env.Stdout, env.Stderr, env.Dir = &out, &errs, t.TempDir()
	env.Now = func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	code := cli.Main(context.Background(), append([]string{"gabion", "scan", "-o", "json"}, args...), env)
	if code == cli.ExitUsage || code == cli.ExitFault {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	var r report.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return &r
}

// What the report says of a place is so: the line holds the field, or the nearest
// parent that is written down, and the numbers of every source add up.
func TestLocationsAreTrue(t *testing.T) {
	for _, tree := range []string{"../../examples", "../checks/testdata"} {
		r := scan(t, tree)
		if len(r.Findings) < 50 {
			t.Fatalf("%s: only %d findings", tree, len(r.Findings))
		}
		for _, s := range r.Sources {
			if s.Documents != s.Objects+len(s.Skipped)+len(s.Errors) {
				t.Errorf("%s: %d documents, %d objects, %d skipped, %d errors", s.Ref, s.Documents, s.Objects, len(s.Skipped), len(s.Errors))
			}
		}
		lines := map[string][]string{}
		for _, f := range r.Findings {
			at := f.Location
			if lines[at.File] == nil {
				data, err := os.ReadFile(at.File)
				if err != nil {
					t.Fatalf("%s: %v", f.Rule, err)
				}
				lines[at.File] = strings.Split(string(data), "\n")
			}
			if at.Line < 1 || at.Line > len(lines[at.File]) {
				t.Errorf("%s %s: %s is no line of the file", f.Rule, f.Path, at)
				continue
			}
			if line := lines[at.File][at.Line-1]; !holds(line, f.Path, f.Value) {
				t.Errorf("%s: %s (%q) is said to stand at %s: %q", f.Rule, f.Path, f.Value, at, line)
			}
		}
	}
}

var pathStep = regexp.MustCompile(`\["[^"]*"\]|\[\d+\]|[^.\[\]]+`)

// holds reports whether a line can be where a field or one of its parents is
// written: a key of the path, an element of a list, or the value.
func holds(line, path, value string) bool {
	trimmed := strings.TrimSpace(line)
	if path == "" {
		return strings.Contains(line, ":")
	}
	for _, step := range pathStep.FindAllString(path, -1) {
		if strings.HasPrefix(step, "[") && !strings.HasPrefix(step, `["`) {
			if strings.HasPrefix(trimmed, "-") || strings.ContainsAny(line, "[{") {
				return true
			}
			continue
		}
		key := strings.Trim(step, `[]"`)
		if strings.Contains(line, key+":") || strings.Contains(line, `"`+key+`"`) || strings.Contains(line, "'"+key+"'") {
			return true
		}
	}
	first, _, _ := strings.Cut(value, "\n")
	return first != "" && strings.Contains(line, first)
}

// The same chart as a folder, as an archive and as rendered manifests has the
// same findings. In the chart each names a line of a template, and some the
// values key that decides it.
func TestChartThreeWays(t *testing.T) {
	charts, err := filepath.Glob("../source/helm/testdata/*/Chart.yaml")
	if err != nil || len(charts) == 0 {
		t.Fatal("no charts", err)
	}
	keys := 0
	for _, file := range charts {
		dir, err := filepath.Abs(filepath.Dir(file))
		if err != nil {
			t.Fatal(err)
		}
		chart, err := helm.LoadDir(dir)
		if err != nil {
			continue // charts that are broken on purpose have tests of their own
		}
		rendered, err := helm.Render(context.Background(), chart, helm.Options{})
		if err != nil {
			continue
		}
		t.Run(filepath.Base(dir), func(t *testing.T) {
			work := t.TempDir()
			var text bytes.Buffer
			for _, f := range rendered.Files {
				text.WriteString("---\n")
				text.Write(f.Data)
				text.WriteString("\n")
			}
			manifests := filepath.Join(work, "all.yaml")
			if err := os.WriteFile(manifests, text.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			folder := scan(t, dir)
			want := ids(folder)
			if len(want) == 0 {
				t.Fatal("no findings at all")
			}
			if got := ids(scan(t, pack(t, dir, filepath.Join(work, "chart.tgz")))); !slices.Equal(got, want) {
				t.Errorf("the archive has %d findings, the folder %d, or others", len(got), len(want))
			}
			if got := ids(scan(t, manifests)); !slices.Equal(got, want) {
				t.Errorf("the rendered manifests have %d findings, the folder %d, or others", len(got), len(want))
			}
			for _, f := range folder.Findings {
				if f.Location.Line == 0 || !strings.HasPrefix(f.Location.File, dir) {
					t.Errorf("%s %s: at %s, which is no line of the chart", f.Rule, f.Path, f.Location)
				}
				if f.Location.ValuesKey != "" {
					keys++
				}
			}
		})
	}
	if keys == 0 {
		t.Error("no finding names a values key")
	}
}

func ids(r *report.Report) (list []string) {
	for _, f := range r.Findings {
		list = append(list, f.ID)
	}
	slices.Sort(list)
	return list
}

// pack makes an archive of a chart as Helm does: everything below a folder of
// the chart's name.
func pack(t *testing.T, dir, name string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(filepath.Dir(dir), path)
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: filepath.ToSlash(rel), Mode: 0o644, Size: int64(len(data))}); err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// Setting the values key that a finding names makes the finding go away.
func TestValuesKeyDecides(t *testing.T) {
	const chart = "../source/helm/testdata/web"
	before := scan(t, chart)
	for key, value := range map[string]string{
		"securityContext.privileged":               "false",
		"securityContext.runAsUser":                "1000",
		"securityContext.allowPrivilegeEscalation": "false", // missing from a block of values
		"securityContext.runAsGroup":               "1000",
		"securityContext.readOnlyRootFilesystem":   "true",
		"resources.limits.memory":                  "64Mi", // missing from an empty block
		"hostNetwork":                              "false",
	} {
		named := map[string]bool{}
		for _, f := range before.Findings {
			if f.Location.ValuesKey == key {
				named[f.ID] = true
			}
		}
		if len(named) == 0 {
			t.Errorf("no finding names %s", key)
		}
		for _, f := range scan(t, chart, "--set", key+"="+value).Findings {
			if named[f.ID] {
				t.Errorf("with %s=%s there is still: %s", key, value, f.Message)
			}
		}
	}
}
