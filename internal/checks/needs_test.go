package checks_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

// A check that says something else when an object cannot be read needs that
// object: unless it names the fact among its needs, the row could pass unread.
// Every document of every example is broken in turn, so that its kind can still
// be told, and all checks are run on what is left of the file.
func TestNeeds(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	broken := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		docs := strings.Split("\n"+string(text), "\n---\n")
		whole := scanOf(docs)
		said := map[string][]string{}
		for _, c := range checks.All() {
			said[c.ID] = verdict(c, whole)
		}
		for i := range docs {
			left := slices.Clone(docs)
			left[i] += "\nbroken: [\n"
			part := scanOf(left)
			if len(part.Objects) == len(whole.Objects) {
				continue // a document of comments
			}
			broken++
			for _, c := range checks.All() {
				if touches(part.Gaps, c.Needs) || told[c.ID] {
					continue
				}
				if diff := cmp.Diff(said[c.ID], verdict(c, part)); diff != "" {
					told[c.ID] = true
					t.Errorf("%s: its verdict changes unnoticed when document %d of %s cannot be read: the gap is %+v, its needs are %v\n%s",
						c.ID, i, file, part.Gaps, c.Needs, diff)
				}
			}
		}
	}
	if broken < len(files) {
		t.Errorf("only %d documents of %d files could be broken", broken, len(files))
	}
}

func scanOf(docs []string) *check.Scan {
	snap := &evidence.Snapshot{}
	manifest.Add(snap, &evidence.Source{Type: "manifest"}, new(manifest.Reader).Read("a.yaml", []byte(strings.Join(docs, "\n---\n"))))
	return check.NewScan(snap, check.Settings{
		Version:           evidence.Newest(),
		TrustedRegistries: []string{"registry.example.com"},
		SensitiveRanges:   map[string]string{"db": "10.1.0.0/16"},
		UntrustedSelector: map[string]string{"trust": "none"},
	})
}

func touches(gaps []evidence.Gap, needs []evidence.Fact) bool {
	return slices.ContainsFunc(gaps, func(g evidence.Gap) bool {
		return slices.ContainsFunc(needs, func(f evidence.Fact) bool { return g.Touches(f, "") })
	})
}

// verdict is all that a check says, in words.
func verdict(c *check.Check, s *check.Scan) []string {
	run := &check.Run{Scan: s}
	c.Run(run)
	said := []string{fmt.Sprint(run.Evaluated.Len(), " judged")}
	for _, f := range run.Failures {
		said = append(said, fmt.Sprintf("%s: %s: %s", f.Ref, f.Problem.Path, f.Problem.Message))
	}
	for _, u := range run.Unknowns {
		said = append(said, fmt.Sprintf("%s not judged: %s", u.Scope, u.Reason))
	}
	slices.Sort(said)
	return said
}
