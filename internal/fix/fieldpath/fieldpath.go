// Package fieldpath leads to fields of objects by their own names and the indices of
// lists, and is spelled as evidence.Path spells it: spec.containers[0].image. It
// reads trees of JSON values and does not know what they mean.
package fieldpath

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Step is a field of a mapping, or the element of a list when its Name is "".
type Step struct {
	Name  string
	Index int
}

// A Path leads to a field of an object.
type Path []Step

// Parse reads a path as evidence.Path spells it: spec.containers[0].image.
func Parse(text string) (Path, error) {
	var p Path
	for rest := text; rest != ""; {
		switch {
		case strings.HasPrefix(rest, `["`):
			quoted, err := strconv.QuotedPrefix(rest[1:])
			if err != nil || !strings.HasPrefix(rest[1+len(quoted):], "]") {
				return nil, fmt.Errorf("%q is no path", text)
			}
			name, _ := strconv.Unquote(quoted)
			p, rest = append(p, Step{Name: name}), rest[len(quoted)+2:]
		case rest[0] == '[':
			digits, after, closed := strings.Cut(rest[1:], "]")
			i, err := strconv.Atoi(digits)
			if err != nil || !closed || i < 0 {
				return nil, fmt.Errorf("%q is no path", text)
			}
			p, rest = append(p, Step{Index: i}), after
		default:
			rest = strings.TrimPrefix(rest, ".")
			n := strings.IndexAny(rest, ".[")
			if n < 0 {
				n = len(rest)
			}
			if n == 0 {
				return nil, fmt.Errorf("%q is no path", text)
			}
			p, rest = append(p, Step{Name: rest[:n]}), rest[n:]
		}
	}
	return p, nil
}

// String spells the path as evidence.Path does.
func (p Path) String() string {
	var b strings.Builder
	for _, s := range p {
		switch {
		case s.Name == "":
			fmt.Fprintf(&b, "[%d]", s.Index)
		case strings.ContainsAny(s.Name, `.[]"`):
			fmt.Fprintf(&b, "[%q]", s.Name)
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(s.Name)
		}
	}
	return b.String()
}

// Below returns the path of what is further down.
func (p Path) Below(steps ...Step) Path { return append(slices.Clip(p), steps...) }

// Get returns the value at a path of a tree of JSON values.
func Get(tree any, at Path) (any, bool) {
	for _, s := range at {
		switch t := tree.(type) {
		case map[string]any:
			v, ok := t[s.Name]
			if s.Name == "" || !ok {
				return nil, false
			}
			tree = v
		case []any:
			if s.Name != "" || s.Index >= len(t) {
				return nil, false
			}
			tree = t[s.Index]
		default:
			return nil, false
		}
	}
	return tree, true
}
