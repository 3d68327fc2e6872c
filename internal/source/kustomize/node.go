package kustomize

import (
	"bytes"
	"errors"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/kyaml/kio"
)

// maxMerges bounds how deep aliases and merge keys are followed.
const maxMerges = 20

// resolve follows aliases to what they stand for.
func resolve(n *yaml.Node) *yaml.Node {
	for i := 0; n != nil && n.Kind == yaml.AliasNode && i < maxMerges; i++ {
		n = n.Alias
	}
	return n
}

// field finds a field of a mapping, through aliases and merge keys. Both results
// are nil when there is none.
func field(n *yaml.Node, name string) (key, value *yaml.Node) {
	return fieldWithin(n, name, maxMerges)
}

func fieldWithin(n *yaml.Node, name string, depth int) (key, value *yaml.Node) {
	n = resolve(n)
	if n == nil || n.Kind != yaml.MappingNode || depth == 0 {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name && n.Content[i].Kind == yaml.ScalarNode {
			return n.Content[i], n.Content[i+1]
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Tag != "!!merge" {
			continue
		}
		merged := resolve(n.Content[i+1])
		if merged == nil {
			continue
		}
		sources := []*yaml.Node{merged}
		if merged.Kind == yaml.SequenceNode {
			sources = merged.Content
		}
		for _, s := range sources {
			if key, value := fieldWithin(s, name, depth-1); key != nil {
				return key, value
			}
		}
	}
	return nil, nil
}

// items are the elements of the sequence in a field.
func items(n *yaml.Node, name string) []*yaml.Node {
	_, list := field(n, name)
	if list = resolve(list); list == nil || list.Kind != yaml.SequenceNode {
		return nil
	}
	return list.Content
}

func item(n *yaml.Node, name string, i int) *yaml.Node {
	if list := items(n, name); i < len(list) {
		return list[i]
	}
	return nil
}

// scalar is the text of a scalar field, "" when there is none.
func scalar(n *yaml.Node, path ...string) string {
	for _, name := range path {
		_, n = field(n, name)
	}
	if n = resolve(n); n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}

// equal compares a node of the result, which has no aliases, with one of a source.
func equal(r, n *yaml.Node) bool {
	if n = resolve(n); n == nil || n.Kind != r.Kind {
		return false
	}
	switch r.Kind {
	case yaml.ScalarNode:
		return r.Value == n.Value
	case yaml.SequenceNode:
		if len(r.Content) != len(n.Content) {
			return false
		}
		for i := range r.Content {
			if !equal(r.Content[i], n.Content[i]) {
				return false
			}
		}
		return true
	}
	if len(r.Content) != len(n.Content) {
		return false
	}
	for i := 0; i+1 < len(r.Content); i += 2 {
		if _, v := field(n, r.Content[i].Value); v == nil || !equal(r.Content[i+1], v) {
			return false
		}
	}
	return true
}

// Limits of what the aliases of one document may stand for. Kustomize replaces
// each by a copy, without any bound of its own.
const (
	maxExpanded = 1_000_000 // nodes
	maxDepth    = 1000      // levels
)

var (
	errAliasCycle = errors.New("an alias stands inside its own anchor")
	errAliasBomb  = errors.New("aliases expand without reasonable bound")
)

// checkAliases refuses text whose aliases Kustomize could not replace in bounded
// memory. Text that is not YAML is not refused. The documents are split as
// Kustomize splits them.
func checkAliases(text []byte) error {
	if !bytes.ContainsRune(text, '&') || !bytes.ContainsRune(text, '*') {
		return nil
	}
	reader := kio.ByteReader{Reader: bytes.NewReader(text), OmitReaderAnnotations: true, DisableUnwrapping: true}
	docs, err := reader.Read()
	if err != nil {
		return nil // Kustomize reads it the same way and says so itself
	}
	total := 0
	for _, d := range docs {
		e := expander{known: map[*yaml.Node]expansion{}}
		x, err := e.expand(d.Document())
		if err != nil {
			return err
		}
		if total += x.nodes; total > maxExpanded || x.depth > maxDepth {
			return errAliasBomb
		}
	}
	return nil
}

type expansion struct{ nodes, depth int }

// An expander counts what a tree grows to when each alias is replaced; every
// node is looked at once.
type expander struct {
	known map[*yaml.Node]expansion
}

func (e expander) expand(n *yaml.Node) (expansion, error) {
	if n == nil {
		return expansion{}, nil
	}
	if x, seen := e.known[n]; seen {
		if x.nodes == 0 { // still open: we are inside it
			return x, errAliasCycle
		}
		return x, nil
	}
	e.known[n] = expansion{}
	x := expansion{nodes: 1}
	children := n.Content
	if n.Kind == yaml.AliasNode {
		children = []*yaml.Node{n.Alias}
	}
	for _, c := range children {
		cx, err := e.expand(c)
		if err != nil {
			return x, err
		}
		x.nodes = min(x.nodes+cx.nodes, maxExpanded+1)
		x.depth = max(x.depth, cx.depth)
	}
	x.depth++
	e.known[n] = x
	return x, nil
}
