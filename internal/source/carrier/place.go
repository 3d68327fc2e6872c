package carrier

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A row of the table says where kinds of one API group carry pods.
type row struct {
	group  string
	kinds  string // separated by spaces
	places []place
}

// A place is one place where a kind carries pods, or several in a list. Its
// references are those of node.at, seen from at; "/" begins at the object.
type place struct {
	// at is where the place is, below the object.
	at string
	// key names the template where a kind has several at fixed places.
	key string
	// needs is a reference that must be there, or one of several separated by
	// "|": without it there is no pod.
	needs string
	// pod is the object whose fields are fields of the pod spec, where the others
	// would be written too. All of its fields are read when whole is set, else
	// those that fields names.
	pod    string
	whole  bool
	fields string
	// pieces are parts of the pod that stand elsewhere, or under other names.
	pieces []piece
	// meta is the metadata of the template.
	meta string
	// replicas is the number of pods.
	replicas string
	// partial says what the controller adds to the pod, when what is written is
	// not nearly all.
	partial string
	// patch are references, separated by "|", to a patch of the pod as text: with
	// one the template is partial.
	patch string
}

// A piece is a part of a pod that a kind keeps under a name of its own.
type piece struct {
	to   string // field of the pod spec: lists of containers and volumes grow, others are replaced
	from string // reference to it; for lists, to the elements
	name string // name that the controller gives a container without one
	// take is which fields of a container or volume are read: "image env", with
	// "theirs>ours" for those with another name; "*" stands for all the others.
	take string
	// under is a reference to an object whose fields hold for the container where
	// it has none itself; underTake is which of them.
	under, underTake string
}

// place adds the templates at p.
func (f *finder) place(root node, p place) {
	found, err := root.at(p.at)
	if err != nil {
		f.fail(evidence.Path{}, err)
		return
	}
	for _, n := range found {
		if !f.room() {
			return
		}
		if p.key != "" {
			n.key = join(n.key, p.key)
		}
		f.template(n, root, p)
	}
}

// template adds the template at n, one node of the place p.
func (f *finder) template(n, root node, p place) {
	r := reader{place: n, root: root}
	if p.needs != "" && !r.hasAny(p.needs) {
		return
	}
	pod := r.one(p.pod)
	if pod == nil && p.whole {
		return // the controller makes the pod alone
	}
	path := n.path
	if p.pod != "." {
		path = path.Field(strings.Split(p.pod, ".")...)
	}
	key := f.unique(n.key, path)
	r.key, r.podPath = key, path
	r.t = Template{Path: path.Rooted(key), Pod: &corev1.PodSpec{}, Partial: p.partial}
	if pod != nil {
		r.podFields(*pod, p)
	}
	for _, piece := range p.pieces {
		r.piece(piece)
	}
	if p.patch != "" && r.hasAny(p.patch) {
		r.t.Partial = "a patch of the pod that is not applied here"
	}
	if r.err != nil {
		f.fail(n.path, r.err)
		return
	}
	if p.meta != "" {
		r.t.MetaPath = r.metaPath(p.meta).Rooted(join(key, "template.metadata"))
		f.meta(&r.t, r.from(p.meta), strings.TrimPrefix(p.meta, "/"))
	}
	if p.replicas != "" {
		f.replicas(&r.t, r.from(p.replicas), strings.TrimPrefix(p.replicas, "/"))
	}
	f.templates = append(f.templates, r.t)
}

// A reader builds one template out of its pieces. Its first error stays.
type reader struct {
	place, root node
	key         string
	podPath     evidence.Path
	t           Template
	err         error
}

// from is the node that a reference begins at.
func (r *reader) from(reference string) node {
	if strings.HasPrefix(reference, "/") {
		return r.root
	}
	return r.place
}

func (r *reader) all(reference string) []node {
	found, err := r.from(reference).at(strings.TrimPrefix(reference, "/"))
	if err != nil && r.err == nil {
		r.err = err
	}
	return found
}

func (r *reader) one(reference string) *node {
	if found := r.all(reference); len(found) > 0 {
		return &found[0]
	}
	return nil
}

func (r *reader) hasAny(references string) bool {
	for reference := range strings.SplitSeq(references, "|") {
		if r.one(reference) != nil {
			return true
		}
	}
	return false
}

func (r *reader) metaPath(reference string) evidence.Path {
	below, fromRoot := strings.CutPrefix(reference, "/")
	path := r.place.path
	if fromRoot {
		path = r.root.path
	}
	return path.Field(strings.Split(below, ".")...)
}

func (r *reader) decode(raw []byte, into any, path evidence.Path) {
	if r.err == nil {
		r.err = Decode(raw, into, path)
	}
}

