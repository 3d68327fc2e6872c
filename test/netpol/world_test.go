package netpol

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"sigs.k8s.io/network-policy-api/apis/v1alpha1"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
)

// A family is kinds of policies that a cluster has together.
type family string

const (
	networkPolicies family = "network policies"
	adminPolicies   family = "network, admin and baseline policies"
	clusterPolicies family = "network and cluster policies"
)

// A world is a small cluster with policies of a family.
type world struct {
	family     family
	namespaces []*corev1.Namespace
	nodes      []*corev1.Node
	pods       []*corev1.Pod
	network    []*networkingv1.NetworkPolicy
	admin      []*v1alpha1.AdminNetworkPolicy
	baseline   []*v1alpha1.BaselineAdminNetworkPolicy
	cluster    []*v1alpha2.ClusterNetworkPolicy
}

func (w *world) namespace(name string) *corev1.Namespace {
	return w.namespaces[slices.IndexFunc(w.namespaces, func(n *corev1.Namespace) bool { return n.Name == name })]
}

// hasBaseline reports whether something is asked after NetworkPolicies.
func (w *world) hasBaseline() bool {
	return len(w.baseline) > 0 || slices.ContainsFunc(w.cluster, func(p *v1alpha2.ClusterNetworkPolicy) bool {
		return p.Spec.Tier == v1alpha2.BaselineTier
	})
}

// podRange is where the addresses of pods come from.
const podRange = "10.1.0.0/16"

// dice make worlds. There are few labels, ports and blocks, so that policies hit.
type dice struct {
	*rand.Rand
	// vague lets a world have what the APIs leave open, or what a snapshot does not
	// tell: answers may then be unknown.
	vague bool
}

// one reports true once in n times.
func (d dice) one(n int) bool { return d.IntN(n) == 0 }

func pick[T any](d dice, list ...T) T { return list[d.IntN(len(list))] }

// some is low to high things.
func some[T any](d dice, low, high int, thing func() T) (list []T) {
	for range low + d.IntN(high-low+1) {
		list = append(list, thing())
	}
	return list
}

func (d dice) world(f family) *world {
	w := &world{family: f}
	for i, name := range []string{"n1", "n2", "n3"} {
		labels := map[string]string{corev1.LabelMetadataName: name}
		if i < 2 {
			labels["team"] = pick(d, "red", "blue")
		}
		w.namespaces = append(w.namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}})
	}
	for i := range 2 {
		w.nodes = append(w.nodes, &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node%d", i), Labels: map[string]string{"zone": pick(d, "a", "b")}},
			Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("192.168.0.%d", i+1)}}},
		})
	}
	for i := range 3 + d.IntN(4) {
		w.pods = append(w.pods, d.pod(i))
	}
	for i := range d.IntN(5) {
		w.network = append(w.network, d.networkPolicy(i))
	}
	switch f {
	case adminPolicies:
		for i := range d.IntN(4) {
			w.admin = append(w.admin, d.adminPolicy(i))
		}
		if !d.one(3) {
			w.baseline = append(w.baseline, d.baselinePolicy())
		}
	case clusterPolicies:
		for i := range d.IntN(6) {
			w.cluster = append(w.cluster, d.clusterPolicy(i))
		}
	}
	if !d.vague && w.hasBaseline() {
		for _, p := range w.network {
			p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
		}
	}
	return w
}

func (d dice) pod(i int) *corev1.Pod {
	labels := map[string]string{"app": pick(d, "a", "b", "c")}
	if d.one(2) {
		labels["tier"] = pick(d, "x", "y")
	}
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("p%d", i), Namespace: pick(d, "n1", "n2", "n3"), Labels: labels},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "registry.example/c:1"}}},
		Status:     corev1.PodStatus{PodIP: fmt.Sprintf("10.1.%d.%d", i%3, i+1)},
	}
	for _, port := range []corev1.ContainerPort{
		{Name: "web", ContainerPort: pick[int32](d, 80, 8080), Protocol: corev1.ProtocolTCP},
		{Name: "dns", ContainerPort: 53, Protocol: pick(d, corev1.ProtocolUDP, corev1.ProtocolTCP)},
		{Name: "sig", ContainerPort: 9003, Protocol: corev1.ProtocolSCTP},
	} {
		if !d.one(4) {
			p.Spec.Containers[0].Ports = append(p.Spec.Containers[0].Ports, port)
		}
	}
	return p
}

