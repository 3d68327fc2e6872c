package network

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/report"
)

// A census is what there is in a world, so that all of it can be called that.
type census struct {
	// workloads counts those of each namespace.
	workloads map[string]int
	metadata  cidr.Set
}

func newCensus(w *World) census {
	c := census{workloads: map[string]int{}}
	seen := map[Peer]bool{}
	for _, e := range w.Graph.Endpoints() {
		for _, p := range w.workloadPeers(e) {
			if !seen[p] {
				seen[p] = true
				c.workloads[p.Namespace]++
			}
		}
	}
	for _, e := range w.Graph.Metadata() {
		c.metadata = c.metadata.Union(e.Addresses)
	}
	return c
}

func (c census) total() (n int) {
	for _, count := range c.workloads {
		n += count
	}
	return n
}

// names are what peers are called, in the fewest words: those that are all of a
// namespace, or all there are, are not named one by one.
func (c census) names(peers []Peer) (list []string) {
	byNamespace := map[string]int{}
	pods := 0
	var away, metadata []string
	for _, p := range peers {
		switch {
		case p.Range == metadataName:
			metadata = append(metadata, p.CIDR)
		case p.CIDR != "":
			away = append(away, p.CIDR)
		case p.Namespace != "":
			byNamespace[p.Namespace]++
			pods++
		}
	}
	every := len(byNamespace) > 1 && pods == c.total()
	if every {
		list = append(list, everyPod)
	}
	for _, p := range peers {
		ns := p.Namespace
		whole := c.workloads[ns] > 1 && byNamespace[ns] == c.workloads[ns]
		switch {
		case p.CIDR != "", ns != "" && every:
		case ns != "" && whole:
			if name := ns + "/*"; !slices.Contains(list, name) {
				list = append(list, name)
			}
		default:
			list = append(list, p.String())
		}
	}
	if set, err := cidr.Parse(metadata...); err == nil && len(metadata) > 0 {
		if set.Equal(c.metadata) {
			list = append(list, metadataName)
		} else {
			list = append(list, metadataName+" ("+prefixText(set)+")")
		}
	}
	if set, err := cidr.Parse(away...); err == nil && len(away) > 0 {
		list = append(list, outsideText(set))
	}
	return list
}

// A block is changes as people read them: each of the sources may open, or not, the
// same connections to each of the destinations.
type block struct {
	src, dst      []string
	ports, reason string
}

// summary puts rows together in the fewest blocks, by sources with the same
// destinations or the reverse.
func (c census) summary(rows []Connection) []block {
	bySource := c.blocks(rows, func(r *Connection) (Peer, Peer) { return r.Src, r.Dst })
	byDestination := c.blocks(rows, func(r *Connection) (Peer, Peer) { return r.Dst, r.Src })
	if len(bySource) <= len(byDestination) {
		return bySource
	}
	for i := range byDestination {
		b := &byDestination[i]
		b.src, b.dst = b.dst, b.src
	}
	return byDestination
}

func (c census) blocks(rows []Connection, ends func(*Connection) (one, other Peer)) (list []block) {
	type key struct {
		peer          Peer
		ports, reason string
	}
	others, order := map[key][]Peer{}, []key{}
	for i := range rows {
		r := &rows[i]
		text := portWords(r.set)
		if r.Limited {
			text += " (some requests only)"
		}
		one, other := ends(r)
		k := key{one, text, r.Reason}
		if others[k] == nil {
			order = append(order, k)
		}
		others[k] = append(others[k], other)
	}
	same := map[string]int{}
	var peers [][]Peer
	for _, k := range order {
		names := c.names(others[k])
		id := fmt.Sprintf("%q %q %q", k.ports, k.reason, names)
		i, seen := same[id]
		if !seen {
			i = len(list)
			same[id] = i
			list, peers = append(list, block{dst: names, ports: k.ports, reason: k.reason}), append(peers, nil)
		}
		peers[i] = append(peers[i], k.peer)
	}
	for i := range list {
		list[i].src = c.names(peers[i])
	}
	return list
}

// blockColumns is the room of a line of a block.
const blockColumns = 78

