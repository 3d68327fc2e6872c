package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/reach/istio"
)

// PodOutsideMesh reports pods that run without the proxy of the mesh that their
// namespace joins (guide: Encryption; Service meshes).
var PodOutsideMesh = &check.Check{
	ID:             "pod-outside-mesh",
	Title:          "pod runs without the mesh's proxy",
	Recommendation: "ENC-04",
	Severity:       guide.Medium,
	Remedy:         "restart the workload, so that the mesh puts its proxy into the new pods",
	Needs:          []evidence.Fact{evidence.Workloads, evidence.Namespaces},
	Live:           "whether every pod that runs is part of the mesh",
	Doc: `A mesh puts its proxy into pods when they are made. What ran before the namespace joined,
or came while the mesh did not answer, has no proxy: its traffic is in plain text, and a
strict policy of the others shuts it out.

Looked at are the running pods of namespaces that join Istio's mesh by label (but for
its ambient mode, which needs no proxy in the pod) or Linkerd's by annotation. Each
needs a container istio-proxy or linkerd-proxy. Pods on the node's network have none and
are left out, and so are those that opt out: mesh-mtls reports them.

    kubectl rollout restart deployment -n shop
`,
	Run: podOutsideMesh,
}

func podOutsideMesh(r *check.Run) {
	for w := range running(r.Snapshot) {
		proxy := meshProxy(r.Scan, w)
		if proxy == "" || w.Pod.HostNetwork || optsOut(w) {
			continue
		}
		r.JudgeWorkload(w, withoutProxy(w, proxy))
	}
}

// meshProxy names the container by which the pods of a namespace take part in the
// mesh, "" when they take part in none or need no container for it.
func meshProxy(s *check.Scan, w *evidence.Workload) string {
	ns := s.Namespace(w.Namespace)
	if ns == nil || isSystemNamespace(w.Namespace) {
		return ""
	}
	switch istio.Joins(ns.Labels) {
	case "istio-injection", "istio.io/rev":
		return istio.ProxyContainer
	}
	if ns.Annotations["linkerd.io/inject"] == "enabled" {
		return "linkerd-proxy"
	}
	return ""
}

func optsOut(w *evidence.Workload) bool {
	return w.PodLabels[istio.InjectKey] == "false" || w.PodAnnotations[istio.InjectKey] == "false" || w.PodAnnotations["linkerd.io/inject"] == "disabled"
}

func withoutProxy(w *evidence.Workload, proxy string) []check.Problem {
	for c := range w.Containers() {
		if c.Name == proxy {
			return nil
		}
	}
	return []check.Problem{{
		Path:    w.PodPath.Field("containers"),
		Message: fmt.Sprintf("pods of %s %q run without the container %s: they are not part of the mesh that namespace %q joins", w.Kind, w.Name, proxy, w.Namespace),
	}}
}
