package oracletest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// dice make worlds. There are few labels, ports and blocks, so that policies hit.
type dice struct {
	*rand.Rand
	w *world
	// vague lets blocks hold some of the pods' range, which the snapshot cannot tell.
	vague bool
	// both makes clusters that speak IPv4 and IPv6.
	both bool
	// negative makes selectors of Cilium that ask for no namespace.
	negative bool
	// taken are the addresses of pods and nodes.
	taken map[netip.Addr]bool
}

func newDice(seed uint64) *dice {
	return &dice{Rand: rand.New(rand.NewPCG(seed, 0x6ab10)), taken: map[netip.Addr]bool{}}
}

// one reports true once in n times.
func (d *dice) one(n int) bool { return d.IntN(n) == 0 }

func pick[T any](d *dice, list ...T) T { return list[d.IntN(len(list))] }

// some is low to high things.
func some[T any](d *dice, low, high int, thing func() T) (list []T) {
	for range low + d.IntN(high-low+1) {
		list = append(list, thing())
	}
	return list
}

func ptr[T any](v T) *T { return &v }

func portNames() []string { return []string{"web", "dns", "db"} }

func portNumbers() []int { return []int{1, 53, 80, 81, 443, 8080, 65535} }

func (d *dice) labels() map[string]string {
	labels := map[string]string{}
	for _, key := range []string{"app", "tier", "env"} {
		if !d.one(3) {
			labels[key] = pick(d, "a", "b", "c")
		}
	}
	return labels
}

// cluster rolls all but the policies.
func (d *dice) cluster() *world {
	w := &world{versions: pick(d, []int{4}, []int{4}, []int{6}), vague: d.vague}
	w.told, w.negative = d.one(4), d.negative
	if d.both {
		w.versions = []int{4, 6}
	}
	d.w = w
	for _, name := range []string{"red", "green", "blue"}[:1+d.IntN(3)] {
		w.namespaces = append(w.namespaces, &namespace{name: name, labels: d.labels()})
	}
	for _, n := range w.namespaces {
		for _, name := range []string{"default", "bot"} {
			w.accounts = append(w.accounts, &account{namespace: n.name, name: name, labels: d.labels()})
		}
	}
	for i := range 1 + d.IntN(2) {
		n := &node{name: fmt.Sprintf("node-%d", i), labels: d.labels(), addresses: map[int]netip.Addr{}}
		for _, v := range w.versions {
			n.addresses[v] = d.address(nodeRange(v))
		}
		w.nodes = append(w.nodes, n)
	}
	for i := range 2 + d.IntN(5) {
		w.pods = append(w.pods, d.pod(i))
	}
	for i := range 1 + d.IntN(3) {
		w.services = append(w.services, &service{
			namespace: pick(d, w.namespaces...).name, name: fmt.Sprintf("s%d", i), labels: d.labels(),
			selector: map[string]string{pick(d, "app", "tier", "env"): pick(d, "a", "b", "c")},
			ports: some(d, 1, 1, func() corev1.ServicePort {
				return corev1.ServicePort{Protocol: d.transport(), Port: 80, TargetPort: intstr.FromInt(pick(d, portNumbers()...))}
			}),
		})
	}
	return w
}

func (d *dice) pod(i int) *pod {
	p := &pod{
		kind: pick(d, "Pod", "Deployment", "StatefulSet"), name: fmt.Sprintf("p%d", i),
		namespace: pick(d, d.w.namespaces...).name, labels: d.labels(), account: pick(d, "", "default", "bot"), addresses: map[int]netip.Addr{},
	}
	if d.vague && p.kind == "Deployment" {
		p.labels[hashLabel], p.added = pick(d, "a", "b", "c"), []string{hashLabel}
	}
	if d.one(12) {
		p.host = pick(d, d.w.nodes...)
	}
	for _, v := range d.w.versions {
		p.addresses[v] = d.address(podRange(v))
	}
	for _, name := range portNames() {
		for _, protocol := range []corev1.Protocol{"", corev1.ProtocolUDP, corev1.ProtocolSCTP} {
			// Nobody says whether names count of pods in the network of their node.
			if d.one(3) && p.host == nil {
				p.ports = append(p.ports, corev1.ContainerPort{Name: name, Protocol: protocol, ContainerPort: int32(pick(d, portNumbers()...))})
			}
		}
	}
	return p
}

// address rolls an address of a range that nobody has: of its last 16 bits, few are
// set, so that blocks cut near it.
func (d *dice) address(block string) netip.Addr {
	for {
		if a := d.anyAddress(block); !d.taken[a] {
			d.taken[a] = true
			return a
		}
	}
}

func (d *dice) anyAddress(block string) netip.Addr {
	prefix := netip.MustParsePrefix(block)
	bytes := prefix.Addr().AsSlice()
	bytes[len(bytes)-1] = byte(1 + d.IntN(100))
	if len(bytes)*8-prefix.Bits() > 8 {
		bytes[len(bytes)-2] = byte(d.IntN(3))
	}
	a, _ := netip.AddrFromSlice(bytes)
	return a
}

