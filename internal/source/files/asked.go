package files

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/gitops"
	"github.com/gabion-k8s/gabion/internal/source/helm"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

// Bounds on what objects may ask for: rendered charts may hold Applications that
// ask for more.
const (
	maxRenderings = 2000
	maxAskDepth   = 16
)

// A request is an object of Argo CD or Flux that was read, and what it asks for.
type request struct {
	result *manifest.Result
	file   string // real path of the file it stands in; "" when it was rendered
	depth  int
	wants  []rendering
}

// A rendering is something that can be rendered as an object asks.
type rendering struct {
	of      item
	tool    gitops.Tool
	setting setting
	// files and overlays are those of a folder of manifests.
	files, overlays []item
	// root is the named folder that it is in.
	root string
}

// key tells one rendering from another.
func (w rendering) key() string {
	key, err := json.Marshal([]any{w.of.real, w.tool, w.setting, w.files})
	if err != nil {
		return w.of.real
	}
	return string(key)
}

// follow does what the Argo CD and Flux objects in some units ask for, and what
// the objects ask for that come of it. An object in a file that another one has
// rendered is not asked itself: what is rendered of it is.
func (r *reader) follow(units ...*unit) {
	asked := r.requests(units)
	covered := map[string][]*request{}
	for _, q := range asked {
		for _, w := range q.wants {
			for _, f := range r.covers(w) {
				covered[f] = append(covered[f], q)
			}
		}
	}
	var later []*request
	for _, q := range asked {
		if q.file != "" && slices.ContainsFunc(covered[q.file], func(by *request) bool { return by.file != q.file }) {
			later = append(later, q)
			continue
		}
		r.grant(q)
	}
	for _, q := range later { // what is left asks for one another in a circle
		if !r.claimed[q.file] {
			r.grant(q)
		}
	}
}

// requests are the objects that ask for something and were not met before.
func (r *reader) requests(units []*unit) []*request {
	var list []*request
	for _, u := range units {
		for i := range u.texts {
			t := &u.texts[i]
			if t.followed || t.results == nil || !u.asked && r.claimed[t.real] {
				continue
			}
			t.followed = true
			for k := range t.results {
				if c := custom(&t.results[k]); c != nil {
					r.sources.Add(c)
					list = append(list, &request{result: &t.results[k], file: t.real, depth: u.depth})
				}
			}
		}
	}
	for _, q := range list {
		r.resolve(q)
	}
	return list
}

// custom returns the object of a result when it is one of Argo CD or Flux.
func custom(res *manifest.Result) *evidence.Custom {
	c, ok := res.Object.(*evidence.Custom)
	if !ok || !gitops.Reads(res.Ref.Group(), res.Ref.Kind) {
		return nil
	}
	c.Ref = res.Ref
	return c
}

// resolve finds out what an object asks for, and records what of it cannot be
// seen.
func (r *reader) resolve(q *request) {
	c := custom(q.result)
	renderings, opaque := gitops.Decode(c, &r.sources)
	for _, o := range opaque {
		q.opaque(o)
	}
	for _, g := range renderings {
		w, why := r.locate(g, q)
		if why == "" && q.depth >= maxAskDepth {
			why = fmt.Sprintf("is asked for by more than %d objects, each by the one before", maxAskDepth)
		}
		if why != "" {
			q.opaque(gitops.Opaque{At: g.Folder.At, Reason: why, Namespace: g.Namespace})
			continue
		}
		for _, o := range g.Unseen {
			q.opaque(o)
		}
		for _, name := range []string{".argocd-source.yaml", ".argocd-source-" + c.Name + ".yaml"} {
			if c.Kind == "Application" && isRegular(filepath.Join(w.of.name, name)) {
				q.opaque(gitops.Opaque{At: g.Folder.At, Reason: "is judged without what " + filepath.Join(w.of.name, name) + " changes", Namespace: g.Namespace})
			}
		}
		q.wants = append(q.wants, w)
	}
}

func (q *request) opaque(o gitops.Opaque) {
	at := q.result.Ref.Position(o.At)
	is := evidence.Issue{File: at.File, Line: at.Line, Column: at.Column, Reason: q.result.Ref.String() + ": " + o.Reason}
	q.result.Opaque = append(q.result.Opaque, is)
	q.result.Gaps = append(q.result.Gaps, evidence.Gap{Scope: o.Namespace, Reason: is.String()})
}

