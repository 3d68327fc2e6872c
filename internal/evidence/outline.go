package evidence

import (
	"iter"
	"slices"
)

// An Outline says where each field of one document is written. It is the node
// tree of the document without the values: small enough to be kept for every
// object of a run, so that a position is looked up when a finding is printed
// and no text is parsed twice.
//
// Documents made by a template or an overlay have outlines too: their nodes
// carry the place in the file that a person would edit.
type Outline struct {
	// Files are the files that nodes stand in; nodes refer to them by index.
	Files []string
	// ValuesKeys are the keys of a chart's values that decide nodes
	// ("image.tag"); index 0 is "" and means none.
	ValuesKeys []string

	names []string // the field names that nodes refer to
	nodes []outlineNode
}

// An outlineNode holds no pointer, so that the collector need not look at the
// millions of them that a big run keeps.
type outlineNode struct {
	key        Key    // the field's name in its mapping; 0 in a list and at the top
	line       uint32 // 1-based
	column     uint32 // 1-based, in characters
	size       uint32 // this node and everything below it
	file       uint16
	valuesKey  uint16
	isSequence bool
	// valuesBlock is set when what is below the node is a block of values, and
	// the values key is the block's.
	valuesBlock bool
}

// A Position is a place in a file: 1-based line and column (in characters),
// zero when unknown.
type Position struct {
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
	Column    int    `json:"column,omitempty"`
	ValuesKey string `json:"valuesKey,omitempty"` // the key of a chart's values that decides the field, if one does
}

// A Key is the number that an Outliner gave to a field name; 0 is no name.
type Key uint32

// An Outliner makes outlines, one after the other, of documents whose field
// names are kept once for all of them. The zero value is ready. An Outliner is
// not for several goroutines at once; the outlines it made are.
type Outliner struct {
	numbers map[string]Key
	names   []string
	nodes   []outlineNode
}

// maxOutlinerNames bounds the names that an Outliner keeps for ever: those of
// ConfigMaps are without end, those of Kubernetes' fields are a few thousand.
const maxOutlinerNames = 1 << 14

// Key returns the number of a field name, which holds until the next call of
// Outline.
func (b *Outliner) Key(name string) Key {
	if k, known := b.numbers[name]; known {
		return k
	}
	if b.numbers == nil {
		b.numbers, b.names = map[string]Key{}, []string{""}
	}
	k := Key(len(b.names))
	b.names = append(b.names, name)
	b.numbers[name] = k
	return k
}

// Name returns the field name of a number.
func (b *Outliner) Name(k Key) string { return b.names[k] }

// Open adds a node below the one that is open and returns its number for Close.
// Nodes are added in document order, parents first. The key is 0 for list
// elements and for the document itself.
func (b *Outliner) Open(key Key, line, column int, sequence bool) int {
	b.nodes = append(b.nodes, outlineNode{key: key, line: uint32(line), column: uint32(column), isSequence: sequence})
	return len(b.nodes) - 1
}

// Close ends the node n: all nodes added since Open are below it.
func (b *Outliner) Close(n int) { b.nodes[n].size = uint32(len(b.nodes) - n) }

// Len is the number of nodes added so far.
func (b *Outliner) Len() int { return len(b.nodes) }

// Cut forgets the node n and all that were added after it.
func (b *Outliner) Cut(n int) { b.nodes = b.nodes[:n] }

// Outline returns the outline of the nodes added so far, as a document in file,
// and begins an empty one.
func (b *Outliner) Outline(file string) *Outline {
	o := &Outline{Files: []string{file}, names: b.names, nodes: slices.Clone(b.nodes)}
	b.nodes = b.nodes[:0]
	if len(b.names) > maxOutlinerNames {
		b.numbers, b.names = nil, nil
	}
	return o
}

// Len is the number of nodes.
func (o *Outline) Len() int { return len(o.nodes) }

// Sub returns the outline of the part of the document at node n, sharing its
// memory: an item of a List keeps the positions it has in the List.
func (o *Outline) Sub(n int) *Outline {
	return &Outline{
		Files:      slices.Clip(o.Files), // what Move adds to one part is no business of the others
		ValuesKeys: slices.Clip(o.ValuesKeys),
		names:      o.names,
		nodes:      o.nodes[n : n+int(o.nodes[n].size)],
	}
}

