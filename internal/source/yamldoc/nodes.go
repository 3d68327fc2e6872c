package yamldoc

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A field is one key of a mapping that is being written.
type field struct {
	key         evidence.Key
	name, value *yaml.Node
	via         []*yaml.Node // the aliases that were followed to merge it in
	block       int          // fields with the same number are written in one mapping
	overridden  bool         // by a later field of the same name
}

// A seenKey says which field of the mapping numbered in it has the key.
type seenKey struct {
	mapping uint32
	field   int32
}

// value writes a node and all below it as JSON, and its outline. line and column
// are where a list or mapping is said to stand: at the key that holds it.
func (d *Decoder) value(n *yaml.Node, line, column int, key evidence.Key) *Error {
	if err := d.visit(n); err != nil {
		return err
	}
	switch n.Kind {
	case yaml.AliasNode:
		return d.alias(n, line, column, key)
	case yaml.ScalarNode:
		return d.scalar(n, n, key)
	case yaml.SequenceNode:
		return d.sequence(n, line, column, key)
	default:
		return d.mapping(n, line, column, key)
	}
}

// visit counts a node against the limits. The first one is kubectl's own, and
// scaled as it is there: of many nodes only few may come from aliases. It bounds
// the nodes, not the bytes in them; hence the second.
func (d *Decoder) visit(n *yaml.Node) *Error {
	d.visits++
	if len(d.aliases) == 0 {
		return nil
	}
	d.repeated++
	d.spent += len(n.Value) + 8
	few := d.repeated <= 100 || d.visits <= 1000
	if d.spent > d.budget || !few && float64(d.repeated) > allowedAliases(d.visits)*float64(d.visits) {
		return d.errorf(d.aliases[0], "the aliases of this document repeat too much of it (an alias bomb)")
	}
	return nil
}

// allowedAliases returns the share of a document's nodes that may come from aliases.
func allowedAliases(nodes int) float64 {
	const few, many = 400_000, 4_000_000
	switch {
	case nodes <= few:
		return 0.99
	case nodes >= many:
		return 0.10
	}
	return 0.99 - 0.89*float64(nodes-few)/(many-few)
}

func (d *Decoder) alias(n *yaml.Node, line, column int, key evidence.Key) *Error {
	if err := d.follow(n); err != nil {
		return err
	}
	defer d.back()
	if n.Alias.Kind != yaml.ScalarNode {
		return d.value(n.Alias, line, column, key)
	}
	if err := d.visit(n.Alias); err != nil {
		return err
	}
	return d.scalar(n.Alias, n, key)
}

// follow enters what an alias stands for; back leaves it.
func (d *Decoder) follow(n *yaml.Node) *Error {
	if n.Alias.Line <= d.before {
		return d.errorf(n, "the anchor %q is that of another document", n.Value)
	}
	if slices.Contains(d.aliases, n) {
		return d.errorf(n, "the anchor %q holds itself", n.Value)
	}
	d.aliases = append(d.aliases, n)
	return nil
}

func (d *Decoder) back() { d.aliases = d.aliases[:len(d.aliases)-1] }

// scalar writes a scalar that stands at the node place.
func (d *Decoder) scalar(n, place *yaml.Node, key evidence.Key) *Error {
	v, problem := resolve(n)
	if problem != "" {
		return d.errorf(place, "%s", problem)
	}
	if !v.finite() {
		return d.errorf(place, "%s has no place in JSON, which the API server reads", n.Value)
	}
	d.out = v.appendJSON(d.out)
	line, column := d.line.at(place)
	d.outliner.Close(d.outliner.Open(key, line, column, false))
	return nil
}

// enter goes one level deeper.
func (d *Decoder) enter(n *yaml.Node) *Error {
	if d.depth++; d.depth > maxDepth {
		return d.errorf(n, "nested deeper than %d levels", maxDepth)
	}
	return nil
}

// open adds the node of a list or mapping to the outline.
func (d *Decoder) open(n *yaml.Node, line, column int, key evidence.Key) int {
	line, column = d.line.at(&yaml.Node{Line: line, Column: column})
	return d.outliner.Open(key, line, column, n.Kind == yaml.SequenceNode)
}

func (d *Decoder) sequence(n *yaml.Node, line, column int, key evidence.Key) *Error {
	if err := d.enter(n); err != nil {
		return err
	}
	node := d.open(n, line, column, key)
	d.out = append(d.out, '[')
	for i, item := range n.Content {
		if i > 0 {
			d.out = append(d.out, ',')
		}
		if err := d.value(item, item.Line, item.Column, 0); err != nil {
			return err
		}
	}
	d.out = append(d.out, ']')
	d.outliner.Close(node)
	d.depth--
	return nil
}

func (d *Decoder) mapping(n *yaml.Node, line, column int, key evidence.Key) *Error {
	if err := d.enter(n); err != nil {
		return err
	}
	node := d.open(n, line, column, key)
	m := merging{first: len(d.fields), aliases: len(d.aliases)}
	d.mappings++
	if err := d.collect(n, m, nil); err != nil {
		return err
	}
	d.out = append(d.out, '{')
	for i, end := m.first, len(d.fields); i < end; i++ {
		if err := d.field(d.fields[i]); err != nil {
			return err
		}
	}
	if last := len(d.out) - 1; d.out[last] == ',' {
		d.out = d.out[:last]
	}
	d.out = append(d.out, '}')
	clear(d.fields[m.first:]) // or the nodes would live on
	d.fields = d.fields[:m.first]
	d.outliner.Close(node)
	d.depth--
	return nil
}

