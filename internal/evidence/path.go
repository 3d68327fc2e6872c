package evidence

import (
	"slices"
	"strconv"
	"strings"
)

// A Path names one field of an object, twice: as the object spells it, with
// list indices ("spec.containers[0].image"), and as a key that survives
// reordering and rewriting, with the elements' own names ("containers[web].image").
// The text is for people and for finding the place; the key is for fingerprints.
//
// A Path is extended without copying what it extends: a check that reports many
// fields of one container makes one step for each.
type Path struct{ last *step }

type step struct {
	above *step
	name  string // field name, or the name of a list element
	index int    // list index, or one of the marks below
}

// Marks in place of a list index.
const (
	isField = -1
	isRoot  = -2 // no step at all: the key begins anew, with the name
)

// NewPath returns the path of nested fields: NewPath("spec", "template").
func NewPath(fields ...string) Path { return Path{}.Field(fields...) }

// Rooted returns p with another key: what is below it is fingerprinted as if p
// were the top of the object. The pod template of a Deployment and that of a
// CronJob are rooted so that the key of a pod field is the same in both.
func (p Path) Rooted(key string) Path { return Path{&step{p.last, key, isRoot}} }

// Field returns the path of a field below p, or of several nested ones.
func (p Path) Field(names ...string) Path {
	for _, n := range names {
		p.last = &step{p.last, n, isField}
	}
	return p
}

// Index returns the path of the i-th element of the list at p. The name is what
// tells the element from its neighbours wherever it stands: a container's name,
// a port, a subject; "" when there is nothing better than the index.
func (p Path) Index(i int, name string) Path { return Path{&step{p.last, name, i}} }

// Len is the number of steps.
func (p Path) Len() (n int) {
	for s := p.last; s != nil; s = s.above {
		n++
	}
	return n
}

// steps returns the steps from the top, in buffer when there is room.
func (p Path) steps(buffer []*step) []*step {
	buffer = buffer[:0]
	for s := p.last; s != nil; s = s.above {
		buffer = append(buffer, s)
	}
	slices.Reverse(buffer)
	return buffer
}

// usualDepth is room for the steps of nearly every path.
const usualDepth = 24

// usualLength is room for the text of most paths.
const usualLength = 80

// String spells the path as the object does: spec.containers[0].image. A field
// name that holds a dot, a bracket or a quote is written ["a.b"].
func (p Path) String() string { return string(p.Append(make([]byte, 0, usualLength))) }

// Append appends what String returns.
func (p Path) Append(text []byte) []byte {
	start := len(text)
	for _, s := range p.steps(make([]*step, 0, usualDepth)) {
		switch {
		case s.index == isRoot:
		case s.index >= 0:
			text = append(text, '[')
			text = strconv.AppendInt(text, int64(s.index), 10)
			text = append(text, ']')
		case strings.ContainsAny(s.name, `.[]"`):
			text = append(text, '[')
			text = strconv.AppendQuote(text, s.name)
			text = append(text, ']')
		default:
			if len(text) > start {
				text = append(text, '.')
			}
			text = append(text, s.name...)
		}
	}
	return text
}

// Key is the part of the path that identifies the field in a fingerprint.
func (p Path) Key() string { return string(p.AppendKey(make([]byte, 0, usualLength))) }

// AppendKey appends what Key returns.
func (p Path) AppendKey(text []byte) []byte {
	start := len(text)
	for _, s := range p.steps(make([]*step, 0, usualDepth)) {
		switch {
		case s.index == isRoot:
			text = append(text[:start], s.name...)
		case s.index >= 0:
			text = append(text, '[')
			if s.name != "" {
				text = append(text, s.name...)
			} else {
				text = strconv.AppendInt(text, int64(s.index), 10)
			}
			text = append(text, ']')
		default:
			if len(text) > start {
				text = append(text, '.')
			}
			text = append(text, s.name...)
		}
	}
	return text
}
