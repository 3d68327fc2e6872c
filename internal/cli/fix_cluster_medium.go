package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/fix"
	"github.com/gabion-k8s/gabion/internal/fix/patch"
	"github.com/gabion-k8s/gabion/internal/source/cluster"
	"github.com/gabion-k8s/gabion/internal/source/kind"
)

// A liveMedium is a cluster as what its objects are written in. Its files are whole
// objects as JSON, of those that the fixes change: they are on no disk.
type liveMedium struct {
	about *evidence.Cluster
	// force has objects changed that something else keeps as they are.
	force    bool
	recorded []recorded
	gaps     []evidence.Gap
	// index is where each object is among the recorded, by its file.
	index map[string]int
	// sink takes the objects besides, when they are first read.
	sink cluster.Sink
}

// A recorded is one object as the API server gave it.
type recorded struct {
	apiVersion, kind string
	// partial is set when only the metadata were asked for.
	partial bool
	// typed is set for a kind with a Go type.
	typed bool
	text  []byte
	name  string // of its file
	uid   types.UID
	maker types.UID // of the object that controls it, "" for none
}

// Add records an object, and hands it on.
func (l *liveMedium) Add(o cluster.Object) error {
	r := recorded{apiVersion: o.APIVersion, kind: o.Kind, text: o.JSON}
	meta := o.Typed
	if o.Typed == nil {
		var object metav1.PartialObjectMetadata
		if err := json.Unmarshal(o.JSON, &object); err != nil {
			return l.sink.Add(o) // which says what is wrong with it
		}
		meta = &object
		if text, err := cluster.TrimJSON(&evidence.Ref{APIVersion: o.APIVersion, Kind: o.Kind}, o.JSON); err == nil {
			r.text = text
		}
	} else {
		cluster.Trim(o.Typed)
		if k, ok := o.Typed.(interface{ GetObjectKind() schema.ObjectKind }); ok {
			k.GetObjectKind().SetGroupVersionKind(schema.FromAPIVersionAndKind(o.APIVersion, o.Kind))
		}
		text, err := json.Marshal(o.Typed)
		if err != nil {
			return fmt.Errorf("%s: %w", o.Kind, err)
		}
		_, r.partial = o.Typed.(*metav1.PartialObjectMetadata)
		r.typed, r.text = true, text
	}
	r.uid, r.name = meta.GetUID(), fileOfLive(o.APIVersion, o.Kind, meta.GetNamespace(), meta.GetName())
	if owner := metav1.GetControllerOf(meta); owner != nil {
		r.maker = owner.UID
	}
	l.index[r.name] = len(l.recorded)
	l.recorded = append(l.recorded, r)
	return l.sink.Add(o)
}

// Gap records what could not be seen, and hands it on.
func (l *liveMedium) Gap(g evidence.Gap) {
	l.gaps = append(l.gaps, g)
	l.sink.Gap(g)
}

// clusterWide is the folder of what lives in no namespace; no namespace has an
// underscore in its name.
const clusterWide = "_cluster"

// fileOfLive is the name of the file for the patch of an object: no two objects have
// the same, and the characters of their names are those of file names.
func fileOfLive(apiVersion, kind, namespace, name string) string {
	group, _, named := strings.Cut(apiVersion, "/")
	if named {
		kind += "." + group
	}
	// A role may be called system:basic-user, which some file systems cannot write.
	name = strings.NewReplacer(":", "%3A", "/", "%2F", "%", "%25").Replace(name)
	return cmp.Or(namespace, clusterWide) + "/" + strings.ToLower(kind) + "_" + name + ".yaml"
}

func fileOfObject(ref *evidence.Ref) string {
	return fileOfLive(ref.APIVersion, ref.Kind, ref.Namespace, ref.Name)
}

// holds reports whether an object is of the cluster.
func (l *liveMedium) holds(ref *evidence.Ref) bool {
	return ref.Source != nil && ref.Source.Type == "cluster"
}

// load returns no file: there is none yet.
func (l *liveMedium) load() (texts, error) { return texts{}, nil }

// apply changes the objects.
func (l *liveMedium) apply(_ texts, list []wanted) (texts, []outcome) {
	outcomes := make([]outcome, len(list))
	edits, places := map[string][]fix.Edit{}, map[string][]int{}
	for i, w := range list {
		name := fileOfObject(w.ref)
		if outcomes[i].err = l.unfit(w, name); outcomes[i].err == nil {
			edits[name], places[name] = append(edits[name], fix.Edit{Fields: fieldsOf(w.changes)}), append(places[name], i)
		}
	}
	changed := texts{}
	for name, of := range edits {
		after, results := fix.Apply(l.recorded[l.index[name]].text, of)
		some := false
		for n, i := range places[name] {
			if outcomes[i] = made(name, of[n], results[n]); outcomes[i].err == nil {
				outcomes[i].add(list[i].adds, changed)
			}
			some = some || outcomes[i].err == nil
		}
		if some {
			changed[name] = after
		}
	}
	return changed, outcomes
}

// add puts an object that is to be there as well, if there is one, among the objects.
func (o *outcome) add(a *check.Addition, changed texts) {
	if a == nil {
		return
	}
	name := fileOfNew(a)
	text, err := yaml.YAMLToJSON([]byte(a.Text))
	if err != nil {
		o.err = fmt.Errorf("%s: %w", a, err)
		return
	}
	changed[name] = text
	o.edits = append(o.edits, madeEdit{file: name, value: a.Text})
}

func fileOfNew(a *check.Addition) string {
	return fileOfLive(a.APIVersion, a.Kind, a.Namespace, a.Name)
}

