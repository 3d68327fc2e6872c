package helm

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"

	"helm.sh/helm/v4/pkg/chart/common"
)

// How values keys are found.
//
// A body is walked once for each dot it is called with, following what each
// expression refers to: the chart's context, a path in its values, a dict made
// on the way, or something computed from these. What comes out is, for each
// action, the paths in the values that its result can come from. Where a
// template chooses, all choices are kept; whichever is not in the values is
// dropped when the path is written down.

// A ref is what an expression refers to. The zero value refers to nothing that
// comes from values.
type ref struct {
	kind   refKind
	path   []string        // of inContext: that of the chart's values; of inValues: the path
	top    bool            // of inValues: the values of a chart as a whole
	fields map[string]*ref // of aDict
	alts   []*ref          // of oneOf and madeFrom
	text   string          // of aText
	yaml   bool            // printed as YAML, with a line for each field
}

type refKind int

const (
	nothing   refKind = iota
	inContext         // the context that Helm gives a template: .Values, .Release, …
	inValues          // a path in the values
	aDict             // a map made by dict
	aText             // a constant string
	oneOf             // any of several
	madeFrom          // computed from several; a field of it is too
)

// Bounds on the walk; what is beyond them has no keys.
const (
	maxAlts     = 12
	maxPath     = 40
	maxAnalyses = 5_000
	maxCalls    = 30
	maxNodes    = 300 // of a ref that holds refs
)

// loopPrefix begins a path element that stands for the item of a loop; its site
// follows.
const loopPrefix = "\x00"

var none = &ref{}

// anyOf returns a ref to any of refs, without those that refer to nothing and
// without doubles.
func anyOf(refs ...*ref) *ref {
	var alts []*ref
	for _, r := range refs {
		more := []*ref{r}
		if r != nil && r.kind == oneOf {
			more = r.alts
		}
		for _, m := range more {
			if m != nil && m.kind != nothing && len(alts) < maxAlts && !slices.ContainsFunc(alts, m.same) {
				alts = append(alts, m)
			}
		}
	}
	switch len(alts) {
	case 0:
		return none
	case 1:
		return alts[0]
	}
	return &ref{kind: oneOf, alts: alts}
}

func (r *ref) same(other *ref) bool {
	return r == other || r.kind == inValues && other.kind == inValues && r.yaml == other.yaml && slices.Equal(r.path, other.path)
}

// computedFrom returns a ref to something made from all of refs.
func computedFrom(refs ...*ref) *ref {
	var from []*ref
	for _, r := range refs {
		switch {
		case r == nil || r.kind == aText:
		case r.kind == madeFrom:
			from = append(from, r.alts...)
		default:
			from = append(from, r)
		}
	}
	r := anyOf(from...)
	switch r.kind {
	case nothing, madeFrom:
		return r
	case oneOf:
		return &ref{kind: madeFrom, alts: r.alts}
	}
	return &ref{kind: madeFrom, alts: []*ref{r}}
}

// each applies f to every choice.
func (r *ref) each(f func(*ref) *ref) *ref {
	if r.kind != oneOf {
		return f(r)
	}
	var alts []*ref
	for _, a := range r.alts {
		alts = append(alts, f(a))
	}
	return anyOf(alts...)
}

// field returns what the field name of r refers to.
func (r *ref) field(name string) *ref {
	return r.each(func(r *ref) *ref {
		switch {
		case r.kind == inContext && name == "Values":
			return &ref{kind: inValues, path: r.path, top: true}
		case r.kind == inValues && r.top && name == "global":
			return &ref{kind: inValues, path: []string{"global"}}
		case r.kind == inValues:
			return r.below(name)
		case r.kind == aDict:
			if f := r.fields[name]; f != nil {
				return f
			}
		case r.kind == madeFrom:
			return r
		}
		return none
	})
}

func (r *ref) below(name string) *ref {
	if len(r.path) >= maxPath {
		return r
	}
	return &ref{kind: inValues, path: append(slices.Clone(r.path), name)}
}

// item returns what the items of r refer to in the loop of this site.
func (r *ref) item(loop int) *ref {
	return r.each(func(r *ref) *ref {
		switch r.kind {
		case inValues:
			return r.below(loopPrefix + strconv.Itoa(loop))
		case aDict:
			return computedFrom(slices.Collect(maps.Values(r.fields))...)
		}
		return r
	})
}

// asYAML returns r printed as YAML.
func (r *ref) asYAML() *ref {
	c := *r
	c.yaml = true
	return &c
}

