// Package overlay knows in which ways a field of an object that a Kustomize overlay
// builds can be set: by a patch that the overlay gets, a strategic merge patch or
// operations of JSON Patch (RFC 6902), or in the base file that the object is written
// in.
//
// It opens no file but those that the build reads. Package rendered takes a way only
// when the overlay, built again, has changed as was wanted.
package overlay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/fix"
	"github.com/gabion-k8s/gabion/internal/fix/fieldpath"
	"github.com/gabion-k8s/gabion/internal/fix/rendered"
	"github.com/gabion-k8s/gabion/internal/source/kustomize"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

// A Maker sets fields of what one overlay builds.
type Maker struct {
	ctx context.Context
	// dir is the overlay's folder, root the one that is scanned, file the kustomization.
	dir, root, file string
	// base has the files edited that the objects are written in, and no patch added.
	base bool
}

// New returns a Maker for the overlay in dir. File is its kustomization.
func New(ctx context.Context, dir, root, file string, base bool) *Maker {
	return &Maker{ctx, dir, root, file, base}
}

// Make edits files of the overlay so that wants come true.
func (m *Maker) Make(files rendered.Files, wants []rendered.Want) (rendered.Result, error) {
	return rendered.Make(m, files, wants)
}

// Built are the objects of a build by their IDs.
type Built map[string]*kustomize.Object

// Render builds the overlay with files in place of those on the disk.
func (m *Maker) Render(files rendered.Files) (*rendered.World, Built, error) {
	built, err := kustomize.BuildEdited(m.ctx, m.dir, m.root, files)
	if err != nil {
		return nil, nil, err
	}
	w, objects := &rendered.World{}, Built{}
	for _, o := range built.Objects {
		tree, err := decode(o.Data)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", o.Origin, err)
		}
		id := idOf(tree)
		if objects[id] != nil {
			id = fmt.Sprintf("%s (%d)", id, len(objects))
		}
		objects[id] = o
		w.Objects = append(w.Objects, rendered.Object{ID: id, Tree: tree})
	}
	w.Rest = strings.Join(built.Warnings, "\n")
	return w, objects, nil
}

// decode reads the only document of a text.
func decode(text []byte) (tree any, err error) {
	chunks, bad := yamldoc.Split(text)
	if bad != nil {
		return nil, bad
	}
	var d yamldoc.Decoder
	for doc, bad := range d.Decode("", chunks) {
		if bad != nil {
			return nil, bad
		}
		return fromJSON(doc.JSON)
	}
	return nil, nil
}

func fromJSON(text []byte) (tree any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&tree)
	return tree, err
}

func text(tree any, names ...string) string {
	var at fieldpath.Path
	for _, n := range names {
		at = append(at, fieldpath.Step{Name: n})
	}
	v, _ := fieldpath.Get(tree, at)
	s, _ := v.(string)
	return s
}

func idOf(tree any) string {
	name := text(tree, "metadata", "name")
	if ns := text(tree, "metadata", "namespace"); ns != "" {
		name = ns + "/" + name
	}
	return text(tree, "kind") + " " + name
}

// Ways are those in which a field may be set.
func (m *Maker) Ways(files rendered.Files, world *rendered.World, built Built, want rendered.Want) []rendered.Way {
	o, known := world.Find(want.Object)
	if !known {
		return nil
	}
	if m.base {
		return inBase(files, built[want.Object], o.Tree, want)
	}
	p := m.patchOf(built[want.Object], o.Tree)
	var ways []rendered.Way
	for _, way := range []func(rendered.Files, patch, any, rendered.Want) (rendered.Way, bool){m.merge, m.operation} {
		if w, ok := way(files, p, o.Tree, want); ok {
			ways = append(ways, w)
		}
	}
	return ways
}

// A patch is one that the overlay gets for an object.
type patch struct {
	apiVersion, kind, name string
	stem                   string // of its file
}

// Prefix begins the names of the files that are made.
const Prefix = "gabion-patch-"

var unfit = regexp.MustCompile(`[^a-z0-9.-]+`)

// patchOf names the patch of an object: by the name that the object has when the
// patches of this overlay are made, which is before the overlay renames it.
func (m *Maker) patchOf(o *kustomize.Object, tree any) patch {
	p := patch{apiVersion: text(tree, "apiVersion"), kind: text(tree, "kind"), name: text(tree, "metadata", "name")}
	if names := o.Names(); len(names) >= 3 { // …, before this overlay, after it, in the end
		p.name = names[len(names)-3]
	}
	stem := strings.ToLower(p.kind + "-" + p.name)
	if ns := text(tree, "metadata", "namespace"); ns != "" {
		stem += "-" + strings.ToLower(ns)
	}
	p.stem = Prefix + strings.Trim(unfit.ReplaceAllString(stem, "-"), ".-")
	return p
}

