package checks

import (
	"fmt"
	"maps"
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// MeshMTLS reports where a service mesh is set to accept plain text, and pods that
// stay outside of it (guide: Encryption; Service meshes).
var MeshMTLS = &check.Check{
	ID:             "mesh-mtls",
	Title:          "traffic between services may be in plain text",
	Recommendation: "ENC-04",
	Severity:       guide.Medium,
	Remedy:         "demand mutual TLS: a PeerAuthentication with mode STRICT, or Linkerd's default inbound policy all-authenticated",
	Needs:          []evidence.Fact{evidence.Mesh, evidence.Namespaces, evidence.Workloads, evidence.ConfigMaps, evidence.NetworkPolicies},
	Leaves:         check.Rest{What: "whether the mesh or the network plugin encrypts for every pod that runs", To: []guide.Evidence{guide.Cluster}},
	Doc:            meshMTLSDoc,
	Run:            meshMTLS,
}

const meshMTLSDoc = `Kubernetes does not encrypt traffic between pods. A mesh does, and still accepts plain
text unless told to refuse it.

Looked at are
- Istio: each PeerAuthentication, whose mode and port modes must not be PERMISSIVE or
  DISABLE. Each namespace that joins the mesh by label needs STRICT from a policy
  of its own without selector, or from one in istio-system; Istio's default is
  PERMISSIVE. Pods that opt out with sidecar.istio.io/inject: "false".
- Linkerd: the default inbound policy of namespaces with linkerd.io/inject, which
  must refuse unauthenticated clients. Where it is not given, the installation
  decides, which is not seen.
- Encryption between nodes: WireGuard or IPsec of Cilium (ConfigMap cilium-config),
  WireGuard of Calico (FelixConfiguration). It covers all namespaces.

A namespace with none of these is not judged: its applications may use TLS
themselves.

    apiVersion: security.istio.io/v1
    kind: PeerAuthentication
    metadata: {name: default, namespace: shop}
    spec:
      mtls: {mode: STRICT}
`

func meshMTLS(r *check.Run) {
	modes := peerModes(r)
	everywhere := nodeEncryption(r)
	signs := everywhere || len(modes) > 0
	var unmeshed []*space
	for _, ns := range userSpaces(r.Scan) {
		istio, linkerd := istioLabel(ns) != "", ns.object != nil && ns.object.Annotations["linkerd.io/inject"] == "enabled"
		switch {
		case istio:
			judgeIstioNamespace(r, ns, modes)
		case linkerd:
			judgeLinkerdNamespace(r, ns)
		case modes[ns.name] == "":
			unmeshed = append(unmeshed, ns)
		}
		signs = signs || istio || linkerd
	}
	if !signs {
		r.Unknown("", "nothing of a service mesh or of encryption by the network plugin was seen")
		return
	}
	for _, ns := range unmeshed {
		if !everywhere && len(ns.workloads) > 0 {
			r.Unknown(ns.scope(), "nothing in it shows whether traffic between services is encrypted")
		}
	}
}

const strict = "STRICT"

type peerAuthentication struct {
	Spec struct {
		Selector *struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"selector"`
		MTLS struct {
			Mode string `json:"mode"`
		} `json:"mtls"`
		PortLevelMTLS map[string]struct {
			Mode string `json:"mode"`
		} `json:"portLevelMtls"`
	} `json:"spec"`
}

// peerModes judges the PeerAuthentications, and returns the modes of whole
// namespaces.
func peerModes(r *check.Run) map[string]string {
	modes := map[string]string{}
	for ref, pa := range customs[peerAuthentication](r, "security.istio.io", "PeerAuthentication") {
		if mode := pa.Spec.MTLS.Mode; mode != "" && mode != "UNSET" && (pa.Spec.Selector == nil || len(pa.Spec.Selector.MatchLabels) == 0) {
			modes[ref.Namespace] = mode
		}
		r.Judge(ref, peerProblems(ref, pa))
	}
	return modes
}

func peerProblems(ref *evidence.Ref, pa *peerAuthentication) (problems []check.Problem) {
	if mode := pa.Spec.MTLS.Mode; acceptsPlain(mode) {
		problems = append(problems, check.Problem{
			Path:    evidence.NewPath("spec", "mtls", "mode"),
			Value:   mode,
			Message: fmt.Sprintf("PeerAuthentication %q accepts plain text: its mode is %s", ref.Name, mode),
			Fix:     &check.Fix{Path: evidence.NewPath("spec", "mtls", "mode"), Value: strict},
		})
	}
	for _, port := range slices.Sorted(maps.Keys(pa.Spec.PortLevelMTLS)) {
		if mode := pa.Spec.PortLevelMTLS[port].Mode; acceptsPlain(mode) {
			problems = append(problems, check.Problem{
				Path:    evidence.NewPath("spec", "portLevelMtls", port, "mode"),
				Value:   mode,
				Message: fmt.Sprintf("PeerAuthentication %q accepts plain text on port %s: its mode is %s", ref.Name, port, mode),
				Fix:     &check.Fix{Path: evidence.NewPath("spec", "portLevelMtls", port, "mode"), Value: strict},
			})
		}
	}
	return problems
}

func acceptsPlain(mode string) bool { return mode == "PERMISSIVE" || mode == "DISABLE" }

// istioLabel returns the label by which a namespace joins Istio's mesh, or "".
func istioLabel(ns *space) string {
	if ns.object == nil {
		return ""
	}
	labels := ns.object.Labels
	switch {
	case labels["istio-injection"] == "enabled":
		return "istio-injection"
	case labels["istio-injection"] == "disabled":
		return ""
	case labels["istio.io/rev"] != "":
		return "istio.io/rev"
	case labels["istio.io/dataplane-mode"] == "ambient":
		return "istio.io/dataplane-mode"
	}
	return ""
}

// istioRoot is the namespace whose PeerAuthentication holds for the whole mesh.
const istioRoot = "istio-system"

func judgeIstioNamespace(r *check.Run, ns *space, modes map[string]string) {
	for _, w := range ns.workloads {
		judgeOptOut(r, w)
	}
	mode := modes[ns.name]
	if mode == "" {
		mode = modes[istioRoot]
	}
	if mode == strict {
		r.Judge(ns.object.Ref, nil)
		return
	}
	if mode != "" {
		return // the PeerAuthentication has the problem
	}
	for _, where := range []string{ns.name, istioRoot} {
		if ok, why := r.Complete(evidence.Mesh, where); !ok {
			r.Unknown(ns.scope(), why)
			return
		}
	}
	label := istioLabel(ns)
	r.Judge(ns.object.Ref, []check.Problem{{
		Path:    evidence.NewPath("metadata", "labels", label),
		Value:   ns.object.Labels[label],
		Message: fmt.Sprintf("namespace %q joins the mesh and no PeerAuthentication demands mutual TLS: plain text is accepted", ns.name),
	}})
}

const istioInject = "sidecar.istio.io/inject"

func judgeOptOut(r *check.Run, w *evidence.Workload) {
	field := ""
	switch {
	case w.PodLabels[istioInject] == "false":
		field = "labels"
	case w.PodLabels[istioInject] == "" && w.PodAnnotations[istioInject] == "false":
		field = "annotations"
	default:
		return
	}
	r.Judge(w.Ref, []check.Problem{{
		Path:    w.MetaPath.Field(field, istioInject),
		Value:   "false",
		Message: fmt.Sprintf("the pods of %s %q stay outside of the mesh: their traffic is not encrypted by it", w.Kind, w.Name),
		Remedy:  "let the pods join the mesh, or show that they encrypt by themselves",
	}})
}

const linkerdInbound = "config.linkerd.io/default-inbound-policy"

func judgeLinkerdNamespace(r *check.Run, ns *space) {
	switch policy := ns.object.Annotations[linkerdInbound]; policy {
	case "all-authenticated", "cluster-authenticated", "deny":
		r.Judge(ns.object.Ref, nil)
	case "":
		r.Unknown(ns.scope(), "Linkerd encrypts between its proxies; whether it refuses plain text is set where it is installed")
	default:
		r.Judge(ns.object.Ref, []check.Problem{{
			Path:    evidence.NewPath("metadata", "annotations", linkerdInbound),
			Value:   policy,
			Message: fmt.Sprintf("namespace %q accepts plain text: its default inbound policy is %s", ns.name, policy),
		}})
	}
}

type felixConfiguration struct {
	Spec struct {
		WireguardEnabled bool `json:"wireguardEnabled"`
	} `json:"spec"`
}

// nodeEncryption reports whether the network plugin encrypts between nodes.
func nodeEncryption(r *check.Run) bool {
	found := false
	for _, c := range r.ConfigMaps {
		if c.Name == "cilium-config" && (c.Value.Data["enable-wireguard"] == "true" || c.Value.Data["enable-ipsec"] == "true") {
			r.Judge(c.Ref, nil)
			found = true
		}
	}
	for _, group := range []string{"crd.projectcalico.org", "projectcalico.org"} {
		for ref, felix := range customs[felixConfiguration](r, group, "FelixConfiguration") {
			if felix.Spec.WireguardEnabled {
				r.Judge(ref, nil)
				found = true
			}
		}
	}
	return found
}
