package oracletest

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

const policyAPI = "policy.networking.k8s.io/"

// An adminSpec is the spec of an AdminNetworkPolicy, a BaselineAdminNetworkPolicy
// (without Priority) or a ClusterNetworkPolicy (with Tier).
type adminSpec struct {
	Tier     string       `json:"tier,omitempty"`
	Priority *int         `json:"priority,omitempty"`
	Subject  adminSubject `json:"subject"`
	Ingress  []adminRule  `json:"ingress,omitempty"`
	Egress   []adminRule  `json:"egress,omitempty"`
}

type adminSubject struct {
	Namespaces *metav1.LabelSelector `json:"namespaces,omitempty"`
	Pods       *namespacedPod        `json:"pods,omitempty"`
}

type namespacedPod struct {
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector"`
	PodSelector       metav1.LabelSelector `json:"podSelector"`
}

// An adminRule has From or To by its direction, and Ports, or in a
// ClusterNetworkPolicy Protocols.
type adminRule struct {
	Name      string          `json:"name,omitempty"`
	Action    string          `json:"action"`
	From      []adminPeer     `json:"from,omitempty"`
	To        []adminPeer     `json:"to,omitempty"`
	Ports     []adminPort     `json:"ports,omitempty"`
	Protocols []adminProtocol `json:"protocols,omitempty"`
}

type adminPeer struct {
	Namespaces *metav1.LabelSelector `json:"namespaces,omitempty"`
	Pods       *namespacedPod        `json:"pods,omitempty"`
	Nodes      *metav1.LabelSelector `json:"nodes,omitempty"`
	Networks   []string              `json:"networks,omitempty"`
	// DomainNames are those of addresses that nobody knows.
	DomainNames []string `json:"domainNames,omitempty" oracle:"vague"`
}

type adminPort struct {
	PortNumber *adminNumber `json:"portNumber,omitempty"`
	NamedPort  string       `json:"namedPort,omitempty"`
	PortRange  *adminRange  `json:"portRange,omitempty"`
}

type adminNumber struct {
	Protocol corev1.Protocol `json:"protocol"`
	Port     int             `json:"port"`
}

type adminRange struct {
	Protocol corev1.Protocol `json:"protocol,omitempty"`
	Start    int             `json:"start"`
	End      int             `json:"end"`
}

type adminProtocol struct {
	TCP                  *adminTransport `json:"tcp,omitempty"`
	UDP                  *adminTransport `json:"udp,omitempty"`
	SCTP                 *adminTransport `json:"sctp,omitempty"`
	DestinationNamedPort string          `json:"destinationNamedPort,omitempty"`
}

type adminTransport struct {
	DestinationPort *adminDestination `json:"destinationPort,omitempty"`
}

type adminDestination struct {
	Number int         `json:"number,omitempty"`
	Range  *adminRange `json:"range,omitempty"`
}

// kubernetes is the API's own text: the admin tier, then NetworkPolicies, then the
// baseline tier, at each end that is a pod.
func (w *world) kubernetes(p packet) bool {
	for _, d := range []netpol.Direction{netpol.Egress, netpol.Ingress} {
		subject, _ := p.sides(d)
		if subject.own() && !w.kubernetesSide(p, d) {
			return false
		}
	}
	return true
}

func (w *world) kubernetesSide(p packet, d netpol.Direction) bool {
	switch w.admin(p, d, "Admin") {
	case "Accept":
		return true
	case "Deny":
		return false
	}
	if isolated, allowed := w.networkPolicies(p, d); isolated {
		return allowed
	}
	subject, _ := p.sides(d)
	if p.final && w.isSelected(subject.pod) {
		return true
	}
	return w.admin(p, d, "Baseline") != "Deny"
}

// isIsolated reports whether a NetworkPolicy is about a pod in a direction.
func (w *world) isIsolated(p *pod, d netpol.Direction) bool {
	return slices.ContainsFunc(w.policies, func(o *object) bool {
		spec, ok := o.spec.(*networkingv1.NetworkPolicySpec)
		return ok && o.namespace == p.namespace && selects(&spec.PodSelector, p.labels) && speaks(spec, d)
	})
}

