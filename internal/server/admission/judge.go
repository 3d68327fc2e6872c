// Package admission judges objects on their way into a cluster: the checks of a scan,
// asked about the one object that an API server is about to store, and a webhook
// server around them with its certificates, its registration and a readiness that
// tells the truth. It knows nothing but the object: rules that take more to decide are
// not asked, and what they would find is never a reason to refuse. It changes no
// object and keeps none.
package admission

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/engine"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/internal/source/cluster"
	"github.com/gabion-k8s/gabion/internal/source/kind"
)

// Options say what is judged and how.
type Options struct {
	// Rules are those to ask, of Rules(); nil for all of them.
	Rules []*check.Check
	// Settings are what the user says of the cluster, as for a scan.
	Settings check.Settings
	// Exceptions are findings that somebody accepted.
	Exceptions []engine.Exception
	// TrustAnnotations honours the exceptions that objects claim by annotation. Whoever
	// may create an object may then except it.
	TrustAnnotations bool
	// Deny is the least severity that refuses a request; zero refuses none.
	Deny guide.Severity
	// Namespaces are those where nothing is judged.
	Namespaces []string
	// Now decides which exceptions have expired; nil is time.Now.
	Now func() time.Time
}

// A Judge answers for single objects. It is for any number of goroutines.
type Judge struct {
	options Options
	rules   map[evidence.Fact][]*check.Check
}

// NewJudge returns a Judge.
func NewJudge(o Options) *Judge {
	if o.Rules == nil {
		o.Rules = Rules()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	j := &Judge{options: o, rules: map[evidence.Fact][]*check.Check{}}
	for _, c := range o.Rules {
		for _, fact := range about(c) {
			j.rules[fact] = append(j.rules[fact], c)
		}
	}
	return j
}

// A Verdict is what is to be said of a request.
type Verdict struct {
	// Judged is set when some rule was asked about the object. What is not judged is
	// allowed.
	Judged bool
	// Allowed is unset when a finding is at least as severe as what is to be denied.
	Allowed bool
	// Findings are what is wrong with the object and not excepted, the worst first. Of
	// an update they are what it brings: what was wrong before is not among them.
	Findings []report.Finding
}

// Judge judges a request. The error is for an object that cannot be what the request
// says it is: nothing is known of it then, and whoever asked has to decide.
func (j *Judge) Judge(ctx context.Context, r *admissionv1.AdmissionRequest) (Verdict, error) {
	rules := j.asked(r)
	if len(rules) == 0 {
		return Verdict{Allowed: true}, nil
	}
	o, err := read(r, r.Object.Raw)
	if err != nil {
		return Verdict{}, fmt.Errorf("object: %w", err)
	}
	if passes(r, o.meta) {
		return Verdict{Allowed: true}, nil
	}
	v := Verdict{Judged: true, Allowed: true}
	if v.Findings, err = j.findings(ctx, rules, o); err != nil {
		return Verdict{}, err
	}
	if r.Operation == admissionv1.Update && len(v.Findings) > 0 {
		old, err := read(r, r.OldObject.Raw)
		if err != nil {
			return Verdict{}, fmt.Errorf("oldObject: %w", err)
		}
		before, err := j.findings(ctx, rules, old)
		if err != nil {
			return Verdict{}, err
		}
		v.Findings = brought(before, v.Findings)
	}
	v.Allowed = !slices.ContainsFunc(v.Findings, j.denies)
	return v, nil
}

// denies reports whether a finding is a reason to refuse.
func (j *Judge) denies(f report.Finding) bool {
	return j.options.Deny != 0 && f.Severity >= j.options.Deny
}

// subresources are those whose requests carry the whole object, with what is judged
// of it changed: others, such as status and scale, cannot change that.
var subresources = []string{"", "ephemeralcontainers", "resize"}

// asked are the rules to ask about a request's object. Secrets are not looked into:
// nothing but their values would be worth it.
func (j *Judge) asked(r *admissionv1.AdmissionRequest) []*check.Check {
	switch {
	case r.Operation != admissionv1.Create && r.Operation != admissionv1.Update,
		!slices.Contains(subresources, r.SubResource),
		slices.Contains(j.options.Namespaces, r.Namespace) && r.Namespace != "",
		r.Kind.Group == "" && r.Kind.Kind == "Secret":
		return nil
	}
	fact, _ := kind.FactOf(r.Kind.Group, r.Kind.Kind)
	if _, builtin := kind.Find(r.Kind.Group, r.Kind.Kind); !builtin && fact != evidence.Workloads {
		return slices.Concat(j.rules[evidence.Workloads], j.rules[fact]) // it may carry pods
	}
	return j.rules[fact]
}

// passes reports whether an object is let through unseen: its node shows a static pod,
// which runs already.
func passes(r *admissionv1.AdmissionRequest, o metav1.Object) bool {
	_, mirror := o.GetAnnotations()[corev1.MirrorPodAnnotationKey]
	return mirror && slices.Contains(r.UserInfo.Groups, "system:nodes")
}

// An object is one of a request, with a snapshot of nothing else.
type object struct {
	snap *evidence.Snapshot
	meta metav1.Object
}

// read makes evidence of an object as sources do of one that an API server served.
func read(r *admissionv1.AdmissionRequest, text []byte) (object, error) {
	if len(text) == 0 {
		return object{}, errors.New("missing")
	}
	snap := &evidence.Snapshot{}
	b := cluster.NewBuilder(snap, &evidence.Cluster{Name: "admission"})
	version := metav1.GroupVersion{Group: r.Kind.Group, Version: r.Kind.Version}
	o := cluster.Object{APIVersion: version.String(), Kind: r.Kind.Kind}
	meta, err := decode(&o, r.Kind, text)
	if err != nil {
		return object{}, err
	}
	if err := b.Add(o); err != nil {
		return object{}, fmt.Errorf("not a %s", r.Kind.Kind)
	}
	b.Finish()
	for _, ref := range snap.Objects {
		ref.Namespace = r.Namespace // where it goes, whatever it says
	}
	snap.Gaps = append(snap.Gaps, evidence.Gap{Reason: "a request for admission shows one object"})
	return object{snap, meta}, nil
}

// decode decodes with the Go type of a built-in kind. Errors hold nothing of the
// object: they are logged.
func decode(o *cluster.Object, of metav1.GroupVersionKind, text []byte) (metav1.Object, error) {
	k, builtin := kind.Find(of.Group, of.Kind)
	if builtin && k.New != nil {
		if typed, ok := k.New().(metav1.Object); ok {
			if kjson.UnmarshalCaseSensitivePreserveInts(text, typed) != nil {
				return nil, fmt.Errorf("not a %s", of.Kind)
			}
			o.Typed = typed
			disown(typed)
			return typed, nil
		}
	}
	var named struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
	}
	if kjson.UnmarshalCaseSensitivePreserveInts(text, &named) != nil {
		return nil, fmt.Errorf("not a %s", of.Kind)
	}
	o.JSON = text
	return &named.Metadata, nil
}