func (d dice) pods() *metav1.LabelSelector {
	return d.selector(map[string][]string{"app": {"a", "b", "c"}, "tier": {"x", "y"}})
}

func (d dice) spaces() *metav1.LabelSelector {
	return d.selector(map[string][]string{"team": {"red", "blue"}, corev1.LabelMetadataName: {"n1", "n2", "n3"}})
}

// selector is a selector over labels and their values.
func (d dice) selector(labels map[string][]string) *metav1.LabelSelector {
	s := &metav1.LabelSelector{}
	keys := make([]string, 0, len(labels))
	for k := range labels {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	if d.one(3) {
		return s
	}
	key := pick(d, keys...)
	if d.one(2) {
		s.MatchLabels = map[string]string{key: pick(d, labels[key]...)}
		return s
	}
	s.MatchExpressions = some(d, 1, 2, func() metav1.LabelSelectorRequirement {
		key := pick(d, keys...)
		r := metav1.LabelSelectorRequirement{Key: key, Operator: pick(d, metav1.LabelSelectorOpIn,
			metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist)}
		if r.Operator == metav1.LabelSelectorOpIn || r.Operator == metav1.LabelSelectorOpNotIn {
			r.Values = some(d, 1, 2, func() string { return pick(d, append(labels[key], "other")...) })
		}
		return r
	})
	return s
}

// block is a block of addresses. It holds all of the pods' range or nothing of it:
// the snapshot does not tell which address of the range a pod has.
func (d dice) block() string {
	list := []string{"0.0.0.0/0", "10.0.0.0/8", podRange, "192.168.0.0/24", "192.168.0.1/32", "198.51.100.0/24", "198.51.0.0/16",
		"203.0.113.0/25", "::/0", "2001:db8::/32", "2001:db8:1::/48"}
	if d.vague {
		list = append(list, "10.1.1.0/24", "10.1.0.2/32")
	}
	return pick(d, list...)
}

// except is a block that is strictly within another, or "".
func (d dice) except(of string) string {
	in, whole := netip.MustParsePrefix(d.block()), netip.MustParsePrefix(of)
	if in.Bits() <= whole.Bits() || !whole.Contains(in.Addr()) {
		return ""
	}
	return in.String()
}

func (d dice) networkPolicy(i int) *networkingv1.NetworkPolicy {
	p := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("np%d", i), Namespace: pick(d, "n1", "n2", "n3")},
		Spec:       networkingv1.NetworkPolicySpec{PodSelector: *d.pods()},
	}
	if !d.one(3) {
		p.Spec.PolicyTypes = pick(d,
			[]networkingv1.PolicyType{networkingv1.PolicyTypeIngress}, []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
			[]networkingv1.PolicyType{networkingv1.PolicyTypeEgress, networkingv1.PolicyTypeIngress})
	}
	p.Spec.Ingress = some(d, 0, 2, func() networkingv1.NetworkPolicyIngressRule {
		return networkingv1.NetworkPolicyIngressRule{From: some(d, 0, 2, d.networkPeer), Ports: some(d, 0, 2, d.networkPort)}
	})
	p.Spec.Egress = some(d, 0, 2, func() networkingv1.NetworkPolicyEgressRule {
		return networkingv1.NetworkPolicyEgressRule{To: some(d, 0, 2, d.networkPeer), Ports: some(d, 0, 2, d.networkPort)}
	})
	return p
}