// paths lists the paths in the values that r comes from, the most decisive
// first.
func (r *ref) paths() []keyPath {
	var all []keyPath
	left := maxNodes
	var walk func(r *ref, yaml bool)
	walk = func(r *ref, yaml bool) {
		if left--; left < 0 {
			return
		}
		yaml = yaml || r.yaml
		if r.kind == inValues && len(r.path) > 0 {
			i := slices.IndexFunc(all, func(k keyPath) bool { return slices.Equal(k.path, r.path) })
			if i < 0 {
				all = append(all, keyPath{r.path, yaml})
			} else {
				all[i].yaml = all[i].yaml || yaml
			}
		}
		for _, a := range r.alts {
			walk(a, yaml)
		}
		for _, name := range sortedKeys(r.fields) {
			walk(r.fields[name], yaml)
		}
	}
	walk(r, false)
	return all
}

// id tells refs apart, for remembering.
func (r *ref) id() string {
	var b strings.Builder
	left := maxNodes
	var walk func(r *ref)
	walk = func(r *ref) {
		if left--; left < 0 {
			return
		}
		b.WriteString(strconv.Itoa(int(r.kind)) + strings.Join(r.path, "\x01") + "\x02" + r.text)
		for _, a := range r.alts {
			b.WriteString("(")
			walk(a)
		}
		for _, name := range sortedKeys(r.fields) {
			b.WriteString("{" + name)
			walk(r.fields[name])
		}
		b.WriteString(")")
	}
	walk(r)
	return b.String()
}

// A keyPath is a path in the values, with loopPrefix elements in it.
type keyPath struct {
	path []string
	yaml bool // printed as YAML: lines belong to keys below it
}

// A finding is what the walk of a body found out about one site.
type finding struct {
	keys  []keyPath // of an action: what its result comes from
	dot   *ref      // of an action that includes: the dot it includes with
	guard []keyPath // of a text: keys of the condition that decides whether it is there
	// inline says that the guard's whole block is within one line, so that it
	// decides the line wherever in it the text is.
	inline bool
}

// An analysis is what the walk of a body with one dot found, by site.
type analysis struct {
	body     *body
	findings map[int]finding
	prints   *ref // everything the body prints
}

// An analyst walks bodies.
type analyst struct {
	marker *marker
	known  map[string]*analysis
	calls  int
}

// walk returns what is found in b when it is called with dot.
func (a *analyst) walk(b *body, dot *ref) *analysis {
	id := b.place + "\x00" + b.name + "\x00" + dot.id()
	if known := a.known[id]; known != nil {
		return known
	}
	result := &analysis{body: b, findings: map[int]finding{}, prints: none}
	if a.calls >= maxCalls || len(a.known) >= maxAnalyses {
		return result
	}
	a.known[id] = result
	a.calls++
	defer func() { a.calls-- }()
	w := &walker{analyst: a, analysis: result, vars: []variable{{"$", dot}}}
	w.list(b.list, dot, nil)
	result.prints = computedFrom(w.printed...)
	return result
}

type variable struct {
	name string
	ref  *ref
}

// A walker walks one body.
type walker struct {
	*analyst
	*analysis
	vars    []variable
	printed []*ref
}

// condition is the innermost condition around a text.
type condition struct {
	from    *ref
	decides bool // fields of its block, rather than a whole object
	indent  int  // of the lines that it decides
	inline  bool // its block is within one line
}

func (w *walker) list(l *parse.ListNode, dot *ref, c *condition) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		w.node(n, dot, c)
	}
}

func (w *walker) node(n parse.Node, dot *ref, c *condition) {
	switch n := n.(type) {
	case *parse.TextNode:
		w.text(n, c)
	case *parse.ActionNode:
		r := w.pipe(n.Pipe, dot)
		if len(n.Pipe.Decl) == 0 {
			w.found(n, finding{keys: r.paths(), dot: w.calledWith(n.Pipe, dot)})
			w.printed = append(w.printed, r)
		}
	case *parse.TemplateNode:
		with := none
		if n.Pipe != nil {
			with = w.pipe(n.Pipe, dot)
		}
		r := w.prints(n.Name, with)
		w.found(n, finding{keys: r.paths(), dot: with})
		w.printed = append(w.printed, r)
	case *parse.IfNode:
		w.scoped(func() {
			cond := w.pipe(n.Pipe, dot)
			w.list(n.List, dot, newCondition(cond, n.List))
			w.list(n.ElseList, dot, newCondition(cond, n.ElseList))
		})
	case *parse.WithNode:
		w.scoped(func() {
			with := w.pipe(n.Pipe, dot)
			w.list(n.List, with, newCondition(with, n.List))
			w.list(n.ElseList, dot, newCondition(with, n.ElseList))
		})
	case *parse.RangeNode:
		w.loop(n, dot)
	}
}

