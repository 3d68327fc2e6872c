package report

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/picture"
)

// Bounds of the HTML report. Whatever they cut off is counted where it is
// missing: a browser has to open the file, and the JSON report has everything.
const (
	htmlFindings = 500      // findings shown of one row
	htmlItems    = 500      // entries of each other list
	htmlFirst    = 10       // entries of the lists near the top
	htmlReasons  = 6        // reasons of open rows near the top
	htmlRefs     = 5        // sources named in the head
	htmlText     = 600      // characters of one text
	htmlExcerpt  = 160      // characters of a source line
	htmlRoom     = 14 << 20 // bytes for all that has no other bound
)

//go:embed html
var htmlFiles embed.FS

// htmlTemplate is the page with the style sheet and the policy that allows it:
// nothing may run or be loaded, and of style sheets only this one counts.
var htmlTemplate = sync.OnceValue(func() *template.Template {
	style, err := htmlFiles.ReadFile("html/report.css")
	if err != nil {
		panic(err) // a build without the files: the tests exclude it
	}
	sum := sha256.Sum256(style)
	policy := func(maps template.CSS) string {
		allowed := "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
		if maps != "" {
			own := sha256.Sum256([]byte(maps))
			allowed += " 'sha256-" + base64.StdEncoding.EncodeToString(own[:]) + "'"
		}
		return "default-src 'none'; style-src " + allowed + "; base-uri 'none'; form-action 'none'"
	}
	return template.Must(template.New("report.gohtml").Funcs(template.FuncMap{
		"style":  func() template.CSS { return template.CSS(style) },
		"policy": policy,
		"count":  count,
	}).ParseFS(htmlFiles, "html/report.gohtml"))
})

