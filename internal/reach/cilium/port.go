package cilium

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// most is how many ports, and how many types of ICMP, the agents take in one entry.
const most = 40

// ports reads the ports of a rule: one rule, without its peers, for each entry that
// has any. An entry without ports matches nothing.
func (r ruleReader) ports(f portFields, at evidence.Path) (rules []portsOfRule, err error) {
	if len(f.ToPorts) > 0 && len(f.ICMPs) > 0 {
		return nil, fmt.Errorf("%s: icmps cannot stand beside toPorts", at)
	}
	for i, raw := range f.ToPorts {
		at := at.Field("toPorts").Index(i, "")
		p, doubt, err := decode[portRule](raw, at)
		if err != nil {
			return nil, err
		}
		rule, err := r.portRule(p, at)
		if err != nil {
			return nil, err
		}
		if doubt != "" && len(p.Ports) == 0 {
			rule.Ports = netpol.AllPorts()
		}
		rule.Unknown = and(doubt, rule.Unknown)
		if doubt != "" || len(p.Ports) > 0 {
			rules = append(rules, portsOfRule{Rule: rule})
		}
	}
	for i, raw := range f.ICMPs {
		at := at.Field("icmps").Index(i, "")
		p, doubt, err := decode[icmpRule](raw, at)
		if err != nil {
			return nil, err
		}
		list, err := r.icmp(p, at)
		if err != nil {
			return nil, err
		}
		for _, rule := range list {
			rule.Unknown = doubt
			rules = append(rules, rule)
		}
	}
	return rules, nil
}

func (r ruleReader) portRule(p portRule, at evidence.Path) (netpol.Rule, error) {
	rule := netpol.Rule{Path: at}
	if len(p.Ports) > most {
		return rule, fmt.Errorf("%s: more than %d", at.Field("ports"), most)
	}
	requests, limits, err := r.requests(p, at)
	if err != nil {
		return rule, err
	}
	for i, pp := range p.Ports {
		at := at.Field("ports").Index(i, "")
		number, err := r.port(&rule, pp)
		if err != nil {
			return rule, fmt.Errorf("%s: %w", at, err)
		}
		if err := requests.takes(pp, number); err != nil {
			return rule, fmt.Errorf("%s: %w", at, err)
		}
	}
	if len(requests.DNS) > 0 && len(p.Ports) == 0 {
		return rule, fmt.Errorf("%s: DNS rules need a port", at)
	}
	rule.Limits = limits
	if r.action == netpol.Deny && (limits != "" || given(p.Rules) || given(p.Listener)) {
		rule.Limits, rule.Unknown = "", fmt.Sprintf("%s: Cilium takes only ports in a rule that denies", at)
	}
	return rule, nil
}

// takes reports whether rules of requests can stand beside a port.
func (q requestRules) takes(p portProtocol, number uint16) error {
	switch {
	case len(q.HTTP)+len(q.DNS) == 0:
	case number == 0 && !isServiceName(p.Port):
		return errors.New("rules of requests need a port other than 0")
	case len(q.DNS) > 0 && !isServiceName(p.Port) && p.EndPort > int32(number):
		return errors.New("DNS rules take no range of ports")
	case len(q.DNS) == 0 && p.Protocol != "TCP":
		return errors.New("HTTP rules need the protocol TCP")
	}
	return nil
}

var serviceName = regexp.MustCompile(`^([a-zA-Z0-9]-?)*[a-zA-Z](-?[a-zA-Z0-9])*$`)

// isServiceName reports whether a port is written by name (RFC 6335, 5.1).
func isServiceName(s string) bool { return len(s) <= 15 && serviceName.MatchString(s) }

// port adds one port to a rule, and gives its number, 0 for one by name. Port 0 is
// every port, whatever the endPort; one that is not above the port says nothing.
func (r ruleReader) port(rule *netpol.Rule, p portProtocol) (uint16, error) {
	protocols, portless, err := protocolsOf(p.Protocol)
	if err != nil {
		return 0, err
	}
	if p.EndPort < 0 || p.EndPort > 65535 {
		return 0, fmt.Errorf("endPort %d is no port", p.EndPort)
	}
	if isServiceName(p.Port) && !portless {
		for _, protocol := range protocols {
			rule.Ports.Named = append(rule.Ports.Named, netpol.NamedPort{Protocol: protocol, Name: strings.ToLower(p.Port)})
			if p.EndPort > 0 && r.direction == netpol.Ingress {
				// The agents take the ports from the one that the pod calls so to the last.
				rule.Ports.Set = rule.Ports.Set.Union(ports.Of(protocol, 1, uint16(p.EndPort)))
				rule.Unknown = fmt.Sprintf("at which port the range from %q to %d begins is not known", p.Port, p.EndPort)
			}
		}
		return 0, nil
	}
	number, err := r.number(p.Port)
	if err != nil {
		return 0, err
	}
	if portless && number != 0 {
		return 0, fmt.Errorf("protocol %s has no ports", p.Protocol)
	}
	lo, hi := number, max(number, uint16(p.EndPort))
	if number == 0 {
		hi = 65535
	}
	for _, protocol := range protocols {
		rule.Ports.Set = rule.Ports.Set.Union(ports.Of(protocol, lo, hi))
	}
	if portless {
		rule.Unknown = and(rule.Unknown, fmt.Sprintf("protocol %s is not told apart from others", p.Protocol))
	}
	return number, nil
}

