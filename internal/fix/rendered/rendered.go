// Package rendered finds edits of files of which objects are made by a program: the
// templates and values of a chart, the patches of an overlay. It does not know what
// the files mean and does not guess: a Maker offers ways in which a field may be set,
// and a way is taken only if the objects, rendered again, have changed in fields that
// were wanted, to the values that were wanted, and nowhere else.
//
// It opens no file and judges nothing.
package rendered

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/gabion-k8s/gabion/internal/fix/fieldpath"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

// Files are the bytes of files, by name.
type Files map[string][]byte

// An Object is one that was rendered.
type Object struct {
	// ID tells it from the others, and stays when files are edited.
	ID string
	// Tree is the object as JSON values, numbers as json.Number.
	Tree any
}

// A World is everything that was rendered.
type World struct {
	Objects []Object
	// Rest is what else was rendered, as text: what is no object, or is broken.
	Rest string
}

// Find returns the object of an ID.
func (w *World) Find(id string) (Object, bool) {
	i := slices.IndexFunc(w.Objects, func(o Object) bool { return o.ID == id })
	if i < 0 {
		return Object{}, false
	}
	return w.Objects[i], true
}

// A Want is one field that is to have a value.
type Want struct {
	Object string
	// Path is the field in the object as it was rendered first. An index that is not
	// below the length of its list adds an element, if none is equal.
	Path fieldpath.Path
	// Value is the value as JSON values, Text as YAML in flow style.
	Value any
	Text  string
}

// A Way is one in which a field might be set.
type Way struct {
	// ID tells ways apart, also after other edits: it has no line numbers. Two wants
	// with one way are served by one edit.
	ID string
	// Claim is what no two ways may be about that are tried at once, "" for nothing.
	Claim string
	Edits []Edit
}

// A Maker renders files and knows how fields may be set in them.
type Maker[W any] interface {
	// Render returns what files are rendered to, and what Ways needs to know of it.
	Render(files Files) (*World, W, error)
	// Ways are those in which a field might be set, the best first.
	Ways(files Files, world *World, known W, want Want) []Way
}

// A Result is what became of the wants.
type Result struct {
	Files Files // all of them, edited
	World *World
	// Made is for each want the way that was taken; Done says that the field has the
	// value, also when it had it before or got it by the way of another want. Reason
	// says why a field has not.
	Made   []*Way
	Done   []bool
	Reason []string
}

// maxRenderings bounds how often one run renders its files.
const maxRenderings = 400

// A run is one search for edits.
type run[W any] struct {
	maker    Maker[W]
	first    *World
	wants    []Want
	rejected map[rejection]bool
	result   Result
	known    W
	left     int // renderings
	limit    int // of ways that are tried at once
}

type rejection struct {
	want int
	way  string
}

// Make edits files so that the wants come true, as many of them as can.
func Make[W any](maker Maker[W], files Files, wants []Want) (Result, error) {
	r := &run[W]{maker: maker, wants: wants, rejected: map[rejection]bool{}, left: maxRenderings, limit: max(len(wants), 1)}
	world, known, err := maker.Render(files)
	if err != nil {
		return Result{}, err
	}
	n := len(wants)
	r.first, r.known = world, known
	r.result = Result{Files: maps.Clone(files), World: world, Made: make([]*Way, n), Done: make([]bool, n), Reason: make([]string, n)}
	r.settle(world)
	for r.left > 0 {
		batch := r.batch()
		if len(batch) == 0 {
			break
		}
		if !r.try(batch) {
			r.limit = max(len(batch)/2, 1)
		} else {
			r.limit *= 2
		}
	}
	for i := range wants {
		switch reason := &r.result.Reason[i]; {
		case r.result.Done[i]:
			*reason = ""
		case r.left == 0:
			*reason = fmt.Sprintf("it is not found in %d attempts how to set the field", maxRenderings)
		case *reason == "":
			*reason = "nothing is known that decides the field"
		}
	}
	return r.result, nil
}

// settle notes which wants are true in a world.
func (r *run[W]) settle(w *World) {
	for i, want := range r.wants {
		r.result.Done[i] = r.holds(w, want)
	}
}

// holds reports whether a want is true.
func (r *run[W]) holds(w *World, want Want) bool {
	o, ok := w.Find(want.Object)
	if !ok || len(want.Path) == 0 {
		return false
	}
	if list, _ := r.appends(want); list != nil {
		now, _ := fieldpath.Get(o.Tree, list)
		elements, _ := now.([]any)
		return indexOf(elements, want.Value, 0) >= 0
	}
	v, ok := fieldpath.Get(o.Tree, want.Path)
	return ok && reflect.DeepEqual(v, want.Value)
}

// appends returns the list that a want adds an element to and its length, nil when it
// sets a field.
func (r *run[W]) appends(want Want) (fieldpath.Path, int) {
	last := want.Path[len(want.Path)-1]
	if last.Name != "" {
		return nil, 0
	}
	at := want.Path[:len(want.Path)-1]
	was, _ := r.first.Find(want.Object)
	v, found := fieldpath.Get(was.Tree, at)
	list, isList := v.([]any)
	if found && v != nil && !isList || last.Index < len(list) {
		return nil, 0
	}
	return at, len(list)
}