// isSelected reports whether a NetworkPolicy is about a pod, in whatever direction.
func (w *world) isSelected(p *pod) bool {
	return slices.ContainsFunc(w.policies, func(o *object) bool {
		spec, ok := o.spec.(*networkingv1.NetworkPolicySpec)
		return ok && o.namespace == p.namespace && selects(&spec.PodSelector, p.labels)
	})
}

// networkPolicies says whether a NetworkPolicy isolates the end, and if so whether
// any of them allows the packet.
func (w *world) networkPolicies(p packet, d netpol.Direction) (isolated, allowed bool) {
	subject, peer := p.sides(d)
	for _, o := range w.policies {
		spec, ok := o.spec.(*networkingv1.NetworkPolicySpec)
		if !ok || o.namespace != subject.pod.namespace || !selects(&spec.PodSelector, subject.pod.labels) || !speaks(spec, d) {
			continue
		}
		isolated = true
		if d == netpol.Ingress && peer.host() != nil && p.local {
			allowed = true // what comes from a pod's own node is let in
		}
		for _, r := range spec.Ingress {
			if d == netpol.Ingress && w.isPeer(p, o, r.From, peer) && atPort(p, r.Ports) {
				allowed = true
			}
		}
		for _, r := range spec.Egress {
			if d == netpol.Egress && w.isPeer(p, o, r.To, peer) && atPort(p, r.Ports) {
				allowed = true
			}
		}
	}
	return isolated, allowed
}

// speaks reports whether a NetworkPolicy is about a direction: policyTypes, and
// without them always ingress, and egress where there are egress rules.
func speaks(spec *networkingv1.NetworkPolicySpec, d netpol.Direction) bool {
	if len(spec.PolicyTypes) == 0 {
		return d == netpol.Ingress || len(spec.Egress) > 0
	}
	name := networkingv1.PolicyTypeIngress
	if d == netpol.Egress {
		name = networkingv1.PolicyTypeEgress
	}
	return slices.Contains(spec.PolicyTypes, name)
}

func (w *world) isPeer(p packet, o *object, list []networkingv1.NetworkPolicyPeer, e end) bool {
	if len(list) == 0 {
		return true
	}
	for _, peer := range list {
		if peer.IPBlock != nil {
			if inBlock(peer.IPBlock.CIDR, peer.IPBlock.Except, p.address(e)) {
				return true
			}
			continue
		}
		if !e.own() {
			continue
		}
		if peer.NamespaceSelector == nil && e.pod.namespace != o.namespace {
			continue
		}
		if peer.NamespaceSelector != nil && !selects(peer.NamespaceSelector, w.namespace(e.pod.namespace)) {
			continue
		}
		if peer.PodSelector == nil || selects(peer.PodSelector, e.pod.labels) {
			return true
		}
	}
	return false
}

func inBlock(block string, except []string, a netip.Addr) bool {
	return within(block, a) && !slices.ContainsFunc(except, func(e string) bool { return within(e, a) })
}

func atPort(p packet, list []networkingv1.NetworkPolicyPort) bool {
	if len(list) == 0 {
		return true
	}
	for _, port := range list {
		protocol := corev1.ProtocolTCP
		if port.Protocol != nil {
			protocol = *port.Protocol
		}
		if protocol != p.transport() {
			continue
		}
		switch {
		case port.Port == nil:
			return true
		case port.Port.Type == intstr.String:
			if p.named(port.Port.StrVal, protocol) {
				return true
			}
		case port.EndPort != nil:
			if int(p.port) >= port.Port.IntValue() && int32(p.port) <= *port.EndPort {
				return true
			}
		case int(p.port) == port.Port.IntValue():
			return true
		}
	}
	return false
}

