// Package carrier knows which kinds of objects carry pods and where in them:
// the built-in kinds, a table of custom kinds, and, for every other kind, how a
// pod spec looks. It turns the JSON of one object into pod templates.
//
// It reads no files, fills in no defaults and judges nothing. What an operator
// adds to the pods it builds is not known here: the template says so.
package carrier

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A Template is one pod template inside an object, or a bare pod.
type Template struct {
	// Path is where the pod spec stands in the object. Its key is empty for the
	// one template of a kind, and a name ("worker", "tasks[build]") in kinds that
	// may have several.
	Path evidence.Path
	// MetaPath is where the template's metadata stand or would stand.
	MetaPath evidence.Path
	// Moved holds the parts of the pod that do not stand under their own name
	// below Path: a field ("securityContext"), an element ("containers[0]") or a
	// field of an element ("containers[0].resources"), and where each stands.
	Moved map[string]evidence.Path
	// Meta is the template's metadata; nil when it has none.
	Meta *metav1.ObjectMeta
	Pod  *corev1.PodSpec
	// Replicas is how many such pods are wanted; nil when the object does not say.
	Replicas *int32
	// Partial is set when the controller of the kind builds the pod from more than
	// is written here, and says what is missing.
	Partial string
	// ByShape is set when the kind is not in the table and the pod was found by
	// its shape.
	ByShape bool
}

// maxTemplates is how many templates of one object are read.
const maxTemplates = 1000

// Known reports whether the table of custom kinds has the kind.
func Known(group, kind string) bool {
	_, ok := index()[groupKind{group, kind}]
	return ok
}

// Kinds yields group and kind of every custom kind of the table, sorted.
func Kinds() iter.Seq2[string, string] {
	kinds := slices.SortedFunc(maps.Keys(index()), func(a, b groupKind) int {
		return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.kind, b.kind))
	})
	return func(yield func(group, kind string) bool) {
		for _, k := range kinds {
			if !yield(k.group, k.kind) {
				return
			}
		}
	}
}

// Find returns the pod templates inside a custom object given as JSON: by the
// table when it has the kind, else by shape. Built-in kinds are not looked into:
// they are decoded with their types, see Builtin. A template that cannot be
// decoded gives an error and leaves the others of the object as they are.
func Find(group, kind string, data []byte) ([]Template, []*FieldError) {
	f := &finder{keys: map[string]bool{}}
	root := node{raw: data}
	for _, p := range index()[groupKind{group, kind}] {
		f.place(root, p)
	}
	if len(f.templates)+len(f.errors) == 0 && !withoutPods(group) {
		f.search(root)
	}
	return f.templates, f.errors
}

type groupKind struct{ group, kind string }

var index = sync.OnceValue(func() map[groupKind][]place {
	places := map[groupKind][]place{}
	for _, r := range table {
		for kind := range strings.FieldsSeq(r.kinds) {
			places[groupKind{r.group, kind}] = r.places
		}
	}
	return places
})

// A finder collects what it finds in one object.
type finder struct {
	templates []Template
	errors    []*FieldError
	keys      map[string]bool // keys of the templates so far
	full      bool
}

func (f *finder) fail(at evidence.Path, err error) {
	var located *FieldError
	if !errors.As(err, &located) {
		located = &FieldError{at, err.Error()}
	}
	f.errors = append(f.errors, located)
}

// unique returns key, or the path's text when another template has the key:
// lists may hold elements of one name.
func (f *finder) unique(key string, path evidence.Path) string {
	if f.keys[key] {
		key = path.String()
	}
	for f.keys[key] {
		key += "'"
	}
	f.keys[key] = true
	return key
}

// room reports whether one more template may be read, and records once that not.
func (f *finder) room() bool {
	if len(f.templates)+len(f.errors) < maxTemplates {
		return true
	}
	if !f.full {
		f.full = true
		f.fail(evidence.Path{}, fmt.Errorf("more than %d pod templates: the rest was not read", maxTemplates))
	}
	return false
}

// A node is one value inside an object.
type node struct {
	raw    json.RawMessage
	path   evidence.Path
	field  string // name of the last step when that is a field
	key    string // of the steps that tell one template of the object from another
	parent *node
}

// at returns what a reference names, seen from the node: "spec.template" is
// below it, "^replicas" below its parent, "." itself. A step "tasks[name]"
// stands for every element of the list tasks, told apart by their field name,
// and "*" for every field. What is not there, or null, is left out.
func (n node) at(reference string) ([]node, error) {
	nodes := []node{n}
	if up, ok := strings.CutPrefix(reference, "^"); ok && n.parent != nil {
		nodes, reference = []node{*n.parent}, up
	}
	if reference == "." {
		return nodes, nil
	}
	for step := range strings.SplitSeq(reference, ".") {
		var below []node
		for _, n := range nodes {
			found, err := n.step(step)
			if err != nil {
				return nil, err
			}
			below = append(below, found...)
		}
		nodes = below
	}
	return nodes, nil
}

func (n node) step(step string) ([]node, error) {
	fields, err := object(n.raw)
	if err != nil {
		return nil, &FieldError{n.path, err.Error()}
	}
	if step == "*" {
		var all []node
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if !isNull(fields[name]) {
				all = append(all, node{fields[name], n.path.Field(name), name, join(n.key, name), &n})
			}
		}
		return all, nil
	}
	name, by, isList := strings.Cut(strings.TrimSuffix(step, "]"), "[")
	raw := fields[name]
	if isNull(raw) {
		return nil, nil
	}
	found := node{raw, n.path.Field(name), name, n.key, &n}
	if !isList {
		return []node{found}, nil
	}
	return found.elements(by)
}

// elements returns the elements of a list, named by one of their fields.
func (n node) elements(by string) ([]node, error) {
	raws, err := list(n.raw)
	if err != nil {
		return nil, &FieldError{n.path, err.Error()}
	}
	var all []node
	for i, raw := range raws {
		if isNull(raw) {
			continue
		}
		name := text(raw, by)
		all = append(all, node{raw, n.path.Index(i, name), "", join(n.key, element(n.field, i, name)), &n})
	}
	return all, nil
}

func isNull(raw []byte) bool { return len(raw) == 0 || string(raw) == "null" }

func join(key, next string) string {
	if key == "" {
		return next
	}
	return key + "." + next
}

// element is the key of a list element.
func element(list string, i int, name string) string {
	if name == "" {
		name = strconv.Itoa(i)
	}
	return list + "[" + name + "]"
}