func (w *walker) loop(n *parse.RangeNode, dot *ref) {
	w.scoped(func() {
		over := w.commands(n.Pipe, dot)
		item := over
		if id, ok := w.marker.nodes[n]; ok {
			item = over.item(id)
		}
		for _, v := range n.Pipe.Decl {
			if n.Pipe.IsAssign {
				w.assign(v.Ident[0], item)
			} else {
				w.vars = append(w.vars, variable{v.Ident[0], item})
			}
		}
		w.list(n.List, item, nil)
		w.list(n.ElseList, dot, nil)
	})
}

func (w *walker) found(n parse.Node, f finding) {
	if id, ok := w.marker.nodes[n]; ok {
		w.findings[id] = f
	}
}

func (w *walker) scoped(f func()) {
	n := len(w.vars)
	f()
	w.vars = w.vars[:n]
}

// newCondition returns the condition of a block.
func newCondition(cond *ref, l *parse.ListNode) *condition {
	c := &condition{from: cond, decides: true, indent: -1, inline: true}
	if l == nil {
		return c
	}
	for _, n := range l.Nodes {
		t, ok := n.(*parse.TextNode)
		if !ok {
			continue
		}
		for i, line := range strings.Split(string(t.Text), "\n") {
			c.inline = c.inline && i == 0
			field := strings.TrimLeft(line, " ")
			if strings.HasPrefix(field, "kind:") || strings.HasPrefix(field, "apiVersion:") {
				c.decides = false
			}
			if indent := len(line) - len(field); i > 0 && isField(field) && (c.indent < 0 || indent < c.indent) {
				c.indent = indent
			}
		}
	}
	return c
}

// isField says whether a line of a template, without its indent, is a field of
// a mapping.
func isField(line string) bool {
	return strings.Contains(line, ":") && !strings.HasPrefix(line, "-") && !strings.HasPrefix(line, "#")
}

func (w *walker) text(n *parse.TextNode, c *condition) {
	if c == nil {
		return
	}
	if len(strings.TrimSpace(string(n.Text))) > 0 {
		w.printed = append(w.printed, c.from)
	}
	for i, l := range w.marker.texts[n] {
		field := strings.TrimLeft(l.text, " ")
		decided := c.inline || i > 0 && isField(field) && len(l.text)-len(field) == c.indent
		if c.decides && decided {
			w.findings[l.site] = finding{guard: c.from.paths(), inline: c.inline}
		}
	}
}

func (w *walker) lookup(name string) *ref {
	for _, v := range slices.Backward(w.vars) {
		if v.name == name {
			return v.ref
		}
	}
	return none
}

// assign adds a choice to a variable: an assignment may be in a branch.
func (w *walker) assign(name string, r *ref) {
	for i := len(w.vars) - 1; i >= 0; i-- {
		if w.vars[i].name == name {
			w.vars[i].ref = anyOf(r, w.vars[i].ref)
			return
		}
	}
}

func (w *walker) pipe(p *parse.PipeNode, dot *ref) *ref {
	r := w.commands(p, dot)
	for _, v := range p.Decl {
		if p.IsAssign {
			w.assign(v.Ident[0], r)
		} else {
			w.vars = append(w.vars, variable{v.Ident[0], r})
		}
	}
	return r
}

func (w *walker) commands(p *parse.PipeNode, dot *ref) *ref {
	var r *ref
	for _, c := range p.Cmds {
		r = w.command(c, dot, r)
	}
	return r
}

// command returns what a command refers to; piped is its last argument, or nil.
func (w *walker) command(c *parse.CommandNode, dot, piped *ref) *ref {
	args := make([]*ref, 0, len(c.Args))
	for _, arg := range c.Args[1:] {
		args = append(args, w.expr(arg, dot))
	}
	if piped != nil {
		args = append(args, piped)
	}
	if name := funcName(c); name != "" {
		return w.call(name, c, args)
	}
	first := w.expr(c.Args[0], dot)
	if len(args) == 0 {
		return first
	}
	return computedFrom(append(args, first)...)
}

func (w *walker) expr(n parse.Node, dot *ref) *ref {
	switch n := n.(type) {
	case *parse.DotNode:
		return dot
	case *parse.FieldNode:
		return fields(dot, n.Ident)
	case *parse.VariableNode:
		return fields(w.lookup(n.Ident[0]), n.Ident[1:])
	case *parse.ChainNode:
		return fields(w.expr(n.Node, dot), n.Field)
	case *parse.PipeNode:
		return w.pipe(n, dot)
	case *parse.StringNode:
		return &ref{kind: aText, text: n.Text}
	}
	return none
}

func fields(r *ref, names []string) *ref {
	for _, name := range names {
		r = r.field(name)
	}
	return r
}

