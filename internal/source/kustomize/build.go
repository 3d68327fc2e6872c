package kustomize

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// Built is what a kustomization renders to.
type Built struct {
	Objects  []*Object
	Warnings []string // FILE:LINE: TEXT, of what Kustomize lets pass: a patch that hits nothing
}

// An Object is one rendered object.
type Object struct {
	Data   []byte // YAML, as "kustomize build" prints it
	Origin string // the file it was written in; for a generated one the kustomization file

	by      *visit     // where it entered the build; nil when unknown
	node    *yaml.Node // as written in Origin; nil for a generated one
	names   []string   // the names it has had, the newest last
	writers []*visit   // the kustomizations that could change it, in their order
	layers  []layer    // the patches that hit it, in their order
	made    []generator
	madeBy  []*visit // of each of made
}

// maxTime bounds one build, whatever the caller's context says.
const maxTime = time.Minute

// turn lets one build run at a time: Kustomize keeps the schemas of all builds of
// a process in one place.
var turn = make(chan struct{}, 1)

// Build renders the kustomization in dir. Root is the folder that is being
// scanned: symbolic links may not lead out of it. Nothing is fetched, run or
// written. Every error is an *Error; none quotes the value of a Secret.
//
// A build that does not end in time is left behind, stopping at the next file
// that it reads.
func Build(ctx context.Context, dir, root string) (*Built, error) {
	return BuildEdited(ctx, dir, root, nil)
}

// BuildEdited renders what Build would if the files with these paths had these bytes,
// whether they exist or not.
func BuildEdited(ctx context.Context, dir, root string, edited map[string][]byte) (built *Built, err error) {
	defer func() {
		if p := recover(); p != nil {
			built, err = nil, &Error{File: dir, Reason: "kustomize fails on it"}
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	files, err := newView(edited)
	if err != nil {
		return nil, &Error{File: dir, Reason: reason(err)}
	}
	t, err := newTree(ctx, dir, root, files)
	if err != nil {
		return nil, err
	}
	top := t.visits[0]
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, &Error{File: top.file, Reason: "not built: " + reason(ctx.Err())}
	}
	type result struct {
		built *Built
		err   error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-turn }()
		built, err := t.build(ctx)
		done <- result{built, err}
	}()
	select {
	case r := <-done:
		return r.built, r.err
	case <-ctx.Done():
		return nil, &Error{File: top.file, Reason: "not built: " + reason(ctx.Err())}
	}
}

func (t *tree) build(ctx context.Context) (built *Built, err error) {
	top := t.visits[0]
	defer func() {
		if p := recover(); p != nil {
			built, err = nil, &Error{File: top.file, Reason: t.safe(fmt.Sprintf("kustomize fails on it: %v", p))}
		}
	}()
	if err := t.checkCopies(); err != nil {
		return nil, err
	}
	if t.openAPI {
		defer openapi.ResetOpenAPI() // or its schema would be that of later builds too
	}
	d := newDisk(ctx, t)
	m, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(d, top.real)
	if err != nil {
		return nil, t.locate(err)
	}
	return t.collect(d, m)
}

// maxCopies is more than any patch has a use for.
const maxCopies = 20

// checkCopies keeps JSON patches from doubling an object again and again.
func (t *tree) checkCopies() error {
	size := 0
	for _, uses := range t.uses {
		for _, u := range uses {
			if text, err := t.view.read(u.file); err == nil {
				size += len(text)
			}
		}
	}
	if t.copies > maxCopies || t.copies > 0 && size<<t.copies > 4*maxTotal {
		return &Error{File: t.visits[0].file, Reason: fmt.Sprintf("%d copy operations in JSON patches", t.copies)}
	}
	return nil
}

func (t *tree) collect(d *disk, m resmap.ResMap) (*Built, error) {
	built := &Built{}
	hit := map[*patch]bool{}
	for _, r := range m.Resources() {
		o, err := t.object(d, r, hit)
		if err != nil {
			return nil, t.locate(err)
		}
		built.Objects = append(built.Objects, o)
	}
	built.Warnings = t.unused(hit)
	return built, nil
}

func (t *tree) object(d *disk, r *resource.Resource, hit map[*patch]bool) (*Object, error) {
	o := &Object{}
	if from := d.originOf(r); from != nil {
		o.Origin, o.by, o.node = from.file, from.by, from.node
	}
	if err := r.PipeE(kyaml.FieldClearer{Name: d.mark}); err != nil {
		return nil, err
	}
	var err error
	if o.Data, err = r.AsYAML(); err != nil {
		if text, _ := t.view.read(o.Origin); text != nil {
			return nil, notYAML(o.Origin, text, err)
		}
		return nil, err
	}
	t.trace(o, r, hit)
	return o, nil
}

