package files

import (
	"context"
	"fmt"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// Again adds to a snapshot what one chart or overlay renders, as Read would that found
// it below one of the paths of o: with the files that o says are edited. Nothing is
// rendered that objects among what is rendered ask for.
func Again(ctx context.Context, snap *evidence.Snapshot, kind, path string, o Options) error {
	r := &reader{Options: o, ctx: ctx, snap: snap, claimed: map[string]bool{}, built: map[string]bool{}, uses: map[string]uses{}}
	u := newUnit(kind, path, item{path, real(path)})
	u.named = true
	ok := false
	switch kind {
	case "helm":
		ok = r.chart(u, r.setting())
	case "kustomize":
		ok = r.overlay(u, r.rootOf(u.of), r.setting())
	}
	if !ok {
		return fmt.Errorf("render %s again: %s", path, u.fault())
	}
	r.merge(u)
	return ctx.Err()
}

// rootOf is the named folder that something is in.
func (r *reader) rootOf(it item) string {
	for _, path := range r.Paths {
		if root := real(path); within(root, it.real) {
			return root
		}
	}
	return it.real
}

// fault is the first thing that is wrong with a unit.
func (u *unit) fault() string {
	for _, t := range u.texts {
		for _, res := range t.results {
			if res.Err != nil {
				return res.Err.String()
			}
			if res.Skipped != nil {
				return res.Skipped.String()
			}
		}
	}
	return "nothing in it"
}
