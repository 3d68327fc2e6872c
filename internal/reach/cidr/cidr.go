// Package cidr is sets of IPv4 and IPv6 addresses, as policies write them: blocks,
// with exceptions. It does not know what any address belongs to.
package cidr

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/reach/interval"
)

// A Set is a set of addresses of both families. The zero Set is empty. Sets are
// never changed. An IPv4 address that is written as IPv6 (::ffff:192.0.2.1) is
// the IPv4 address; zones are dropped.
type Set struct{ addresses interval.Set[netip.Addr] }

// Of is the addresses of prefixes. A prefix that is not valid holds nothing.
func Of(prefixes ...netip.Prefix) Set {
	spans := make([]interval.Span[netip.Addr], 0, len(prefixes))
	for _, p := range prefixes {
		if p = plain(p); p.IsValid() {
			spans = append(spans, interval.Span[netip.Addr]{Lo: p.Addr(), Hi: last(p)})
		}
	}
	return Set{interval.Of(spans...)}
}

// plain is the prefix with its host bits cleared, and as IPv4 where it is one
// mapped into IPv6.
func plain(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}

// last is the highest address of a masked prefix.
func last(p netip.Prefix) netip.Addr {
	bytes := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(bytes)*8; bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	a, _ := netip.AddrFromSlice(bytes)
	return a
}

// Address is the set of single addresses; invalid ones are left out.
func Address(list ...netip.Addr) Set {
	var spans []interval.Span[netip.Addr]
	for _, a := range list {
		if a = a.Unmap().WithZone(""); a.IsValid() {
			spans = append(spans, interval.Span[netip.Addr]{Lo: a, Hi: a})
		}
	}
	return Set{interval.Of(spans...)}
}

// Range is the addresses from lo to hi of one family; empty for two families.
func Range(lo, hi netip.Addr) Set {
	if lo.BitLen() != hi.BitLen() {
		return Set{}
	}
	return Set{interval.Of(interval.Span[netip.Addr]{Lo: lo, Hi: hi})}
}

// Parse reads prefixes and single addresses. The first that is neither is the error.
func Parse(list ...string) (Set, error) {
	var set Set
	for _, text := range list {
		text = strings.TrimSpace(text)
		if !strings.Contains(text, "/") {
			a, err := netip.ParseAddr(text)
			if err != nil {
				return Set{}, err
			}
			set = set.Union(Address(a))
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return Set{}, err
		}
		set = set.Union(Of(p))
	}
	return set, nil
}

// IPv4 is every IPv4 address, IPv6 every IPv6 address, All both.
func IPv4() Set { return Of(netip.PrefixFrom(netip.IPv4Unspecified(), 0)) }

// IPv6 is every IPv6 address.
func IPv6() Set { return Of(netip.PrefixFrom(netip.IPv6Unspecified(), 0)) }

// All is every address.
func All() Set { return IPv4().Union(IPv6()) }

// Union is what is in either set.
func (s Set) Union(o Set) Set { return Set{s.addresses.Union(o.addresses)} }

// Unite is what is in any of several sets. It takes less time than as many unions.
func Unite(sets ...Set) Set {
	var spans []Span
	for _, s := range sets {
		spans = append(spans, s.addresses.Spans()...)
	}
	return Set{interval.Of(spans...)}
}

// Intersect is what is in both sets.
func (s Set) Intersect(o Set) Set { return Set{s.addresses.Intersect(o.addresses)} }

// Minus is what is in s and not in o.
func (s Set) Minus(o Set) Set { return Set{s.addresses.Minus(o.addresses)} }

// Empty reports whether the set holds nothing.
func (s Set) Empty() bool { return s.addresses.Empty() }

// Equal reports whether both sets hold the same addresses.
func (s Set) Equal(o Set) bool { return s.addresses.Equal(o.addresses) }

// Covers reports whether all of o is in s.
func (s Set) Covers(o Set) bool { return s.addresses.Covers(o.addresses) }

// Overlaps reports whether the sets have an address in common.
func (s Set) Overlaps(o Set) bool { return s.addresses.Overlaps(o.addresses) }

// OverlapsPrefix reports whether an address of a prefix is in the set.
func (s Set) OverlapsPrefix(p netip.Prefix) bool {
	if p = plain(p); !p.IsValid() {
		return false
	}
	spans := s.addresses.Spans()
	i, _ := slices.BinarySearchFunc(spans, p.Addr(), func(span Span, a netip.Addr) int { return span.Hi.Compare(a) })
	return i < len(spans) && spans[i].Lo.Compare(last(p)) <= 0
}

// Contains reports whether an address is in the set.
func (s Set) Contains(a netip.Addr) bool { return s.addresses.Contains(a.Unmap().WithZone("")) }

// Single reports whether the set is one address, and which.
func (s Set) Single() (netip.Addr, bool) {
	spans := s.addresses.Spans()
	if len(spans) != 1 || spans[0].Lo != spans[0].Hi {
		return netip.Addr{}, false
	}
	return spans[0].Lo, true
}

// Any returns the lowest address of the set; invalid if it is empty.
func (s Set) Any() netip.Addr {
	if s.Empty() {
		return netip.Addr{}
	}
	return s.addresses.Spans()[0].Lo
}

// Prefixes are the fewest prefixes that hold exactly the set, IPv4 first.
func (s Set) Prefixes() []netip.Prefix {
	var list []netip.Prefix
	for _, span := range s.addresses.Spans() {
		for lo := span.Lo; ; {
			p := widest(lo, span.Hi)
			list = append(list, p)
			end := last(p)
			if end.Compare(span.Hi) >= 0 {
				break
			}
			lo = end.Next()
		}
	}
	return list
}

// widest is the largest prefix that begins at lo and does not pass hi.
func widest(lo, hi netip.Addr) netip.Prefix {
	p := netip.PrefixFrom(lo, lo.BitLen())
	for bits := lo.BitLen() - 1; bits >= 0; bits-- {
		wider := netip.PrefixFrom(lo, bits)
		if wider.Masked().Addr() != lo || last(wider).Compare(hi) > 0 {
			break
		}
		p = wider
	}
	return p
}

// String writes the prefixes, separated by commas; a single address as such.
func (s Set) String() string {
	var b strings.Builder
	for i, p := range s.Prefixes() {
		if i > 0 {
			b.WriteString(", ")
		}
		if p.IsSingleIP() {
			b.WriteString(p.Addr().String())
		} else {
			b.WriteString(p.String())
		}
	}
	return b.String()
}

// Key is the same for equal sets, and another for others.
func (s Set) Key() string {
	var b strings.Builder
	for _, span := range s.addresses.Spans() {
		b.Write(span.Lo.AsSlice())
		b.Write(span.Hi.AsSlice())
	}
	return b.String()
}

// A Span is neighbouring addresses of one family, both ends included.
type Span = interval.Span[netip.Addr]

// Spans are the runs of the set in order, IPv4 first. They must not be changed.
func (s Set) Spans() []Span { return s.addresses.Spans() }
