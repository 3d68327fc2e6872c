package report

import (
	"cmp"
	"fmt"
	"path"
	"path/filepath"
	"slices"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// This file has what several formats say about a finding in the same words.

// worstFirst returns the findings in the order in which they may be cut off:
// those that count before excepted and known ones, then by severity.
func worstFirst(r *Report) []*Finding {
	list := make([]*Finding, len(r.Findings))
	for i := range r.Findings {
		list[i] = &r.Findings[i]
	}
	slices.SortStableFunc(list, func(a, b *Finding) int {
		if a.Counts() != b.Counts() {
			if a.Counts() {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.Severity, a.Severity)
	})
	return list
}

// byRecommendation groups findings, keeping their order.
func byRecommendation(findings []*Finding) map[string][]*Finding {
	rows := map[string][]*Finding{}
	for _, f := range findings {
		rows[f.Recommendation] = append(rows[f.Recommendation], f)
	}
	return rows
}

// orphans returns the findings that no row of the report stands for: those of
// the user's own policies.
func orphans(r *Report, findings []*Finding) (list []*Finding) {
	known := map[string]bool{}
	for i := range r.Recommendations {
		known[r.Recommendations[i].ID] = true
	}
	for _, f := range findings {
		if !known[f.Recommendation] {
			list = append(list, f)
		}
	}
	return list
}

// text is the object and what is wrong with it.
func (f *Finding) text() string { return f.Object.String() + ": " + f.Message }

// standing says why the finding does not count, "" when it does.
func (f *Finding) standing() string {
	switch {
	case f.Exception != nil:
		return "excepted: " + f.Exception.Reason
	case f.Baseline:
		return "in the baseline"
	}
	return ""
}

// marked is the text with the standing.
func (f *Finding) marked() string {
	if s := f.standing(); s != "" {
		return f.text() + " (" + s + ")"
	}
	return f.text()
}

// shownValue is the value, but where a credential stands.
func (f *Finding) shownValue() string {
	if f.Sensitive {
		return ""
	}
	return f.Value
}

// file is the file that a finding is shown at: its own, or, for one that stands
// in no file, the source that was read.
func (r *Report) file(l Location) string {
	switch {
	case l.File != "":
		return slashed(l.File)
	case len(r.Sources) > 0 && r.Sources[0].Ref != "":
		return slashed(r.Sources[0].Ref)
	}
	return "-"
}

// slashed is a file's name as code hosts want it: forward slashes, no leading "./".
func slashed(file string) string { return path.Clean(filepath.ToSlash(file)) }

// unreadable returns what could not be read, of all sources.
func (r *Report) unreadable() (list []evidence.Issue) {
	for _, s := range r.Sources {
		list = append(list, s.Errors...)
	}
	return list
}

// unique hands out names that no two results share: the name itself, and for
// its second bearer name-2.
type unique map[string]int

func (u unique) name(name string) string {
	candidate := name
	for n := max(u[name], 1); u[candidate] > 0; candidate = fmt.Sprintf("%s-%d", name, n) {
		n++
		u[name] = n
	}
	u[candidate]++
	return candidate
}

// tally counts what is not zero: 1 critical, 2 high.
func (c SeverityCounts) tally() string {
	part := func(n int, s guide.Severity) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprintf("%d %s", n, s)
	}
	text := join(", ", part(c.Critical, guide.Critical), part(c.High, guide.High), part(c.Medium, guide.Medium),
		part(c.Low, guide.Low), part(c.Info, guide.Info))
	if text == "" {
		return "none"
	}
	return text
}