// block rolls a prefix: of the outside mostly, with ends that lie near each other.
func (d *dice) block() string {
	if pick(d, d.w.versions...) == 6 {
		switch d.IntN(8) {
		case 0:
			return "::/0"
		case 1:
			return pick(d, "fd00::/8", "fd00:10:244::/48", "fd00:10:244::/56")
		case 2:
			return pick(d, "fd00:192:168::/48", "fd00:10:245::/48")
		}
		if d.vague && d.one(3) {
			return pick(d, "fd00:10:244::/120", "fd00:10:244::100/120", "fd00:10:244::/112", "fd00:10:244::7/128")
		}
		return fmt.Sprintf("2001:db8:0:%s::/%d", pick(d, "0", "7", "8", "40", "8000"), pick(d, 32, 48, 49, 58, 61, 64, 128))
	}
	switch d.IntN(8) {
	case 0:
		return "0.0.0.0/0"
	case 1:
		return pick(d, "10.0.0.0/8", "10.244.0.0/16", "10.244.0.0/15")
	case 2:
		return pick(d, "192.168.0.0/16", "10.245.0.0/16", "172.16.0.0/12")
	}
	if d.vague && d.one(3) {
		return pick(d, "10.244.0.0/24", "10.244.1.0/24", "10.244.0.0/17", "10.244.0.7/32")
	}
	return fmt.Sprintf("203.0.113.%d/%d", pick(d, 0, 7, 8, 64, 127, 128, 200), pick(d, 16, 24, 25, 26, 29, 31, 32))
}

// blocks rolls some blocks that differ.
func (d *dice) blocks() []string {
	list := some(d, 1, 2, d.block)
	slices.Sort(list)
	return slices.Compact(list)
}

// excepts rolls blocks that are inside another, and smaller.
func (d *dice) excepts(block string) (list []string) {
	of := netip.MustParsePrefix(block)
	for range 6 {
		in := d.block()
		p := netip.MustParsePrefix(in)
		if p.Bits() > of.Bits() && of.Contains(p.Addr()) && !slices.Contains(list, in) && len(list) < 2 {
			list = append(list, in)
		}
	}
	return list
}

func (d *dice) selector() *metav1.LabelSelector {
	s := &metav1.LabelSelector{}
	key := d.key
	value := func() string { return pick(d, "a", "b", "c") }
	for range d.IntN(2) {
		s.MatchLabels = map[string]string{key(): value()}
	}
	if d.one(2) {
		r := metav1.LabelSelectorRequirement{Key: key(), Operator: pick(d, metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist)}
		if r.Operator == metav1.LabelSelectorOpIn || r.Operator == metav1.LabelSelectorOpNotIn {
			r.Values = some(d, 1, 2, value)
		}
		s.MatchExpressions = append(s.MatchExpressions, r)
	}
	return s
}

// hashLabel is what Deployments add to the labels of their pods.
const hashLabel = "pod-template-hash"

func (d *dice) key() string {
	if d.vague && d.one(10) {
		return hashLabel
	}
	return pick(d, "app", "tier", "env")
}

func (d *dice) namespaceSelector() *metav1.LabelSelector {
	if d.one(4) {
		return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: pick(d, "red", "green", "blue")}}
	}
	return d.selector()
}

func (d *dice) transport() corev1.Protocol {
	return pick(d, corev1.ProtocolTCP, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)
}

// span rolls a range of ports with two ends that differ.
func (d *dice) span() (lo, hi int) {
	list := portNumbers()
	i := d.IntN(len(list) - 1)
	return list[i], list[i+1+d.IntN(len(list)-1-i)]
}

func (d *dice) networkPolicy(i int) *object {
	spec := &networkingv1.NetworkPolicySpec{PodSelector: *d.selector()}
	spec.PolicyTypes = pick(d,
		nil, []networkingv1.PolicyType{"Ingress"}, []networkingv1.PolicyType{"Egress"}, []networkingv1.PolicyType{"Ingress", "Egress"})
	spec.Ingress = some(d, 0, 2, func() networkingv1.NetworkPolicyIngressRule {
		return networkingv1.NetworkPolicyIngressRule{From: some(d, 0, 2, d.networkPeer), Ports: some(d, 0, 2, d.networkPort)}
	})
	spec.Egress = some(d, 0, 2, func() networkingv1.NetworkPolicyEgressRule {
		return networkingv1.NetworkPolicyEgressRule{To: some(d, 0, 2, d.networkPeer), Ports: some(d, 0, 2, d.networkPort)}
	})
	return &object{apiVersion: "networking.k8s.io/v1", kind: "NetworkPolicy", namespace: pick(d, d.w.namespaces...).name, name: fmt.Sprintf("np%d", i), spec: spec}
}

func (d *dice) networkPeer() (p networkingv1.NetworkPolicyPeer) {
	if d.one(3) {
		p.IPBlock = &networkingv1.IPBlock{CIDR: d.block()}
		p.IPBlock.Except = d.excepts(p.IPBlock.CIDR)
		return p
	}
	which := 1 + d.IntN(3)
	if which&1 != 0 {
		p.PodSelector = d.selector()
	}
	if which&2 != 0 {
		p.NamespaceSelector = d.namespaceSelector()
	}
	return p
}

