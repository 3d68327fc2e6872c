package snapshot

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"reflect"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/cluster"
	"github.com/gabion-k8s/gabion/internal/source/kind"
)

// A Writer writes a snapshot, world after world: Cluster for each cluster, Files
// for what was read of files, and Close. It keeps nothing of what it has written.
type Writer struct {
	mu    sync.Mutex
	zip   *gzip.Writer
	hash  hash.Hash
	count trailer
	open  *Cluster
	err   error // the first that writing met
}

// NewWriter begins a snapshot that a release of the program makes at a time. Its
// faults are told by the methods, and by Close at the latest. The caller closes to.
func NewWriter(to io.Writer, release string, now time.Time) *Writer {
	w := &Writer{hash: sha256.New()}
	w.zip, w.err = gzip.NewWriterLevel(to, gzip.BestSpeed)
	w.put(&Header{
		APIVersion: APIVersion, Kind: Kind, FormatVersion: FormatVersion,
		Tool: Tool{Name: "gabion", Version: release}, CreatedAt: now.UTC(),
	})
	return w
}

// Close writes the trailer. A snapshot that was not closed cannot be loaded.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.err != nil:
		return w.err
	case w.open != nil:
		return errOpen
	case w.count.Worlds == 0:
		return errors.New("there is nothing to put into the snapshot")
	}
	w.count.SHA256 = hex.EncodeToString(w.hash.Sum(nil))
	w.put(&record{Trailer: &w.count})
	if w.err == nil {
		w.err = w.zip.Close()
	}
	return w.err
}

// put writes a value as a line.
func (w *Writer) put(value any) {
	line, err := encode(value)
	if why := excess(line); err == nil && why != "" {
		err = errors.New("a line is too big for a snapshot: " + why)
	}
	w.fail(err)
	w.write(line)
}

func (w *Writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *Writer) write(line []byte) {
	if w.err != nil {
		return
	}
	w.hash.Write(line)
	_, w.err = w.zip.Write(line)
}

// encode returns a value as a line.
func encode(value any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(value)
	return b.Bytes(), err
}

// An encoded is the record of an object that is still to be encoded, with it.
type encoded struct {
	Object  any      `json:"object"`
	Partial bool     `json:"partial,omitempty"`
	Written *written `json:"written,omitempty"`
}

// A Cluster writes what is collected of one cluster. It is a cluster.Sink, and for
// several goroutines at once.
type Cluster struct {
	w       *Writer
	cluster *evidence.Cluster
}

var _ cluster.Sink = (*Cluster)(nil)

var (
	errFinished = errors.New("the cluster's part of the snapshot is finished")
	errOpen     = errors.New("a cluster's part of the snapshot is not finished")
)

// Cluster begins with another cluster. What is known of c when Finish is called is
// what Load will tell. Only one cluster can be begun at a time.
func (w *Writer) Cluster(c *evidence.Cluster) (*Cluster, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open != nil {
		return nil, errOpen
	}
	w.open = &Cluster{w, c}
	w.count.Worlds++
	begun := *c
	begun.Lists = []evidence.Listing{}
	w.put(&record{Cluster: &begun})
	return w.open, w.err
}

// Add writes an object, trimmed as cluster.Trim does; of a Secret its metadata and
// its type. An object that is beyond what a line may have becomes a gap. Add fails
// for an object that cannot be what it says, and when writing fails.
func (c *Cluster) Add(o cluster.Object) error {
	ref := &evidence.Ref{APIVersion: o.APIVersion, Kind: o.Kind}
	e, err := served(ref, o)
	if err != nil {
		return fmt.Errorf("%s: %w", ref, err)
	}
	line, err := encode(e)
	if err != nil {
		return fmt.Errorf("%s: %w", ref, err)
	}
	if why := excess(line); why != "" {
		c.Gap(evidence.Gap{Fact: factOf(ref), Scope: ref.Namespace, Reason: fmt.Sprintf("%s is not in the snapshot: %s", ref, why)})
		return nil
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.w.open != c {
		return errFinished
	}
	c.w.count.Objects++
	c.w.write(line)
	return c.w.err
}

// Gap writes what could not be seen.
func (c *Cluster) Gap(g evidence.Gap) {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.w.open != c {
		c.w.fail(errFinished)
	}
	c.w.count.Gaps++
	c.w.put(&record{Gap: &g})
}

// Finish ends with the cluster.
func (c *Cluster) Finish() error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.w.open != c {
		return errFinished
	}
	c.w.open = nil
	c.w.put(&record{Collected: c.cluster})
	return c.w.err
}