// writeHTML writes one self-contained page for people to read and print. It
// needs no script and reads well without its style sheet, so that a server with
// a strict content security policy can show it. Every text in it may be an
// attacker's: the template escapes, and htmlClean shows what would be invisible.
func writeHTML(w io.Writer, r *Report, o Options) error {
	var b bytes.Buffer
	if err := htmlTemplate().Execute(&b, newHTMLPage(r, o)); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// An htmlPage is what the template shows; all texts are clean and bounded.
type htmlPage struct {
	Title                           string
	Refs                            htmlList[string]
	Clusters                        htmlList[htmlCluster]
	Tool, Guide, Kubernetes         string
	Started, Took                   string
	Rows, Failed, Open, Manual      int
	Statuses                        []htmlStatus
	Severities                      []htmlSeverity
	Findings, Marked                int // findings that count, findings that do not
	Objects                         htmlList[*htmlObject]
	Errors, Opaque, Skipped, Warned htmlList[string]
	FirstErrors, FirstOpaque        htmlList[string]
	Gaps                            htmlList[htmlGap]
	Reasons                         htmlList[htmlReason]
	Sections                        []htmlSection
	Failing                         []*htmlRow
	Exceptions                      htmlList[ExceptionUse]
	InForce, Expired, Unused, Cut   int
	Maps                            []htmlMap
	// MapStyle is the style sheet of the maps, which the page's policy names besides its own.
	MapStyle template.CSS
	Sources  htmlList[htmlSource]
}

// An htmlList is a list that may have been cut short.
type htmlList[T any] struct {
	Items []T
	Total int
}

// More is how many entries are not shown.
func (l htmlList[T]) More() int { return l.Total - len(l.Items) }

type htmlStatus struct {
	Status  Status
	Name    string
	Meaning string
	Count   int
	// X and Width place the status in the bar, in thousandths of its length.
	X, Width int
}

type htmlSeverity struct {
	Severity                  guide.Severity
	Count, Excepted, Baseline int
}

// An htmlMap is the drawing of a network.
type htmlMap struct {
	Title   string
	SVG     template.HTML
	Drawn   int
	Implied int
}

// An htmlObject is an object with how many findings count against it.
type htmlObject struct {
	Name   string
	Counts SeverityCounts
	Rows   []htmlLink
}

// Tally lists the severities that occur, the worst first.
func (o *htmlObject) Tally() (list []htmlSeverity) {
	for _, s := range guide.Severities() {
		if n := o.Counts.of(s); n > 0 {
			list = append(list, htmlSeverity{Severity: s, Count: n})
		}
	}
	return list
}

type htmlLink struct{ Anchor, Text string }

type htmlGap struct{ Cluster, Fact, Scope, Reason string }

// An htmlCluster is a live cluster, and who looked at what of it, and when.
type htmlCluster struct{ Name, About string }

// An htmlReason is why rows are open.
type htmlReason struct {
	Text string
	Rows []htmlLink
}

type htmlSection struct {
	Name string
	Rows []*htmlRow
}

// An htmlRow is a recommendation with those of its findings that are shown.
type htmlRow struct {
	Anchor, ID, Title, Reason string
	// Answers is how the row is in each of several clusters.
	Answers string
	// Detail is the anchor of the row's findings, "" when it has none.
	Detail            string
	Severity          guide.Severity
	Status            Status
	Evaluated, Failed int
	Findings, Shown   int
	Groups            []*htmlGroup
	Remedies          []htmlRemedy

	worst guide.Severity // of the findings that count
	shown []*Finding
}

// Tally says how many of the judged objects fail.
func (r *htmlRow) Tally() string {
	if r.Evaluated == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d", r.Failed, r.Evaluated)
}

// Own is set for the findings of the user's own policies.
func (r *htmlRow) Own() bool { return r.Status == "" }

// An htmlGroup is the findings of one object.
type htmlGroup struct {
	Object   string
	Findings []*htmlFinding
}

// An htmlRemedy is what all findings of some rules have in common.
type htmlRemedy struct {
	Summary string // "" when each finding has its own
	Rules   []htmlRule
}

type htmlRule struct {
	ID string
	// Explain is set when `gabion explain` knows the rule.
	Explain bool
}

type htmlFinding struct {
	Anchor, ID, Rule, Message     string
	Severity                      guide.Severity
	Why                           string // the severity differs from the row's
	Place, ValuesKey, Path, Value string
	Remedy                        string // "" when the row says it
	Manager                       string
	Sensitive, Baseline           bool
	Exception                     *Exception
	Line                          int
	Before, Marked                string // the source line up to the place and from there on
}

type htmlSource struct {
	Type, Ref                                            string
	Files, Documents, Objects, Skipped, Errors, Warnings int
}

// An htmlPageBuilder fills a page and watches its size.
type htmlPageBuilder struct {
	r       *Report
	o       Options
	left    int // bytes
	anchors unique
	links   map[string]htmlLink // to the rows, by id
	naming  naming
}

func newHTMLPage(r *Report, o Options) *htmlPage {
	b := &htmlPageBuilder{r: r, o: o, left: htmlRoom, anchors: unique{}, links: map[string]htmlLink{}, naming: r.naming()}
	p := &htmlPage{
		Tool: htmlClean(join(" ", r.Tool.Name, r.Tool.Version)), Guide: htmlClean(r.Tool.Guide),
		Kubernetes: htmlClean(r.KubernetesVersion), Rows: len(r.Recommendations),
		Failed: r.Summary.Fail, Open: r.Summary.NotEvaluated, Manual: r.Summary.Manual,
		Statuses: htmlStatuses(r.Summary),
	}
	b.head(p)
	b.maps(p)
	for _, section := range []string{"summary", "not-looked-at", "recommendations", "network", "findings", "exceptions", "sources"} {
		b.anchors.name(section)
		b.anchors.name(section + "-title")
	}
	for _, filter := range []string{"show-all", "show-fail", "show-pass", "show-open"} {
		b.anchors.name(filter)
	}
	// Findings come last: they get the room that the rest leaves.
	b.sources(p)
	b.exceptions(p)
	b.rows(p)
	b.reasons(p)
	b.objects(p)
	return p
}

// maps draws the networks. The drawings escape all texts themselves, and their
// style sheets hold none.
func (b *htmlPageBuilder) maps(p *htmlPage) {
	for i, m := range b.o.Maps {
		m.ID = fmt.Sprintf("map%d", i)
		b.anchors.name(m.ID)
		d := picture.Draw(m)
		p.Maps = append(p.Maps, htmlMap{Title: htmlClean(m.Title), SVG: template.HTML(d.SVG), Drawn: d.Drawn, Implied: d.Implied})
		p.MapStyle += template.CSS(d.Style)
	}
}

func (b *htmlPageBuilder) head(p *htmlPage) {
	var refs []string
	for _, s := range b.r.Sources {
		if s.Node != "" {
			refs = append(refs, "node "+s.Node)
			continue
		}
		refs = append(refs, s.Ref)
	}
	p.Refs = htmlCut(refs, htmlRefs, htmlClean)
	clusters := slices.DeleteFunc(slices.Clone(b.r.Sources), func(s *evidence.Source) bool { return s.Cluster == nil })
	p.Clusters = htmlCut(clusters, htmlItems, func(s *evidence.Source) htmlCluster {
		return htmlCluster{b.spend(htmlClean(s.Cluster.Name)), b.spend(htmlClean(about(s)))}
	})
	target := "nothing"
	if len(p.Refs.Items) > 0 {
		target = p.Refs.Items[0]
	}
	if p.Refs.Total > 1 {
		target += fmt.Sprintf(" and %d more", p.Refs.Total-1)
	}
	p.Started = b.r.StartedAt.UTC().Format("2 January 2006, 15:04:05 UTC")
	p.Took = b.r.FinishedAt.Sub(b.r.StartedAt).Round(time.Millisecond).String()
	p.Title = fmt.Sprintf("Gabion report: %s, %s", target, b.r.StartedAt.UTC().Format(time.DateOnly))
}

func htmlStatuses(s Summary) []htmlStatus {
	list := []htmlStatus{
		{Status: Fail, Name: "fail", Count: s.Fail, Meaning: "at least one object breaks it"},
		{Status: Excepted, Name: "excepted", Count: s.Excepted, Meaning: "it would fail, but every finding has an exception in force"},
		{Status: Pass, Name: "pass", Count: s.Pass, Meaning: "all that it needs was read, and nothing breaks it"},
		{Status: NotApplicable, Name: "not applicable", Count: s.NotApplicable, Meaning: "there is nothing that it could apply to"},
		{Status: NotEvaluated, Name: "not evaluated", Count: s.NotEvaluated, Meaning: "the evidence was not given or could not be read: neither good nor bad"},
		{Status: Manual, Name: "manual", Count: s.Manual, Meaning: "only a person can state it"},
	}
	total := 0
	for _, e := range list {
		total += e.Count
	}
	sum := 0
	for i := range list {
		list[i].X = sum * 1000 / max(total, 1)
		sum += list[i].Count
		list[i].Width = sum*1000/max(total, 1) - list[i].X
	}
	return list
}

// sources fills in what was read and what could not be.
func (b *htmlPageBuilder) sources(p *htmlPage) {
	var errors, opaque, skipped, warnings []evidence.Issue
	told := map[string]bool{}
	for _, s := range b.r.Sources {
		errors, opaque = append(errors, b.naming.issues(s, s.Errors)...), append(opaque, b.naming.issues(s, s.Opaque)...)
		skipped, warnings = append(skipped, b.naming.issues(s, s.Skipped)...), append(warnings, b.naming.issues(s, s.Warnings)...)
		for _, i := range slices.Concat(s.Errors, s.Opaque) {
			told[i.String()] = true
		}
	}
	issue := func(i evidence.Issue) string { return b.spend(htmlClean(i.String())) }
	p.Errors, p.Opaque = htmlCut(errors, htmlItems, issue), htmlCut(opaque, htmlItems, issue)
	p.Skipped, p.Warned = htmlCut(skipped, htmlItems, issue), htmlCut(warnings, htmlItems, issue)
	p.FirstErrors, p.FirstOpaque = p.Errors.first(htmlFirst), p.Opaque.first(htmlFirst)
	gaps := slices.DeleteFunc(slices.Clone(b.r.Gaps), func(g evidence.Gap) bool { return told[g.Reason] })
	p.Gaps = htmlCut(gaps, htmlFirst, func(g evidence.Gap) htmlGap {
		return htmlGap{htmlClean(g.Cluster), htmlClean(string(g.Fact)), htmlClean(g.Scope), htmlClean(g.Reason)}
	})
	p.Sources = htmlCut(b.r.Sources, htmlItems, func(s *evidence.Source) htmlSource {
		ref := s.Ref
		if s.Node != "" {
			ref = node(s) + ": " + ref
		}
		return htmlSource{Type: htmlClean(s.Type), Ref: b.spend(htmlClean(ref)), Files: s.Files, Documents: s.Documents,
			Objects: s.Objects, Skipped: len(s.Skipped), Errors: len(s.Errors), Warnings: len(s.Warnings)}
	})
}

// first keeps at most n entries of a list.
func (l htmlList[T]) first(n int) htmlList[T] {
	return htmlList[T]{l.Items[:min(n, len(l.Items))], l.Total}
}

// htmlCut shows at most n entries.
func htmlCut[S, T any](all []S, n int, show func(S) T) htmlList[T] {
	list := htmlList[T]{Total: len(all)}
	for _, e := range all[:min(n, len(all))] {
		list.Items = append(list.Items, show(e))
	}
	return list
}

// spend takes the room that a text needs and returns it.
func (b *htmlPageBuilder) spend(s string) string {
	b.left -= len(template.HTMLEscapeString(s))
	return s
}

// rows fills in the table of recommendations and the rows with findings.
func (b *htmlPageBuilder) rows(p *htmlPage) {
	byID := map[string]*htmlRow{}
	var rows []*htmlRow
	for i := range b.r.Recommendations {
		rec := &b.r.Recommendations[i]
		row := &htmlRow{
			Anchor: b.anchors.name("row-" + htmlSlug(rec.ID)), ID: htmlClean(rec.ID), Title: htmlClean(rec.Title),
			Severity: rec.Severity, Status: rec.Status, Reason: htmlClean(rec.Reason),
			Evaluated: rec.Evaluated, Failed: rec.Failed, Answers: b.spend(htmlClean(answers(rec.Clusters))),
		}
		rows = append(rows, row)
		if byID[rec.ID] == nil {
			byID[rec.ID] = row
			b.links[rec.ID] = htmlLink{row.Anchor, row.ID}
		}
		if n := len(p.Sections); n == 0 || p.Sections[n-1].Name != htmlClean(rec.Section) {
			p.Sections = append(p.Sections, htmlSection{Name: htmlClean(rec.Section)})
		}
		s := &p.Sections[len(p.Sections)-1]
		s.Rows = append(s.Rows, row)
	}
	own := &htmlRow{Title: "Your own policies"}
	b.choose(p, byID, own)
	for _, row := range append(rows, own) {
		if row.Findings > 0 {
			row.Detail = b.anchors.name(htmlSlug(cmp.Or(row.ID, "own-policies")))
			p.Failing = append(p.Failing, row)
			p.Cut += row.Findings - row.Shown
		}
	}
	slices.SortStableFunc(p.Failing, func(a, b *htmlRow) int {
		return cmp.Or(cmp.Compare(b.worst, a.worst), cmp.Compare(b.Severity, a.Severity))
	})
	b.fill(p.Failing)
}

// choose takes as many findings as there is room for, the worst first, and
// counts all.
func (b *htmlPageBuilder) choose(p *htmlPage, rows map[string]*htmlRow, own *htmlRow) {
	severities := map[guide.Severity]*htmlSeverity{}
	for _, s := range guide.Severities() {
		p.Severities = append(p.Severities, htmlSeverity{Severity: s})
	}
	for i := range p.Severities {
		severities[p.Severities[i].Severity] = &p.Severities[i]
	}
	for _, f := range worstFirst(b.r) {
		row := cmp.Or(rows[f.Recommendation], own)
		row.Findings++
		if s := severities[f.Severity]; s != nil {
			s.add(f)
		}
		if f.Counts() {
			p.Findings++
			row.worst = max(row.worst, f.Severity)
		} else {
			p.Marked++
		}
		if row.Shown == htmlFindings || b.left <= 0 {
			continue
		}
		row.Shown++
		row.shown = append(row.shown, f)
		b.left -= htmlWeight(f)
	}
}

func (s *htmlSeverity) add(f *Finding) {
	switch {
	case f.Exception != nil:
		s.Excepted++
	case f.Baseline:
		s.Baseline++
	default:
		s.Count++
	}
}

// htmlWeight is about how many bytes a finding takes on the page, rather more
// than less.
func htmlWeight(f *Finding) int {
	n := 900 + htmlExcerpt // what stands around the texts
	texts := []string{f.ID, f.Rule, f.Message, f.Object.String(), f.Object.Cluster, f.Object.Manager, f.Path, f.Value, f.Location.File, f.Location.ValuesKey,
		f.SeverityReason, f.Remediation.Summary}
	if e := f.Exception; e != nil {
		texts = append(texts, e.Reason, e.Author, e.Expires, e.Source)
	}
	for _, t := range texts {
		n += len(template.HTMLEscapeString(htmlClean(t)))
	}
	return n
}

// fill turns the chosen findings into what is shown of them, by object.
func (b *htmlPageBuilder) fill(rows []*htmlRow) {
	views := map[*Finding]*htmlFinding{}
	var all []*Finding
	for _, row := range rows {
		groups := map[string]*htmlGroup{}
		for _, f := range row.shown {
			v := b.finding(f)
			views[f] = v
			all = append(all, f)
			key := f.Object.APIVersion + " " + b.naming.object(f.Object)
			g := groups[key]
			if g == nil {
				g = &htmlGroup{Object: htmlClean(b.naming.object(f.Object))}
				groups[key] = g
				row.Groups = append(row.Groups, g)
			}
			g.Findings = append(g.Findings, v)
		}
		b.remedies(row, views)
	}
	b.excerpts(all, views)
}

func (b *htmlPageBuilder) finding(f *Finding) *htmlFinding {
	v := &htmlFinding{
		Anchor: b.anchors.name("finding-" + htmlSlug(f.ID)), ID: htmlClean(f.ID), Rule: htmlClean(f.Rule),
		Message: htmlClean(f.Message), Severity: f.Severity, Why: htmlClean(f.SeverityReason),
		Place: htmlClean(f.Location.String()), ValuesKey: htmlClean(f.Location.ValuesKey), Path: htmlClean(f.Path),
		Value: htmlClean(f.shownValue()), Sensitive: f.Sensitive, Baseline: f.Baseline,
		Manager: htmlClean(f.Object.Manager),
	}
	if e := f.Exception; e != nil {
		v.Exception = &Exception{htmlClean(e.Reason), htmlClean(e.Author), htmlClean(e.Expires), htmlClean(e.Source)}
	}
	return v
}

// remedies says once what all findings of a rule say alike, and the rest with
// each finding.
func (b *htmlPageBuilder) remedies(row *htmlRow, views map[*Finding]*htmlFinding) {
	same := map[string]bool{}
	summary := map[string]string{}
	var rules []string
	for _, f := range row.shown {
		if first, ok := summary[f.Rule]; !ok {
			rules = append(rules, f.Rule)
			summary[f.Rule], same[f.Rule] = f.Remediation.Summary, true
		} else if first != f.Remediation.Summary {
			same[f.Rule] = false
		}
	}
	for _, f := range row.shown {
		if !same[f.Rule] {
			views[f].Remedy = htmlClean(f.Remediation.Summary)
		}
	}
	for _, id := range rules {
		text := ""
		if same[id] {
			text = htmlClean(summary[id])
		}
		n := slices.IndexFunc(row.Remedies, func(r htmlRemedy) bool { return r.Summary == text })
		if n < 0 {
			n = len(row.Remedies)
			row.Remedies = append(row.Remedies, htmlRemedy{Summary: text})
		}
		rule := htmlRule{ID: htmlClean(id), Explain: true}
		if b.o.Rules != nil {
			_, _, rule.Explain = b.o.Rules(id)
		}
		row.Remedies[n].Rules = append(row.Remedies[n].Rules, rule)
	}
}

// excerpts fetches source lines, file by file: to fetch them in the page's order
// would read every file many times.
func (b *htmlPageBuilder) excerpts(findings []*Finding, views map[*Finding]*htmlFinding) {
	if b.o.Excerpt == nil {
		return
	}
	slices.SortStableFunc(findings, func(a, b *Finding) int {
		return cmp.Or(cmp.Compare(a.Location.File, b.Location.File), cmp.Compare(a.Location.Line, b.Location.Line))
	})
	for _, f := range findings {
		if f.Sensitive || f.Location.File == "" || f.Location.Line == 0 {
			continue
		}
		text, ok := b.o.Excerpt(f.Location.File, f.Location.Line)
		if !ok || strings.TrimSpace(text) == "" {
			continue
		}
		v := views[f]
		v.Line = f.Location.Line
		v.Before, v.Marked = htmlExcerptAt(text, f.Location.Column)
	}
}

// htmlExcerptAt cuts a line at a column, counted in characters from 1, without
// its indentation and no longer than an excerpt may be. No column marks nothing.
func htmlExcerptAt(line string, column int) (before, marked string) {
	text := []rune(strings.TrimRightFunc(line, unicode.IsSpace))
	at := len(text)
	if column > 0 {
		at = min(column-1, len(text))
	}
	from := min(utf8.RuneCountInString(line)-utf8.RuneCountInString(strings.TrimLeftFunc(line, unicode.IsSpace)), at)
	lead := ""
	if at-from > htmlExcerpt/2 && column > 0 {
		from, lead = at-htmlExcerpt/2, "…"
	}
	end, tail := len(text), ""
	if end-from > htmlExcerpt {
		end, tail = from+htmlExcerpt, "…"
	}
	at = min(at, end)
	before, marked = lead+Printable(string(text[from:at])), Printable(string(text[at:end]))
	if marked == "" {
		return before + tail, ""
	}
	return before, marked + tail
}

// reasons gathers the open rows by reason, the commonest first.
func (b *htmlPageBuilder) reasons(p *htmlPage) {
	rows := map[string][]htmlLink{}
	var order []string
	for _, rec := range b.r.Recommendations {
		if rec.Status != NotEvaluated && rec.Status != Manual {
			continue
		}
		if rows[rec.Reason] == nil {
			order = append(order, rec.Reason)
		}
		rows[rec.Reason] = append(rows[rec.Reason], b.links[rec.ID])
	}
	slices.SortStableFunc(order, func(x, y string) int { return cmp.Compare(len(rows[y]), len(rows[x])) })
	p.Reasons = htmlCut(order, htmlReasons, func(reason string) htmlReason { return htmlReason{htmlClean(reason), rows[reason]} })
}

// objects ranks the objects by the worst that counts against them.
func (b *htmlPageBuilder) objects(p *htmlPage) {
	detail := map[string]htmlLink{}
	for _, row := range p.Failing {
		detail[row.ID] = htmlLink{row.Detail, row.ID}
	}
	byName := map[string]*htmlObject{}
	seen := map[string]bool{}
	var all []*htmlObject
	for i := range b.r.Findings {
		f := &b.r.Findings[i]
		if !f.Counts() {
			continue
		}
		key := f.Object.APIVersion + " " + b.naming.object(f.Object)
		o := byName[key]
		if o == nil {
			o = &htmlObject{Name: b.naming.object(f.Object)}
			byName[key] = o
			all = append(all, o)
		}
		o.Counts.Add(f.Severity)
		if link, ok := detail[htmlClean(f.Recommendation)]; ok && link.Text != "" && !seen[key+"\x00"+link.Text] {
			seen[key+"\x00"+link.Text] = true
			o.Rows = append(o.Rows, link)
		}
	}
	slices.SortStableFunc(all, func(x, y *htmlObject) int {
		for _, s := range guide.Severities() {
			if c := cmp.Compare(y.Counts.of(s), x.Counts.of(s)); c != 0 {
				return c
			}
		}
		return 0
	})
	p.Objects = htmlCut(all, htmlFirst, func(o *htmlObject) *htmlObject { o.Name = htmlClean(o.Name); return o })
}

func (c SeverityCounts) of(s guide.Severity) int {
	switch s {
	case guide.Critical:
		return c.Critical
	case guide.High:
		return c.High
	case guide.Medium:
		return c.Medium
	case guide.Low:
		return c.Low
	case guide.Info:
		return c.Info
	}
	return 0
}

// exceptions lists those first that no longer do what they are for.
func (b *htmlPageBuilder) exceptions(p *htmlPage) {
	rank := func(state string) int { return slices.Index([]string{"expired", "unused", "in-force"}, state) }
	all := slices.Clone(b.r.Exceptions)
	slices.SortStableFunc(all, func(x, y ExceptionUse) int { return cmp.Compare(rank(x.State), rank(y.State)) })
	for _, e := range all {
		switch e.State {
		case "in-force":
			p.InForce++
		case "expired":
			p.Expired++
		case "unused":
			p.Unused++
		}
	}
	p.Exceptions = htmlCut(all, htmlItems, func(e ExceptionUse) ExceptionUse {
		return ExceptionUse{Source: b.spend(htmlClean(e.Source)), Matches: b.spend(htmlClean(e.Matches)), State: htmlClean(e.State),
			Used: e.Used, Reason: b.spend(htmlClean(e.Reason)), Author: b.spend(htmlClean(e.Author)), Expires: htmlClean(e.Expires)}
	})
}

// htmlClean makes any text fit to be shown: bounded, and with what cannot be
// seen, such as a change of direction, as its code.
func htmlClean(s string) string {
	if len(s) > 4*htmlText {
		s = s[:4*htmlText] + "…" // so that shorten sees that there is more
	}
	return Printable(shorten(s, htmlText))
}

// htmlSlug makes an anchor of an id: one that a fragment can name as it is.
func htmlSlug(id string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-':
			return r
		}
		return '-'
	}, id[:min(len(id), 64)])
}
