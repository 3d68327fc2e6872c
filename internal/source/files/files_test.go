package files

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

var update = flag.Bool("update", false, "write what came out into testdata")

// Each file of testdata is a folder: its first line are the paths that are read,
// "want" is what becomes of them.
func TestRead(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal("no testdata", err)
	}
	for _, name := range names {
		name, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			want := &a.Files[len(a.Files)-1]
			if want.Name != "want" {
				t.Fatal("the last file is not want")
			}
			t.Chdir(t.TempDir())
			unpack(t, a.Files[:len(a.Files)-1])
			args, _, _ := strings.Cut(string(a.Comment), "\n")
			got := describe(read(t, strings.Fields(args)...))
			if *update {
				want.Data = []byte(got)
				if err := os.WriteFile(name, txtar.Format(a), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want.Data), got); diff != "" {
				t.Errorf("-want +got (go test -update writes it):\n%s", diff)
			}
		})
	}
}

func unpack(t *testing.T, files []txtar.File) {
	t.Helper()
	for _, f := range files {
		write(t, f.Name, string(f.Data))
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// read reads paths twice and holds the snapshot against what must be true of any.
func read(t *testing.T, paths ...string) *evidence.Snapshot {
	t.Helper()
	snap := &evidence.Snapshot{}
	for i := range 2 {
		again := &evidence.Snapshot{}
		o := Options{Paths: paths, Stdin: strings.NewReader("{apiVersion: v1, kind: ConfigMap, metadata: {name: from-standard-input}}")}
		if err := Read(context.Background(), again, o); err != nil {
			t.Fatal(err)
		}
		if i > 0 && describe(snap) != describe(again) {
			t.Errorf("two runs differ:\n%s", cmp.Diff(describe(snap), describe(again)))
		}
		snap = again
	}
	sound(t, snap)
	return snap
}

// sound checks what holds of every snapshot: nothing is lost, and every place that
// it names is there.
func sound(t *testing.T, snap *evidence.Snapshot) {
	t.Helper()
	place := placeChecker(t)
	objects := 0
	for _, s := range snap.Sources {
		objects += s.Objects
		if s.Documents != s.Objects+len(s.Skipped)+len(s.Errors) {
			t.Errorf("%s %s: %d documents, and %d objects, %d skipped, %d errors", s.Type, s.Ref, s.Documents, s.Objects, len(s.Skipped), len(s.Errors))
		}
		for _, list := range [][]evidence.Issue{s.Skipped, s.Errors, s.Warnings, s.Opaque} {
			for _, i := range list {
				if i.Reason == "" {
					t.Errorf("no reason: %v", i)
				}
				if i.Line > 0 {
					place(i.File, i.Line)
				}
			}
		}
		for _, i := range s.Opaque {
			if !gapFor(snap, i) {
				t.Errorf("no gap for %s", i)
			}
		}
	}
	if objects != len(snap.Objects) {
		t.Errorf("the sources count %d objects, and there are %d", objects, len(snap.Objects))
	}
	for _, o := range snap.Objects {
		for n := range o.Outline.Len() {
			at := o.Outline.At(n)
			place(at.File, at.Line)
		}
	}
}

func gapFor(snap *evidence.Snapshot, i evidence.Issue) bool {
	for _, g := range snap.Gaps {
		if g.Reason == i.String() {
			return true
		}
	}
	return false
}

// placeChecker returns a function that fails when a file does not have a line.
func placeChecker(t *testing.T) func(file string, line int) {
	lines := map[string]int{"<stdin>": 1}
	return func(file string, line int) {
		t.Helper()
		if _, known := lines[file]; !known && !strings.Contains(file, ".tgz:") {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Errorf("%s:%d is named: %v", file, line, err)
			}
			data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
			lines[file] = bytes.Count(bytes.ReplaceAll(data, []byte("\r"), []byte("\n")), []byte("\n")) + 1
		}
		if n, known := lines[file]; known && (line < 1 || line > n) {
			t.Errorf("%s:%d is named, and has %d lines", file, line, n)
		}
	}
}

// describe is a snapshot for people: every source, what is in it, and what is not.
func describe(snap *evidence.Snapshot) string {
	var b strings.Builder
	for _, s := range snap.Sources {
		fmt.Fprintf(&b, "%s %s: %d files, %d documents\n", s.Type, s.Ref, s.Files, s.Documents)
		for _, o := range snap.Objects {
			if o.Source != s {
				continue
			}
			at := o.Position(evidence.Path{})
			fmt.Fprintf(&b, "  %s %s:%d", o, at.File, at.Line)
			for _, w := range snap.Workloads {
				if w.Ref == o {
					for c := range w.Containers() {
						fmt.Fprintf(&b, " %s", c.Image)
					}
				}
			}
			b.WriteByte('\n')
		}
		for _, list := range []struct {
			what   string
			issues []evidence.Issue
		}{{"skipped", s.Skipped}, {"error", s.Errors}, {"warning", s.Warnings}, {"opaque", s.Opaque}} {
			for _, i := range list.issues {
				fmt.Fprintf(&b, "  %s: %s\n", list.what, i)
			}
		}
	}
	return b.String()
}
