package chart

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/fix/fieldpath"
	"github.com/gabion-k8s/gabion/internal/fix/rendered"
)

// How it is found out which values decide a field that is not there.
//
// A mark, a field with a name that nothing else has, is put into each mapping of the
// values, and into what is null or empty and might be one; then the chart is rendered.
// Where a mark comes out, there the fields of that mapping come out. Lists are marked
// by an element. A chart that cannot be rendered with all marks at once is rendered
// with halves of them, and so on.

// A probed is a place at which the content of a value is rendered.
type probed struct {
	object string
	at     fieldpath.Path // of the mapping or the list in the object
	key    fieldpath.Path // in the values
	// size is the length of the list in the values, -1 of a mapping.
	size int
}

const mark = "gabionmark"

// Bounds on the search.
const (
	maxMarks  = 3000 // values that are marked
	maxProbes = 40   // renderings
)

// probedKeys are the keys that decide a field, the nearest first.
func (m *Maker) probedKeys(want rendered.Want) []fieldpath.Path {
	if !m.probed {
		m.probed = true
		m.probe()
	}
	type found struct {
		key  fieldpath.Path
		deep int
	}
	var list []found
	for _, p := range m.probes {
		n := len(p.at)
		if p.object != want.Object || n >= len(want.Path) || !slices.Equal(p.at, want.Path[:n]) {
			continue
		}
		rest := want.Path[n:]
		switch isElement := rest[0].Name == ""; {
		case p.size < 0 && !isElement:
			list = append(list, found{p.key.Below(rest...), n})
		case p.size >= 0 && isElement:
			rest = slices.Clone(rest)
			rest[0].Index = p.size
			list = append(list, found{p.key.Below(rest...), n})
		}
	}
	slices.SortStableFunc(list, func(a, b found) int { return b.deep - a.deep })
	keys := make([]fieldpath.Path, len(list))
	for i, f := range list {
		keys[i] = f.key
	}
	return keys
}

// probe renders the chart with marks.
func (m *Maker) probe() {
	values, err := m.chart.Values(m.options)
	if err != nil {
		return
	}
	base, _, err := m.render(nil, nil)
	if err != nil {
		return
	}
	near, far, lists := m.candidates(values)
	p := &prober{Maker: m, values: values, base: base, left: maxProbes}
	p.run(near)
	if len(far) <= maxMarks {
		p.run(far)
	}
	p.run(lists)
	m.probes = p.found
}

// A candidate is a value that may be marked.
type candidate struct {
	key  fieldpath.Path
	size int // of a list, -1 for mappings
}

// candidates are the values that may be marked: mappings named like a field that is
// wanted, other mappings, and lists if elements are wanted.
func (m *Maker) candidates(values map[string]any) (near, far, lists []candidate) {
	names, elements := m.wantedNames()
	var walk func(v any, at fieldpath.Path)
	walk = func(v any, at fieldpath.Path) {
		c := candidate{slices.Clone(at), -1}
		switch v := v.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				walk(v[name], at.Below(fieldpath.Step{Name: name}))
			}
		case []any:
			for i, item := range v {
				walk(item, at.Below(fieldpath.Step{Index: i}))
			}
			if elements {
				lists = append(lists, candidate{c.key, len(v)})
			}
			return
		case nil:
		case string:
			if v != "" {
				return
			}
		default:
			return
		}
		if len(at) == 0 {
			return
		}
		name := strings.ToLower(at[len(at)-1].Name)
		if slices.ContainsFunc(names, func(n string) bool { return strings.Contains(name, n) }) {
			near = append(near, c)
		} else {
			far = append(far, c)
		}
	}
	walk(values, nil)
	return near, far, lists
}

