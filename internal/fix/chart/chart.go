// Package chart knows in which ways a field of an object that a Helm chart renders
// can be set: by the key of the values that decides it, or on the line of the template
// that writes it. Which key decides a field that is not written is found out by
// rendering the chart with marks in its values (see probe.go).
//
// What it offers may be wrong, since templates are programs: package rendered takes a
// way only when the chart, rendered again, has changed as was wanted. It opens no file.
package chart

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gabion-k8s/gabion/internal/fix/fieldpath"
	"github.com/gabion-k8s/gabion/internal/fix/rendered"
	"github.com/gabion-k8s/gabion/internal/source/helm"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

// A Maker sets fields of what one chart renders.
type Maker struct {
	ctx     context.Context
	chart   *helm.Chart
	options helm.Options
	// values are the files of values that may be edited, those that count most last.
	values []string
	parsed map[string]parsed // of rendered texts, by template
	probes []probed
	probed bool
	// wants are all of a run: what is probed for.
	wants []rendered.Want
}

// New returns a Maker for a chart. The values are the names of the files that may be
// edited of those that decide it: its own first, then those that the options name.
func New(ctx context.Context, chart *helm.Chart, options helm.Options, values []string) *Maker {
	return &Maker{ctx: ctx, chart: chart, options: options, values: values, parsed: map[string]parsed{}}
}

// Make edits the files of the chart so that wants come true. Files are those that may
// be edited: templates and values.
func (m *Maker) Make(files rendered.Files, wants []rendered.Want) (rendered.Result, error) {
	m.wants = wants
	return rendered.Make(m, files, wants)
}

// A Rendering is what Ways needs to know of what was rendered.
type Rendering struct {
	files   []helm.File
	objects map[string]object
}

// An object is where one object stands in what was rendered.
type object struct {
	file int // index of Rendering.files
	node *yaml.Node
	// before are the lines of the text that are before the document's first.
	before int
}

// A parsed text is what a template was rendered to.
type parsed struct {
	data    []byte
	objects []parsedObject
	rest    string
}

type parsedObject struct {
	kind, apiVersion, namespace, name string
	tree                              any
	node                              *yaml.Node
	before                            int
}

// Render renders the chart with files in place of its own.
func (m *Maker) Render(files rendered.Files) (*rendered.World, *Rendering, error) {
	return m.render(files, nil)
}

func (m *Maker) render(files rendered.Files, overrides map[string]any) (*rendered.World, *Rendering, error) {
	o := m.options
	o.Edited, o.Overrides = files, overrides
	out, err := helm.Render(m.ctx, m.chart.With(files), o)
	if err != nil {
		return nil, nil, err
	}
	w, r := &rendered.World{}, &Rendering{files: out.Files, objects: map[string]object{}}
	seen := map[string]int{}
	var rest strings.Builder
	for i, f := range out.Files {
		if isCRD(f) {
			continue
		}
		if f.Err != nil {
			fmt.Fprintf(&rest, "%s: %v\n", f.Template, f.Err)
			continue
		}
		p := m.parse(f, overrides == nil)
		rest.WriteString(p.rest)
		for _, o := range p.objects {
			id := o.id()
			if seen[id]++; seen[id] > 1 {
				id = fmt.Sprintf("%s (%d)", id, seen[id])
			}
			w.Objects = append(w.Objects, rendered.Object{ID: id, Tree: o.tree})
			r.objects[id] = object{i, o.node, o.before}
		}
	}
	w.Rest = rest.String()
	return w, r, nil
}

// isCRD tells whether a file is one that Helm does not render: it never changes.
func isCRD(f helm.File) bool {
	return strings.Contains(f.Template, "/crds/") && !strings.Contains(f.Template, "/templates/")
}

func (o parsedObject) id() string {
	if o.namespace == "" {
		return o.kind + " " + o.name
	}
	return o.kind + " " + o.namespace + "/" + o.name
}

