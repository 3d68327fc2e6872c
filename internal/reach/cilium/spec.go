package cilium

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// A specReader reads one object's specs.
type specReader struct {
	*reader
	ref *evidence.Ref
	// namespace is that of the policy, "" for one of the whole cluster.
	namespace string
	// initial is set for a policy that speaks of pods which have no labels yet.
	initial bool
	// denials are the object's own.
	denials map[scope][]denial
	// doubts are why it is not known whether the agents take the policy at all.
	doubts []string
}

func (s *specReader) doubt(why string) { s.doubts = append(s.doubts, why) }

// spec reads one spec. It gives nil for one that the agents are known to leave out.
func (s *specReader) spec(raw json.RawMessage, at evidence.Path) (*netpol.Policy, error) {
	read, doubt, err := decode[spec](raw, at)
	if err != nil {
		return nil, err
	}
	if len(read.Ingress)+len(read.IngressDeny)+len(read.Egress)+len(read.EgressDeny) == 0 {
		return nil, fmt.Errorf("%s: has no rule: ingress, ingressDeny, egress and egressDeny are empty", at)
	}
	s.doubts, s.initial = nil, false
	p := &netpol.Policy{Ref: s.ref, Tier: tier}
	hosts := given(read.NodeSelector)
	switch {
	case hosts == given(read.EndpointSelector):
		return nil, fmt.Errorf("%s: exactly one of endpointSelector and nodeSelector must be given", at)
	case hosts && s.ref.Kind == "CiliumNetworkPolicy":
		return nil, fmt.Errorf("%s: only a CiliumClusterwideNetworkPolicy can be about nodes", at.Field("nodeSelector"))
	case hosts:
		p.Subject, err = s.hosts(read.NodeSelector, at.Field("nodeSelector"))
	default:
		p.Subject, err = s.subject(read.EndpointSelector, at.Field("endpointSelector"))
	}
	if err != nil {
		return nil, err
	}
	deny := read.EnableDefaultDeny
	if p.Ingress, err = s.side(netpol.Ingress, read.Ingress, read.IngressDeny, deny.Ingress, hosts, at); err != nil {
		return nil, err
	}
	if p.Egress, err = s.side(netpol.Egress, read.Egress, read.EgressDeny, deny.Egress, hosts, at); err != nil {
		return nil, err
	}
	if hosts && s.settings.from != nil && s.settings.value("enable-host-firewall") != "true" {
		return nil, nil
	}
	if doubt != "" {
		// A field that is not known may be about either direction.
		p.Ingress, p.Egress = unknownSide(p.Ingress, doubt), unknownSide(p.Egress, doubt)
	}
	for _, why := range s.doubts {
		for _, side := range []*netpol.Rules{p.Ingress, p.Egress} {
			if side != nil {
				side.Unknown = why
			}
		}
	}
	return p, nil
}

func unknownSide(r *netpol.Rules, why string) *netpol.Rules {
	if r == nil {
		r = &netpol.Rules{}
	}
	r.Unknown = why
	return r
}

// subject reads a selector of the pods that a policy is about: of its own
// namespace only, whatever namespace the selector asks for with the source k8s.
func (s *specReader) subject(raw json.RawMessage, at evidence.Path) (netpol.Expr, error) {
	labels, doubt, err := readSelector(raw, at)
	if err != nil {
		return nil, err
	}
	every := netpol.Every{netpol.Is{Kind: netpol.OfPod}}
	if s.namespace != "" {
		every = append(every, netpol.Named{Of: netpol.Namespace, Name: s.namespace})
	}
	for _, l := range labels {
		s.initial = s.initial || l.source == "reserved" && l.key == "init"
		if s.namespace != "" && l.matchLabel && l.source == "k8s" && l.key == namespaceKey {
			continue
		}
		every = append(every, s.pod(l))
	}
	if doubt != "" {
		return netpol.Unknown{Within: every[:min(2, len(every))], Why: doubt}, nil
	}
	return every, nil
}

// hosts reads a selector of the nodes that a policy is about. The agents leave such
// policies out unless they run with the host firewall.
func (s *specReader) hosts(raw json.RawMessage, at evidence.Path) (netpol.Expr, error) {
	labels, doubt, err := readSelector(raw, at)
	if err != nil {
		return nil, err
	}
	if s.settings.from == nil {
		s.doubt(fmt.Sprintf("%s: policies about nodes are in force only where Cilium runs with enable-host-firewall", at))
	}
	if doubt != "" {
		return netpol.Unknown{Within: netpol.Is{Kind: netpol.OfHost}, Why: doubt}, nil
	}
	return nodeLabels(labels), nil
}

