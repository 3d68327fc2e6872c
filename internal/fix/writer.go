package fix

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gabion-k8s/gabion/internal/fix/fieldpath"
)

// A writer knows how one document is written.
type writer struct {
	text   []byte
	lines  []int // where they begin
	root   *yaml.Node
	isJSON bool
	eol    string
	// step is how much deeper a mapping in a mapping is indented; dash how much
	// deeper the dashes of a list in a mapping are.
	step, dash int
	// shared is the anchor that was met on the way to a field, "" for none.
	shared string
}

func newWriter(text []byte) (*writer, error) {
	root, err := parse(text)
	if err != nil {
		return nil, err
	}
	w := &writer{text: text, lines: []int{0}, root: root, isJSON: isJSON(text), eol: "\n"}
	for i, c := range text {
		if c == '\n' {
			w.lines = append(w.lines, i+1)
		}
	}
	if bytes.Contains(text, []byte("\r\n")) {
		w.eol = "\r\n"
	}
	steps, dashes := map[int]int{}, map[int]int{}
	measure(root, steps, dashes)
	w.step, w.dash = most(steps, 2), most(dashes, 0)
	return w, nil
}

// measure counts by how much blocks in block mappings are indented.
func measure(n *yaml.Node, steps, dashes map[int]int) {
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && !isFlow(n) && i%2 == 1 && !isFlow(child) && len(child.Content) > 0 && child.Anchor == "" {
			deeper := child.Content[0].Column - n.Content[0].Column
			if child.Kind == yaml.MappingNode {
				steps[deeper]++
			} else {
				dashes[child.Column-n.Content[0].Column]++
			}
		}
		measure(child, steps, dashes)
	}
}

// most is what was counted most often, and the least of these.
func most(counts map[int]int, otherwise int) int {
	best := otherwise
	for v, n := range counts {
		if v >= 0 && v <= 16 && (n > counts[best] || n == counts[best] && v < best) {
			best = v
		}
	}
	return best
}

// ways are the ways in which a field below a node can be set, the best first.
func (w *writer) ways(n *yaml.Node, at fieldpath.Path, v value) ([]splices, error) {
	n = w.follow(n)
	if len(at) == 0 {
		return w.replace(n, nil, n, v)
	}
	s := at[0]
	switch {
	case s.Name == "" && n.Kind == yaml.SequenceNode && s.Index < len(n.Content):
		child := n.Content[s.Index]
		if len(at) == 1 && child.Kind != yaml.AliasNode {
			return w.replace(n, nil, child, v)
		}
		return w.ways(child, at[1:], v)
	case s.Name == "" && n.Kind == yaml.SequenceNode && s.Index == len(n.Content):
		return w.add(n, at[1:], v)
	case s.Name == "" || n.Kind != yaml.MappingNode:
		return nil, errElsewise
	}
	key, child := field(n, s.Name)
	switch {
	case key == nil:
		return w.absent(n, at, v)
	case isNull(child):
		return w.fill(n, key, child, at[1:], v)
	case len(at) == 1:
		return w.replace(n, key, child, v)
	}
	return w.ways(child, at[1:], v)
}

// follow returns what an alias repeats.
func (w *writer) follow(n *yaml.Node) *yaml.Node {
	if n.Anchor != "" {
		w.shared = n.Anchor
	}
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		w.shared = n.Value
		return n.Alias
	}
	return n
}

func field(n *yaml.Node, name string) (key, child *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := n.Content[i]; k.Value == name && k.Kind == yaml.ScalarNode && k.Tag != "!!merge" {
			return k, n.Content[i+1]
		}
	}
	return nil, nil
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// absent sets a field of which the mapping has not even the first step: as a field
// of its own, or in the mapping that it is merged from.
func (w *writer) absent(n *yaml.Node, at fieldpath.Path, v value) ([]splices, error) {
	ways, err := w.insert(n, at, v)
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Tag != "!!merge" {
			continue
		}
		from := []*yaml.Node{n.Content[i+1]}
		if from[0].Kind == yaml.SequenceNode {
			from = from[0].Content
		}
		for _, m := range from {
			if key, _ := field(resolved(m), at[0].Name); key != nil {
				more, moreErr := w.ways(m, at, v)
				if ways = append(ways, more...); moreErr == nil {
					err = nil
				}
			}
		}
	}
	return ways, err
}