// call returns what the result of a function refers to.
func (w *walker) call(name string, c *parse.CommandNode, args []*ref) *ref {
	arg := func(i int) *ref {
		if i < 0 || i >= len(args) {
			return none
		}
		return args[i]
	}
	last := arg(len(args) - 1)
	switch name {
	case "include":
		return w.prints(arg(0).text, arg(1))
	case "toYaml", "mustToYaml", "toYamlPretty":
		return last.asYAML()
	case "tpl", "omit", "mustOmit", "pick", "set", "unset":
		if name == "set" {
			setField(arg(0), arg(1).text, last)
		}
		return arg(0)
	case "required", "deepCopy", "mustDeepCopy", "fromYaml", "fromYamlArray", "fromJson", "fromJsonArray",
		"mustFromJson", "toString", "compact", "uniq", "sortAlpha", "reverse", "rest", "initial", "values",
		"nindent", "indent", "trim":
		return last
	case "default":
		return anyOf(last, arg(0))
	case "ternary":
		return anyOf(arg(0), arg(1), computedFrom(args[min(2, len(args)):]...))
	case "coalesce", "or", "and", "merge", "mustMerge", "list", "tuple", "concat":
		return anyOf(args...)
	case "mergeOverwrite", "mustMergeOverwrite":
		slices.Reverse(args)
		return anyOf(args...)
	case "dict":
		d := &ref{kind: aDict, fields: map[string]*ref{}}
		for i := 0; i+1 < len(args); i += 2 {
			d.fields[args[i].text] = args[i+1]
		}
		return d
	case "get":
		return at(arg(0), arg(1))
	case "index":
		r := arg(0)
		for i := 1; i < len(args); i++ {
			step := args[i]
			if n, ok := numberAt(c, i+1); ok {
				step = &ref{kind: aText, text: n}
			}
			r = at(r, step)
		}
		return r
	case "first", "mustFirst":
		return at(last, &ref{kind: aText, text: "0"})
	case "dig":
		r := last
		for i := 0; i < len(args)-2; i++ {
			r = at(r, args[i])
		}
		return anyOf(r, arg(len(args)-2))
	}
	return computedFrom(args...)
}

func numberAt(c *parse.CommandNode, i int) (string, bool) {
	if i >= len(c.Args) {
		return "", false
	}
	n, ok := c.Args[i].(*parse.NumberNode)
	if !ok {
		return "", false
	}
	return n.Text, true
}

// at returns what r[key] refers to: exactly when the key is a constant.
func at(r, key *ref) *ref {
	if key.kind == aText {
		return r.field(key.text)
	}
	return computedFrom(r, key)
}

func setField(d *ref, name string, value *ref) {
	if d.kind == aDict && value != d {
		d.fields[name] = value
	}
}

// prints returns what the text refers to that a named template prints.
func (w *walker) prints(name string, dot *ref) *ref {
	b := w.marker.bodies[name]
	if b == nil {
		return none
	}
	return w.analyst.walk(b, dot).prints
}

// calledWith returns the dot of the include or tpl that a pipeline prints.
func (w *walker) calledWith(p *parse.PipeNode, dot *ref) *ref {
	var piped *ref
	for _, c := range p.Cmds {
		if name := funcName(c); name == "include" || name == "tpl" {
			if len(c.Args) > 2 {
				return w.expr(c.Args[2], dot)
			}
			if piped != nil {
				return piped
			}
		}
		piped = w.command(c, dot, piped)
	}
	return none
}

// written writes a path as Helm's --set has it. Items says which item each loop
// is at.
func written(path []string, values common.Values, items map[int]string) (key string, value any, exists bool) {
	var b strings.Builder
	value, exists = map[string]any(values), true
	for _, name := range path {
		if loop, ok := strings.CutPrefix(name, loopPrefix); ok {
			id, _ := strconv.Atoi(loop)
			if name, ok = items[id]; !ok {
				name = ""
			}
		}
		var isList bool
		value, isList, exists = step(value, name, exists)
		switch {
		case isList:
			b.WriteString("[" + name + "]")
		case b.Len() > 0:
			b.WriteString("." + escaped(name))
		default:
			b.WriteString(escaped(name))
		}
	}
	return b.String(), value, exists
}

// step goes one element down a tree of values.
func step(value any, name string, exists bool) (any, bool, bool) {
	switch v := value.(type) {
	case common.Values:
		item, ok := v[name]
		return item, false, exists && ok
	case map[string]any:
		item, ok := v[name]
		return item, false, exists && ok
	case []any:
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 || i >= len(v) {
			return nil, true, false
		}
		return v[i], true, exists
	}
	return nil, false, false
}

func escaped(name string) string { return strings.ReplaceAll(name, ".", `\.`) }
