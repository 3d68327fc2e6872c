package policy

import (
	"fmt"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// newScheme knows the built-in kinds in the versions that a server serves today.
func newScheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		admissionregistrationv1.AddToScheme, appsv1.AddToScheme, autoscalingv1.AddToScheme, autoscalingv2.AddToScheme,
		batchv1.AddToScheme, certificatesv1.AddToScheme, coordinationv1.AddToScheme, corev1.AddToScheme, discoveryv1.AddToScheme,
		flowcontrolv1.AddToScheme, networkingv1.AddToScheme, nodev1.AddToScheme, policyv1.AddToScheme, rbacv1.AddToScheme,
		schedulingv1.AddToScheme, storagev1.AddToScheme,
	} {
		if err := add(s); err != nil {
			return nil, fmt.Errorf("register the built-in kinds: %w", err)
		}
	}
	return s, nil
}

// A customKind is what a CustomResourceDefinition says of names.
type customKind struct {
	group, kind, plural string
	namespaced          bool
	versions            []string
}

func readCustomKind(text []byte) (customKind, bool) {
	var crd struct {
		Spec struct {
			Group string `json:"group"`
			Scope string `json:"scope"`
			Names struct {
				Kind   string `json:"kind"`
				Plural string `json:"plural"`
			} `json:"names"`
			Versions []struct {
				Name string `json:"name"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if json.UnmarshalCaseSensitivePreserveInts(text, &crd) != nil || crd.Spec.Names.Plural == "" {
		return customKind{}, false
	}
	k := customKind{group: crd.Spec.Group, kind: crd.Spec.Names.Kind, plural: crd.Spec.Names.Plural, namespaced: crd.Spec.Scope == "Namespaced"}
	for _, v := range crd.Spec.Versions {
		k.versions = append(k.versions, v.Name)
	}
	return k, true
}

// A request is the creation of one object, as far as it can be known before.
type request struct {
	admission.Attributes
	// ref is the object. Of a Pod that a controller would create it knows only
	// the kind, the namespace and the labels.
	ref *evidence.Ref
	// pods is the workload that such a Pod is one of, else nil.
	pods *evidence.Workload
	// equivalents are the other versions that the object would be served in.
	equivalents []schema.GroupVersion
	namespace   *corev1.Namespace // nil when it was not read
	guessed     bool              // the resource's name is a guess

	versioned *admission.VersionedAttributes // nil until it is asked for
	fault     error                          // why it could not be made
}

func (r *request) isNamespace() bool {
	return r.ref.Kind == "Namespace" && r.ref.Group() == ""
}

// formerGroups are the groups that a kind was, or is, served in as well.
var formerGroups = map[schema.GroupKind][]string{
	{Group: "extensions", Kind: "Deployment"}:           {"apps"},
	{Group: "extensions", Kind: "ReplicaSet"}:           {"apps"},
	{Group: "extensions", Kind: "DaemonSet"}:            {"apps"},
	{Group: "extensions", Kind: "Ingress"}:              {"networking.k8s.io"},
	{Group: "extensions", Kind: "NetworkPolicy"}:        {"networking.k8s.io"},
	{Group: "apps", Kind: "Deployment"}:                 {"extensions"},
	{Group: "apps", Kind: "ReplicaSet"}:                 {"extensions"},
	{Group: "apps", Kind: "DaemonSet"}:                  {"extensions"},
	{Group: "networking.k8s.io", Kind: "Ingress"}:       {"extensions"},
	{Group: "networking.k8s.io", Kind: "NetworkPolicy"}: {"extensions"},
	{Group: "", Kind: "Event"}:                          {"events.k8s.io"},
	{Group: "events.k8s.io", Kind: "Event"}:             {""},
}

// newRequest is the request that would create an object.
func (j *judgement) newRequest(ref *evidence.Ref) *request {
	gvk := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)
	plural, _ := meta.UnsafeGuessKindToResource(gvk)
	r := &request{ref: ref}
	namespace := ref.Namespace
	builtin := j.scheme.Recognizes(gvk)
	custom, known := j.customs[gvk.GroupKind()]
	switch {
	case known:
		plural.Resource = custom.plural
		for _, v := range custom.versions {
			r.equivalents = append(r.equivalents, schema.GroupVersion{Group: gvk.Group, Version: v})
		}
		if !custom.namespaced {
			namespace = ""
		} else if namespace == "" {
			namespace = metav1.NamespaceDefault
		}
	case !builtin && strings.Contains(gvk.Group, ".") && !strings.HasSuffix(gvk.Group, ".k8s.io"):
		r.guessed = true
	}
	for _, group := range append(formerGroups[gvk.GroupKind()], gvk.Group) {
		r.equivalents = append(r.equivalents, j.scheme.VersionsForGroupKind(schema.GroupKind{Group: group, Kind: gvk.Kind})...)
	}
	if r.isNamespace() {
		namespace = ref.Name
	} else {
		r.namespace = j.namespaces[namespace]
	}
	r.Attributes = admission.NewAttributesRecord(nil, nil, gvk, namespace, ref.Name, plural, "", admission.Create,
		&metav1.CreateOptions{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "CreateOptions"}}, false, &user.DefaultInfo{})
	return r
}

// as returns the request with its object, seen as a kind. The object is decoded
// once, as the API server would: with its Go type, which drops unknown fields,
// and with the defaults that it fills in.
func (r *request) as(j *judgement, gvk schema.GroupVersionKind) (*admission.VersionedAttributes, error) {
	if r.versioned == nil && r.fault == nil {
		object, err := j.decode(r)
		r.fault = err
		r.versioned = &admission.VersionedAttributes{Attributes: r.Attributes}
		r.versioned.VersionedObject.Set(object)
	}
	if r.fault != nil {
		return nil, r.fault
	}
	r.versioned.VersionedKind = gvk
	return r.versioned, nil
}

func (j *judgement) decode(r *request) (runtime.Object, error) {
	if r.pods != nil {
		pod := r.pod()
		r.complete(pod)
		return pod, nil
	}
	if len(r.ref.JSON) == 0 {
		return nil, fmt.Errorf("the content of %ss is not kept", r.ref.Kind)
	}
	object, err := j.scheme.New(r.GetKind())
	if err != nil {
		u := &unstructured.Unstructured{Object: map[string]any{}}
		if err := json.UnmarshalCaseSensitivePreserveInts(r.ref.JSON, &u.Object); err != nil {
			return nil, err
		}
		if r.ref.Namespace == "" && r.GetNamespace() != "" || r.ref.NamespaceAssumed {
			u.SetNamespace(r.GetNamespace())
		}
		setName(u)
		return u, nil
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(r.ref.JSON, object); err != nil {
		return nil, err
	}
	r.complete(object)
	return object, nil
}

// complete fills in what the API server does before it asks a policy.
func (r *request) complete(object runtime.Object) {
	setDefaults(object)
	m, err := meta.Accessor(object)
	if err != nil {
		return
	}
	setName(m)
	if !r.isNamespace() {
		m.SetNamespace(r.GetNamespace())
	} else {
		m.SetLabels(withName(m.GetLabels(), m.GetName()))
	}
}

// setName gives what is to get a generated name one.
func setName(m metav1.Object) {
	if m.GetName() == "" && m.GetGenerateName() != "" {
		m.SetName(m.GetGenerateName() + generatedSuffix)
	}
}
