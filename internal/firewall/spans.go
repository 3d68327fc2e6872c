package firewall

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// An addr is a number of 128 bits: an address of either family (of IPv4 in the
// low 32 bits), a port, a protocol or a mark. All that rules compare is of this type.
type addr struct{ hi, lo uint64 }

var (
	first = addr{}
	last4 = addr{0, 1<<32 - 1}
	last6 = addr{1<<64 - 1, 1<<64 - 1}
)

func number(n uint64) addr { return addr{lo: n} }

func addrOf(a netip.Addr) addr {
	if a.Is4() {
		b := a.As4()
		return number(uint64(binary.BigEndian.Uint32(b[:])))
	}
	b := a.As16()
	return addr{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (a addr) netip(f Family) netip.Addr {
	if f == IPv4 {
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(a.lo))))
	}
	return netip.AddrFrom16([16]byte(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, a.hi), a.lo)))
}

func (a addr) compare(b addr) int {
	if c := cmp.Compare(a.hi, b.hi); c != 0 {
		return c
	}
	return cmp.Compare(a.lo, b.lo)
}

func (a addr) less(b addr) bool { return a.compare(b) < 0 }

func (a addr) next() addr {
	lo, carry := bits.Add64(a.lo, 1, 0)
	return addr{a.hi + carry, lo}
}

func (a addr) prev() addr {
	lo, borrow := bits.Sub64(a.lo, 1, 0)
	return addr{a.hi - borrow, lo}
}

// low has the n lowest bits set.
func low(n int) addr {
	switch {
	case n >= 128:
		return last6
	case n > 64:
		return addr{1<<(n-64) - 1, 1<<64 - 1}
	case n == 64:
		return addr{0, 1<<64 - 1}
	}
	return addr{0, 1<<n - 1}
}

func (a addr) or(b addr) addr     { return addr{a.hi | b.hi, a.lo | b.lo} }
func (a addr) andNot(b addr) addr { return addr{a.hi &^ b.hi, a.lo &^ b.lo} }

func (a addr) trailingZeros() int {
	if a.lo == 0 {
		return 64 + bits.TrailingZeros64(a.hi)
	}
	return bits.TrailingZeros64(a.lo)
}

func maxAddr(a, b addr) addr {
	if a.less(b) {
		return b
	}
	return a
}

func minAddr(a, b addr) addr {
	if b.less(a) {
		return b
	}
	return a
}

// A span is all from lo to hi, both included.
type span struct{ lo, hi addr }

// spans is a set: in order, neither overlapping nor touching.
type spans []span

func space(f Family) spans {
	if f == IPv4 {
		return spans{{first, last4}}
	}
	return spans{{first, last6}}
}

func one(n uint64) spans { return spans{{number(n), number(n)}} }

func spanOf(p netip.Prefix) span {
	a := p.Addr()
	rest := low(a.BitLen() - p.Bits())
	base := addrOf(a).andNot(rest)
	return span{base, base.or(rest)}
}

// normal makes a set of spans in any order. It may reorder its argument.
func normal(list []span) spans {
	slices.SortFunc(list, func(a, b span) int { return a.lo.compare(b.lo) })
	out := list[:0]
	for _, s := range list {
		if s.hi.less(s.lo) {
			continue
		}
		if n := len(out) - 1; n >= 0 && (out[n].hi == last6 || !out[n].hi.next().less(s.lo)) {
			out[n].hi = maxAddr(out[n].hi, s.hi)
			continue
		}
		out = append(out, s)
	}
	return spans(out)
}

func (s spans) union(t spans) spans { return normal(slices.Concat(s, t)) }

func (s spans) intersect(t spans) spans {
	var out spans
	for i, j := 0, 0; i < len(s) && j < len(t); {
		lo, hi := maxAddr(s[i].lo, t[j].lo), minAddr(s[i].hi, t[j].hi)
		if !hi.less(lo) {
			out = append(out, span{lo, hi})
		}
		if s[i].hi.less(t[j].hi) {
			i++
		} else {
			j++
		}
	}
	return out
}

func (s spans) subtract(t spans) spans {
	var out spans
	j := 0
	for _, a := range s {
		for j < len(t) && t[j].hi.less(a.lo) {
			j++
		}
		lo, done := a.lo, false
		for k := j; k < len(t) && !a.hi.less(t[k].lo); k++ {
			if lo.less(t[k].lo) {
				out = append(out, span{lo, t[k].lo.prev()})
			}
			if !t[k].hi.less(a.hi) {
				done = true
				break
			}
			lo = t[k].hi.next()
		}
		if !done {
			out = append(out, span{lo, a.hi})
		}
	}
	return out
}

// compare says whether all, none or some of the possible values are in the set.
func (s spans) compare(possible spans) truth {
	all, any := true, false
	for _, p := range possible {
		i, _ := slices.BinarySearchFunc(s, p.lo, func(a span, lo addr) int {
			if a.hi.less(lo) {
				return -1
			}
			return 1
		})
		if i < len(s) && !p.hi.less(s[i].lo) {
			any = true
			all = all && !p.lo.less(s[i].lo) && !s[i].hi.less(p.hi)
		} else {
			all = false
		}
	}
	switch {
	case all:
		return yes
	case any:
		return maybe
	}
	return no
}

// prefixes writes the set as the fewest prefixes.
func (s spans) prefixes(f Family) []netip.Prefix {
	width := 128
	if f == IPv4 {
		width = 32
	}
	var out []netip.Prefix
	for _, a := range s {
		for lo := a.lo; ; {
			n := min(lo.trailingZeros(), width)
			for a.hi.less(lo.or(low(n))) {
				n--
			}
			out = append(out, netip.PrefixFrom(lo.netip(f), width-n))
			end := lo.or(low(n))
			if !end.less(a.hi) {
				break
			}
			lo = end.next()
		}
	}
	return out
}
