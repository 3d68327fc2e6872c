package report

import (
	"fmt"
	"io"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// What code scanning services take. GitHub refuses a run with more results, and
// shows 5,000 of them.
const (
	sarifResults       = 25_000
	sarifNotifications = 1_000
	sarifText          = 2_000 // characters of one message
)

// The parts of SARIF 2.1.0 that are written.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		ColumnKind  string            `json:"columnKind"`
		Results     []sarifResult     `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID                   string          `json:"id"`
		ShortDescription     sarifMessage    `json:"shortDescription"`
		FullDescription      sarifMessage    `json:"fullDescription"`
		Help                 sarifMessage    `json:"help"`
		DefaultConfiguration sarifLevel      `json:"defaultConfiguration"`
		Properties           sarifProperties `json:"properties"`
	}
	sarifLevel struct {
		Level string `json:"level"`
	}
	sarifProperties struct {
		Tags             []string `json:"tags"`
		SecuritySeverity string   `json:"security-severity"`
	}
	sarifMessage struct {
		Text     string `json:"text"`
		Markdown string `json:"markdown,omitempty"`
	}
	sarifInvocation struct {
		ExecutionSuccessful bool                `json:"executionSuccessful"`
		StartTimeUTC        string              `json:"startTimeUtc,omitempty"`
		EndTimeUTC          string              `json:"endTimeUtc,omitempty"`
		Notifications       []sarifNotification `json:"toolExecutionNotifications"`
	}
	sarifNotification struct {
		Level      string             `json:"level"`
		Message    sarifMessage       `json:"message"`
		Locations  []sarifLocation    `json:"locations,omitempty"`
		Properties *sarifUnansweredIn `json:"properties,omitempty"`
	}
	// sarifUnansweredIn names the row that a notification is about.
	sarifUnansweredIn struct {
		Recommendation string `json:"recommendation"`
		Status         Status `json:"status"`
	}
	sarifResult struct {
		RuleID              string              `json:"ruleId"`
		RuleIndex           int                 `json:"ruleIndex"`
		Level               string              `json:"level"`
		Message             sarifMessage        `json:"message"`
		Locations           []sarifLocation     `json:"locations"`
		PartialFingerprints map[string]string   `json:"partialFingerprints"`
		BaselineState       string              `json:"baselineState,omitempty"`
		Suppressions        []sarifSuppression  `json:"suppressions,omitempty"`
		Properties          sarifResultProperty `json:"properties"`
	}
	sarifResultProperty struct {
		Severity       string `json:"severity"`
		SeverityReason string `json:"severityReason,omitempty"`
		Recommendation string `json:"recommendation,omitempty"`
		Path           string `json:"path,omitempty"`
		Value          string `json:"value,omitempty"`
		ValuesKey      string `json:"valuesKey,omitempty"`
		Remediation    string `json:"remediation,omitempty"`
		Cluster        string `json:"cluster,omitempty"`
		Manager        string `json:"manager,omitempty"`
	}
	sarifLocation struct {
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI       string `json:"uri"`
		URIBaseID string `json:"uriBaseId,omitempty"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
	}
	sarifLogical struct {
		Name               string `json:"name"`
		FullyQualifiedName string `json:"fullyQualifiedName"`
		Kind               string `json:"kind"`
	}
	sarifSuppression struct {
		Kind          string `json:"kind"`
		Status        string `json:"status"`
		Justification string `json:"justification"`
	}
)

// writeSARIF writes a SARIF 2.1.0 log with one run. Excepted findings are in it
// with their suppression; findings that do not fit are left out, worst kept, and
// a notification says so. Unreadable sources and rows that were not evaluated
// are notifications too.
func writeSARIF(w io.Writer, r *Report, o Options) error {
	findings := worstFirst(r)
	shown := findings[:min(len(findings), sarifResults)]
	rules, index := sarifRules(r, shown, o)
	return encodeJSON(w, sarifLog{
		Schema:  "https://json.schemastore.org/sarif-2.1.0.json",
		Version: "2.1.0",
		Runs: []sarifRun{{
			Tool: sarifTool{sarifDriver{Name: "gabion", Version: r.Tool.Version, Rules: rules}},
			Invocations: []sarifInvocation{{
				ExecutionSuccessful: !r.Incomplete(),
				StartTimeUTC:        sarifTime(r.StartedAt),
				EndTimeUTC:          sarifTime(r.FinishedAt),
				Notifications:       r.notifications(len(findings) - len(shown)),
			}},
			ColumnKind: "unicodeCodePoints",
			Results:    r.results(shown, index),
		}},
	})
}

func sarifTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// sarifRules describes the rules of the findings, sorted by id, and returns the
// index of each.
func sarifRules(r *Report, findings []*Finding, o Options) ([]sarifRule, map[string]int) {
	rows := map[string]*Recommendation{}
	for i := range r.Recommendations {
		rows[r.Recommendations[i].ID] = &r.Recommendations[i]
	}
	// The first finding of a rule is its worst that counts: GitHub knows one
	// security severity for a rule, and must not rank any finding too low.
	worst := map[string]*Finding{}
	for _, f := range findings {
		if worst[f.Rule] == nil {
			worst[f.Rule] = f
		}
	}
	rules := make([]sarifRule, 0, len(worst))
	index := map[string]int{}
	for i, id := range slices.Sorted(maps.Keys(worst)) {
		index[id] = i
		rules = append(rules, sarifRuleOf(worst[id], rows[worst[id].Recommendation], o))
	}
	return rules, index
}

// sarifRuleOf describes the rule of a finding. The help is ours; the texts of a
// rule that is not known come from the finding.
func sarifRuleOf(f *Finding, row *Recommendation, o Options) sarifRule {
	rule := sarifRule{
		ID:                   f.Rule,
		ShortDescription:     sarifMessage{Text: sarifSafe(f.Rule)},
		FullDescription:      sarifMessage{Text: sarifSafe(f.Rule)},
		Help:                 sarifMessage{Text: sarifSafe(join(": ", f.Rule, f.Remediation.Summary))},
		DefaultConfiguration: sarifLevel{sarifLevelOf(f.Severity)},
		Properties:           sarifProperties{[]string{"security", "kubernetes"}, securitySeverity(f.Severity)},
	}
	if o.Rules != nil {
		if title, doc, ok := o.Rules(f.Rule); ok {
			rule.ShortDescription.Text, rule.FullDescription.Text = title, title
			rule.Help = sarifMessage{Text: doc, Markdown: doc}
		}
	}
	if row != nil {
		rule.FullDescription.Text += sarifSafe(fmt.Sprintf(". Serves %s: %s.", row.ID, row.Title))
		rule.Properties.Tags = append(rule.Properties.Tags, row.ID)
		if row.Section != "" && !slices.Contains(rule.Properties.Tags, row.Section) {
			rule.Properties.Tags = append(rule.Properties.Tags, row.Section)
		}
	}
	return rule
}

func sarifLevelOf(s guide.Severity) string {
	switch {
	case s >= guide.High:
		return "error"
	case s == guide.Medium:
		return "warning"
	}
	return "note"
}

// securitySeverity is the middle of GitHub's range for the severity; 0.0 is none.
func securitySeverity(s guide.Severity) string {
	switch s {
	case guide.Critical:
		return "9.5"
	case guide.High:
		return "8.0"
	case guide.Medium:
		return "5.5"
	case guide.Low:
		return "2.0"
	}
	return "0.0"
}

func (r *Report) results(findings []*Finding, index map[string]int) []sarifResult {
	baseline := slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Baseline })
	crowd := map[sarifPlace]int{}
	for _, f := range findings {
		crowd[placeOf(f)]++
	}
	prints, n := unique{}, r.naming()
	results := make([]sarifResult, 0, len(findings))
	for _, f := range findings {
		result := sarifResult{
			RuleID: f.Rule, RuleIndex: index[f.Rule],
			Level:   sarifLevelOf(f.Severity),
			Message: sarifMessage{Text: sarifSafe(n.advice(f))},
			Locations: []sarifLocation{{
				Physical: physical(r.file(f.Location.File, f.Object.Cluster), f.Location.Line, f.Location.Column),
				Logical:  []sarifLogical{n.logical(f.Object)},
			}},
			PartialFingerprints: map[string]string{"gabionFindingId/v1": f.ID},
			Suppressions:        f.suppressions(),
			Properties: sarifResultProperty{
				Severity: f.Severity.String(), SeverityReason: f.SeverityReason, Recommendation: f.Recommendation,
				Path: f.Path, Value: shorten(f.shownValue(), sarifText), ValuesKey: f.Location.ValuesKey, Remediation: f.Remediation.Summary,
				Cluster: f.Object.Cluster, Manager: f.Object.Manager,
			},
		}
		// GitHub tracks alerts by this one alone, and its upload action fills it
		// with a hash of the line's text, warning when it finds another. Where
		// there is no line, or several findings of a rule share one, that hash
		// is missing or would merge them.
		if print := prints.name(n.id(f)); f.Location.Line <= 0 || crowd[placeOf(f)] > 1 {
			result.PartialFingerprints["primaryLocationLineHash"] = print
		}
		if baseline {
			result.BaselineState = "new"
			if f.Baseline {
				result.BaselineState = "unchanged"
			}
		}
		results = append(results, result)
	}
	return results
}