func resolved(n *yaml.Node) *yaml.Node {
	if n.Alias != nil {
		return n.Alias
	}
	return n
}

// nested wraps a value into the mappings and lists that are missing around it.
func nested(at fieldpath.Path, v value) (*yaml.Node, error) {
	n := v.node
	for _, s := range slices.Backward(at) {
		if s.Name == "" && s.Index > 0 {
			return nil, fmt.Errorf("there is no element %d", s.Index)
		}
		if s.Name == "" {
			n = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{n}}
			continue
		}
		key := &yaml.Node{Kind: yaml.ScalarNode, Value: s.Name}
		if !isPlainKey(s.Name) {
			key.Style = yaml.DoubleQuotedStyle
		}
		n = &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{key, n}}
	}
	return n, nil
}

// isPlainKey tells whether a name needs no quotes as a key.
func isPlainKey(name string) bool {
	tree, err := decode([]byte("{" + name + ": 1}"))
	fields, _ := tree.(map[string]any)
	_, ok := fields[name]
	return err == nil && ok && len(fields) == 1
}

// replace writes a value in the place of a node in around.
func (w *writer) replace(around, key, n *yaml.Node, v value) ([]splices, error) {
	if n.Kind == yaml.AliasNode {
		return []splices{w.over(w.start(n), w.start(n)+1+len(n.Value), w.flow(v.node))}, nil
	}
	if n.Anchor != "" {
		w.shared = n.Anchor
	}
	column := around.Column
	if key != nil {
		column = key.Column
	}
	start := w.start(n)
	end, err := w.end(n, column)
	if err != nil {
		return nil, err
	}
	if n.Kind != yaml.ScalarNode && bytes.ContainsRune(w.text[start:end], '#') {
		return nil, fmt.Errorf("a comment may stand inside the value that would be replaced")
	}
	if n.Kind == yaml.ScalarNode || isFlow(n) {
		return []splices{w.over(start, end, w.quoted(n, v.node)), w.over(start, end, w.flow(v.node))}, nil
	}
	if v.node.Kind == yaml.ScalarNode || key == nil {
		return nil, errElsewise
	}
	indent := w.column(n)
	text := strings.Join(w.block(v.node, indent), w.eol)
	return []splices{w.over(start, end, strings.TrimLeft(text, " "))}, nil
}

// column is the indentation of what stands in a block.
func (w *writer) column(n *yaml.Node) int {
	at := w.start(n)
	return len([]rune(string(w.text[w.lineStart(at):at])))
}

func (w *writer) over(start, end int, text string) splices { return splices{{start, end, text}} }

// quoted writes a value as an earlier one was written.
func (w *writer) quoted(old, n *yaml.Node) string {
	const quotes = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" && n.Style&quotes == 0 && old.Style&quotes != 0 {
		again := *n
		again.Style = old.Style & quotes
		return w.flow(&again)
	}
	return w.flow(n)
}

// fill gives a key its value that has none, or null.
func (w *writer) fill(around, key, n *yaml.Node, rest fieldpath.Path, v value) ([]splices, error) {
	node, err := nested(rest, v)
	if err != nil {
		return nil, err
	}
	colon, err := w.colonEnd(key)
	if err != nil {
		return nil, err
	}
	if !isEmpty(n) {
		start := w.start(n)
		return []splices{w.over(start, start+len(n.Value), w.flow(node))}, nil
	}
	inline := w.over(colon, colon, " "+w.flow(node))
	if node.Kind == yaml.ScalarNode || isFlow(around) {
		return []splices{inline}, nil
	}
	depth := w.step
	if node.Kind == yaml.SequenceNode {
		depth = w.dash
	}
	lines := w.block(node, w.column(key)+depth)
	return []splices{w.below(colon, lines), inline}, nil
}

// below puts lines after the one at a place.
func (w *writer) below(at int, lines []string) splices {
	end := w.lineEnd(at)
	return w.over(end, end, w.eol+strings.Join(lines, w.eol))
}

