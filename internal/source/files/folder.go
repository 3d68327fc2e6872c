package files

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/kustomize"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

// A folder is a path that names a folder, sorted.
type folder struct {
	item
	plain    *unit
	overlays []*unit
}

// folder sorts a folder of mixed content. What overlays are made of is not
// judged by itself, unless the overlay that uses it cannot be built.
func (r *reader) folder(dir item) {
	t := walk(r.ctx, dir)
	f := &folder{item: dir, plain: newUnit("manifest", dir.name, item{})}
	r.folders = append(r.folders, f)
	found := len(t.manifests) + len(t.overlays) + len(t.charts)
	t.manifests, t.overlays, t.charts = r.fresh(t.manifests), r.fresh(t.overlays), r.fresh(t.charts)
	left := len(t.manifests) + len(t.overlays) + len(t.charts)
	switch {
	case found == 0 && len(t.faults) == 0:
		f.plain.warn(dir.name, "nothing to judge in it: no manifest, no chart, no kustomization")
	case found > 0 && left == 0:
		f.plain.warn(dir.name, "read once only: it is part of an earlier path")
	}
	var broken []*unit
	for _, o := range t.overlays {
		u := newUnit("kustomize", o.name, o)
		if err := r.reference(o); err != nil {
			u.texts = append(u.texts, unbuilt(o, err))
			broken = append(broken, u)
			continue
		}
		f.overlays = append(f.overlays, u)
	}
	overlays := map[string]bool{}
	for _, o := range t.overlays {
		overlays[o.real] = true
	}
	used := r.filesOf(func(dir string) bool { return overlays[dir] })
	for _, it := range t.manifests {
		f.plain.texts = append(f.plain.texts, text{item: it, found: true, beside: isBelow(it.real, overlays), waits: used[it.real]})
	}
	for _, fault := range t.faults {
		f.plain.add(cmp.Or(fault.Err, fault.Skipped).File, []manifest.Result{fault})
	}
	if len(f.plain.texts) > 0 || len(f.plain.Warnings) > 0 {
		r.add(f.plain)
	}
	for _, u := range slices.Concat(f.overlays, broken) {
		r.add(u)
	}
	for _, c := range t.charts {
		r.addChart(c).named = c.real == dir.real
	}
}

// isBelow reports whether a file is in one of some folders, at any depth.
func isBelow(file string, folders map[string]bool) bool {
	for dir := filepath.Dir(file); ; dir = filepath.Dir(dir) {
		if folders[dir] {
			return true
		}
		if dir == filepath.Dir(dir) {
			return false
		}
	}
}

// fresh leaves out what an earlier path has brought.
func (r *reader) fresh(list []item) []item {
	return slices.DeleteFunc(list, func(it item) bool {
		seen := r.seen[it.real]
		r.seen[it.real] = true
		return seen
	})
}

// uses is what a kustomization is made of, by real paths, or why that cannot be told.
type uses struct {
	kustomize.Refs
	err error
}

// reference learns what an overlay is made of.
func (r *reader) reference(dir item) error {
	u, known := r.uses[dir.real]
	if !known {
		u.Refs, u.err = kustomize.References(dir.name)
		for i, f := range u.Folders {
			u.Folders[i] = real(f)
		}
		for i, f := range u.Files {
			u.Files[i] = real(f)
		}
		r.uses[dir.real] = u
	}
	return u.err
}

// reached are the overlays that some overlays are made of, and these themselves.
func (r *reader) reached(from func(dir string) bool) map[string]bool {
	reached := map[string]bool{}
	var visit func(dir string)
	visit = func(dir string) {
		if reached[dir] {
			return
		}
		reached[dir] = true
		if r.reference(item{dir, dir}) == nil {
			for _, f := range r.uses[dir].Folders {
				visit(f)
			}
		}
	}
	for _, dir := range slices.Collect(maps.Keys(r.uses)) { // visiting adds to them
		if from(dir) {
			visit(dir)
		}
	}
	return reached
}

// filesOf are the files that some overlays are made of.
func (r *reader) filesOf(from func(dir string) bool) map[string]bool {
	files := map[string]bool{}
	for dir := range r.reached(from) {
		for _, f := range r.uses[dir].Files {
			files[f] = true
		}
	}
	return files
}

// overlays builds the overlays of a folder: those that no other uses, and, of
// those that cannot be built, the bases. Then it reads the files that are left.
func (r *reader) overlays(f *folder) {
	for u := r.nextOverlay(f); u != nil; u = r.nextOverlay(f) {
		r.overlay(u, f.real, r.setting())
		r.follow(u)
	}
	used := r.filesOf(func(dir string) bool { return r.built[dir] })
	var left []*text
	for i := range f.plain.texts {
		if t := &f.plain.texts[i]; t.waits && !used[t.real] && !r.claimed[t.real] {
			left = append(left, t)
		}
	}
	r.read(left, r.setting())
	r.follow(f.plain)
}

// nextOverlay is the first overlay that is neither built nor part of one that is,
// and that no other such overlay uses; if each is used by another, the first.
func (r *reader) nextOverlay(f *folder) *unit {
	done := r.reached(func(dir string) bool { return r.built[dir] })
	var open []*unit
	used := map[string]bool{}
	for _, u := range f.overlays {
		dir := u.of.real
		if _, tried := r.built[dir]; tried || done[dir] || r.claimed[dir] {
			continue
		}
		open = append(open, u)
		for _, base := range r.uses[dir].Folders {
			if base != dir {
				used[base] = true
			}
		}
	}
	for _, u := range open {
		if !used[u.of.real] {
			return u
		}
	}
	if len(open) > 0 {
		return open[0]
	}
	return nil
}

// overlay builds a Kustomize folder below root and reports whether that worked.
func (r *reader) overlay(u *unit, root string, s setting) bool {
	dir := u.of
	r.built[dir.real] = false
	if r.uses[dir.real].Kind == "Component" {
		u.texts = append(u.texts, text{results: skipped(r.uses[dir.real].File, "a component that no overlay uses: it is rendered only as part of one")})
		return false
	}
	r.say(dir.name)
	built, err := kustomize.BuildEdited(r.ctx, dir.name, root, r.Edited)
	if err != nil {
		u.texts = append(u.texts, unbuilt(dir, err))
		return false
	}
	for _, o := range built.Objects {
		decoder := r.decoder(s)
		decoder.Place = o.Place
		u.add(o.Origin, s.finish(decoder.Read(o.Origin, s.Substitute.Replace(o.Data))))
	}
	for _, w := range built.Warnings {
		u.warn("", "%s", w)
	}
	r.built[dir.real] = true
	return true
}

func unbuilt(dir item, err error) text {
	at := evidence.Issue{File: dir.name, Reason: err.Error()}
	var located *kustomize.Error
	if errors.As(err, &located) {
		at = evidence.Issue{File: cmp.Or(located.File, dir.name), Line: located.Line, Reason: located.Reason}
	}
	at.Reason = fmt.Sprintf("kustomization %s cannot be built: %s", dir.name, at.Reason)
	return text{item: item{name: at.File}, results: []manifest.Result{manifest.Unread(at)}}
}
