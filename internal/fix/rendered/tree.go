package rendered

import (
	"fmt"
	"maps"
	"reflect"
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

// ParsePath reads a path as evidence.Path spells it: spec.containers[0].image.
func ParsePath(text string) (Path, error) {
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

// reached is how many steps of a path lead to something in a tree.
func reached(tree any, at Path) int {
	for n := len(at); n > 0; n-- {
		if _, ok := Get(tree, at[:n]); ok {
			return n
		}
	}
	return 0
}

// replaced returns a tree with another value at a path that is there, or without it.
// What is not on the path is shared with the old one.
func replaced(tree any, at Path, v any, remove bool) any {
	s := at[0]
	switch t := tree.(type) {
	case map[string]any:
		t = maps.Clone(t)
		switch {
		case len(at) > 1:
			t[s.Name] = replaced(t[s.Name], at[1:], v, remove)
		case remove:
			delete(t, s.Name)
		default:
			t[s.Name] = v
		}
		return t
	case []any:
		if s.Index >= len(t) {
			return t
		}
		t = slices.Clone(t)
		switch {
		case len(at) > 1:
			t[s.Index] = replaced(t[s.Index], at[1:], v, remove)
		case remove:
			t = slices.Delete(t, s.Index, s.Index+1)
		default:
			t[s.Index] = v
		}
		return t
	}
	return tree
}

// restored returns a tree in which the field at a path is as it is in another one:
// with its value or missing, and without the empty mappings and lists that only held it.
func restored(tree, from any, at Path) any {
	if v, ok := Get(from, at); ok {
		return replaced(tree, at, v, false)
	}
	tree = replaced(tree, at, nil, true)
	for up := at[:len(at)-1]; len(up) > 0; up = up[:len(up)-1] {
		v, _ := Get(tree, up)
		if !isEmpty(v) {
			break
		}
		old, ok := Get(from, up)
		if ok {
			if old == nil {
				tree = replaced(tree, up, nil, false)
			}
			break
		}
		tree = replaced(tree, up, nil, true)
	}
	return tree
}

func isEmpty(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return false
}

// indexOf finds an equal element in a list, from an index on; -1 for none.
func indexOf(list []any, v any, from int) int {
	for i := from; i < len(list); i++ {
		if reflect.DeepEqual(list[i], v) {
			return i
		}
	}
	return -1
}