// originOf reads the mark of an object, or returns nil. An object that a generator
// was merged into has lost it: it is known by its name.
func (d *disk) originOf(r *resource.Resource) *origin {
	if n, err := r.Pipe(kyaml.Get(d.mark)); err == nil && n != nil {
		if i, err := strconv.Atoi(n.YNode().Value); err == nil && i >= 0 && i < len(d.marks) {
			return &d.marks[i]
		}
	}
	for i := range d.marks {
		m := &d.marks[i]
		if scalar(m.node, "kind") != r.GetKind() || m.by.namespace(scalar(m.node, "metadata", "namespace")) != r.GetNamespace() {
			continue
		}
		if final := m.by.rename(scalar(m.node, "metadata", "name")); final == r.GetName() || final == trimHash(r.GetName()) {
			return m
		}
	}
	return nil
}

// trace finds what could have changed the object on its way.
func (t *tree) trace(o *Object, r *resource.Resource, hit map[*patch]bool) {
	if o.by == nil {
		o.by = t.generatedBy(r.GetKind(), r.GetName(), r.GetNamespace())
		o.Origin = t.visits[0].file
		if o.by != nil {
			o.Origin = o.by.file
		}
	}
	o.writers = []*visit{t.visits[0]}
	if o.by != nil {
		o.writers = o.by.writers()
	}
	o.names = namesOf(o, r)
	for _, w := range o.writers {
		for _, p := range w.patches {
			if p.hits(o, r) {
				hit[p] = true
				o.layers = append(o.layers, p.layers(o, r)...)
			}
		}
		for _, g := range w.generators() {
			if g.node != nil && g.kind == r.GetKind() && contains(o.names, g.Name) {
				o.made, o.madeBy = append(o.made, g), append(o.madeBy, w)
			}
		}
	}
}

// writers are the kustomizations that change what enters the build at v, in the
// order in which they do.
func (v *visit) writers() []*visit {
	var list []*visit
	seen := map[*visit]bool{}
	var add func(*visit)
	add = func(w *visit) {
		if seen[w] {
			return
		}
		seen[w] = true
		for _, c := range w.components {
			add(c)
		}
		list = append(list, w)
	}
	for ; v != nil; v = v.parent {
		add(v)
	}
	return list
}

// contains tells whether one of the names is name, or is made from it.
func contains(names []string, name string) bool {
	for _, n := range names {
		if name != "" && strings.Contains(n, name) {
			return true
		}
	}
	return false
}

// namesOf are the names that an object had on its way, by which patches may have
// found it.
func namesOf(o *Object, r *resource.Resource) []string {
	var names []string
	name := scalar(o.node, "metadata", "name")
	if o.node == nil && o.by != nil {
		for _, g := range o.by.generators() {
			if g.kind == r.GetKind() && strings.HasPrefix(trimHash(r.GetName()), o.by.rename(g.Name)) {
				name = g.Name
			}
		}
	}
	if name != "" {
		names = append(names, name)
		for _, w := range o.writers {
			name = w.spec.NamePrefix + name + w.spec.NameSuffix
			names = append(names, name)
		}
	}
	return append(names, r.GetName())
}

// rename is what a name given in v is called in the end.
func (v *visit) rename(name string) string {
	for _, w := range v.writers() {
		name = w.spec.NamePrefix + name + w.spec.NameSuffix
	}
	return name
}

var hashSuffix = regexp.MustCompile(`-[0-9a-z]{10}$`)

func trimHash(name string) string { return hashSuffix.ReplaceAllString(name, "") }

// generatedBy finds the kustomization whose generator made an object, or nil. When
// two uses of one base differ in the namespace only, that tells them apart.
func (t *tree) generatedBy(kind, name, namespace string) *visit {
	var found *visit
	for _, v := range t.visits {
		for _, g := range v.generators() {
			if g.kind != kind || g.Behavior == "merge" || g.Behavior == "replace" {
				continue
			}
			if final := v.rename(g.Name); final != name && final != trimHash(name) {
				continue
			}
			if v.namespace(g.Namespace) == namespace {
				return v
			}
			if found == nil {
				found = v
			}
		}
	}
	return found
}

// namespace is the one that an object made in v with this one ends in.
func (v *visit) namespace(own string) string {
	for _, w := range v.writers() {
		if w.spec.Namespace != "" {
			own = w.spec.Namespace
		}
	}
	return own
}