// isNew reports whether a file is one of an object that is not there yet.
func (l *liveMedium) isNew(name string) bool {
	_, known := l.index[name]
	return !known
}

func made(name string, e fix.Edit, o fix.Outcome) outcome {
	if o.Err != nil {
		return outcome{err: o.Err}
	}
	var edits []madeEdit
	for i, f := range e.Fields {
		edits = append(edits, madeEdit{file: name, path: f.Path, old: o.Old[i], value: f.Value})
	}
	return outcome{edits: edits}
}

// unfit is why an object of a cluster cannot be changed in the way that is wanted.
func (l *liveMedium) unfit(w wanted, name string) error {
	by := w.ref.Manager()
	switch i, known := l.index[name]; {
	case !known:
		return fmt.Errorf("it stands for several objects that %s made: what makes them has to be fixed", cmp.Or(by, "something else"))
	case w.ref.Kind == "Pod" && w.ref.Group() == "" && by != "":
		return fmt.Errorf("a pod cannot be changed, and this one is kept by %s: that has to be fixed", by)
	case w.ref.Kind == "Pod" && w.ref.Group() == "" && !inMetadata(w):
		return errors.New("a pod cannot be changed: fix its manifest, and make it anew")
	case w.ref.Kind == "Job" && w.ref.Group() == "batch" && !inMetadata(w):
		return errors.New("the pods of a Job cannot be changed: fix its manifest, and make it anew")
	case by != "" && !l.force:
		return fmt.Errorf("kept by %s, which would put it back or no longer know it: fix it there (--force-conflicts changes it all the same)", by)
	case l.recorded[i].partial:
		return errors.New("only its metadata were read")
	case w.adds != nil && !l.isNew(fileOfNew(w.adds)):
		return fmt.Errorf("%s is there already", newObject(w.adds))
	}
	return nil
}

// inMetadata reports whether only the object's own metadata are to be changed.
func inMetadata(w wanted) bool {
	for _, c := range w.changes {
		if !strings.HasPrefix(c.Path.String(), "metadata.") {
			return false
		}
	}
	return true
}

// read hands all objects to a world once more, those among the files as they are there,
// the new ones last. What the changed ones made is not: a rollout makes it anew.
func (l *liveMedium) read(ctx context.Context, world *evidence.Snapshot, files texts) error {
	about := *l.about
	b := cluster.NewBuilder(world, &about)
	b.KeepJSON = true
	stale := l.stale(files)
	for _, g := range l.gaps {
		b.Gap(g)
	}
	for i := range l.recorded {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r := &l.recorded[i]
		if stale[r.maker] {
			continue
		}
		o, err := r.object(files[r.name])
		if err != nil {
			return err
		}
		if err := b.Add(o); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if l.isNew(name) {
			if err := addNew(b, name, files[name]); err != nil {
				return err
			}
		}
	}
	b.Finish()
	for _, ref := range world.Objects {
		// The Go types leave out what is false, which a fix may have written.
		if text := files[fileOfObject(ref)]; text != nil && ref.Source.Type == "cluster" {
			ref.JSON = text
		}
	}
	return nil
}

// addNew hands an object that is not there yet to a world.
func addNew(b *cluster.Builder, name string, text []byte) error {
	object, err := patch.Decode(text)
	if err != nil {
		return err
	}
	r := recorded{apiVersion: object.Text("apiVersion"), kind: object.Text("kind"), typed: true, text: text, name: name}
	o, err := r.object(nil)
	if err != nil {
		return err
	}
	return b.Add(o)
}

// stale are the objects whose pods are no longer what they would make: those among the
// files, and what they made.
func (l *liveMedium) stale(files texts) map[types.UID]bool {
	stale := map[types.UID]bool{}
	for name := range files {
		if i, known := l.index[name]; known && l.recorded[i].uid != "" {
			stale[l.recorded[i].uid] = true
		}
	}
	for more := len(stale) > 0; more; {
		more = false
		for i := range l.recorded {
			if r := &l.recorded[i]; r.maker != "" && stale[r.maker] && r.uid != "" && !stale[r.uid] {
				stale[r.uid], more = true, true
			}
		}
	}
	return stale
}

// object is what was recorded, or the same with another text.
func (r *recorded) object(changed []byte) (cluster.Object, error) {
	text := r.text
	if changed != nil {
		text = changed
	}
	o := cluster.Object{APIVersion: r.apiVersion, Kind: r.kind}
	if !r.typed {
		o.JSON = text
		return o, nil
	}
	var into any = &metav1.PartialObjectMetadata{}
	group, _, named := strings.Cut(r.apiVersion, "/")
	if !named {
		group = ""
	}
	switch k, found := kind.Find(group, r.kind); {
	case r.partial:
	case group == "" && r.kind == "Secret":
		into = &corev1.Secret{}
	case found && k.New != nil:
		into = k.New()
	default:
		return o, fmt.Errorf("%s of %s cannot be read again", r.kind, r.apiVersion)
	}
	typed, ok := into.(metav1.Object)
	if err := json.Unmarshal(text, into); err != nil || !ok {
		return o, fmt.Errorf("%s would no longer be a %s: %w", r.name, r.kind, err)
	}
	o.Typed = typed
	return o, nil
}

// differences are what changed texts of objects change in them, by file.
func (l *liveMedium) differences(name string, after []byte) (judged patch.Object, wanted []patch.Difference, err error) {
	if judged, err = patch.Decode(l.recorded[l.index[name]].text); err != nil {
		return nil, nil, err
	}
	now, err := patch.Decode(after)
	if err != nil {
		return nil, nil, err
	}
	return judged, patch.Compare(judged, now), nil
}
