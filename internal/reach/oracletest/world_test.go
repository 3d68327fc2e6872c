// Package oracletest holds no code but tests: it weighs random clusters and
// policies a second time, the slow and obvious way, one packet and one policy after
// the other, with nothing from the readers or the engine, and compares.
package oracletest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A world is a cluster in which everything is known: each pod has its address.
type world struct {
	seed   uint64
	family string
	// versions are the IP versions that the cluster speaks: 4, 6 or both.
	versions    []int
	enforcement netpol.Enforcement
	namespaces  []*namespace
	accounts    []*account
	nodes       []*node
	pods        []*pod
	policies    []*object
	services    []*service
	// blind is set when the ranges of pods and nodes are not told, told when Node objects
	// tell those of the pods.
	blind, told bool
	// negative is set when selectors of Cilium may ask for no namespace.
	negative bool
	// vague is set when the snapshot tells less than the world holds: answers may
	// then be unknown, but never wrong.
	vague bool
}

type namespace struct {
	name   string
	labels map[string]string
	// hidden is set when the snapshot lacks the Namespace object.
	hidden bool
}

type account struct {
	namespace, name string
	labels          map[string]string
	hidden          bool
}

// A service stands for pods of its namespace, at their ports.
type service struct {
	namespace, name  string
	labels, selector map[string]string
	ports            []corev1.ServicePort
}

type node struct {
	name      string
	labels    map[string]string
	addresses map[int]netip.Addr
}

type pod struct {
	kind, namespace, name string
	labels                map[string]string
	// added are the labels that controllers give to the running pod: they are among
	// labels, and not in the template.
	added   []string
	account string
	// host is the node in whose network the pod is, nil for a network of its own.
	host      *node
	ports     []corev1.ContainerPort
	addresses map[int]netip.Addr
	// proxied is set when the pod carries the proxy of a mesh.
	proxied bool
}

// An object is a policy, or what policies refer to: a Tier, a set of addresses.
type object struct {
	apiVersion, kind, namespace, name string
	labels, annotations               map[string]string
	// spec is a pointer to what stands under the object's spec.
	spec   any
	hidden bool
}

func (o *object) String() string { return o.kind + " " + o.namespace + "/" + o.name }

// document is the object as it would be written.
func (o *object) document() map[string]any {
	meta := map[string]any{"name": o.name}
	if o.namespace != "" {
		meta["namespace"] = o.namespace
	}
	if len(o.labels) > 0 {
		meta["labels"] = o.labels
	}
	if len(o.annotations) > 0 {
		meta["annotations"] = o.annotations
	}
	document := map[string]any{"apiVersion": o.apiVersion, "kind": o.kind, "metadata": meta, "spec": o.spec}
	if rules, ok := o.spec.(*ciliumRules); ok {
		delete(document, "spec")
		document["specs"] = rules.Specs
	}
	return document
}

// podRange and nodeRange are what the clusters' addresses come from.
func podRange(version int) string {
	if version == 6 {
		return "fd00:10:244::/56"
	}
	return "10.244.0.0/16"
}

func nodeRange(version int) string {
	if version == 6 {
		return "fd00:192:168:5::/64"
	}
	return "192.168.5.0/24"
}

func (w *world) options(t testing.TB) reach.Options {
	var o reach.Options
	for _, v := range w.versions {
		if w.blind || w.told {
			break
		}
		o.Pods = o.Pods.Union(parse(t, podRange(v)))
		o.Nodes = o.Nodes.Union(parse(t, nodeRange(v)))
	}
	o.Ranges = map[string]cidr.Set{"office": parse(t, "203.0.113.128/25", "2001:db8:0:8000::/49")}
	return o
}

