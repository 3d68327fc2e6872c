package network

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/report"
)

// WriteText writes connections for people: a => b : TCP 8080. What is not known is
// counted by reason below.
func WriteText(w io.Writer, c *Connectivity) error {
	b := bufio.NewWriter(w)
	var src, printed string // of the line before: a source has many lines
	for l := range c.lines() {
		if l.src.text != src {
			src, printed = l.src.text, report.Printable(l.src.text)
		}
		for _, part := range []string{printed, " => ", report.Printable(l.dst.text), " : ", l.portText, "\n"} {
			b.WriteString(part)
		}
	}
	if src == "" {
		b.WriteString("No connection is known to be allowed.\n")
	}
	writeDoubts(b, c.doubts())
	return b.Flush()
}

func writeDoubts(b *bufio.Writer, list []doubt) {
	for i, d := range list {
		if i == 0 {
			b.WriteString("\nNot known:\n")
		}
		fmt.Fprintf(b, "  %s, such as\n      %s => %s : %s\n", counted(d.count, "connection"),
			report.Printable(d.first.Src.String()), report.Printable(d.first.Dst.String()), portWords(d.first.set))
		writeWords(b, "      because ", d.reason)
	}
}

// writeWords writes text on as many lines as it needs.
func writeWords(b *bufio.Writer, lead, text string) {
	line := lead
	for _, word := range strings.Fields(report.Printable(text)) {
		if len(line) > len(lead) && len(line)+len(word) >= blockColumns {
			fmt.Fprintf(b, "%s\n", strings.TrimRight(line, " "))
			line = strings.Repeat(" ", len(lead))
		}
		line += word + " "
	}
	fmt.Fprintf(b, "%s\n", strings.TrimRight(line, " "))
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// WriteJSON writes connections as the document ConnectivityReport, one after the other.
func WriteJSON(w io.Writer, c *Connectivity) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "{\n  \"apiVersion\": %q,\n  \"kind\": %q,\n  \"connections\": [", APIVersion, ConnectivityKind)
	if err := writeRows(b, c.Connections(), "    "); err != nil {
		return err
	}
	b.WriteString("],\n  \"unknown\": [")
	if err := writeRows(b, c.Unknown(), "    "); err != nil {
		return err
	}
	rest, err := compact(struct {
		Warnings []string       `json:"warnings"`
		Gaps     []evidence.Gap `json:"gaps"`
	}{orNone(c.Warnings), orNone(c.Gaps)})
	if err != nil {
		return err
	}
	b.WriteString("],\n  ")
	b.Write(rest[1 : len(rest)-1])
	b.WriteString("\n}\n")
	return b.Flush()
}

// writeRows writes the elements of a JSON list, each on a line.
func writeRows(b *bufio.Writer, rows iter.Seq[Connection], margin string) error {
	separator := "\n" + margin
	encode := rowEncoder{peers: map[Peer][]byte{}}
	for row := range rows {
		text, err := encode.row(&row)
		if err != nil {
			return err
		}
		b.WriteString(separator)
		if _, err := b.Write(text); err != nil {
			return err
		}
		separator = ",\n" + margin
	}
	if separator[0] == ',' {
		b.WriteString("\n" + margin[2:])
	}
	return nil
}

// A rowEncoder writes connections as JSON. There are far fewer peers than rows: each
// is encoded once.
type rowEncoder struct {
	peers map[Peer][]byte
	text  []byte
	// last is the row before with what is written of it beside the peers: neighbours
	// are often alike.
	last Connection
	rest []byte
}

// row is a connection in one line; it is good until the next one.
func (e *rowEncoder) row(c *Connection) ([]byte, error) {
	src, err := e.peer(c.Src)
	if err != nil {
		return nil, err
	}
	dst, err := e.peer(c.Dst)
	if err != nil {
		return nil, err
	}
	if e.rest == nil || !slices.Equal(c.Ports, e.last.Ports) || c.Limited != e.last.Limited || c.Reason != e.last.Reason {
		e.last = *c
		if e.rest, err = compact(struct {
			Ports   []Port `json:"ports"`
			Limited bool   `json:"limited,omitempty"`
			Reason  string `json:"reason,omitempty"`
		}{c.Ports, c.Limited, c.Reason}); err != nil {
			return nil, err
		}
	}
	e.text = append(append(e.text[:0], `{"src":`...), src...)
	e.text = append(append(append(e.text, `,"dst":`...), dst...), ',')
	e.text = append(e.text, e.rest[1:]...)
	return e.text, nil
}