// wantedNames are the names of fields around those that are wanted, in small letters,
// and whether elements of lists are wanted.
func (m *Maker) wantedNames() (names []string, elements bool) {
	for _, w := range m.wants {
		for i, s := range w.Path {
			if name := strings.ToLower(s.Name); len(name) > len("spec") && i < len(w.Path)-1 && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		elements = elements || len(w.Path) > 0 && w.Path[len(w.Path)-1].Name == ""
	}
	return names, elements
}

type prober struct {
	*Maker
	values map[string]any
	base   *rendered.World
	left   int
	found  []probed
}

// run marks candidates, fewer at a time where the chart cannot be rendered.
func (p *prober) run(list []candidate) {
	if len(list) == 0 || p.left <= 0 {
		return
	}
	p.left--
	marked, _ := withMarks(p.values, nil, list).(map[string]any)
	world, _, err := p.render(p.withoutSchemas(), marked)
	if err != nil || failed(world) && !failed(p.base) {
		if len(list) > 1 {
			p.run(list[:len(list)/2])
			p.run(list[len(list)/2:])
		}
		return
	}
	for _, o := range world.Objects {
		base, ok := p.base.Find(o.ID)
		if ok {
			p.collect(o.ID, o.Tree, base.Tree, nil, list)
		}
	}
}

// failed tells whether there were templates that did not render.
func failed(w *rendered.World) bool { return strings.Contains(w.Rest, "template ") }

// withoutSchemas are the chart's schemas of values, gone: a mark is none of theirs.
func (p *prober) withoutSchemas() rendered.Files {
	files := rendered.Files{}
	for _, name := range p.chart.Schemas() {
		files[name] = nil
	}
	return files
}

// withMarks copies values with the marks of candidates in them.
func withMarks(v any, at fieldpath.Path, list []candidate) any {
	n := slices.IndexFunc(list, func(c candidate) bool { return slices.Equal(c.key, at) })
	name := mark + strconv.Itoa(n)
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v)+1)
		for k, child := range v {
			out[k] = withMarks(child, at.Below(fieldpath.Step{Name: k}), list)
		}
		if n >= 0 {
			out[name] = "x"
		}
		return out
	case []any:
		out := make([]any, 0, len(v)+1)
		for i, child := range v {
			out = append(out, withMarks(child, at.Below(fieldpath.Step{Index: i}), list))
		}
		if n >= 0 {
			out = append(out, map[string]any{name: "x"})
		}
		return out
	}
	if n >= 0 {
		return map[string]any{name: "x"}
	}
	return v
}

// collect finds marks in an object. Base is the same part of the object without marks:
// elements of lists are told by their names.
func (p *prober) collect(id string, tree, base any, at fieldpath.Path, list []candidate) {
	switch t := tree.(type) {
	case map[string]any:
		was, _ := base.(map[string]any)
		for name, v := range t {
			if c := marked(name, list); c != nil && c.size < 0 {
				p.found = append(p.found, probed{id, slices.Clone(at), c.key, -1})
				continue
			}
			p.collect(id, v, was[name], at.Below(fieldpath.Step{Name: name}), list)
		}
	case []any:
		was, _ := base.([]any)
		for i, v := range t {
			fields, _ := v.(map[string]any)
			for name := range fields {
				if c := marked(name, list); c != nil && c.size >= 0 && len(fields) == 1 {
					p.found = append(p.found, probed{id, slices.Clone(at), c.key, c.size})
				}
			}
			j := sameElement(was, v, i)
			if j >= 0 {
				p.collect(id, v, was[j], at.Below(fieldpath.Step{Index: j}), list)
			}
		}
	}
}

// sameElement is the index that an element of a list has in the list without marks.
func sameElement(was []any, v any, i int) int {
	name := nameOf(v)
	if name != nil {
		return slices.IndexFunc(was, func(w any) bool { return nameOf(w) == name })
	}
	if i < len(was) {
		return i
	}
	return -1
}

func nameOf(v any) any {
	fields, _ := v.(map[string]any)
	name, _ := fields["name"].(string)
	if name == "" {
		return nil
	}
	return name
}

func marked(name string, list []candidate) *candidate {
	digits, ok := strings.CutPrefix(name, mark)
	if !ok {
		return nil
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || n >= len(list) || fmt.Sprint(n) != digits {
		return nil
	}
	return &list[n]
}