func (d *dice) networkPort() (p networkingv1.NetworkPolicyPort) {
	if !d.one(4) {
		p.Protocol = ptr(d.transport())
	}
	switch d.IntN(5) {
	case 0:
	case 1:
		p.Port = ptr(intstr.FromString(pick(d, portNames()...)))
	case 2:
		lo, hi := d.span()
		p.Port, p.EndPort = ptr(intstr.FromInt(lo)), ptr(int32(hi))
	default:
		p.Port = ptr(intstr.FromInt(pick(d, portNumbers()...)))
	}
	return p
}

// adminPolicies rolls policies of a cluster's administrators, of the older kinds or
// of the newer one. Of two with one priority nobody knows which comes first: there
// are none.
func (d *dice) adminPolicies() (list []*object) {
	priorities := d.Perm(1001)
	newer := d.one(2)
	for i := range d.IntN(4) {
		o := &object{apiVersion: policyAPI + "v1alpha1", kind: "AdminNetworkPolicy", name: fmt.Sprintf("anp%d", i)}
		spec := &adminSpec{Priority: &priorities[i]}
		if newer {
			o.apiVersion, o.kind = policyAPI+"v1alpha2", "ClusterNetworkPolicy"
			spec.Tier = pick(d, "Admin", "Baseline")
		}
		d.adminRules(spec, newer, true)
		o.spec = spec
		list = append(list, o)
	}
	if !newer && d.one(2) {
		spec := &adminSpec{}
		d.adminRules(spec, false, false)
		list = append(list, &object{apiVersion: policyAPI + "v1alpha1", kind: "BaselineAdminNetworkPolicy", name: "default", spec: spec})
	}
	return list
}

func (d *dice) adminRules(spec *adminSpec, newer, passes bool) {
	if d.one(2) {
		spec.Subject.Namespaces = d.namespaceSelector()
	} else {
		spec.Subject.Pods = d.namespacedPod()
	}
	spec.Ingress = some(d, 0, 3, func() adminRule {
		r := adminRule{Action: d.adminAction(newer, passes)}
		r.From = some(d, 1, 2, d.adminPeer)
		d.adminPorts(&r, newer, true)
		return r
	})
	spec.Egress = some(d, 0, 3, func() adminRule {
		r := adminRule{Action: d.adminAction(newer, passes), Name: pick(d, "", "out")}
		// A port by name goes with no peer that is not a pod.
		pods := d.one(2)
		r.To = some(d, 1, 2, func() adminPeer {
			if pods || d.one(2) {
				return d.adminPeer()
			}
			if d.one(3) {
				return adminPeer{Nodes: d.selector()}
			}
			if d.vague && d.one(3) && (r.Action == "Allow" || r.Action == "Accept") {
				return adminPeer{DomainNames: []string{"*.example.org"}}
			}
			return adminPeer{Networks: d.blocks()}
		})
		d.adminPorts(&r, newer, pods)
		return r
	})
}

func (d *dice) adminAction(newer, passes bool) string {
	actions := []string{"Allow", "Deny", "Pass"}
	if newer {
		actions[0] = "Accept"
	}
	if !passes {
		actions = actions[:2]
	}
	return pick(d, actions...)
}

func (d *dice) namespacedPod() *namespacedPod {
	return &namespacedPod{NamespaceSelector: *d.namespaceSelector(), PodSelector: *d.selector()}
}

func (d *dice) adminPeer() adminPeer {
	if d.one(2) {
		return adminPeer{Namespaces: d.namespaceSelector()}
	}
	return adminPeer{Pods: d.namespacedPod()}
}

func (d *dice) adminPorts(r *adminRule, newer, named bool) {
	if newer {
		r.Protocols = some(d, 0, 2, func() (p adminProtocol) {
			if named && d.one(4) {
				p.DestinationNamedPort = pick(d, portNames()...)
				return p
			}
			at := &adminTransport{DestinationPort: &adminDestination{Number: pick(d, portNumbers()...)}}
			if d.one(2) {
				lo, hi := d.span()
				at.DestinationPort = &adminDestination{Range: &adminRange{Start: lo, End: hi}}
			}
			switch d.IntN(4) {
			case 0:
				p.UDP = at
			case 1:
				p.SCTP = at
			default:
				p.TCP = at
			}
			return p
		})
		return
	}
	r.Ports = some(d, 0, 2, func() (p adminPort) {
		switch d.IntN(4) {
		case 0:
			lo, hi := d.span()
			p.PortRange = &adminRange{Protocol: pick(d, "", d.transport()), Start: lo, End: hi}
		case 1:
			if named {
				p.NamedPort = pick(d, portNames()...)
				return p
			}
			fallthrough
		default:
			p.PortNumber = &adminNumber{Protocol: d.transport(), Port: pick(d, portNumbers()...)}
		}
		return p
	})
}