func (d dice) networkPeer() networkingv1.NetworkPolicyPeer {
	switch d.IntN(4) {
	case 0:
		return networkingv1.NetworkPolicyPeer{PodSelector: d.pods()}
	case 1:
		return networkingv1.NetworkPolicyPeer{NamespaceSelector: d.spaces()}
	case 2:
		return networkingv1.NetworkPolicyPeer{PodSelector: d.pods(), NamespaceSelector: d.spaces()}
	}
	b := &networkingv1.IPBlock{CIDR: d.block()}
	for range 2 {
		if e := d.except(b.CIDR); e != "" {
			b.Except = append(b.Except, e)
		}
	}
	return networkingv1.NetworkPolicyPeer{IPBlock: b}
}

func protocols() []corev1.Protocol {
	return []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}
}

func (d dice) protocol() corev1.Protocol { return pick(d, protocols()...) }

// numbers are the ports that policies name, and that are asked for, with neighbours.
func numbers() []int32 { return []int32{1, 53, 54, 80, 81, 8080, 9003} }

func (d dice) number() int32 { return pick(d, numbers()...) }

// span is two ports, the first below the second.
func (d dice) span() (lo, hi int32) {
	i := d.IntN(len(numbers()) - 1)
	return numbers()[i], numbers()[i+1+d.IntN(len(numbers())-i-1)]
}

func (d dice) name() string { return pick(d, "web", "dns", "sig", "none") }

func (d dice) networkPort() (p networkingv1.NetworkPolicyPort) {
	if protocol := d.protocol(); !d.one(4) {
		p.Protocol = &protocol
	}
	switch d.IntN(4) {
	case 0:
		name := intstr.FromString(d.name())
		p.Port = &name
	case 1, 2:
		lo, hi := d.span()
		port := intstr.FromInt32(lo)
		p.Port = &port
		if d.one(2) {
			p.EndPort = &hi
		}
	}
	return p
}

// priority is one that no other policy has, but in a vague world.
func (d dice) priority(i int) int32 {
	if d.vague && d.one(3) {
		return 7
	}
	return int32(d.IntN(2)*500 + i)
}

func (d dice) networks() (list []v1alpha1.CIDR) {
	for _, b := range some(d, 1, 2, d.block) {
		if !slices.Contains(list, v1alpha1.CIDR(b)) {
			list = append(list, v1alpha1.CIDR(b))
		}
	}
	return list
}

func (d dice) adminSubject() v1alpha1.AdminNetworkPolicySubject {
	if d.one(2) {
		return v1alpha1.AdminNetworkPolicySubject{Namespaces: d.spaces()}
	}
	return v1alpha1.AdminNetworkPolicySubject{Pods: &v1alpha1.NamespacedPod{NamespaceSelector: *d.spaces(), PodSelector: *d.pods()}}
}

func (d dice) adminFrom() v1alpha1.AdminNetworkPolicyIngressPeer {
	s := d.adminSubject()
	return v1alpha1.AdminNetworkPolicyIngressPeer{Namespaces: s.Namespaces, Pods: s.Pods}
}

// adminTo has no nodes: upstream takes them for the pods on these nodes, where the API
// means the nodes' own addresses.
func (d dice) adminTo() v1alpha1.AdminNetworkPolicyEgressPeer {
	if d.one(3) {
		return v1alpha1.AdminNetworkPolicyEgressPeer{Networks: d.networks()}
	}
	s := d.adminSubject()
	return v1alpha1.AdminNetworkPolicyEgressPeer{Namespaces: s.Namespaces, Pods: s.Pods}
}

func (d dice) adminPorts() *[]v1alpha1.AdminNetworkPolicyPort {
	if d.one(3) {
		return nil
	}
	list := some(d, 1, 2, d.adminPort)
	return &list
}