// disown takes from an object what would have a source leave it out: that it belongs to
// another one, and is over or about to be. Whoever writes an object can claim the first
// two, and delete a pod with years of grace.
func disown(o metav1.Object) {
	o.SetOwnerReferences(nil)
	o.SetDeletionTimestamp(nil)
	if pod, ok := o.(*corev1.Pod); ok {
		pod.Status = corev1.PodStatus{}
	}
}

// findings asks the rules about an object.
func (j *Judge) findings(ctx context.Context, rules []*check.Check, o object) ([]report.Finding, error) {
	decidable := slices.DeleteFunc(slices.Clone(rules), func(c *check.Check) bool { return !decides(c, o.snap) })
	list, err := engine.Findings(ctx, o.snap, decidable, engine.Options{
		Settings:   j.options.Settings,
		Exceptions: engine.Exceptions{List: j.options.Exceptions, Annotations: j.options.TrustAnnotations, Now: j.options.Now()},
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(f report.Finding) bool { return f.Exception != nil }), nil
}

// brought are the findings that were not there before: another fault, or another value
// of the same field that is as wrong. What stays as it was, and gets no graver, is not
// the request's doing.
func brought(before, now []report.Finding) []report.Finding {
	type fault struct{ id, value string }
	known := map[fault]guide.Severity{}
	for i := range before {
		of := fault{before[i].ID, before[i].Value}
		known[of] = max(known[of], before[i].Severity)
	}
	return slices.DeleteFunc(now, func(f report.Finding) bool { return known[fault{f.ID, f.Value}] >= f.Severity })
}
