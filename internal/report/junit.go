package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"

	"github.com/gabion-k8s/gabion/internal/guide"
)

type junitSuites struct {
	XMLName xml.Name `xml:"testsuites"`
	Name    string   `xml:"name,attr"`
	junitCounts
	Time   string        `xml:"time,attr"` // seconds
	Suites []*junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name string `xml:"name,attr"`
	junitCounts
	Timestamp string      `xml:"timestamp,attr,omitempty"`
	Cases     []junitCase `xml:"testcase"`
}

type junitCounts struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
	Skipped  int `xml:"skipped,attr"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Failure *junitOutcome `xml:"failure"`
	Error   *junitOutcome `xml:"error"`
	Skipped *junitOutcome `xml:"skipped"`
}

type junitOutcome struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// writeJUnit writes a suite for each section of the guide with a case for each
// recommendation. A case fails when the row fails with a finding that makes the
// exit code 1, so that CI that counts failures agrees with the exit code; a row
// that fails otherwise is skipped and says so. It never shows as passed. What
// could not be read is an error.
func writeJUnit(w io.Writer, r *Report, o Options) error {
	j := junitBuilder{suites: map[string]*junitSuite{}}
	j.doc.Name = "gabion"
	j.doc.Time = fmt.Sprintf("%.3f", max(0, r.FinishedAt.Sub(r.StartedAt).Seconds()))
	if !r.StartedAt.IsZero() {
		j.timestamp = r.StartedAt.UTC().Format("2006-01-02T15:04:05") // the format's schema knows no zone
	}
	findings := worstFirst(r)
	rows := byRecommendation(findings)
	j.naming = r.naming()
	for i := range r.Recommendations {
		rec := &r.Recommendations[i]
		j.add(rec.Section, j.row(rec, rows[rec.ID], o.FailOn))
	}
	j.policies(orphans(r, findings), o.FailOn)
	j.sources(r)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(j.doc); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

type junitBuilder struct {
	doc       junitSuites
	suites    map[string]*junitSuite
	timestamp string
	naming    naming
}

func (j *junitBuilder) add(suite string, c junitCase) {
	s := j.suites[suite]
	if s == nil {
		s = &junitSuite{Name: Printable(suite), Timestamp: j.timestamp}
		j.suites[suite] = s
		j.doc.Suites = append(j.doc.Suites, s)
	}
	c.Name, c.Class = Printable(c.Name), Printable(suite)
	s.Cases = append(s.Cases, c)
	for _, n := range []*junitCounts{&j.doc.junitCounts, &s.junitCounts} {
		n.Tests++
		switch {
		case c.Failure != nil:
			n.Failures++
		case c.Error != nil:
			n.Errors++
		case c.Skipped != nil:
			n.Skipped++
		}
	}
}

func (j *junitBuilder) row(rec *Recommendation, findings []*Finding, failOn guide.Severity) junitCase {
	c := junitCase{Name: rec.ID + " " + rec.Title}
	switch rec.Status {
	case Pass:
	case Fail:
		j.judge(&c, rec.Severity, rec.Reason, findings, failOn)
	default:
		c.Skipped = j.outcome(join(": ", string(rec.Status), rec.Reason), "", findings)
	}
	return c
}

// judge fails the case when a finding counts, or when the row failed without any.
func (j *junitBuilder) judge(c *junitCase, severity guide.Severity, reason string, findings []*Finding, failOn guide.Severity) {
	failing := 0
	for _, f := range findings {
		if f.Counts() && f.Severity >= failOn {
			failing++
			severity = max(severity, f.Severity)
		}
	}
	switch {
	case failing > 0:
		c.Failure = j.outcome(join(", ", count(failing, "finding"), reason), severity.String(), findings)
	case len(findings) == 0:
		c.Failure = j.outcome(join(": ", "fails", reason), severity.String(), nil)
	default:
		message := "fails, but below --fail-on, excepted or in the baseline: " + count(len(findings), "finding")
		c.Skipped = j.outcome(join(", ", message, reason), "", findings)
	}
}

// outcome tells of findings, one in a line.
func (j *junitBuilder) outcome(message, kind string, findings []*Finding) *junitOutcome {
	var b strings.Builder
	for _, f := range findings {
		b.WriteString(Printable(join("  ", f.Severity.String(), j.naming.marked(f), f.Location.String(), f.remedy())))
		b.WriteByte('\n')
	}
	return &junitOutcome{Message: Printable(message), Type: kind, Text: b.String()}
}

// policies adds the findings of the user's own policies, a case for each.
func (j *junitBuilder) policies(findings []*Finding, failOn guide.Severity) {
	var rules []string
	byRule := map[string][]*Finding{}
	for _, f := range findings {
		if byRule[f.Rule] == nil {
			rules = append(rules, f.Rule)
		}
		byRule[f.Rule] = append(byRule[f.Rule], f)
	}
	for _, rule := range rules {
		c := junitCase{Name: rule}
		j.judge(&c, 0, "", byRule[rule], failOn)
		j.add("Your own policies", c)
	}
}

func (j *junitBuilder) sources(r *Report) {
	for _, s := range r.Sources {
		c := junitCase{Name: s.Type + " " + s.Ref}
		if n := len(s.Errors); n > 0 {
			c.Error = &junitOutcome{
				Message: fmt.Sprintf("%d could not be read", n), Type: "unreadable",
				Text: Printable(strings.Join(texts(s.Errors), "; ")),
			}
		}
		j.add("Sources", c)
	}
}
