package cli_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/gabion-k8s/gabion/internal/fix/chart"
	"github.com/gabion-k8s/gabion/internal/fix/fieldpath"
	"github.com/gabion-k8s/gabion/internal/fix/overlay"
	"github.com/gabion-k8s/gabion/internal/fix/rendered"
	"github.com/gabion-k8s/gabion/internal/source/helm"
)

// fixedFields are the fields that the fixes of some rules set.
var fixedFields = map[string]*regexp.Regexp{
	"read-only-root-filesystem": regexp.MustCompile(`\.securityContext\.readOnlyRootFilesystem$`),
	"privilege-escalation":      regexp.MustCompile(`\.securityContext\.allowPrivilegeEscalation$`),
	"drop-capabilities":         regexp.MustCompile(`\.securityContext\.capabilities\.drop(\[\d+\])?$`),
	"run-as-non-root":           regexp.MustCompile(`\.securityContext\.runAsNonRoot$`),
	"seccomp-profile":           regexp.MustCompile(`\.securityContext\.seccompProfile\.type$`),
	"service-account-token":     regexp.MustCompile(`\.automountServiceAccountToken$`),
	"user-namespace":            regexp.MustCompile(`\.hostUsers$`),
}

// TestFixedChartsDifferInFixedFields fixes the findings of one rule in a chart, renders
// the chart before and after, and finds no difference but in the fields of the rule.
func TestFixedChartsDifferInFixedFields(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/script/fix_chart.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for rule, field := range fixedFields {
		t.Run(rule, func(t *testing.T) {
			dir := unpack(t, archive, "shop/")
			before := fieldsOfChart(t, dir)
			stdout, stderr, code := run(t, "fix", dir, "--unsafe", "--rule", rule, "--fail-on", "none", "--write", "-o", "json")
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			var report struct{ Edits, Refused []struct{ Finding string } }
			if err := json.Unmarshal([]byte(stdout), &report); err != nil {
				t.Fatal(err)
			}
			changed := difference(before, fieldsOfChart(t, dir))
			for _, path := range changed {
				if !field.MatchString(path) {
					t.Errorf("%s changed", path)
				}
			}
			fixed := map[string]bool{}
			for _, e := range report.Edits {
				fixed[e.Finding] = true
			}
			if len(changed) == 0 || len(fixed) == 0 {
				t.Errorf("%d fields changed for %d findings", len(changed), len(fixed))
			}
			if again, _, _ := run(t, "fix", dir, "--unsafe", "--rule", rule); again != "" {
				t.Errorf("a second time:\n%s", again)
			}
		})
	}
}

// TestPackedChartsDifferInFixedFields fixes the findings of one rule in what an archive
// renders, makes the patches as a person would, and finds no difference but in the fields
// of the rule. The archive stays as it is.
func TestPackedChartsDifferInFixedFields(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/script/fix_chart.txtar")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, f := range archive.Files {
		if strings.HasPrefix(f.Name, "shop/") {
			files[f.Name] = string(f.Data)
		}
	}
	for rule, field := range fixedFields {
		t.Run(rule, func(t *testing.T) {
			dir := t.TempDir()
			name, values := filepath.Join(dir, "shop.tgz"), filepath.Join(dir, "ours.yaml")
			packChart(t, name, files)
			writeBytes(t, values, []byte("securityContext: # ours\n  privileged: false\n"))
			o := helm.Options{ValuesFiles: []string{values}}
			packed, before := readBytes(t, name), patchedFields(t, name, o)
			_, stderr, code := run(t, "fix", name, "--values", values, "--unsafe", "--rule", rule, "--fail-on", "none", "--write")
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			changed := difference(before, patchedFields(t, name, o))
			for _, path := range changed {
				if !field.MatchString(path) {
					t.Errorf("%s changed", path)
				}
			}
			if len(changed) == 0 {
				t.Error("nothing changed")
			}
			if !bytes.Equal(packed, readBytes(t, name)) {
				t.Error("the archive changed")
			}
			if again, _, _ := run(t, "fix", name, "--values", values, "--unsafe", "--rule", rule); again != "" {
				t.Errorf("a second time:\n%s", again)
			}
		})
	}
}

// patchedFields are the fields of everything that a packed chart renders, once the
// patches beside it are made of it, if there are any.
func patchedFields(t *testing.T, name string, o helm.Options) map[string]string {
	t.Helper()
	loaded, err := helm.LoadArchive(name, bytes.NewReader(readBytes(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	maker := chart.New(t.Context(), loaded, o, nil)
	world, _, err := maker.Render(nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := helm.PostRenderBeside(name)
	file := filepath.Join(dir, "kustomization.yaml")
	if _, err := os.Stat(file); err != nil {
		return fieldsOfWorld(t, world)
	}
	text, err := maker.Text(nil)
	if err != nil {
		t.Fatal(err)
	}
	writeBytes(t, filepath.Join(dir, "rendered.yaml"), text)
	patched, _, err := overlay.New(t.Context(), dir, dir, file, false).Render(nil)
	if err != nil {
		t.Fatal(err)
	}
	return fieldsOfWorld(t, patched)
}

func readBytes(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeBytes(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// unpack writes the files of an archive below a folder into a new one.
func unpack(t *testing.T, archive *txtar.Archive, folder string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "chart")
	for _, f := range archive.Files {
		below, ok := strings.CutPrefix(f.Name, folder)
		if !ok {
			continue
		}
		name := filepath.Join(dir, filepath.FromSlash(below))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// fieldsOfChart are the fields of everything that a chart renders, by path, as JSON.
func fieldsOfChart(t *testing.T, dir string) map[string]string {
	t.Helper()
	loaded, err := helm.LoadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	world, _, err := chart.New(t.Context(), loaded, helm.Options{}, nil).Render(nil)
	if err != nil {
		t.Fatal(err)
	}
	return fieldsOfWorld(t, world)
}

func fieldsOfWorld(t *testing.T, world *rendered.World) map[string]string {
	t.Helper()
	fields := map[string]string{}
	var walk func(v any, at fieldpath.Path, id string)
	walk = func(v any, at fieldpath.Path, id string) {
		switch v := v.(type) {
		case map[string]any:
			for name, child := range v {
				walk(child, at.Below(fieldpath.Step{Name: name}), id)
			}
		case []any:
			for i, child := range v {
				walk(child, at.Below(fieldpath.Step{Index: i}), id)
			}
		default:
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			fields[id+": "+at.String()] = string(text)
		}
	}
	for _, o := range world.Objects {
		walk(o.Tree, nil, o.ID)
	}
	return fields
}

// difference are the paths of the fields that are not the same in both.
func difference(a, b map[string]string) []string {
	var paths []string
	for path, v := range a {
		if b[path] != v {
			paths = append(paths, path)
		}
	}
	for path := range b {
		if _, ok := a[path]; !ok {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// packChart writes a packed chart.
func packChart(t *testing.T, name string, files map[string]string) {
	t.Helper()
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	tw := tar.NewWriter(zw)
	for inside, text := range files {
		if err := tw.WriteHeader(&tar.Header{Name: inside, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
