package helm

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"
	"unicode"
	"unicode/utf8"
)

// How lines are traced.
//
// Each template is parsed and written out again with marks in it: one before
// every line of literal text, one before and one after every action that
// prints. White space that a "{{-" trims is gone once the template is parsed,
// so a mark never stops a trim. A mark is a few characters between two runes
// that no one uses; "nindent" and "indent" leave it whole. Wherever else the
// text of an include goes (a condition, a variable, an argument, another
// function), its marks are taken out on the way, so templates decide and
// compute the same with marks as without.
//
// A mark names a site: the template and line of a text or an action. As marks
// nest, the reader of the marked text knows which include printed which helper,
// and so what the dot was in the helper (see keys.go).
const (
	markStart = '\U000F5A01'
	markEnd   = '\U000F5A02'
)

// What a mark says. Each but closeMark has a number after it.
const (
	textMark  = 't' // text of the site follows
	openMark  = 'o' // what the action of the site prints follows
	closeMark = 'c' // the innermost open action ends
	indexMark = 'i' // a loop, by its site, goes through the item of this number in marker.items
)

// maxActions bounds the actions of one template text, and so how deep its
// blocks can be in one another: the parser recurses.
const maxActions = 20_000

// Functions that marked templates call and the engine is given.
const (
	enterFunc = "gabionEnter" // a named template or tpl text begins
	leaveFunc = "gabionLeave" // it ends
	stepFunc  = "gabionStep"  // a loop passes
	printFunc = "gabionPrint" // a value is printed
	stripFunc = "gabionStrip" // marks are taken out of a string
	trimFunc  = "gabionTrim"  // trim, leaving marks
	tplFunc   = "gabionTpl"   // a text for tpl is made safe
	itemFunc  = "gabionItem"  // an indexMark
	itemsFunc = "gabionItems" // what a loop goes through
)

// A body is a template by itself: a file's, or one that a define names.
type body struct {
	name  string // that include and template know it by
	place string // the file, for people
	text  string // the whole text of the file
	list  *parse.ListNode
}

// line returns the 1-based line of a position in the body's file.
func (b *body) line(pos parse.Pos) int {
	return 1 + strings.Count(b.text[:min(int(pos), len(b.text))], "\n")
}

// A site is a place in a template that a mark names.
type site struct {
	body *body
	line int
}

// A marker marks the templates of one chart.
type marker struct {
	bodies map[string]*body // by name
	sites  []site
	nodes  map[parse.Node]int // the site of an action, a template call, a loop
	texts  map[*parse.TextNode][]textLine
	items  []string // keys and indexes of loops, as they come up
}

// A textLine is one line of a text node.
type textLine struct {
	site int
	text string // with its line break
}

func newMarker() *marker {
	return &marker{
		bodies: map[string]*body{},
		nodes:  map[parse.Node]int{},
		texts:  map[*parse.TextNode][]textLine{},
	}
}

// parseTemplate returns the trees in a template text, its own under its name.
func parseTemplate(name, text string) (map[string]*parse.Tree, error) {
	if strings.Count(text, "{{") > maxActions {
		return nil, fmt.Errorf("template has more than %d actions", maxActions)
	}
	t := parse.New(name)
	t.Mode = parse.SkipFuncCheck
	trees := map[string]*parse.Tree{}
	_, err := t.Parse(text, "", "", trees)
	return trees, err
}

// mark returns the text of a template file with marks in it.
func (m *marker) mark(name, place, text string) (string, error) {
	trees, err := parseTemplate(name, text)
	if err != nil {
		return "", err
	}
	w := &writer{marker: m}
	own := trees[name]
	for _, treeName := range sortedKeys(trees) {
		tree := trees[treeName]
		if tree == own {
			continue
		}
		w.define(&body{name: treeName, place: place, text: text, list: tree.Root})
	}
	if own != nil {
		w.whole(&body{name: name, place: place, text: text, list: own.Root})
	}
	return w.String(), nil
}