// admin is what a tier of the cluster's administrators does with a packet: "Accept",
// "Deny" or, where no rule matches or the first that does says so, "Pass".
func (w *world) admin(p packet, d netpol.Direction, tier string) string {
	subject, peer := p.sides(d)
	var list []*object
	for _, o := range w.policies {
		if spec, ok := o.spec.(*adminSpec); ok && adminTier(o, spec) == tier && w.inSubject(spec.Subject, subject.pod) {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b *object) int {
		return cmp.Compare(priority(a), priority(b))
	})
	for _, o := range list {
		spec := o.spec.(*adminSpec)
		rules := spec.Ingress
		if d == netpol.Egress {
			rules = spec.Egress
		}
		for _, r := range rules {
			if !w.adminMatches(p, r, peer) {
				continue
			}
			if r.Action == "Allow" {
				return "Accept"
			}
			return r.Action
		}
	}
	return "Pass"
}

func priority(o *object) int {
	if p := o.spec.(*adminSpec).Priority; p != nil {
		return *p
	}
	return 0 // there is but one BaselineAdminNetworkPolicy
}

func adminTier(o *object, spec *adminSpec) string {
	switch o.kind {
	case "AdminNetworkPolicy":
		return "Admin"
	case "BaselineAdminNetworkPolicy":
		return "Baseline"
	}
	return spec.Tier
}

func (w *world) inSubject(s adminSubject, p *pod) bool {
	return w.inNamespaces(s.Namespaces, p) || w.isNamespacedPod(s.Pods, p)
}

func (w *world) inNamespaces(s *metav1.LabelSelector, p *pod) bool {
	return s != nil && selects(s, w.namespace(p.namespace))
}

func (w *world) isNamespacedPod(s *namespacedPod, p *pod) bool {
	return s != nil && selects(&s.NamespaceSelector, w.namespace(p.namespace)) && selects(&s.PodSelector, p.labels)
}

func (w *world) adminMatches(p packet, r adminRule, e end) bool {
	peers := append(slices.Clone(r.From), r.To...)
	return slices.ContainsFunc(peers, func(peer adminPeer) bool {
		switch {
		case peer.Networks != nil:
			return inAny(peer.Networks, p.address(e))
		case peer.DomainNames != nil:
			return e.external.IsValid() && p.odd
		case peer.Nodes != nil:
			return e.host() != nil && selects(peer.Nodes, e.host().labels)
		}
		return e.own() && (w.inNamespaces(peer.Namespaces, e.pod) || w.isNamespacedPod(peer.Pods, e.pod))
	}) && (len(r.Ports)+len(r.Protocols) == 0 || atAdminPort(p, r))
}

func inAny(blocks []string, a netip.Addr) bool {
	return slices.ContainsFunc(blocks, func(b string) bool { return within(b, a) })
}

func atAdminPort(p packet, r adminRule) bool {
	port := int(p.port)
	for _, a := range r.Ports {
		switch {
		case a.PortNumber != nil:
			if p.transport() == a.PortNumber.Protocol && port == a.PortNumber.Port {
				return true
			}
		case a.PortRange != nil:
			if p.transport() == cmp.Or(a.PortRange.Protocol, corev1.ProtocolTCP) && port >= a.PortRange.Start && port <= a.PortRange.End {
				return true
			}
		case p.named(a.NamedPort, ""):
			return true
		}
	}
	for _, a := range r.Protocols {
		if a.DestinationNamedPort != "" && p.named(a.DestinationNamedPort, "") {
			return true
		}
		for protocol, transport := range map[ports.Protocol]*adminTransport{ports.TCP: a.TCP, ports.UDP: a.UDP, ports.SCTP: a.SCTP} {
			if transport == nil || p.protocol != protocol {
				continue
			}
			d := transport.DestinationPort
			if d == nil || d.Range == nil && port == d.Number || d.Range != nil && port >= d.Range.Start && port <= d.Range.End {
				return true
			}
		}
	}
	return false
}