// write writes a block in one line or, where that is too long, in several.
func (l *block) write(b *bufio.Writer, mark string) {
	text := fmt.Sprintf("  %s %s => %s : %s", mark, strings.Join(l.src, ", "), strings.Join(l.dst, ", "), l.ports)
	if len(text) <= blockColumns {
		fmt.Fprintf(b, "%s\n", report.Printable(text))
		return
	}
	writeNames(b, "  "+mark+" ", l.src, "")
	writeNames(b, "      => ", l.dst, " : "+l.ports)
}

// writeNames writes names on as many lines as they need.
func writeNames(b *bufio.Writer, lead string, names []string, end string) {
	line := lead
	for i, name := range names {
		name = report.Printable(name)
		if i < len(names)-1 {
			name += ","
		} else {
			name += end
		}
		if len(line) > len(lead) && len(line)+len(name) >= blockColumns {
			fmt.Fprintf(b, "%s\n", strings.TrimRight(line, " "))
			line = strings.Repeat(" ", len(lead))
		}
		line += name + " "
	}
	fmt.Fprintf(b, "%s\n", strings.TrimRight(line, " "))
}

// A differencePart is one list of a Diff.
type differencePart struct {
	title, mark string
	rows        []Connection
	census      census
}

func (d *Diff) parts() []differencePart {
	return []differencePart{
		{"Opened", "+", d.Opened, d.after}, {"May open", "?", d.MayOpen, d.after},
		{"Closed", "-", d.Closed, d.before}, {"May close", "?", d.MayClose, d.before},
	}
}

// WriteDiff writes a Diff for people.
func WriteDiff(w io.Writer, d *Diff) error {
	b := bufio.NewWriter(w)
	for i, p := range d.parts() {
		if len(p.rows) == 0 {
			if i == 0 {
				b.WriteString("Nothing is opened.\n")
			}
			continue
		}
		fmt.Fprintf(b, "%s: %s\n", p.title, counted(len(p.rows), "connection"))
		reason := ""
		for _, l := range p.census.summary(p.rows) {
			if l.reason != reason {
				reason = l.reason
				writeWords(b, "  ", reason+":")
			}
			l.write(b, p.mark)
		}
	}
	return b.Flush()
}

// markdownNames are names, one on a line of a cell, as far as there is room.
func markdownNames(names []string) string {
	const room = 20
	var cells []string
	for i, name := range names {
		if i == room {
			cells = append(cells, fmt.Sprintf("and %d more", len(names)-room))
			break
		}
		cells = append(cells, markdownCode(name))
	}
	return strings.Join(cells, "<br>")
}

// markdownSize bounds a comment, in bytes: code hosts take 65,536 characters.
const markdownSize = 60_000

// WriteDiffMarkdown writes a Diff as a comment for a pull request. What has no room is
// counted.
func WriteDiffMarkdown(w io.Writer, d *Diff) error {
	var b strings.Builder
	fmt.Fprintf(&b, "## Network: %s opened, %d closed\n", counted(len(d.Opened), "connection"), len(d.Closed))
	if n := len(d.MayOpen); n > 0 {
		fmt.Fprintf(&b, "\nOf %s more it is not known whether the change opens them.\n", counted(n, "connection"))
	}
	for _, warning := range d.Warnings {
		fmt.Fprintf(&b, "\n> %s\n", markdownText(warning))
	}
	for _, g := range d.Gaps {
		if b.Len() < markdownSize/4 {
			fmt.Fprintf(&b, "\n> Not read: %s\n", markdownText(g.Reason))
		}
	}
	for i, p := range d.parts() {
		if len(p.rows) == 0 {
			continue
		}
		open := ""
		if i == 0 {
			open = " open"
		}
		fmt.Fprintf(&b, "\n<details%s><summary>%s: %s</summary>\n\n| From | To | Ports | |\n|---|---|---|---|\n", open, p.title, counted(len(p.rows), "connection"))
		lines := p.census.summary(p.rows)
		for n, l := range lines {
			row := fmt.Sprintf("| %s | %s | %s | %s |\n", markdownNames(l.src), markdownNames(l.dst), markdownText(l.ports), markdownText(l.reason))
			if b.Len()+len(row) > markdownSize {
				fmt.Fprintf(&b, "\n**and %d more rows, which found no room here**\n", len(lines)-n)
				break
			}
			b.WriteString(row)
		}
		b.WriteString("\n</details>\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
