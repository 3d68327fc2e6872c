package istio

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A Part is how pods take part in the mesh.
type Part uint8

// The parts. Pods with a Sidecar have a proxy beside their containers; a Gateway is
// nothing but a proxy, and connections from outside of the mesh end there as Gateway
// objects say. For Ambient pods the proxy of the node speaks, which knows connections
// but no requests.
const (
	Outside Part = iota
	Sidecar
	Gateway
	Ambient
)

const (
	// ProxyContainer is the container by which a pod takes part in the mesh.
	ProxyContainer = "istio-proxy"

	// InjectKey is the label, or the annotation of old, by which a pod joins or opts out.
	InjectKey    = "sidecar.istio.io/inject"
	injectionKey = "istio-injection"
	revisionKey  = "istio.io/rev"
	dataplaneKey = "istio.io/dataplane-mode"
)

// Joins returns the label by which a namespace with these labels joins the mesh, or "".
func Joins(labels map[string]string) string {
	switch {
	case labels[injectionKey] == "enabled":
		return injectionKey
	case labels[injectionKey] == "disabled":
		return ""
	case labels[revisionKey] != "":
		return revisionKey
	case labels[dataplaneKey] == "ambient":
		return dataplaneKey
	}
	return ""
}

// PartOf says how a workload's pods take part in the mesh, and where that cannot be
// seen, or not for all of their ports, why.
func (m *Mesh) PartOf(w *evidence.Workload) (p Part, unknown string) {
	if w.Pod.HostNetwork {
		return Outside, ""
	}
	labels, read := m.namespaces[w.Namespace]
	p = written(w)
	if p == Outside && !m.runs(w) {
		p, unknown = injected(w, labels, read)
	}
	if p == Outside && unknown == "" {
		p, unknown = byNode(w, labels, read)
	}
	if p == Sidecar && unknown == "" {
		unknown = passedBy(w)
	}
	return p, unknown
}

// written says by the containers whether a proxy is among them. A pod that has no
// other containers is a gateway.
func written(w *evidence.Workload) Part {
	found, others := false, false
	for c := range w.Containers() {
		switch {
		case c.Name == ProxyContainer:
			found = true
		case c.List == evidence.Containers:
			others = true
		}
	}
	switch {
	case found && others:
		return Sidecar
	case found:
		return Gateway
	}
	return Outside
}

// runs reports whether pods run just as the workload says, so that nothing was put into
// them.
func (m *Mesh) runs(w *evidence.Workload) bool { return w.Running > m.changed[w] }

