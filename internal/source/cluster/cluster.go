// Package cluster turns the objects that an API server served into evidence:
// whether they come over the wire or out of a snapshot, it is here that they are
// trimmed, that pods are put to the workload that made them, and that custom
// objects are searched for pods. It opens no connection and no file.
package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/carrier"
	"github.com/gabion-k8s/gabion/internal/source/kind"
)

// An Object is one object as it was served.
type Object struct {
	APIVersion, Kind string
	// Typed is a pointer to the Go type of a built-in kind. A Secret has its
	// metadata and its type only. Kinds of which nobody reads more are
	// *metav1.PartialObjectMetadata.
	Typed metav1.Object
	// JSON is an object of a kind without a Go type here; Typed is nil then.
	JSON []byte
}

// A Sink takes the objects of one cluster, and what could not be seen of it.
type Sink interface {
	// Add takes an object, which the caller no longer touches.
	Add(Object) error
	// Gap takes what could not be seen.
	Gap(evidence.Gap)
}

// Trim takes from an object what no check reads and what must not be kept: who
// managed which field, and the annotation in which kubectl keeps the whole object
// once more, values of Secrets among it.
func Trim(o metav1.Object) {
	o.SetManagedFields(nil)
	if annotations := o.GetAnnotations(); annotations[corev1.LastAppliedConfigAnnotation] != "" {
		delete(annotations, corev1.LastAppliedConfigAnnotation)
	}
	if s, ok := o.(*corev1.Secret); ok {
		clear(s.Data)
		s.Data, s.StringData = nil, nil
	}
}

// A Builder is the Sink that fills a snapshot.
type Builder struct {
	snap   *evidence.Snapshot
	source *evidence.Source
	// KeepJSON keeps every object's JSON, for rules that the user brings.
	KeepJSON bool

	owners owners
	uses   uses
	hosts  map[string]*evidence.Host // by the Node's name
}

// NewBuilder returns a Builder that fills a snapshot, which must be of nothing
// else, with the objects of one cluster.
func NewBuilder(snap *evidence.Snapshot, c *evidence.Cluster) *Builder {
	source := &evidence.Source{Type: "cluster", Ref: c.Name, Cluster: c, Skipped: []evidence.Issue{}, Errors: []evidence.Issue{}}
	snap.Cluster = c
	snap.Sources = append(snap.Sources, source)
	return &Builder{snap: snap, source: source}
}

// Gap adds what could not be seen.
func (b *Builder) Gap(g evidence.Gap) {
	b.snap.Gaps = append(b.snap.Gaps, g)
	if g.Declined {
		return
	}
	issue := evidence.Issue{Reason: g.Reason}
	if n := len(b.source.Errors); n > 0 && b.source.Errors[n-1] == issue {
		return // one list that several facts are missing without
	}
	b.source.Errors = append(b.source.Errors, issue)
	b.source.Documents++
}

// Add takes one object. It fails for one that cannot be what it says.
func (b *Builder) Add(o Object) error {
	if o.APIVersion == KubeletConfigVersion && o.Kind == KubeletConfigKind {
		return b.addConfig(o)
	}
	if o.Kind == MetricsKind && strings.HasPrefix(o.APIVersion, MetricsGroup+"/") {
		return b.measured(o)
	}
	pod, isPod := o.Typed.(*corev1.Pod)
	var use map[string]evidence.Use
	if isPod {
		b.mirrored(pod)
		use = b.spent(pod)
	}
	if isPod && b.owners.made(pod) {
		b.source.Documents++
		b.source.Objects++
		return nil
	}
	ref := &evidence.Ref{APIVersion: o.APIVersion, Kind: o.Kind, Source: b.source}
	var object any
	meta := o.Typed
	if o.Typed != nil {
		Trim(o.Typed)
		b.describe(ref, o.Typed)
		object = b.typed(ref, o.Typed)
	} else {
		var err error
		if object, meta, err = b.custom(ref, o.JSON); err != nil {
			return fmt.Errorf("%s: %w", o.Kind, err)
		}
	}
	if b.KeepJSON || kind.Whole(ref.Group(), ref.Kind) {
		// An aggregated API may serve what is hardly an object: the others stay.
		if err := keep(ref, o); err != nil {
			b.Gap(evidence.Gap{Fact: evidence.Others, Scope: ref.Namespace, Reason: fmt.Sprintf("%s: %v", ref, err)})
		}
	}
	b.source.Documents++
	b.source.Objects++
	list, carries := object.([]*evidence.Workload)
	switch {
	case isPod:
		list[0].Usage = use
		b.addPod(ref, pod, list[0])
	case carries:
		b.owners.add(ref, meta, o.Typed, list)
	default:
		if o.Typed == nil {
			b.owners.follow(meta)
		}
		b.snap.Add(ref, object)
	}
	return nil
}

