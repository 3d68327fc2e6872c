package kubernetes

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// calicoOrder is the order that Calico gives every NetworkPolicy in its tier "default".
const calicoOrder = 1000

// NetworkPolicyTier is where NetworkPolicies are weighed, and in which order there. In all of them a rule can
// only allow, so that their order among themselves does not matter.
func NetworkPolicyTier(e netpol.Enforcement) (t netpol.Tier, order float64) {
	t = netpol.Tier{Name: "NetworkPolicy", Order: netpol.DefaultOrder, Default: netpol.Deny}
	switch e {
	case netpol.Cilium:
		t.Name, t.DenyFirst = "Cilium", true
	case netpol.Calico:
		t.Name, order = "default", calicoOrder
	}
	return t, order
}

func networkPolicy(o *evidence.Object[networkingv1.NetworkPolicy], e netpol.Enforcement) (*netpol.Policy, error) {
	if o.APIVersion != networkingv1.SchemeGroupVersion.String() {
		return nil, fmt.Errorf("apiVersion %s is not served", o.APIVersion)
	}
	spec, at := &o.Value.Spec, evidence.NewPath("spec")
	pods, err := selector(netpol.Pod, &spec.PodSelector, at.Field("podSelector"))
	if err != nil {
		return nil, err
	}
	r := ruleReader{namespace: o.Namespace, enforcement: e}
	ingress, err := r.ingress(spec.Ingress, at.Field("ingress"))
	if err != nil {
		return nil, err
	}
	egress, err := r.egress(spec.Egress, at.Field("egress"))
	if err != nil {
		return nil, err
	}
	types, err := policyTypes(spec, at.Field("policyTypes"))
	if err != nil {
		return nil, err
	}
	p := &netpol.Policy{Ref: o.Ref, Subject: append(netpol.Every{
		netpol.Is{Kind: netpol.OfPod}, netpol.Named{Of: netpol.Namespace, Name: o.Namespace},
	}, pods...)}
	p.Tier, p.Order = NetworkPolicyTier(e)
	if slices.Contains(types, networkingv1.PolicyTypeIngress) {
		p.Ingress = &netpol.Rules{Isolates: true, List: ingress}
	}
	if slices.Contains(types, networkingv1.PolicyTypeEgress) {
		p.Egress = &netpol.Rules{Isolates: true, List: egress}
	}
	if o.Surplus != "" {
		obscure(p, fmt.Sprintf("%s has no field %s: the API server drops it or refuses the object", o.Kind, o.Surplus))
	}
	return p, nil
}

// obscure has a policy do in its directions what nobody knows. That it does nothing in the
// others is certain.
func obscure(p *netpol.Policy, why string) {
	for _, rules := range []*netpol.Rules{p.Ingress, p.Egress} {
		if rules != nil {
			rules.Unknown = why
		}
	}
}

// policyTypes gives the directions that a policy isolates: when the list is
// empty, ingress always and egress only if there are egress rules.
func policyTypes(spec *networkingv1.NetworkPolicySpec, at evidence.Path) ([]networkingv1.PolicyType, error) {
	if len(spec.PolicyTypes) > 2 {
		return nil, fmt.Errorf("%s: more than two", at)
	}
	for i, t := range spec.PolicyTypes {
		if t != networkingv1.PolicyTypeIngress && t != networkingv1.PolicyTypeEgress {
			return nil, fmt.Errorf("%s: %q is neither Ingress nor Egress", at.Index(i, ""), t)
		}
	}
	switch {
	case len(spec.PolicyTypes) > 0:
		return spec.PolicyTypes, nil
	case len(spec.Egress) > 0:
		return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}, nil
	}
	return []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}, nil
}

// A ruleReader reads the rules of a NetworkPolicy.
type ruleReader struct {
	namespace   string
	enforcement netpol.Enforcement
}

func (r ruleReader) ingress(list []networkingv1.NetworkPolicyIngressRule, at evidence.Path) (rules []netpol.Rule, err error) {
	for i, given := range list {
		at := at.Index(i, "")
		rule, err := r.rule(given.Ports, at, given.From, at.Field("from"))
		if err != nil {
			return nil, err
		}
		rule.Index = i
		rules = append(rules, rule)
	}
	return rules, nil
}

func (r ruleReader) egress(list []networkingv1.NetworkPolicyEgressRule, at evidence.Path) (rules []netpol.Rule, err error) {
	for i, given := range list {
		at := at.Index(i, "")
		rule, err := r.rule(given.Ports, at, given.To, at.Field("to"))
		if err != nil {
			return nil, err
		}
		rule.Index = i
		rules = append(rules, rule)
	}
	return rules, nil
}

