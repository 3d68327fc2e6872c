package report

import (
	"encoding/json"
	"fmt"
	"io"
)

// maxReportSize bounds the reports that are loaded, in bytes.
const maxReportSize = 512 << 20

// Load reads a report that was written as JSON.
func Load(r io.Reader) (*Report, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxReportSize+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxReportSize:
		return nil, fmt.Errorf("more than %d MiB", maxReportSize>>20)
	}
	var rep Report
	if err := json.Unmarshal(data, &rep); err != nil {
		return nil, fmt.Errorf("not a JSON report: %w", err)
	}
	if rep.APIVersion != APIVersion || rep.Kind != Kind {
		return nil, fmt.Errorf("not a report: apiVersion %q, kind %q; want %s %s (scan -o json writes one)", rep.APIVersion, rep.Kind, APIVersion, Kind)
	}
	if err := rep.validate(); err != nil {
		return nil, err
	}
	return &rep, nil
}

// validate refuses what no scan writes and what nothing here expects.
func (r *Report) validate() error {
	for i, s := range r.Sources {
		if s == nil {
			return fmt.Errorf("source %d is null", i)
		}
	}
	for i := range r.Recommendations {
		if r.Recommendations[i].Severity == 0 {
			return fmt.Errorf("recommendation %d has no severity", i)
		}
	}
	for i := range r.Findings {
		if r.Findings[i].Severity == 0 {
			return fmt.Errorf("finding %d has no severity", i)
		}
	}
	return nil
}

// MarkBaseline marks the findings that an earlier report has: they no longer
// count for the exit code. A finding that ranks higher than it did, or that an
// exception covered then and no longer does, counts as new.
func (r *Report) MarkBaseline(base *Report) {
	same := identity(base, r)
	known := map[key]Finding{}
	for _, f := range base.Findings {
		if f.Exception == nil {
			known[same(&f)] = f
		}
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		old, ok := known[same(f)]
		f.Baseline = ok && f.Severity <= old.Severity
	}
}

// Incomplete reports whether something that was asked for could not be read, or
// not be judged by a policy of the user's own: the warnings of such a source
// (type "policy") say nothing else.
func (r *Report) Incomplete() bool {
	for _, s := range r.Sources {
		if len(s.Errors) > 0 || s.Type == "policy" && len(s.Warnings) > 0 {
			return true
		}
	}
	return false
}

// A key tells whether findings of two reports are the same.
type key struct{ id, cluster string }

// identity is how findings of two reports are told to be the same. Where either
// is of several clusters, each finding is its own cluster's; otherwise it does not
// matter by which name the cluster was called, or whether it was one or files.
func identity(a, b *Report) func(*Finding) key {
	apart := a.clusters() > 1 || b.clusters() > 1
	return func(f *Finding) key {
		if apart {
			return key{f.ID, f.Object.Cluster}
		}
		return key{id: f.ID}
	}
}

// clusters is the number of worlds that a report is of.
func (r *Report) clusters() int {
	names := map[string]bool{}
	for _, s := range r.Sources {
		if s.Cluster != nil {
			names[s.Cluster.Name] = true
		} else {
			names[""] = true
		}
	}
	return len(names)
}