func parse(t testing.TB, list ...string) cidr.Set {
	set, err := cidr.Parse(list...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// snapshot is what a scan would have read of the world.
func (w *world) snapshot(t testing.TB) (*evidence.Snapshot, map[*pod]*evidence.Workload) {
	snap := &evidence.Snapshot{}
	if !w.vague {
		snap.Cluster = &evidence.Cluster{Name: "oracle"} // what is not in the snapshot is not there
	}
	for _, n := range w.namespaces {
		if n.hidden {
			continue
		}
		labels := with(n.labels, corev1.LabelMetadataName, n.name)
		snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Namespace", Name: n.name, Labels: labels},
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n.name, Labels: labels}})
	}
	for _, a := range w.accounts {
		if a.hidden {
			continue
		}
		snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "ServiceAccount", Namespace: a.namespace, Name: a.name, Labels: a.labels},
			&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: a.name, Labels: a.labels}})
	}
	for _, n := range w.nodes {
		object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name, Labels: n.labels}}
		for _, v := range w.versions {
			if w.told {
				object.Spec.PodCIDRs = append(object.Spec.PodCIDRs, podRange(v))
			}
			object.Status.Addresses = append(object.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: n.addresses[v].String()})
		}
		snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Node", Name: n.name, Labels: n.labels}, object)
	}
	for _, s := range w.services {
		snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Service", Namespace: s.namespace, Name: s.name, Labels: s.labels}, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: s.name, Labels: s.labels},
			Spec:       corev1.ServiceSpec{Selector: s.selector, Ports: s.ports, IPFamilies: w.ipFamilies()},
		})
	}
	of := map[*pod]*evidence.Workload{}
	for _, p := range w.pods {
		of[p] = p.workload()
		version := "apps/v1"
		if p.kind == "Pod" {
			version = "v1"
		}
		snap.Add(&evidence.Ref{APIVersion: version, Kind: p.kind, Namespace: p.namespace, Name: p.name}, []*evidence.Workload{of[p]})
	}
	for _, o := range w.policies {
		if o.hidden {
			continue
		}
		ref := &evidence.Ref{APIVersion: o.apiVersion, Kind: o.kind, Namespace: o.namespace, Name: o.name, Labels: o.labels, Annotations: o.annotations}
		if spec, ok := o.spec.(*networkingv1.NetworkPolicySpec); ok {
			snap.Add(ref, &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: o.namespace, Name: o.name}, Spec: *spec})
			continue
		}
		text, err := json.Marshal(o.document())
		if err != nil {
			t.Fatal(err)
		}
		snap.Add(ref, &evidence.Custom{JSON: text})
	}
	return snap, of
}

func (w *world) ipFamilies() (list []corev1.IPFamily) {
	for _, v := range w.versions {
		list = append(list, corev1.IPFamily(fmt.Sprintf("IPv%d", v)))
	}
	return list
}

func (p *pod) workload() *evidence.Workload {
	spec := &corev1.PodSpec{ServiceAccountName: p.account, HostNetwork: p.host != nil}
	// A port of one name may be there for several protocols, in one container each.
	for i, port := range p.ports {
		spec.Containers = append(spec.Containers, corev1.Container{Name: fmt.Sprintf("c%d", i), Image: "app", Ports: []corev1.ContainerPort{port}})
	}
	if len(spec.Containers) == 0 {
		spec.Containers = []corev1.Container{{Name: "app", Image: "app"}}
	}
	if p.proxied {
		spec.Containers = append(spec.Containers, corev1.Container{Name: "istio-proxy", Image: "istio/proxyv2:1.30.0"})
	}
	meta := &metav1.ObjectMeta{Labels: maps.Clone(p.labels)}
	for _, key := range p.added {
		delete(meta.Labels, key)
	}
	if p.kind == "Pod" {
		return evidence.NewWorkload(evidence.NewPath("spec"), evidence.NewPath("metadata"), meta, spec)
	}
	template := evidence.NewPath("spec", "template")
	return evidence.NewWorkload(template.Field("spec"), template.Field("metadata"), meta, spec)
}

func with(labels map[string]string, key, value string) map[string]string {
	all := map[string]string{key: value}
	for k, v := range labels {
		all[k] = v
	}
	return all
}

// String writes the world for whoever looks into a difference.
func (w *world) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %s, IPv%v\n", w.seed, w.family, w.versions)
	for _, n := range w.namespaces {
		fmt.Fprintf(&b, "namespace %s %v hidden=%v\n", n.name, n.labels, n.hidden)
	}
	for _, a := range w.accounts {
		if len(a.labels) > 0 {
			fmt.Fprintf(&b, "service account %s/%s %v hidden=%v\n", a.namespace, a.name, a.labels, a.hidden)
		}
	}
	for _, s := range w.services {
		fmt.Fprintf(&b, "service %s/%s %v of %v", s.namespace, s.name, s.labels, s.selector)
		for _, p := range s.ports {
			fmt.Fprintf(&b, " %s/%s", p.Protocol, p.TargetPort.String())
		}
		b.WriteByte('\n')
	}
	for _, n := range w.nodes {
		fmt.Fprintf(&b, "node %s %v %v\n", n.name, n.labels, n.addresses)
	}
	for _, p := range w.pods {
		fmt.Fprintf(&b, "%s %v account=%s", p, p.labels, p.account)
		for _, c := range p.ports {
			fmt.Fprintf(&b, " %s=%s/%d", c.Name, c.Protocol, c.ContainerPort)
		}
		if p.host != nil {
			fmt.Fprintf(&b, " host network of %s", p.host.name)
		}
		if p.proxied {
			b.WriteString(" proxied")
		}
		fmt.Fprintf(&b, " %v\n", p.addresses)
	}
	for _, o := range w.policies {
		if o.hidden {
			b.WriteString("# hidden\n")
		}
		text, _ := yaml.Marshal(o.document())
		fmt.Fprintf(&b, "---\n%s", text)
	}
	return b.String()
}

