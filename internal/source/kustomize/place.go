package kustomize

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/resid"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// Place moves every node of an outline of o.Data to the place where a person
// would edit it. That is, of these, the first that applies: where the object
// was written, if the same value stands there; the last patch with that value;
// the field of a kustomization file that made it; the same field with another
// value, where the object was written or in a patch; the place of its parent.
func (o *Object) Place(outline *evidence.Outline) {
	docs, err := parse(o.Data)
	if err != nil || len(docs) != 1 {
		return
	}
	group, version := resid.ParseGroupVersion(scalar(docs[0], "apiVersion"))
	p := placer{o: o, outline: outline, gvk: resid.NewGvk(group, version, scalar(docs[0], "kind"))}
	var found []candidate
	top := evidence.Position{File: o.Origin, Line: 1, Column: 1}
	if o.node != nil {
		written := &text{file: o.Origin}
		found = append(found, candidate{layer: layer{text: written}, node: o.node, isOrigin: true})
		top = written.at(o.node)
	} else if len(o.made) > 0 {
		top = o.place(0, o.made[0].node)
	} else if key, _ := field(o.writers[0].node, "generators"); key != nil {
		top = inFile(o.Origin, key)
	}
	for _, l := range o.layers {
		c := candidate{layer: l, rest: l.pointer}
		if len(c.rest) == 0 {
			c.key, c.node = l.key, l.node
		}
		found = append(found, c)
	}
	p.place(docs[0], nil, evidence.Path{}, found, top)
}

// place is where a node of the i-th generator entry is written.
func (o *Object) place(i int, n *yaml.Node) evidence.Position {
	return inFile(o.madeBy[i].file, n)
}

func inFile(file string, n *yaml.Node) evidence.Position {
	return evidence.Position{File: file, Line: n.Line, Column: n.Column}
}

type placer struct {
	o       *Object
	outline *evidence.Outline
	gvk     resid.Gvk
}

// A candidate is what one layer holds at the node that is being placed.
type candidate struct {
	layer
	rest      []string // what is left of an operation's pointer; its value is not reached yet
	key, node *yaml.Node
	isOrigin  bool
}

func (c *candidate) place() evidence.Position { return c.position(c.key, c.node) }

// A step leads to a field or element of the result.
type step struct {
	name  string // of a field
	index int    // of an element, else -1
	node  *yaml.Node
}

func (p *placer) place(r *yaml.Node, steps []step, path evidence.Path, found []candidate, parent evidence.Position) {
	at := p.decide(r, steps, found, parent)
	if n, exact := p.outline.Find(path); exact {
		p.outline.Move(n, at)
	}
	switch r.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(r.Content); i += 2 {
			name, value := r.Content[i].Value, r.Content[i+1]
			below := append(steps[:len(steps):len(steps)], step{name: name, index: -1, node: value})
			p.place(value, below, path.Field(name), fieldsOf(found, name), at)
		}
	case yaml.SequenceNode:
		matches := elementsOf(whole(found, r), r.Content)
		for i, value := range r.Content {
			below := append(steps[:len(steps):len(steps)], step{index: i, node: value})
			p.place(value, below, path.Index(i, ""), matches[i], at)
		}
	}
}

// decide applies the order that Place promises.
func (p *placer) decide(r *yaml.Node, steps []step, found []candidate, parent evidence.Position) evidence.Position {
	var written *candidate // the field with whatever value
	for i := range found {
		c := &found[i]
		if c.node == nil || resolve(c.node) == nil {
			continue
		}
		if c.isOrigin && holds(c.node, r) {
			return c.place()
		}
		if written == nil || !written.isOrigin {
			written = c
		}
	}
	for i := len(found) - 1; i >= 0; i-- {
		if c := &found[i]; c.node != nil && holds(c.node, r) {
			return c.place()
		}
	}
	if at, ok := p.made(r, steps); ok {
		return at
	}
	if written != nil {
		return written.place()
	}
	return parent
}

// holds tells whether n is where r may come from: the same scalar, the same list,
// or a mapping too, whose fields are placed one by one.
func holds(n, r *yaml.Node) bool {
	if n = resolve(n); n == nil || n.Kind != r.Kind {
		return false
	}
	return r.Kind == yaml.MappingNode || equal(r, n)
}

