package oracletest

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// packets are those that are looked at: between all ends, at some of the ports.
func (d *dice) packets(w *world) (list []packet) {
	var inside, outside []end
	for _, p := range w.pods {
		inside = append(inside, end{pod: p})
	}
	for _, n := range w.nodes {
		inside = append(inside, end{node: n})
	}
	for _, a := range w.outside() {
		outside = append(outside, end{external: a})
	}
	roll := func(src, dst end, version int) {
		for range 6 {
			p := packet{src: src, dst: dst, version: version}
			p.protocol = pick(d, ports.TCP, ports.TCP, ports.TCP, ports.UDP, ports.UDP, ports.SCTP, ports.ICMP)
			if p.protocol == ports.ICMP && version == 6 {
				p.protocol = ports.ICMPv6
			}
			p.port = d.port(w, dst)
			list = append(list, p)
		}
	}
	for _, src := range inside {
		for _, dst := range inside {
			if src.own() || dst.own() {
				roll(src, dst, pick(d, w.versions...))
			}
		}
		for range min(6, len(outside)) {
			o := pick(d, outside...)
			version := 6
			if o.external.Is4() {
				version = 4
			}
			if src.own() {
				roll(src, o, version)
				roll(o, src, version)
			}
		}
	}
	return list
}

// port is one that policies name, or one beside it, or one that the pod calls by name.
func (d *dice) port(w *world, dst end) uint16 {
	if dst.pod != nil && len(dst.pod.ports) > 0 && d.one(2) {
		return uint16(pick(d, dst.pod.ports...).ContainerPort)
	}
	if d.one(10) {
		return uint16(1 + d.IntN(65535))
	}
	return uint16(min(65535, max(1, pick(d, portNumbers()...)+pick(d, -1, 0, 0, 1))))
}

// outside are the addresses at and beside the edges of the blocks that the policies
// name, as far as they do not belong to the cluster.
func (w *world) outside() (list []netip.Addr) {
	add := func(a netip.Addr) {
		version := 6
		if a.Is4() {
			version = 4
		}
		if a.IsValid() && slices.Contains(w.versions, version) && !within(podRange(version), a) && !within(nodeRange(version), a) && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	add(netip.MustParseAddr("8.8.8.8"))
	add(netip.MustParseAddr("169.254.169.254"))
	add(netip.MustParseAddr("203.0.113.128"))
	add(netip.MustParseAddr("2600::1"))
	for _, o := range w.policies {
		text, err := json.Marshal(o.spec)
		if err != nil {
			panic(err)
		}
		for _, word := range strings.FieldsFunc(string(text), func(r rune) bool { return r == '"' || r == '\'' }) {
			p, err := netip.ParsePrefix(word)
			if err != nil {
				continue
			}
			low := p.Masked().Addr()
			high := low.AsSlice()
			for bit := p.Bits(); bit < len(high)*8; bit++ {
				high[bit/8] |= 0x80 >> (bit % 8)
			}
			last, _ := netip.AddrFromSlice(high)
			for _, a := range []netip.Addr{low, last, low.Prev(), last.Next()} {
				add(a)
			}
		}
	}
	return list
}
