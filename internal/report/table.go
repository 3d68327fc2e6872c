package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// findingsShown is how many findings of one row the table shows; wide shows all.
const findingsShown = 4

// printer writes the report for people. The rules: what failed first in its
// section, each with value, place and what to do; what was not looked at is said
// as loudly as what was; color adds nothing that the text does not say.
type printer struct {
	w      *bufio.Writer
	o      Options
	wide   bool
	naming naming
}

func writeTable(w io.Writer, r *Report, o Options) error {
	return (&printer{w: bufio.NewWriter(w), o: o}).report(r)
}

func writeWide(w io.Writer, r *Report, o Options) error {
	return (&printer{w: bufio.NewWriter(w), o: o, wide: true}).report(r)
}

// The colors, by what they mean.
const (
	bold  = "\x1b[1m"
	dim   = "\x1b[2m"
	red   = "\x1b[31m"
	green = "\x1b[32m"
	amber = "\x1b[33m"
	blue  = "\x1b[36m"
	reset = "\x1b[0m"
)

func (p *printer) paint(color, s string) string {
	if !p.o.Color || s == "" {
		return s
	}
	return color + s + reset
}

// line prints a line. CI systems take a line for a command that begins, after
// spaces, with :: or ##; none of ours does, so an object's or file's name wrote it.
func (p *printer) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	begin := len(text) - len(strings.TrimLeft(text, " "))
	if strings.HasPrefix(text[begin:], "\x1b[") {
		begin += strings.IndexByte(text[begin:], 'm') + 1
	}
	if t := text[begin:]; strings.HasPrefix(t, "::") || strings.HasPrefix(t, "##") {
		text = text[:begin] + `\` + t
	}
	p.w.WriteString(text)
	p.w.WriteByte('\n')
}

func (p *printer) report(r *Report) error {
	p.naming = r.naming()
	p.sources(r)
	byRow := map[string][]*Finding{}
	for i := range r.Findings {
		f := &r.Findings[i]
		byRow[f.Recommendation] = append(byRow[f.Recommendation], f)
	}
	p.sections(r, byRow)
	p.custom(r, byRow)
	p.open(r)
	p.exceptions(r)
	p.unreadable(r)
	p.summary(r)
	return p.w.Flush()
}

func (p *printer) sources(r *Report) {
	p.line("%s", p.paint(bold, Printable(r.Tool.Guide))+p.paint(dim, ", judged as Kubernetes "+Printable(r.KubernetesVersion)))
	for _, s := range r.Sources {
		if s.Cluster != nil {
			p.cluster(s)
			continue
		}
		text := fmt.Sprintf("%s %s: %s of %s in %s", s.Type, s.Ref,
			count(s.Objects, "object"), count(s.Documents, "document"), count(s.Files, "file"))
		if s.Node != "" {
			text = fmt.Sprintf("%s: %s, %s", node(s), s.Ref, count(s.Files, "file"))
		}
		text = Printable(text)
		if n := len(s.Skipped); n > 0 {
			text += fmt.Sprintf(", %d skipped", n)
		}
		if n := len(s.Errors); n > 0 {
			text += p.paint(red, fmt.Sprintf(", %d could not be read", n))
		}
		p.line("  %s", text)
	}
}

// node names a node that was looked at: node cp1 (control-plane, etcd; kubeadm).
func node(s *evidence.Source) string {
	var roles []string
	for _, r := range s.Roles {
		roles = append(roles, string(r))
	}
	if about := join("; ", strings.Join(roles, ", "), string(s.Distribution)); about != "" {
		return fmt.Sprintf("node %s (%s)", s.Node, about)
	}
	return "node " + s.Node
}

// cluster prints who looked at which cluster, when, and at what of it.
func (p *printer) cluster(s *evidence.Source) {
	text := fmt.Sprintf("cluster %s: %s", Printable(s.Cluster.Name), count(s.Objects, "object"))
	if n := len(s.Errors); n > 0 {
		text += p.paint(red, fmt.Sprintf(", %d could not be read", n))
	}
	p.line("  %s", text)
	p.wrapped(4, about(s), dim)
}

// about says at what of a cluster somebody looked, where it is, who and when.
func about(s *evidence.Source) string {
	c := s.Cluster
	scope, version, who := "", "", ""
	if len(c.Namespaces) > 0 {
		scope = "only namespace " + strings.Join(c.Namespaces, ", ") + " and what lives in none"
	}
	if c.Version != "" {
		version = "Kubernetes " + c.Version
	}
	if c.User != "" {
		who = "as " + c.User
	}
	return join(", ", scope, version, c.Server, who, c.CollectedAt.UTC().Format("2006-01-02 15:04 MST"))
}

// sections prints the rows that were judged, by section: failures with their
// findings, then the others one line each.
func (p *printer) sections(r *Report, findings map[string][]*Finding) {
	section := ""
	for _, rec := range r.Recommendations {
		if rec.Status == NotEvaluated || rec.Status == Manual || rec.Status == NotApplicable && !p.wide {
			continue
		}
		if rec.Section != section {
			section = rec.Section
			p.line("\n%s", p.paint(bold, Printable(section)))
		}
		p.row(rec, findings[rec.ID], r.Omitted[rec.ID])
	}
}

// row prints a row with its findings, of which some may have been left out.
func (p *printer) row(rec Recommendation, findings []*Finding, omitted int) {
	tally := ""
	if rec.Evaluated > 0 {
		tally = fmt.Sprintf("%d of %s", rec.Failed, count(rec.Evaluated, "object"))
		if rec.Failed == 0 {
			tally = count(rec.Evaluated, "object")
		}
	}
	title, tally := fmt.Sprintf("%-8s %s", Printable(rec.ID), Printable(rec.Title)), join(", ", p.ranked(rec), tally)
	if p.o.Width > 0 && 8+columns(title)+2+columns(tally) > p.width() {
		p.line("  %s  %s", p.status(rec.Status), title)
		p.wrapped(14, tally, dim)
	} else {
		p.line("  %s  %s", p.status(rec.Status), join("  ", title, p.paint(dim, tally)))
	}
	if len(rec.Clusters) > 0 {
		p.wrapped(14, answers(rec.Clusters), dim)
	}
	if rec.Reason != "" {
		p.wrapped(14, rec.Reason, dim)
	}
	shown := findings
	if !p.wide && len(shown) > findingsShown {
		shown = shown[:findingsShown]
	}
	for _, f := range shown {
		p.finding(f, rec.Severity)
	}
	if more := len(findings) - len(shown) + omitted; more > 0 {
		p.line("              %s", p.paint(dim, fmt.Sprintf("and %d more: -o wide shows all", more)))
	}
}

// answers says how a row is in each of several clusters.
func answers(clusters []ClusterAnswer) string {
	var list []string
	for _, c := range clusters {
		text := cmp.Or(c.Cluster, "files") + ": " + string(c.Status)
		if c.Evaluated > 0 {
			text += fmt.Sprintf(", %d of %s", c.Failed, count(c.Evaluated, "object"))
		}
		list = append(list, text)
	}
	return strings.Join(list, "; ")
}

func (p *printer) ranked(rec Recommendation) string {
	if rec.Status != Fail {
		return ""
	}
	return rec.Severity.String()
}

func (p *printer) status(s Status) string {
	text := map[Status]string{Pass: "pass", Fail: "FAIL", NotApplicable: "n/a ", Excepted: "exc."}[s]
	color := map[Status]string{Pass: green, Fail: red, NotApplicable: dim, Excepted: amber}[s]
	return p.paint(color, text)
}

// finding prints what is wrong, where, and in wide the line and the remedy.
func (p *printer) finding(f *Finding, rowSeverity guide.Severity) {
	mark := p.paint(p.severityColor(f.Severity), "✗")
	suffix := ""
	if f.Severity != rowSeverity {
		suffix = " (" + f.Severity.String() + ")"
	}
	if f.Exception != nil {
		mark, suffix = p.paint(amber, "~"), suffix+" (excepted: "+f.Exception.Reason+")"
	}
	if f.Baseline {
		suffix += " (in the baseline)"
	}
	p.hanging("            "+mark+" ", 14, Printable(p.naming.text(f)+suffix))
	place := Printable(f.Location.String())
	field := Printable(f.Path)
	if f.Value != "" && !f.Sensitive && !p.wide {
		field += ": " + Printable(shorten(f.Value, 40))
	}
	where := []string{join("  ", place, field)}
	if p.o.Width > 0 && 14+columns(where[0]) > p.width() {
		where = []string{place, field}
	}
	for _, text := range where {
		if text != "" {
			p.line("              %s", p.paint(dim, text))
		}
	}
	if p.wide {
		p.detail(f)
	}
}

func (p *printer) detail(f *Finding) {
	if f.SeverityReason != "" {
		p.wrapped(14, "ranked "+f.Severity.String()+": "+f.SeverityReason, dim)
	}
	p.excerpt(f)
	if f.Location.ValuesKey != "" {
		p.line("              %s", p.paint(dim, "decided by the value "+Printable(f.Location.ValuesKey)))
	}
	p.wrapped(14, "→ "+f.remedy(), blue)
	p.line("              %s", p.paint(dim, join("  ·  ", p.explain(f), "id "+Printable(f.ID))))
}

// excerpt shows the line with a caret under the place.
func (p *printer) excerpt(f *Finding) {
	if p.o.Excerpt == nil || f.Sensitive || f.Location.Line == 0 {
		return
	}
	text, ok := p.o.Excerpt(f.Location.File, f.Location.Line)
	if !ok {
		return
	}
	const room = 100
	column := max(f.Location.Column, 1)
	runes := []rune(strings.ReplaceAll(text, "\t", " "))
	from := max(0, min(column-room/2, len(runes)-room))
	cut := runes[min(from, len(runes)):min(from+room, len(runes))]
	number := fmt.Sprintf("%6d", f.Location.Line)
	p.line("              %s %s", p.paint(dim, number+" │"), Printable(string(cut)))
	if f.Location.Column > 0 && column-from <= len(cut)+1 {
		before := string(cut[:min(column-1-from, len(cut))])
		p.line("              %s %s%s", p.paint(dim, "       │"), strings.Repeat(" ", columns(Printable(before))), p.paint(red, "^"))
	}
}

// custom prints findings of rules that the user brought and that serve no row.
func (p *printer) custom(_ *Report, findings map[string][]*Finding) {
	if len(findings[""]) == 0 {
		return
	}
	p.line("\n%s", p.paint(bold, "Your own policies"))
	for _, f := range findings[""] {
		p.finding(f, f.Severity)
	}
}

// open prints the rows that were not judged: those that other evidence would
// answer, by what it is, and the others by their reason.
func (p *printer) open(r *Report) {
	missing, reasons := group{}, group{}
	for _, rec := range r.Recommendations {
		switch {
		case rec.Status == NotEvaluated && len(rec.Missing) > 0:
			missing.add(evidenceWords(rec.Missing[0]), rec.ID)
		case rec.Status == NotEvaluated, rec.Status == Manual, rec.Status == NotApplicable && !p.wide:
			reasons.add(rec.Reason, rec.ID)
		}
	}
	if len(reasons.order) > 0 {
		p.line("\n%s", p.paint(bold, "Not judged"))
		p.group(reasons)
	}
	if len(missing.order) > 0 {
		p.line("\n%s", p.paint(bold, "Not judged: needs other evidence"))
		p.group(missing)
	}
}

// evidenceWords says what a kind of evidence is and how it is given.
func evidenceWords(name string) string {
	e := guide.Evidence(name)
	if e.Describe() == "" {
		return name
	}
	if !e.Read() {
		return fmt.Sprintf("%s: this version does not read them", e.Describe())
	}
	return fmt.Sprintf("%s (%s)", e.Describe(), e.Flag())
}

// group is ids by what they have in common, in the order of the ledger.
type group struct {
	order []string
	ids   map[string][]string
}

func (g *group) add(what, id string) {
	if g.ids == nil {
		g.ids = map[string][]string{}
	}
	if len(g.ids[what]) == 0 {
		g.order = append(g.order, what)
	}
	g.ids[what] = append(g.ids[what], id)
}

func (p *printer) group(g group) {
	for _, what := range g.order {
		p.hanging("  ", 4, Printable(what))
		p.wrapped(6, strings.Join(g.ids[what], " "), dim)
	}
}

func (p *printer) exceptions(r *Report) {
	var notes []string
	for _, e := range r.Exceptions {
		if e.State != "in-force" || p.wide {
			notes = append(notes, fmt.Sprintf("%s: %s (%s): %s", e.Source, e.State, e.Matches, e.Reason))
		}
	}
	p.list("Exceptions", amber, notes)
}

func (p *printer) unreadable(r *Report) {
	var errors, opaque, warnings, skipped []string
	for _, s := range r.Sources {
		errors = append(errors, texts(p.naming.issues(s, s.Errors))...)
		opaque = append(opaque, texts(p.naming.issues(s, s.Opaque))...)
		warnings = append(warnings, texts(p.naming.issues(s, s.Warnings))...)
		skipped = append(skipped, texts(p.naming.issues(s, s.Skipped))...)
	}
	p.list("Could not be read", red, errors)
	p.list("Made elsewhere: what these objects create was not given", amber, opaque)
	p.list("Warnings", amber, warnings)
	if p.wide {
		p.list("Skipped", dim, skipped)
	}
}

func texts(issues []evidence.Issue) (list []string) {
	for _, i := range issues {
		list = append(list, i.String())
	}
	return list
}

func (p *printer) list(title, color string, items []string) {
	if len(items) == 0 {
		return
	}
	const most = 20
	p.line("\n%s", p.paint(bold, title))
	for i, item := range items {
		if i == most && !p.wide {
			p.line("  %s", p.paint(dim, fmt.Sprintf("and %d more: -o wide shows all", len(items)-i)))
			break
		}
		p.hanging("  "+p.paint(color, "!")+" ", 4, Printable(item))
	}
}

func (p *printer) summary(r *Report) {
	s, c := r.Summary, r.Summary.Findings
	p.line("")
	p.tallies(fmt.Sprintf("%d recommendations", len(r.Recommendations)),
		tally{s.Fail, "fail", red}, tally{s.Pass, "pass", green}, tally{s.Excepted, "excepted", amber},
		tally{s.NotApplicable, "not applicable", ""}, tally{s.NotEvaluated, "not evaluated", amber}, tally{s.Manual, "manual", ""})
	findings := c.Critical + c.High + c.Medium + c.Low + c.Info
	p.tallies(count(findings, "finding"), tally{c.Critical, "critical", red}, tally{c.High, "high", red},
		tally{c.Medium, "medium", amber}, tally{c.Low, "low", ""}, tally{c.Info, "info", ""})
	if len(r.Findings) > 0 {
		p.wrapped(0, "Next: "+join("; ", p.explain(&r.Findings[0]), "every finding with its line: -o wide", "for a person: -o html=report.html"), dim)
	}
}

// explain is the command that explains a finding's rule, "" for a rule of the
// user's own.
func (p *printer) explain(f *Finding) string {
	if p.o.Rules != nil {
		if _, _, ok := p.o.Rules(f.Rule); !ok {
			return ""
		}
	}
	return cmp.Or(p.o.Program, "gabion") + " explain " + Printable(f.Rule)
}

// A tally is how many there are of something.
type tally struct {
	n           int
	what, color string
}

// tallies prints those that are not zero, after what they are parts of, broken to
// the terminal's width.
func (p *printer) tallies(whole string, parts ...tally) {
	line, used, sep := p.paint(bold, whole), columns(whole), ": "
	for _, t := range parts {
		if t.n == 0 {
			continue
		}
		text := fmt.Sprintf("%d %s", t.n, t.what)
		line += strings.TrimRight(sep, " ")
		if used += len(sep) + len(text) + 1; p.o.Width > 0 && used > p.width() {
			p.line("%s", line)
			line, used = " ", 1+len(text)
		}
		line, sep = line+" "+p.paint(t.color, text), ", "
	}
	p.line("%s", line)
}

func (p *printer) severityColor(s guide.Severity) string {
	switch {
	case s >= guide.High:
		return red
	case s == guide.Medium:
		return amber
	}
	return dim
}

// wrapped prints text indented, broken at words to the terminal's width.
func (p *printer) wrapped(indent int, text, color string) {
	for _, l := range wrap(Printable(text), p.width()-indent) {
		p.line("%s%s", strings.Repeat(" ", indent), p.paint(color, l))
	}
}

// hanging prints text after a lead, further lines indented.
func (p *printer) hanging(lead string, indent int, text string) {
	for i, l := range wrap(text, p.width()-indent) {
		if i > 0 {
			lead = strings.Repeat(" ", indent)
		}
		p.line("%s%s", lead, l)
	}
}

// width is the terminal's, or one that suits a file; text is not broken narrower
// than 60 columns.
func (p *printer) width() int {
	if p.o.Width == 0 {
		return 120
	}
	return max(p.o.Width, 60)
}

// wrap breaks text at spaces into lines of at most width columns; a longer word
// keeps a line of its own.
func wrap(text string, width int) []string {
	var lines []string
	var line strings.Builder
	used := 0
	for word := range strings.FieldsSeq(text) {
		n := columns(word)
		if used > 0 && used+1+n > width {
			lines = append(lines, line.String())
			line.Reset()
			used = 0
		}
		if used > 0 {
			line.WriteByte(' ')
			used++
		}
		line.WriteString(word)
		used += n
	}
	if used > 0 {
		lines = append(lines, line.String())
	}
	return lines
}

// String is file:line:column.
func (l Location) String() string {
	switch {
	case l.File == "":
		return ""
	case l.Line == 0:
		return l.File
	case l.Column == 0:
		return fmt.Sprintf("%s:%d", l.File, l.Line)
	}
	return fmt.Sprintf("%s:%d:%d", l.File, l.Line, l.Column)
}

// Printable makes text safe for a terminal: what is no visible character, such
// as an escape or a change of direction, is shown as its code. Names of objects
// are an attacker's strings.
func Printable(s string) string {
	clean := func(r rune) bool { return !visible(r) }
	if strings.IndexFunc(s, clean) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if visible(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}

func visible(r rune) bool {
	switch {
	case r < ' ', r >= 0x7f && r < 0xa0, r == 0xad, r == 0x61c, r == 0x180e, r == utf8.RuneError:
		return false
	case r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f:
		return false
	case r == 0xfeff, r >= 0xfff9 && r <= 0xffff, r >= 0xe0000:
		return false
	}
	return true
}

func shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// join joins the parts that are not empty.
func join(sep string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), sep)
}
