package fix

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// errSpan is said of what is written in a form whose end is not found for sure.
var errSpan = errors.New("it is written in a form that cannot be edited")

// start is the place where a node begins, after its anchor and tag.
func (w *writer) start(n *yaml.Node) int {
	at := w.at(n.Line, n.Column)
	for at < len(w.text) && (w.text[at] == '&' || w.text[at] == '!') && n.Kind != yaml.AliasNode {
		for at < len(w.text) && !isSpace(w.text[at]) {
			at++
		}
		at = w.skip(at, false)
	}
	return at
}

// at is the place of a line and a column, which count from 1, in characters.
func (w *writer) at(line, column int) int {
	if line < 1 || line > len(w.lines) {
		return len(w.text)
	}
	at := w.lines[line-1]
	for ; column > 1 && at < len(w.text); column-- {
		_, size := utf8.DecodeRune(w.text[at:])
		at += size
	}
	return at
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// skip goes over space, comments and, if wanted, commas.
func (w *writer) skip(at int, commas bool) int {
	for at < len(w.text) {
		switch c := w.text[at]; {
		case isSpace(c), commas && c == ',':
			at++
		case c == '#':
			at = w.lineEnd(at)
		default:
			return at
		}
	}
	return at
}

// lineEnd is where the line at a place ends, before the line end.
func (w *writer) lineEnd(at int) int {
	if n := bytes.IndexByte(w.text[at:], '\n'); n >= 0 {
		at += n
		if at > 0 && w.text[at-1] == '\r' {
			at--
		}
		return at
	}
	return len(w.text)
}

// lineStart is where the line at a place begins.
func (w *writer) lineStart(at int) int { return bytes.LastIndexByte(w.text[:at], '\n') + 1 }

// indent is the space that the line at a place begins with.
func (w *writer) indent(at int) string {
	line := w.text[w.lineStart(at):]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}

// end is the place after a node. column is that of the block around it.
func (w *writer) end(n *yaml.Node, column int) (int, error) {
	at := w.start(n)
	switch n.Kind {
	case yaml.AliasNode:
		return at + 1 + len(n.Value), nil
	case yaml.ScalarNode:
		return w.scalarEnd(n, at, column)
	}
	if !isFlow(n) {
		return w.lastEnd(n)
	}
	if at >= len(w.text) || w.text[at] != '{' && w.text[at] != '[' {
		return 0, errSpan
	}
	closing := w.text[at] + 2 // as both are in ASCII
	at++
	if len(n.Content) > 0 {
		var err error
		if at, err = w.lastEnd(n); err != nil {
			return 0, err
		}
	}
	if at = w.skip(at, true); at >= len(w.text) || w.text[at] != closing {
		return 0, errSpan
	}
	return at + 1, nil
}

// lastEnd is the place after the last field or element of a node.
func (w *writer) lastEnd(n *yaml.Node) (int, error) { return w.childEnd(n, len(n.Content)-1) }

// childEnd is the place after the i-th node in a node.
func (w *writer) childEnd(n *yaml.Node, i int) (int, error) {
	child := n.Content[i]
	if n.Kind == yaml.MappingNode && i%2 == 1 && isEmpty(child) {
		return w.colonEnd(n.Content[i-1])
	}
	if isEmpty(child) && !isFlow(n) { // a dash alone
		return 0, errSpan
	}
	return w.end(child, n.Column)
}

// colonEnd is the place after the colon of a key.
func (w *writer) colonEnd(key *yaml.Node) (int, error) {
	at, err := w.end(key, key.Column)
	if err != nil {
		return 0, err
	}
	if at = w.skip(at, false); at >= len(w.text) || w.text[at] != ':' {
		return 0, errSpan
	}
	return at + 1, nil
}

// isEmpty tells whether nothing is written for a node.
func isEmpty(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Value == "" && n.Style == 0 && n.Anchor == ""
}

func isFlow(n *yaml.Node) bool { return n.Style&yaml.FlowStyle != 0 }

func (w *writer) scalarEnd(n *yaml.Node, at, column int) (int, error) {
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return w.blockEnd(at, column)
	case n.Style&yaml.DoubleQuotedStyle != 0:
		return w.quoteEnd(at, '"')
	case n.Style&yaml.SingleQuotedStyle != 0:
		return w.quoteEnd(at, '\'')
	}
	return w.plainEnd(at, n.Value)
}

func (w *writer) quoteEnd(at int, quote byte) (int, error) {
	if at >= len(w.text) || w.text[at] != quote {
		return 0, errSpan
	}
	for at++; at < len(w.text); at++ {
		switch c := w.text[at]; {
		case c == '\\' && quote == '"':
			at++
		case c == quote && quote == '\'' && at+1 < len(w.text) && w.text[at+1] == quote:
			at++
		case c == quote:
			return at + 1, nil
		}
	}
	return 0, errSpan
}

// plainEnd follows a text without quotes, over the line ends that were folded.
func (w *writer) plainEnd(at int, text string) (int, error) {
	for text != "" {
		if at >= len(w.text) {
			return 0, errSpan
		}
		if (text[0] == ' ' || text[0] == '\n') && w.atFold(at) {
			at = w.skip(at, false)
			text = strings.TrimLeft(text, " \n")
			continue
		}
		if w.text[at] != text[0] {
			return 0, errSpan
		}
		at++
		text = text[1:]
	}
	return at, nil
}

// atFold tells whether nothing but space stands between a place and the line's end.
func (w *writer) atFold(at int) bool {
	return len(bytes.TrimRight(w.text[at:w.lineEnd(at)], " \t")) == 0
}

// blockEnd is the place after a block scalar in a block at a column: its lines are
// blank or indented deeper than that.
func (w *writer) blockEnd(at, column int) (int, error) {
	if at >= len(w.text) || w.text[at] != '|' && w.text[at] != '>' {
		return 0, errSpan
	}
	header := w.text[at:w.lineEnd(at)]
	keep := bytes.HasPrefix(bytes.TrimLeft(header, "|>0123456789-"), []byte("+"))
	end := w.lineEnd(at)
	for next := end; next < len(w.text); {
		n := bytes.IndexByte(w.text[next:], '\n')
		if n < 0 || next+n+1 >= len(w.text) {
			break
		}
		start := next + n + 1
		next = w.lineEnd(start)
		line := w.text[start:next]
		switch {
		case len(bytes.TrimSpace(line)) == 0:
			if keep {
				end = next
			}
			continue
		case len(w.indent(start)) < column:
			return end, nil
		}
		end = next
	}
	return end, nil
}
