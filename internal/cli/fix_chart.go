package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/fix/chart"
	"github.com/gabion-k8s/gabion/internal/fix/fieldpath"
	layers "github.com/gabion-k8s/gabion/internal/fix/overlay"
	"github.com/gabion-k8s/gabion/internal/fix/rendered"
	"github.com/gabion-k8s/gabion/internal/source/files"
	"github.com/gabion-k8s/gabion/internal/source/helm"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

// openRendered returns what the objects of a chart or an overlay are written in; none
// when there are no objects, or Argo CD or Flux has them rendered in its own way.
func (m *mender) openRendered(source *evidence.Source) []medium {
	if _, err := os.Lstat(source.Ref); err != nil || source.Objects == 0 {
		return nil
	}
	read := files.Options{
		Paths: m.scan.paths, Helm: m.scan.helm,
		Manifest: manifest.Options{Namespace: m.scan.namespace, KeepJSON: true},
	}
	read.Helm.Namespace = m.scan.namespace
	if read.Helm.KubeVersion == "" {
		read.Helm.KubeVersion = "v" + m.plan.engine.Settings.Version.String() + ".0"
	}
	base := renderedSource{source: source, options: read}
	if source.Type == "kustomize" {
		return []medium{&overlay{renderedSource: base, editBase: m.overlay.base}}
	}
	return []medium{&chartFolder{renderedSource: base}}
}

// A renderedSource is a chart or an overlay that objects were read from.
type renderedSource struct {
	source  *evidence.Source
	options files.Options
	made    []madeBefore
}

// madeBefore remembers what was made of a list: the same is asked for again and again.
type madeBefore struct {
	key      string
	files    texts
	outcomes []outcome
}

// once makes what is wanted, unless it was made before.
func (r *renderedSource) once(before texts, list []wanted, make func(texts, []wanted) (texts, []outcome)) (texts, []outcome) {
	key := keyOf(list)
	for _, known := range r.made {
		if known.key == key {
			return known.files, slices.Clone(known.outcomes)
		}
	}
	changed, outcomes := make(before, list)
	r.made = append(r.made, madeBefore{key, changed, slices.Clone(outcomes)})
	return changed, outcomes
}

func (r *renderedSource) holds(ref *evidence.Ref) bool { return ref != nil && ref.Source == r.source }

// read renders it again.
func (r *renderedSource) read(ctx context.Context, world *evidence.Snapshot, edited texts) error {
	o := r.options
	o.Edited = edited
	return files.Again(ctx, world, r.source.Type, r.source.Ref, o)
}

// refusedAll are the outcomes of a list of which nothing can be made.
func refusedAll(list []wanted, why error) []outcome {
	outcomes := make([]outcome, len(list))
	for i := range outcomes {
		outcomes[i].err = why
	}
	return outcomes
}

// wantsOf are the fields of a list, each with the item that it is of. An item whose
// object is not found, or whose values make no sense, is refused.
func wantsOf(list []wanted, outcomes []outcome, find func(*evidence.Ref) string) (wants []rendered.Want, of []int) {
	for i, w := range list {
		id := find(w.ref)
		if id == "" {
			outcomes[i].err = errors.New("several objects of this name are rendered, or none")
			continue
		}
		var some []rendered.Want
		for _, c := range w.changes {
			want, err := rendered.NewWant(id, c.Path.String(), c.Value)
			if err != nil {
				outcomes[i].err = err
				break
			}
			some = append(some, want)
		}
		if outcomes[i].err == nil {
			wants = append(wants, some...)
			of = append(of, slices.Repeat([]int{i}, len(some))...)
		}
	}
	return wants, of
}

// A chartFolder is a chart whose values and templates are edited. Of one that is packed
// the values are that are given besides, and what is in the archive never.
type chartFolder struct {
	renderedSource
	chart  *helm.Chart
	packed bool
	// values are the files of values that may be edited, the chart's own first.
	values []string
	own    []string // names of the files that may be edited
	// patches is why no patches for a post-renderer can be written, "" when they can.
	patches string
}

func (c *chartFolder) load() (texts, error) {
	name := c.source.Ref
	info, err := os.Stat(name)
	if err != nil {
		return nil, usagef("read %s: %w", name, reason(err))
	}
	c.packed = !info.IsDir()
	if c.chart, err = files.LoadChart(name); err != nil {
		return nil, usageError{err}
	}
	all := texts{}
	for _, name := range c.templates() {
		if all[name], err = readBounded(name); err != nil {
			return nil, usagef("read %s: %w", name, err)
		}
	}
	c.values = c.options.Helm.ValuesFiles
	if !c.packed {
		c.values = append([]string{filepath.Join(name, "values.yaml")}, c.values...)
	}
	for _, name := range c.values {
		text, err := readBounded(name)
		if err == nil {
			all[name] = text
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, usagef("read %s: %w", name, err)
		}
	}
	c.own = slices.Collect(maps.Keys(all))
	return all, c.loadPatches(all)
}

