// Package manifest turns documents into evidence: it knows which kinds the
// Kubernetes API has, decodes them with the API's own types, finds the pods in
// them, and says of everything else why it is not an object. It opens no file;
// the packages that read folders, charts and overlays call it with text.
package manifest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/carrier"
	"github.com/gabion-k8s/gabion/internal/source/kind"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

// Options say how documents become objects.
type Options struct {
	// Namespace is where objects are created that name none; "" is "default".
	Namespace string
	// KeepJSON keeps every object's JSON, for rules that the user brings. Secrets
	// are kept without their values.
	KeepJSON bool
	// Place, when set, moves the nodes of a document's outline to where a person
	// would edit them: into a template or an overlay.
	Place func(*evidence.Outline)
	// Origin, when set, says where a line of a document was written that could not
	// be parsed.
	Origin func(line int) (file string, at int)
}

// A Result is what became of one document: an object, or the reason why not.
type Result struct {
	Ref    *evidence.Ref
	Object any // what Snapshot.Add takes

	Skipped  *evidence.Issue
	Err      *evidence.Issue
	Warnings []evidence.Issue
	// Opaque is what the object has others make that cannot be seen here.
	Opaque []evidence.Issue
	// Gaps are what is left unseen by a document that could not be read, or by what
	// is opaque.
	Gaps []evidence.Gap
}

// A Reader turns files into results. It is not for several goroutines at once,
// and is best kept for many files.
type Reader struct {
	Options
	decoder yamldoc.Decoder
}

// Read decodes every document of a file, in order. It never fails: what cannot
// be read is a result that says so.
func (r *Reader) Read(file string, data []byte) []Result {
	var results []Result
	for doc, err := range r.decoder.Documents(file, data) {
		if err != nil {
			results = append(results, r.broken(file, err))
			continue
		}
		// A rendered list is placed as a whole: its items share the outline.
		if r.Place != nil {
			r.Place(doc.Outline)
		}
		n := len(results)
		for item := range yamldoc.Expand(doc) {
			results = append(results, r.decode(file, item))
		}
		if len(results) == n {
			issue := issueAt(file, doc, evidence.Path{}, "an empty "+doc.Kind)
			results = append(results, Result{Skipped: &issue})
		}
	}
	return results
}

// Add puts results into a snapshot and counts them in the source's row.
func Add(snap *evidence.Snapshot, source *evidence.Source, results []Result) {
	for _, r := range results {
		source.Documents++
		source.Warnings = append(source.Warnings, r.Warnings...)
		source.Opaque = append(source.Opaque, r.Opaque...)
		snap.Gaps = append(snap.Gaps, r.Gaps...)
		switch {
		case r.Err != nil:
			source.Errors = append(source.Errors, *r.Err)
		case r.Skipped != nil:
			source.Skipped = append(source.Skipped, *r.Skipped)
		default:
			source.Objects++
			r.Ref.Source = source
			snap.Add(r.Ref, r.Object)
		}
	}
}

// Unreadable is the result of a file that could not be opened or is too big: it
// may have held anything.
func Unreadable(file, reason string) Result {
	return Unread(evidence.Issue{File: file, Reason: reason})
}

// Unread is the result of something that may have held anything.
func Unread(issue evidence.Issue) Result {
	return Result{Err: &issue, Gaps: []evidence.Gap{{Reason: issue.String()}}}
}

func (r *Reader) broken(file string, e *yamldoc.Error) Result {
	issue := evidence.Issue{File: file, Line: e.Line, Column: e.Column, Reason: e.Reason}
	if r.Origin != nil {
		issue.File, issue.Line = r.Origin(e.Line)
		issue.Column = 0
	}
	return Result{Err: &issue, Gaps: gaps(e.APIVersion, e.Kind, issue)}
}

// gaps says what an unreadable document may have been evidence for: one fact if
// its kind can be told, anything if not.
func gaps(apiVersion, kindName string, issue evidence.Issue) []evidence.Gap {
	g := evidence.Gap{Reason: issue.String()}
	if kindName != "" {
		f, known := kind.FactOf(groupOf(apiVersion), kindName)
		if known && f == "" {
			f = evidence.Others
		}
		g.Fact = f
	}
	return []evidence.Gap{g}
}

func groupOf(apiVersion string) string {
	group, _, ok := strings.Cut(apiVersion, "/")
	if !ok {
		return ""
	}
	return group
}

