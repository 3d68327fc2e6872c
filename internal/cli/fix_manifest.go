package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/fix"
	"github.com/gabion-k8s/gabion/internal/source/files"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

// manifests are files in which objects are written as they are.
type manifests struct {
	namespace string
	// names are those of the files, in the order in which they were read.
	names []string
}

func newManifests(namespace string, world *evidence.Snapshot) *manifests {
	m := &manifests{namespace: namespace}
	seen := map[string]bool{}
	for _, ref := range world.Objects {
		if name := fileOf(ref); name != "" && m.holds(ref) && !seen[name] {
			seen[name] = true
			m.names = append(m.names, name)
		}
	}
	return m
}

// fileOf is the file that an object begins in, "" when it is in none.
func fileOf(ref *evidence.Ref) string {
	if ref == nil || ref.Outline == nil {
		return ""
	}
	return ref.Outline.At(0).File
}

func (m *manifests) holds(ref *evidence.Ref) bool {
	return ref != nil && ref.Source != nil && ref.Source.Type == "manifest" && ref.Source.Ref != "-" && fileOf(ref) != ""
}

func (m *manifests) load() (texts, error) {
	all := texts{}
	for _, name := range m.names {
		text, err := readBounded(name)
		if err != nil {
			return nil, usagef("read %s: %w", name, err)
		}
		all[name] = text
	}
	return all, nil
}

func readBounded(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, reason(err)
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	case info.Size() > files.MaxFileSize:
		return nil, errors.New("too big")
	}
	text, err := os.ReadFile(name)
	return text, reason(err)
}

func (m *manifests) apply(before texts, list []wanted) (texts, []outcome) {
	edits := map[string][]fix.Edit{}
	items := map[string][]int{} // of the list, by file
	changed, outcomes := texts{}, make([]outcome, len(list))
	for i, w := range list {
		name := fileOf(w.ref)
		if _, outcomes[i].err = withObject(before[name], w.adds); outcomes[i].err != nil {
			continue
		}
		edits[name] = append(edits[name], fix.Edit{Object: w.ref.Outline.At(0), Fields: fieldsOf(w.changes)})
		items[name] = append(items[name], i)
	}
	for name := range edits {
		after, made := fix.Apply(before[name], edits[name])
		for n, i := range items[name] {
			if outcomes[i] = outcomeOf(name, list[i], made[n]); outcomes[i].err != nil {
				continue
			}
			text, err := withObject(after, list[i].adds)
			if err != nil { // though the file as it was would have taken it
				outcomes[i] = outcome{err: err}
				continue
			}
			after = text
		}
		if !bytes.Equal(after, before[name]) {
			changed[name] = after
		}
	}
	return changed, outcomes
}

// withObject is a file with an object at its end, if there is one to be added.
func withObject(text []byte, adds *check.Addition) ([]byte, error) {
	if adds == nil {
		return text, nil
	}
	out, err := fix.AddDocument(text, []byte(adds.Text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", newObject(adds), err)
	}
	return out, nil
}

// outcomeOf says which values were written into the file that an object stands in.
func outcomeOf(file string, w wanted, made fix.Outcome) outcome {
	if made.Err != nil {
		return outcome{err: made.Err}
	}
	var o outcome
	for i, c := range w.changes {
		o.edits = append(o.edits, madeEdit{file, w.ref.Position(c.Path).Line, c.Path.String(), made.Old[i], c.Value})
	}
	if w.adds != nil {
		o.edits = append(o.edits, madeEdit{file: file, value: w.adds.Text})
	}
	return o
}

func (m *manifests) read(_ context.Context, world *evidence.Snapshot, files texts) error {
	reader := manifest.Reader{Options: manifest.Options{Namespace: m.namespace, KeepJSON: true}}
	source := &evidence.Source{Type: "manifest"}
	world.Sources = append(world.Sources, source)
	for _, name := range m.names {
		manifest.Add(world, source, reader.Read(name, files[name]))
	}
	return nil
}
