package reach

import (
	"cmp"
	"iter"
	"math/bits"
	"slices"
)

// bitset is a set of endpoints by ID: of the words of 64 those that are not empty, in
// order, for most selectors mean few of many endpoints. The nil bitset is empty.
// Bitsets are not changed once they are made.
type bitset []word

// A word is the endpoints from at*64 on.
type word struct {
	at   int32
	bits uint64
}

// bitsetOf is a set of endpoints, which it puts in order.
func bitsetOf(ids []int32) bitset {
	slices.Sort(ids)
	var b bitset
	for _, id := range ids {
		b = b.with(id)
	}
	return b
}

// with adds an endpoint to a set that is being made, which holds no higher one.
func (b bitset) with(id int32) bitset {
	n := len(b)
	if n == 0 || b[n-1].at != id/64 {
		b, n = append(b, word{at: id / 64}), n+1
	}
	b[n-1].bits |= 1 << (id % 64)
	return b
}

// all yields the members in order.
func (b bitset) all() iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for _, w := range b {
			for rest := w.bits; rest != 0; rest &= rest - 1 {
				if !yield(w.at*64 + int32(bits.TrailingZeros64(rest))) {
					return
				}
			}
		}
	}
}

// union is what is in either; it may be one of the operands.
func (b bitset) union(o bitset) bitset {
	switch {
	case len(o) == 0:
		return b
	case len(b) == 0:
		return o
	}
	u := make(bitset, 0, max(len(b), len(o)))
	for len(b) > 0 && len(o) > 0 {
		switch cmp.Compare(b[0].at, o[0].at) {
		case -1:
			u, b = append(u, b[0]), b[1:]
		case 1:
			u, o = append(u, o[0]), o[1:]
		default:
			u = append(u, word{b[0].at, b[0].bits | o[0].bits})
			b, o = b[1:], o[1:]
		}
	}
	return append(append(u, b...), o...)
}

// unite is what is in any of several.
func unite(list []bitset) bitset {
	switch n := len(list); n {
	case 0:
		return nil
	case 1:
		return list[0]
	default:
		return unite(list[:n/2]).union(unite(list[n/2:]))
	}
}

// intersect is what is in both; nil when nothing is.
func (b bitset) intersect(o bitset) bitset {
	if len(o) < len(b) {
		b, o = o, b
	}
	return b.combine(o, func(x, y uint64) uint64 { return x & y })
}

// minus is what is in b and not in o; nil when nothing is.
func (b bitset) minus(o bitset) bitset {
	if len(o) == 0 {
		return b
	}
	return b.combine(o, func(x, y uint64) uint64 { return x &^ y })
}

// combine is what f leaves of the words of b, of those that o has, too.
func (b bitset) combine(o bitset, f func(x, y uint64) uint64) (u bitset) {
	for _, w := range b {
		for len(o) > 0 && o[0].at < w.at {
			o = o[1:]
		}
		var other uint64
		if len(o) > 0 && o[0].at == w.at {
			other = o[0].bits
		}
		if w.bits = f(w.bits, other); w.bits != 0 {
			u = append(u, w)
		}
	}
	return u
}