// loadPatches reads the patches for a post-renderer that are there.
func (c *chartFolder) loadPatches(all texts) error {
	dir := c.postRender()
	made, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.yaml"))
	if err != nil {
		return usagef("read %s: %w", dir, err)
	}
	for _, name := range append([]string{dir}, made...) {
		if c.patches = linked(name); c.patches != "" {
			return nil
		}
	}
	for _, name := range made {
		if filepath.Base(name) == renderedName { // what the chart rendered some time
			continue
		}
		if all[name], err = readBounded(name); err != nil {
			return usagef("read %s: %w", name, err)
		}
	}
	return nil
}

// postRender is the folder of the patches for a post-renderer.
func (c *chartFolder) postRender() string {
	if c.packed {
		return helm.PostRenderBeside(c.source.Ref)
	}
	return filepath.Join(c.source.Ref, helm.PostRender)
}

// renderedName is the file in it that the post-renderer puts the chart's manifests in.
const renderedName = "rendered.yaml"

// newKustomization is the kustomization of patches for a post-renderer.
const newKustomization = `# Patches of what the chart renders. To be used:
#   helm template RELEASE CHART > rendered.yaml && kubectl kustomize .
# or by a post-renderer of Helm that puts its standard input into rendered.yaml here.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - rendered.yaml
`

// templates are the templates of the chart, and of sub-charts whose folders are its own:
// what comes from a repository would be lost when it is fetched again.
func (c *chartFolder) templates() []string {
	fetched := c.chart.Fetched()
	var names []string
	for name := range c.chart.Files() {
		below, err := filepath.Rel(c.source.Ref, name)
		if err != nil {
			continue
		}
		below = "/" + filepath.ToSlash(below)
		isFetched := slices.ContainsFunc(fetched, func(sub string) bool { return strings.HasPrefix(below, "/charts/"+sub+"/") })
		if strings.Contains(below, "/templates/") && !isFetched {
			names = append(names, name)
		}
	}
	return names
}

func (c *chartFolder) apply(before texts, list []wanted) (texts, []outcome) {
	return c.once(before, list, c.make)
}

func keyOf(list []wanted) string {
	var b strings.Builder
	for _, w := range list {
		fmt.Fprintf(&b, "%p\x00%s\x00", w.ref, w.rule)
		for _, change := range w.changes {
			fmt.Fprintf(&b, "%s=%s\x00", change.Path, change.Value)
		}
	}
	return b.String()
}

// make makes what can be made of a list: a finding is fixed as a whole or not at all.
func (c *chartFolder) make(before texts, list []wanted) (texts, []outcome) {
	maker := chart.New(context.Background(), c.chart, c.options.Helm, c.values)
	own := rendered.Files{}
	for _, name := range c.own {
		if text, exists := before[name]; exists {
			own[name] = text
		}
	}
	world, _, err := maker.Render(own)
	if err != nil {
		return nil, refusedAll(list, err)
	}
	outcomes := make([]outcome, len(list))
	find := func(ref *evidence.Ref) string {
		return world.FindNamed(ref.APIVersion, ref.Kind, ref.Namespace, ref.Name)
	}
	wants, of := wantsOf(list, outcomes, find)
	result, err := rendered.MakeWhole(maker.Make, own, wants, of)
	if err != nil {
		return nil, refusedAll(list, err)
	}
	if slices.Contains(result.Done, false) && c.patches == "" {
		return c.patch(maker, world, before, own, result, wants, of, outcomes)
	}
	return settle(world, own, result, wants, of, outcomes)
}

// patch adds patches for a post-renderer for what neither values nor templates decide.
func (c *chartFolder) patch(maker *chart.Maker, was *rendered.World, before texts, own rendered.Files, result rendered.Result, wants []rendered.Want, of []int, outcomes []outcome) (texts, []outcome) {
	changed, outcomes := settle(was, own, result, wants, of, outcomes)
	var left []rendered.Want
	var groups, at []int
	for i, w := range wants {
		if !result.Done[i] {
			left, groups, at = append(left, w), append(groups, of[i]), append(at, i)
		}
	}
	text, err := maker.Text(result.Files)
	if err != nil {
		return changed, outcomes
	}
	dir := c.postRender()
	file := filepath.Join(dir, "kustomization.yaml")
	files := rendered.Files{file: []byte(newKustomization), filepath.Join(dir, renderedName): text}
	for name, text := range before {
		if filepath.Dir(name) == dir {
			files[name] = text
		}
	}
	patched, err := rendered.MakeWhole(layers.New(context.Background(), dir, dir, file, false).Make, files, left, groups)
	if err != nil {
		return changed, outcomes
	}
	for n := range left {
		if patched.Done[n] {
			outcomes[of[at[n]]] = outcome{}
		}
	}
	more, outcomes := settle(was, files, patched, left, groups, outcomes)
	if _, existed := before[file]; !existed && len(more) > 0 {
		more[file] = patched.Files[file]
	}
	for name, text := range more {
		changed[name] = text
	}
	return changed, outcomes
}