// served is the record of an object of a cluster, of which it fills in the
// reference. What Load makes of it is the same object again: whatever would become
// another is refused.
func served(ref *evidence.Ref, o cluster.Object) (*encoded, error) {
	e := &encoded{}
	if ref.APIVersion == "" || ref.Kind == "" {
		return nil, errors.New("an object without apiVersion or kind")
	}
	k, _ := kind.Find(ref.Group(), ref.Kind)
	switch typed := o.Typed.(type) {
	case nil:
		if k.New != nil {
			return nil, errors.New("a kind with a Go type is given as JSON")
		}
		text, err := cluster.TrimJSON(ref, o.JSON)
		if err != nil {
			return nil, err
		}
		e.Object = text
	case *metav1.PartialObjectMetadata:
		e.Partial = true
	case *corev1.Secret:
		if !isSecret(ref) {
			return nil, errors.New("a Secret under another name")
		}
		e.Object = servedSecret(ref, typed, typed.Type)
	default:
		if k.New == nil || reflect.TypeOf(typed) != reflect.TypeOf(k.New()) {
			return nil, fmt.Errorf("%T is not the type of the kind", typed)
		}
	}
	if o.Typed != nil {
		ref.Namespace, ref.Name = o.Typed.GetNamespace(), o.Typed.GetName()
	}
	if ref.Name == "" {
		return nil, errors.New("an object without a name")
	}
	switch {
	case e.Object != nil:
	case isSecret(ref):
		e.Object = servedSecret(ref, o.Typed, "")
	default:
		cluster.Trim(o.Typed)
		typed, ok := o.Typed.(interface {
			GetObjectKind() schema.ObjectKind
		})
		if !ok {
			return nil, fmt.Errorf("%T is no object of the API", o.Typed)
		}
		typed.GetObjectKind().SetGroupVersionKind(schema.FromAPIVersionAndKind(o.APIVersion, o.Kind))
		e.Object = typed
	}
	return e, nil
}

// isSecret reports whether an object is a Secret of the API, and not one of a custom
// kind.
func isSecret(ref *evidence.Ref) bool { return ref.Kind == "Secret" && ref.Group() == "" }

func servedSecret(ref *evidence.Ref, o metav1.Object, t corev1.SecretType) *secret {
	s := &secret{APIVersion: ref.APIVersion, Kind: ref.Kind, Type: t, Metadata: secretMetadata{
		Name: o.GetName(), Namespace: o.GetNamespace(), UID: o.GetUID(),
		Labels: o.GetLabels(), Annotations: ofServedSecret(o.GetAnnotations()),
	}}
	if created := o.GetCreationTimestamp(); !created.IsZero() {
		s.Metadata.CreationTimestamp = &created
	}
	return s
}

// ofServedSecret leaves of a Secret's annotations only the one that says whose token
// it holds. In others the values may stand once more.
func ofServedSecret(annotations map[string]string) map[string]string {
	name, ok := annotations[corev1.ServiceAccountNameKey]
	if !ok {
		return nil
	}
	return map[string]string{corev1.ServiceAccountNameKey: name}
}

// factOf is what an object might have been evidence for.
func factOf(ref *evidence.Ref) evidence.Fact {
	f, known := kind.FactOf(ref.Group(), ref.Kind)
	switch {
	case !known:
		return evidence.Workloads // it might have carried pods
	case f == "":
		return evidence.Others
	}
	return f
}

