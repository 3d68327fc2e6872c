package report

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"slices"
	"strings"
)

// Bounds of the Markdown, in bytes. A comment on GitHub holds 65,536 characters.
const (
	markdownSize = 65_000
	markdownHead = 2_000  // kept for what stands above the rows
	markdownList = 12_000 // for each list that is no finding
	markdownCut  = 300    // characters of one cell
)

// writeMarkdown writes a job summary or a comment: counts, what could not be
// read, what failed with its findings folded, what was not judged by reason. It
// fits a comment; what does not fit is counted at the top.
func writeMarkdown(w io.Writer, r *Report, _ Options) error {
	unread := markdownClusters(r) + markdownUnread(r)
	tail := markdownExceptions(r) + markdownOpen(r)
	rows, cut := markdownRows(r, markdownSize-markdownHead-len(unread)-len(tail))
	_, err := io.WriteString(w, markdownCounts(r, cut)+unread+rows+tail)
	return err
}

func markdownCounts(r *Report, cut int) string {
	var b strings.Builder
	s := r.Summary
	fmt.Fprintf(&b, "## Gabion: %d of %s fail\n\n", s.Fail, count(len(r.Recommendations), "recommendation"))
	if cut > 0 {
		fmt.Fprintf(&b, "> **Cut short: %s not shown below.** The JSON and HTML reports have all.\n\n", count(cut, "finding"))
	}
	b.WriteString("| Fail | Pass | Excepted | Not applicable | Not evaluated | Manual |\n|---:|---:|---:|---:|---:|---:|\n")
	fmt.Fprintf(&b, "| %d | %d | %d | %d | %d | %d |\n\n", s.Fail, s.Pass, s.Excepted, s.NotApplicable, s.NotEvaluated, s.Manual)
	fmt.Fprintf(&b, "Findings: %s. Judged as Kubernetes %s.\n", s.Findings.tally(), markdownCode(r.KubernetesVersion))
	return b.String()
}

// markdownClusters lists who looked at which clusters, and when, and the nodes that
// were looked at.
func markdownClusters(r *Report) string {
	var items []string
	for _, s := range r.Sources {
		if s.Cluster != nil {
			items = append(items, markdownCode(s.Cluster.Name)+": "+markdownText(about(s)))
		}
	}
	nodes := markdownItems("Nodes", markdownNodes(r))
	return markdownItems("Clusters", items) + nodes
}

func markdownNodes(r *Report) (items []string) {
	for _, s := range r.Sources {
		if s.Node != "" {
			items = append(items, markdownText(node(s)+": "+s.Ref))
		}
	}
	return items
}

// markdownUnread lists what could not be read.
func markdownUnread(r *Report) string {
	var items []string
	for _, i := range r.unreadable() {
		items = append(items, markdownText(i.String()))
	}
	return markdownItems("Could not be read", items)
}

// markdownExceptions lists the exceptions that no longer do what they are for.
func markdownExceptions(r *Report) string {
	var items []string
	for _, e := range r.Exceptions {
		if e.State != "in-force" {
			items = append(items, markdownText(fmt.Sprintf("%s: %s (%s): %s", e.Source, e.State, e.Matches, e.Reason)))
		}
	}
	return markdownItems("Exceptions to look at", items)
}

// markdownOpen lists the rows that were not judged, by reason, the most common first.
func markdownOpen(r *Report) string {
	type why struct {
		status Status
		reason string
	}
	rows := map[why][]string{}
	var order []why
	for _, rec := range r.Recommendations {
		if rec.Status != NotEvaluated && rec.Status != Manual {
			continue
		}
		w := why{rec.Status, rec.Reason}
		if rows[w] == nil {
			order = append(order, w)
		}
		rows[w] = append(rows[w], rec.ID)
	}
	slices.SortStableFunc(order, func(a, b why) int { return cmp.Compare(len(rows[b]), len(rows[a])) })
	var items []string
	for _, w := range order {
		items = append(items, fmt.Sprintf("%s, %s: %s", w.status, markdownText(w.reason), markdownText(strings.Join(rows[w], " "))))
	}
	return markdownItems("Not judged", items)
}

// markdownItems is a bounded list under a heading.
func markdownItems(heading string, items []string) string {
	if len(items) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n\n", heading)
	for n, item := range items {
		if b.Len()+len(item) > markdownList {
			fmt.Fprintf(&b, "- **and %d more**\n", len(items)-n)
			break
		}
		b.WriteString("- " + item + "\n")
	}
	return b.String()
}