// adminPort is no port by name: upstream lets that match every port of a pod that has one
// of the name.
func (d dice) adminPort() v1alpha1.AdminNetworkPolicyPort {
	if d.one(2) {
		return v1alpha1.AdminNetworkPolicyPort{PortNumber: &v1alpha1.Port{Protocol: d.protocol(), Port: d.number()}}
	}
	lo, hi := d.span()
	return v1alpha1.AdminNetworkPolicyPort{PortRange: &v1alpha1.PortRange{Protocol: d.protocol(), Start: lo, End: hi}}
}

func (d dice) adminPolicy(i int) *v1alpha1.AdminNetworkPolicy {
	action := func() v1alpha1.AdminNetworkPolicyRuleAction {
		return pick(d, v1alpha1.AdminNetworkPolicyRuleActionAllow, v1alpha1.AdminNetworkPolicyRuleActionDeny, v1alpha1.AdminNetworkPolicyRuleActionPass)
	}
	return &v1alpha1.AdminNetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy.networking.k8s.io/v1alpha1", Kind: "AdminNetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("anp%d", d.IntN(10)*10+i)},
		Spec: v1alpha1.AdminNetworkPolicySpec{
			Priority: d.priority(i), Subject: d.adminSubject(),
			Ingress: some(d, 0, 3, func() v1alpha1.AdminNetworkPolicyIngressRule {
				return v1alpha1.AdminNetworkPolicyIngressRule{Action: action(), From: some(d, 1, 2, d.adminFrom), Ports: d.adminPorts()}
			}),
			Egress: some(d, 0, 3, func() v1alpha1.AdminNetworkPolicyEgressRule {
				return v1alpha1.AdminNetworkPolicyEgressRule{Action: action(), To: some(d, 1, 2, d.adminTo), Ports: d.adminPorts()}
			}),
		},
	}
}

func (d dice) baselinePolicy() *v1alpha1.BaselineAdminNetworkPolicy {
	action := func() v1alpha1.BaselineAdminNetworkPolicyRuleAction {
		return pick(d, v1alpha1.BaselineAdminNetworkPolicyRuleActionAllow, v1alpha1.BaselineAdminNetworkPolicyRuleActionDeny)
	}
	return &v1alpha1.BaselineAdminNetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy.networking.k8s.io/v1alpha1", Kind: "BaselineAdminNetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: "default"},
		Spec: v1alpha1.BaselineAdminNetworkPolicySpec{
			Subject: d.adminSubject(),
			Ingress: some(d, 0, 3, func() v1alpha1.BaselineAdminNetworkPolicyIngressRule {
				return v1alpha1.BaselineAdminNetworkPolicyIngressRule{Action: action(), From: some(d, 1, 2, d.adminFrom), Ports: d.adminPorts()}
			}),
			Egress: some(d, 0, 3, func() v1alpha1.BaselineAdminNetworkPolicyEgressRule {
				return v1alpha1.BaselineAdminNetworkPolicyEgressRule{Action: action(), To: some(d, 1, 2, func() v1alpha1.BaselineAdminNetworkPolicyEgressPeer {
					to := d.adminTo()
					return v1alpha1.BaselineAdminNetworkPolicyEgressPeer{Namespaces: to.Namespaces, Pods: to.Pods, Networks: to.Networks}
				}), Ports: d.adminPorts()}
			}),
		},
	}
}

func (d dice) clusterSubject() v1alpha2.ClusterNetworkPolicySubject {
	if d.one(2) {
		return v1alpha2.ClusterNetworkPolicySubject{Namespaces: d.spaces()}
	}
	return v1alpha2.ClusterNetworkPolicySubject{Pods: &v1alpha2.NamespacedPod{NamespaceSelector: *d.spaces(), PodSelector: *d.pods()}}
}

func (d dice) clusterFrom() v1alpha2.ClusterNetworkPolicyIngressPeer {
	s := d.clusterSubject()
	return v1alpha2.ClusterNetworkPolicyIngressPeer{Namespaces: s.Namespaces, Pods: s.Pods}
}

