package kubernetes

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A portSet is the ports of a rule.
type portSet struct {
	netpol.Ports
	// unknown is why it is not known which ports are meant, "" if it is.
	unknown string
}

// portsOf reads the ports of a rule. Without any it is about all traffic.
func (r clusterReader) portsOf(given *ruleFields, at evidence.Path) (all portSet, err error) {
	field, list, add := "ports", given.Ports, all.number
	if r.protocols {
		field, list, add = "protocols", given.Protocols, all.protocol
	}
	if list == nil {
		return portSet{Ports: netpol.AllPorts()}, nil
	}
	if at = at.Field(field); len(*list) == 0 || len(*list) > r.items {
		return portSet{}, fmt.Errorf("%s: not 1 to %d entries", at, r.items)
	}
	for i, raw := range *list {
		if err := add(raw, at.Index(i, "")); err != nil {
			return portSet{}, err
		}
	}
	return all, nil
}

// number adds an entry of the field ports: a port by number or name, or a range.
func (s *portSet) number(raw json.RawMessage, at evidence.Path) error {
	var given struct {
		PortNumber *struct {
			Protocol *string `json:"protocol"`
			Port     int32   `json:"port"`
		} `json:"portNumber"`
		PortRange *struct {
			Protocol *string `json:"protocol"`
			Start    int32   `json:"start"`
			End      int32   `json:"end"`
		} `json:"portRange"`
		NamedPort *string `json:"namedPort"`
	}
	surplus, err := decode(raw, &given)
	switch n, span := given.PortNumber, given.PortRange; {
	case err != nil:
		return fmt.Errorf("%s: %w", at, err)
	case len(surplus) > 0:
		s.unknown = surplus.String(at)
		return nil
	case count(n != nil, span != nil, given.NamedPort != nil) != 1:
		return fmt.Errorf("%s: not exactly one of portNumber, portRange and namedPort", at)
	case given.NamedPort != nil:
		s.name(*given.NamedPort, at.Field("namedPort"))
		return nil
	case n != nil:
		return s.span(n.Protocol, n.Port, n.Port, at.Field("portNumber"))
	default:
		return s.span(span.Protocol, span.Start, span.End, at.Field("portRange"))
	}
}

// span adds ports of a protocol that is TCP if none is given. The definition of the
// kind knows neither which protocols there are nor that a range must not end
// before it starts.
func (s *portSet) span(protocol *string, first, last int32, at evidence.Path) error {
	name := "TCP"
	if protocol != nil {
		name = *protocol
	}
	p, ok := protocolOf(name)
	switch {
	case first < 1 || first > 65535 || last < 1 || last > 65535:
		return fmt.Errorf("%s: ports are from 1 to 65535", at)
	case !ok:
		s.unknown = fmt.Sprintf("%s: protocol %q is none of TCP, UDP and SCTP", at, name)
	case last < first:
		s.unknown = fmt.Sprintf("%s: ends before it starts", at)
	default:
		s.Set = s.Set.Union(ports.Of(p, uint16(first), uint16(last)))
	}
	return nil
}

// protocol adds an entry of the field protocols: a protocol with ports, or the name of a port.
func (s *portSet) protocol(raw json.RawMessage, at evidence.Path) error {
	type match struct {
		DestinationPort *destinationPort `json:"destinationPort"`
	}
	var given struct {
		TCP  *match  `json:"tcp"`
		UDP  *match  `json:"udp"`
		SCTP *match  `json:"sctp"`
		Name *string `json:"destinationNamedPort"`
	}
	surplus, err := decode(raw, &given)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", at, err)
	case len(surplus) > 0:
		s.unknown = surplus.String(at)
		return nil
	case count(given.TCP != nil, given.UDP != nil, given.SCTP != nil, given.Name != nil) != 1:
		return fmt.Errorf("%s: not exactly one of tcp, udp, sctp and destinationNamedPort", at)
	case given.Name != nil:
		s.name(*given.Name, at.Field("destinationNamedPort"))
		return nil
	}
	p, m := ports.TCP, given.TCP
	switch {
	case given.UDP != nil:
		p, m = ports.UDP, given.UDP
	case given.SCTP != nil:
		p, m = ports.SCTP, given.SCTP
	}
	set, err := m.DestinationPort.of(p)
	if err != nil {
		return fmt.Errorf("%s: destinationPort %w", at, err)
	}
	s.Set = s.Set.Union(set)
	return nil
}

// A destinationPort is a number or a range.
type destinationPort struct {
	Number *int32 `json:"number"`
	Range  *struct {
		Start int32 `json:"start"`
		End   int32 `json:"end"`
	} `json:"range"`
}

func (d *destinationPort) of(p ports.Protocol) (ports.Set, error) {
	if d == nil {
		return ports.Set{}, errors.New("is missing")
	}
	var first, last int32
	switch {
	case count(d.Number != nil, d.Range != nil) != 1:
		return ports.Set{}, errors.New("is not exactly one of number and range")
	case d.Number != nil:
		first, last = *d.Number, *d.Number
	case d.Range.Start >= d.Range.End:
		return ports.Set{}, errors.New("does not start before it ends")
	default:
		first, last = d.Range.Start, d.Range.End
	}
	if first < 1 || last > 65535 {
		return ports.Set{}, errors.New("is not from 1 to 65535")
	}
	return ports.Of(p, uint16(first), uint16(last)), nil
}

// name adds the ports that containers call so, whatever their protocol.
func (s *portSet) name(name string, at evidence.Path) {
	if name == "" {
		s.unknown = fmt.Sprintf("%s: no name", at)
		return
	}
	for _, p := range ports.Protocols() {
		if p.HasPorts() {
			s.Named = append(s.Named, netpol.NamedPort{Protocol: p, Name: name})
		}
	}
}

// count is how many of the conditions hold.
func count(conditions ...bool) (n int) {
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}