// side reads the rules of a direction. Any rule, even one that matches nothing or
// that denies, isolates, unless enableDefaultDeny says otherwise.
func (s *specReader) side(d netpol.Direction, allow, deny []json.RawMessage, isolates *bool, hosts bool, at evidence.Path) (*netpol.Rules, error) {
	if len(allow)+len(deny) == 0 {
		return nil, nil
	}
	side := &netpol.Rules{Isolates: isolates == nil || *isolates || s.settings.value("enable-non-default-deny-policies") == "false"}
	for _, list := range []struct {
		raws   []json.RawMessage
		field  string
		action netpol.Action
	}{
		{deny, d.String() + "Deny", netpol.Deny},
		{allow, d.String(), netpol.Allow},
	} {
		for i, raw := range list.raws {
			r := ruleReader{specReader: s, direction: d, action: list.action, hosts: hosts}
			rules, err := r.rule(raw, at.Field(list.field).Index(i, ""))
			if err != nil {
				return nil, err
			}
			for _, rule := range rules {
				rule.Index = i
				side.List = append(side.List, rule)
			}
		}
	}
	return side, nil
}

// A ruleReader reads the rules of one list.
type ruleReader struct {
	*specReader
	direction netpol.Direction
	action    netpol.Action
	// hosts is set for a policy about nodes.
	hosts bool
}

// rule reads one rule, which is as many as it has entries of ports. Without peers it
// is about everyone, without peers and ports it matches nothing.
func (r ruleReader) rule(raw json.RawMessage, at evidence.Path) ([]netpol.Rule, error) {
	p, fields, doubt, err := r.fields(raw, at)
	if err != nil {
		return nil, err
	}
	some, limits, err := r.peers(p)
	if err != nil {
		return nil, err
	}
	portRules, err := r.ports(fields, at)
	if err != nil {
		return nil, err
	}
	authentication, err := r.authentication(fields.Authentication, at.Field("authentication"))
	if err != nil {
		return nil, err
	}
	limits = and(limits, authentication)
	if r.action == netpol.Deny && (len(p.services) > 0 || len(p.fqdns) > 0 || given(fields.Authentication)) {
		// What is left of the rule without them may mean everyone.
		some, limits = netpol.Some{netpol.Everyone()}, ""
		doubt = and(doubt, fmt.Sprintf("%s: Cilium does not take toServices, toFQDNs and authentication in a rule that denies", at))
	}
	narrowed := len(fields.ToPorts)+len(fields.ICMPs) > 0
	if !narrowed && (len(some) > 0 || doubt != "") {
		portRules = []portsOfRule{{Rule: netpol.Rule{Ports: netpol.AllPorts(), Path: at}}}
	}
	if p.nobody() && doubt == "" {
		return nil, nil
	}
	var whom netpol.Expr = some
	switch len(some) {
	case 0:
		whom = netpol.Everyone()
	case 1:
		whom = some[0]
	}
	var rules []netpol.Rule
	for _, rule := range portRules {
		rule.Action, rule.Peers = r.action, whom
		rule.Limits = and(limits, rule.Limits)
		rule.Unknown = and(doubt, rule.Unknown)
		if r.action == netpol.Deny && len(rule.types) > 0 {
			s := r.scope(rule)
			r.denials[s] = append(r.denials[s], denial{rule.types, whom})
			continue
		}
		if len(rule.types) > 0 {
			rule.Peers = r.undenied(rule)
		}
		rules = append(rules, rule.Rule)
	}
	return rules, nil
}

// and joins two sayings, either of which may be "".
func and(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// fields decodes a rule of either direction.
func (r ruleReader) fields(raw json.RawMessage, at evidence.Path) (*peers, portFields, string, error) {
	if r.direction == netpol.Ingress {
		f, doubt, err := decode[ingressRule](raw, at)
		return &peers{
			prefix: "from", at: at, endpoints: f.Endpoints, requires: f.Requires, cidr: f.CIDR, cidrSet: f.CIDRSet,
			entities: f.Entities, groups: f.Groups, nodes: f.Nodes,
		}, f.portFields, doubt, err
	}
	f, doubt, err := decode[egressRule](raw, at)
	return &peers{
		prefix: "to", at: at, endpoints: f.Endpoints, requires: f.Requires, cidr: f.CIDR, cidrSet: f.CIDRSet,
		entities: f.Entities, groups: f.Groups, nodes: f.Nodes, services: f.Services, fqdns: f.FQDNs,
	}, f.portFields, doubt, err
}

// authentication says what the two ends must prove to each other.
func (r ruleReader) authentication(raw json.RawMessage, at evidence.Path) (string, error) {
	if !given(raw) {
		return "", nil
	}
	a, doubt, err := decode[struct {
		Mode string `json:"mode"`
	}](raw, at)
	if err != nil {
		return "", err
	}
	switch a.Mode {
	case "disabled":
		return doubt, nil
	case "required":
		return "with mutual authentication", nil
	case "test-always-fail":
		return "with an authentication that always fails", nil
	}
	return "", fmt.Errorf("%s: %w", at.Field("mode"), errors.New("is none of disabled, required and test-always-fail"))
}