// A merging is the mapping that fields are collected for: the place of its first
// field, and how many aliases lead to it.
type merging struct{ first, aliases int }

// collect appends the fields of a mapping, and of those merged into it, to
// d.fields. As kubectl has it, the later of two fields wins, merged or not.
func (d *Decoder) collect(n *yaml.Node, m merging, via []*yaml.Node) *Error {
	d.blocks++
	block := d.blocks
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if isMerge(name) {
			if err := d.merge(value, m); err != nil {
				return err
			}
			continue
		}
		key, err := d.key(name)
		if err != nil {
			return err
		}
		if err := d.add(field{key: key, name: name, value: value, via: via, block: block}); err != nil {
			return err
		}
	}
	return nil
}

// isMerge tells whether a key is the merge key, which YAML 1.1 has and 1.2 has not.
func isMerge(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Value == "<<" && n.Tag == "!!merge"
}

func (d *Decoder) add(f field) *Error {
	seen := d.see(f.key)
	if seen.mapping == d.mappings {
		earlier := &d.fields[seen.field]
		if earlier.block == f.block {
			line, _ := d.line.at(earlier.name)
			return d.errorf(f.name, "%s", alreadyThere(d.outliner.Name(f.key), line))
		}
		earlier.overridden = true
	}
	*seen = seenKey{d.mappings, int32(len(d.fields))}
	d.fields = append(d.fields, f)
	return nil
}

// see returns where it is noted which mapping a key was last seen in.
func (d *Decoder) see(key evidence.Key) *seenKey {
	if int(key) >= len(d.seen) {
		d.seen = append(d.seen, make([]seenKey, int(key)+64-len(d.seen))...)
	}
	return &d.seen[key]
}

func alreadyThere(key string, line int) string {
	return fmt.Sprintf("the key %q is already there, on line %d", clip(key), line)
}

// merge collects the fields of the value of a merge key: a mapping, or a list of
// mappings of which the first wins.
func (d *Decoder) merge(n *yaml.Node, m merging) *Error {
	if n.Kind != yaml.SequenceNode {
		return d.mergeOne(n, m)
	}
	for _, item := range slices.Backward(n.Content) {
		if err := d.mergeOne(item, m); err != nil {
			return err
		}
	}
	return nil
}

func (d *Decoder) mergeOne(n *yaml.Node, m merging) *Error {
	if err := d.visit(n); err != nil {
		return err
	}
	if err := d.enter(n); err != nil {
		return err
	}
	mapping := n
	if n.Kind == yaml.AliasNode {
		if err := d.follow(n); err != nil {
			return err
		}
		defer d.back()
		mapping = n.Alias
		if err := d.visit(mapping); err != nil {
			return err
		}
	}
	if mapping.Kind != yaml.MappingNode {
		return d.errorf(n, "the merge key << wants a mapping or a list of mappings")
	}
	err := d.collect(mapping, m, slices.Clone(d.aliases[m.aliases:]))
	d.depth--
	return err
}

// key returns the number of the field name that a node spells.
func (d *Decoder) key(n *yaml.Node) (evidence.Key, *Error) {
	if err := d.visit(n); err != nil {
		return 0, err
	}
	name := n
	if n.Kind == yaml.AliasNode {
		if err := d.follow(n); err != nil {
			return 0, err
		}
		defer d.back()
		name = n.Alias
		if err := d.visit(name); err != nil {
			return 0, err
		}
	}
	if name.Kind != yaml.ScalarNode {
		return 0, d.errorf(n, "a key that is itself a list or a mapping")
	}
	v, problem := resolve(name)
	if problem != "" {
		return 0, d.errorf(n, "%s", problem)
	}
	s, ok := v.keyText()
	if !ok && name.Value == "" {
		return 0, d.errorf(n, "a key is missing before the colon")
	}
	if !ok {
		return 0, d.errorf(n, "%q cannot be a key", name.Value)
	}
	return d.outliner.Key(s), nil
}

// field writes a field and the comma after it, and takes it back if another
// overrides it: what is wrong with it is wrong all the same.
func (d *Decoder) field(f field) *Error {
	out, nodes, aliases := len(d.out), d.outliner.Len(), len(d.aliases)
	d.aliases = append(d.aliases, f.via...)
	d.out = append(appendString(d.out, d.outliner.Name(f.key)), ':')
	start := len(d.out)
	if err := d.value(f.value, f.name.Line, f.name.Column, f.key); err != nil {
		return err
	}
	d.aliases = d.aliases[:aliases]
	if f.overridden {
		d.out = d.out[:out]
		d.outliner.Cut(nodes)
		return nil
	}
	if d.depth == 1 {
		d.note(d.outliner.Name(f.key), d.out[start:])
	}
	d.out = append(d.out, ',')
	return nil
}

// errorf returns an error at a node.
func (d *Decoder) errorf(n *yaml.Node, format string, args ...any) *Error {
	line, column := d.line.at(n)
	return &Error{Line: line, Column: column, Reason: fmt.Sprintf(format, args...)}
}
