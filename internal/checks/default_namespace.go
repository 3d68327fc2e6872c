package checks

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// DefaultNamespace reports parts of an application that are put into the
// namespace default (guide: Namespaces).
var DefaultNamespace = &check.Check{
	ID:             "default-namespace",
	Title:          "object in the default namespace",
	Recommendation: "NS-01",
	Severity:       guide.Low,
	Remedy:         "give the application a namespace of its own",
	Needs:          []evidence.Fact{evidence.Workloads, evidence.Exposure, evidence.ConfigMaps, evidence.Secrets},
	Doc:            defaultNamespaceDoc,
	Run:            defaultNamespace,
}

const defaultNamespaceDoc = `Access rights, network policies and quotas are set per namespace. What stands
in default shares them with everything else that nobody placed, so none of
them can be made to fit.

Looked at are what an application is made of: workloads, Services, Ingresses,
ConfigMaps and Secrets with namespace: default written in them. An object that
names no namespace gets the one that is chosen when it is applied; of these
nothing is said. What protects the namespace (policies, quotas, roles) may stand
there, and so may what Kubernetes makes there itself: the Service kubernetes,
the ConfigMap kube-root-ca.crt and tokens of the account default.

    metadata:
      name: web
      namespace: shop
`

func defaultNamespace(r *check.Run) {
	assumed := 0
	var first *evidence.Ref
	judge := func(ref *evidence.Ref) {
		switch {
		case ref.Namespace == "" || isSystemNamespace(ref.Namespace) || madeByKubernetes(ref):
		case ref.NamespaceAssumed:
			if assumed++; first == nil {
				first = ref
			}
		case ref.Namespace != "default":
			r.Judge(ref, nil)
		default:
			r.Judge(ref, []check.Problem{{
				Path:    evidence.NewPath("metadata", "namespace"),
				Value:   "default",
				Message: fmt.Sprintf("%s %q stands in the namespace default", ref.Kind, ref.Name),
			}})
		}
	}
	var last *evidence.Ref
	for _, w := range r.Workloads {
		if w.Ref != last {
			judge(w.Ref)
		}
		last = w.Ref
	}
	for _, o := range r.Services {
		judge(o.Ref)
	}
	for _, o := range r.Ingresses {
		judge(o.Ref)
	}
	for _, o := range r.ConfigMaps {
		judge(o.Ref)
	}
	for _, o := range r.Secrets {
		judge(o.Ref)
	}
	switch {
	case assumed == 1:
		r.Unknown(first.Kind+" "+first.Name, "names no namespace: the one it gets is chosen when it is applied")
	case assumed > 1:
		r.Unknown("", fmt.Sprintf("%d objects name no namespace, %s %q first: the one they get is chosen when they are applied", assumed, first.Kind, first.Name))
	}
}

// madeByKubernetes reports whether the object is one that the control plane, or a
// mesh or a distribution, puts into every namespace.
func madeByKubernetes(r *evidence.Ref) bool {
	switch r.Kind {
	case "Service":
		return r.Name == "kubernetes"
	case "ConfigMap":
		return r.Name == "kube-root-ca.crt" || r.Name == "istio-ca-root-cert" || r.Name == "openshift-service-ca.crt"
	case "Secret":
		// Before 1.24, the token of the account that every namespace has.
		return r.Annotations[corev1.ServiceAccountNameKey] == "default"
	}
	return false
}