// locate finds what is to be rendered among what was named. Why says why it is
// not there.
func (r *reader) locate(g gitops.Rendering, q *request) (w rendering, why string) {
	w.of, w.root, why = r.find(g.Folder, q)
	if why != "" {
		return w, why
	}
	w.tool = g.Tool
	info, err := os.Stat(w.of.name)
	if err != nil {
		return w, fmt.Sprintf("%s: %v", w.of.name, reason(err))
	}
	isChart := isArchive(w.of.name) && !info.IsDir() || isRegular(filepath.Join(w.of.name, "Chart.yaml"))
	switch {
	case w.tool == gitops.Auto && isChart:
		w.tool = gitops.Helm
	case w.tool == gitops.Auto && isOverlay(w.of.name):
		w.tool = gitops.Kustomize
	case w.tool == gitops.Auto:
		w.tool = gitops.Directory
	}
	w.setting = setting{Namespace: g.Namespace, ForcedNamespace: g.ForcedNamespace, Substitute: g.Substitute}
	if w.setting.Namespace == "" {
		w.setting.Namespace = r.Manifest.Namespace
	}
	switch {
	case w.tool == gitops.Helm && !isChart:
		return w, fmt.Sprintf("there is no chart in %s", w.of.name)
	case w.tool == gitops.Helm:
		r.release(&w, g, q)
	case !info.IsDir():
		return w, fmt.Sprintf("%s is not a folder", w.of.name)
	case w.tool == gitops.Kustomize && !isOverlay(w.of.name):
		return w, fmt.Sprintf("there is no kustomization in %s", w.of.name)
	case w.tool == gitops.Directory:
		r.list(&w, g.Listing)
	}
	return w, ""
}

func isRegular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// find looks for a file of a repository in the folders that were named: seen from
// the top of the working tree that the asking file or a named folder is in, or
// from the named folder itself.
func (r *reader) find(f gitops.File, q *request) (found item, root, why string) {
	repository := gitops.RepositoryName(f.Repository)
	where := repository
	if where == "" {
		where = "a repository that nothing here names"
	}
	why = fmt.Sprintf("path %q of %s is not in the folders scanned", f.Path, where)
	for _, c := range r.tops(q) {
		match := c.match(f.Repository)
		switch {
		case match == gitops.Other:
			why = fmt.Sprintf("path %q is of %s, and what is scanned is of %s", f.Path, where, gitops.RepositoryName(c.remotes[0]))
			continue
		case f.Path == "." && match != gitops.Same:
			why = fmt.Sprintf("the top of %s is asked for, and nothing tells that this is what is scanned", where)
			continue
		}
		target, err := filepath.EvalSymlinks(filepath.Join(c.top, filepath.FromSlash(f.Path)))
		if err != nil {
			continue
		}
		for _, dir := range r.folders {
			if rel, err := filepath.Rel(dir.real, target); err == nil && within(dir.real, target) {
				return item{filepath.Join(dir.name, rel), target}, dir.name, ""
			}
		}
	}
	return found, "", why
}

// tops are the folders that paths in repositories are seen from.
func (r *reader) tops(q *request) []checkout {
	var list []checkout
	add := func(c checkout) {
		if !slices.ContainsFunc(list, func(have checkout) bool { return have.top == c.top }) {
			list = append(list, c)
		}
	}
	if q.file != "" {
		if c, ok := r.checkout(filepath.Dir(q.file)); ok {
			add(c)
		}
	}
	for _, dir := range r.folders {
		c, ok := r.checkout(dir.real)
		if ok {
			add(c)
		}
		add(checkout{dir.real, c.remotes})
	}
	return list
}

