package rendered

import (
	"maps"
	"reflect"
	"slices"

	"github.com/gabion-k8s/gabion/internal/fix/fieldpath"
)

// reached is how many steps of a path lead to something in a tree.
func reached(tree any, at fieldpath.Path) int {
	for n := len(at); n > 0; n-- {
		if _, ok := fieldpath.Get(tree, at[:n]); ok {
			return n
		}
	}
	return 0
}

// replaced returns a tree with another value at a path that is there, or without it.
// What is not on the path is shared with the old one.
func replaced(tree any, at fieldpath.Path, v any, remove bool) any {
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
func restored(tree, from any, at fieldpath.Path) any {
	if v, ok := fieldpath.Get(from, at); ok {
		return replaced(tree, at, v, false)
	}
	tree = replaced(tree, at, nil, true)
	for up := at[:len(at)-1]; len(up) > 0; up = up[:len(up)-1] {
		v, _ := fieldpath.Get(tree, up)
		if !isEmpty(v) {
			break
		}
		old, ok := fieldpath.Get(from, up)
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
