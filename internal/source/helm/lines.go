package helm

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v4/pkg/chart/common"
)

// A Line says where one rendered line comes from.
type Line struct {
	// File is the template that wrote the line, as a path that a person can
	// open. It is a helper's file where the line's first character is literal
	// text, or an action, of the helper.
	File string
	Line int // 1-based, in File
	// ValuesKeys are the keys of the chart's values that decide the line, as
	// Helm's --set takes them from the top chart: "image.tag",
	// "redis.containers[0].name". Of a block made by toYaml each line has its
	// own key. Several mean that the line is computed from all of them, or
	// from the first that is set. A line of literal text has the key of the
	// condition that it is in, if the condition decides just that field.
	ValuesKeys []string
}

// ValuesKey is the one key that decides the line, "" when none or several do.
func (l Line) ValuesKey() string {
	if len(l.ValuesKeys) != 1 {
		return ""
	}
	return l.ValuesKeys[0]
}

// A tracer turns marked text into lines and where they come from.
type tracer struct {
	analyst *analyst
	values  common.Values  // as the templates were given them
	items   map[int]string // the item each loop is at, by site

	open []*opened
	text site // what wrote the text that follows, if it is literal
	hint finding

	lines []tracedLine
}

type tracedLine struct {
	text  string
	where site // body is nil until something is written in the line
	keys  []string
	guard []string // for a line of nothing but literal text
	acted bool     // an action wrote in the line
}

// opened is an action that is printing.
type opened struct {
	site   site
	found  finding
	callee *analysis // what it includes and is printing now
	yaml   bool      // it prints YAML: each line has its own key
	start  position  // where it began
}

// A position is a place in the lines written so far.
type position struct{ line, bytes int } // line is an index

// trace returns the lines of a marked text that the template of this body
// printed, and their texts without marks.
func (a *analyst) trace(marked string, root *analysis, values common.Values) []tracedLine {
	t := &tracer{analyst: a, values: values, items: map[int]string{}, lines: make([]tracedLine, 1)}
	for rest, kind := marked, byte(1); kind != 0; {
		var before string
		var number, item int
		before, kind, number, item, rest = nextMark(rest)
		t.write(before)
		if kind == 0 {
			break
		}
		t.mark(kind, number, item, root)
	}
	return t.lines
}

func (t *tracer) mark(kind byte, number, item int, root *analysis) {
	m := t.analyst.marker
	switch kind {
	case indexMark:
		if item < len(m.items) {
			t.items[number] = m.items[item]
		}
	case closeMark:
		if n := len(t.open); n > 0 {
			t.finish(t.open[n-1])
			t.open = t.open[:n-1]
		}
		t.text = site{}
	case textMark, openMark:
		if number >= len(m.sites) {
			return
		}
		s := m.sites[number]
		found := t.frame(s.body, root).findings[number]
		if kind == textMark {
			t.text, t.hint = s, found
			return
		}
		t.text = site{}
		isYAML := len(found.keys) > 0 && found.keys[0].yaml
		t.open = append(t.open, &opened{site: s, found: found, yaml: isYAML, start: t.at()})
	}
}

// frame returns the analysis of the body that is printing: the file's own, or
// one that the innermost action includes.
func (t *tracer) frame(b *body, root *analysis) *analysis {
	if len(t.open) == 0 {
		return root
	}
	o := t.open[len(t.open)-1]
	if o.callee == nil || o.callee.body != b {
		dot := o.found.dot
		if dot == nil {
			dot = none
		}
		o.callee = t.analyst.walk(b, dot)
	}
	return o.callee
}

func (t *tracer) at() position {
	last := len(t.lines) - 1
	return position{last, len(t.lines[last].text)}
}

// write adds text to the lines.
func (t *tracer) write(text string) {
	for i, part := range strings.Split(text, "\n") {
		if i > 0 {
			t.lines = append(t.lines, tracedLine{})
		}
		l := &t.lines[len(t.lines)-1]
		if strings.TrimSpace(part) != "" {
			t.credit(l)
		}
		l.text += part
	}
}

// credit notes who writes in a line.
func (t *tracer) credit(l *tracedLine) {
	isFirst := l.where.body == nil
	if t.text.body != nil {
		if isFirst {
			l.where = t.text
			l.guard = t.keys(t.hint.guard)
		}
		if t.hint.inline && !isFirst {
			l.keys = union(l.keys, t.keys(t.hint.guard))
		}
		return
	}
	if len(t.open) == 0 {
		return
	}
	o := t.open[len(t.open)-1]
	if isFirst {
		l.where = o.site
	}
	l.acted = true
	if !o.yaml || o.callee != nil {
		l.keys = union(l.keys, t.keys(o.found.keys))
	}
}