// release makes Helm's options of what an object says.
func (r *reader) release(w *rendering, g gitops.Rendering, q *request) {
	rel := g.Release
	o := helm.Options{
		ReleaseName: rel.Name, Namespace: rel.Namespace, Set: rel.Set, SetString: rel.SetString,
		KubeVersion: rel.KubeVersion, APIVersions: slices.Concat(r.Helm.APIVersions, rel.APIVersions),
	}
	if o.Namespace == "" {
		o.Namespace = w.setting.Namespace
	}
	if o.KubeVersion == "" {
		o.KubeVersion = r.Helm.KubeVersion
	}
	miss := func(f gitops.File, why string) {
		q.opaque(gitops.Opaque{At: f.At, Namespace: g.Namespace, Reason: "is judged without a file of values: " + why})
	}
	for _, f := range rel.Files {
		it, _, why := r.find(f, q)
		if why != "" {
			if !rel.IgnoreMissing {
				miss(f, why)
			}
			continue
		}
		data, err := readFile(it.name)
		if err != nil {
			miss(f, fmt.Sprintf("%s: %v", it.name, err))
			continue
		}
		values, err := gitops.ReadValues(data)
		if err != nil {
			miss(f, it.name+" is not a mapping in YAML")
			continue
		}
		o.Values = gitops.MergeValues(o.Values, values)
	}
	o.Values = gitops.MergeValues(o.Values, rel.Values)
	for _, s := range rel.SetFile {
		it, _, why := r.find(s.File, q)
		if why != "" {
			miss(s.File, why)
			continue
		}
		o.SetFile = append(o.SetFile, s.Key+"="+strings.NewReplacer(`\`, `\\`, `,`, `\,`).Replace(it.name))
	}
	w.setting.Helm = o
}

// list finds the files of a folder of manifests.
func (r *reader) list(w *rendering, l gitops.Listing) {
	t := walk(r.ctx, w.of)
	if l.Overlays {
		for _, o := range t.overlays {
			if !slices.ContainsFunc(w.overlays, func(above item) bool { return within(above.real, o.real) }) {
				w.overlays = append(w.overlays, o)
			}
		}
	}
	reads := l.Matcher()
	for _, f := range t.manifests {
		rel, err := filepath.Rel(w.of.name, f.name)
		if err != nil || !reads(filepath.ToSlash(rel)) {
			continue
		}
		if !slices.ContainsFunc(w.overlays, func(above item) bool { return within(above.real, f.real) }) {
			w.files = append(w.files, f)
		}
	}
}

// covers are the files, by real path, that a rendering is made of.
func (r *reader) covers(w rendering) []string {
	var files []string
	for _, f := range w.files {
		files = append(files, f.real)
	}
	overlays := w.overlays
	if w.tool == gitops.Kustomize {
		overlays = []item{w.of}
	}
	dirs := map[string]bool{}
	for _, o := range overlays {
		if r.reference(o) == nil {
			dirs[o.real] = true
		}
	}
	for f := range r.filesOf(func(dir string) bool { return dirs[dir] }) {
		files = append(files, f)
	}
	return files
}

// grant renders what an object asks for, unless it was done, and follows what
// comes of it.
func (r *reader) grant(q *request) {
	for _, w := range q.wants {
		key := w.key()
		switch {
		case r.asked[key] || r.ctx.Err() != nil:
			continue
		case len(r.asked) >= maxRenderings:
			q.opaque(gitops.Opaque{Reason: fmt.Sprintf("is not rendered: %d things were that objects ask for", maxRenderings), Namespace: w.setting.Namespace})
			continue
		}
		r.asked[key] = true
		units := r.render(w, q)
		r.renderings = append(r.renderings, units...)
		r.follow(units...)
	}
}

// render renders what an object asks for.
func (r *reader) render(w rendering, q *request) []*unit {
	begin := func(kind string, of item) *unit {
		u := newUnit(kind, fmt.Sprintf("%s (%s)", of.name, q.result.Ref), of)
		u.asked, u.depth = true, q.depth+1
		return u
	}
	switch w.tool {
	case gitops.Helm:
		u := begin("helm", w.of)
		if r.chart(u, w.setting) {
			r.claimed[w.of.real] = true
		}
		return []*unit{u}
	case gitops.Kustomize:
		w.overlays = []item{w.of}
	}
	var units []*unit
	if len(w.files) > 0 {
		u := begin("manifest", w.of)
		u.texts = make([]text, len(w.files))
		var all []*text
		for i, f := range w.files {
			u.texts[i] = text{item: f, found: true}
			r.claimed[f.real] = true
			all = append(all, &u.texts[i])
		}
		r.read(all, w.setting)
		units = append(units, u)
	}
	for _, o := range w.overlays {
		u := begin("kustomize", o)
		if err := r.reference(o); err != nil {
			u.texts = append(u.texts, unbuilt(o, err))
		} else {
			r.overlay(u, w.root, w.setting)
		}
		r.claimed[o.real] = true
		units = append(units, u)
	}
	return units
}