// Children yields the numbers of the fields or elements of node n, in order.
func (o *Outline) Children(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		end := n + int(o.nodes[n].size)
		for c := n + 1; c < end; c += int(o.nodes[c].size) {
			if !yield(c) {
				return
			}
		}
	}
}

// Find returns the number of the node at a path, or, when the path runs out,
// the number of the deepest ancestor that is written down. exact tells which.
func (o *Outline) Find(p Path) (n int, exact bool) {
	steps := p.steps(make([]*step, 0, usualDepth))
	n, found := o.find(steps)
	return n, n >= 0 && found == len(steps)
}

// find follows steps as far as they are written down, and tells how far.
func (o *Outline) find(steps []*step) (n, found int) {
	if o == nil || len(o.nodes) == 0 {
		return -1, 0
	}
	for i, s := range steps {
		if s.index == isRoot {
			continue
		}
		child := o.child(n, s)
		if child < 0 {
			return n, i
		}
		n = child
	}
	return n, len(steps)
}

// Place returns where the field at p is written, or, when it is not, where the
// deepest ancestor that is written down stands. The values key of a field that
// is missing from a block of values is the one that would set it.
func (o *Outline) Place(p Path) Position {
	steps := p.steps(make([]*step, 0, usualDepth))
	n, found := o.find(steps)
	pos := o.At(n)
	if n >= 0 && found < len(steps) && o.nodes[n].valuesBlock {
		pos.ValuesKey += "." + relative(steps[found:]).String()
	}
	return pos
}

// Name returns the name of node n in its mapping, "" in a list and at the top.
func (o *Outline) Name(n int) string { return o.names[o.nodes[n].key] }

// SetValuesBlock says that everything below node n comes from the values at key:
// a template prints them as they are.
func (o *Outline) SetValuesBlock(n int, key string) {
	at := o.At(n)
	at.ValuesKey = key
	o.Move(n, at)
	o.nodes[n].valuesBlock = true
}

func (o *Outline) child(n int, s *step) int {
	if s.index >= 0 != o.nodes[n].isSequence {
		return -1
	}
	end, i := n+int(o.nodes[n].size), 0
	for c := n + 1; c < end; c += int(o.nodes[c].size) {
		if s.index >= 0 && i == s.index || s.index < 0 && o.names[o.nodes[c].key] == s.name {
			return c
		}
		i++
	}
	return -1
}

// At returns where node n is written.
func (o *Outline) At(n int) Position {
	if o == nil || n < 0 || n >= len(o.nodes) {
		return Position{}
	}
	d := o.nodes[n]
	p := Position{File: o.Files[d.file], Line: int(d.line), Column: int(d.column)}
	if int(d.valuesKey) < len(o.ValuesKeys) {
		p.ValuesKey = o.ValuesKeys[d.valuesKey]
	}
	return p
}

// Walk calls visit for every node, parents first, with its path. The names of
// list elements are not known here: the paths carry indices only.
func (o *Outline) Walk(visit func(n int, p Path)) {
	if len(o.nodes) > 0 {
		o.walk(0, Path{}, visit)
	}
}

func (o *Outline) walk(n int, p Path, visit func(int, Path)) {
	visit(n, p)
	i := 0
	for c := range o.Children(n) {
		if o.nodes[n].isSequence {
			o.walk(c, p.Index(i, ""), visit)
		} else {
			o.walk(c, p.Field(o.names[o.nodes[c].key]), visit)
		}
		i++
	}
}

// Move says that node n is really written at p: in a template, a patch, a base.
func (o *Outline) Move(n int, p Position) {
	d := &o.nodes[n]
	d.line, d.column = uint32(p.Line), uint32(p.Column)
	d.file = index16(&o.Files, p.File)
	if p.ValuesKey != "" && len(o.ValuesKeys) == 0 {
		o.ValuesKeys = []string{""}
	}
	if p.ValuesKey != "" {
		d.valuesKey = index16(&o.ValuesKeys, p.ValuesKey)
	}
}

func index16(list *[]string, s string) uint16 {
	for i, have := range *list {
		if have == s {
			return uint16(i)
		}
	}
	if len(*list) >= 1<<16-1 {
		return 0
	}
	*list = append(*list, s)
	return uint16(len(*list) - 1)
}