// merge sets a field in a strategic merge patch.
func (m *Maker) merge(files rendered.Files, p patch, tree any, want rendered.Want) (rendered.Way, bool) {
	name := filepath.Join(m.dir, p.stem+".yaml")
	at, value, claim, ok := inPatch(files[name], tree, want)
	if !ok {
		return rendered.Way{}, false
	}
	w := rendered.Way{ID: strings.Join([]string{"merge", name, want.Path.String(), want.Text}, "\x00")}
	if claim != "" {
		w.Claim = name + " " + claim
	}
	if _, exists := files[name]; !exists {
		w.Claim = name
		head := map[string]any{"apiVersion": p.apiVersion, "kind": p.kind, "metadata": map[string]any{"name": p.name}}
		patch, ok := with(head, at, value)
		if !ok {
			return rendered.Way{}, false
		}
		w.Edits = []rendered.Edit{{File: name, Text: print(patch)}}
	} else {
		w.Edits = []rendered.Edit{{File: name, Fields: []fix.Field{{Path: at.String(), Value: flow(value)}}}}
	}
	return m.listed(files, w, p, name)
}

// inPatch is where a field goes in a strategic merge patch, and with what value:
// elements of lists are known by their names there. Claim is the element that is
// new in the patch.
func inPatch(data []byte, tree any, want rendered.Want) (at fieldpath.Path, value any, claim string, ok bool) {
	patch, _ := decode(data)
	for i, s := range want.Path {
		if s.Name != "" {
			at = append(at, s)
			continue
		}
		list, _ := fieldpath.Get(tree, want.Path[:i])
		elements, _ := list.([]any)
		has, _ := fieldpath.Get(patch, at)
		there, _ := has.([]any)
		last := i == len(want.Path)-1
		if s.Index >= len(elements) {
			return append(at, fieldpath.Step{Index: len(there)}), want.Value, want.Path[:i].String(), last
		}
		element, _ := elements[s.Index].(map[string]any)
		name, _ := element["name"].(string)
		if name == "" || last {
			return nil, nil, "", false
		}
		j := rendered.IndexNamed(there, element)
		if j >= 0 {
			at = append(at, fieldpath.Step{Index: j})
			continue
		}
		below, ok := with(map[string]any{"name": name}, want.Path[i+1:], want.Value)
		return append(at, fieldpath.Step{Index: len(there)}), below, want.Path[:i+1].String(), ok
	}
	return at, want.Value, "", true
}

// with puts a value into a tree of mappings; false when lists are on the way.
func with(tree map[string]any, at fieldpath.Path, value any) (map[string]any, bool) {
	s := at[0]
	if s.Name == "" {
		return nil, false
	}
	if len(at) == 1 {
		tree[s.Name] = value
		return tree, true
	}
	if at[1].Name == "" {
		if at[1].Index != 0 {
			return nil, false
		}
		element := value
		if len(at) > 2 {
			below, ok := with(map[string]any{}, at[2:], value)
			if !ok {
				return nil, false
			}
			element = below
		}
		tree[s.Name] = []any{element}
		return tree, true
	}
	child, _ := tree[s.Name].(map[string]any)
	if child == nil {
		child = map[string]any{}
	}
	child, ok := with(child, at[1:], value)
	tree[s.Name] = child
	return tree, ok
}

// operation sets a field by an operation of JSON Patch.
func (m *Maker) operation(files rendered.Files, p patch, tree any, want rendered.Want) (rendered.Way, bool) {
	name := filepath.Join(m.dir, p.stem+"-operations.yaml")
	at, value := want.Path, want.Value
	n := len(at) - 1
	for ; n > 0; n-- { // the parents that are missing are added with the field
		if v, ok := fieldpath.Get(tree, at[:n]); ok && v != nil {
			break
		}
	}
	claim := ""
	if n < len(at)-1 {
		below, ok := with(map[string]any{}, at[n:], value)
		if !ok || at[n].Name == "" {
			return rendered.Way{}, false
		}
		at, value = at[:n+1], below[at[n].Name]
		claim = name + " " + at.String()
	}
	op := map[string]any{"op": "add", "path": pointer(tree, at), "value": value}
	w := rendered.Way{ID: strings.Join([]string{"operation", name, want.Path.String(), want.Text}, "\x00"), Claim: claim}
	if data, exists := files[name]; exists {
		ops, _ := decode(data)
		list, _ := ops.([]any)
		index := fieldpath.Path{{Index: len(list)}}
		w.Edits = []rendered.Edit{{File: name, Fields: []fix.Field{{Path: index.String(), Value: flow(op)}}}}
	} else {
		w.Claim = name
		w.Edits = []rendered.Edit{{File: name, Text: print([]any{op})}}
	}
	return m.listed(files, w, p, name)
}

var escape = strings.NewReplacer("~", "~0", "/", "~1")

