package calico

import (
	"fmt"
	"math"
	"net/netip"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// allowProfile is the profile that Calico has built in: it allows everything.
const allowProfile = "projectcalico-default-allow"

// A host is a HostEndpoint: a node, or one interface of it, to which policies apply.
type host struct {
	labelled
	*evidence.Ref
	spec hostSpec
	// addresses are those that are expected; none where only an interface is named.
	addresses cidr.Set
	// partly is why it is not known which connections of the node it governs; "" when
	// it governs all.
	partly string
}

func (r *reader) host(c *evidence.Custom) error {
	at := evidence.NewPath("spec")
	data, err := specOf(c)
	if err != nil {
		return err
	}
	h := &host{Ref: c.Ref, labelled: labelled{labels: map[string]string{}}}
	unknown, err := decode(data, at, &h.spec)
	if err != nil {
		return err
	}
	switch {
	case h.spec.Node == "":
		return fmt.Errorf("%s: no node", at)
	case h.spec.InterfaceName == "" && len(h.spec.ExpectedIPs) == 0:
		return fmt.Errorf("%s: neither interfaceName nor expectedIPs", at)
	}
	var list []netip.Addr
	for i, text := range h.spec.ExpectedIPs {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return fmt.Errorf("%s: %w", at.Field("expectedIPs").Index(i, ""), err)
		}
		list = append(list, a)
	}
	h.addresses = cidr.Address(list...)
	for _, p := range h.spec.Ports {
		r.hostPorts[p.Name] = true
	}
	if unknown != "" {
		h.partly = unknown
	} else if h.spec.InterfaceName != "*" {
		h.partly = fmt.Sprintf("%s governs what goes through one interface of node %s only", h.Ref, h.spec.Node)
	}
	r.label(h)
	for _, other := range r.hosts {
		if other.spec.Node == h.spec.Node {
			h.partly = fmt.Sprintf("node %s has several HostEndpoints", h.spec.Node)
			other.partly = h.partly
		}
	}
	r.hosts = append(r.hosts, h)
	return nil
}

// label gives a host its labels, its own before those of its profiles. A profile that
// was not read may give it any.
func (r *reader) label(h *host) {
	for i := len(h.spec.Profiles) - 1; i >= 0; i-- {
		name := h.spec.Profiles[i]
		p, read := r.profiles[name]
		if !read && name != allowProfile {
			h.open = func(string) bool { return true }
		}
		for key, value := range p.LabelsToApply {
			h.labels[key] = value
		}
	}
	for key, value := range h.Labels {
		h.labels[key] = value
	}
}

func (r *reader) profile(c *evidence.Custom) error {
	at := evidence.NewPath("spec")
	data, err := specOf(c)
	if err != nil {
		return err
	}
	var spec profileSpec
	unknown, err := decode(data, at, &spec)
	if err == nil && unknown == "" {
		r.profiles[c.Name] = spec
	}
	return err
}

// hostsMeant are the hosts that a policy is about.
type hostsMeant struct {
	// governed are the nodes to which it applies; nil for none.
	governed netpol.Expr
	// any is set when some host is meant, or may be.
	any bool
}

func (r *reader) hostsMeant(e netpol.Expr) hostsMeant {
	var found hostsMeant
	var nodes netpol.Some
	for _, h := range r.hosts {
		is := h.holds(e)
		if is == no {
			continue
		}
		found.any = true
		switch {
		case h.partly != "": // its own policy says that nothing is known
		case is == yes:
			nodes = append(nodes, h.node())
		default:
			nodes = append(nodes, netpol.Unknown{Within: h.node(), Why: fmt.Sprintf("the labels of %s are not known: not all of its profiles were read", h.Ref)})
		}
	}
	if len(nodes) > 0 {
		found.governed = nodes
	}
	return found
}

// node is the endpoint that the host is.
func (h *host) node() netpol.Expr {
	return netpol.Every{netpol.Is{Kind: netpol.OfHost}, netpol.Named{Of: netpol.Node, Name: h.spec.Node}}
}

// hostPolicies says what holds for hosts besides policies: before all of them the ports
// that are always open, after them the profiles, and then nothing is allowed.
func (r *reader) hostPolicies(snap *evidence.Snapshot, objects []*evidence.Custom) {
	for _, h := range r.hosts {
		if h.partly != "" {
			r.unknownHost(h.Ref, h.node(), h.partly)
			continue
		}
		in, out := r.failsafePorts(objects, h.spec.Node)
		r.policies = append(r.policies, &netpol.Policy{
			Ref: h.Ref, Subject: h.node(), Tier: netpol.Tier{Name: failsafes, Order: math.Inf(-1), Default: netpol.Pass},
			Ingress: &netpol.Rules{List: in}, Egress: &netpol.Rules{List: out},
		}, r.profilesOf(h))
	}
	if snap.Cluster != nil {
		return
	}
	for _, c := range objects {
		var spec controllersSpec
		if c.Kind != "KubeControllersConfiguration" || decodeLoosely(c, &spec) != nil || spec.Controllers.Node.HostEndpoint.AutoCreate != "Enabled" {
			continue
		}
		r.unknownHost(c.Ref, netpol.Is{Kind: netpol.OfHost}, "it has HostEndpoints made for all nodes, and their labels are not known")
	}
}