// addConfig adds what a kubelet said of itself.
func (b *Builder) addConfig(o Object) error {
	var named struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if err := json.Unmarshal(o.JSON, &named); err != nil {
		return fmt.Errorf("%s: %w", o.Kind, err)
	}
	b.source.Documents++
	b.source.Objects++
	return b.configured(named.Metadata.Name, o.JSON)
}

// addPod adds a pod that nobody made who was listed so far.
func (b *Builder) addPod(ref *evidence.Ref, pod *corev1.Pod, w *evidence.Workload) {
	if !ended(pod) {
		w.Running = 1
		if hasToken(w.Pod) {
			w.Tokens = 1
		}
	}
	dropToken(w.Pod, &corev1.PodSpec{})
	if gathers(pod) {
		b.owners.gather(ref, pod, w)
		return
	}
	if owner := metav1.GetControllerOf(pod); owner != nil {
		ref.Owner = owner.Kind + " " + owner.Name
	}
	b.snap.Add(ref, []*evidence.Workload{w})
}

// describe fills a reference from an object's metadata.
func (b *Builder) describe(ref *evidence.Ref, o metav1.Object) {
	ref.Namespace, ref.Name = o.GetNamespace(), o.GetName()
	ref.Labels, ref.Annotations = o.GetLabels(), o.GetAnnotations()
	ref.Created = o.GetCreationTimestamp().Time
}

// typed is what Snapshot.Add takes of an object of a built-in kind.
func (b *Builder) typed(ref *evidence.Ref, o metav1.Object) any {
	switch v := o.(type) {
	case *metav1.PartialObjectMetadata:
		return nil
	case *corev1.Secret:
		return &evidence.Secret{Type: v.Type}
	}
	if t, ok := carrier.Builtin(o); ok {
		w := workload(t)
		if ds, ok := o.(*appsv1.DaemonSet); ok {
			ready := ds.Status.NumberReady // a copy, or all of the object would be kept
			w.Ready = &ready
		}
		return []*evidence.Workload{w}
	}
	return o
}

// custom is what Snapshot.Add takes of an object without a Go type, and its metadata.
func (b *Builder) custom(ref *evidence.Ref, text []byte) (any, metav1.Object, error) {
	var o struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, nil, err
	}
	Trim(&o.Metadata)
	b.describe(ref, &o.Metadata)
	return b.supplied(ref, text), &o.Metadata, nil
}

// supplied is what Snapshot.Add takes of an object of which there is only JSON.
func (b *Builder) supplied(ref *evidence.Ref, text []byte) any {
	group := ref.Group()
	if k, ok := kind.Find(group, ref.Kind); ok {
		if k.Fact == "" {
			return nil
		}
		return kept(ref, kind.WithoutSchemas(group, ref.Kind, text))
	}
	templates, faults := carrier.Find(group, ref.Kind, text)
	for _, f := range faults {
		b.Gap(evidence.Gap{Fact: evidence.Workloads, Scope: ref.Namespace, Reason: fmt.Sprintf("%s: %v", ref, f)})
	}
	if len(templates) > 0 {
		var list []*evidence.Workload
		for _, t := range templates {
			list = append(list, workload(t))
		}
		return list
	}
	if _, read := kind.ReadGroup(group); read {
		return kept(ref, text)
	}
	return nil
}

// kept is an object whose JSON checks read.
func kept(ref *evidence.Ref, text []byte) *evidence.Custom {
	short, err := TrimJSON(ref, text)
	if err != nil {
		short = bytes.Clone(text) // it was decoded before: there is no such object
	}
	return &evidence.Custom{JSON: short}
}

// workload keeps of an object only its pod.
func workload(t carrier.Template) *evidence.Workload {
	pod := *t.Pod
	w := evidence.NewWorkload(t.Path, t.MetaPath, t.Meta, &pod)
	w.Moved, w.Replicas, w.Partial, w.ByShape = t.Moved, t.Replicas, t.Partial, t.ByShape
	return w
}

// keep puts the object's JSON into its reference.
func keep(ref *evidence.Ref, o Object) error {
	if o.Typed == nil {
		text, err := TrimJSON(ref, o.JSON)
		ref.JSON = text
		return err
	}
	o.Typed.(interface {
		GetObjectKind() schema.ObjectKind
	}).GetObjectKind().SetGroupVersionKind(schema.FromAPIVersionAndKind(o.APIVersion, o.Kind))
	text, err := json.Marshal(o.Typed)
	if err != nil {
		return fmt.Errorf("%s: %w", ref, err)
	}
	ref.JSON = text
	return nil
}
