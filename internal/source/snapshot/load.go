package snapshot

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/metrics"
	"slices"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/carrier"
	"github.com/gabion-k8s/gabion/internal/source/cluster"
	"github.com/gabion-k8s/gabion/internal/source/kind"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

// Options say how a snapshot is loaded. The zero value is ready.
type Options struct {
	// KeepJSON keeps every object's JSON, for rules that the user brings.
	KeepJSON bool
	// MaxBytes is how much is decompressed at most, in bytes; 0 is 4 GiB, more than
	// half a million pods. It bounds the time.
	MaxBytes int64
	// MaxMemory is how much the program may keep in memory meanwhile, in bytes; 0 is
	// 4 GiB. What an object takes is not to be told from its text: this is measured.
	MaxMemory uint64
}

// Load reads a snapshot that a Writer wrote, and returns what was known of each
// cluster, and of the files, in the order in which they were written. A program
// writes snapshots, so whatever is wrong with one is wrong as a whole: the error
// names the line. The header is returned as soon as it could be read.
func Load(ctx context.Context, from io.Reader, o Options) ([]*evidence.Snapshot, Header, error) {
	if o.MaxBytes == 0 {
		o.MaxBytes = 4 << 30
	}
	if o.MaxMemory == 0 {
		o.MaxMemory = 4 << 30
	}
	l := &loader{Options: o}
	file := bufio.NewReader(from)
	zip, err := gzip.NewReader(file)
	if err != nil {
		return nil, Header{}, fmt.Errorf("not a snapshot: %w", unzipped(err))
	}
	zip.Multistream(false)
	if err := l.lines(ctx, zip); err != nil {
		return nil, l.header, err
	}
	if _, err := file.ReadByte(); err != io.EOF {
		return nil, l.header, errors.New("there is something after the end of the snapshot")
	}
	return l.worlds, l.header, nil
}

// lines reads all lines.
func (l *loader) lines(ctx context.Context, zip io.Reader) error {
	text := lineReader{from: bufio.NewReaderSize(zip, 1<<16), left: l.MaxBytes}
	hash := sha256.New()
	measured := text.left
	for number := 1; ; number++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		line, err := text.next()
		switch {
		case err == io.EOF && l.ended:
			return nil
		case err == io.EOF:
			return errors.New("the snapshot is cut short: it has no trailer")
		case err != nil:
			return fmt.Errorf("line %d: %w", number, unzipped(err))
		}
		if err := l.line(number, line, hash.Sum); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		hash.Write(line)
		if measured-text.left > 1<<20 {
			measured = text.left
			if memoryOver(l.MaxMemory) {
				return fmt.Errorf("line %d: the snapshot takes more than %d MiB of memory", number, l.MaxMemory>>20)
			}
		}
	}
}

// unzipped says of the errors of decompression what they mean.
func unzipped(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, gzip.ErrHeader):
		return errors.New("it is not compressed with gzip")
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return errors.New("the snapshot is cut short")
	case errors.Is(err, gzip.ErrChecksum), errors.As(err, &corrupt):
		return errors.New("the snapshot is damaged")
	}
	return err
}

// memoryOver reports whether the program keeps more than limit bytes on its heap,
// or nearly as much: then what is garbage is collected first.
func memoryOver(limit uint64) bool {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	if metrics.Read(heap); heap[0].Value.Uint64() < limit {
		return false
	}
	runtime.GC()
	metrics.Read(heap)
	return heap[0].Value.Uint64() > limit/4*3
}

// A lineReader reads lines up to a limit of bytes.
type lineReader struct {
	from *bufio.Reader
	long []byte // a line that is longer than the reader's buffer
	left int64
}