// read renders the chart again, and makes the patches for a post-renderer.
func (c *chartFolder) read(ctx context.Context, world *evidence.Snapshot, edited texts) error {
	file := filepath.Join(c.postRender(), "kustomization.yaml")
	if _, patched := edited[file]; c.chart == nil || !patched {
		return c.renderedSource.read(ctx, world, edited)
	}
	text, err := chart.New(ctx, c.chart, c.options.Helm, nil).Text(rendered.Files(edited))
	if err != nil {
		return err
	}
	all := rendered.Files{filepath.Join(c.postRender(), renderedName): text}
	for name, text := range edited {
		if filepath.Dir(name) == c.postRender() {
			all[name] = text
		}
	}
	now, built, err := layers.New(ctx, c.postRender(), c.postRender(), file, false).Render(all)
	if err != nil {
		return err
	}
	again := *c
	again.options.Replace = func(ref *evidence.Ref) []byte {
		id := now.FindNamed(ref.APIVersion, ref.Kind, ref.Namespace, ref.Name)
		if o := built[id]; o != nil && o.Patched() {
			return o.Data
		}
		return nil
	}
	return again.renderedSource.read(ctx, world, edited)
}

// notes says how the patches for a post-renderer are used.
func (c *chartFolder) notes(after texts) []string {
	dir := c.postRender()
	for name := range after {
		if filepath.Dir(name) != dir {
			continue
		}
		why := "its values and templates do not decide"
		if c.packed {
			why = "no file of values outside of it decides"
		}
		return []string{
			fmt.Sprintf("%s has patches of what %s renders, for what %s. To use them:", dir, c.source.Ref, why),
			fmt.Sprintf("  helm template RELEASE %s > %s && kubectl kustomize %s", c.arguments(), filepath.Join(dir, renderedName), dir),
		}
	}
	return nil
}

// arguments are those of Helm to render the chart as it was: values may be secrets, and
// are not repeated.
func (c *chartFolder) arguments() string {
	words := []string{c.source.Ref}
	for _, name := range c.options.Helm.ValuesFiles {
		words = append(words, "--values "+name)
	}
	for flag, given := range map[string][]string{"--set": c.options.Helm.Set, "--set-string": c.options.Helm.SetString, "--set-file": c.options.Helm.SetFile} {
		if len(given) > 0 {
			words = append(words, flag+" ...")
		}
	}
	slices.Sort(words[1+len(c.options.Helm.ValuesFiles):])
	return strings.Join(words, " ")
}

// settle says what became of the items of a list, and which files differ.
func settle(was *rendered.World, before rendered.Files, result rendered.Result, wants []rendered.Want, of []int, outcomes []outcome) (texts, []outcome) {
	for i := range wants {
		o := &outcomes[of[i]]
		switch way := result.Made[i]; {
		case !result.Done[i]:
			if o.err == nil {
				o.err = errors.New(result.Reason[i])
			}
		case way != nil:
			for _, e := range way.Edits {
				o.edits = append(o.edits, madeEditOf(was, e, wants[i]))
			}
		}
	}
	changed := texts{}
	for name, text := range result.Files {
		if was, existed := before[name]; !existed || !bytes.Equal(was, text) {
			changed[name] = text
		}
	}
	return changed, outcomes
}

// madeEditOf says what an edit sets: a field of the file, or one of the object that the
// file's line makes. What stood there is what was rendered.
func madeEditOf(was *rendered.World, e rendered.Edit, want rendered.Want) madeEdit {
	made := madeEdit{file: e.File, line: e.Line, path: want.Path.String(), value: want.Text}
	if len(e.Fields) > 0 {
		made.path = e.Fields[0].Path
	}
	o, _ := was.Find(want.Object)
	if old, found := fieldpath.Get(o.Tree, want.Path); found {
		if text, err := json.Marshal(old); err == nil {
			made.old = string(text)
		}
	}
	return made
}