func (d dice) clusterTo() (to v1alpha2.ClusterNetworkPolicyEgressPeer) {
	switch d.IntN(4) {
	case 0:
		for _, n := range d.networks() {
			to.Networks = append(to.Networks, v1alpha2.CIDR(n))
		}
	case 1:
		to.Nodes = d.selector(map[string][]string{"zone": {"a", "b"}})
	default:
		s := d.clusterSubject()
		to.Namespaces, to.Pods = s.Namespaces, s.Pods
	}
	return to
}

func (d dice) clusterProtocol() (p v1alpha2.ClusterNetworkPolicyProtocol) {
	port := &v1alpha2.Port{Number: d.number()}
	if d.one(2) {
		lo, hi := d.span()
		port = &v1alpha2.Port{Range: &v1alpha2.PortRange{Start: lo, End: hi}}
	}
	switch d.protocol() {
	case corev1.ProtocolTCP:
		p.TCP = &v1alpha2.ClusterNetworkPolicyProtocolTCP{DestinationPort: port}
	case corev1.ProtocolUDP:
		p.UDP = &v1alpha2.ClusterNetworkPolicyProtocolUDP{DestinationPort: port}
	default:
		p.SCTP = &v1alpha2.ClusterNetworkPolicyProtocolSCTP{DestinationPort: port}
	}
	return p
}

// clusterProtocols are ports; by name only where all peers are pods.
func (d dice) clusterProtocols(named bool) []v1alpha2.ClusterNetworkPolicyProtocol {
	if d.one(3) {
		return nil
	}
	return some(d, 1, 2, func() v1alpha2.ClusterNetworkPolicyProtocol {
		if named && d.one(3) {
			return v1alpha2.ClusterNetworkPolicyProtocol{DestinationNamedPort: d.name()}
		}
		return d.clusterProtocol()
	})
}

func (d dice) clusterPolicy(i int) *v1alpha2.ClusterNetworkPolicy {
	action := func() v1alpha2.ClusterNetworkPolicyRuleAction {
		return pick(d, v1alpha2.ClusterNetworkPolicyRuleActionAccept, v1alpha2.ClusterNetworkPolicyRuleActionDeny, v1alpha2.ClusterNetworkPolicyRuleActionPass)
	}
	return &v1alpha2.ClusterNetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy.networking.k8s.io/v1alpha2", Kind: "ClusterNetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("cnp%d", d.IntN(10)*10+i)},
		Spec: v1alpha2.ClusterNetworkPolicySpec{
			Tier: pick(d, v1alpha2.AdminTier, v1alpha2.BaselineTier), Priority: d.priority(i), Subject: d.clusterSubject(),
			Ingress: some(d, 0, 3, func() v1alpha2.ClusterNetworkPolicyIngressRule {
				return v1alpha2.ClusterNetworkPolicyIngressRule{Action: action(), From: some(d, 1, 2, d.clusterFrom), Protocols: d.clusterProtocols(true)}
			}),
			Egress: some(d, 0, 3, func() v1alpha2.ClusterNetworkPolicyEgressRule {
				to := some(d, 1, 2, d.clusterTo)
				pods := !slices.ContainsFunc(to, func(p v1alpha2.ClusterNetworkPolicyEgressPeer) bool { return p.Nodes != nil || p.Networks != nil })
				return v1alpha2.ClusterNetworkPolicyEgressRule{Action: action(), To: to, Protocols: d.clusterProtocols(pods)}
			}),
		},
	}
}

// outside are addresses that belong to nobody in a world, in and beside its blocks.
func outside() []string {
	return []string{"198.51.100.7", "198.51.7.7", "203.0.113.200", "2001:db8:1::7"}
}

// describe names a pod for people.
func describe(p *corev1.Pod) string {
	var labels []string
	for k, v := range p.Labels {
		labels = append(labels, k+"="+v)
	}
	slices.Sort(labels)
	return fmt.Sprintf("%s/%s (%s) %s", p.Namespace, p.Name, strings.Join(labels, " "), p.Status.PodIP)
}