// pointer is a path as a JSON pointer (RFC 6901); - is behind the last element.
func pointer(tree any, at fieldpath.Path) string {
	var b strings.Builder
	for i, s := range at {
		b.WriteByte('/')
		list, _ := fieldpath.Get(tree, at[:i])
		elements, _ := list.([]any)
		switch {
		case s.Name != "":
			b.WriteString(escape.Replace(s.Name))
		case s.Index >= len(elements):
			b.WriteByte('-')
		default:
			fmt.Fprint(&b, s.Index)
		}
	}
	return b.String()
}

// listed adds a patch's file to the kustomization, unless it is there.
func (m *Maker) listed(files rendered.Files, w rendered.Way, p patch, name string) (rendered.Way, bool) {
	kustomization, err := decode(files[m.file])
	if err != nil {
		return w, false
	}
	patches, _ := fieldpath.Get(kustomization, fieldpath.Path{{Name: "patches"}})
	list, _ := patches.([]any)
	base := filepath.Base(name)
	if slices.ContainsFunc(list, func(v any) bool { return text(v, "path") == base || text(v, "path") == "./"+base }) {
		return w, true
	}
	entry := flow(map[string]any{"path": base, "target": map[string]any{"kind": p.kind, "name": regexp.QuoteMeta(p.name)}})
	at := fieldpath.Path{{Name: "patches"}, {Index: len(list)}}
	w.Edits = append(w.Edits, rendered.Edit{File: m.file, Fields: []fix.Field{{Path: at.String(), Value: entry}}})
	return w, true
}

// inBase sets a field in the file that the object is written in.
func inBase(files rendered.Files, o *kustomize.Object, tree any, want rendered.Want) []rendered.Way {
	at, ok := o.Written()
	if !ok {
		return nil
	}
	data, loaded := files[at.File]
	if !loaded {
		return nil
	}
	written, top, ok := objectAt(data, at)
	if !ok {
		return nil
	}
	var path fieldpath.Path
	for i, s := range want.Path {
		if s.Name == "" {
			list, _ := fieldpath.Get(tree, want.Path[:i])
			elements, _ := list.([]any)
			has, _ := fieldpath.Get(written, path)
			there, _ := has.([]any)
			switch {
			case s.Index >= len(elements):
				s.Index = len(there)
			default:
				if j := rendered.IndexNamed(there, elements[s.Index]); j >= 0 {
					s.Index = j
				}
			}
		}
		path = append(path, s)
	}
	return []rendered.Way{{
		ID:    strings.Join([]string{"base", at.File, fmt.Sprint(top.Line), path.String(), want.Text}, "\x00"),
		Edits: []rendered.Edit{{File: at.File, Object: top, Fields: []fix.Field{{Path: path.String(), Value: want.Text}}}},
	}}
}

// objectAt is the object that begins on a line of a file, and where its outline says
// that it does.
func objectAt(data []byte, at evidence.Position) (tree any, top evidence.Position, ok bool) {
	var d yamldoc.Decoder
	for doc, bad := range d.Documents("", data) {
		if bad != nil {
			continue
		}
		for item := range yamldoc.Expand(doc) {
			if top := item.Outline.At(0); top.Line == at.Line {
				tree, err := fromJSON(item.JSON)
				return tree, top, err == nil
			}
		}
	}
	return nil, evidence.Position{}, false
}

// print writes a tree as YAML in block style, as people write manifests: what the
// object is comes first.
func print(tree any) []byte {
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	e.CompactSeqIndent()
	if e.Encode(node(tree)) != nil || e.Close() != nil {
		return nil
	}
	return out.Bytes()
}

// flow writes a tree as YAML in flow style.
func flow(tree any) string {
	n := node(tree)
	inFlow(n)
	data, err := yaml.Marshal(n)
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(strings.TrimSpace(string(data)), "\n", " ")
}

func inFlow(n *yaml.Node) {
	n.Style |= yaml.FlowStyle
	for _, c := range n.Content {
		if c.Kind != yaml.ScalarNode {
			inFlow(c)
		}
	}
}

// first are fields that stand before others.
var first = []string{"apiVersion", "kind", "metadata", "name", "op", "path"}

// node makes nodes of a tree of JSON values.
func node(tree any) *yaml.Node {
	switch t := tree.(type) {
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for _, name := range sortedNames(t) {
			n.Content = append(n.Content, node(name), node(t[name]))
		}
		return n
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
		for _, v := range t {
			n.Content = append(n.Content, node(v))
		}
		return n
	case json.Number:
		tag := "!!int"
		if strings.ContainsAny(t.String(), ".eE") {
			tag = "!!float"
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: t.String()}
	}
	n := &yaml.Node{}
	if n.Encode(tree) != nil {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	}
	return n
}

func sortedNames(m map[string]any) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	rank := func(name string) int {
		if i := slices.Index(first, name); i >= 0 {
			return i
		}
		return len(first)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return names
}