// withoutBody returns a template text that has the defines of text and nothing
// else, or nothing at all if they cannot be written by themselves.
func withoutBody(name, text string) string {
	trees, err := parseTemplate(name, text)
	if err != nil {
		return ""
	}
	w := &writer{}
	for _, treeName := range sortedKeys(trees) {
		if treeName != name {
			w.define(&body{name: treeName, list: trees[treeName].Root})
		}
	}
	if _, err := parseTemplate(name, w.String()); err != nil {
		return ""
	}
	return w.String()
}

// tpl makes the text that tpl is given safe: bounded, and unmarking what it
// includes but does not print. A text that does not parse stays as it is; tpl
// will say why.
func (m *marker) tpl(text string) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	trees, err := parseTemplate("tpl", text)
	if err != nil {
		if strings.Count(text, "{{") > maxActions {
			return "", err
		}
		return text, nil
	}
	w := &writer{safe: true}
	for _, name := range sortedKeys(trees) {
		if name != "tpl" {
			w.define(&body{name: name, list: trees[name].Root})
		}
	}
	if own := trees["tpl"]; own != nil {
		w.whole(&body{list: own.Root})
	}
	return w.String(), nil
}

// A writer writes parsed templates as text again: with marks if it has a
// marker, with calls to the guard if safe, and as they were otherwise.
type writer struct {
	strings.Builder
	marker *marker
	safe   bool
	body   *body
}

func (w *writer) guarded() bool { return w.marker != nil || w.safe }

func (w *writer) define(b *body) {
	w.WriteString("{{define " + strconv.Quote(b.name) + "}}")
	w.whole(b)
	w.WriteString("{{end}}")
}

// whole writes a body. One that is empty stays so: an empty define does not
// replace another of its name.
func (w *writer) whole(b *body) {
	w.body = b
	if b.list == nil {
		return
	}
	if parse.IsEmptyTree(b.list) || !w.guarded() {
		w.WriteString(b.list.String())
		return
	}
	if w.marker != nil {
		w.marker.bodies[b.name] = b
	}
	w.WriteString("{{" + enterFunc + "}}")
	w.list(b.list)
	w.WriteString("{{" + leaveFunc + "}}")
}

func (w *writer) list(l *parse.ListNode) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		w.node(n)
	}
}

func (w *writer) node(n parse.Node) {
	switch n := n.(type) {
	case *parse.TextNode:
		w.text(n)
	case *parse.ActionNode:
		w.action(n)
	case *parse.TemplateNode:
		w.open(n)
		w.WriteString("{{template " + strconv.Quote(n.Name))
		if n.Pipe != nil {
			w.WriteString(" " + w.pipe(n.Pipe, false))
		}
		w.WriteString("}}")
		w.close()
	case *parse.IfNode:
		w.branch("if", w.pipe(n.Pipe, false), "", &n.BranchNode)
	case *parse.WithNode:
		w.branch("with", w.pipe(n.Pipe, false), "", &n.BranchNode)
	case *parse.RangeNode:
		w.loop(n)
	default:
		w.WriteString(n.String())
	}
}

func (w *writer) branch(word, pipe, begin string, n *parse.BranchNode) {
	w.WriteString("{{" + word + " " + pipe + "}}" + begin)
	w.list(n.List)
	if n.ElseList != nil {
		w.WriteString("{{else}}")
		w.list(n.ElseList)
	}
	w.WriteString("{{end}}")
}

// loop writes a range that tells the guard about each pass, and the index or
// key of each.
func (w *writer) loop(n *parse.RangeNode) {
	step := "{{" + stepFunc + "}}"
	cmds := "(" + w.commands(n.Pipe, false) + ")"
	if w.marker == nil || n.Pipe.IsAssign {
		w.branch("range", w.declared(n.Pipe)+cmds, step, &n.BranchNode)
		return
	}
	index, item := "$gabionIndex", "$gabionItem"
	switch decl := n.Pipe.Decl; len(decl) {
	case 1:
		item = decl[0].String()
	case 2:
		index, item = decl[0].String(), decl[1].String()
	}
	id := w.marker.site(w.body, n)
	begin := step + fmt.Sprintf("{{%s %d %s}}", itemFunc, id, index)
	// With two variables the engine cannot count to a number; itemsFunc makes
	// it a list.
	w.branch("range", index+", "+item+" := "+itemsFunc+" "+cmds, begin, &n.BranchNode)
}

