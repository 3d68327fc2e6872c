package kustomize

import (
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A patch is one entry of patches, patchesStrategicMerge or patchesJson6902.
type patch struct {
	text
	by     *kustomization
	line   int    // of the entry in the kustomization file
	path   string // as written; "" for an inline one
	target *types.Selector
	docs   []*yaml.Node // each a strategic merge patch or a list of operations
}

// A text is a piece of YAML whose nodes stand in a file: all of it, or a block in
// a kustomization file.
type text struct {
	file   string
	line   int        // added to the line of a node
	column int        // added to the column of a node
	whole  *yaml.Node // where all of it counts as written, when lines cannot be told
}

func (t *text) at(n *yaml.Node) evidence.Position {
	if t.whole != nil {
		return evidence.Position{File: t.file, Line: t.whole.Line, Column: t.whole.Column}
	}
	return evidence.Position{File: t.file, Line: n.Line + t.line, Column: n.Column + t.column}
}

// position is where a field counts as written: a scalar at its value, a list or
// mapping at its key.
func (t *text) position(key, node *yaml.Node) evidence.Position {
	if key != nil && resolve(node).Kind != yaml.ScalarNode {
		return t.at(key)
	}
	return t.at(node)
}

func (t *tree) patchesOf(k *kustomization) []*patch {
	list := []*patch{}
	for i, p := range k.spec.PatchesStrategicMerge {
		n := item(k.node, "patchesStrategicMerge", i)
		if isInline(string(p)) {
			list = append(list, t.newPatch(k, "", n, n, nil))
		} else {
			list = append(list, t.newPatch(k, string(p), nil, n, nil))
		}
	}
	for _, f := range []struct {
		name string
		spec []types.Patch
	}{{"patches", k.spec.Patches}, {"patchesJson6902", k.spec.PatchesJson6902}} {
		for i, p := range f.spec {
			n := item(k.node, f.name, i)
			_, inline := field(n, "patch")
			list = append(list, t.newPatch(k, p.Path, inline, n, p.Target))
		}
	}
	return list
}

func (t *tree) newPatch(k *kustomization, path string, inline, entry *yaml.Node, target *types.Selector) *patch {
	p := &patch{by: k, path: path, target: target}
	if entry != nil {
		p.line = entry.Line
	}
	if path != "" {
		p.file = filepath.Join(k.dir, path)
		p.docs = t.files[p.file]
		return p
	}
	if inline = resolve(inline); inline != nil {
		p.text = blockText(k, inline)
		p.docs, _ = parse([]byte(inline.Value))
	}
	return p
}

// blockText says where the lines of a block scalar stand in its file. Other
// scalars may be folded and escaped: they count as one place.
func blockText(k *kustomization, n *yaml.Node) text {
	whole := text{file: k.file, whole: n}
	if n.Style&yaml.LiteralStyle == 0 {
		return whole
	}
	written := strings.Split(string(k.text), "\n")
	for i, line := range strings.Split(n.Value, "\n") {
		content := strings.TrimSpace(line)
		if content == "" {
			continue
		}
		if n.Line+i >= len(written) || strings.TrimSpace(written[n.Line+i]) != content {
			return whole
		}
		return text{file: k.file, line: n.Line, column: strings.Index(written[n.Line+i], content) - strings.Index(line, content)}
	}
	return whole
}

// isOperations tells a JSON patch from a strategic merge patch.
func isOperations(doc *yaml.Node) bool { return doc.Kind == yaml.SequenceNode }

// hits tells whether the patch was let at an object.
func (p *patch) hits(o *Object, r *resource.Resource) bool {
	if p.target != nil {
		return selects(p.target, o, r)
	}
	return slices.ContainsFunc(p.docs, func(d *yaml.Node) bool { return names(d, o, r) })
}

// names tells whether a strategic merge patch without a target is for an object.
// An earlier patch may have changed the kind.
func names(doc *yaml.Node, o *Object, r *resource.Resource) bool {
	kind := scalar(doc, "kind")
	return (kind == r.GetKind() || kind == scalar(o.node, "kind")) && slices.Contains(o.names, scalar(doc, "metadata", "name"))
}

// selects asks what Kustomize asks of a target, with all names that the object
// had on its way and the labels that it ended with.
func selects(s *types.Selector, o *Object, r *resource.Resource) bool {
	re, err := types.NewSelectorRegex(s)
	if err != nil || !re.MatchGvk(r.GetGvk()) || !slices.ContainsFunc(o.names, re.MatchName) {
		return false
	}
	namespace := scalar(o.node, "metadata", "namespace")
	if namespace == "" {
		namespace = "default"
	}
	if !re.MatchNamespace(namespace) && !re.MatchNamespace(r.CurId().EffectiveNamespace()) {
		return false
	}
	labels, err := r.MatchesLabelSelector(s.LabelSelector)
	if err != nil || !labels {
		return false
	}
	annotations, err := r.MatchesAnnotationSelector(s.AnnotationSelector)
	return err == nil && annotations
}

// A layer is a piece of YAML that was put into an object: all of the document it
// was written as, a strategic merge patch, or the value of a JSON patch operation.
type layer struct {
	*text
	pointer []string   // where in the object; empty for the top
	key     *yaml.Node // the path of an operation
	node    *yaml.Node
}

func (p *patch) layers(o *Object, r *resource.Resource) []layer {
	var list []layer
	for _, d := range p.docs {
		if isOperations(d) {
			list = append(list, p.operations(d)...)
		} else if p.target != nil || names(d, o, r) {
			list = append(list, layer{text: &p.text, node: d})
		}
	}
	return list
}

func (p *patch) operations(doc *yaml.Node) []layer {
	var list []layer
	for _, op := range doc.Content {
		_, path := field(op, "path")
		_, value := field(op, "value")
		if path != nil && value != nil && strings.HasPrefix(path.Value, "/") {
			list = append(list, layer{text: &p.text, pointer: pointer(path.Value), key: path, node: value})
		}
	}
	return list
}

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// pointer splits a JSON pointer (RFC 6901).
func pointer(s string) []string {
	steps := strings.Split(s, "/")[1:]
	for i := range steps {
		steps[i] = unescape.Replace(steps[i])
	}
	return steps
}

// blamed finds the part of the patch that an error of Kustomize's is about.
func (p *patch) blamed(message string) (evidence.Position, bool) {
	for _, d := range p.docs {
		if isOperations(d) {
			for _, op := range d.Content {
				if path := scalar(op, "path"); path != "" && strings.Contains(message, "path: "+path+":") {
					return p.at(op), true
				}
			}
			continue
		}
		name := scalar(d, "metadata", "name")
		if p.target == nil && name != "" && strings.Contains(message, scalar(d, "kind")+".") && strings.Contains(message, "/"+name+".") {
			return p.at(d), true
		}
	}
	if p.path != "" && strings.Contains(message, `[path: "`+p.path+`"]`) {
		return evidence.Position{File: p.file}, true
	}
	return evidence.Position{}, false
}

// A replacement is one field that an entry of replacements writes to.
type replacement struct {
	text
	target *types.Selector
	path   []string
	node   *yaml.Node // the path as written
}

func (t *tree) replacementsOf(k *kustomization) []replacement {
	var list []replacement
	for _, n := range items(k.node, "replacements") {
		path := scalar(n, "path")
		if path == "" {
			list = append(list, replacementsIn(k.file, n)...)
			continue
		}
		file := filepath.Join(k.dir, path)
		for _, d := range t.files[file] {
			if d.Kind != yaml.SequenceNode {
				list = append(list, replacementsIn(file, d)...)
				continue
			}
			for _, n := range d.Content {
				list = append(list, replacementsIn(file, n)...)
			}
		}
	}
	return list
}

func replacementsIn(file string, n *yaml.Node) []replacement {
	var list []replacement
	for _, target := range items(n, "targets") {
		_, s := field(target, "select")
		var selector types.Selector
		if s == nil || s.Decode(&selector) != nil {
			continue
		}
		for _, path := range items(target, "fieldPaths") {
			list = append(list, replacement{text: text{file: file}, target: &selector, path: fieldPath(path.Value), node: path})
		}
	}
	return list
}

// fieldPath splits a path as replacements write it: by dots outside brackets.
func fieldPath(s string) []string {
	var steps []string
	start, depth := 0, 0
	for i, c := range s {
		switch {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == '.' && depth == 0:
			steps = append(steps, s[start:i])
			start = i + 1
		}
	}
	return append(steps, s[start:])
}
