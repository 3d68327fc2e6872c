package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// Merge makes one report of several worlds that were judged apart: the clusters
// of a fleet, and files scanned beside them. A row is as bad as it is in the
// worst of them, and says how it is in each; findings keep the cluster they are
// of. Tool and times are those of the first. One report is returned as it is.
func Merge(reports []*Report) *Report {
	if len(reports) == 1 {
		return reports[0]
	}
	first := reports[0]
	m := &Report{
		APIVersion: first.APIVersion, Kind: first.Kind, Tool: first.Tool, StartedAt: first.StartedAt, FinishedAt: first.FinishedAt,
		Sources: []*evidence.Source{}, Findings: []Finding{}, Gaps: []evidence.Gap{},
		Omitted: map[string]int{},
	}
	var versions []string
	rows := map[string]int{}
	for i, rec := range first.Recommendations {
		rows[rec.ID] = i
		m.Recommendations = append(m.Recommendations, together(reports, i))
		m.Summary.Add(m.Recommendations[i].Status)
	}
	for _, r := range reports {
		if !slices.Contains(versions, r.KubernetesVersion) && !r.silent() {
			versions = append(versions, r.KubernetesVersion)
		}
		m.Sources = append(m.Sources, r.Sources...)
		m.Findings = append(m.Findings, r.Findings...)
		m.Summary.Findings.AddAll(r.Summary.Findings)
		for row, n := range r.Omitted {
			m.Omitted[row] += n
		}
		for _, g := range r.Gaps {
			g.Cluster = r.cluster()
			m.Gaps = append(m.Gaps, g)
		}
	}
	m.KubernetesVersion = cmp.Or(strings.Join(versions, ", "), first.KubernetesVersion)
	m.Exceptions = mergeExceptions(reports)
	slices.SortStableFunc(m.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(rows[a.Recommendation], rows[b.Recommendation]))
	})
	return m
}

// cluster is the name of the cluster that a report is of, "" for files.
func (r *Report) cluster() string {
	for _, s := range r.Sources {
		if s.Cluster != nil {
			return s.Cluster.Name
		}
	}
	return ""
}

// silent reports whether a report is of a cluster that did not say which release it
// runs: what it was judged as is no one's.
func (r *Report) silent() bool {
	return slices.ContainsFunc(r.Sources, func(s *evidence.Source) bool { return s.Cluster != nil && s.Cluster.Version == "" })
}

// order is that of the statuses, the worst first. What applies in one world is
// not outvoted by another in which there is nothing to apply to.
var order = []Status{Fail, NotEvaluated, Manual, Excepted, Pass, NotApplicable}

// together is a row of all reports.
func together(reports []*Report, i int) Recommendation {
	row := reports[0].Recommendations[i]
	row.Evaluated, row.Failed, row.Reason, row.Missing, row.Clusters = 0, 0, "", nil, nil
	for _, r := range reports {
		one := r.Recommendations[i]
		row.Clusters = append(row.Clusters, ClusterAnswer{r.cluster(), one.Status, one.Reason, one.Evaluated, one.Failed})
		row.Evaluated += one.Evaluated
		row.Failed += one.Failed
		if slices.Index(order, one.Status) < slices.Index(order, row.Status) {
			row.Status = one.Status
		}
	}
	row.Reason, row.Missing = reasonTogether(reports, i, row.Status)
	return row
}

// reasonTogether says why a row is as it is, and where; what all say alike is
// said once.
func reasonTogether(reports []*Report, i int, status Status) (reason string, missing []string) {
	where := map[string][]string{}
	var reasons []string
	for _, r := range reports {
		one := r.Recommendations[i]
		if one.Status != status && (one.Status == Pass || one.Status == NotApplicable) {
			continue
		}
		said := one.Reason
		if one.Status != status {
			said = strings.TrimSuffix(fmt.Sprintf("%s: %s", one.Status, one.Reason), ": ")
		}
		if said == "" {
			continue
		}
		if where[said] == nil {
			reasons = append(reasons, said)
		}
		where[said] = append(where[said], cmp.Or(r.cluster(), "files"))
		if one.Status == status && missing == nil {
			missing = one.Missing
		}
	}
	var parts []string
	for _, said := range reasons {
		if len(where[said]) < len(reports) {
			said = strings.Join(where[said], ", ") + ": " + said
		}
		parts = append(parts, said)
	}
	return strings.Join(parts, "; "), missing
}

// mergeExceptions adds up what became of each exception: one that suppressed
// something anywhere was used.
func mergeExceptions(reports []*Report) []ExceptionUse {
	all := []ExceptionUse{}
	type name struct{ source, matches string }
	at := map[name]int{}
	for _, r := range reports {
		for _, use := range r.Exceptions {
			i, known := at[name{use.Source, use.Matches}]
			if !known {
				at[name{use.Source, use.Matches}] = len(all)
				all = append(all, use)
				continue
			}
			all[i].Used += use.Used
			if all[i].State == "unused" {
				all[i].State = use.State
			}
		}
	}
	return all
}