// podFields reads the fields that stand in n under their own names.
func (r *reader) podFields(n node, p place) {
	if p.whole {
		r.decode(n.raw, r.t.Pod, n.path)
		return
	}
	for name := range strings.FieldsSeq(p.fields) {
		for _, found := range r.below(n, name) {
			r.decode(found.raw, podField(r.t.Pod, name).Addr().Interface(), found.path)
		}
	}
}

func (r *reader) below(n node, reference string) []node {
	found, err := n.at(reference)
	if err != nil && r.err == nil {
		r.err = err
	}
	return found
}

// podField returns the field of the pod spec that JSON calls name.
func podField(pod *corev1.PodSpec, name string) reflect.Value {
	v := reflect.ValueOf(pod).Elem()
	f, ok := fieldNamed(v.Type(), name)
	if !ok {
		return reflect.ValueOf(new(any)).Elem() // no such row: a test sees to it
	}
	return v.FieldByIndex(f.Index)
}

// piece reads one piece into the pod.
func (r *reader) piece(p piece) {
	v := podField(r.t.Pod, p.to)
	for _, n := range r.all(p.from) {
		if r.err != nil {
			return
		}
		if !grows(p.to) {
			v.SetZero()
			r.decode(n.raw, v.Addr().Interface(), n.path)
			r.moved(p.to, p.to, n.path)
			continue
		}
		e := reflect.New(v.Type().Elem())
		r.decode(r.element(n, p), e.Interface(), n.path)
		i := v.Len()
		v.Set(reflect.Append(v, e.Elem()))
		at, key := fmt.Sprintf("%s[%d]", p.to, i), element(p.to, i, e.Elem().FieldByName("Name").String())
		r.moved(at, key, n.path)
		for theirs, ours := range renamed(p.take) {
			if strings.HasPrefix(p.take, "*") && hasField(n.raw, ours) {
				continue // an older version of the kind has it under its own name
			}
			r.moved(at+"."+ours, key+"."+ours, n.path.Field(theirs))
		}
	}
}

// grows reports whether pieces add to a field of the pod spec.
func grows(field string) bool {
	return field == "containers" || field == "initContainers" || field == "volumes"
}

// moved records where a part of the pod stands, unless it stands where the pod
// spec would have it.
func (r *reader) moved(part, key string, path evidence.Path) {
	if path.String() == r.podPath.String()+"."+part {
		delete(r.t.Moved, part)
		return
	}
	if r.t.Moved == nil {
		r.t.Moved = map[string]evidence.Path{}
	}
	r.t.Moved[part] = path.Rooted(join(r.key, key))
}

// element returns a container or a volume as the pod would have it.
func (r *reader) element(n node, p piece) []byte {
	if p.name == "" && p.take == "" && p.under == "" {
		return n.raw
	}
	fields, err := object(n.raw)
	if err != nil {
		r.err = &FieldError{n.path, err.Error()}
		return nil
	}
	fields = taken(fields, p.take)
	if p.under != "" {
		for _, u := range r.all(p.under) {
			below, _ := object(u.raw)
			merge(fields, taken(below, p.underTake))
		}
	}
	if isNull(fields["name"]) && p.name != "" {
		fields["name"], _ = json.Marshal(p.name)
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		r.err = err
	}
	return raw
}

// taken selects and renames fields, see piece.take.
func taken(fields map[string]json.RawMessage, take string) map[string]json.RawMessage {
	selected := map[string]json.RawMessage{}
	if take == "" || strings.HasPrefix(take, "*") {
		maps.Copy(selected, fields)
	}
	for word := range strings.FieldsSeq(take) {
		theirs, ours, isRenamed := strings.Cut(word, ">")
		if !isRenamed {
			ours = theirs
		}
		if raw, ok := fields[theirs]; ok {
			selected[ours] = raw
		}
	}
	return selected
}

func hasField(raw []byte, name string) bool {
	fields, _ := object(raw)
	return !isNull(fields[name])
}

func renamed(take string) map[string]string {
	names := map[string]string{}
	for word := range strings.FieldsSeq(take) {
		if theirs, ours, ok := strings.Cut(word, ">"); ok {
			names[theirs] = ours
		}
	}
	return names
}

// merge adds to fields what they lack of under: whole fields, and the fields of
// objects one by one. Lists of variables and mounts are joined, the own ones
// first so that their places stay; other lists are kept as they are.
func merge(fields, under map[string]json.RawMessage) {
	for name, raw := range under {
		own := fields[name]
		if isNull(own) {
			fields[name] = raw
			continue
		}
		switch name {
		case "env", "envFrom", "volumeMounts":
			a, errA := list(own)
			b, errB := list(raw)
			if errA == nil && errB == nil {
				fields[name], _ = json.Marshal(append(a, b...))
			}
		default:
			a, errA := object(own)
			b, errB := object(raw)
			if errA == nil && errB == nil {
				merge(a, b)
				fields[name], _ = json.Marshal(a)
			}
		}
	}
}
