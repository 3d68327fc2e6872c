package policy

import (
	"cmp"
	gojson "encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

const registrationGroup = "admissionregistration.k8s.io"

// A loader fills a set from files.
type loader struct {
	set     *Set
	decoder yamldoc.Decoder
	written []writtenBinding
	errs    []error
}

type writtenBinding struct {
	*binding
	at place
}

// A place is a document of a file.
type place struct {
	file    int
	name    string
	line    int
	outline *evidence.Outline
}

// at is the line of a field, or of the nearest ancestor that is written.
func (p place) at(path evidence.Path) int {
	n, _ := p.outline.Find(path)
	return cmp.Or(p.outline.At(n).Line, p.line)
}

func (l *loader) fail(p place, at evidence.Path, format string, args ...any) {
	l.errs = append(l.errs, located{p.name, p.at(at), fmt.Sprintf(format, args...)})
}

func (l *loader) read(f File) {
	l.set.sources = append(l.set.sources, evidence.Source{Type: "policy", Ref: f.Name, Files: 1})
	for doc, err := range l.decoder.Documents(f.Name, f.Data) {
		if err != nil {
			l.errs = append(l.errs, located{f.Name, err.Line, err.Reason})
			continue
		}
		for item := range yamldoc.Expand(doc) {
			p := place{len(l.set.sources) - 1, f.Name, item.Line, item.Outline}
			l.set.sources[p.file].Documents++
			l.set.sources[p.file].Objects++
			l.object(p, item)
		}
	}
}

// object takes a policy, a binding, a definition of a custom kind, or anything
// else as a parameter.
func (l *loader) object(p place, doc yamldoc.Document) {
	group, version, _ := strings.Cut(doc.APIVersion, "/")
	switch {
	case doc.APIVersion == "" || doc.Kind == "":
		l.fail(p, evidence.Path{}, "not an object: want an apiVersion and a kind")
	case group == registrationGroup && version != "v1" && version != "v1beta1":
		l.fail(p, evidence.NewPath("apiVersion"), "%s: want %s/v1", doc.APIVersion, registrationGroup)
	case group == registrationGroup && doc.Kind == "ValidatingAdmissionPolicy":
		l.policy(p, doc)
	case group == registrationGroup && doc.Kind == "ValidatingAdmissionPolicyBinding":
		l.binding(p, doc)
	case group == registrationGroup:
		l.fail(p, evidence.NewPath("kind"), "kind %s cannot be judged by: want a ValidatingAdmissionPolicy or a ValidatingAdmissionPolicyBinding", doc.Kind)
	default:
		l.param(p, doc)
	}
}

// decode decodes strictly, and says whether it could.
func (l *loader) decode(p place, doc yamldoc.Document, into any) bool {
	strict, err := json.UnmarshalStrict(doc.JSON, into)
	if err != nil {
		at := evidence.Path{}
		if mistyped := (*gojson.UnmarshalTypeError)(nil); errors.As(err, &mistyped) {
			at = fieldPath(mistyped.Field)
		}
		l.fail(p, at, "%s: %v", doc.Kind, err)
		return false
	}
	for _, e := range strict {
		var field json.FieldError
		at := evidence.Path{}
		if errors.As(e, &field) {
			at = fieldPath(field.FieldPath())
		}
		l.fail(p, at, "%s: %v", doc.Kind, e)
	}
	return len(strict) == 0
}

func (l *loader) policy(p place, doc yamldoc.Document) {
	pol := &policy{ValidatingAdmissionPolicy: &admissionregistrationv1.ValidatingAdmissionPolicy{}, file: p.file, line: p.line, severity: guide.Medium}
	if !l.decode(p, doc, pol.ValidatingAdmissionPolicy) {
		return
	}
	before := len(l.errs)
	for _, other := range l.set.policies {
		if other.Name == pol.Name {
			l.fail(p, evidence.NewPath("metadata", "name"), "policy %q is written twice", pol.Name)
		}
	}
	if msgs := validation.IsDNS1123Subdomain(pol.Name); len(msgs) > 0 {
		l.fail(p, evidence.NewPath("metadata", "name"), "policy name %q: %s", pol.Name, msgs[0])
	}
	l.annotations(p, pol)
	l.shape(p, pol)
	pol.match = l.criteria(p, evidence.NewPath("spec", "matchConstraints"), pol.Spec.MatchConstraints)
	if len(l.errs) == before {
		pol.programs = l.compile(p, pol)
	}
	l.set.policies = append(l.set.policies, pol)
}

func (l *loader) annotations(p place, pol *policy) {
	at := func(name string) evidence.Path { return evidence.NewPath("metadata", "annotations", name) }
	if id := pol.Annotations[recommendationAnnotation]; id != "" {
		if _, ok := guide.Find(id); !ok {
			l.fail(p, at(recommendationAnnotation), "%s: there is no recommendation %q", recommendationAnnotation, id)
		}
		pol.recommendation = id
	}
	if name := pol.Annotations[severityAnnotation]; name != "" {
		s, err := guide.ParseSeverity(name)
		if err != nil {
			l.fail(p, at(severityAnnotation), "%s: %v", severityAnnotation, err)
		}
		pol.severity = s
	}
	pol.remedy = pol.Annotations[remedyAnnotation]
}

// shape checks what the API server requires of a policy besides its types.
func (l *loader) shape(p place, pol *policy) {
	spec := evidence.NewPath("spec")
	if pol.Spec.MatchConstraints == nil || len(pol.Spec.MatchConstraints.ResourceRules) == 0 {
		l.fail(p, spec.Field("matchConstraints"), "policy %q: matchConstraints needs a resource rule", pol.Name)
	}
	if len(pol.Spec.Validations) == 0 && len(pol.Spec.AuditAnnotations) == 0 {
		l.fail(p, spec, "policy %q has no validations", pol.Name)
	}
	for i, v := range pol.Spec.Validations {
		if strings.TrimSpace(v.Expression) == "" {
			l.fail(p, spec.Field("validations").Index(i, ""), "policy %q: a validation without an expression", pol.Name)
		}
	}
	if k := pol.Spec.ParamKind; k != nil {
		if _, err := schema.ParseGroupVersion(k.APIVersion); err != nil || k.APIVersion == "" || k.Kind == "" {
			l.fail(p, spec.Field("paramKind"), "policy %q: paramKind needs an apiVersion and a kind", pol.Name)
		}
	}
	switch f := pol.Spec.FailurePolicy; {
	case f != nil && *f != admissionregistrationv1.Fail && *f != admissionregistrationv1.Ignore:
		l.fail(p, spec.Field("failurePolicy"), "failurePolicy %q: want Fail or Ignore", *f)
	}
}

func (l *loader) binding(p place, doc yamldoc.Document) {
	b := &binding{ValidatingAdmissionPolicyBinding: &admissionregistrationv1.ValidatingAdmissionPolicyBinding{}}
	if !l.decode(p, doc, b.ValidatingAdmissionPolicyBinding) {
		return
	}
	spec := evidence.NewPath("spec")
	b.match = l.criteria(p, spec.Field("matchResources"), b.Spec.MatchResources)
	switch actions := b.Spec.ValidationActions; {
	case len(actions) == 0:
		l.fail(p, spec.Field("validationActions"), "binding %q: validationActions must name Deny, Warn or Audit", b.Name)
	case slices.Contains(actions, admissionregistrationv1.Deny):
	case slices.Contains(actions, admissionregistrationv1.Warn):
		b.severity, b.reason = guide.Low, fmt.Sprintf("binding %s only warns", b.Name)
	case slices.Contains(actions, admissionregistrationv1.Audit):
		b.severity, b.reason = guide.Info, fmt.Sprintf("binding %s only audits", b.Name)
	}
	for i, a := range b.Spec.ValidationActions {
		switch a {
		case admissionregistrationv1.Deny, admissionregistrationv1.Warn, admissionregistrationv1.Audit:
		default:
			l.fail(p, spec.Field("validationActions").Index(i, ""), "validation action %q: want Deny, Warn or Audit", a)
		}
	}
	l.paramRef(p, b)
	l.written = append(l.written, writtenBinding{b, p})
}

func (l *loader) paramRef(p place, b *binding) {
	ref := b.Spec.ParamRef
	if ref == nil {
		return
	}
	at := evidence.NewPath("spec", "paramRef")
	if (ref.Name == "") == (ref.Selector == nil) {
		l.fail(p, at, "binding %q: paramRef needs either a name or a selector", b.Name)
	}
	switch a := ref.ParameterNotFoundAction; {
	case a == nil:
		l.fail(p, at, "binding %q: paramRef needs a parameterNotFoundAction", b.Name)
	case *a != admissionregistrationv1.AllowAction && *a != admissionregistrationv1.DenyAction:
		l.fail(p, at.Field("parameterNotFoundAction"), "parameterNotFoundAction %q: want Allow or Deny", *a)
	}
}

func (l *loader) param(p place, doc yamldoc.Document) {
	object := map[string]any{}
	if err := json.UnmarshalCaseSensitivePreserveInts(doc.JSON, &object); err != nil {
		l.fail(p, evidence.Path{}, "%s: %v", doc.Kind, err)
		return
	}
	if doc.Kind == "CustomResourceDefinition" {
		if crd, ok := readCustomKind(doc.JSON); ok {
			l.set.crds = append(l.set.crds, crd)
		}
	}
	l.set.params = append(l.set.params, newParam(&unstructured.Unstructured{Object: object}))
}

// bind gives every policy its bindings.
func (l *loader) bind() {
	for _, b := range l.written {
		i := slices.IndexFunc(l.set.policies, func(p *policy) bool { return p.Name == b.Spec.PolicyName })
		if i < 0 {
			src := &l.set.sources[b.at.file]
			at := evidence.NewPath("spec", "policyName")
			src.Warnings = append(src.Warnings, evidence.Issue{File: b.at.name, Line: b.at.at(at),
				Reason: fmt.Sprintf("binding %q has no effect: its policy %q is not among the files of policies", b.Name, b.Spec.PolicyName)})
			continue
		}
		l.set.policies[i].bindings = append(l.set.policies[i].bindings, b.binding)
	}
	for _, p := range l.set.policies {
		if len(p.bindings) > 0 {
			continue
		}
		p.unbound = true
		p.bindings = []*binding{{
			ValidatingAdmissionPolicyBinding: &admissionregistrationv1.ValidatingAdmissionPolicyBinding{},
			match:                            everything(),
		}}
	}
}

// fieldPath reads the decoder's spelling of a path: spec.validations[0].message.
func fieldPath(text string) evidence.Path {
	var p evidence.Path
	for _, part := range strings.Split(text, ".") {
		name, index, isItem := strings.Cut(part, "[")
		p = p.Field(name)
		var i int
		if _, err := fmt.Sscanf(index, "%d]", &i); isItem && err == nil {
			p = p.Index(i, "")
		}
	}
	return p
}
