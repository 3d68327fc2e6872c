package policy

import (
	"fmt"
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A param is an object that policies may take parameters from.
type param struct {
	gvk             schema.GroupVersionKind
	namespace, name string
	labels          labels.Set
	object          *unstructured.Unstructured
}

func newParam(u *unstructured.Unstructured) *param {
	return &param{u.GroupVersionKind(), u.GetNamespace(), u.GetName(), u.GetLabels(), u}
}

// scannedParams are the objects of a snapshot of a kind that a policy takes its
// parameters from. Those of the policies' own files go before them.
func (j *judgement) scannedParams(refs []*evidence.Ref) {
	wanted := map[schema.GroupVersionKind]bool{}
	for _, p := range j.set.policies {
		if k := p.Spec.ParamKind; k != nil {
			wanted[schema.FromAPIVersionAndKind(k.APIVersion, k.Kind)] = true
		}
	}
	for _, ref := range refs {
		gvk := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)
		if !wanted[gvk] || len(ref.JSON) == 0 {
			continue
		}
		u := &unstructured.Unstructured{Object: map[string]any{}}
		if json.UnmarshalCaseSensitivePreserveInts(ref.JSON, &u.Object) == nil {
			p := newParam(u)
			p.namespace = ref.Namespace
			j.params = append(j.params, p)
		}
	}
}

// namespaced reports whether the objects of a parameter's kind live in namespaces.
func (j *judgement) namespaced(gvk schema.GroupVersionKind, ref *admissionregistrationv1.ParamRef) bool {
	if k, ok := j.customs[gvk.GroupKind()]; ok {
		return k.namespaced
	}
	if j.scheme.Recognizes(gvk) {
		return !clusterWide[gvk.GroupKind()]
	}
	return ref.Namespace != "" || slices.ContainsFunc(j.params, func(p *param) bool { return p.gvk == gvk && p.namespace != "" })
}

// clusterWide are the built-in kinds without a namespace that could hold
// parameters.
var clusterWide = map[schema.GroupKind]bool{
	{Kind: "Namespace"}: true, {Kind: "Node"}: true, {Kind: "PersistentVolume"}: true,
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"}: true,
	{Group: "storage.k8s.io", Kind: "StorageClass"}:           true,
	{Group: "scheduling.k8s.io", Kind: "PriorityClass"}:       true,
	{Group: "node.k8s.io", Kind: "RuntimeClass"}:              true,
}

// paramsFor returns the parameters to judge a request with under a binding: one
// nil when it takes none. denied is the message when the binding denies what has
// no parameters, missing says that there are none and nothing is judged.
func (j *judgement) paramsFor(p *policy, b *binding, r *request) (params []*param, denied, missing string) {
	kind, ref := p.Spec.ParamKind, b.Spec.ParamRef
	if kind == nil || ref == nil {
		return []*param{nil}, "", ""
	}
	gvk := schema.FromAPIVersionAndKind(kind.APIVersion, kind.Kind)
	namespace, anywhere := ref.Namespace, false
	switch namespaced := j.namespaced(gvk, ref); {
	case !namespaced && namespace != "":
		return nil, "failed to configure binding: paramRef.namespace must not be provided for a cluster-scoped `paramKind`", ""
	case !namespaced:
		anywhere = true
	case namespace == "" && r.GetNamespace() == "":
		return nil, "failed to configure binding: cannot use namespaced paramRef in policy binding that matches cluster-scoped resources", ""
	case namespace == "":
		namespace = r.GetNamespace()
	}
	selector := labels.Nothing()
	if ref.Selector != nil {
		s, err := metav1.LabelSelectorAsSelector(ref.Selector)
		if err != nil {
			return nil, fmt.Sprintf("failed to configure binding: %v", err), ""
		}
		selector = s
	}
	for _, candidate := range j.params {
		at := candidate.namespace
		if at == "" && !anywhere {
			at = metav1.NamespaceDefault
		}
		if candidate.gvk != gvk || !anywhere && at != namespace {
			continue
		}
		if ref.Name != "" && candidate.name == ref.Name {
			return []*param{candidate}, "", ""
		}
		if ref.Name == "" && selector.Matches(candidate.labels) {
			params = append(params, candidate)
		}
	}
	switch {
	case len(params) > 0:
		return params, "", ""
	case ref.ParameterNotFoundAction != nil && *ref.ParameterNotFoundAction == admissionregistrationv1.DenyAction:
		return nil, "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction", ""
	}
	return nil, "", fmt.Sprintf("binding %s takes its parameters from a %s that was not given", b.Name, kind.Kind)
}

// versioned is what the expressions see as params.
func (p *param) versioned() runtime.Object {
	if p == nil {
		return nil
	}
	return p.object
}

func (p *param) String() string {
	if p == nil {
		return ""
	}
	return p.namespace + "/" + p.name
}
