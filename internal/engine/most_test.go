package engine_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/engine"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/report"
)

// A report of the first findings only, the others counted, is shown as the whole
// one is, by the format that asks for no more; and where an exception may apply,
// nothing is left out.
func TestMost(t *testing.T) {
	table := func(rep *report.Report) string {
		var b bytes.Buffer
		if err := report.Formats()["table"](&b, rep, report.Options{}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for range 200 {
		snap, checks, extra := randomWorld()
		o := engine.Options{Extra: extra, Exceptions: engine.Exceptions{Annotations: true}}
		if rand.IntN(2) == 0 {
			o.Selector = func(ref *evidence.Ref) bool { return ref.Name != "p1" }
		}
		whole := run(t, snap, o, checks...)
		o.Most = report.Most("table")
		short := run(t, snap, o, checks...)
		if len(short.Findings) > len(checks)*o.Most+len(extra) {
			t.Fatalf("%d findings", len(short.Findings))
		}
		if d := cmp.Diff(table(whole), table(short)); d != "" {
			t.Fatalf("-whole +short: %s", d)
		}
		if d := cmp.Diff(whole.Recommendations, short.Recommendations); d != "" || whole.Summary != short.Summary {
			t.Fatalf("%+v instead of %+v, -whole +short: %s", short.Summary, whole.Summary, d)
		}
		twice := func(r *report.Report) *report.Report { return report.Merge([]*report.Report{r, r}) }
		if d := cmp.Diff(table(twice(whole)), table(twice(short))); d != "" {
			t.Fatalf("merged, -whole +short: %s", d)
		}
		snap.Objects[rand.IntN(len(snap.Objects))].Annotations = map[string]string{engine.AnnotationPrefix + "r0": "accepted"}
		if rep := run(t, snap, o, checks...); len(rep.Findings) != len(whole.Findings) {
			t.Fatalf("with an exception, %d findings instead of %d", len(rep.Findings), len(whole.Findings))
		}
	}
}

// randomWorld is some objects, what some checks find of them, two for one row, and
// what the user's own rules do.
func randomWorld() (*evidence.Snapshot, []*check.Check, []engine.Extra) {
	snap := &evidence.Snapshot{}
	for i := range 1 + rand.IntN(9) {
		snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Pod", Namespace: fmt.Sprint("ns", rand.IntN(2)), Name: fmt.Sprint("p", i)}, nil)
	}
	n := 0
	problem := func() check.Problem {
		n++ // tells them apart
		return check.Problem{
			Path: evidence.NewPath("spec", fmt.Sprint("f", rand.IntN(3))), Value: fmt.Sprint(n), Message: fmt.Sprint("fault ", n),
			Severity: guide.Severity(rand.IntN(6)),
		}
	}
	var checks []*check.Check
	for i, row := range []string{"POD-05", "POD-05", "POD-06"} {
		found := map[int][]check.Problem{}
		for range rand.IntN(30) {
			at := rand.IntN(len(snap.Objects))
			found[at] = append(found[at], problem())
		}
		checks = append(checks, &check.Check{
			ID: fmt.Sprint("r", i), Title: "fault", Doc: "A test.", Recommendation: row, Severity: guide.Medium, Remedy: "none",
			Run: func(r *check.Run) {
				for i, ref := range r.Objects {
					r.Judge(ref, found[i])
				}
			},
		})
	}
	var extra []engine.Extra
	for i := range rand.IntN(8) {
		extra = append(extra, engine.Extra{
			Rule: "own", Recommendation: []string{"", "POD-05"}[i%2], Severity: guide.High,
			Ref: snap.Objects[rand.IntN(len(snap.Objects))], Problem: problem(),
		})
	}
	return snap, checks, extra
}
