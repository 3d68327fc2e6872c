// Package fix changes single fields in the bytes of YAML and JSON files and leaves
// every other byte as it was: comments, order, quoting, indentation, line ends,
// anchors and document markers. It knows the block and the flow style, and makes
// parents that are missing as the document would have written them.
//
// It never guesses. After every edit the document is read again as kubectl reads
// it, and the edit stands only if the field that was asked for has changed, and
// nothing else; otherwise it is refused, with the reason. It does not know which
// fields should be changed, and opens no file.
package fix

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// An Edit sets one field of one object.
type Edit struct {
	// Object is where the object stands in the file as it is before all edits, as the
	// top of its outline says. Its File is not looked at.
	Object evidence.Position
	// Path is the field, as evidence.Path spells it: spec.containers[0].image.
	Path string
	// Value is the new value as YAML in flow style.
	Value string
}

// An Outcome is what became of one edit.
type Outcome struct {
	// Old is the value that stood there, as JSON; "" when the field was missing.
	Old string
	// Changed is false when the value stood there already.
	Changed bool
	// Err is why the edit was refused, nil when it was made or needs none.
	Err error
}

// maxWork bounds the bytes that are read again and again while a file is edited.
const maxWork = 1 << 30

var (
	errWork     = errors.New("the document is too long for so many edits")
	errElsewise = errors.New("it cannot be written here without changing something else")
	errConflict = errors.New("another fix of the same run sets the field, or one around it, to something else")
)

// Apply makes edits, one after the other, and returns the new bytes with the
// outcome of each edit. When nothing was changed the bytes are those given.
func Apply(data []byte, edits []Edit) ([]byte, []Outcome) {
	outcomes := make([]Outcome, len(edits))
	f, err := open(data)
	if err != nil {
		return data, refuseAll(outcomes, err)
	}
	places := make([]place, len(edits))
	for i, e := range edits {
		places[i], outcomes[i].Err = f.place(e)
	}
	for i, p := range places {
		if outcomes[i].Err == nil {
			outcomes[i] = p.doc.set(p.path, p.value)
		}
	}
	for i, p := range places { // a later edit may have written over an earlier one
		if o := &outcomes[i]; o.Err == nil {
			if now, found := get(p.doc.tree, p.path); !found || !reflect.DeepEqual(now, p.value.tree) {
				o.Err = errConflict
			}
		}
	}
	if slices.ContainsFunc(outcomes, func(o Outcome) bool { return errors.Is(o.Err, errConflict) }) {
		return again(data, edits, outcomes)
	}
	out := f.bytes()
	if err := f.check(out); err != nil {
		return data, refuseAll(outcomes, err)
	}
	return out, outcomes
}

// again makes the edits that do not conflict with any other.
func again(data []byte, edits []Edit, before []Outcome) ([]byte, []Outcome) {
	var good []Edit
	var at []int
	for i, e := range edits {
		if before[i].Err == nil {
			good, at = append(good, e), append(at, i)
		}
	}
	if len(good) == 0 {
		return data, before
	}
	out, outcomes := Apply(data, good)
	for i, o := range outcomes {
		before[at[i]] = o
	}
	return out, before
}

func refuseAll(outcomes []Outcome, err error) []Outcome {
	for i := range outcomes {
		outcomes[i].Changed = false
		if outcomes[i].Err == nil {
			outcomes[i].Err = err
		}
	}
	return outcomes
}

// set sets one field of a document, or says why not.
func (d *document) set(at path, v value) Outcome {
	old, found := get(d.tree, at)
	o := Outcome{}
	if found {
		o.Old = toJSON(old)
	}
	if found && reflect.DeepEqual(old, v.tree) {
		return o
	}
	backup := *d
	for _, part := range v.parts(old, at) {
		if o.Err = d.setOne(part.at, part.value); o.Err != nil {
			*d = backup
			return o
		}
	}
	o.Changed = true
	return o
}

// setOne tries the ways in which a field can be written, and takes the first one
// that changes it and nothing else.
func (d *document) setOne(at path, v value) error {
	if had, found := get(d.tree, at); found && reflect.DeepEqual(had, v.tree) {
		return nil
	}
	want, err := with(d.tree, at, v.tree)
	if err != nil {
		return err
	}
	w, err := newWriter(d.text)
	if err != nil {
		return err
	}
	tries, err := w.ways(w.root, at, v)
	if err != nil {
		return err
	}
	for _, try := range tries {
		if *d.work += len(d.text); *d.work > maxWork {
			return errWork
		}
		text, ok := try.apply(d.text)
		if !ok || d.isJSON && !isJSON(text) {
			continue
		}
		if tree, err := decode(text); err == nil && reflect.DeepEqual(tree, want) {
			d.text, d.tree = text, want
			return nil
		}
	}
	if w.shared != "" {
		return fmt.Errorf("it is written at the anchor &%s, which other fields repeat: they would change as well", w.shared)
	}
	return errElsewise
}

// A splice puts text in place of the bytes from start to end.
type splice struct {
	start, end int
	text       string
}

// splices are in order and do not overlap.
type splices []splice

func (s splices) apply(text []byte) ([]byte, bool) {
	var out bytes.Buffer
	done := 0
	for _, p := range s {
		if p.start < done || p.end < p.start || p.end > len(text) {
			return nil, false
		}
		out.Write(text[done:p.start])
		out.WriteString(p.text)
		done = p.end
	}
	out.Write(text[done:])
	return out.Bytes(), true
}