// injected says whether Istio puts a proxy into pods that are made from a template.
func injected(w *evidence.Workload, namespace map[string]string, read bool) (Part, string) {
	wish := w.PodLabels[InjectKey]
	if wish == "" && w.PodAnnotations[InjectKey] == "false" {
		wish = "false"
	}
	switch {
	case wish == "false", slices.Contains([]string{"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}, w.Namespace):
		return Outside, ""
	case !read && (wish == "true" || w.PodLabels[revisionKey] != ""):
		return Sidecar, ""
	case !read:
		return Outside, fmt.Sprintf("whether its pods are in the mesh is not known: Namespace %s is not among what was read", w.Namespace)
	case namespace[injectionKey] == "disabled":
		return Outside, ""
	case namespace[injectionKey] == "enabled", namespace[revisionKey] != "", wish == "true", w.PodLabels[revisionKey] != "":
		return Sidecar, ""
	}
	return Outside, ""
}

// byNode says whether the node's proxy takes over the connections of pods without a
// sidecar.
func byNode(w *evidence.Workload, namespace map[string]string, read bool) (Part, string) {
	switch own := w.PodLabels[dataplaneKey]; {
	case own == "ambient":
		return Ambient, ""
	case own == "none":
		return Outside, ""
	case !read:
		return Outside, fmt.Sprintf("whether its pods are in the mesh is not known: Namespace %s is not among what was read", w.Namespace)
	case namespace[dataplaneKey] == "ambient":
		return Ambient, ""
	}
	return Outside, ""
}

// passedBy is why connections to a pod with a sidecar may not go through it.
func passedBy(w *evidence.Workload) string {
	for _, key := range []string{
		"traffic.sidecar.istio.io/excludeInboundPorts", "traffic.sidecar.istio.io/includeInboundPorts",
		"sidecar.istio.io/interceptionMode", "traffic.sidecar.istio.io/excludeInterfaces",
	} {
		if v := w.PodAnnotations[key]; v != "" && v != "*" && v != "REDIRECT" && v != "TPROXY" {
			return fmt.Sprintf("annotation %s leads connections past the proxy", key)
		}
	}
	return ""
}

// pods are the pods that take a part in the mesh and of which it is asked further,
// and perhaps those of which the part is not known.
func (m *Mesh) pods(keep func(*evidence.Workload) bool, parts ...Part) netpol.Expr {
	var sure []*evidence.Workload
	for _, p := range parts {
		sure = append(sure, kept(m.members[p], keep)...)
	}
	list := netpol.Some{netpol.Pods{Of: sure}}
	for _, why := range slices.Sorted(maps.Keys(m.doubts)) {
		if of := kept(m.doubts[why], keep); len(of) > 0 {
			list = append(list, netpol.Unknown{Within: netpol.Pods{Of: of}, Why: why})
		}
	}
	if len(list) == 1 {
		return list[0]
	}
	return list
}

func kept(list []*evidence.Workload, keep func(*evidence.Workload) bool) (found []*evidence.Workload) {
	for _, w := range list {
		if keep == nil || keep(w) {
			found = append(found, w)
		}
	}
	return found
}

// A class is pods with proxies of their own that know the same of identities.
type class struct {
	pods netpol.Expr
	// plain are the ports on which there is no mutual TLS, so that nobody has an identity.
	plain ports.Set
	// doubt is why it is not known which these are, "" when it is.
	doubt string
}

// classify puts the pods that have proxies, or may have one, into classes. The first is
// that of most pods.
func (m *Mesh) classify() {
	type key struct{ plain, doubt string }
	in, classes, order := map[*evidence.Workload]key{}, map[key]class{{}: {}}, []key{{}}
	put := func(w *evidence.Workload, p Part) {
		c := m.classOf(w, p)
		k := key{c.plain.Key(), c.doubt}
		if _, ok := classes[k]; !ok {
			order = append(order, k)
		}
		in[w], classes[k] = k, c
	}
	for _, p := range []Part{Sidecar, Gateway} {
		for _, w := range m.members[p] {
			put(w, p)
		}
	}
	for _, why := range slices.Sorted(maps.Keys(m.doubts)) {
		for _, w := range m.doubts[why] {
			put(w, Sidecar)
		}
	}
	for _, k := range order {
		c := classes[k]
		c.pods = m.pods(func(w *evidence.Workload) bool { return in[w] == k }, Sidecar, Gateway)
		m.proxied = append(m.proxied, c)
	}
}

func (m *Mesh) classOf(w *evidence.Workload, p Part) (c class) {
	if p == Gateway {
		return c
	}
	tls := m.MTLS(w)
	c.doubt = tls.Unknown
	if tls.Mode == Disable {
		c.plain = ports.Every(ports.TCP)
	}
	for port, mode := range tls.Ports {
		one := ports.Of(ports.TCP, port, port)
		if c.plain = c.plain.Minus(one); mode == Disable {
			c.plain = c.plain.Union(one)
		}
	}
	return c
}

// identity is the name by which a workload's pods prove who they are.
func (m *Mesh) identity(w *evidence.Workload) string {
	return strings.Join([]string{m.trust, "ns", w.Namespace, "sa", w.ServiceAccountName()}, "/")
}