// A trial is a way that is tried for a want.
type trial struct {
	want int
	way  Way
}

// batch is the next way of each want that is not true yet, as far as they go together.
func (r *run[W]) batch() []trial {
	var list []trial
	claimed, ids := map[string]bool{}, map[string]bool{}
	for i, want := range r.wants {
		if r.result.Done[i] {
			continue
		}
		way, ok := r.next(i, want)
		switch {
		case !ok:
			continue
		case !ids[way.ID] && (len(ids) >= r.limit || way.Claim != "" && claimed[way.Claim]):
			continue
		}
		ids[way.ID], claimed[way.Claim] = true, true
		list = append(list, trial{i, way})
	}
	return list
}

func (r *run[W]) next(i int, want Want) (Way, bool) {
	if list, _ := r.appends(want); list != nil { // others may have added elements
		o, _ := r.result.World.Find(want.Object)
		now, _ := fieldpath.Get(o.Tree, list)
		elements, _ := now.([]any)
		want.Path = list.Below(fieldpath.Step{Index: len(elements)})
	}
	for _, way := range r.maker.Ways(r.result.Files, r.result.World, r.known, want) {
		if !r.rejected[rejection{i, way.ID}] {
			return way, true
		}
	}
	return Way{}, false
}

// try makes the edits of a batch and keeps them if they do what is wanted and nothing
// else. Of a batch of one way that does not, the way is rejected. It reports whether
// the batch is done with.
func (r *run[W]) try(batch []trial) bool {
	files, bad, err := r.edit(batch)
	if err != nil {
		r.reject(batch, bad, err.Error())
		return true
	}
	world, known, err := r.render(files)
	why := ""
	if err != nil {
		why = "the result cannot be rendered: " + err.Error()
	} else {
		why = r.harm(world)
	}
	if why != "" {
		if isOne(batch) {
			r.reject(batch, batch[0].way.ID, why)
			return true
		}
		return false
	}
	useless := 0
	for _, t := range batch {
		if !r.holds(world, r.wants[t.want]) {
			r.reject([]trial{t}, t.way.ID, "what was tried does not set the field: something else decides it")
			useless++
		}
	}
	if useless > 0 { // what does not help is not kept
		return true
	}
	for _, t := range batch {
		r.result.Made[t.want] = &t.way
	}
	r.result.Files, r.result.World, r.known = files, world, known
	r.settle(world)
	return true
}

// isOne reports whether a batch has only one way, whatever number of wants it serves.
func isOne(batch []trial) bool {
	return !slices.ContainsFunc(batch, func(t trial) bool { return t.way.ID != batch[0].way.ID })
}

func (r *run[W]) reject(batch []trial, id, why string) {
	for _, t := range batch {
		if t.way.ID == id {
			r.rejected[rejection{t.want, id}] = true
			r.result.Reason[t.want] = why
		}
	}
}

func (r *run[W]) render(files Files) (*World, W, error) {
	r.left--
	return r.maker.Render(files)
}

// edit makes the edits of a batch, each way once. It names the way that cannot be made.
func (r *run[W]) edit(batch []trial) (files Files, bad string, err error) {
	var ways []Way
	for _, t := range batch {
		if !slices.ContainsFunc(ways, func(w Way) bool { return w.ID == t.way.ID }) {
			ways = append(ways, t.way)
		}
	}
	return apply(r.result.Files, ways)
}

// harm says what of a world is neither as it is nor as it is wanted, "" for nothing.
func (r *run[W]) harm(now *World) string {
	was := r.result.World
	if now.Rest != was.Rest {
		return "something would change that is no object"
	}
	if len(now.Objects) != len(was.Objects) {
		return "the number of objects would change"
	}
	wants := map[string][]Want{}
	for _, w := range r.wants {
		wants[w.Object] = append(wants[w.Object], w)
	}
	for i, o := range now.Objects {
		old := was.Objects[i]
		if o.ID != old.ID {
			return old.ID + " would change its place or its name"
		}
		if back := r.undone(o.Tree, old.Tree, wants[o.ID]); !reflect.DeepEqual(back, old.Tree) {
			return fmt.Sprintf("%s would change as well", firstDifference(o.ID, back, old.Tree))
		}
	}
	return ""
}

// undone is an object as it would be without the wants that have come true in it since.
func (r *run[W]) undone(now, old any, wants []Want) any {
	for _, w := range wants {
		if list, _ := r.appends(w); list != nil {
			now = withoutAdded(now, old, list, w.Value)
			continue
		}
		v, ok := fieldpath.Get(now, w.Path)
		if had, there := fieldpath.Get(old, w.Path); ok && reflect.DeepEqual(v, w.Value) && !(there && reflect.DeepEqual(had, v)) {
			now = restored(now, old, w.Path)
		}
	}
	return now
}