// fieldsOf follows the candidates into a field.
func fieldsOf(found []candidate, name string) []candidate {
	var below []candidate
	for _, c := range found {
		if len(c.rest) > 0 {
			if c.rest[0] == name {
				below = append(below, c.follow())
			}
			continue
		}
		if key, value := field(c.node, name); value != nil {
			c.key, c.node = key, value
			below = append(below, c)
		}
	}
	return below
}

// follow takes one step along the pointer of an operation.
func (c candidate) follow() candidate {
	if c.rest = c.rest[1:]; len(c.rest) == 0 {
		c.key, c.node = c.layer.key, c.layer.node
	}
	return c
}

// whole leaves only the candidates that hold all of a list, if there are any: the
// elements of a list that a patch replaced do not come from the one before.
func whole(found []candidate, r *yaml.Node) []candidate {
	var same []candidate
	for _, c := range found {
		if len(c.rest) == 0 && holds(c.node, r) {
			same = append(same, c)
		}
	}
	if len(same) == 0 {
		return found
	}
	return same
}

// elementsOf follows the candidates into the elements of a list, by what the
// elements are rather than where they stand: patches and generators reorder.
func elementsOf(found []candidate, elements []*yaml.Node) [][]candidate {
	below := make([][]candidate, len(elements))
	inOrigin := make([]int, len(elements)) // the index it had before
	for i := range inOrigin {
		inOrigin[i] = -1
	}
	for _, c := range found {
		list := resolve(c.node)
		if len(c.rest) > 0 || list == nil || list.Kind != yaml.SequenceNode {
			continue
		}
		for i, j := range match(elements, list.Content) {
			if j < 0 {
				continue
			}
			e := c
			e.key, e.node = nil, list.Content[j]
			below[i] = append(below[i], e)
			if c.isOrigin {
				inOrigin[i] = j
			}
		}
	}
	for _, c := range found {
		if len(c.rest) == 0 {
			continue
		}
		for i, r := range elements {
			if c.reaches(i, inOrigin[i], r) {
				below[i] = append(below[i], c.follow())
			}
		}
	}
	return below
}

// reaches tells whether an operation with an index in its pointer can have been
// about an element. The index is the one of its day: the element's own now, or
// the one it was written with.
func (c *candidate) reaches(now, before int, r *yaml.Node) bool {
	if len(c.rest) == 1 && equal(r, c.layer.node) {
		return true
	}
	index, err := strconv.Atoi(c.rest[0])
	if err != nil || index != now && index != before {
		return false
	}
	return len(c.rest) > 1 || sameName(r, c.layer.node)
}

func sameName(r, n *yaml.Node) bool {
	return r.Kind == yaml.MappingNode && scalar(r, "name") != "" && scalar(r, "name") == scalar(n, "name")
}

// maxPairs bounds the comparisons that matching two lists may take.
const maxPairs = 1 << 18

// match finds for each element of a rendered list the element of a written list
// that it came from, or -1: an equal one, else one of the same name that has most
// in common, else, for lists of one length, the one in its place.
func match(rendered, written []*yaml.Node) []int {
	to := make([]int, len(rendered))
	taken := make([]bool, len(written))
	for i, r := range rendered {
		to[i] = -1
		if i < len(written) && equal(r, written[i]) {
			to[i], taken[i] = i, true
		}
	}
	if len(rendered)*len(written) <= maxPairs {
		bestFirst(rendered, written, to, taken)
	}
	for i, r := range rendered {
		if to[i] < 0 && len(rendered) == len(written) && !taken[i] && mayReplace(r, written[i]) {
			to[i], taken[i] = i, true
		}
	}
	return to
}

func bestFirst(rendered, written []*yaml.Node, to []int, taken []bool) {
	for _, least := range []int{equalElements, 1} {
		for i, r := range rendered {
			if to[i] >= 0 {
				continue
			}
			best, most := -1, least-1
			for j, w := range written {
				if !taken[j] {
					if s := likeness(r, w); s > most {
						best, most = j, s
					}
				}
			}
			if best >= 0 {
				to[i], taken[best] = best, true
			}
		}
	}
}

// equalElements is more than unequal ones can have in common.
const equalElements = 1 << 30