func (r *reader) unknownHost(ref *evidence.Ref, subject netpol.Expr, why string) {
	r.policies = append(r.policies, &netpol.Policy{
		Ref: ref, Subject: subject, Tier: netpol.Tier{Name: forwarding, Order: beforeTiers, Default: netpol.Pass},
		Ingress: &netpol.Rules{Unknown: why}, Egress: &netpol.Rules{Unknown: why},
	})
}

// profilesOf are the rules that are asked after all tiers.
func (r *reader) profilesOf(h *host) *netpol.Policy {
	p := &netpol.Policy{
		Ref: h.Ref, Subject: h.node(), Tier: netpol.Tier{Name: profiles, Order: math.Inf(1), Default: netpol.Deny},
		Ingress: &netpol.Rules{Isolates: true}, Egress: &netpol.Rules{Isolates: true},
	}
	for i, name := range h.spec.Profiles {
		at := evidence.NewPath("spec", "profiles").Index(i, name)
		in, out, why := r.profileRules(name)
		for _, side := range []struct {
			rules *netpol.Rules
			more  []rule
		}{{p.Ingress, in}, {p.Egress, out}} {
			for _, one := range side.more {
				one.Path, one.Index = at, i
				if one.near != nil {
					one.Unknown = fmt.Sprintf("a rule of profile %q is about some hosts only", name)
				}
				side.rules.List = append(side.rules.List, one.Rule)
			}
			if why != "" && side.rules.Unknown == "" {
				side.rules.Unknown = why
			}
		}
	}
	return p
}

func (r *reader) profileRules(name string) (in, out []rule, why string) {
	spec, read := r.profiles[name]
	switch {
	case name == allowProfile:
		all := []rule{{Rule: netpol.Rule{Action: netpol.Allow, Peers: netpol.Everyone(), Ports: netpol.AllPorts()}}}
		return all, all, ""
	case !read:
		return nil, nil, fmt.Sprintf("profile %q is not among what was read", name)
	}
	in, errIn := r.rules(spec.Ingress, false, "", evidence.NewPath("spec", "ingress"))
	out, errOut := r.rules(spec.Egress, true, "", evidence.NewPath("spec", "egress"))
	if errIn != nil || errOut != nil {
		return nil, nil, fmt.Sprintf("profile %q is not valid", name)
	}
	return in, out, ""
}

// failsafePorts are the rules of ports that Calico leaves open on every host, as
// configured for all nodes or for one.
func (r *reader) failsafePorts(objects []*evidence.Custom, node string) (in, out []netpol.Rule) {
	inbound := []safePort{
		{Protocol: "tcp", Port: 22}, {Protocol: "udp", Port: 68}, {Protocol: "tcp", Port: 179}, {Protocol: "tcp", Port: 2379}, {Protocol: "tcp", Port: 2380},
		{Protocol: "tcp", Port: 5473}, {Protocol: "tcp", Port: 6443}, {Protocol: "tcp", Port: 6666}, {Protocol: "tcp", Port: 6667},
	}
	outbound := []safePort{
		{Protocol: "udp", Port: 53}, {Protocol: "udp", Port: 67}, {Protocol: "tcp", Port: 179}, {Protocol: "tcp", Port: 2379}, {Protocol: "tcp", Port: 2380},
		{Protocol: "tcp", Port: 5473}, {Protocol: "tcp", Port: 6443}, {Protocol: "tcp", Port: 6666}, {Protocol: "tcp", Port: 6667},
	}
	for _, name := range []string{"default", "node." + node} {
		for _, c := range objects {
			var spec felixSpec
			if c.Kind != "FelixConfiguration" || c.Name != name || decodeLoosely(c, &spec) != nil {
				continue
			}
			if spec.Inbound != nil {
				inbound = *spec.Inbound
			}
			if spec.Outbound != nil {
				outbound = *spec.Outbound
			}
		}
	}
	return safeRules(inbound), safeRules(outbound)
}

func safeRules(list []safePort) (rules []netpol.Rule) {
	for i, p := range list {
		protocol := ports.TCP
		switch strings.ToLower(p.Protocol) {
		case "udp":
			protocol = ports.UDP
		case "sctp":
			protocol = ports.SCTP
		}
		one := netpol.Rule{
			Action: netpol.Allow, Peers: netpol.Everyone(), Ports: netpol.Ports{Set: ports.Of(protocol, p.Port, p.Port)},
			Path: evidence.NewPath("spec"), Index: i,
		}
		if p.Net != "" {
			net, err := networks([]string{p.Net})
			if err != nil {
				continue
			}
			one.Peers = netpol.Address{In: net}
		}
		rules = append(rules, one)
	}
	return rules
}
