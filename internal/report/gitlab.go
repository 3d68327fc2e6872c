package report

import (
	"io"

	"github.com/gabion-k8s/gabion/internal/guide"
)

// A gitlabIssue is one entry of GitLab's Code Quality report.
type gitlabIssue struct {
	Description string         `json:"description"`
	CheckName   string         `json:"check_name"`
	Fingerprint string         `json:"fingerprint"`
	Severity    string         `json:"severity"`
	Location    gitlabLocation `json:"location"`
}

type gitlabLocation struct {
	Path  string      `json:"path"`
	Lines gitlabLines `json:"lines"`
}

type gitlabLines struct {
	Begin int `json:"begin"`
}

// writeGitLab writes a Code Quality report. GitLab keeps one of several issues
// with the same fingerprint, so those of the same object in two clusters are told
// apart by cluster, and in two files by number. What could not be read is an issue too: the format has no
// other place to say so.
func writeGitLab(w io.Writer, r *Report, _ Options) error {
	issues := make([]gitlabIssue, 0, len(r.Findings))
	fingerprints, n := unique{}, r.naming()
	for _, i := range r.unreadable() {
		issues = append(issues, gitlabIssue{
			Description: Printable("could not be read: " + i.Reason),
			CheckName:   "unreadable",
			Fingerprint: fingerprints.name("unreadable:" + slashed(i.File)),
			Severity:    "major",
			Location:    gitlabLocation{Path: r.file(i.File, ""), Lines: gitlabLines{max(i.Line, 1)}},
		})
	}
	for _, f := range worstFirst(r) {
		issues = append(issues, gitlabIssue{
			Description: Printable(join(" ", f.Recommendation, n.marked(f))),
			CheckName:   f.Rule,
			Fingerprint: fingerprints.name(n.id(f)),
			Severity:    gitlabSeverity(f),
			Location:    gitlabLocation{Path: r.file(f.Location.File, f.Object.Cluster), Lines: gitlabLines{max(f.Location.Line, 1)}},
		})
	}
	return encodeJSON(w, issues)
}

// gitlabSeverity is info for what does not count: GitLab knows no exceptions.
func gitlabSeverity(f *Finding) string {
	if !f.Counts() {
		return "info"
	}
	switch f.Severity {
	case guide.Critical:
		return "blocker"
	case guide.High:
		return "critical"
	case guide.Medium:
		return "major"
	case guide.Low:
		return "minor"
	}
	return "info"
}
