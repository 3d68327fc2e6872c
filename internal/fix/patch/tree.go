// Package patch says what it takes to bring an object of a live cluster from one state
// to another: which fields differ, the server-side-apply configuration that sets those
// and no others, and the way back. It knows which lists of the Kubernetes API are told
// apart by keys, and what the API server itself keeps in an object. It reads and writes
// nothing, and does not know which fields should be changed.
package patch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// An Object is one of the API: maps, lists, strings, booleans, and numbers as they are
// written (json.Number). It holds no null.
type Object map[string]any

// Decode reads an object. A field that is null is one that is not there.
func Decode(text []byte) (Object, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var o Object
	if err := d.Decode(&o); err != nil {
		return nil, fmt.Errorf("not an object: %w", err)
	}
	if o == nil {
		return nil, errors.New("not an object")
	}
	return Object(withoutNulls(map[string]any(o)).(map[string]any)), nil
}

func withoutNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		maps.DeleteFunc(v, func(_ string, below any) bool { return below == nil })
		for _, below := range v {
			withoutNulls(below)
		}
	case []any:
		for _, below := range v {
			withoutNulls(below)
		}
	}
	return v
}

// Text is a field of the object that is a text, "" when there is none: "metadata", "name".
func (o Object) Text(fields ...string) string {
	text, _ := get(map[string]any(o), fieldPath(fields...)).(string)
	return text
}

// String names the object as people do: Deployment shop/web.
func (o Object) String() string {
	name := o.Text("metadata", "name")
	if ns := o.Text("metadata", "namespace"); ns != "" {
		name = ns + "/" + name
	}
	return o.Text("kind") + " " + name
}

// A Path is where a field stands. Unlike evidence.Path it names the elements of lists by
// their keys, so that it means the same after others were added.
type Path []Step

// A Step is a field of a mapping, or, with Keys, the element of a list that has them.
type Step struct {
	Field string
	Keys  map[string]any
}

func fieldPath(fields ...string) (p Path) {
	for _, f := range fields {
		p = append(p, Step{Field: f})
	}
	return p
}

// MarshalJSON writes a step as its field, or as the mapping of its keys.
func (s Step) MarshalJSON() ([]byte, error) {
	if s.Keys != nil {
		return json.Marshal(s.Keys)
	}
	return json.Marshal(s.Field)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Step) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &s.Field) == nil {
		return nil
	}
	keys, err := Decode(text)
	if err != nil || len(keys) == 0 {
		return fmt.Errorf("%s is no step of a path", text)
	}
	s.Keys = keys
	return nil
}

// String spells the path as the API server does in its errors:
// .spec.containers[name="web"].image.
func (p Path) String() string {
	var b strings.Builder
	for _, s := range p {
		if s.Keys == nil {
			b.WriteString("." + s.Field)
			continue
		}
		var parts []string
		for _, k := range sorted(s.Keys) {
			text, err := json.Marshal(s.Keys[k])
			if err != nil {
				text = []byte("?")
			}
			parts = append(parts, k+"="+string(text))
		}
		b.WriteString("[" + strings.Join(parts, ",") + "]")
	}
	return b.String()
}

// Within reports whether p is q or below it.
func (p Path) Within(q Path) bool {
	return len(p) >= len(q) && (len(q) == 0 || reflect.DeepEqual(p[:len(q)], q))
}

func (p Path) with(s Step) Path { return append(p[:len(p):len(p)], s) }

// get is what stands at a path, nil for nothing.
func get(node any, at Path) any {
	for _, s := range at {
		switch n := node.(type) {
		case map[string]any:
			node = n[s.Field]
			if s.Keys != nil {
				return nil
			}
		case []any:
			i := find(n, s.Keys)
			if i < 0 {
				return nil
			}
			node = n[i]
		default:
			return nil
		}
	}
	return node
}

// find is the index of the element with keys, -1 when there is none.
func find(list []any, keys map[string]any) int {
	if len(keys) == 0 {
		return -1
	}
	for i, e := range list {
		m, _ := e.(map[string]any)
		same := m != nil
		for k, want := range keys {
			same = same && reflect.DeepEqual(m[k], want)
		}
		if same {
			return i
		}
	}
	return -1
}

// put returns the node with a value at a path. Parents that are missing are made, and
// elements of lists are appended. It does not change the node that it was given.
func put(node any, at Path, value any) (any, error) {
	if len(at) == 0 {
		return value, nil
	}
	s := at[0]
	if s.Keys == nil {
		m, ok := node.(map[string]any)
		if node != nil && !ok {
			return nil, fmt.Errorf("%s is not in a mapping", s.Field)
		}
		below, err := put(m[s.Field], at[1:], value)
		if err != nil {
			return nil, err
		}
		out := maps.Clone(m)
		if out == nil {
			out = map[string]any{}
		}
		out[s.Field] = below
		return out, nil
	}
	list, ok := node.([]any)
	if node != nil && !ok {
		return nil, fmt.Errorf("%s is not in a list", Path{s})
	}
	i := find(list, s.Keys)
	var had any = maps.Clone(s.Keys)
	if i >= 0 {
		had = list[i]
	}
	below, err := put(had, at[1:], value)
	if err != nil {
		return nil, err
	}
	out := append([]any{}, list...)
	if i < 0 {
		return append(out, below), nil
	}
	out[i] = below
	return out, nil
}

// drop returns the node without what stands at a path, and without those of the last
// `made` steps of it that are empty then.
func drop(node any, at Path, made int) any {
	s := at[0]
	var below any
	if len(at) > 1 {
		below = get(node, at[:1])
		if below == nil {
			return node
		}
		below = drop(below, at[1:], made)
		if made < len(at) || !empty(below) {
			below, _ = put(node, at[:1], below) // it stood there, so it can be put there
			return below
		}
	}
	switch n := node.(type) {
	case map[string]any:
		out := maps.Clone(n)
		delete(out, s.Field)
		return out
	case []any:
		if i := find(n, s.Keys); i >= 0 {
			return append(append([]any{}, n[:i]...), n[i+1:]...)
		}
	}
	return node
}

func empty(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return false
}

func sorted(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// number is a count that an object holds, such as its generation; 0 when there is none.
func number(v any) int64 {
	n, _ := v.(json.Number)
	i, _ := strconv.ParseInt(n.String(), 10, 64)
	return i
}