// mostTries is how many places for a new field are tried.
const mostTries = 4

// insert adds a field to a mapping, after the last of its fields for which that works.
func (w *writer) insert(n *yaml.Node, at fieldpath.Path, v value) ([]splices, error) {
	node, err := nested(at, v)
	if err != nil {
		return nil, err
	}
	if isFlow(n) {
		return w.insertFlow(n, node)
	}
	if len(n.Content) == 0 {
		return nil, errElsewise
	}
	return w.after(n, w.block(node, w.column(n.Content[0])))
}

// add adds an element to the end of a list.
func (w *writer) add(n *yaml.Node, rest fieldpath.Path, v value) ([]splices, error) {
	element, err := nested(rest, v)
	if err != nil {
		return nil, err
	}
	list := &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{element}}
	if isFlow(n) {
		return w.insertFlow(n, list)
	}
	lines := w.block(list, w.column(n))
	if last := n.Content[len(n.Content)-1]; isFlow(last) { // as its neighbour is written
		lines = []string{strings.Repeat(" ", w.column(n)) + "- " + w.flow(element)}
	}
	return w.after(n, lines)
}

// after puts lines behind the last field or element of a block, or else behind a field
// before it.
func (w *writer) after(n *yaml.Node, lines []string) ([]splices, error) {
	var ways []splices
	tries := mostTries
	if n.Kind == yaml.SequenceNode {
		tries = 1 // elements have an order
	}
	for i := len(n.Content) - 1; i >= 0 && tries > 0; i, tries = i-2, tries-1 {
		end, err := w.childEnd(n, i)
		if err != nil {
			continue
		}
		if rest := bytes.TrimSpace(w.text[end:w.lineEnd(end)]); len(rest) == 0 || rest[0] == '#' {
			ways = append(ways, w.below(end, lines))
		}
	}
	if len(ways) == 0 {
		return nil, errSpan
	}
	return ways, nil
}

// insertFlow adds what is in node, a field or an element, to a mapping in braces or a
// list in brackets, on a line of its own if the others have one.
func (w *writer) insertFlow(n, node *yaml.Node) ([]splices, error) {
	start := w.start(n)
	end, err := w.end(n, n.Column)
	if err != nil {
		return nil, err
	}
	inside := unwrap(w.flow(node))
	if len(n.Content) == 0 {
		return w.insertFirst(start, end, node), nil
	}
	last, err := w.lastEnd(n)
	if err != nil {
		return nil, err
	}
	first := w.at(n.Content[0].Line, n.Content[0].Column)
	indent := w.indent(first)
	if w.lineStart(first)+len(indent) != first || w.lineStart(end-1) == w.lineStart(last) {
		return []splices{w.over(last, last, w.comma()+inside)}, nil
	}
	if unit := w.unit(); w.isJSON && unit != "" {
		inside = strings.TrimSpace(unwrap(w.spread(node, strings.TrimSuffix(indent, unit), unit)))
	}
	return []splices{
		{{last, last, ","}, {w.lineEnd(last), w.lineEnd(last), w.eol + indent + inside}},
		{{w.lineEnd(last), w.lineEnd(last), w.eol + indent + inside}}, // where a comma stands already
		w.over(last, last, w.comma()+inside),
	}, nil
}

// insertFirst adds what is in node to braces or brackets from start to end in which there
// is nothing yet, or but comments: where they are written over several lines, on a line of
// its own before the last one.
func (w *writer) insertFirst(start, end int, node *yaml.Node) []splices {
	inside := unwrap(w.flow(node))
	unit := w.unit()
	if w.lineStart(start) == w.lineStart(end-1) {
		if w.isJSON && unit != "" {
			return []splices{w.over(start, end, w.spread(node, w.indent(start), unit))}
		}
		return []splices{w.over(start+1, end-1, inside)}
	}
	if unit == "" {
		unit = strings.Repeat(" ", w.step)
	}
	indent := max(w.indent(start), w.indent(end-1)) // the deeper one: it may end at the margin
	line := inside
	if w.isJSON {
		line = strings.TrimSpace(unwrap(w.spread(node, indent, unit)))
	}
	closing := w.lineStart(end - 1)
	return []splices{w.over(closing, closing, indent+unit+line+w.eol), w.over(start+1, start+1, inside)}
}

