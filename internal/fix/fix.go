// Package fix changes single fields in the bytes of YAML and JSON files and leaves
// every other byte as it was: comments, order, quoting, indentation, line ends,
// anchors and document markers. It knows the block and the flow style, makes
// parents that are missing as the document would have written them, and adds
// elements to lists and documents to files.
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
	"github.com/gabion-k8s/gabion/internal/fix/fieldpath"
)

// An Edit sets fields of one object: all of them, or none.
type Edit struct {
	// Object is where the object stands in the file as it is before all edits, as the
	// top of its outline says. Its File is not looked at. The zero Position is the top
	// of the only document of the file.
	Object evidence.Position
	Fields []Field
}

// A Field is one that an Edit sets.
type Field struct {
	// Path is the field, as evidence.Path spells it: spec.containers[0].image. An index
	// that is the length of a list, as it is before all edits and with the elements that
	// the Edit adds before, adds an element. When several edits do so, each adds one of
	// its own, and elements that are equal are written once.
	Path string
	// Value is the new value as YAML in flow style.
	Value string
}

// An Outcome is what became of one edit.
type Outcome struct {
	// Old are the values that stood there, as JSON and in the order of the fields; ""
	// of a field that was missing.
	Old []string
	// Changed is false when the values stood there already.
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
			outcomes[i] = p.doc.setAll(p.fields)
		}
	}
	for i, p := range places { // a later edit may have written over an earlier one
		if o := &outcomes[i]; o.Err == nil && !p.stands() {
			o.Err = errConflict
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

// setAll sets fields of a document, all of them or none, and notes where those went
// that are elements added to lists.
func (d *document) setAll(fields []setting) Outcome {
	backup := *d
	o := Outcome{Old: make([]string, len(fields))}
	added := map[string][]int{}
	for i := range fields {
		s := &fields[i]
		var changed bool
		if o.Err = d.settle(s, added); o.Err == nil {
			o.Old[i], changed, o.Err = d.set(s.path, s.value)
		}
		if o.Err != nil {
			*d = backup
			return Outcome{Err: o.Err}
		}
		o.Changed = o.Changed || changed
	}
	return o
}

// settle replaces the indices past the end of lists, as they were before all edits, by
// those that the elements get. added are those of the elements that the edit has added
// so far, by list.
func (d *document) settle(s *setting, added map[string][]int) error {
	s.path = slices.Clone(s.path)
	for i, step := range s.path {
		above := s.path[:i]
		was, _ := fieldpath.Get(d.was, above)
		n := step.Index - length(was)
		if step.Name != "" || n < 0 {
			continue
		}
		list := fmt.Sprint(above)
		if n > len(added[list]) {
			return fmt.Errorf("there is no element %d", step.Index)
		}
		if n == len(added[list]) {
			added[list] = append(added[list], d.free(above, length(was), s, i == len(s.path)-1))
		}
		s.path[i].Index = added[list][n]
	}
	return nil
}

// free is the index that an element added to a list gets: that of an equal one which
// another edit has added, else the next one. from is how many elements there were.
func (d *document) free(list fieldpath.Path, from int, s *setting, whole bool) int {
	now, _ := fieldpath.Get(d.tree, list)
	elements, _ := now.([]any)
	for i := from; whole && i < len(elements); i++ {
		if reflect.DeepEqual(elements[i], s.value.tree) {
			return i
		}
	}
	return len(elements)
}

func length(tree any) int {
	list, _ := tree.([]any)
	return len(list)
}

// set sets one field of a document, or says why not. It returns what stood there.
func (d *document) set(at fieldpath.Path, v value) (old string, changed bool, err error) {
	had, found := fieldpath.Get(d.tree, at)
	if found {
		old = toJSON(had)
	}
	if found && reflect.DeepEqual(had, v.tree) {
		return old, false, nil
	}
	for _, part := range v.parts(had, at) {
		if err := d.setOne(part.at, part.value); err != nil {
			return "", false, err
		}
	}
	return old, true, nil
}

// setOne tries the ways in which a field can be written, and takes the first one
// that changes it and nothing else.
func (d *document) setOne(at fieldpath.Path, v value) error {
	if had, found := fieldpath.Get(d.tree, at); found && reflect.DeepEqual(had, v.tree) {
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