func (r ruleReader) rule(given []networkingv1.NetworkPolicyPort, at evidence.Path,
	peers []networkingv1.NetworkPolicyPeer, peersAt evidence.Path) (netpol.Rule, error) {
	rule := netpol.Rule{Action: netpol.Allow, Path: at, Ports: netpol.AllPorts(), Peers: netpol.Everyone()}
	if len(given) > 0 {
		rule.Ports = netpol.Ports{}
	}
	for i := range given {
		if err := addPort(&rule.Ports, &given[i]); err != nil {
			return netpol.Rule{}, fmt.Errorf("%s: %w", at.Field("ports").Index(i, ""), err)
		}
	}
	if len(peers) == 0 {
		return rule, nil
	}
	var some netpol.Some
	for i := range peers {
		peer, err := r.peer(&peers[i], peersAt.Index(i, ""))
		if err != nil {
			return netpol.Rule{}, err
		}
		some = append(some, peer)
	}
	rule.Peers = some
	return rule, nil
}

func (r ruleReader) peer(given *networkingv1.NetworkPolicyPeer, at evidence.Path) (netpol.Expr, error) {
	switch {
	case given.PodSelector == nil && given.NamespaceSelector == nil && given.IPBlock == nil:
		return nil, fmt.Errorf("%s: names no peer", at)
	case given.IPBlock == nil:
		return r.pods(given, at)
	case given.PodSelector != nil || given.NamespaceSelector != nil:
		return nil, fmt.Errorf("%s: ipBlock cannot stand beside a selector", at)
	}
	set, err := block(given.IPBlock, at.Field("ipBlock"))
	if err != nil {
		return nil, err
	}
	return addresses(set, r.enforcement), nil
}

// pods reads a peer of selectors: without namespaceSelector it means the pods of
// the policy's own namespace.
func (r ruleReader) pods(given *networkingv1.NetworkPolicyPeer, at evidence.Path) (netpol.Expr, error) {
	peer := netpol.Every{netpol.Is{Kind: netpol.OfPod}}
	if given.NamespaceSelector == nil {
		peer = append(peer, netpol.Named{Of: netpol.Namespace, Name: r.namespace})
	}
	namespaces, err := selector(netpol.Namespace, given.NamespaceSelector, at.Field("namespaceSelector"))
	if err != nil {
		return nil, err
	}
	pods, err := selector(netpol.Pod, given.PodSelector, at.Field("podSelector"))
	if err != nil {
		return nil, err
	}
	return append(append(peer, namespaces...), pods...), nil
}

func block(given *networkingv1.IPBlock, at evidence.Path) (cidr.Set, error) {
	whole, err := prefix(given.CIDR, at.Field("cidr"))
	if err != nil {
		return cidr.Set{}, err
	}
	var except []netip.Prefix
	for i, text := range given.Except {
		at := at.Field("except").Index(i, "")
		p, err := prefix(text, at)
		if err != nil {
			return cidr.Set{}, err
		}
		if p.Bits() <= whole.Bits() || !whole.Contains(p.Addr()) {
			return cidr.Set{}, fmt.Errorf("%s: %s is not a part of %s", at, text, given.CIDR)
		}
		except = append(except, p)
	}
	return cidr.Of(whole).Minus(cidr.Of(except...)), nil
}

// prefix parses a block. Address bits beyond the prefix are cleared: new API servers
// refuse them, but keep policies that have them.
func prefix(text string, at evidence.Path) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%s: %w", at, err)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

func addPort(to *netpol.Ports, given *networkingv1.NetworkPolicyPort) error {
	name := corev1.ProtocolTCP
	if given.Protocol != nil {
		name = *given.Protocol
	}
	protocol, ok := protocolOf(string(name))
	if !ok {
		return fmt.Errorf("protocol %q is none of TCP, UDP and SCTP", name)
	}
	switch {
	case given.Port == nil && given.EndPort != nil:
		return errors.New("endPort without port")
	case given.Port == nil:
		to.Set = to.Set.Union(ports.Every(protocol))
		return nil
	case given.Port.Type == intstr.Int:
		return addRange(to, protocol, given.Port.IntVal, given.EndPort)
	case given.EndPort != nil:
		return errors.New("endPort with a port that is a name")
	}
	for _, fault := range validation.IsValidPortName(given.Port.StrVal) {
		return fmt.Errorf("port %q: %s", given.Port.StrVal, fault)
	}
	to.Named = append(to.Named, netpol.NamedPort{Protocol: protocol, Name: given.Port.StrVal})
	return nil
}

func addRange(to *netpol.Ports, p ports.Protocol, first int32, end *int32) error {
	last := first
	if end != nil {
		last = *end
	}
	switch {
	case first < 1 || first > 65535:
		return fmt.Errorf("port %d is not between 1 and 65535", first)
	case last < first || last > 65535:
		return fmt.Errorf("endPort %d is not between port %d and 65535", last, first)
	}
	to.Set = to.Set.Union(ports.Of(p, uint16(first), uint16(last)))
	return nil
}

// protocolOf reads the name of a protocol that has ports; the API knows no others.
func protocolOf(name string) (ports.Protocol, bool) {
	switch corev1.Protocol(name) {
	case corev1.ProtocolTCP:
		return ports.TCP, true
	case corev1.ProtocolUDP:
		return ports.UDP, true
	case corev1.ProtocolSCTP:
		return ports.SCTP, true
	}
	return 0, false
}