func (e *rowEncoder) peer(p Peer) ([]byte, error) {
	if text, known := e.peers[p]; known {
		return text, nil
	}
	text, err := compact(p)
	e.peers[p] = text
	return text, err
}

// compact is a value as JSON in one line, with what nobody could see escaped.
func compact(v any) ([]byte, error) {
	var text, line bytes.Buffer
	if err := report.WriteJSON(&text, v); err != nil {
		return nil, err
	}
	if err := json.Compact(&line, text.Bytes()); err != nil {
		return nil, err
	}
	return line.Bytes(), nil
}

// WriteYAML writes what WriteJSON does as YAML, each connection on a line.
func WriteYAML(w io.Writer, c *Connectivity) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "apiVersion: %q\nkind: %q\n", APIVersion, ConnectivityKind)
	for _, list := range []struct {
		name string
		rows iter.Seq[Connection]
	}{{"connections", c.Connections()}, {"unknown", c.Unknown()}} {
		b.WriteString(list.name + ":")
		none := true
		encode := rowEncoder{peers: map[Peer][]byte{}}
		for row := range list.rows {
			text, err := encode.row(&row)
			if err != nil {
				return err
			}
			none = false
			fmt.Fprintf(b, "\n  - %s", text)
		}
		if none {
			b.WriteString(" []")
		}
		b.WriteByte('\n')
	}
	if err := b.Flush(); err != nil {
		return err
	}
	return report.WriteYAML(w, struct {
		Warnings []string       `json:"warnings"`
		Gaps     []evidence.Gap `json:"gaps"`
	}{orNone(c.Warnings), orNone(c.Gaps)})
}

