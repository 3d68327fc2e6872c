package policy

import (
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// criteria say which requests a policy or a binding is for.
type criteria struct {
	rules, exclude     []admissionregistrationv1.NamedRuleWithOperations
	exact              bool // the rules are read to the letter (matchPolicy Exact)
	namespaces, object labels.Selector
}

func everything() criteria {
	return criteria{namespaces: labels.Everything(), object: labels.Everything()}
}

// criteria reads match resources; nil matches all.
func (l *loader) criteria(p place, at evidence.Path, m *admissionregistrationv1.MatchResources) criteria {
	c := everything()
	if m == nil {
		return c
	}
	c.rules, c.exclude = m.ResourceRules, m.ExcludeResourceRules
	for i, r := range m.ResourceRules {
		if len(r.APIGroups) == 0 || len(r.APIVersions) == 0 || len(r.Resources) == 0 || len(r.Operations) == 0 {
			l.fail(p, at.Field("resourceRules").Index(i, ""), "a resource rule needs apiGroups, apiVersions, operations and resources")
		}
	}
	if m.MatchPolicy != nil {
		c.exact = *m.MatchPolicy == admissionregistrationv1.Exact
		if !c.exact && *m.MatchPolicy != admissionregistrationv1.Equivalent {
			l.fail(p, at.Field("matchPolicy"), "matchPolicy %q: want Exact or Equivalent", *m.MatchPolicy)
		}
	}
	selector := func(field string, s *metav1.LabelSelector) labels.Selector {
		if s == nil {
			return labels.Everything()
		}
		out, err := metav1.LabelSelectorAsSelector(s)
		if err != nil {
			l.fail(p, at.Field(field), "%s: %v", field, err)
			return labels.Nothing()
		}
		return out
	}
	c.namespaces = selector("namespaceSelector", m.NamespaceSelector)
	c.object = selector("objectSelector", m.ObjectSelector)
	return c
}

// A verdict is whether a request is matched.
type verdict int

const (
	no verdict = iota
	yes
	// unknown: the labels of the namespace decide, and they are not known.
	unknown
)

// matches reports whether the creation of an object is what the criteria are
// for, and as which resource and kind it is seen.
func (c *criteria) matches(r *request) (verdict, schema.GroupVersionResource, schema.GroupVersionKind) {
	gvr, gvk := r.GetResource(), r.GetKind()
	inNamespace := r.inNamespace(c.namespaces)
	if inNamespace == no || !c.object.Empty() && !c.object.Matches(labels.Set(r.ref.Labels)) {
		return no, gvr, gvk
	}
	if ok, _, _ := matchesRules(c.exclude, c.exact, r); ok {
		return no, gvr, gvk
	}
	if len(c.rules) > 0 {
		var ok bool
		if ok, gvr, gvk = matchesRules(c.rules, c.exact, r); !ok {
			return no, gvr, gvk
		}
	}
	return inNamespace, gvr, gvk
}

func matchesRules(list []admissionregistrationv1.NamedRuleWithOperations, exact bool, r *request) (bool, schema.GroupVersionResource, schema.GroupVersionKind) {
	if matchesAny(list, r) {
		return true, r.GetResource(), r.GetKind()
	}
	if exact {
		return false, r.GetResource(), r.GetKind()
	}
	for _, same := range r.equivalents {
		as := renamed{r, same.WithResource(r.GetResource().Resource)}
		if matchesAny(list, as) {
			return true, as.resource, same.WithKind(r.GetKind().Kind)
		}
	}
	return false, r.GetResource(), r.GetKind()
}

func matchesAny(list []admissionregistrationv1.NamedRuleWithOperations, attr admission.Attributes) bool {
	for i := range list {
		m := rules.Matcher{Rule: list[i].RuleWithOperations, Attr: attr}
		if m.Matches() && (len(list[i].ResourceNames) == 0 || slices.Contains(list[i].ResourceNames, attr.GetName())) {
			return true
		}
	}
	return false
}

// renamed is a request seen as one for another version of its resource.
type renamed struct {
	admission.Attributes
	resource schema.GroupVersionResource
}

func (a renamed) GetResource() schema.GroupVersionResource { return a.resource }

// inNamespace reports whether the namespace of a request is selected. Objects
// that live in no namespace always are; a Namespace is by its own labels. Of a
// namespace that was not read only the name is known, and with it the label that
// every namespace has.
func (r *request) inNamespace(s labels.Selector) verdict {
	if s.Empty() || r.GetNamespace() == "" {
		return yes
	}
	if r.isNamespace() {
		return is(s.Matches(withName(r.ref.Labels, r.ref.Name)))
	}
	if r.namespace != nil {
		return is(s.Matches(labels.Set(r.namespace.Labels)))
	}
	requirements, selectable := s.Requirements()
	if !selectable {
		return no
	}
	named := labels.Set{corev1.LabelMetadataName: r.GetNamespace()}
	decided := yes
	for _, req := range requirements {
		switch {
		case req.Key() != corev1.LabelMetadataName:
			decided = unknown
		case !req.Matches(named):
			return no
		}
	}
	return decided
}

func is(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// withName adds the label that the API server gives every Namespace.
func withName(own map[string]string, name string) labels.Set {
	out := labels.Set{}
	for k, v := range own {
		out[k] = v
	}
	out[corev1.LabelMetadataName] = name
	return out
}

// namesGroup reports whether a rule of the criteria names resources of a group.
func (c *criteria) namesGroup(group string) bool {
	return slices.ContainsFunc(c.rules, func(r admissionregistrationv1.NamedRuleWithOperations) bool {
		return slices.Contains(r.APIGroups, group) && !slices.ContainsFunc(r.Resources, func(s string) bool { return strings.HasPrefix(s, "*") })
	})
}

// creates reports whether the criteria speak of the creation of anything.
func (c *criteria) creates() bool {
	return slices.ContainsFunc(c.rules, func(r admissionregistrationv1.NamedRuleWithOperations) bool {
		return slices.Contains(r.Operations, admissionregistrationv1.Create) || slices.Contains(r.Operations, admissionregistrationv1.OperationAll)
	})
}
