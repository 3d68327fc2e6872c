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

// A naming is how the objects of a report are called: where it is of several
// worlds, those of clusters with their cluster.
type naming struct{ fleet bool }

func (r *Report) naming() naming { return naming{r.clusters() > 1} }

// object is Deployment shop/web, or prod: Deployment shop/web.
func (n naming) object(o Object) string {
	if n.fleet && o.Cluster != "" {
		return o.Cluster + ": " + o.String()
	}
	return o.String()
}

// text is the object and what is wrong with it.
func (n naming) text(f *Finding) string { return n.object(f.Object) + ": " + f.Message }

// id is the finding's, which those of the same fault in two clusters share, made
// that of one cluster.
func (n naming) id(f *Finding) string {
	if n.fleet && f.Object.Cluster != "" {
		return f.ID + "@" + f.Object.Cluster
	}
	return f.ID
}

// remedy is how the finding goes away, and where the change has to be made when
// something else would undo it.
func (f *Finding) remedy() string {
	if f.Object.Manager == "" {
		return f.Remediation.Summary
	}
	return join(" ", f.Remediation.Summary, "(managed by "+f.Object.Manager+": make the change there)")
}

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
func (n naming) marked(f *Finding) string {
	if s := f.standing(); s != "" {
		return n.text(f) + " (" + s + ")"
	}
	return n.text(f)
}

// shownValue is the value, but where a credential stands.
func (f *Finding) shownValue() string {
	if f.Sensitive {
		return ""
	}
	return f.Value
}

// file is the file that something is shown at: its own, or, for what stands in no
// file, the cluster, or else the source that was read.
func (r *Report) file(file, cluster string) string {
	switch {
	case file != "":
		return slashed(file)
	case cluster != "":
		return slashed(cluster)
	case len(r.Sources) > 0 && r.Sources[0].Ref != "":
		return slashed(r.Sources[0].Ref)
	}
	return "-"
}

// slashed is a file's name as code hosts want it: forward slashes, no leading "./".
func slashed(file string) string { return path.Clean(filepath.ToSlash(file)) }

// unreadable returns what could not be read, of all sources.
func (r *Report) unreadable() (list []evidence.Issue) {
	n := r.naming()
	for _, s := range r.Sources {
		list = append(list, n.issues(s, s.Errors)...)
	}
	return list
}

// issues are some of a source, with its cluster where there are several.
func (n naming) issues(s *evidence.Source, some []evidence.Issue) []evidence.Issue {
	if !n.fleet || s.Cluster == nil {
		return some
	}
	list := slices.Clone(some)
	for i := range list {
		list[i].Reason = s.Cluster.Name + ": " + list[i].Reason
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
