package checks_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/kind"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

// A check that says something else when an object cannot be read needs that
// object: unless it names the fact among its needs, the row could pass unread.
// Every document of every example is broken in turn, so that its kind can still
// be told, or not listed, where the example is a live cluster, and all checks are
// run on what is left.
func TestNeeds(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	missing := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		docs := strings.Split("\n"+string(text), "\n---\n")
		live := strings.Contains(docs[0], "\n"+clusterMark)
		scan := func(docs []string) *check.Scan {
			if live {
				return checktest.Scan(t, file, strings.TrimPrefix(strings.Join(docs, "\n---\n"), "\n"))
			}
			return scanOf(docs)
		}
		whole := scan(docs)
		said := map[string][]string{}
		for _, c := range checks.All() {
			said[c.ID] = verdict(c, whole)
		}
		for i := range docs {
			left := slices.Clone(docs)
			if live {
				left[i] = ""
				left[0] = withGap(t, docs[0], docs[i], i == 0)
			} else {
				left[i] += "\nbroken: [\n"
			}
			part := scan(left)
			if len(part.Objects) == len(whole.Objects) {
				continue // a document of comments
			}
			missing++
			for _, c := range checks.All() {
				if touches(part.Gaps, c.Needs) || told[c.ID] {
					continue
				}
				says := verdict(c, part)
				if diff := cmp.Diff(said[c.ID], says); diff != "" && !quotes(says, part.Gaps) {
					told[c.ID] = true
					t.Errorf("%s: its verdict changes unnoticed when document %d of %s cannot be read: the gap is %+v, its needs are %v\n%s",
						c.ID, i, file, part.Gaps, c.Needs, diff)
				}
			}
		}
	}
	if missing < len(files) {
		t.Errorf("only %d documents of %d files could be taken away", missing, len(files))
	}
}

const clusterMark = "# cluster: {"

// withGap returns the first document of a live cluster with the gap that another one
// leaves, and without itself when it is that one.
func withGap(t *testing.T, first, gone string, itself bool) string {
	t.Helper()
	var object struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal([]byte(gone), &object); err != nil {
		t.Fatal(err)
	}
	group, _, grouped := strings.Cut(object.APIVersion, "/")
	if !grouped {
		group = ""
	}
	fact, _ := kind.FactOf(group, object.Kind)
	var kept []string
	for line := range strings.Lines(first) {
		if rest, ok := strings.CutPrefix(line, clusterMark); ok {
			gap := fmt.Sprintf(`"gaps": [{"fact": %q, "reason": "forbidden"}`, fact)
			if before, others, some := strings.Cut(rest, `"gaps": [`); some {
				line = clusterMark + before + gap + ", " + others
			} else {
				line = clusterMark + gap + "], " + rest
			}
		}
		if !itself || line == "\n" || strings.HasPrefix(line, "#") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
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

// quotes reports whether a verdict speaks of a gap itself.
func quotes(verdict []string, gaps []evidence.Gap) bool {
	return slices.ContainsFunc(gaps, func(g evidence.Gap) bool {
		return slices.ContainsFunc(verdict, func(said string) bool { return strings.Contains(said, g.Reason) })
	})
}

// verdict is all that a check says, in words.
func verdict(c *check.Check, s *check.Scan) []string {
	run := &check.Run{Scan: s}
	if !c.Asks(s.Snapshot) {
		return nil
	}
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
