package checks

import (
	"fmt"
	"path"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A control is a policy about pods, of whatever engine, as far as it can be told
// from its objects whether it is in force.
type control struct {
	*evidence.Ref
	// text is what it judges by, in lower case: expressions, patterns, parameters.
	text string
	// lax is why it refuses nothing; the zero value when it does refuse.
	lax flaw
	// open is why it lets pods pass that it could not judge.
	open flaw
	// unbound is set when nothing that was read puts it in force.
	unbound bool
	// covers reports whether it looks at the pods of a namespace.
	covers []coverage
	// unseen is what else would have to be known to rely on it.
	unseen string
}

// A flaw is what is wrong with a control, and where that is written.
type flaw struct {
	ref    *evidence.Ref
	path   evidence.Path
	value  string
	reason string
}

func (f flaw) problem(c control) check.Problem {
	return check.Problem{Path: f.path, Value: f.value, Message: fmt.Sprintf("%s %q %s", c.Kind, c.Name, f.reason)}
}

// A coverage says whether pods of a namespace are looked at, and whether that is
// certain when the namespace's labels are not known.
type coverage func(namespace string, labels map[string]string, known bool) (covered, sure bool)

// enforced reports whether the control refuses pods, as far as was read.
func (c control) enforced() bool { return c.lax.reason == "" && !c.unbound }

// leftOut returns the user namespaces that the control does not look at, and why
// that cannot be told for all of them. When no namespace was seen, the question is
// about one that somebody may create.
func (c control) leftOut(s *check.Scan) (names []string, unsure string) {
	list := userSpaces(s)
	if len(list) == 0 {
		list = []*space{{name: "of a user"}}
		defer func() {
			if len(names) > 0 {
				names, unsure = nil, "it looks at chosen namespaces only, and none was read"
			}
		}()
	}
	for _, sp := range list {
		covered, sure := len(c.covers) == 0, true
		for _, cover := range c.covers {
			var own map[string]string
			if sp.object != nil {
				own = sp.object.Labels
			}
			yes, certain := cover(sp.name, own, sp.object != nil)
			covered, sure = covered || yes && certain, sure && certain
		}
		switch {
		case covered:
		case sure:
			names = append(names, sp.name)
		default:
			unsure = fmt.Sprintf("whether it covers the namespace %s depends on labels of namespaces, which were not read", sp.name)
		}
	}
	return names, unsure
}

// controls gathers the policies about pods that are among the objects.
func controls(s *check.Scan) []control {
	var list []control
	for _, p := range s.AdmissionPolicies {
		if c, ok := celControl(s, p); ok {
			list = append(list, c)
		}
	}
	for _, o := range s.Custom {
		switch o.Group() {
		case "kyverno.io":
			list = append(list, kyvernoControls(o)...)
		case "policies.kyverno.io":
			if c, ok := kyvernoCELControl(o); ok {
				list = append(list, c)
			}
		case "constraints.gatekeeper.sh":
			if c, ok := gatekeeperControl(s, o); ok {
				list = append(list, c)
			}
		}
	}
	for _, o := range s.Custom {
		if o.Kind != "PolicyException" {
			continue
		}
		for i := range list {
			if strings.HasSuffix(list[i].Group(), "kyverno.io") {
				list[i].unseen = "what " + o.String() + " exempts was not evaluated"
			}
		}
	}
	return list
}

// celControl reads a ValidatingAdmissionPolicy with its bindings.
func celControl(s *check.Scan, p *evidence.Object[admissionregistrationv1.ValidatingAdmissionPolicy]) (control, bool) {
	spec := p.Value.Spec
	if spec.MatchConstraints == nil || !matchesPods(spec.MatchConstraints.ResourceRules) {
		return control{}, false
	}
	c := control{Ref: p.Ref, unbound: true}
	var text strings.Builder
	for _, v := range spec.Variables {
		text.WriteString(v.Expression + "\n")
	}
	for _, v := range spec.Validations {
		text.WriteString(v.Expression + "\n")
	}
	c.text = strings.ToLower(text.String())
	c.unseen = narrowed(*spec.MatchConstraints)
	if len(spec.MatchConditions) > 0 {
		c.unseen = "its match conditions were not evaluated"
	}
	if spec.FailurePolicy != nil && *spec.FailurePolicy == admissionregistrationv1.Ignore {
		c.open = flaw{p.Ref, evidence.NewPath("spec", "failurePolicy"), "Ignore", "lets everything pass when it cannot be evaluated (failurePolicy Ignore)"}
	}
	for _, b := range s.AdmissionPolicyBindings {
		if b.Value.Spec.PolicyName != p.Name {
			continue
		}
		c.unbound = false
		if !slices.Contains(b.Value.Spec.ValidationActions, admissionregistrationv1.Deny) {
			if len(c.covers) == 0 {
				c.lax = flaw{b.Ref, evidence.NewPath("spec", "validationActions"), fmt.Sprint(b.Value.Spec.ValidationActions), "refuses nothing: its binding " + b.Name + " does not deny"}
			}
			continue
		}
		c.lax = flaw{}
		if b.Value.Spec.MatchResources != nil && c.unseen == "" {
			c.unseen = narrowed(*b.Value.Spec.MatchResources)
		}
		c.covers = append(c.covers, selected(*spec.MatchConstraints, b.Value.Spec.MatchResources))
	}
	return c, true
}

// narrowed says what else than namespaces a match may leave out.
func narrowed(m admissionregistrationv1.MatchResources) string {
	switch {
	case m.ObjectSelector != nil && len(m.ObjectSelector.MatchLabels)+len(m.ObjectSelector.MatchExpressions) > 0:
		return "which pods its object selector leaves out was not evaluated"
	case len(m.ExcludeResourceRules) > 0:
		return "what its excluded resources leave out was not evaluated"
	}
	return ""
}

func matchesPods(rules []admissionregistrationv1.NamedRuleWithOperations) bool {
	return slices.ContainsFunc(rules, func(r admissionregistrationv1.NamedRuleWithOperations) bool {
		return len(r.ResourceNames) == 0 && ruleMatchesPods(r.RuleWithOperations)
	})
}

// ruleMatchesPods reports whether a rule sends the creation of pods to admission.
func ruleMatchesPods(r admissionregistrationv1.RuleWithOperations) bool {
	return slices.ContainsFunc(r.Operations, func(o admissionregistrationv1.OperationType) bool {
		return o == admissionregistrationv1.Create || o == admissionregistrationv1.OperationAll
	}) && (slices.Contains(r.APIGroups, "") || slices.Contains(r.APIGroups, "*")) &&
		slices.ContainsFunc(r.Resources, func(name string) bool { return name == "pods" || name == "*" || name == "*/*" })
}

// selected is what a policy and its binding select together.
func selected(policy admissionregistrationv1.MatchResources, binding *admissionregistrationv1.MatchResources) coverage {
	var bound *metav1.LabelSelector
	if binding != nil {
		bound = binding.NamespaceSelector
	}
	return all(byLabels(policy.NamespaceSelector), byLabels(bound))
}

func all(list ...coverage) coverage {
	return func(namespace string, own map[string]string, known bool) (bool, bool) {
		covered, sure := true, true
		for _, c := range list {
			yes, certain := c(namespace, own, known)
			if certain && !yes {
				return false, true
			}
			covered, sure = covered && yes, sure && certain
		}
		return covered, sure
	}
}

// byLabels covers the namespaces that a selector matches; the name of a namespace
// is always one of its labels.
func byLabels(selector *metav1.LabelSelector) coverage {
	return func(namespace string, own map[string]string, known bool) (bool, bool) {
		if selector == nil {
			return true, true
		}
		parsed, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil {
			return false, false
		}
		requirements, _ := parsed.Requirements()
		set := labels.Merge(own, labels.Set{corev1.LabelMetadataName: namespace})
		if !known && slices.ContainsFunc(requirements, func(r labels.Requirement) bool { return r.Key() != corev1.LabelMetadataName }) {
			return false, false
		}
		return parsed.Matches(set), true
	}
}

// byName covers the namespaces of a list with wildcards, or all but those.
func byName(patterns []string, within bool) coverage {
	return func(namespace string, _ map[string]string, _ bool) (bool, bool) {
		return within == slices.ContainsFunc(patterns, func(p string) bool {
			ok, err := path.Match(p, namespace)
			return err == nil && ok
		}), true
	}
}

// kyvernoPolicy is the part of a kyverno.io Policy or ClusterPolicy that is read.
type kyvernoPolicy struct {
	Spec struct {
		ValidationFailureAction string `json:"validationFailureAction"`
		// Overrides are failure actions of their own for some namespaces.
		Overrides            []struct{} `json:"validationFailureActionOverrides"`
		FailurePolicy        string     `json:"failurePolicy"`
		WebhookConfiguration struct {
			FailurePolicy string `json:"failurePolicy"`
		} `json:"webhookConfiguration"`
		Rules []kyvernoRule `json:"rules"`
	} `json:"spec"`
}

type kyvernoRule struct {
	Match    kyvernoMatch `json:"match"`
	Exclude  kyvernoMatch `json:"exclude"`
	Validate *rawObject   `json:"validate"`
	// VerifyImages are looked at as a whole, too: signatures are always about images.
	VerifyImages []rawObject `json:"verifyImages"`
}

type kyvernoMatch struct {
	Any       []kyvernoFilter  `json:"any"`
	All       []kyvernoFilter  `json:"all"`
	Resources kyvernoResources `json:"resources"`
}

type kyvernoFilter struct {
	Resources kyvernoResources `json:"resources"`
}

type kyvernoResources struct {
	Kinds             []string              `json:"kinds"`
	Namespaces        []string              `json:"namespaces"`
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector"`
	Selector          *metav1.LabelSelector `json:"selector"`
}

// A rawObject is a part of a policy that is searched as text.
type rawObject struct {
	text   string
	action string // failureAction
}

// UnmarshalJSON keeps the text.
func (o *rawObject) UnmarshalJSON(b []byte) error {
	var a struct {
		FailureAction string `json:"failureAction"`
	}
	o.text = strings.ToLower(string(b))
	err := json.UnmarshalCaseSensitivePreserveInts(b, &a)
	o.action = a.FailureAction
	return err
}

func (m kyvernoMatch) filters() []kyvernoResources {
	list := []kyvernoResources{m.Resources}
	for _, f := range slices.Concat(m.Any, m.All) {
		list = append(list, f.Resources)
	}
	return slices.DeleteFunc(list, func(r kyvernoResources) bool {
		return len(r.Kinds) == 0 && len(r.Namespaces) == 0 && r.NamespaceSelector == nil
	})
}

func isPodKind(kind string) bool {
	return kind == "*" || kind == "Pod" || strings.HasSuffix(kind, "/Pod")
}

// kyvernoControls reads each rule of a Policy or ClusterPolicy.
func kyvernoControls(o *evidence.Custom) []control {
	var p kyvernoPolicy
	if o.Kind != "ClusterPolicy" && o.Kind != "Policy" || json.UnmarshalCaseSensitivePreserveInts(o.JSON, &p) != nil {
		return nil
	}
	var list []control
	for i, rule := range p.Spec.Rules {
		c := control{Ref: o.Ref}
		for _, f := range rule.Match.filters() {
			if slices.ContainsFunc(f.Kinds, isPodKind) {
				c.covers = append(c.covers, kyvernoCoverage(o, f, rule.Exclude))
			}
		}
		if len(c.covers) == 0 || rule.Validate == nil && len(rule.VerifyImages) == 0 {
			continue
		}
		at, action := evidence.NewPath("spec", "validationFailureAction"), p.Spec.ValidationFailureAction
		if rule.Validate != nil {
			c.text = rule.Validate.text
			if rule.Validate.action != "" {
				at, action = evidence.NewPath("spec", "rules").Index(i, "").Field("validate", "failureAction"), rule.Validate.action
			}
		}
		for j, v := range rule.VerifyImages {
			c.text += ` "verifyimages" ` + v.text
			if v.action != "" {
				at, action = evidence.NewPath("spec", "rules").Index(i, "").Field("verifyImages").Index(j, "").Field("failureAction"), v.action
			}
		}
		if !strings.EqualFold(action, "Enforce") {
			c.lax = flaw{o.Ref, at, action, "refuses nothing: its failure action is not Enforce"}
		}
		if p.Spec.FailurePolicy == "Ignore" {
			c.open = flaw{o.Ref, evidence.NewPath("spec", "failurePolicy"), "Ignore", "lets everything pass when Kyverno does not answer (failurePolicy Ignore)"}
		}
		if p.Spec.WebhookConfiguration.FailurePolicy == "Ignore" {
			c.open = flaw{o.Ref, evidence.NewPath("spec", "webhookConfiguration", "failurePolicy"), "Ignore", "lets everything pass when Kyverno does not answer (failurePolicy Ignore)"}
		}
		if len(p.Spec.Overrides) > 0 {
			c.unseen = "its validationFailureActionOverrides were not evaluated"
		}
		list = append(list, c)
	}
	return list
}

func kyvernoCoverage(o *evidence.Custom, f kyvernoResources, exclude kyvernoMatch) coverage {
	list := []coverage{byLabels(f.NamespaceSelector)}
	if o.Kind == "Policy" {
		list = append(list, byName([]string{o.Namespace}, true))
	}
	if len(f.Namespaces) > 0 {
		list = append(list, byName(f.Namespaces, true))
	}
	for _, e := range exclude.filters() {
		if len(e.Namespaces) > 0 && e.Selector == nil && (len(e.Kinds) == 0 || slices.ContainsFunc(e.Kinds, isPodKind)) {
			list = append(list, byName(e.Namespaces, false))
		}
	}
	return all(list...)
}

// kyvernoCELControl reads a ValidatingPolicy or an ImageValidatingPolicy.
func kyvernoCELControl(o *evidence.Custom) (control, bool) {
	var p struct {
		Spec struct {
			ValidationActions []string                                `json:"validationActions"`
			FailurePolicy     string                                  `json:"failurePolicy"`
			MatchConstraints  *admissionregistrationv1.MatchResources `json:"matchConstraints"`
			Variables         []admissionregistrationv1.Variable      `json:"variables"`
			Validations       []admissionregistrationv1.Validation    `json:"validations"`
		} `json:"spec"`
	}
	image := o.Kind == "ImageValidatingPolicy"
	if o.Kind != "ValidatingPolicy" && !image || json.UnmarshalCaseSensitivePreserveInts(o.JSON, &p) != nil {
		return control{}, false
	}
	if p.Spec.MatchConstraints == nil || !matchesPods(p.Spec.MatchConstraints.ResourceRules) {
		return control{}, false
	}
	c := control{Ref: o.Ref, covers: []coverage{selected(*p.Spec.MatchConstraints, nil)}, unseen: narrowed(*p.Spec.MatchConstraints)}
	for _, v := range p.Spec.Variables {
		c.text += strings.ToLower(v.Expression) + "\n"
	}
	for _, v := range p.Spec.Validations {
		c.text += strings.ToLower(v.Expression) + "\n"
	}
	if image {
		c.text += "verifyimages"
	}
	if len(p.Spec.ValidationActions) > 0 && !slices.Contains(p.Spec.ValidationActions, "Deny") {
		c.lax = flaw{o.Ref, evidence.NewPath("spec", "validationActions"), yamlList(p.Spec.ValidationActions), "refuses nothing: its actions do not contain Deny"}
	}
	if p.Spec.FailurePolicy == "Ignore" {
		c.open = flaw{o.Ref, evidence.NewPath("spec", "failurePolicy"), "Ignore", "lets everything pass when Kyverno does not answer (failurePolicy Ignore)"}
	}
	return c, true
}

// gatekeeperControl reads a constraint, with the text of its template if that is
// among the objects.
func gatekeeperControl(s *check.Scan, o *evidence.Custom) (control, bool) {
	var k struct {
		Spec struct {
			EnforcementAction string `json:"enforcementAction"`
			Match             struct {
				Kinds []struct {
					Kinds []string `json:"kinds"`
				} `json:"kinds"`
				Namespaces         []string              `json:"namespaces"`
				ExcludedNamespaces []string              `json:"excludedNamespaces"`
				NamespaceSelector  *metav1.LabelSelector `json:"namespaceSelector"`
			} `json:"match"`
		} `json:"spec"`
	}
	if json.UnmarshalCaseSensitivePreserveInts(o.JSON, &k) != nil {
		return control{}, false
	}
	pods := len(k.Spec.Match.Kinds) == 0
	for _, list := range k.Spec.Match.Kinds {
		pods = pods || slices.ContainsFunc(list.Kinds, isPodKind)
	}
	if !pods {
		return control{}, false
	}
	list := []coverage{byLabels(k.Spec.Match.NamespaceSelector), byName(k.Spec.Match.ExcludedNamespaces, false)}
	if len(k.Spec.Match.Namespaces) > 0 {
		list = append(list, byName(k.Spec.Match.Namespaces, true))
	}
	c := control{Ref: o.Ref, covers: []coverage{all(list...)}, text: strings.ToLower(o.Kind + string(o.JSON))}
	for _, t := range s.Custom {
		if t.Kind == "ConstraintTemplate" && strings.EqualFold(t.Name, o.Kind) {
			c.text += strings.ToLower(string(t.JSON))
		}
	}
	switch action := k.Spec.EnforcementAction; action {
	case "", "deny":
	case "scoped":
		c.unseen = "its enforcement points were not evaluated"
	default:
		c.lax = flaw{o.Ref, evidence.NewPath("spec", "enforcementAction"), action, "refuses nothing: its enforcement action is " + action}
	}
	gatekeeperWebhook(s, &c)
	return c, true
}

// gatekeeperWebhook looks at the webhook that all constraints depend on.
func gatekeeperWebhook(s *check.Scan, c *control) {
	for _, o := range s.ValidatingWebhooks {
		for i, h := range o.Value.Webhooks {
			if !strings.Contains(h.Name, "validation.gatekeeper.sh") {
				continue
			}
			if h.FailurePolicy != nil && *h.FailurePolicy == admissionregistrationv1.Ignore {
				c.open = flaw{o.Ref, evidence.NewPath("webhooks").Index(i, h.Name).Field("failurePolicy"), "Ignore", "lets everything pass when Gatekeeper does not answer: the webhook " + o.Name + " has failurePolicy Ignore"}
			}
			return
		}
	}
	c.unseen = "whether the webhook of Gatekeeper fails closed was not read"
}