// Files writes what was read of files, and of nodes. The objects must have been read with their
// JSON (manifest.Options.KeepJSON).
func (w *Writer) Files(snap *evidence.Snapshot) error {
	if snap.Cluster != nil {
		return errors.New("a cluster is not files")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open != nil {
		return errOpen
	}
	w.count.Worlds++
	w.put(&record{Files: &struct{}{}})
	sources := map[*evidence.Source]int{}
	for i, s := range snap.Sources {
		sources[s] = i
		w.put(&record{Source: s})
	}
	secrets := map[*evidence.Ref]*evidence.Secret{}
	for _, s := range snap.Secrets {
		secrets[s.Ref] = s
	}
	hosts := map[*evidence.Ref]bool{}
	for _, h := range snap.Hosts {
		hosts[h.Ref] = true
		w.host(h, sources)
	}
	w.around(snap.Managed, snap.Probes)
	for _, ref := range snap.Objects {
		if hosts[ref] {
			continue
		}
		line, err := inFile(ref, sources, secrets[ref])
		if err != nil {
			w.fail(fmt.Errorf("%s: %w", ref, err))
			return w.err
		}
		w.count.Objects++
		w.write(line)
	}
	for _, g := range snap.Gaps {
		w.count.Gaps++
		w.put(&record{Gap: &g})
	}
	return w.err
}

// host writes a node. What of its packet filter is beyond what a line may have is
// left out, and that is written.
func (w *Writer) host(h *evidence.Host, sources map[*evidence.Source]int) {
	number, ok := sources[h.Source]
	if !ok {
		w.fail(fmt.Errorf("%s: it is of no source", h.Ref))
		return
	}
	r := &record{Host: h, Written: &written{Source: number}}
	line, err := encode(r)
	if err == nil && excess(line) != "" && len(h.Firewall) > 0 {
		without := *h
		without.Firewall, without.Unseen = nil, maps.Clone(h.Unseen)
		if without.Unseen == nil {
			without.Unseen = map[evidence.Aspect]string{}
		}
		without.Unseen[evidence.TheFirewall] = "the packet filter's rules are too big for a snapshot"
		r.Host = &without
	} else if err != nil {
		w.fail(fmt.Errorf("%s: %w", h.Ref, err))
		return
	}
	w.count.Objects++
	w.put(r)
}

// around writes what is known besides objects.
func (w *Writer) around(m *evidence.Managed, probes []*evidence.Probed) {
	if m != nil {
		w.put(&record{Managed: m})
	}
	for _, p := range probes {
		w.put(&record{Probed: p})
	}
}

// Around writes who runs the cluster's control plane, nil where that is not a
// provider, and what attempts to connect showed.
func (c *Cluster) Around(m *evidence.Managed, probes []*evidence.Probed) error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.w.open != c {
		return errFinished
	}
	c.w.around(m, probes)
	return c.w.err
}

// inFile is the line of an object of a file.
func inFile(ref *evidence.Ref, sources map[*evidence.Source]int, s *evidence.Secret) ([]byte, error) {
	number, ok := sources[ref.Source]
	if !ok {
		return nil, errors.New("it is of no source")
	}
	e := encoded{Written: &written{
		Source: number, Namespace: ref.Namespace, NamespaceAssumed: ref.NamespaceAssumed, Outline: ref.Outline.Encode(),
	}}
	var err error
	switch {
	case s != nil:
		e.Object = &secret{APIVersion: ref.APIVersion, Kind: ref.Kind, Type: s.Type, Metadata: secretMetadata{
			Name: ref.Name, Labels: ref.Labels, Annotations: withoutLastApplied(ref.Annotations),
		}}
		e.Written.Field = s.Field
	case len(ref.JSON) > 0:
		e.Object, err = cluster.WithoutSecrets(ref.JSON)
	case ref.Kind == "Secret": // of a group of its own
		e.Partial = true
		e.Object = &secret{APIVersion: ref.APIVersion, Kind: ref.Kind, Metadata: secretMetadata{
			Name: ref.Name, Labels: ref.Labels, Annotations: withoutLastApplied(ref.Annotations),
		}}
	default:
		err = errors.New("it was read without its JSON")
	}
	if err != nil {
		return nil, err
	}
	line, err := encode(&e)
	if err != nil {
		return nil, err
	}
	if why := excess(line); why != "" {
		return nil, errors.New("too big for a snapshot: " + why)
	}
	return line, nil
}

func withoutLastApplied(annotations map[string]string) map[string]string {
	annotations = maps.Clone(annotations)
	delete(annotations, corev1.LastAppliedConfigAnnotation)
	return annotations
}