// parse reads what a template was rendered to, unless it is what it was before.
func (m *Maker) parse(f helm.File, keep bool) parsed {
	if p, ok := m.parsed[f.Template]; ok && bytes.Equal(p.data, f.Data) {
		return p
	}
	p := parse(f.Data)
	if keep {
		m.parsed[f.Template] = p
	}
	return p
}

func parse(data []byte) parsed {
	p := parsed{data: data}
	chunks, bad := yamldoc.Split(data)
	if bad != nil {
		p.rest = string(data)
		return p
	}
	var d yamldoc.Decoder
	for _, c := range chunks {
		n := len(p.objects)
		for doc, bad := range d.Decode("", []yamldoc.Chunk{c}) {
			root := rootOf(c.Text)
			tree, err := fromJSON(doc.JSON)
			if bad != nil || err != nil || root == nil || len(p.objects) > n {
				p.objects = p.objects[:n]
				p.rest += string(c.Text)
				break
			}
			p.add(tree, root, c.Line-1)
		}
	}
	return p
}

// add adds the objects of a document.
func (p *parsed) add(tree any, root *yaml.Node, before int) {
	fields, _ := tree.(map[string]any)
	if kind, _ := fields["kind"].(string); strings.HasSuffix(kind, "List") {
		items, _ := fields["items"].([]any)
		_, list := fieldOf(root, "items")
		if items != nil && list != nil && len(list.Content) == len(items) {
			for i, item := range items {
				p.add(item, list.Content[i], before)
			}
			return
		}
	}
	meta, _ := fields["metadata"].(map[string]any)
	text := func(from map[string]any, name string) string {
		s, _ := from[name].(string)
		return s
	}
	p.objects = append(p.objects, parsedObject{
		kind: text(fields, "kind"), apiVersion: text(fields, "apiVersion"),
		namespace: text(meta, "namespace"), name: text(meta, "name"),
		tree: tree, node: root, before: before,
	})
}

func rootOf(text []byte) (root *yaml.Node) {
	defer func() {
		if recover() != nil {
			root = nil
		}
	}()
	var doc yaml.Node
	if yaml.Unmarshal(text, &doc) != nil || len(doc.Content) != 1 {
		return nil
	}
	return doc.Content[0]
}

func fromJSON(text []byte) (tree any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&tree)
	return tree, err
}

func fieldOf(n *yaml.Node, name string) (key, value *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

// A crumb is one node on the way to a field.
type crumb struct{ key, node *yaml.Node }

// follow returns the nodes on the way to a field as far as they are written, the
// object itself first.
func follow(root *yaml.Node, at fieldpath.Path) []crumb {
	way := []crumb{{nil, root}}
	for _, s := range at {
		n := way[len(way)-1].node
		if n.Kind == yaml.AliasNode {
			return way
		}
		if s.Name == "" {
			if n.Kind != yaml.SequenceNode || s.Index >= len(n.Content) {
				return way
			}
			way = append(way, crumb{nil, n.Content[s.Index]})
			continue
		}
		key, child := fieldOf(n, s.Name)
		if key == nil {
			return way
		}
		way = append(way, crumb{key, child})
	}
	return way
}

// Ways are those in which a field may be set: in the values first.
func (m *Maker) Ways(files rendered.Files, _ *rendered.World, r *Rendering, want rendered.Want) []rendered.Way {
	o, ok := r.objects[want.Object]
	if !ok {
		return nil
	}
	ways := m.byValues(files, r, o, want)
	return slices.Concat(ways, byTemplate(files, r, o, want))
}

// Text is everything that the chart renders but the definitions of kinds, as one file
// of manifests: what a post-renderer is given.
func (m *Maker) Text(files rendered.Files) ([]byte, error) {
	o := m.options
	o.Edited = files
	out, err := helm.Render(m.ctx, m.chart.With(files), o)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	for _, f := range out.Files {
		if isCRD(f) || f.Err != nil {
			continue
		}
		text.WriteString("---\n")
		text.Write(bytes.TrimRight(f.Data, "\n"))
		text.WriteString("\n")
	}
	return text.Bytes(), nil
}
