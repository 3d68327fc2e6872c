// Package report is the one result document of a scan (kind ScanReport) and its
// formats. Every format, the baseline and the diff are functions of a Report;
// none looks at evidence or runs a check.
package report

import (
	"time"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// APIVersion and Kind head every report.
const (
	APIVersion = "gabion.dev/v1"
	Kind       = "ScanReport"
)

// A Report answers every recommendation of the guide for what was scanned.
type Report struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Tool       Tool      `json:"tool"`
	StartedAt  time.Time `json:"startedAt"`
	FinishedAt time.Time `json:"finishedAt"`
	// KubernetesVersion is the release whose rules were applied.
	KubernetesVersion string             `json:"kubernetesVersion"`
	Sources           []*evidence.Source `json:"sources"`
	// Recommendations has one row for every recommendation, in the ledger's order.
	Recommendations []Recommendation `json:"recommendations"`
	Findings        []Finding        `json:"findings"`
	Summary         Summary          `json:"summary"`
	// Gaps is what could not be seen and which rows it left open.
	Gaps []evidence.Gap `json:"gaps"`
	// Exceptions tells what became of each exception that was given.
	Exceptions []ExceptionUse `json:"exceptions"`
	// Omitted counts, by recommendation, the findings that are not among Findings,
	// where only a format is to be written that shows no more of them (see Most).
	Omitted map[string]int `json:"-"`
}

// Tool says what made the report.
type Tool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Guide   string `json:"guide"`
}

// A Status is the answer to one recommendation.
type Status string

// The statuses of CONTRACT §4. "Could not look" is never Pass.
const (
	Pass          Status = "pass"
	Fail          Status = "fail"
	NotApplicable Status = "not-applicable"
	NotEvaluated  Status = "not-evaluated"
	Manual        Status = "manual"
	Excepted      Status = "excepted"
)

// A Recommendation is one row of the ledger with its answer.
type Recommendation struct {
	ID       string         `json:"id"`
	Title    string         `json:"title"`
	Section  string         `json:"section"`
	Severity guide.Severity `json:"severity"`
	Status   Status         `json:"status"`
	// Reason is empty for a plain pass; it says what is missing, what does not
	// apply, who attested, or what of a failed row was not looked at besides.
	Reason string `json:"reason"`
	// Missing are the kinds of evidence that could answer a row for which none was
	// given, the most telling first: names of guide.Evidence.
	Missing []string `json:"missing,omitempty"`
	// Evaluated is the number of objects that were judged, Failed how many of
	// them have a finding, excepted ones included.
	Evaluated int `json:"evaluated"`
	Failed    int `json:"failed"`
	// Clusters is the answer in each cluster, where several were scanned; files
	// scanned beside them have no name.
	Clusters []ClusterAnswer `json:"clusters,omitempty"`
}

// A ClusterAnswer is the answer to one recommendation in one of several clusters.
type ClusterAnswer struct {
	Cluster   string `json:"cluster"`
	Status    Status `json:"status"`
	Reason    string `json:"reason"`
	Evaluated int    `json:"evaluated"`
	Failed    int    `json:"failed"`
}

// A Finding is one thing wrong with one object.
type Finding struct {
	// ID is the same for the same fault of the same object, wherever it was read.
	ID             string         `json:"id"`
	Rule           string         `json:"rule"`
	Recommendation string         `json:"recommendation"`
	Severity       guide.Severity `json:"severity"`
	// SeverityReason says why the severity differs from the recommendation's.
	SeverityReason string      `json:"severityReason,omitempty"`
	Message        string      `json:"message"`
	Object         Object      `json:"object"`
	Path           string      `json:"path"`
	Value          string      `json:"value"`
	Location       Location    `json:"location"`
	Remediation    Remediation `json:"remediation"`
	Exception      *Exception  `json:"exception"`
	// Baseline is set when the finding was in the baseline: it does not count
	// for the exit code.
	Baseline bool `json:"baseline,omitempty"`
	// Sensitive is set when the place holds a credential: no format shows its text.
	Sensitive bool `json:"sensitive,omitempty"`
}

// Counts reports whether the finding can make the exit code 1.
func (f *Finding) Counts() bool { return f.Exception == nil && !f.Baseline }

// An Object names what a finding is about.
type Object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
	Container  string `json:"container,omitempty"`
	// Cluster is the live cluster that the object was seen in, "" for one in a file.
	Cluster string `json:"cluster,omitempty"`
	// Manager is what made a live object, and would undo a change by hand: a Helm
	// release, an Argo CD application, the file of a static pod.
	Manager string `json:"manager,omitempty"`
}

// String names the object as people do: Deployment shop/web.
func (o Object) String() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

// A Location is where the offending value is written, or, when a field is
// missing, where its parent is. Line and column are 1-based; zero is unknown.
type Location struct {
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
	Column    int    `json:"column,omitempty"`
	ValuesKey string `json:"valuesKey,omitempty"`
}

// A Remediation says how the finding goes away.
type Remediation struct {
	Summary string `json:"summary"`
	// Automatic is set when `gabion fix` can make the change.
	Automatic bool `json:"automatic"`
}

// An Exception is why a finding is accepted.
type Exception struct {
	Reason  string `json:"reason"`
	Author  string `json:"author,omitempty"`
	Expires string `json:"expires,omitempty"`
	// Source is the file, or the annotation, that grants the exception.
	Source string `json:"source"`
}

// An ExceptionUse tells what became of one exception.
type ExceptionUse struct {
	Source  string `json:"source"`
	Matches string `json:"matches"` // what it is meant for, in words
	State   string `json:"state"`   // in-force, expired, unused
	Used    int    `json:"used"`    // findings it suppressed
	Reason  string `json:"reason"`
	Author  string `json:"author,omitempty"`
	Expires string `json:"expires,omitempty"`
}

// A Summary counts rows by status and findings by severity; excepted findings
// are not counted.
type Summary struct {
	Pass          int            `json:"pass"`
	Fail          int            `json:"fail"`
	NotApplicable int            `json:"notApplicable"`
	NotEvaluated  int            `json:"notEvaluated"`
	Manual        int            `json:"manual"`
	Excepted      int            `json:"excepted"`
	Findings      SeverityCounts `json:"findings"`
}

// SeverityCounts counts findings by severity.
type SeverityCounts struct {
	Critical int `json:"critical"`
	High     int `json:"high"`
	Medium   int `json:"medium"`
	Low      int `json:"low"`
	Info     int `json:"info"`
}

// Add counts one finding.
func (c *SeverityCounts) Add(s guide.Severity) {
	switch s {
	case guide.Critical:
		c.Critical++
	case guide.High:
		c.High++
	case guide.Medium:
		c.Medium++
	case guide.Low:
		c.Low++
	case guide.Info:
		c.Info++
	}
}

// AddAll counts the findings that other counts.
func (c *SeverityCounts) AddAll(other SeverityCounts) {
	c.Critical += other.Critical
	c.High += other.High
	c.Medium += other.Medium
	c.Low += other.Low
	c.Info += other.Info
}

// Add counts one row.
func (s *Summary) Add(status Status) {
	switch status {
	case Pass:
		s.Pass++
	case Fail:
		s.Fail++
	case NotApplicable:
		s.NotApplicable++
	case NotEvaluated:
		s.NotEvaluated++
	case Manual:
		s.Manual++
	case Excepted:
		s.Excepted++
	}
}