// finish ends an action: gives lines of YAML their keys, and the line its keys
// if the action printed nothing.
func (t *tracer) finish(o *opened) {
	if o.callee != nil {
		return
	}
	l := &t.lines[len(t.lines)-1]
	if o.yaml {
		t.spread(o)
	}
	if o.start == t.at() && strings.TrimSpace(l.text) != "" {
		l.keys = union(l.keys, t.keys(o.found.keys))
	}
}

func union(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}

// keys writes paths down; those that are not in the values are left out if
// others are.
func (t *tracer) keys(paths []keyPath) []string {
	var there, all []string
	for _, p := range paths {
		key, _, exists := written(p.path, t.values, t.items)
		if exists {
			there = union(there, []string{key})
		}
		all = union(all, []string{key})
	}
	if len(there) > 0 {
		return there
	}
	return all
}

// spread gives each line that an action printed as YAML the key of its field,
// where the values have it.
func (t *tracer) spread(o *opened) {
	run := t.lines[o.start.line:]
	texts := make([]string, len(run))
	for i, l := range run {
		texts[i] = l.text
	}
	// What stood in the line before is as wide as the indent of the lines below.
	texts[0] = strings.Repeat(" ", o.start.bytes) + texts[0][o.start.bytes:]
	at := yamlPaths(texts)
	for i := range run {
		if strings.TrimSpace(texts[i]) == "" {
			continue
		}
		var exact []keyPath
		for _, k := range o.found.keys {
			below := keyPath{path: slices.Concat(k.path, at[i])}
			if _, _, exists := written(below.path, t.values, t.items); exists && len(at[i]) > 0 {
				exact = append(exact, below)
			}
		}
		if exact == nil {
			exact = o.found.keys
		}
		run[i].keys = union(run[i].keys, t.keys(exact))
	}
}

// yamlPaths returns the path of the field on each line of a text, nil where it
// is not known.
func yamlPaths(lines []string) [][]string {
	paths := make([][]string, len(lines))
	var doc yaml.Node
	if yaml.Unmarshal([]byte(strings.Join(lines, "\n")), &doc) != nil || len(doc.Content) == 0 {
		return paths
	}
	var walk func(n *yaml.Node, path []string)
	walk = func(n *yaml.Node, path []string) {
		if i := n.Line - 1; i >= 0 && i < len(paths) {
			paths[i] = path
		}
		if len(path) > maxPath {
			return
		}
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				below := append(slices.Clone(path), n.Content[i].Value)
				if line := n.Content[i].Line - 1; line < len(paths) {
					paths[line] = below
				}
				walk(n.Content[i+1], below)
			}
		case yaml.SequenceNode:
			for i, item := range n.Content {
				walk(item, append(slices.Clone(path), strconv.Itoa(i)))
			}
		}
	}
	walk(doc.Content[0], nil)
	fillScalars(paths, lines)
	return paths
}

// fillScalars gives the lines of a block scalar the path of its field.
func fillScalars(paths [][]string, lines []string) {
	for i := 1; i < len(lines); i++ {
		if paths[i] == nil && strings.TrimSpace(lines[i]) != "" {
			paths[i] = paths[i-1]
		}
	}
}

// align gives every line of the clean text where it comes from. The traced
// lines are those of the same text, unless a template gives something else each
// time; then lines keep the place of the traced line with the same number, if
// there are as many, or the same distance from the start or the end.
func align(clean []string, traced []tracedLine, unknown site) []Line {
	out := make([]Line, len(clean))
	last := Line{File: unknown.body.place, Line: unknown.line}
	suffix := 0
	for suffix < len(clean) && suffix < len(traced) && clean[len(clean)-1-suffix] == traced[len(traced)-1-suffix].text {
		suffix++
	}
	for i := range clean {
		j := i
		if len(clean) != len(traced) && i >= len(clean)-suffix {
			j = i + len(traced) - len(clean)
		}
		if j < len(traced) {
			if l := traced[j]; l.where.body != nil {
				last = Line{File: l.where.body.place, Line: l.where.line, ValuesKeys: mostSpecific(l.keys)}
				if !l.acted && len(l.keys) == 0 {
					last.ValuesKeys = l.guard
				}
			} else {
				last.ValuesKeys = nil
			}
		}
		out[i] = last
	}
	return out
}

// mostSpecific leaves out keys that are above others.
func mostSpecific(keys []string) []string {
	var out []string
	for _, k := range keys {
		above := func(other string) bool {
			return strings.HasPrefix(other, k+".") || strings.HasPrefix(other, k+"[")
		}
		if !slices.ContainsFunc(keys, above) {
			out = append(out, k)
		}
	}
	return out
}
