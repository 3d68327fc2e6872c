package reach

import (
	"iter"
	"math/bits"
)

// bitset is a set of endpoints by ID. The nil bitset is empty. Bitsets are not
// changed once they are made.
type bitset []uint64

func newBitset(size int) bitset { return make(bitset, (size+63)/64) }

func (b bitset) set(id int32) { b[id/64] |= 1 << (id % 64) }

func (b bitset) has(id int) bool { return b != nil && b[id/64]&(1<<(id%64)) != 0 }

// all yields the members in order.
func (b bitset) all() iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for i, word := range b {
			for ; word != 0; word &= word - 1 {
				if !yield(int32(i*64 + bits.TrailingZeros64(word))) {
					return
				}
			}
		}
	}
}

// union is what is in either; it may be one of the operands.
func (b bitset) union(o bitset) bitset {
	switch {
	case o == nil:
		return b
	case b == nil:
		return o
	}
	u := make(bitset, len(b))
	for i := range b {
		u[i] = b[i] | o[i]
	}
	return u
}

// intersect is what is in both; nil when nothing is.
func (b bitset) intersect(o bitset) bitset {
	if b == nil || o == nil {
		return nil
	}
	return b.combine(o, func(x, y uint64) uint64 { return x & y })
}

// minus is what is in b and not in o; nil when nothing is.
func (b bitset) minus(o bitset) bitset {
	if b == nil || o == nil {
		return b
	}
	return b.combine(o, func(x, y uint64) uint64 { return x &^ y })
}

func (b bitset) combine(o bitset, f func(x, y uint64) uint64) bitset {
	u, some := make(bitset, len(b)), uint64(0)
	for i := range b {
		u[i] = f(b[i], o[i])
		some |= u[i]
	}
	if some == 0 {
		return nil
	}
	return u
}

// covers reports whether all of o is in b.
func (b bitset) covers(o bitset) bool { return o.minus(b) == nil }

// orNil is b, or nil where it is empty.
func (b bitset) orNil() bitset {
	for _, word := range b {
		if word != 0 {
			return b
		}
	}
	return nil
}
