package reach

import (
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A Policy is a NetworkPolicy as the API server understands it: selector
// compiled, policy types defaulted, addresses parsed.
type Policy struct {
	*evidence.Object[networkingv1.NetworkPolicy]

	pods            labels.Selector
	types           []networkingv1.PolicyType
	ingress, egress []Rule
}

// A Rule is one entry of spec.ingress or spec.egress.
type Rule struct {
	Policy    *Policy
	Direction networkingv1.PolicyType
	Index     int
	// Peers are the from or to of the rule; none means everyone.
	Peers []networkingv1.NetworkPolicyPeer
	// Ports that the rule is limited to; none means all.
	Ports []networkingv1.NetworkPolicyPort
	// Blocks are the ipBlocks among the peers.
	Blocks []Block
}

// A Block is an ipBlock: the addresses of CIDR without those of Except.
type Block struct {
	Peer   int // index in Rule.Peers
	CIDR   netip.Prefix
	Except []netip.Prefix
}

func newPolicy(o *evidence.Object[networkingv1.NetworkPolicy]) (*Policy, error) {
	spec := &o.Value.Spec
	if o.APIVersion != networkingv1.SchemeGroupVersion.String() {
		return nil, fmt.Errorf("apiVersion %s is not served", o.APIVersion)
	}
	for _, d := range spec.PolicyTypes {
		if d != networkingv1.PolicyTypeIngress && d != networkingv1.PolicyTypeEgress {
			return nil, fmt.Errorf("policyTypes: %q is none", d)
		}
	}
	pods, err := metav1.LabelSelectorAsSelector(&spec.PodSelector)
	if err != nil {
		return nil, fmt.Errorf("podSelector: %w", err)
	}
	p := &Policy{Object: o, pods: pods, types: policyTypes(spec)}
	for i, r := range spec.Ingress {
		p.ingress = append(p.ingress, Rule{Policy: p, Direction: networkingv1.PolicyTypeIngress, Index: i, Peers: r.From, Ports: r.Ports})
	}
	for i, r := range spec.Egress {
		p.egress = append(p.egress, Rule{Policy: p, Direction: networkingv1.PolicyTypeEgress, Index: i, Peers: r.To, Ports: r.Ports})
	}
	for _, rules := range [][]Rule{p.ingress, p.egress} {
		for i := range rules {
			if err := rules[i].parseBlocks(); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// policyTypes gives the directions that a policy isolates: when the list is
// empty, ingress always and egress only if there are egress rules.
func policyTypes(spec *networkingv1.NetworkPolicySpec) []networkingv1.PolicyType {
	switch {
	case len(spec.PolicyTypes) > 0:
		return spec.PolicyTypes
	case len(spec.Egress) > 0:
		return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	}
	return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
}

func (r *Rule) parseBlocks() error {
	for i, peer := range r.Peers {
		if peer.IPBlock == nil {
			continue
		}
		cidr, err := netip.ParsePrefix(peer.IPBlock.CIDR)
		if err != nil {
			return fmt.Errorf("%s: %w", r.PeerPath(i).Field("ipBlock", "cidr"), err)
		}
		b := Block{Peer: i, CIDR: cidr.Masked()}
		for n, text := range peer.IPBlock.Except {
			except, err := netip.ParsePrefix(text)
			if err != nil {
				return fmt.Errorf("%s: %w", r.PeerPath(i).Field("ipBlock", "except").Index(n, ""), err)
			}
			b.Except = append(b.Except, except.Masked())
		}
		r.Blocks = append(r.Blocks, b)
	}
	return nil
}

// Isolates reports whether pods that the policy selects are isolated in a direction.
func (p *Policy) Isolates(d networkingv1.PolicyType) bool { return slices.Contains(p.types, d) }

// SelectsAll reports whether the policy is about every pod of its namespace.
func (p *Policy) SelectsAll() bool { return p.pods.Empty() }

// Rules returns the rules of a direction that are in effect: none where the
// policy does not isolate.
func (p *Policy) Rules(d networkingv1.PolicyType) []Rule {
	switch {
	case !p.Isolates(d):
		return nil
	case d == networkingv1.PolicyTypeEgress:
		return p.egress
	}
	return p.ingress
}

// Open returns the first rule of a direction that allows everything, or nil.
func (p *Policy) Open(d networkingv1.PolicyType) *Rule {
	rules := p.Rules(d)
	for i := range rules {
		if rules[i].Open() {
			return &rules[i]
		}
	}
	return nil
}

// Path is where the rule stands in its policy.
func (r *Rule) Path() evidence.Path {
	field := "ingress"
	if r.Direction == networkingv1.PolicyTypeEgress {
		field = "egress"
	}
	return evidence.NewPath("spec", field).Index(r.Index, "")
}

// PeerPath is where a peer of the rule stands in its policy.
func (r *Rule) PeerPath(i int) evidence.Path {
	field := "from"
	if r.Direction == networkingv1.PolicyTypeEgress {
		field = "to"
	}
	return r.Path().Field(field).Index(i, "")
}

// String names the rule: NetworkPolicy shop/web, spec.egress[0].
func (r *Rule) String() string { return r.Policy.String() + ", " + r.Path().String() }

// Open reports whether the rule allows all traffic of its direction: every TCP port,
// and either no peers or every IPv4 or every IPv6 address.
func (r *Rule) Open() bool {
	if len(r.Ports) > 0 && !slices.ContainsFunc(r.Ports, everyPort) {
		return false
	}
	if len(r.Peers) == 0 {
		return true
	}
	var whole []netip.Prefix
	for _, b := range r.Blocks {
		if len(b.Except) == 0 {
			whole = append(whole, b.CIDR)
		}
	}
	return covered(everyIPv4, whole) || covered(everyIPv6, whole)
}

var (
	everyIPv4 = netip.MustParsePrefix("0.0.0.0/0")
	everyIPv6 = netip.MustParsePrefix("::/0")
)

// everyPort reports whether a rule is not limited by its entry for TCP.
func everyPort(p networkingv1.NetworkPolicyPort) bool {
	switch {
	case p.Protocol != nil && *p.Protocol != corev1.ProtocolTCP:
		return false
	case p.Port == nil:
		return true
	}
	return p.Port.Type == intstr.Int && p.Port.IntVal <= 1 && p.EndPort != nil && *p.EndPort == 65535
}

// Internet reports whether the rule allows addresses without naming any: no
// peers at all, or a block of all addresses, with exceptions or without.
func (r *Rule) Internet() bool {
	return len(r.Peers) == 0 || slices.ContainsFunc(r.Blocks, func(b Block) bool { return b.CIDR.Bits() == 0 })
}

// OnlyDNS reports whether the rule is limited to port 53.
func (r *Rule) OnlyDNS() bool {
	for _, p := range r.Ports {
		if p.Port == nil || p.Port.Type != intstr.Int || p.Port.IntVal != 53 || p.EndPort != nil && *p.EndPort != 53 {
			return false
		}
	}
	return len(r.Ports) > 0
}

// Reaches reports whether the rule allows any address of a range outside the
// cluster on a TCP port; port 0 asks for any port and protocol.
func (r *Rule) Reaches(to netip.Prefix, port int32) bool {
	if !r.allowsPort(port) {
		return false
	}
	return len(r.Peers) == 0 || slices.ContainsFunc(r.Blocks, func(b Block) bool { return b.Overlaps(to) })
}

// allowsPort reads the ports as the API does: TCP when no protocol is given, all
// ports when none is, a range with endPort. A named port is one of a pod, so it
// is no port of an address outside.
func (r *Rule) allowsPort(port int32) bool {
	if port == 0 || len(r.Ports) == 0 {
		return true
	}
	return slices.ContainsFunc(r.Ports, func(p networkingv1.NetworkPolicyPort) bool {
		switch {
		case p.Protocol != nil && *p.Protocol != corev1.ProtocolTCP:
			return false
		case p.Port == nil:
			return true
		case p.Port.Type != intstr.Int:
			return false
		case p.EndPort != nil:
			return p.Port.IntVal <= port && port <= *p.EndPort
		}
		return p.Port.IntVal == port
	})
}

// Overlaps reports whether the block holds any address of a range.
func (b Block) Overlaps(to netip.Prefix) bool {
	to = to.Masked()
	if !b.CIDR.Overlaps(to) {
		return false
	}
	if b.CIDR.Bits() > to.Bits() {
		to = b.CIDR
	}
	return !covered(to, b.Except)
}

// covered reports whether the prefixes together hold all addresses of p. Each
// step halves p and keeps the prefixes that touch the half, so the work is at
// most the number of prefixes times the bits of an address.
func covered(p netip.Prefix, by []netip.Prefix) bool {
	var touching []netip.Prefix
	for _, q := range by {
		if !q.Overlaps(p) {
			continue
		}
		if q.Bits() <= p.Bits() {
			return true
		}
		touching = append(touching, q)
	}
	if len(touching) == 0 {
		return false
	}
	low, high := halves(p)
	return covered(low, touching) && covered(high, touching)
}

// halves splits a masked prefix that is shorter than its address.
func halves(p netip.Prefix) (low, high netip.Prefix) {
	bits := p.Bits() + 1
	low = netip.PrefixFrom(p.Addr(), bits)
	bytes := p.Addr().AsSlice()
	bytes[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	upper, _ := netip.AddrFromSlice(bytes)
	return low, netip.PrefixFrom(upper, bits)
}
