package report

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

var statuses = []Status{Pass, Fail, NotApplicable, NotEvaluated, Manual, Excepted}

// world is a report of one cluster, or of files when it has no name.
func world(cluster string, r *rand.Rand) *Report {
	source := &evidence.Source{Type: "manifest", Ref: "deploy/"}
	if cluster != "" {
		source = &evidence.Source{Type: "cluster", Ref: cluster, Cluster: &evidence.Cluster{Name: cluster}}
	}
	rep := &Report{APIVersion: APIVersion, Kind: Kind, KubernetesVersion: "1.36", Sources: []*evidence.Source{source},
		Gaps:       []evidence.Gap{{Fact: evidence.RBAC, Reason: "may not list roles"}},
		Exceptions: []ExceptionUse{{Source: "e.yaml:1", State: "unused"}}}
	for i, rec := range guide.All()[:6] {
		row := Recommendation{ID: rec.ID, Severity: rec.Severity, Status: statuses[r.IntN(len(statuses))]}
		if row.Status == NotEvaluated {
			row.Reason = "needs something"
		}
		if row.Status == Fail {
			row.Evaluated, row.Failed = 2, 1
			rep.Findings = append(rep.Findings, Finding{ID: rec.ID, Rule: "x", Recommendation: rec.ID, Severity: guide.Severity(1 + i%5),
				Object: Object{Kind: "Pod", Name: "web", Cluster: cluster}})
		}
		rep.Recommendations = append(rep.Recommendations, row)
	}
	return rep
}

// Whatever is merged: no finding is lost or changes its cluster, no row is better
// than in its worst world, none passes that was not wholly seen, and the numbers
// add up.
func TestMerge(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		worlds := []*Report{world("", r), world("east", r), world("west", r)}
		merged := Merge(worlds)
		findings, gaps := 0, 0
		for _, w := range worlds {
			findings += len(w.Findings)
			gaps += len(w.Gaps)
			for _, f := range w.Findings {
				if !slices.ContainsFunc(merged.Findings, func(g Finding) bool { return g.ID == f.ID && g.Object == f.Object }) {
					t.Fatalf("lost: %+v", f)
				}
			}
		}
		if len(merged.Findings) != findings || len(merged.Gaps) != gaps || len(merged.Sources) != 3 {
			t.Fatalf("%d findings of %d, %d gaps, %d sources", len(merged.Findings), findings, len(merged.Gaps), len(merged.Sources))
		}
		if !slices.IsSortedFunc(merged.Findings, func(a, b Finding) int { return int(b.Severity) - int(a.Severity) }) {
			t.Fatal("the worst is not first")
		}
		total := merged.Summary.Pass + merged.Summary.Fail + merged.Summary.NotApplicable + merged.Summary.NotEvaluated + merged.Summary.Manual + merged.Summary.Excepted
		if total != len(merged.Recommendations) {
			t.Fatalf("the summary counts %d rows", total)
		}
		for i, row := range merged.Recommendations {
			for j, w := range worlds {
				one := w.Recommendations[i]
				if slices.Index(order, row.Status) > slices.Index(order, one.Status) {
					t.Fatalf("%s: %s, though one world has %s", row.ID, row.Status, one.Status)
				}
				if got := row.Clusters[j]; got.Status != one.Status || got.Cluster != w.cluster() {
					t.Fatalf("%s: %+v, want %+v", row.ID, got, one)
				}
			}
			if row.Status == NotEvaluated && row.Reason == "" {
				t.Fatalf("%s: no reason", row.ID)
			}
		}
	}
}

func TestMergeReason(t *testing.T) {
	say := func(cluster string, status Status, reason string) *Report {
		r := world(cluster, rand.New(rand.NewPCG(1, 2)))
		r.Recommendations = []Recommendation{{ID: "POD-01", Status: status, Reason: reason}}
		return r
	}
	for _, test := range []struct {
		worlds []*Report
		want   string
	}{
		{[]*Report{say("a", NotEvaluated, "needs it"), say("b", NotEvaluated, "needs it")}, "needs it"},
		{[]*Report{say("a", NotEvaluated, "needs it"), say("b", Pass, "")}, "a: needs it"},
		{[]*Report{say("", Fail, ""), say("b", NotEvaluated, "may not list roles")}, "b: not-evaluated: may not list roles"},
		{[]*Report{say("a", NotEvaluated, "x"), say("b", NotEvaluated, "y"), say("c", NotEvaluated, "x")}, "a, c: x; b: y"},
	} {
		if got := Merge(test.worlds).Recommendations[0].Reason; got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// An exception that suppresses something in one world is not reported as unused
// by another.
func TestMergeExceptions(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	a, b := world("a", r), world("b", r)
	b.Exceptions[0].State, b.Exceptions[0].Used = "in-force", 3
	got := Merge([]*Report{a, b}).Exceptions
	if len(got) != 1 || got[0].State != "in-force" || got[0].Used != 3 {
		t.Errorf("%+v", got)
	}
}

// Between a fleet and a fleet the cluster tells findings apart; between one
// cluster and another, or the files it came from, it does not.
func TestIdentity(t *testing.T) {
	finding := func(cluster string) *Report {
		r := world(cluster, rand.New(rand.NewPCG(1, 2)))
		r.Findings = []Finding{{ID: "1", Severity: guide.High, Object: Object{Cluster: cluster}}}
		return r
	}
	fleet := Merge([]*Report{finding("a"), finding("b")})
	clean := finding("b")
	clean.Findings = nil
	one := Merge([]*Report{finding("a"), clean})
	for _, test := range []struct {
		what            string
		old, new        *Report
		fresh, baseline int
	}{
		{"the same cluster", finding("a"), finding("a"), 0, 1},
		{"files, then the cluster", finding(""), finding("a"), 0, 1},
		{"another name", finding("a"), finding("renamed"), 0, 1},
		{"a fleet, one cluster of which was clean", one, fleet, 1, 1},
	} {
		if got := len(Compare(test.old, test.new).New); got != test.fresh {
			t.Errorf("%s: %d new, want %d", test.what, got, test.fresh)
		}
		test.new.MarkBaseline(test.old)
		marked := 0
		for _, f := range test.new.Findings {
			if f.Baseline {
				marked++
			}
		}
		if marked != test.baseline {
			t.Errorf("%s: %d in the baseline, want %d", test.what, marked, test.baseline)
		}
	}
}