// likeness counts what two elements of the same name share; 0 when they are not
// the same thing.
func likeness(r, w *yaml.Node) int {
	if equal(r, w) {
		return equalElements
	}
	if !sameName(r, w) {
		return 0
	}
	n := 1
	for i := 0; i+1 < len(r.Content); i += 2 {
		if _, v := field(w, r.Content[i].Value); v != nil && equal(r.Content[i+1], v) {
			n++
		}
	}
	return n
}

// mayReplace tells whether an element can be another one after changes: neither
// has a name, or the one was made from the other, as a prefix makes it.
func mayReplace(r, w *yaml.Node) bool {
	if w = resolve(w); w == nil || w.Kind != r.Kind {
		return false
	}
	return strings.Contains(scalar(r, "name"), scalar(w, "name"))
}

// made finds the field of a kustomization file that made a value, in the last
// one that could have.
func (p *placer) made(r *yaml.Node, steps []step) (evidence.Position, bool) {
	for _, w := range slices.Backward(p.o.writers) {
		for _, find := range []func(*visit, *yaml.Node, []step) (*yaml.Node, bool){p.byReplicas, p.byImages, p.byPairs, p.byName} {
			if n, ok := find(w, r, steps); ok {
				return inFile(w.file, n), true
			}
		}
		if at, ok := p.byReplacement(w, steps); ok {
			return at, true
		}
	}
	for i := range slices.Backward(p.o.made) {
		if at, ok := p.byGenerator(i, r, steps); ok {
			return at, true
		}
	}
	return evidence.Position{}, false
}

// isAt tells whether the steps spell a path of fields.
func isAt(steps []step, names ...string) bool {
	return slices.EqualFunc(steps, names, func(s step, name string) bool { return s.index < 0 && s.name == name })
}

// last is the name of the field that the steps lead to, and of the one around it.
func last(steps []step) (name, around string) {
	if n := len(steps); n > 0 {
		name = steps[n-1].name
		if n > 1 {
			around = steps[n-2].name
		}
	}
	return name, around
}

// byName is for what namespace, namePrefix and nameSuffix make.
func (p *placer) byName(w *visit, r *yaml.Node, steps []step) (*yaml.Node, bool) {
	if r.Kind != yaml.ScalarNode {
		return nil, false
	}
	name, _ := last(steps)
	isName := isAt(steps, "metadata", "name")
	if _, n := field(w.node, "namespace"); n != nil && n.Value == r.Value && (name == "namespace" || isName && p.gvk.Kind == "Namespace") {
		return n, true
	}
	if !isName {
		return nil, false
	}
	if _, n := field(w.node, "namePrefix"); n != nil && n.Value != "" && strings.HasPrefix(r.Value, n.Value) {
		return n, true
	}
	_, n := field(w.node, "nameSuffix")
	return n, n != nil && n.Value != "" && strings.HasSuffix(trimHash(r.Value), n.Value)
}

// byPairs is for what labels, commonLabels and commonAnnotations make.
func (p *placer) byPairs(w *visit, r *yaml.Node, steps []step) (*yaml.Node, bool) {
	name, around := last(steps)
	var from []*yaml.Node
	switch around {
	case "annotations":
		_, n := field(w.node, "commonAnnotations")
		from = append(from, n)
	case "labels", "matchLabels", "selector":
		_, n := field(w.node, "commonLabels")
		from = append(from, n)
		for _, l := range items(w.node, "labels") {
			_, n := field(l, "pairs")
			from = append(from, n)
		}
	}
	for _, n := range from {
		if _, v := field(n, name); v != nil && holds(v, r) {
			return v, true
		}
	}
	return nil, false
}

// byReplicas is for what replicas makes.
func (p *placer) byReplicas(w *visit, r *yaml.Node, steps []step) (*yaml.Node, bool) {
	if name, _ := last(steps); name != "replicas" {
		return nil, false
	}
	for _, e := range items(w.node, "replicas") {
		if _, count := field(e, "count"); count != nil && holds(count, r) && slices.Contains(p.o.names, scalar(e, "name")) {
			return count, true
		}
	}
	return nil, false
}