// unwrap is what stands between the braces or brackets of a mapping or a list.
func unwrap(text string) string { return text[1 : len(text)-1] }

// unit is by how much the lines of JSON are indented, "" when it has but one.
func (w *writer) unit() string {
	if len(w.root.Content) == 0 || w.root.Content[0].Line == w.root.Line {
		return ""
	}
	return strings.TrimPrefix(w.indent(w.at(w.root.Content[0].Line, 1)), w.indent(w.at(w.root.Line, 1)))
}

func (w *writer) tight() bool { return w.isJSON && !bytes.Contains(w.text, []byte(`": `)) }

func (w *writer) comma() string {
	if w.tight() {
		return ","
	}
	return ", "
}

func (w *writer) colon() string {
	if w.tight() {
		return ":"
	}
	return ": "
}

// flow writes a node on one line.
func (w *writer) flow(n *yaml.Node) string {
	var parts []string
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			parts = append(parts, w.scalar(n.Content[i], true)+w.colon()+w.flow(n.Content[i+1]))
		}
		return "{" + strings.Join(parts, w.comma()) + "}"
	case yaml.SequenceNode:
		for _, child := range n.Content {
			parts = append(parts, w.flow(child))
		}
		return "[" + strings.Join(parts, w.comma()) + "]"
	}
	return w.scalar(n, false)
}

// spread writes a node as JSON on many lines, the first of which is indented already.
func (w *writer) spread(n *yaml.Node, indent, unit string) string {
	open, closed := "{", "}"
	var parts []string
	switch {
	case len(n.Content) == 0:
		return w.flow(n)
	case n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			parts = append(parts, w.scalar(n.Content[i], true)+w.colon()+w.spread(n.Content[i+1], indent+unit, unit))
		}
	default:
		open, closed = "[", "]"
		for _, child := range n.Content {
			parts = append(parts, w.spread(child, indent+unit, unit))
		}
	}
	inner := w.eol + indent + unit
	return open + inner + strings.Join(parts, ","+inner) + w.eol + indent + closed
}

// block writes a node as the lines of a block.
func (w *writer) block(n *yaml.Node, indent int) []string {
	space := strings.Repeat(" ", indent)
	var lines []string
	switch {
	case n.Kind == yaml.MappingNode && len(n.Content) > 0:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, child := space+w.scalar(n.Content[i], true)+":", n.Content[i+1]
			switch {
			case len(child.Content) == 0:
				lines = append(lines, key+" "+w.flow(child))
			case child.Kind == yaml.SequenceNode:
				lines = append(append(lines, key), w.block(child, indent+w.dash)...)
			default:
				lines = append(append(lines, key), w.block(child, indent+w.step)...)
			}
		}
	case n.Kind == yaml.SequenceNode && len(n.Content) > 0:
		for _, child := range n.Content {
			item := w.block(child, indent+2)
			item[0] = space + "- " + strings.TrimLeft(item[0], " ")
			lines = append(lines, item...)
		}
	default:
		lines = []string{space + w.flow(n)}
	}
	return lines
}

// scalar writes a scalar as its node says, in JSON as JSON.
func (w *writer) scalar(n *yaml.Node, key bool) string {
	switch {
	case w.isJSON:
		if tree, err := decode([]byte(plainly(n))); err == nil && !key {
			return toJSON(tree)
		}
		return toJSON(n.Value)
	case key && n.Style == 0 && w.quotesKeys():
		return toJSON(n.Value)
	}
	return plainly(n)
}

// quotesKeys tells whether the document quotes its keys, as JSON does.
func (w *writer) quotesKeys() bool {
	return isFlow(w.root) && len(w.root.Content) > 0 && w.root.Content[0].Style&yaml.DoubleQuotedStyle != 0
}

// plainly writes a scalar in the style of its node.
func plainly(n *yaml.Node) string {
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		return toJSON(n.Value)
	case n.Style&yaml.SingleQuotedStyle != 0:
		return "'" + strings.ReplaceAll(n.Value, "'", "''") + "'"
	}
	return n.Value
}
