package fix

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gabion-k8s/gabion/internal/fix/fieldpath"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

// parsePath reads what evidence.Path writes.
func parsePath(text string) (fieldpath.Path, error) {
	p, err := fieldpath.Parse(text)
	if err == nil && len(p) == 0 {
		err = errors.New("no field is named")
	}
	return p, err
}

// A value is what a field is set to: how it is written, and what it means.
type value struct {
	node *yaml.Node
	tree any
}

func parseValue(text string) (value, error) {
	tree, err := decode([]byte(text))
	if err != nil {
		return value{}, fmt.Errorf("the value %s: %w", text, err)
	}
	root, err := parse([]byte(text))
	if err != nil {
		return value{}, fmt.Errorf("the value %s: %w", text, err)
	}
	return value{root, tree}, nil
}

// A part is one field of those that a value is made of.
type part struct {
	at    fieldpath.Path
	value value
}

// parts splits the setting of a mapping into the setting of its fields, when there
// is a mapping already that has no other fields: the fewer bytes change.
func (v value) parts(old any, at fieldpath.Path) []part {
	had, _ := old.(map[string]any)
	wants, _ := v.tree.(map[string]any)
	if len(had) == 0 || slices.ContainsFunc(slices.Collect(maps.Keys(had)), func(k string) bool { _, ok := wants[k]; return !ok }) {
		return []part{{at, v}}
	}
	var parts []part
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		name := v.node.Content[i].Value
		child, ok := wants[name]
		if !ok {
			return []part{{at, v}}
		}
		field := value{v.node.Content[i+1], child}
		parts = append(parts, field.parts(had[name], append(slices.Clone(at), fieldpath.Step{Name: name}))...)
	}
	return parts
}

// decode returns what a text with one document means to kubectl.
func decode(text []byte) (any, error) {
	chunks, bad := yamldoc.Split(text)
	if bad != nil {
		return nil, bad
	}
	var tree any
	n := 0
	var d yamldoc.Decoder
	for doc, bad := range d.Decode("", chunks) {
		if bad != nil {
			return nil, bad
		}
		var err error
		if tree, err = fromJSON(doc.JSON); err != nil {
			return nil, err
		}
		n++
	}
	if n != 1 {
		return nil, fmt.Errorf("%d documents where one should be", n)
	}
	return tree, nil
}

func fromJSON(text []byte) (tree any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&tree)
	return tree, err
}

func toJSON(tree any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(tree); err != nil {
		return "" // a tree that came from JSON always encodes
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// isJSON tells whether a document is JSON, and so has to stay.
func isJSON(text []byte) bool { return json.Valid(bytes.TrimPrefix(text, []byte("---"))) }

// parse returns the nodes of a text with one document.
func parse(text []byte) (root *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, fmt.Errorf("the YAML library gives up: %v", r)
		}
	}()
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) != 1 {
		return nil, errors.New("an empty document")
	}
	return doc.Content[0], nil
}

// with returns a tree in which the value at a path is another; what is not on the
// path is shared with the old one. The index behind the last element adds one.
func with(tree any, at fieldpath.Path, v any) (any, error) {
	if len(at) == 0 {
		return v, nil
	}
	s := at[0]
	if s.Name == "" {
		list, ok := tree.([]any)
		if !ok && tree != nil || s.Index > len(list) {
			return nil, fmt.Errorf("there is no element %d", s.Index)
		}
		list = append(slices.Clone(list), nil)
		child, err := with(list[s.Index], at[1:], v)
		list[s.Index] = child
		if s.Index < len(list)-1 {
			list = list[:len(list)-1]
		}
		return list, err
	}
	fields, ok := tree.(map[string]any)
	if !ok && tree != nil {
		return nil, fmt.Errorf("what %q would be a field of is no mapping", s.Name)
	}
	child, err := with(fields[s.Name], at[1:], v)
	if fields = maps.Clone(fields); fields == nil {
		fields = map[string]any{}
	}
	fields[s.Name] = child
	return fields, err
}