// decode turns one document into an object.
func (r *Reader) decode(file string, doc yamldoc.Document) Result {
	if res, ok := notAnObject(file, doc); ok {
		return res
	}
	group := groupOf(doc.APIVersion)
	k, builtin := kind.Find(group, doc.Kind)
	if !builtin {
		if right, ok := kind.ProperCase(group, doc.Kind); ok {
			return failed(file, doc, evidence.NewPath("kind"), fmt.Sprintf("kind %q: the API has no such kind, %q is written with these capitals", doc.Kind, right))
		}
	}
	if builtin && group == "" && doc.APIVersion != "v1" {
		return failed(file, doc, evidence.NewPath("apiVersion"), fmt.Sprintf("%s is written in %s: the API has it in v1", doc.Kind, doc.APIVersion))
	}
	object, m, strict, err := typedObject(k, doc.JSON)
	if err != nil {
		return undecodable(file, doc, err)
	}
	name := cmp.Or(m.Name, m.GenerateName)
	if name == "" {
		return failed(file, doc, evidence.NewPath("metadata", "name"), fmt.Sprintf("%s has no name (metadata.name)", doc.Kind))
	}
	ref := &evidence.Ref{
		APIVersion: doc.APIVersion, Kind: doc.Kind, Name: name, Namespace: m.Namespace,
		Labels: m.Labels, Annotations: m.Annotations, Outline: doc.Outline,
	}
	ref.Surplus = surplus(ref, object, strict)
	res := Result{Ref: ref, Warnings: unknownFields(file, doc, object, strict)}
	if secret, ok := object.(*corev1.Secret); ok {
		res.Object = withoutValues(secret, doc)
		ref.Annotations = maps.Clone(ref.Annotations)
		delete(ref.Annotations, corev1.LastAppliedConfigAnnotation)
	} else {
		var faults []*carrier.FieldError
		res.Object, faults = supplied(ref, object, doc.JSON)
		for _, f := range faults {
			fault := failed(file, doc, f.Path, f.Error())
			if _, some := res.Object.([]*evidence.Workload); !some {
				return fault
			}
			res.Warnings = append(res.Warnings, *fault.Err)
			res.Gaps = append(res.Gaps, fault.Gaps...)
		}
	}
	_, carriesPods := res.Object.([]*evidence.Workload)
	r.assumeNamespace(ref, k.Cluster, builtin, group, carriesPods)
	if kind.Makes(group, doc.Kind) {
		unseen := issueAt(file, doc, evidence.Path{}, ref.String()+": what it has others install is not among the files")
		res.Opaque = append(res.Opaque, unseen)
		res.Gaps = append(res.Gaps, evidence.Gap{Reason: unseen.String()})
	}
	if (r.KeepJSON || kind.Whole(group, ref.Kind)) && ref.Kind != "Secret" {
		ref.JSON = bytes.Clone(doc.JSON)
	}
	return res
}

// Again makes of the JSON that KeepJSON kept of an object what was made of it when
// it was read: it returns what Snapshot.Add takes, and fills in the reference's
// name, labels and annotations. The reference's APIVersion and Kind are given, and
// its namespace, which may have come from elsewhere, is left alone. What of the
// object could not be read has been said before and is not said again. It fails for
// what no object was made of, and for Secrets: they have no JSON.
func Again(ref *evidence.Ref, text []byte) (any, error) {
	k, _ := kind.Find(ref.Group(), ref.Kind)
	object, m, strict, err := typedObject(k, text)
	if err != nil {
		return nil, err
	}
	if _, ok := object.(*corev1.Secret); ok {
		return nil, errors.New("a Secret as a whole")
	}
	ref.Name, ref.Labels, ref.Annotations = cmp.Or(m.Name, m.GenerateName), m.Labels, m.Annotations
	ref.Surplus = surplus(ref, object, strict)
	if ref.Name == "" {
		return nil, errors.New("no name (metadata.name)")
	}
	found, _ := supplied(ref, object, text)
	return found, nil
}

