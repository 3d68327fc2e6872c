package report

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/gabion-k8s/gabion/internal/guide"
)

// writeGitHub writes workflow commands: GitHub Actions turns each into an
// annotation of the file. It shows ten of each level for a step, so the worst
// come first; all of them stand in the log, with the sum at the end.
func writeGitHub(w io.Writer, r *Report, _ Options) error {
	b := bufio.NewWriter(w)
	for _, issue := range r.unreadable() {
		githubCommand(b, "warning", issue.File, issue.Line, issue.Column, "Could not be read", issue.Reason)
	}
	n := r.naming()
	for _, f := range worstFirst(r) {
		message := n.marked(f)
		if remedy := f.remedy(); remedy != "" {
			message += ". To put it right: " + remedy
		}
		githubCommand(b, githubLevel(f), f.Location.File, f.Location.Line, f.Location.Column,
			join(" ", f.Recommendation, f.Rule, "("+f.Severity.String()+")"), message)
	}
	s := r.Summary
	fmt.Fprintf(b, "Gabion: %d of %s fail, %d not evaluated, %d could not be read. Findings: %s. GitHub shows at most ten annotations of a level for each step.\n",
		s.Fail, count(len(r.Recommendations), "recommendation"), s.NotEvaluated, len(r.unreadable()), s.Findings.tally())
	return b.Flush()
}

// githubLevel is error, warning or notice; what does not count is a notice.
func githubLevel(f *Finding) string {
	switch {
	case !f.Counts() || f.Severity <= guide.Low:
		return "notice"
	case f.Severity == guide.Medium:
		return "warning"
	}
	return "error"
}

func githubCommand(w io.Writer, level, file string, line, column int, title, message string) {
	var properties []string
	if file != "" {
		properties = append(properties, "file="+githubProperty(slashed(file)))
		if line > 0 {
			properties = append(properties, fmt.Sprintf("line=%d", line))
		}
		if line > 0 && column > 0 {
			properties = append(properties, fmt.Sprintf("col=%d", column))
		}
	}
	properties = append(properties, "title="+githubProperty(title))
	fmt.Fprintf(w, "::%s %s::%s\n", level, strings.Join(properties, ","), githubData(message))
}

// githubData escapes the message of a command. No line break is left in it: a
// name cannot begin a command of its own.
func githubData(s string) string { return strings.ReplaceAll(Printable(s), "%", "%25") }

// githubProperty escapes the value of a property.
func githubProperty(s string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(githubData(s))
}
