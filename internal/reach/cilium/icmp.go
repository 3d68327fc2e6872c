package cilium

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A portsOfRule is a rule without its peers; types are those of ICMP that it is about,
// nil for all there is.
type portsOfRule struct {
	netpol.Rule
	types []uint8
}

// icmp reads types of ICMP, which the form tells apart in words only.
func (r ruleReader) icmp(p icmpRule, at evidence.Path) (rules []portsOfRule, err error) {
	if len(p.Fields) > most {
		return nil, fmt.Errorf("%s: more than %d", at.Field("fields"), most)
	}
	names, types := map[ports.Protocol][]string{}, map[ports.Protocol][]uint8{}
	for i, f := range p.Fields {
		at := at.Field("fields").Index(i, "")
		protocol := ports.ICMP
		switch f.Family {
		case "", "IPv4":
		case "IPv6":
			protocol = ports.ICMPv6
		default:
			return nil, fmt.Errorf("%s: family %q is neither IPv4 nor IPv6", at, f.Family)
		}
		name, number, err := icmpType(f.Type, protocol)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
		names[protocol], types[protocol] = append(names[protocol], name), append(types[protocol], number)
	}
	for _, protocol := range []ports.Protocol{ports.ICMP, ports.ICMPv6} {
		if len(types[protocol]) > 0 {
			rules = append(rules, portsOfRule{netpol.Rule{
				Path: at, Ports: netpol.Ports{Set: ports.Every(protocol)},
				Limits: protocol.String() + " of type " + few(names[protocol]),
			}, types[protocol]})
		}
	}
	return rules, nil
}

// icmpType gives a type of ICMP as it is written, a number or a name, and its number.
func icmpType(raw json.RawMessage, protocol ports.Protocol) (string, uint8, error) {
	var number uint8
	if err := json.Unmarshal(raw, &number); err == nil {
		return strconv.Itoa(int(number)), number, nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return "", 0, errors.New("type is neither a number below 256 nor a name")
	}
	if n, err := strconv.ParseUint(text, 10, 8); err == nil {
		return text, uint8(n), nil
	}
	number, ok := icmpTypes[protocol][text]
	if !ok {
		return "", 0, fmt.Errorf("%s has no type %q", protocol, text)
	}
	return text, number, nil
}

// A denial is a rule that denies some types of ICMP. It closes no protocol, and is no
// rule of the form: but who allows these types only, may so allow nothing.
type denial struct {
	types []uint8
	peers netpol.Expr
}

// A scope is which connections rules about types of ICMP may have in common, as long as
// their policies are of one scope or one of them is for the whole cluster.
type scope struct {
	hosts     bool
	namespace string
	direction netpol.Direction
	protocol  ports.Protocol
}

func (r ruleReader) scope(rule portsOfRule) scope {
	s := scope{r.hosts, r.namespace, r.direction, ports.ICMP}
	if rule.Ports.Set.Covers(ports.Every(ports.ICMPv6)) {
		s.protocol = ports.ICMPv6
	}
	return s
}

// overlapping are the scopes of denials that one has connections in common with.
func (r *reader) overlapping(own scope) (list []scope) {
	for s := range r.denied {
		namespace := s.namespace
		if namespace == "" || own.namespace == "" {
			s.namespace = own.namespace
		}
		if s == own {
			s.namespace = namespace
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b scope) int { return cmp.Compare(a.namespace, b.namespace) })
	return list
}

// undenied are the peers of a rule that allows some types of ICMP: of those to whom
// some rule denies any of the types, it is not known whether something is left.
func (r ruleReader) undenied(rule portsOfRule) netpol.Expr {
	var denied netpol.Some
	for _, s := range r.overlapping(r.scope(rule)) {
		for _, d := range r.denied[s] {
			if slices.ContainsFunc(rule.types, func(t uint8) bool { return slices.Contains(d.types, t) }) {
				denied = append(denied, d.peers)
			}
		}
	}
	if len(denied) == 0 {
		return rule.Peers
	}
	if len(denied) > most {
		denied = netpol.Some{netpol.Everyone()}
	}
	return netpol.Some{
		netpol.Every{rule.Peers, netpol.Not{Of: denied}},
		netpol.Unknown{Within: netpol.Every{rule.Peers, denied}, Why: "other rules deny types of ICMP that this one allows"},
	}
}

var icmpTypes = map[ports.Protocol]map[string]uint8{
	ports.ICMP: {
		"EchoReply": 0, "DestinationUnreachable": 3, "Redirect": 5, "Echo": 8, "EchoRequest": 8, "RouterAdvertisement": 9,
		"RouterSelection": 10, "TimeExceeded": 11, "ParameterProblem": 12, "Timestamp": 13, "TimestampReply": 14, "Photuris": 40,
		"ExtendedEchoRequest": 42, "ExtendedEchoReply": 43,
	},
	ports.ICMPv6: {
		"DestinationUnreachable": 1, "PacketTooBig": 2, "TimeExceeded": 3, "ParameterProblem": 4, "EchoRequest": 128, "EchoReply": 129,
		"MulticastListenerQuery": 130, "MulticastListenerReport": 131, "MulticastListenerDone": 132, "RouterSolicitation": 133,
		"RouterAdvertisement": 134, "NeighborSolicitation": 135, "NeighborAdvertisement": 136, "RedirectMessage": 137,
		"RouterRenumbering": 138, "ICMPNodeInformationQuery": 139, "ICMPNodeInformationResponse": 140,
		"InverseNeighborDiscoverySolicitation": 141, "InverseNeighborDiscoveryAdvertisement": 142,
		"HomeAgentAddressDiscoveryRequest": 144, "HomeAgentAddressDiscoveryReply": 145, "MobilePrefixSolicitation": 146,
		"MobilePrefixAdvertisement": 147, "DuplicateAddressRequestCodeSuffix": 157, "DuplicateAddressConfirmationCodeSuffix": 158,
		"ExtendedEchoRequest": 160, "ExtendedEchoReply": 161,
	},
}