// metadata is what every object has, as far as it is used here.
type metadata struct {
	Name         string            `json:"name"`
	GenerateName string            `json:"generateName"`
	Namespace    string            `json:"namespace"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
}

// typedObject decodes an object with the Go type of its kind, or only its
// metadata when there is none. strict are the fields that the type does not have.
func typedObject(k kind.Kind, text []byte) (object any, m metadata, strict []error, err error) {
	if k.New == nil {
		var named struct {
			Metadata metadata `json:"metadata"`
		}
		err = carrier.Decode(text, &named, evidence.Path{})
		return nil, named.Metadata, nil, err
	}
	object = k.New()
	if strict, err = kjson.UnmarshalStrict(text, object, kjson.DisallowUnknownFields); err != nil {
		// Decoded once more, to learn which field it is.
		return nil, m, nil, cmp.Or(carrier.Decode(text, k.New(), evidence.Path{}), err)
	}
	om := object.(metav1.Object)
	return object, metadata{om.GetName(), om.GetGenerateName(), om.GetNamespace(), om.GetLabels(), om.GetAnnotations()}, strict, nil
}

// supplied is what Snapshot.Add takes of an object: decoded with its Go type, or nil
// and its JSON. What it carries of pods may have faults.
func supplied(ref *evidence.Ref, object any, text []byte) (any, []*carrier.FieldError) {
	if object != nil {
		if t, ok := carrier.Builtin(object); ok {
			return []*evidence.Workload{workload(t)}, nil
		}
		return object, nil
	}
	group := ref.Group()
	k, builtin := kind.Find(group, ref.Kind)
	switch {
	case !builtin:
		return custom(group, ref.Kind, text)
	case k.Fact != "":
		return &evidence.Custom{JSON: kind.WithoutSchemas(group, ref.Kind, text)}, nil
	}
	return nil, nil
}

// workload keeps of an object only its pod: a pointer into a Deployment would
// keep all of it.
func workload(t carrier.Template) *evidence.Workload {
	pod := *t.Pod
	w := evidence.NewWorkload(t.Path, t.MetaPath, t.Meta, &pod)
	w.Moved, w.Replicas, w.Partial, w.ByShape = t.Moved, t.Replicas, t.Partial, t.ByShape
	return w
}

// notAnObject recognises documents that the API would not be sent.
func notAnObject(file string, doc yamldoc.Document) (Result, bool) {
	skip := func(reason string) (Result, bool) {
		issue := issueAt(file, doc, evidence.Path{}, reason)
		return Result{Skipped: &issue}, true
	}
	if len(doc.JSON) == 0 || doc.JSON[0] != '{' {
		return skip("not a Kubernetes object: not a mapping")
	}
	_, hasMeta := doc.Outline.Find(evidence.NewPath("metadata"))
	_, hasSpec := doc.Outline.Find(evidence.NewPath("spec"))
	switch {
	case doc.Kind == "" && doc.APIVersion == "":
		return skip("not a Kubernetes object: no apiVersion and no kind")
	case doc.Kind == "" && hasMeta && hasSpec:
		return failed(file, doc, evidence.Path{}, "an object without kind"), true
	case doc.Kind == "":
		return skip("not a Kubernetes object: no kind")
	case doc.APIVersion == "" && hasMeta:
		return failed(file, doc, evidence.NewPath("kind"), fmt.Sprintf("%s has no apiVersion", doc.Kind)), true
	case doc.APIVersion == "":
		return skip("not a Kubernetes object: no apiVersion")
	case doc.APIVersion == "v1" && doc.Kind == "Config":
		return skip("a kubeconfig, not an object of the API")
	case !strings.Contains(doc.APIVersion, "/") && doc.APIVersion != "v1" && !hasMeta:
		return skip("not a Kubernetes object: apiVersion " + doc.APIVersion)
	case kind.Configuration(groupOf(doc.APIVersion)), !hasMeta && mayBeConfiguration(doc):
		return skip(fmt.Sprintf("a configuration file (%s %s), not an object of the API", doc.APIVersion, doc.Kind))
	}
	return Result{}, false
}

// mayBeConfiguration reports whether a kind is of nobody here: programs have
// configuration files with an apiVersion and a kind, and without metadata.
func mayBeConfiguration(doc yamldoc.Document) bool {
	group := groupOf(doc.APIVersion)
	_, read := kind.ReadGroup(group)
	return strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io") && !read && !carrier.Known(group, doc.Kind)
}

// issueAt says something about a field, or about its nearest ancestor that is
// written down.
func issueAt(file string, doc yamldoc.Document, at evidence.Path, reason string) evidence.Issue {
	n, _ := doc.Outline.Find(at)
	pos := doc.Outline.At(n)
	return evidence.Issue{File: cmp.Or(pos.File, file), Line: cmp.Or(pos.Line, doc.Line), Column: pos.Column, Reason: reason}
}

func failed(file string, doc yamldoc.Document, at evidence.Path, reason string) Result {
	issue := issueAt(file, doc, at, reason)
	kindName := doc.Kind
	if right, ok := kind.ProperCase(groupOf(doc.APIVersion), doc.Kind); ok {
		kindName = right
	}
	return Result{Err: &issue, Gaps: gaps(doc.APIVersion, kindName, issue)}
}

// undecodable explains why the API would refuse a document.
func undecodable(file string, doc yamldoc.Document, err error) Result {
	var field *carrier.FieldError
	if errors.As(err, &field) {
		return failed(file, doc, field.Path, field.Error())
	}
	return failed(file, doc, evidence.Path{}, fmt.Sprintf("%s: %v", doc.Kind, err))
}

// unknownFields are fields that the API does not have. A server drops them, or
// refuses the object when asked to be strict: either way the author believes in
// something that is not there.
//
// Old versions of a kind are decoded with the type of the newest, and may well
// have fields that it has not: of them nothing is said.
func unknownFields(file string, doc yamldoc.Document, object any, strict []error) []evidence.Issue {
	if !current(object, doc.APIVersion) {
		return nil
	}
	var issues []evidence.Issue
	for _, err := range strict {
		var f kjson.FieldError
		if !errors.As(err, &f) {
			continue
		}
		at := fieldPath(f.FieldPath())
		issues = append(issues, issueAt(file, doc, at, fmt.Sprintf("%s has no field %s: the API server drops or refuses it", doc.Kind, at)))
	}
	return issues
}

// current reports whether an object was decoded with the type of its own version.
func current(object any, apiVersion string) bool {
	return object != nil && path.Base(reflect.TypeOf(object).Elem().PkgPath()) == path.Base(apiVersion)
}

// surplus is the first of an object's unknown fields, "" where there is none.
func surplus(ref *evidence.Ref, object any, strict []error) string {
	if !current(object, ref.APIVersion) {
		return ""
	}
	for _, err := range strict {
		var f kjson.FieldError
		if errors.As(err, &f) {
			return fieldPath(f.FieldPath()).String()
		}
	}
	return ""
}

// custom looks for pods in an object of a custom kind, or keeps it as JSON when
// some check reads the kind.
func custom(group, kindName string, text []byte) (any, []*carrier.FieldError) {
	templates, faults := carrier.Find(group, kindName, text)
	if len(templates) > 0 {
		var list []*evidence.Workload
		for _, t := range templates {
			list = append(list, workload(t))
		}
		return list, faults
	}
	if _, read := kind.ReadGroup(group); read {
		return &evidence.Custom{JSON: bytes.Clone(text)}, faults
	}
	return nil, faults
}

// withoutValues keeps of a Secret what may be kept.
func withoutValues(s *corev1.Secret, doc yamldoc.Document) *evidence.Secret {
	out := &evidence.Secret{Type: s.Type, Field: map[string]string{}}
	for key, v := range s.Data {
		if len(v) > 0 {
			out.Field[key] = "data"
		}
		clear(v)
	}
	for key, v := range s.StringData {
		if v != "" {
			out.Field[key] = "stringData"
		}
	}
	out.Keys = slices.Sorted(maps.Keys(out.Field))
	clear(doc.JSON)
	return out
}

// assumeNamespace gives an object that names no namespace the one it would be
// created in.
func (r *Reader) assumeNamespace(ref *evidence.Ref, cluster, builtin bool, group string, carriesPods bool) {
	_, read := kind.ReadGroup(group)
	namespaced := builtin && !cluster || !builtin && (carriesPods || read) && !kind.ClusterCustom(group, ref.Kind)
	switch {
	case builtin && cluster:
		ref.Namespace = ""
	case ref.Namespace == "" && namespaced:
		ref.Namespace, ref.NamespaceAssumed = cmp.Or(r.Namespace, "default"), r.Namespace == ""
	}
}

// fieldPath reads the decoder's spelling of a path: spec.containers[0].image.
func fieldPath(text string) evidence.Path {
	var p evidence.Path
	for _, part := range strings.Split(text, ".") {
		name, rest, _ := strings.Cut(part, "[")
		if name != "" {
			p = p.Field(name)
		}
		for _, index := range strings.Split(rest, "[") {
			if i, err := strconv.Atoi(strings.TrimSuffix(index, "]")); err == nil {
				p = p.Index(i, "")
			}
		}
	}
	return p
}
