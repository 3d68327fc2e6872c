// Package ports is sets of ports of the transport protocols, as network policies
// limit connections to them: TCP 8080, UDP 53, all ICMP. It knows nothing of who
// listens there, and no port by name.
package ports

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/gabion-k8s/gabion/internal/reach/interval"
)

// A Protocol is what a connection speaks at the transport layer.
type Protocol uint8

// The protocols. ICMP, ICMPv6 and Other have no ports: a set holds them or not.
// Other is every protocol that has no name here.
const (
	TCP Protocol = iota
	UDP
	SCTP
	ICMP
	ICMPv6
	Other
)

// Protocols are all protocols, in their order.
func Protocols() []Protocol { return []Protocol{TCP, UDP, SCTP, ICMP, ICMPv6, Other} }

func (p Protocol) String() string {
	switch p {
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	case SCTP:
		return "SCTP"
	case ICMP:
		return "ICMP"
	case ICMPv6:
		return "ICMPv6"
	}
	return "other protocols"
}

// HasPorts reports whether connections of the protocol have ports.
func (p Protocol) HasPorts() bool { return p <= SCTP }

// A point is a protocol and one of its ports, all on one line. A protocol without
// ports is a single point. Port 0 is none: it parts the protocols on the line.
type point uint32

func at(p Protocol, port uint16) point {
	if !p.HasPorts() {
		port = 1
	}
	return point(p)<<16 | point(port)
}

func (p point) Compare(o point) int { return cmp.Compare(p, o) }
func (p point) Next() point         { return p + 1 }
func (p point) Prev() point         { return p - 1 }

func (p point) protocol() Protocol { return Protocol(p >> 16) }

// A Set is a set of ports. The zero Set is empty. Sets are never changed.
type Set struct{ points interval.Set[point] }

// Of is the ports lo to hi of a protocol, both included; for a protocol without
// ports it is the protocol. Port 0 is no port.
func Of(p Protocol, lo, hi uint16) Set {
	if !p.HasPorts() {
		return Set{interval.Of(interval.Span[point]{Lo: at(p, 0), Hi: at(p, 0)})}
	}
	return Set{interval.Of(interval.Span[point]{Lo: at(p, max(lo, 1)), Hi: at(p, hi)})}
}

// Every is all of a protocol.
func Every(p Protocol) Set { return Of(p, 1, 65535) }

// All is every port of every protocol.
func All() Set {
	var all Set
	for _, p := range Protocols() {
		all = all.Union(Every(p))
	}
	return all
}

// Union is what is in either set.
func (s Set) Union(o Set) Set { return Set{s.points.Union(o.points)} }

// Intersect is what is in both sets.
func (s Set) Intersect(o Set) Set { return Set{s.points.Intersect(o.points)} }

// Minus is what is in s and not in o.
func (s Set) Minus(o Set) Set { return Set{s.points.Minus(o.points)} }

// Empty reports whether the set holds nothing.
func (s Set) Empty() bool { return s.points.Empty() }

// Equal reports whether both sets hold the same.
func (s Set) Equal(o Set) bool { return s.points.Equal(o.points) }

// Covers reports whether all of o is in s.
func (s Set) Covers(o Set) bool { return s.points.Covers(o.points) }

// Contains reports whether the set holds a port. The port of a protocol without
// ports does not matter.
func (s Set) Contains(p Protocol, port uint16) bool { return s.points.Contains(at(p, port)) }

// Key is the same for equal sets, and another for others.
func (s Set) Key() string {
	var b strings.Builder
	var word [8]byte
	for _, span := range s.points.Spans() {
		binary.BigEndian.PutUint32(word[:4], uint32(span.Lo))
		binary.BigEndian.PutUint32(word[4:], uint32(span.Hi))
		b.Write(word[:])
	}
	return b.String()
}

// A Range is neighbouring ports of one protocol, both ends included. First and
// Last are 0 for a protocol without ports.
type Range struct {
	Protocol    Protocol
	First, Last uint16
}

// Whole reports whether the range is all of its protocol.
func (r Range) Whole() bool { return !r.Protocol.HasPorts() || r.First == 1 && r.Last == 65535 }

// String writes the range: TCP 8080, UDP 5000-5010, or TCP for all of its ports.
func (r Range) String() string {
	switch {
	case r.Whole():
		return r.Protocol.String()
	case r.First == r.Last:
		return fmt.Sprintf("%s %d", r.Protocol, r.First)
	}
	return fmt.Sprintf("%s %d-%d", r.Protocol, r.First, r.Last)
}

// Ranges are the runs of the set, by protocol and port.
func (s Set) Ranges() []Range {
	spans := s.points.Spans()
	list := make([]Range, len(spans))
	for i, span := range spans {
		list[i].Protocol = span.Lo.protocol()
		if list[i].Protocol.HasPorts() {
			list[i].First, list[i].Last = uint16(span.Lo), uint16(span.Hi)
		}
	}
	return list
}

// String writes the set: "TCP 80,443, UDP 53", "all" or "none".
func (s Set) String() string {
	switch {
	case s.Empty():
		return "none"
	case s.Equal(All()):
		return "all"
	}
	var b strings.Builder
	ranges := s.Ranges()
	for i, r := range ranges {
		switch {
		case i > 0 && r.Protocol == ranges[i-1].Protocol:
			b.WriteString("," + strings.TrimPrefix(r.String(), r.Protocol.String()+" "))
		case i > 0:
			b.WriteString(", " + r.String())
		default:
			b.WriteString(r.String())
		}
	}
	return b.String()
}