// unused warns of patches with a target that hit nothing: Kustomize does not.
func (t *tree) unused(hit map[*patch]bool) []string {
	var warnings []string
	seen := map[*patch]bool{}
	for _, v := range t.visits {
		for _, p := range v.patches {
			if p.target != nil && !hit[p] && !seen[p] {
				warnings = append(warnings, fmt.Sprintf("%s:%d: the patch matches no object", v.file, p.line))
			}
			seen[p] = true
		}
	}
	return warnings
}

// locate turns an error of Kustomize's, which names no place, into one that
// does as far as the place can be told.
func (t *tree) locate(err error) error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	if len(t.broken) > 0 {
		return t.broken[0]
	}
	text := err.Error()
	e := &Error{File: t.visits[0].file, Reason: t.safe(text)}
	for _, v := range t.visits {
		for _, p := range v.patches {
			if at, ok := p.blamed(text); ok {
				e.File, e.Line = at.File, at.Line
				return e
			}
		}
	}
	for _, v := range t.visits {
		if strings.Contains(text, "'"+v.real+"'") {
			e.File = v.file // the innermost is named last
		}
	}
	return e
}

// quoted is what Kustomize quotes of its input: a generator's configuration, a
// patch, an object.
var quoted = regexp.MustCompile("(?s)(with config: )`.*`|(\\[patch: )\".*\"|(in object ).*|(set at the same time).*|(one of patch and path in).*")

// internals are what Kustomize prints of its own memory.
var internals = regexp.MustCompile(`&\{0x[^}]*\}`)

// maxReason bounds a reason that Kustomize words, in bytes.
const maxReason = 400

// safe is the text of an error of Kustomize's without configuration that it
// quotes, without absolute paths, and not at all if it names a secret.
func (t *tree) safe(text string) string {
	text = quoted.ReplaceAllString(text, "$1$2$3$4$5(not shown)")
	text = internals.ReplaceAllString(text, "")
	for _, s := range t.secrets() {
		if strings.Contains(text, s) {
			return "kustomize does not build it; its message is withheld because it quotes a Secret"
		}
	}
	for _, v := range t.visits {
		text = strings.ReplaceAll(text, v.real+string(filepath.Separator), v.dir+string(filepath.Separator))
		text = strings.ReplaceAll(text, v.real+"'", v.dir+"'")
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}

// minSecret is the length from which a value counts as one that could be told
// from a word of a message.
const minSecret = 4

// secrets are the values of Secrets in everything that the build reads, as
// written and decoded.
func (t *tree) secrets() []string {
	var list []string
	add := func(s string) {
		for _, line := range append(strings.Split(s, "\n"), s) {
			if line = strings.TrimSpace(line); len(line) >= minSecret {
				list = append(list, line)
			}
		}
	}
	addObject := func(o *yaml.Node) {
		for _, name := range []string{"data", "stringData"} {
			_, values := field(o, name)
			for _, v := range scalars(resolve(values)) {
				add(v)
				if plain, err := base64.StdEncoding.DecodeString(v); err == nil {
					add(string(plain))
				}
			}
		}
	}
	for _, docs := range t.files {
		for _, d := range docs {
			for _, o := range objectsIn(d) {
				if scalar(o, "kind") == "Secret" {
					addObject(o)
				}
			}
		}
	}
	for _, k := range t.loaded {
		for _, g := range k.spec.SecretGenerator {
			for _, l := range g.LiteralSources {
				_, v, _ := strings.Cut(l, "=")
				add(v)
			}
			for _, f := range g.EnvSources {
				text, _ := t.view.read(filepath.Join(k.dir, f))
				for _, l := range strings.Split(string(text), "\n") {
					_, v, _ := strings.Cut(l, "=")
					add(v)
				}
			}
		}
		for _, text := range k.inline() {
			docs, _ := parse([]byte(text))
			for _, d := range docs {
				if scalar(d, "kind") == "Secret" {
					addObject(d)
				}
			}
		}
	}
	return list
}

// scalars are the values below a node of a source, not through aliases.
func scalars(n *yaml.Node) []string {
	if n == nil {
		return nil
	}
	if n.Kind == yaml.ScalarNode {
		return []string{n.Value}
	}
	var list []string
	for _, c := range n.Content {
		list = append(list, scalars(c)...)
	}
	return list
}

// Names are the names that the object has had on its way, the newest last: patches
// may have found it by any of them.
func (o *Object) Names() []string { return slices.Clone(o.names) }

// Written is where the object begins in the file it was written in; false for one
// that a generator made.
func (o *Object) Written() (evidence.Position, bool) {
	if o.node == nil {
		return evidence.Position{}, false
	}
	return inFile(o.Origin, o.node), true
}

// Patched tells whether a patch hit the object.
func (o *Object) Patched() bool { return len(o.layers) > 0 }