func (p *pod) String() string { return p.kind + " " + p.namespace + "/" + p.name }

// An end is one end of a packet: a pod, a node or an address outside the cluster.
type end struct {
	pod      *pod
	node     *node
	external netip.Addr
}

func (e end) String() string {
	switch {
	case e.pod != nil:
		return e.pod.String()
	case e.node != nil:
		return "node " + e.node.name
	}
	return e.external.String()
}

// own reports whether the end is a pod with a network of its own: others are
// governed by no policy of pods.
func (e end) own() bool { return e.pod != nil && e.pod.host == nil }

// host is the node whose network the end is in, nil for other ends.
func (e end) host() *node {
	if e.pod != nil {
		return e.pod.host
	}
	return e.node
}

// A packet opens a connection.
type packet struct {
	src, dst end
	version  int
	protocol ports.Protocol
	port     uint16
	// local is set when the pod runs on the node that is the other end.
	local bool
	// final is set where NetworkPolicies have the last word on pods that they select
	// for the other direction only: the upstream text can be read so.
	final bool
	// odd is set where a packet has what rules may ask for beyond peers and ports: the
	// type of ICMP, the port it comes from, the method of its request.
	odd bool
	// loose is set where a selector of Cilium that asks for no label to be there, and for
	// no namespace, means nodes and the world too: versions differ (cilium/cilium#46949).
	loose bool
	// plain is set for a request that is none of those that rules allow.
	plain bool
}

func (p packet) String() string {
	return fmt.Sprintf("%v -> %v IPv%d %v %d", p.src, p.dst, p.version, p.protocol, p.port)
}

func (p packet) address(e end) netip.Addr {
	if h := e.host(); h != nil {
		return h.addresses[p.version]
	}
	if e.pod != nil {
		return e.pod.addresses[p.version]
	}
	return e.external
}

// sides are the direction's end that a policy is about, and the other end.
func (p packet) sides(d netpol.Direction) (subject, peer end) {
	if d == netpol.Egress {
		return p.src, p.dst
	}
	return p.dst, p.src
}

// name of a transport protocol in the API, "" for others.
func (p packet) transport() corev1.Protocol {
	if p.protocol.HasPorts() {
		return corev1.Protocol(p.protocol.String())
	}
	return ""
}

// named reports whether the packet goes to the port that the pod at its end calls
// so. With protocol "" it is a port of any protocol.
func (p packet) named(name string, protocol corev1.Protocol) bool {
	if !p.dst.own() || p.transport() == "" {
		return false
	}
	return slices.ContainsFunc(p.dst.pod.ports, func(c corev1.ContainerPort) bool {
		of := c.Protocol
		if of == "" {
			of = corev1.ProtocolTCP
		}
		return c.Name == name && of == p.transport() && (protocol == "" || protocol == of) && uint16(c.ContainerPort) == p.port
	})
}

// holds reports whether a pod is one that a service stands for.
func (s *service) holds(p *pod) bool {
	return p.namespace == s.namespace && selects(&metav1.LabelSelector{MatchLabels: s.selector}, p.labels)
}

func (w *world) namespace(name string) map[string]string {
	for _, n := range w.namespaces {
		if n.name == name {
			return with(n.labels, corev1.LabelMetadataName, name)
		}
	}
	return map[string]string{corev1.LabelMetadataName: name}
}

// within reports whether an address is in a block, as people write it.
func within(block string, a netip.Addr) bool {
	prefix, err := netip.ParsePrefix(block)
	if err != nil {
		single, err := netip.ParseAddr(block)
		return err == nil && single == a
	}
	return prefix.Masked().Contains(a)
}

// selects is how a label selector is read: everything it asks for must hold.
func selects(s *metav1.LabelSelector, labels map[string]string) bool {
	for k, v := range s.MatchLabels {
		if got, there := labels[k]; !there || got != v {
			return false
		}
	}
	for _, e := range s.MatchExpressions {
		got, there := labels[e.Key]
		listed := slices.Contains(e.Values, got)
		var holds bool
		switch e.Operator {
		case metav1.LabelSelectorOpIn:
			holds = there && listed
		case metav1.LabelSelectorOpNotIn:
			holds = !there || !listed
		case metav1.LabelSelectorOpExists:
			holds = there
		case metav1.LabelSelectorOpDoesNotExist:
			holds = !there
		}
		if !holds {
			return false
		}
	}
	return true
}
