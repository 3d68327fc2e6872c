package policy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	celtypes "github.com/google/cel-go/common/types"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	apiservercel "k8s.io/apiserver/pkg/cel"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/engine"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// What one policy may cost over all objects, in the API server's units (ten
// million are about a second), and how many objects may exceed what the API
// server allows for one. A policy beyond is not judged further, and that is told.
const (
	mostCost    = 500_000_000
	mostTooDear = 10
)

// A judgement is one evaluation of a set over a snapshot.
type judgement struct {
	set        *Set
	scheme     *runtime.Scheme
	namespaces map[string]*corev1.Namespace
	customs    map[schema.GroupKind]customKind
	params     []*param

	findings []engine.Extra
	kept     map[string]int // place in findings by object, policy and rule
	said     map[saying]int // place in findings of what was said of the objects themselves
	states   []state        // by policy
	guesses  map[string]string
}

// A saying is what a policy says of an object.
type saying struct {
	object          int // its Ref.ID
	policy, message string
}

// A state is what is known of one policy during a judgement.
type state struct {
	spent   int64
	tooDear int
	stopped string // why it is judged no further, "" while it is
	unknown map[string]tally
}

// A tally counts the objects that were not judged for one reason.
type tally struct {
	n     int
	first string
}

// Judge evaluates every policy on every object, as on its creation, and on the
// pods that a controller would create for it, and returns what would be denied,
// warned of or audited, and a row for each file of policies, whose warnings say
// what could not be judged and why. The objects need their JSON
// (manifest.Options.KeepJSON). The error is that of the context.
func (s *Set) Judge(ctx context.Context, snap *evidence.Snapshot) ([]engine.Extra, []*evidence.Source, error) {
	j, err := s.newJudgement(snap)
	if err != nil {
		return nil, nil, err
	}
	for _, ref := range snap.Objects {
		if err := j.judge(ctx, j.newRequest(ref)); err != nil {
			return nil, nil, err
		}
	}
	for _, w := range snap.Workloads {
		if isPod(w) {
			continue
		}
		if err := j.judge(ctx, j.podRequest(w)); err != nil {
			return nil, nil, err
		}
	}
	return j.findings, j.rows(), nil
}

func (s *Set) newJudgement(snap *evidence.Snapshot) (*judgement, error) {
	j := &judgement{
		set: s, namespaces: map[string]*corev1.Namespace{}, customs: map[schema.GroupKind]customKind{},
		params: slices.Clone(s.params), kept: map[string]int{}, said: map[saying]int{}, states: make([]state, len(s.policies)), guesses: map[string]string{},
	}
	var err error
	if j.scheme, err = newScheme(); err != nil {
		return nil, err
	}
	for _, ns := range snap.Namespaces {
		seen := ns.Value.DeepCopy()
		seen.Labels = withName(seen.Labels, seen.Name)
		j.namespaces[ns.Name] = cel.CreateNamespaceObject(seen)
	}
	for _, k := range s.crds {
		j.customs[schema.GroupKind{Group: k.group, Kind: k.kind}] = k
	}
	for _, ref := range snap.Objects {
		if ref.Kind != "CustomResourceDefinition" {
			continue
		}
		if k, ok := readCustomKind(ref.JSON); ok {
			j.customs[schema.GroupKind{Group: k.group, Kind: k.kind}] = k
		}
	}
	j.scannedParams(snap.Objects)
	return j, nil
}