func (w *writer) text(n *parse.TextNode) {
	if w.marker == nil {
		w.literal(string(n.Text))
		return
	}
	first := w.body.line(n.Pos)
	var lines []textLine
	for i, part := range strings.SplitAfter(string(n.Text), "\n") {
		l := textLine{site: w.marker.add(w.body, first+i), text: part}
		if i == 0 || strings.TrimSpace(part) != "" {
			w.mark(textMark, l.site)
		}
		w.literal(part)
		lines = append(lines, l)
	}
	w.marker.texts[n] = lines
}

// literal writes text so that it does not make a "{{" with what follows.
func (w *writer) literal(text string) {
	whole, ok := strings.CutSuffix(text, "{")
	w.WriteString(whole)
	if ok {
		w.WriteString(`{{"{"}}`)
	}
}

func (w *writer) action(n *parse.ActionNode) {
	if len(n.Pipe.Decl) > 0 {
		w.WriteString("{{" + w.pipe(n.Pipe, false) + "}}")
		return
	}
	w.open(n)
	w.WriteString("{{" + w.pipe(n.Pipe, true) + " | " + printFunc + "}}")
	w.close()
}

// pipe writes a pipeline; printed says that what it gives is printed as it is.
func (w *writer) pipe(p *parse.PipeNode, printed bool) string {
	return w.declared(p) + w.commands(p, printed)
}

func (w *writer) declared(p *parse.PipeNode) string {
	if len(p.Decl) == 0 {
		return ""
	}
	names := make([]string, len(p.Decl))
	for i, v := range p.Decl {
		names[i] = v.String()
	}
	if p.IsAssign {
		return strings.Join(names, ", ") + " = "
	}
	return strings.Join(names, ", ") + " := "
}

func (w *writer) commands(p *parse.PipeNode, printed bool) string {
	var parts []string
	for i, c := range p.Cmds {
		keep := printed && keepMarks(p.Cmds[i+1:])
		parts = append(parts, w.command(c, keep))
		if name := funcName(c); (name == "include" || name == "tpl") && !keep {
			parts = append(parts, stripFunc)
		}
	}
	return strings.Join(parts, " | ")
}

// keepMarks says whether a text with marks can go through these commands.
func keepMarks(cmds []*parse.CommandNode) bool {
	for _, c := range cmds {
		switch funcName(c) {
		case "nindent", "indent", "trim":
		default:
			return false
		}
	}
	return true
}

func funcName(c *parse.CommandNode) string {
	if id, ok := c.Args[0].(*parse.IdentifierNode); ok {
		return id.Ident
	}
	return ""
}

func (w *writer) command(c *parse.CommandNode, keep bool) string {
	args := make([]string, len(c.Args))
	for i, arg := range c.Args {
		args[i] = w.arg(arg)
	}
	switch name := funcName(c); {
	case name == "trim" && keep:
		args[0] = trimFunc
	case name == "tpl" && len(args) > 1:
		args[1] = "(" + tplFunc + " " + args[1] + ")"
	}
	return strings.Join(args, " ")
}

func (w *writer) arg(n parse.Node) string {
	switch n := n.(type) {
	case *parse.PipeNode:
		return "(" + w.pipe(n, false) + ")"
	case *parse.ChainNode:
		return w.arg(n.Node) + "." + strings.Join(n.Field, ".")
	}
	return n.String()
}

func (w *writer) open(n parse.Node) {
	if w.marker != nil {
		w.mark(openMark, w.marker.site(w.body, n))
	}
}

func (w *writer) close() {
	if w.marker != nil {
		w.WriteString(string(markStart) + string(closeMark) + string(markEnd))
	}
}

func (w *writer) mark(kind rune, id int) {
	w.WriteString(string(markStart) + string(kind) + strconv.Itoa(id) + string(markEnd))
}

func (m *marker) add(b *body, line int) int {
	m.sites = append(m.sites, site{body: b, line: line})
	return len(m.sites) - 1
}

