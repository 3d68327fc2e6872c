package evidence

import (
	"strconv"
	"strings"
)

// A Path names one field of an object, twice: as the object spells it, with
// list indices ("spec.containers[0].image"), and as a key that survives
// reordering and rewriting, with the elements' own names ("containers[web].image").
// The text is for people and for finding the place; the key is for fingerprints.
type Path struct {
	steps []step
}

type step struct {
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

// Rooted returns p with an empty key: what is below it is fingerprinted as if p
// were the top of the object. The pod template of a Deployment and that of a
// CronJob are rooted so that the key of a pod field is the same in both.
func (p Path) Rooted(key string) Path {
	p.steps = append(p.steps[:len(p.steps):len(p.steps)], step{name: key, index: isRoot})
	return p
}

// Field returns the path of a field below p, or of several nested ones.
func (p Path) Field(names ...string) Path {
	s := p.steps[:len(p.steps):len(p.steps)]
	for _, n := range names {
		s = append(s, step{name: n, index: isField})
	}
	p.steps = s
	return p
}

// Index returns the path of the i-th element of the list at p. The name is what
// tells the element from its neighbours wherever it stands: a container's name,
// a port, a subject; "" when there is nothing better than the index.
func (p Path) Index(i int, name string) Path {
	p.steps = append(p.steps[:len(p.steps):len(p.steps)], step{name: name, index: i})
	return p
}

// Len is the number of steps.
func (p Path) Len() int { return len(p.steps) }

// String spells the path as the object does: spec.containers[0].image. A field
// name that holds a dot, a bracket or a quote is written ["a.b"].
func (p Path) String() string {
	var b strings.Builder
	for _, s := range p.steps {
		switch {
		case s.index == isRoot:
		case s.index >= 0:
			b.WriteByte('[')
			b.WriteString(strconv.Itoa(s.index))
			b.WriteByte(']')
		case strings.ContainsAny(s.name, `.[]"`):
			b.WriteByte('[')
			b.WriteString(strconv.Quote(s.name))
			b.WriteByte(']')
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(s.name)
		}
	}
	return b.String()
}

// Key is the part of the path that identifies the field in a fingerprint.
func (p Path) Key() string {
	var b strings.Builder
	for _, s := range p.steps {
		switch {
		case s.index == isRoot:
			b.Reset()
			b.WriteString(s.name)
		case s.index >= 0:
			b.WriteByte('[')
			if s.name != "" {
				b.WriteString(s.name)
			} else {
				b.WriteString(strconv.Itoa(s.index))
			}
			b.WriteByte(']')
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(s.name)
		}
	}
	return b.String()
}