func (r ruleReader) number(text string) (uint16, error) {
	if text == "" && r.settings.value("enable-extended-ip-protocols") == "true" {
		return 0, nil
	}
	if text == "" {
		return 0, errors.New("port is not given")
	}
	n, err := strconv.ParseUint(text, 0, 16)
	if err != nil {
		return 0, fmt.Errorf("port %q: %w", text, errors.Unwrap(err))
	}
	return uint16(n), nil
}

// protocolsOf gives what a protocol's name means; ANY is all protocols with ports.
func protocolsOf(name string) (list []ports.Protocol, portless bool, err error) {
	switch name {
	case "", "ANY":
		return []ports.Protocol{ports.TCP, ports.UDP, ports.SCTP}, false, nil
	case "TCP":
		return []ports.Protocol{ports.TCP}, false, nil
	case "UDP":
		return []ports.Protocol{ports.UDP}, false, nil
	case "SCTP":
		return []ports.Protocol{ports.SCTP}, false, nil
	case "VRRP", "IGMP", "GRE", "IPIP", "IPV6", "ESP", "AH":
		return []ports.Protocol{ports.Other}, true, nil
	}
	return nil, false, fmt.Errorf("protocol %q is not known", name)
}

// requests reads what an entry of ports allows of the requests of a connection, and
// says it in words.
func (r ruleReader) requests(p portRule, at evidence.Path) (q requestRules, limits string, err error) {
	if given(p.Rules) {
		var doubt string
		if q, doubt, err = decode[requestRules](p.Rules, at.Field("rules")); err != nil {
			return q, "", err
		}
		limits = doubt
	}
	words, err := q.words(at.Field("rules"))
	if err != nil {
		return q, "", err
	}
	limits = and(limits, words)
	any := len(q.HTTP)+len(q.DNS) > 0
	switch {
	case any && r.hosts && (r.direction == netpol.Ingress || len(q.HTTP) > 0):
		return q, "", fmt.Errorf("%s: rules of requests cannot be about nodes", at)
	case len(q.DNS) > 0 && r.direction == netpol.Ingress:
		return q, "", fmt.Errorf("%s: DNS rules are for egress only", at)
	case slices.Contains(p.ServerNames, ""), p.ServerNames != nil && len(p.ServerNames) == 0:
		return q, "", fmt.Errorf("%s: has an empty name or none", at.Field("serverNames"))
	case any && len(p.ServerNames) > 0 && !given(p.TerminatingTLS):
		return q, "", fmt.Errorf("%s: serverNames stand beside rules only with terminatingTLS", at)
	case given(p.Listener) && r.direction == netpol.Ingress && r.action == netpol.Allow:
		return q, "", fmt.Errorf("%s: listeners are for egress only", at)
	case given(p.Listener) && any:
		return q, "", fmt.Errorf("%s: a listener cannot stand beside rules", at)
	}
	if len(p.ServerNames) > 0 {
		limits = and(limits, "TLS with the server name "+few(p.ServerNames))
	}
	if given(p.TerminatingTLS) || given(p.OriginatingTLS) {
		limits = and(limits, "TLS that a proxy terminates or originates")
	}
	if given(p.Listener) {
		limits = and(limits, "what an Envoy listener lets through")
	}
	return q, limits, nil
}

// words checks rules of requests and says them.
func (q requestRules) words(at evidence.Path) (string, error) {
	if q.HTTP != nil && q.DNS != nil {
		return "", fmt.Errorf("%s: http cannot stand beside dns", at)
	}
	var http, names []string
	for i, h := range q.HTTP {
		for _, expression := range []string{h.Path, h.Method} {
			if _, err := regexp.Compile(expression); err != nil {
				return "", fmt.Errorf("%s: %w", at.Field("http").Index(i, ""), err)
			}
		}
		http = append(http, h.words())
	}
	for i, n := range q.DNS {
		name, err := n.check()
		if err != nil {
			return "", fmt.Errorf("%s: %w", at.Field("dns").Index(i, ""), err)
		}
		names = append(names, name)
	}
	words := ""
	if len(http) > 0 {
		words = "HTTP " + few(http)
	}
	if len(names) > 0 {
		words = "DNS questions for " + few(names)
	}
	if len(q.Kafka)+len(q.L7) > 0 || q.L7Proto != "" {
		words = and(words, "rules of Kafka or another protocol, which newer versions of Cilium do not know")
	}
	return words, nil
}

func (h httpRule) words() string {
	var list []string
	for _, w := range []string{h.Method, h.Path} {
		if w != "" {
			list = append(list, w)
		}
	}
	if h.Host != "" {
		list = append(list, "at host "+h.Host)
	}
	if len(h.Headers)+len(h.HeaderMatches) > 0 {
		list = append(list, "with certain headers")
	}
	if len(list) == 0 {
		return "any request"
	}
	return strings.Join(list, " ")
}