func (m *marker) site(b *body, n parse.Node) int {
	id := m.add(b, b.line(n.Position()))
	m.nodes[n] = id
	return id
}

// funcs are the functions that marked templates call.
func (m *marker) funcs(g *guard) template.FuncMap {
	return template.FuncMap{
		enterFunc: func() (string, error) { return "", g.enter() },
		leaveFunc: func() string { g.leave(); return "" },
		stepFunc:  func() (string, error) { return "", g.step() },
		printFunc: func(v any) (any, error) {
			if s, ok := v.(string); ok {
				return v, g.print(len(s))
			}
			return v, g.print(1)
		},
		stripFunc: stripMarks,
		trimFunc:  trimAroundMarks,
		tplFunc: func(text string) (string, error) {
			safe, err := m.tpl(text)
			if err != nil {
				return "", g.stop(err)
			}
			return safe, nil
		},
		itemFunc: func(loop int, index any) string {
			m.items = append(m.items, fmt.Sprint(index))
			return fmt.Sprintf("%c%c%d.%d%c", markStart, indexMark, loop, len(m.items)-1, markEnd)
		},
		itemsFunc: func(v any) (any, error) {
			items, err := loopItems(v)
			if err != nil {
				return nil, g.stop(err)
			}
			return items, nil
		},
	}
}

// loopItems returns what a range is to go through: v, or a list of the numbers
// below v.
func loopItems(v any) (any, error) {
	rv := reflect.ValueOf(v)
	var n uint64
	switch {
	case !rv.IsValid():
		return v, nil
	case rv.CanInt():
		n = uint64(max(rv.Int(), 0))
	case rv.CanUint():
		n = rv.Uint()
	default:
		return v, nil
	}
	if n > maxSteps {
		return nil, errors.New("range over too large a number")
	}
	list := reflect.MakeSlice(reflect.SliceOf(rv.Type()), int(n), int(n))
	for i := range int(n) {
		list.Index(i).Set(reflect.ValueOf(i).Convert(rv.Type()))
	}
	return list.Interface(), nil
}

// nextMark cuts text at its first mark: what is before it, its kind and its
// numbers, and what is after. Without a mark kind is 0.
func nextMark(text string) (before string, kind byte, number, item int, after string) {
	start := strings.IndexRune(text, markStart)
	if start < 0 {
		return text, 0, 0, 0, ""
	}
	inner := text[start+utf8.RuneLen(markStart):]
	end := strings.IndexRune(inner, markEnd)
	if end < 1 {
		return text, 0, 0, 0, ""
	}
	numbers, second, _ := strings.Cut(inner[1:end], ".")
	return text[:start], inner[0], natural(numbers), natural(second), inner[end+utf8.RuneLen(markEnd):]
}

// natural returns a number, or 0 for what is none: templates can hold marks of
// their own making.
func natural(digits string) int {
	n, _ := strconv.ParseUint(digits, 10, 31)
	return int(n)
}

func stripMarks(text string) string {
	if !strings.ContainsRune(text, markStart) {
		return text
	}
	var b strings.Builder
	for kind := byte(1); kind != 0; {
		var before string
		before, kind, _, _, text = nextMark(text)
		b.WriteString(before)
	}
	return b.String()
}

// trimAroundMarks trims the white space that trim would trim if there were no
// marks, and leaves the marks.
func trimAroundMarks(text string) string {
	var texts, marks []string // marks[i] follows texts[i]
	for rest := text; ; {
		before, kind, _, _, after := nextMark(rest)
		texts = append(texts, before)
		if kind == 0 {
			break
		}
		marks = append(marks, rest[len(before):len(rest)-len(after)])
		rest = after
	}
	for i := range texts {
		texts[i] = strings.TrimLeftFunc(texts[i], unicode.IsSpace)
		if texts[i] != "" {
			break
		}
	}
	for i := len(texts) - 1; i >= 0; i-- {
		texts[i] = strings.TrimRightFunc(texts[i], unicode.IsSpace)
		if texts[i] != "" {
			break
		}
	}
	var b strings.Builder
	for i, t := range texts {
		b.WriteString(t)
		if i < len(marks) {
			b.WriteString(marks[i])
		}
	}
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
