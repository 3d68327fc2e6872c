package cli

import (
	"context"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/fix"
)

// texts are the bytes of files, by name.
type texts map[string][]byte

// A medium is what objects are written in: manifests, a chart, an overlay. It knows how
// a field of an object is set there, and judges nothing: whether a change helps and
// harms nothing is proven by reading the objects again.
type medium interface {
	// holds reports whether an object of the world that was read first is written in it.
	holds(ref *evidence.Ref) bool
	// load reads the files that may be edited, as they are.
	load() (texts, error)
	// apply makes changes on the files as they were loaded, whatever was made before. It
	// returns the files that differ, and those that are new, with what became of each
	// item of the list.
	apply(before texts, list []wanted) (texts, []outcome)
	// read adds to a world the objects that the files give, places and all.
	read(ctx context.Context, world *evidence.Snapshot, files texts) error
}

// A noter is a medium that says how what was made is used, in lines for people.
type noter interface {
	notes(after texts) []string
}

// A closed medium is one that no object can be added to, or not every one: it says why, by
// the files as they were loaded.
type closed interface {
	closed(before texts, a *check.Addition) error
}

// A wanted is what a finding asks to be changed in its object, and to be there besides:
// all of it, or nothing.
type wanted struct {
	ref     *evidence.Ref
	rule    string
	changes []check.Change
	adds    *check.Addition
}

// An outcome is what became of what was wanted.
type outcome struct {
	edits []madeEdit
	err   error // why it was refused, for people
}

// A madeEdit is one value that was written into a file, or an object as YAML.
type madeEdit struct {
	file string
	line int    // of the file as it was, 0 where nobody knows
	path string // "" for an object
	// old is the value that stood there as JSON, "" for none; value the new one.
	old, value string
}

// openMedia finds what the objects of a world are written in.
func (m *mender) openMedia(world *evidence.Snapshot) {
	m.media = append(m.media, newManifests(m.scan.namespace, world))
	for _, source := range world.Sources {
		switch source.Type {
		case "helm", "kustomize":
			m.media = append(m.media, m.openRendered(source)...)
		}
	}
}

// fieldsOf are changes as an edit of a file in which the object is written as it is.
func fieldsOf(changes []check.Change) []fix.Field {
	fields := make([]fix.Field, len(changes))
	for i, c := range changes {
		fields[i] = fix.Field{Path: c.Path.String(), Value: c.Value}
	}
	return fields
}