func orNone[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// csvHeader names the columns. New ones are only ever added at the end.
var csvHeader = []string{"state", "src_namespace", "src_kind", "src_name", "src_cidr", "dst_namespace", "dst_kind", "dst_name", "dst_cidr", "ports", "limited", "reason", "cluster"}

// WriteCSV writes one record for each connection (RFC 4180): those that are allowed,
// then those of which it is not known.
func WriteCSV(w io.Writer, c *Connectivity) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	if err := out.Write(csvHeader); err != nil {
		return err
	}
	for _, list := range []struct {
		state string
		rows  iter.Seq[Connection]
	}{{"allowed", c.Connections()}, {"unknown", c.Unknown()}} {
		for row := range list.rows {
			if err := out.Write(csvRecord(list.state, &row)); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

func csvRecord(state string, c *Connection) []string {
	end := func(p Peer) []string { return []string{p.Namespace, p.Kind, p.Name + p.Range, p.CIDR} }
	record := append([]string{state}, end(c.Src)...)
	record = append(record, end(c.Dst)...)
	record = append(record, c.set.String(), fmt.Sprint(c.Limited), c.Reason, c.Src.Cluster)
	for i, cell := range record {
		record[i] = inert(report.Printable(cell))
	}
	return record
}

// inert keeps a spreadsheet from taking a cell for a formula.
func inert(cell string) string {
	start := []rune(strings.TrimLeft(cell, " \u00a0\u3000"))
	if len(start) > 0 && strings.ContainsRune("=+-@＝＋－＠", start[0]) {
		return "'" + cell
	}
	return cell
}

// WriteMarkdown writes connections as a table.
func WriteMarkdown(w io.Writer, c *Connectivity) error {
	b := bufio.NewWriter(w)
	b.WriteString("| From | To | Ports |\n|---|---|---|\n")
	for l := range c.lines() {
		fmt.Fprintf(b, "| %s | %s | %s |\n", markdownCode(l.src.text), markdownCode(l.dst.text), markdownText(l.portText))
	}
	for i, d := range c.doubts() {
		if i == 0 {
			b.WriteString("\nNot known:\n\n")
		}
		fmt.Fprintf(b, "- %s: %s\n", counted(d.count, "connection"), markdownText(d.reason))
	}
	return b.Flush()
}

// markdownCode is text in the font of code, in which code hosts look for no mentions
// and links.
func markdownCode(s string) string { return "<code>" + markdownText(s) + "</code>" }

// markdownText makes any text plain: every character that means something in Markdown
// or HTML is written by its number. Code hosts look for mentions and links once more
// when the Markdown is gone: a space of no width breaks those.
func markdownText(s string) string {
	var b strings.Builder
	text := []rune(report.Printable(s))
	for i, r := range text {
		switch {
		case r == '@' || r == '#' || r == ':' && i+1 < len(text) && text[i+1] == '/':
			fmt.Fprintf(&b, "&#%d;&#8203;", r)
		case r > 0x7f, strings.ContainsRune(" ,/()-.=", r), isWord(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "&#%d;", r)
		}
	}
	return b.String()
}

// isWord reports whether a character means nothing in any format.
func isWord(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// A drawing is lines as a picture has them: places with numbers, by group.
type drawing struct {
	numbers map[string]int
	groups  []string
	places  map[string][]place
	lines   []line
}

func (c *Connectivity) drawing() *drawing {
	d := &drawing{numbers: map[string]int{}, places: map[string][]place{}}
	for l := range c.lines() {
		d.place(l.src)
		d.place(l.dst)
		d.lines = append(d.lines, l)
	}
	return d
}

func (d *drawing) place(p place) {
	if _, seen := d.numbers[p.text]; seen {
		return
	}
	d.numbers[p.text] = len(d.numbers)
	if d.places[p.group] == nil {
		d.groups = append(d.groups, p.group)
	}
	d.places[p.group] = append(d.places[p.group], p)
}

// label is what a place is called inside its group.
func (p place) label() string {
	if p.group == "" {
		return p.text
	}
	return strings.TrimPrefix(p.text, p.group+"/")
}

// WriteDot writes connections as a graph for Graphviz.
func WriteDot(w io.Writer, c *Connectivity) error {
	b := bufio.NewWriter(w)
	d := c.drawing()
	b.WriteString("digraph network {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n")
	for i, group := range d.groups {
		margin := "  "
		if group != "" {
			fmt.Fprintf(b, "  subgraph cluster_%d {\n    label=%s;\n", i, dotText(group))
			margin = "    "
		}
		for _, p := range d.places[group] {
			fmt.Fprintf(b, "%sn%d [label=%s];\n", margin, d.numbers[p.text], dotText(p.label()))
		}
		if group != "" {
			b.WriteString("  }\n")
		}
	}
	for _, l := range d.lines {
		fmt.Fprintf(b, "  n%d -> n%d [label=%s];\n", d.numbers[l.src.text], d.numbers[l.dst.text], dotText(l.portText))
	}
	b.WriteString("}\n")
	return b.Flush()
}

// dotText is a quoted string of DOT, in which HTML entities are characters too.
func dotText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "&", "&amp;").Replace(report.Printable(s)) + `"`
}

// WriteMermaid writes connections as a flowchart for Mermaid.
func WriteMermaid(w io.Writer, c *Connectivity) error {
	b := bufio.NewWriter(w)
	d := c.drawing()
	b.WriteString("flowchart LR\n")
	for i, group := range d.groups {
		margin := "  "
		if group != "" {
			fmt.Fprintf(b, "  subgraph g%d[\"%s\"]\n", i, mermaidText(group))
			margin = "    "
		}
		for _, p := range d.places[group] {
			fmt.Fprintf(b, "%sn%d[\"%s\"]\n", margin, d.numbers[p.text], mermaidText(p.label()))
		}
		if group != "" {
			b.WriteString("  end\n")
		}
	}
	for _, l := range d.lines {
		fmt.Fprintf(b, "  n%d -->|\"%s\"| n%d\n", d.numbers[l.src.text], mermaidText(l.portText), d.numbers[l.dst.text])
	}
	return b.Flush()
}

// mermaidText is what stands between quotes in Mermaid, which draws it as HTML: every
// character that could mean something is written by its number.
func mermaidText(s string) string {
	var b strings.Builder
	for _, r := range report.Printable(s) {
		if isWord(r) || strings.ContainsRune(" ,./-()*:_", r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	return b.String()
}