// next returns a line with its end, until the next call, or io.EOF.
func (r *lineReader) next() ([]byte, error) {
	r.long = r.long[:0]
	for {
		part, err := r.from.ReadSlice('\n')
		if r.left -= int64(len(part)); r.left < 0 {
			return nil, errors.New("the snapshot is bigger than what is read of one")
		}
		switch {
		case err == nil && len(r.long) == 0:
			return part, nil
		case err == nil || err == bufio.ErrBufferFull:
			r.long = append(r.long, part...)
			if len(r.long) > maxLine+1 {
				return nil, errors.New("the line is longer than 16 MiB")
			}
			if err == nil {
				return r.long, nil
			}
		case err == io.EOF && len(part)+len(r.long) > 0:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}

// A loader reads line by line.
type loader struct {
	Options
	header Header
	worlds []*evidence.Snapshot
	count  trailer
	ended  bool // the trailer was read

	// Of what is being read: a cluster has a builder, files have none.
	snap    *evidence.Snapshot
	builder *cluster.Builder

	outliner evidence.Outliner
}

// line reads one line; sum returns the checksum of those before.
func (l *loader) line(number int, line []byte, sum func([]byte) []byte) error {
	if !utf8.Valid(line) {
		return errors.New("the text is not UTF-8")
	}
	if why := excess(line); why != "" {
		return errors.New("unreadable: " + why)
	}
	if number == 1 {
		return l.head(line)
	}
	if l.ended {
		return errors.New("something follows the trailer")
	}
	var r record
	if err := strictly(line, &r); err != nil {
		return err
	}
	set := 0
	for _, is := range []bool{r.Cluster != nil, r.Collected != nil, r.Files != nil, r.Source != nil, r.Gap != nil, r.Object != nil,
		r.Host != nil, r.Managed != nil, r.Probed != nil, r.Trailer != nil} {
		if is {
			set++
		}
	}
	if set != 1 || r.Object == nil && (r.Partial || r.Written != nil && r.Host == nil) {
		return errors.New("not one record")
	}
	return l.record(&r, sum)
}

// head reads the header. What belongs to a newer format is not looked at.
func (l *loader) head(line []byte) error {
	var h Header
	if kjson.UnmarshalCaseSensitivePreserveInts(line, &h) != nil || h.APIVersion != APIVersion || h.Kind != Kind || h.FormatVersion < 1 {
		return errors.New("not a snapshot")
	}
	l.header = h
	if h.FormatVersion > FormatVersion {
		return fmt.Errorf("the snapshot has format %d, and formats up to %d are known here: it takes %s %s or a newer one", h.FormatVersion, FormatVersion, h.Tool.Name, h.Tool.Version)
	}
	return strictly(line, &h)
}

// strictly decodes JSON that has no fields but those of its type, and each once.
func strictly(text []byte, into any) error {
	unknown, err := kjson.UnmarshalStrict(text, into)
	if err != nil {
		return err
	}
	if len(unknown) > 0 {
		return unknown[0]
	}
	return nil
}

func (l *loader) record(r *record, sum func([]byte) []byte) error {
	switch {
	case r.Cluster != nil, r.Files != nil:
		return l.begin(r.Cluster)
	case r.Trailer != nil:
		return l.end(r.Trailer, sum)
	case l.snap == nil:
		return errors.New("nothing says which cluster it is of")
	case r.Gap != nil:
		return l.gap(*r.Gap)
	case r.Object != nil && l.builder != nil:
		l.count.Objects++
		return l.served(r)
	case r.Object != nil:
		l.count.Objects++
		return l.inFile(r)
	case r.Source != nil:
		return l.source(r.Source)
	case r.Host != nil:
		l.count.Objects++
		return l.host(r)
	case r.Managed != nil:
		l.snap.Managed = r.Managed
		return nil
	case r.Probed != nil:
		l.snap.Probes = append(l.snap.Probes, r.Probed)
		return nil
	}
	return l.collected(r.Collected)
}

// begin begins with another cluster, or with files.
func (l *loader) begin(c *evidence.Cluster) error {
	if l.builder != nil {
		return errors.New("the cluster before is cut short")
	}
	l.snap = &evidence.Snapshot{}
	l.worlds = append(l.worlds, l.snap)
	l.count.Worlds++
	if c != nil {
		l.builder = cluster.NewBuilder(l.snap, c)
		l.builder.KeepJSON = l.KeepJSON
	}
	return nil
}

// collected ends with a cluster.
func (l *loader) collected(c *evidence.Cluster) error {
	if l.builder == nil || c.Name != l.snap.Cluster.Name {
		return errors.New("the end of a cluster that was not begun")
	}
	*l.snap.Cluster = *c
	l.builder.Finish()
	l.builder, l.snap = nil, nil
	return nil
}

func (l *loader) gap(g evidence.Gap) error {
	if g.Fact != "" && !slices.Contains(evidence.Facts(), g.Fact) {
		return fmt.Errorf("a gap in the unknown fact %q", g.Fact)
	}
	l.count.Gaps++
	if l.builder != nil {
		l.builder.Gap(g)
		return nil
	}
	l.snap.Gaps = append(l.snap.Gaps, g)
	return nil
}

func (l *loader) source(s *evidence.Source) error {
	if l.builder != nil || s.Cluster != nil {
		return errors.New("a cluster is no source of files")
	}
	if s.Skipped == nil {
		s.Skipped = []evidence.Issue{}
	}
	if s.Errors == nil {
		s.Errors = []evidence.Issue{}
	}
	l.snap.Sources = append(l.snap.Sources, s)
	return nil
}

// end compares the trailer with what was read.
func (l *loader) end(t *trailer, sum func([]byte) []byte) error {
	if l.builder != nil {
		return errors.New("the cluster before is cut short")
	}
	l.count.SHA256 = hex.EncodeToString(sum(nil))
	switch {
	case *t != l.count:
		return errors.New("the snapshot is damaged: the trailer tells of other lines than there are")
	case l.count.Worlds == 0:
		return errors.New("there is nothing in the snapshot")
	}
	l.ended = true
	return nil
}

// served reads an object of a cluster.
func (l *loader) served(r *record) error {
	if r.Written != nil {
		return errors.New("an object of a cluster that stands in a file")
	}
	ref, err := named(r.Object)
	if err != nil {
		return err
	}
	o := cluster.Object{APIVersion: ref.APIVersion, Kind: ref.Kind}
	k, _ := kind.Find(ref.Group(), ref.Kind)
	switch {
	case isSecret(ref):
		var s secret
		if s, err = secretOf(r.Object); err == nil {
			o.Typed = s.object(r.Partial)
		}
	case r.Partial:
		o.Typed, err = decoded(r.Object, &metav1.PartialObjectMetadata{})
	case k.New != nil:
		typed, ok := k.New().(metav1.Object)
		if !ok {
			return fmt.Errorf("%s is no object of the API", ref.Kind)
		}
		o.Typed, err = decoded(r.Object, typed)
	default:
		o.JSON = r.Object
	}
	if err != nil {
		return fmt.Errorf("%s: %w", ref, err)
	}
	return l.builder.Add(o)
}

// named returns what an object says it is.
func named(text []byte) (*evidence.Ref, error) {
	var o struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name         string `json:"name"`
			GenerateName string `json:"generateName"`
		} `json:"metadata"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(text, &o); err != nil {
		return nil, err
	}
	if o.APIVersion == "" || o.Kind == "" || o.Metadata.Name == "" && o.Metadata.GenerateName == "" {
		return nil, errors.New("an object without apiVersion, kind or name")
	}
	return &evidence.Ref{APIVersion: o.APIVersion, Kind: o.Kind, Name: cmp.Or(o.Metadata.Name, o.Metadata.GenerateName)}, nil
}

func decoded(text []byte, into metav1.Object) (metav1.Object, error) {
	if err := carrier.Decode(text, into, evidence.Path{}); err != nil {
		return nil, err
	}
	return into, nil
}

// secretOf reads a Secret, which has nothing that could hold a value.
func secretOf(text []byte) (s secret, err error) {
	if err := strictly(text, &s); err != nil {
		return s, fmt.Errorf("a snapshot has the metadata and the type of Secrets alone: %w", err)
	}
	delete(s.Metadata.Annotations, corev1.LastAppliedConfigAnnotation)
	return s, nil
}

// object is the Secret as an API server serves it.
func (s *secret) object(partial bool) metav1.Object {
	m := metav1.ObjectMeta{
		Name: s.Metadata.Name, Namespace: s.Metadata.Namespace, UID: s.Metadata.UID,
		Labels: s.Metadata.Labels, Annotations: ofServedSecret(s.Metadata.Annotations),
	}
	if s.Metadata.CreationTimestamp != nil {
		m.CreationTimestamp = *s.Metadata.CreationTimestamp
	}
	if partial {
		return &metav1.PartialObjectMetadata{ObjectMeta: m}
	}
	return &corev1.Secret{ObjectMeta: m, Type: s.Type}
}

// inFile reads an object of a file.
func (l *loader) inFile(r *record) error {
	w := r.Written
	if w == nil || w.Source < 0 || w.Source >= len(l.snap.Sources) {
		return errors.New("an object of a source that there is not")
	}
	ref, err := named(r.Object)
	if err != nil {
		return err
	}
	if ref.Outline, err = l.outliner.Decode(w.Outline); err != nil {
		return fmt.Errorf("%s: %w", ref, err)
	}
	ref.Source = l.snap.Sources[w.Source]
	ref.Namespace, ref.NamespaceAssumed = w.Namespace, w.NamespaceAssumed
	var object any
	switch {
	case isSecret(ref) || ref.Kind == "Secret" && r.Partial:
		object, err = writtenSecret(ref, r)
	case r.Partial:
		err = errors.New("in files there is no part of an object")
	default:
		object, err = manifest.Again(ref, r.Object)
		if l.KeepJSON || kind.Whole(ref.Group(), ref.Kind) {
			ref.JSON = bytes.Clone(r.Object)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", ref, err)
	}
	l.snap.Add(ref, object)
	return nil
}

// host reads a node that was looked at.
func (l *loader) host(r *record) error {
	w := r.Written
	if l.builder != nil || w == nil || w.Source < 0 || w.Source >= len(l.snap.Sources) {
		return errors.New("a node of a source that there is not")
	}
	if r.Host.Node == "" || !sound(r.Host) {
		return errors.New("a node without its name, or with nothing in place of a part of it")
	}
	l.snap.AddHost(r.Host, l.snap.Sources[w.Source])
	return nil
}

// sound reports whether a node holds no null in place of one of its parts.
func sound(h *evidence.Host) bool {
	whole := !slices.Contains(h.Certificates, nil) && !slices.Contains(h.Keys, nil) && !slices.Contains(h.Kubeconfigs, nil) &&
		!slices.Contains(h.System.CNI, nil) && soundComponents(h.Components)
	for _, f := range h.Files {
		whole = whole && f != nil
	}
	return whole
}

func soundComponents(list []*evidence.Component) bool {
	for _, c := range list {
		if c == nil || !soundComponents(c.Others) {
			return false
		}
		for _, d := range c.Documents {
			if d == nil {
				return false
			}
		}
	}
	return true
}

// writtenSecret reads a Secret of a file; one of a custom kind has nothing but its
// reference.
func writtenSecret(ref *evidence.Ref, r *record) (any, error) {
	s, err := secretOf(r.Object)
	if err != nil {
		return nil, err
	}
	ref.Labels, ref.Annotations = s.Metadata.Labels, s.Metadata.Annotations
	if r.Partial {
		return nil, nil
	}
	out := &evidence.Secret{Type: s.Type, Field: map[string]string{}}
	for key, field := range r.Written.Field {
		if field != "data" && field != "stringData" {
			return nil, errors.New("its values stand in a field that Secrets do not have")
		}
		out.Field[key] = field
		out.Keys = append(out.Keys, key)
	}
	slices.Sort(out.Keys)
	return out, nil
}
