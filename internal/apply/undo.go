package apply

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/gabion-k8s/gabion/internal/fix/patch"
)

// A WayBack is what it takes to undo changes of one cluster: a file that is written
// before them.
type WayBack struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Cluster is the one that was changed.
	Cluster Cluster `json:"cluster"`
	// Objects are those that were or were about to be changed, in that order.
	Objects []Entry `json:"objects"`
}

// The identity of the format.
const (
	wayBackVersion = "gabion.dev/v1"
	wayBackKind    = "FixUndo"
)

// A Cluster is one that was changed.
type Cluster struct {
	// Name is what its user calls it.
	Name string `json:"name"`
	// UID is the UID of the Namespace kube-system, which no two clusters share.
	UID string `json:"uid"`
}

// An Entry is what was changed of one object, or one that was made.
type Entry struct {
	APIVersion string             `json:"apiVersion"`
	Kind       string             `json:"kind"`
	Namespace  string             `json:"namespace,omitempty"`
	Name       string             `json:"name"`
	UID        string             `json:"uid,omitempty"` // of one that was there
	Changes    []patch.Difference `json:"changes,omitempty"`
	// Made is the whole object where it was not there before, and By names the one that
	// it was made for: Deployment shop/web.
	Made patch.Object `json:"made,omitempty"`
	By   string       `json:"by,omitempty"`
}

// String names the object as people do: Deployment shop/web.
func (e Entry) String() string {
	if e.Namespace == "" {
		return e.Kind + " " + e.Name
	}
	return e.Kind + " " + e.Namespace + "/" + e.Name
}

// Add adds the change of a trial, or the object that it makes.
func (w *WayBack) Add(t *Trial) {
	e := entryOf(t.now)
	if e.Changes = t.Changes; t.By != "" {
		e.Made, e.By = t.Configuration, t.By
	}
	w.Objects = append(w.Objects, e)
}

func entryOf(o patch.Object) Entry {
	return Entry{
		APIVersion: o.Text("apiVersion"), Kind: o.Text("kind"),
		Namespace: o.Text("metadata", "namespace"), Name: o.Text("metadata", "name"), UID: o.Text("metadata", "uid"),
	}
}

// Write writes the way back to a file, in one step, and returns when it is on the disk.
func (w *WayBack) Write(name string) error {
	w.APIVersion, w.Kind = wayBackVersion, wayBackKind
	text, err := json.MarshalIndent(w, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".gabion-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(text, '\n'))
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), name); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// maxWayBack is how many bytes of a file are read.
const maxWayBack = 256 << 20

// ReadWayBack reads a file that Write has written.
func ReadWayBack(from io.Reader) (*WayBack, error) {
	text, err := io.ReadAll(io.LimitReader(from, maxWayBack+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxWayBack:
		return nil, errors.New("it is too large")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	d.DisallowUnknownFields()
	w := &WayBack{}
	if err := d.Decode(w); err != nil {
		return nil, fmt.Errorf("it is not what gabion fix --apply writes: %w", err)
	}
	if w.APIVersion != wayBackVersion || w.Kind != wayBackKind || w.Cluster.UID == "" {
		return nil, fmt.Errorf("it is not what gabion fix --apply writes: it is a %q of %q", w.Kind, w.APIVersion)
	}
	for _, e := range w.Objects {
		if e.APIVersion == "" || e.Kind == "" || e.Name == "" || (e.UID == "") == (e.Made == nil) {
			return nil, fmt.Errorf("%s: not all of an object is named", e)
		}
		if e.Made != nil && (e.String() != entryOf(e.Made).String() || e.APIVersion != e.Made.Text("apiVersion") || len(e.Changes) > 0) {
			return nil, fmt.Errorf("%s: it is said to have been made as something else", e)
		}
		for _, d := range e.Changes {
			if err := d.Valid(); err != nil {
				return nil, fmt.Errorf("%s: %w", e, err)
			}
		}
	}
	return w, nil
}