// A sarifPlace is all that GitHub tells the findings of one run by.
type sarifPlace struct {
	rule, file string
	line       int
}

func placeOf(f *Finding) sarifPlace { return sarifPlace{f.Rule, f.Location.File, f.Location.Line} }

// advice is what is wrong and how to put it right, in one text.
func (n naming) advice(f *Finding) string {
	text := shorten(n.text(f), sarifText)
	if remedy := f.remedy(); remedy != "" {
		text += ". To put it right: " + shorten(remedy, sarifText)
	}
	return text
}

func (f *Finding) suppressions() []sarifSuppression {
	e := f.Exception
	if e == nil {
		return nil
	}
	s := sarifSuppression{Kind: "external", Status: "accepted", Justification: e.Reason}
	if strings.Contains(e.Source, ": annotation ") {
		s.Kind = "inSource"
	}
	if by := join(", ", e.Author, prefixed("until ", e.Expires), e.Source); by != "" {
		s.Justification += " (" + by + ")"
	}
	return []sarifSuppression{s}
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// logical names the object as a path: apps/v1/Deployment/shop/web/container/web,
// in a fleet below its cluster.
func (n naming) logical(o Object) sarifLogical {
	name := join("/", o.APIVersion, o.Kind, o.Namespace, o.Name)
	if n.fleet {
		name = join("/", o.Cluster, name)
	}
	if o.Container != "" {
		name += "/container/" + o.Container
	}
	return sarifLogical{Name: o.Name, FullyQualifiedName: name, Kind: "resource"}
}

func physical(file string, line, column int) sarifPhysical {
	p := sarifPhysical{Artifact: sarifArtifactOf(file)}
	if line > 0 {
		p.Region = &sarifRegion{StartLine: line, StartColumn: max(column, 0)}
	}
	return p
}

// sarifArtifactOf is the file as a URI: relative to the root of the sources, or
// absolute when it stands elsewhere.
func sarifArtifactOf(file string) sarifArtifact {
	segments := strings.Split(file, "/")
	for i, s := range segments {
		segments[i] = strings.ReplaceAll(url.PathEscape(s), ":", "%3A")
	}
	uri := strings.Join(segments, "/")
	switch {
	case strings.HasPrefix(uri, "/"):
		return sarifArtifact{URI: "file://" + uri}
	case filepath.IsAbs(filepath.FromSlash(file)): // C:/...
		return sarifArtifact{URI: "file:///" + uri}
	case segments[0] == "..":
		return sarifArtifact{URI: uri} // not below the root
	}
	return sarifArtifact{URI: uri, URIBaseID: "%SRCROOT%"}
}

// notifications tell what is not in the results: findings left out, sources that
// could not be read, rows that nobody answered.
func (r *Report) notifications(leftOut int) []sarifNotification {
	notes := []sarifNotification{}
	add := func(level, text string) *sarifNotification {
		notes = append(notes, sarifNotification{Level: level, Message: sarifMessage{Text: sarifSafe(shorten(text, sarifText))}})
		return &notes[len(notes)-1]
	}
	if leftOut > 0 {
		add("error", fmt.Sprintf("%s left out: a run may hold %d results. The worst are kept; the JSON report has all", count(leftOut, "finding"), sarifResults))
	}
	names := r.naming()
	at := func(n *sarifNotification, i evidence.Issue) {
		n.Locations = []sarifLocation{{Physical: physical(r.file(i.File, ""), i.Line, i.Column)}}
	}
	for _, i := range r.unreadable() {
		at(add("error", "could not be read: "+i.Reason), i)
	}
	for _, s := range r.Sources {
		for _, i := range names.issues(s, s.Opaque) {
			at(add("warning", "what this makes was not given: "+i.Reason), i)
		}
		for _, i := range names.issues(s, s.Warnings) {
			at(add("warning", "while reading: "+i.Reason), i)
		}
	}
	for _, rec := range r.Recommendations {
		if rec.Status == NotEvaluated || rec.Status == Manual {
			add("note", fmt.Sprintf("%s %s: %s: %s", rec.ID, rec.Title, rec.Status, rec.Reason)).Properties = &sarifUnansweredIn{rec.ID, rec.Status}
		}
	}
	if more := len(notes) - sarifNotifications; more > 0 {
		notes = notes[:sarifNotifications]
		add("error", fmt.Sprintf("%s left out: the JSON report has all", count(more, "notification")))
	}
	return notes
}

// sarifSafe makes text a plain message: no place holder, no link. Viewers make
// links of [text](target) even in plain text.
func sarifSafe(s string) string {
	return strings.NewReplacer("{", "{{", "}", "}}", "](", "] (").Replace(Printable(s))
}