// judge judges a request by every policy.
func (j *judgement) judge(ctx context.Context, r *request) error {
	if rules.IsExemptAdmissionConfigurationResource(r) {
		return ctx.Err() // the API server asks no policy about policies
	}
	for i, p := range j.set.policies {
		st := &j.states[i]
		match, gvr, gvk := p.match.matches(r)
		if match == no {
			if r.guessed && p.match.namesGroup(r.ref.Group()) {
				j.guesses[r.ref.Group()+"/"+r.ref.Kind] = r.GetResource().Resource
			}
			continue
		}
		if why := j.hindrance(p, st, match, r); why != "" {
			st.skip(r, why)
			continue
		}
		for _, b := range p.bindings {
			switch match, _, _ := b.match.matches(r); match {
			case no:
				continue
			case unknown:
				st.skip(r, namespaceUnknown(r))
				continue
			}
			j.bound(ctx, i, b, r, gvr, gvk)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// hindrance says why a policy cannot be judged on an object that it is for.
func (j *judgement) hindrance(p *policy, st *state, match verdict, r *request) string {
	switch {
	case st.stopped != "":
		return st.stopped
	case r.incomplete() != "":
		return r.incomplete()
	case match == unknown:
		return namespaceUnknown(r)
	case p.programs.authorizer:
		return "it asks the authorizer, which only a cluster has"
	case p.programs.namespaceObject && r.namespace == nil && r.GetNamespace() != "" && !r.isNamespace():
		return namespaceUnknown(r)
	}
	return ""
}

func namespaceUnknown(r *request) string {
	return fmt.Sprintf("the labels of namespace %q decide, and its object is not among what was read", r.GetNamespace())
}

func (s *state) skip(r *request, why string) {
	if s.unknown == nil {
		s.unknown = map[string]tally{}
	}
	t := s.unknown[why]
	t.n++
	t.first = cmp.Or(t.first, r.String())
	s.unknown[why] = t
}

// bound judges an object by a policy under one of its bindings.
func (j *judgement) bound(ctx context.Context, i int, b *binding, r *request, gvr schema.GroupVersionResource, gvk schema.GroupVersionKind) {
	p, st := j.set.policies[i], &j.states[i]
	ignore := p.Spec.FailurePolicy != nil && *p.Spec.FailurePolicy == admissionregistrationv1.Ignore
	failed := func(key, message string) {
		if ignore {
			st.skip(r, "failurePolicy Ignore admits what cannot be judged: "+clip(message))
			return
		}
		j.report(p, b, r, nil, key, message)
	}
	params, denied, missing := j.paramsFor(p, b, r)
	switch {
	case missing != "":
		st.skip(r, missing)
		return
	case denied != "":
		failed("params", denied)
		return
	}
	attr, err := r.as(j, gvk)
	if err != nil {
		st.skip(r, err.Error())
		return
	}
	for _, param := range params {
		e := evaluation{
			policy: p, attr: attr, request: cel.CreateAdmissionRequest(attr.Attributes, metav1.GroupVersionResource(gvr), metav1.GroupVersionKind(gvk)),
			vars: cel.OptionalVariableBindings{VersionedParams: param.versioned()}, namespace: r.namespace,
		}
		decisions := e.decide(ctx)
		if ctx.Err() != nil {
			return
		}
		for _, d := range decisions {
			// The key tells the rule and its parameters: they make one finding each.
			key := d.key + "\x00" + param.String()
			if d.failed {
				failed(key, d.message)
				continue
			}
			j.report(p, b, r, d.field, key, d.message)
		}
		st.charge(e)
	}
}

// charge counts what an evaluation cost.
func (s *state) charge(e evaluation) {
	s.spent += e.spent
	if e.tooDear {
		s.tooDear++
	}
	switch {
	case s.tooDear >= mostTooDear:
		s.stopped = "its expressions cost more than the API server allows for one object"
	case s.spent >= mostCost:
		s.stopped = "its expressions have cost too much on the objects before"
	}
}

// An evaluation is one policy on one object with one set of parameters.
type evaluation struct {
	policy    *policy
	attr      *admission.VersionedAttributes
	request   *admissionv1.AdmissionRequest
	vars      cel.OptionalVariableBindings
	namespace *corev1.Namespace

	spent   int64
	tooDear bool
}

// A decision is one reason to deny.
type decision struct {
	key     string   // what tells the rule from the others of its policy
	field   []string // of what is judged
	message string
	failed  bool // it could not be judged, rather than was found wrong
}

// run evaluates expressions within a budget, and returns what is left of it.
func (e *evaluation) run(ctx context.Context, programs cel.ConditionEvaluator, namespace *corev1.Namespace, budget int64) ([]cel.EvaluationResult, int64, error) {
	results, left, err := programs.ForInput(ctx, e.attr, e.request, e.vars, namespace, budget)
	e.spent += budget - max(left, 0)
	if err != nil {
		e.tooDear = e.tooDear || errors.Is(err, apiservercel.ErrOutOfBudget)
		return nil, 0, err
	}
	for _, r := range results {
		if r.Error != nil && strings.Contains(r.Error.Error(), "cost limit exceeded") {
			e.tooDear = true
			e.spent += celconfig.PerCallLimit
		}
	}
	return results, left, nil
}

// decide returns the reasons to deny, as the API server finds them.
func (e *evaluation) decide(ctx context.Context) []decision {
	applies, err := e.conditions(ctx)
	switch {
	case err != nil:
		return []decision{{key: "matchConditions", message: err.Error(), failed: true}}
	case !applies:
		return nil
	}
	results, left, err := e.run(ctx, e.policy.programs.validations, e.namespace, celconfig.RuntimeCELCostBudget)
	if err != nil {
		return []decision{{key: "validations", message: err.Error(), failed: true}}
	}
	if !slices.ContainsFunc(results, func(r cel.EvaluationResult) bool { return r.Error != nil || r.EvalResult != celtypes.True }) {
		return nil
	}
	messages, _, messageErr := e.run(ctx, e.policy.programs.messages, e.namespace, left)
	var decisions []decision
	for i, r := range results {
		v := e.policy.Spec.Validations[i]
		d := decision{key: strings.TrimSpace(v.Expression), field: e.policy.programs.fields[i]}
		switch {
		case r.Error != nil:
			d.message, d.failed, d.field = r.Error.Error(), true, nil
		case messageErr != nil:
			d.message, d.failed = fmt.Sprintf("failed messageExpression: %s", messageErr), true
		case r.EvalResult == celtypes.True:
			continue
		default:
			d.message = message(v, messages, i)
		}
		decisions = append(decisions, d)
	}
	return decisions
}

// conditions reports whether all match conditions hold. One that does not
// settles it, whatever became of the others. They see no Namespace.
func (e *evaluation) conditions(ctx context.Context) (bool, error) {
	if e.policy.programs.conditions == nil {
		return true, nil
	}
	results, _, err := e.run(ctx, e.policy.programs.conditions, nil, celconfig.RuntimeCELCostBudgetMatchConditions)
	if err != nil {
		return false, err
	}
	var errs []error
	for _, r := range results {
		if r.EvalResult == celtypes.False {
			return false, nil
		}
		if r.Error != nil {
			errs = append(errs, r.Error)
		}
	}
	return len(errs) == 0, errors.Join(errs...)
}

// message is what the API server says of a validation that was not met: the
// message expression's result where it is a fit one, else the message, else the
// expression.
func message(v admissionregistrationv1.Validation, results []cel.EvaluationResult, i int) string {
	if i < len(results) && results[i].Error == nil && results[i].EvalResult != nil {
		if text, ok := results[i].EvalResult.Value().(string); ok {
			text = strings.TrimSpace(text)
			if text != "" && len(text) <= celconfig.MaxEvaluatedMessageExpressionSizeBytes && !strings.Contains(text, "\n") {
				return text
			}
		}
	}
	if text := strings.TrimSpace(v.Message); text != "" {
		return text
	}
	return "failed expression: " + strings.TrimSpace(v.Expression)
}

// report adds a finding. What several bindings say of the same is one finding,
// with the worst severity, and so is what a policy says of an object and once
// more of its pods.
func (j *judgement) report(p *policy, b *binding, r *request, field []string, key, message string) {
	ref := r.subject()
	if r.pods != nil {
		key += "\x00pods\x00" + r.pods.PodPath.Key()
	}
	path := r.place(field).Rooted(key)
	f := engine.Extra{
		Rule: p.Name, Recommendation: p.recommendation, Ref: ref,
		Severity: cmp.Or(b.severity, p.severity),
		Problem: check.Problem{
			Path: path, Message: r.tell(message), SeverityReason: b.reason,
			Remedy: cmp.Or(p.remedy, remedy(path)),
		},
	}
	f.Problem.Severity = f.Severity
	if p.unbound && f.Problem.SeverityReason == "" {
		f.Problem.SeverityReason = "no binding was given, without which a cluster does nothing: judged as if one denied everywhere"
	}
	id, words := fmt.Sprintf("%d\x00%s\x00%s", ref.ID, p.Name, key), saying{ref.ID, p.Name, message}
	at, seen := j.kept[id]
	if !seen && r.pods != nil {
		at, seen = j.said[words]
	}
	switch {
	case !seen:
		at = len(j.findings)
		j.findings = append(j.findings, f)
	case f.Severity > j.findings[at].Severity:
		j.findings[at] = f
	}
	j.kept[id] = at
	if r.pods == nil {
		j.said[words] = at
	}
}

// remedy is what to do when the policy's author did not say.
func remedy(path evidence.Path) string {
	expression, _, _ := strings.Cut(path.Key(), "\x00")
	return "make the object satisfy " + clip(expression)
}

// rows are the rows of the files, with what could not be judged.
func (j *judgement) rows() []*evidence.Source {
	rows := j.set.rows()
	warn := func(p *policy, reason string) {
		rows[p.file].Warnings = append(rows[p.file].Warnings,
			evidence.Issue{File: rows[p.file].Ref, Line: p.line, Reason: fmt.Sprintf("policy %q %s", p.Name, reason)})
	}
	for i, p := range j.set.policies {
		if !p.match.creates() {
			warn(p, "says nothing of the creation of objects, which is what a scan foresees")
		}
		for _, why := range slices.Sorted(maps.Keys(j.states[i].unknown)) {
			t := j.states[i].unknown[why]
			warn(p, fmt.Sprintf("was not judged on %s: %s", t, why))
		}
		for _, kind := range slices.Sorted(maps.Keys(j.guesses)) {
			group, name, _ := strings.Cut(kind, "/")
			if p.match.namesGroup(group) {
				warn(p, fmt.Sprintf("was not judged on objects of kind %s (%s): the resource is taken to be called %q, since no CustomResourceDefinition says otherwise", name, group, j.guesses[kind]))
			}
		}
	}
	return rows
}

func (t tally) String() string {
	if t.n == 1 {
		return t.first
	}
	return fmt.Sprintf("%d objects, such as %s", t.n, t.first)
}