// byImages is for what images makes. The tag or digest is what people change.
func (p *placer) byImages(w *visit, r *yaml.Node, steps []step) (*yaml.Node, bool) {
	if name, _ := last(steps); name != "image" || r.Kind != yaml.ScalarNode {
		return nil, false
	}
	entries := append(slices.Clone(items(w.node, "images")), items(w.node, "imageTags")...)
	for _, e := range slices.Backward(entries) {
		name := scalar(e, "newName")
		if name == "" {
			name = scalar(e, "name")
		}
		tag, ok := strings.CutPrefix(r.Value, name)
		if name == "" || !ok || tag != "" && tag[0] != ':' && tag[0] != '@' {
			continue
		}
		for _, f := range []string{"digest", "newTag", "tagSuffix", "newName"} {
			if _, v := field(e, f); v != nil && strings.Contains(r.Value, v.Value) {
				return v, true
			}
		}
	}
	return nil, false
}

func (p *placer) byReplacement(w *visit, steps []step) (evidence.Position, bool) {
	for _, rep := range w.replacements {
		if p.isFor(rep) && leads(rep.path, steps) {
			return rep.at(rep.node), true
		}
	}
	return evidence.Position{}, false
}

func (p *placer) isFor(rep replacement) bool {
	re, err := types.NewSelectorRegex(rep.target)
	return err == nil && re.MatchGvk(p.gvk) && slices.ContainsFunc(p.o.names, re.MatchName)
}

// leads tells whether a path as replacements write it leads where the steps lead:
// "containers.[name=web].env.0", "*" for any element.
func leads(path []string, steps []step) bool {
	return slices.EqualFunc(path, steps, func(want string, s step) bool {
		inner, bracketed := strings.CutPrefix(want, "[")
		inner = strings.TrimSuffix(inner, "]")
		name, value, isQuery := strings.Cut(inner, "=")
		switch {
		case s.index < 0 && bracketed:
			return s.name == inner
		case s.index < 0:
			return s.name == want
		case bracketed && isQuery:
			return scalar(s.node, name) == value
		}
		return want == "*" || want == strconv.Itoa(s.index)
	})
}

// byGenerator is for what an entry of configMapGenerator or secretGenerator makes.
func (p *placer) byGenerator(i int, r *yaml.Node, steps []step) (evidence.Position, bool) {
	g := p.o.made[i]
	name, around := last(steps)
	switch {
	case isAt(steps, "metadata", "name"):
		if _, n := field(g.node, "name"); n != nil {
			return p.o.place(i, n), true
		}
	case isAt(steps, "type"), isAt(steps, "metadata", "namespace"):
		if _, n := field(g.node, name); n != nil {
			return p.o.place(i, n), true
		}
	case len(steps) == 2 && (around == "data" || around == "binaryData"):
		return p.bySource(i, name)
	case isAt(steps, "immutable"), around == "labels", around == "annotations":
		_, options := field(g.node, "options")
		_, global := field(p.o.madeBy[i].node, "generatorOptions")
		for _, n := range []*yaml.Node{options, global} {
			if around == "labels" || around == "annotations" {
				_, n = field(n, around)
			}
			if _, v := field(n, name); v != nil && holds(v, r) {
				return p.o.place(i, v), true
			}
		}
	}
	return evidence.Position{}, false
}

// bySource finds where the value of a key of generated data stands: in a literal,
// in a line of an env file, or at the beginning of a file.
func (p *placer) bySource(i int, key string) (evidence.Position, bool) {
	g, by := p.o.made[i], p.o.madeBy[i]
	for _, n := range items(g.node, "literals") {
		if name, _, _ := strings.Cut(n.Value, "="); name == key {
			return p.o.place(i, n), true
		}
	}
	for _, f := range g.FileSources {
		name, path, named := strings.Cut(f, "=")
		if !named {
			name, path = filepath.Base(f), f
		}
		if name == key {
			return evidence.Position{File: filepath.Join(by.dir, path), Line: 1, Column: 1}, true
		}
	}
	for _, f := range g.EnvSources {
		file := filepath.Join(by.dir, f)
		text, err := by.view.read(file)
		if err != nil {
			continue
		}
		for line, s := range strings.Split(string(text), "\n") {
			s = strings.TrimPrefix(s, "\ufeff")
			if name, _, _ := strings.Cut(strings.TrimSpace(s), "="); name == key {
				return evidence.Position{File: file, Line: line + 1, Column: 1}, true
			}
		}
	}
	return evidence.Position{}, false
}