// markdownRows writes what failed and what was excepted in at most size bytes,
// worst first, and returns how many findings found no room.
func markdownRows(r *Report, size int) (text string, cut int) {
	m := markdownWriter{left: size, naming: r.naming()}
	findings := worstFirst(r)
	byRow := byRecommendation(findings)
	var failed []Recommendation
	for _, rec := range r.Recommendations {
		if rec.Status == Fail || len(byRow[rec.ID]) > 0 {
			failed = append(failed, rec)
		}
	}
	slices.SortStableFunc(failed, func(a, b Recommendation) int {
		return cmp.Or(cmp.Compare(markdownRank(a.Status), markdownRank(b.Status)), cmp.Compare(b.Severity, a.Severity))
	})
	own := orphans(r, findings)
	if len(failed)+len(own) > 0 {
		m.put("\n### Findings\n\n")
	}
	for _, rec := range failed {
		judged := ""
		if rec.Evaluated > 0 {
			judged = fmt.Sprintf("%d of %s", rec.Failed, count(rec.Evaluated, "object"))
		}
		m.fold(rec.ID+" "+rec.Title+": "+join(", ", string(rec.Status), rec.Severity.String(), judged, rec.Reason), byRow[rec.ID])
	}
	if len(own) > 0 {
		m.fold("Your own policies: "+count(len(own), "finding"), own)
	}
	return m.b.String(), m.cut
}

func markdownRank(s Status) int {
	if s == Fail {
		return 0
	}
	return 1
}

// A markdownWriter writes as long as there is room.
type markdownWriter struct {
	b      strings.Builder
	left   int
	cut    int // findings that found no room
	naming naming
}

// put writes text whole or, when it does not fit, not at all.
func (m *markdownWriter) put(text string) bool {
	if len(text) > m.left {
		return false
	}
	m.left -= len(text)
	m.b.WriteString(text)
	return true
}

// fold writes findings as a table under a title that opens it.
func (m *markdownWriter) fold(title string, findings []*Finding) {
	const end = "\n</details>\n"
	head := "<details><summary>" + markdownTitle(title) + "</summary>\n\n"
	if len(findings) > 0 {
		head += "| Severity | Object | What is wrong | Where | To put it right |\n|---|---|---|---|---|\n"
	}
	if len(head)+len(end) > m.left {
		m.cut += len(findings)
		return
	}
	m.left -= len(end)
	m.put(head)
	for n, f := range findings {
		what := f.Message
		if s := f.standing(); s != "" {
			what += " (" + s + ")"
		}
		if !m.put(fmt.Sprintf("| %s | %s | %s | %s | %s |\n", f.Severity, markdownCode(m.naming.object(f.Object)), markdownText(what),
			markdownCode(f.Location.String()), markdownText(f.remedy()))) {
			m.cut += len(findings) - n
			break
		}
	}
	m.b.WriteString(end)
}

// markdownText makes any text plain: it is one line, and no character of it means
// anything in Markdown or HTML. Code hosts look for mentions, issues and links
// once more when the Markdown is gone: a space of no width breaks those.
func markdownText(s string) string {
	const apart = "&#8203;"
	var b strings.Builder
	text := []rune(shorten(strings.TrimSpace(Printable(s)), markdownCut))
	before := ' '
	for i, r := range text {
		switch {
		case r == '|':
			b.WriteString("&#124;") // a table is split before its backslashes are read
		case r == '@' || r == '#':
			b.WriteString(`\` + string(r) + apart)
		case r == ':' && i+1 < len(text) && text[i+1] == '/':
			b.WriteString(":" + apart)
		case strings.ContainsRune("\\`*_[]<>~$&", r),
			(r == '-' || r == '+') && before == ' ', // begins a list, as a number does
			(r == '.' || r == ')') && strings.ContainsRune("wW0123456789", before):
			b.WriteString(`\` + string(r))
		default:
			b.WriteRune(r)
		}
		before = r
	}
	return b.String()
}

// markdownTitle makes text plain where it stands in an HTML block: HTML means
// something there, Markdown does not.
func markdownTitle(s string) string {
	var b strings.Builder
	for _, r := range shorten(Printable(s), markdownCut) {
		b.WriteString(html.EscapeString(string(r)))
		if r == '@' || r == '#' {
			b.WriteString("&#8203;")
		}
	}
	return b.String()
}

// markdownCode is text in the font of code, "" for none.
func markdownCode(s string) string {
	if s == "" {
		return ""
	}
	return "<code>" + markdownText(s) + "</code>"
}
