package checks

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/reach/istio"
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
  of its own without selector, or from one in the root namespace (istio-system, unless
  the mesh's configuration names another); Istio's default is PERMISSIVE. So do pods
  that join the mesh by themselves. Pods that opt out with
  sidecar.istio.io/inject: "false".
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
	mesh := istio.New(r.Snapshot)
	own := judgePeers(r, mesh)
	everywhere := nodeEncryption(r)
	signs := everywhere || len(own) > 0
	var unmeshed []*space
	for _, ns := range userSpaces(r.Scan) {
		joins, linkerd := istioLabel(ns) != "", ns.object != nil && ns.object.Annotations["linkerd.io/inject"] == "enabled"
		switch {
		case joins:
			judgeIstioNamespace(r, mesh, ns)
		case linkerd:
			judgeLinkerdNamespace(r, ns)
		default:
			joins = judgeJoined(r, mesh, ns)
			if !joins && !own[ns.name] {
				unmeshed = append(unmeshed, ns)
			}
		}
		signs = signs || joins || linkerd
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

// judgePeers judges the PeerAuthentications, and returns the namespaces for which one
// sets the mode.
func judgePeers(r *check.Run, mesh *istio.Mesh) map[string]bool {
	own := map[string]bool{}
	valid, invalid := mesh.PeerAuthentications()
	for _, p := range valid {
		if p.Mode != istio.Unset && len(p.Labels) == 0 {
			own[p.Namespace] = true
		}
		r.Judge(p.Ref, peerProblems(p))
	}
	for _, i := range invalid {
		r.Unknown(i.String(), "Istio refuses it as it is written: "+i.Err.Error())
	}
	return own
}

func peerProblems(p *istio.PeerAuthentication) (problems []check.Problem) {
	if acceptsPlain(p.Mode) {
		problems = append(problems, check.Problem{
			Path:    evidence.NewPath("spec", "mtls", "mode"),
			Value:   p.Mode.String(),
			Message: fmt.Sprintf("PeerAuthentication %q accepts plain text: its mode is %s", p.Name, p.Mode),
			Fix:     &check.Fix{Path: evidence.NewPath("spec", "mtls", "mode"), Value: istio.Strict.String(), Breaks: "clients outside the mesh"},
		})
	}
	for _, number := range slices.Sorted(maps.Keys(p.Ports)) {
		if mode := p.Ports[number]; acceptsPlain(mode) {
			at := evidence.NewPath("spec", "portLevelMtls", strconv.Itoa(int(number)), "mode")
			problems = append(problems, check.Problem{
				Path:    at,
				Value:   mode.String(),
				Message: fmt.Sprintf("PeerAuthentication %q accepts plain text on port %d: its mode is %s", p.Name, number, mode),
				Fix:     &check.Fix{Path: at, Value: istio.Strict.String(), Breaks: "clients outside the mesh"},
			})
		}
	}
	return problems
}

func acceptsPlain(m istio.Mode) bool { return m == istio.Permissive || m == istio.Disable }

// istioLabel returns the label by which a namespace joins Istio's mesh, or "".
func istioLabel(ns *space) string {
	if ns.object == nil {
		return ""
	}
	return istio.Joins(ns.object.Labels)
}

func judgeIstioNamespace(r *check.Run, mesh *istio.Mesh, ns *space) {
	for _, w := range ns.workloads {
		judgeOptOut(r, w)
	}
	label, tls := istioLabel(ns), mesh.NamespaceMTLS(ns.name)
	judgeMode(r, tls, ns.scope(), ns.object.Ref, check.Problem{
		Path:    evidence.NewPath("metadata", "labels", label),
		Value:   ns.object.Labels[label],
		Message: fmt.Sprintf("namespace %q joins the mesh and no PeerAuthentication demands mutual TLS: plain text is accepted", ns.name),
	})
	for _, w := range ns.workloads {
		if unknown := mesh.MTLS(w).Unknown; unknown != "" && unknown != tls.Unknown {
			r.Unknown(w.String(), unknown)
		}
	}
}

// judgeMode judges what holds by default, where no PeerAuthentication has the problem.
func judgeMode(r *check.Run, tls istio.MTLS, scope string, ref *evidence.Ref, byDefault check.Problem) {
	switch {
	case tls.Unknown != "":
		r.Unknown(scope, tls.Unknown)
	case tls.Missing != "":
		r.Unknown(scope, tls.Missing)
	case tls.Mode == istio.Strict:
		r.Judge(ref, nil)
	case tls.By == nil:
		r.Judge(ref, []check.Problem{byDefault})
	}
}

// judgeJoined judges the pods that are in the mesh though their namespace does not join
// it, and reports whether there are any. Gateways are left out: what comes from
// outside ends there, and how is for Gateway objects to say.
func judgeJoined(r *check.Run, mesh *istio.Mesh, ns *space) (found bool) {
	for _, w := range ns.workloads {
		part, unknown := mesh.PartOf(w)
		if unknown != "" || part != istio.Sidecar && part != istio.Ambient {
			continue
		}
		found = true
		judgeMode(r, mesh.MTLS(w), w.String(), w.Ref, check.Problem{
			Path:    w.MetaPath.Field("labels"),
			Message: fmt.Sprintf("the pods of %s %q are in the mesh and no PeerAuthentication demands mutual TLS: plain text is accepted", w.Kind, w.Name),
		})
	}
	return found
}

func judgeOptOut(r *check.Run, w *evidence.Workload) {
	field := ""
	switch {
	case w.PodLabels[istio.InjectKey] == "false":
		field = "labels"
	case w.PodLabels[istio.InjectKey] == "" && w.PodAnnotations[istio.InjectKey] == "false":
		field = "annotations"
	default:
		return
	}
	r.Judge(w.Ref, []check.Problem{{
		Path:    w.MetaPath.Field(field, istio.InjectKey),
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