// withoutAdded takes an element out of a list that the old one does not have.
func withoutAdded(now, old any, list fieldpath.Path, v any) any {
	was, _ := fieldpath.Get(old, list)
	had, _ := was.([]any)
	is, _ := fieldpath.Get(now, list)
	has, _ := is.([]any)
	i := indexOf(has, v, len(had))
	if i < 0 || indexOf(had, v, 0) >= 0 {
		return now
	}
	if len(has) == 1 {
		return restored(now, old, list)
	}
	return replaced(now, list.Below(fieldpath.Step{Index: i}), nil, true)
}

// firstDifference names a field in which two trees differ.
func firstDifference(id string, a, b any) string {
	var at fieldpath.Path
	for {
		step, found := fieldpath.Step{}, false
		switch x := a.(type) {
		case map[string]any:
			y, ok := b.(map[string]any)
			if !ok {
				break
			}
			for _, name := range slices.Sorted(maps.Keys(union(x, y))) {
				if !reflect.DeepEqual(x[name], y[name]) || hasKey(x, name) != hasKey(y, name) {
					step, found = fieldpath.Step{Name: name}, true
					a, b = x[name], y[name]
					break
				}
			}
		case []any:
			y, ok := b.([]any)
			if !ok || len(x) != len(y) {
				break
			}
			for i := range x {
				if !reflect.DeepEqual(x[i], y[i]) {
					step, found = fieldpath.Step{Index: i}, true
					a, b = x[i], y[i]
					break
				}
			}
		}
		if !found {
			return id + " " + at.String()
		}
		at = append(at, step)
	}
}

func union(a, b map[string]any) map[string]any {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]any{}
	}
	maps.Copy(all, b)
	return all
}

func hasKey(m map[string]any, name string) bool {
	_, ok := m[name]
	return ok
}

// NewWant reads a field's path and its value, which is YAML in flow style.
func NewWant(object, path, value string) (Want, error) {
	at, err := fieldpath.Parse(path)
	if err != nil {
		return Want{}, err
	}
	if len(at) == 0 {
		return Want{}, errors.New("no field is named")
	}
	chunks, bad := yamldoc.Split([]byte(value))
	if bad != nil {
		return Want{}, fmt.Errorf("the value %s: %w", value, bad)
	}
	var d yamldoc.Decoder
	for doc, bad := range d.Decode("", chunks) {
		if bad != nil {
			return Want{}, fmt.Errorf("the value %s: %w", value, bad)
		}
		decoder := json.NewDecoder(bytes.NewReader(doc.JSON))
		decoder.UseNumber()
		w := Want{Object: object, Path: at, Text: value}
		if err := decoder.Decode(&w.Value); err != nil {
			return Want{}, fmt.Errorf("the value %s: %w", value, err)
		}
		return w, nil
	}
	return Want{}, errors.New("no value")
}

// MakeWhole calls make until no group of wants has come true in part: of is the group
// of each want. What was made for a group that cannot be made whole is not there then.
func MakeWhole(make func(Files, []Want) (Result, error), files Files, wants []Want, of []int) (Result, error) {
	reasons := map[int]string{} // by group
	for {
		var some []Want
		var at []int
		for i, w := range wants {
			if _, refused := reasons[of[i]]; !refused {
				some, at = append(some, w), append(at, i)
			}
		}
		part, err := make(files, some)
		if err != nil {
			return Result{}, err
		}
		again := false
		for n, i := range at {
			if _, known := reasons[of[i]]; !part.Done[n] && !known {
				reasons[of[i]] = part.Reason[n]
			}
		}
		for n, i := range at {
			_, refused := reasons[of[i]]
			again = again || refused && part.Made[n] != nil
		}
		if again {
			continue
		}
		result := Result{Files: part.Files, World: part.World, Made: allocate[*Way](wants), Done: allocate[bool](wants), Reason: allocate[string](wants)}
		for n, i := range at {
			result.Made[i], result.Done[i], result.Reason[i] = part.Made[n], part.Done[n], part.Reason[n]
		}
		for i := range wants {
			if why, refused := reasons[of[i]]; refused {
				result.Made[i], result.Done[i], result.Reason[i] = nil, false, why
			}
		}
		return result, nil
	}
}

func allocate[T any](wants []Want) []T { return make([]T, len(wants)) }

// FindNamed returns the ID of the only object of this kind and with these names, ""
// when there is none, or several. One that names no namespace is found with any.
func (w *World) FindNamed(apiVersion, kind, namespace, name string) string {
	found := ""
	for _, o := range w.Objects {
		fields, _ := o.Tree.(map[string]any)
		meta, _ := fields["metadata"].(map[string]any)
		ns, _ := meta["namespace"].(string)
		if fields["apiVersion"] != apiVersion || fields["kind"] != kind || meta["name"] != name || ns != "" && ns != namespace {
			continue
		}
		if found != "" {
			return ""
		}
		found = o.ID
	}
	return found
}

// IndexNamed finds the element of a list that has the name of another one.
func IndexNamed(list []any, like any) int {
	fields, _ := like.(map[string]any)
	name, _ := fields["name"].(string)
	if name == "" {
		return -1
	}
	return slices.IndexFunc(list, func(v any) bool {
		other, _ := v.(map[string]any)
		return other["name"] == name
	})
}
