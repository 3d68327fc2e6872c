package cidr

import (
	"cmp"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/gabion-k8s/gabion/internal/reach/interval"
)

// Atoms cuts all addresses along the edges of sets: each atom lies wholly in or
// wholly out of every one of them, and no two atoms are in the same of them. In
// the order of their lowest addresses; families are not mixed.
func Atoms(sets []Set) []Set {
	type place struct {
		in    int32
		width int
	}
	var order []place
	pieces := map[place][]Span{}
	sweep(sets, func(piece Span, in int32) {
		p := place{in, piece.Lo.BitLen()}
		if pieces[p] == nil {
			order = append(order, p)
		}
		pieces[p] = append(pieces[p], piece)
	})
	atoms := make([]Set, len(order))
	for i, p := range order {
		atoms[i] = Set{interval.Of(pieces[p]...)}
	}
	return atoms
}

// An edge is an address from which on a set holds what it did not hold before, or no
// longer holds it.
type edge struct {
	at  netip.Addr
	set int // -1 for the beginning of a family
}

// sweep visits the runs between the edges of the sets, over all addresses in order,
// each with a number that is the same for runs that are in the same sets.
func sweep(sets []Set, visit func(piece Span, in int32)) {
	edges := []edge{{netip.IPv4Unspecified(), -1}, {netip.IPv6Unspecified(), -1}}
	for i, s := range sets {
		for _, span := range s.addresses.Spans() {
			edges = append(edges, edge{span.Lo, i})
			if next := span.Hi.Next(); next.IsValid() {
				edges = append(edges, edge{next, i})
			}
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.set, b.set)) })
	r := newRoster(len(sets))
	var in int32
	for i, e := range edges {
		if e.set < 0 {
			in = 0 // a set that reaches to the end of IPv4 has no edge there
		} else {
			in = r.toggle(in, e.set)
		}
		end := highest(e.at)
		if i+1 < len(edges) {
			if edges[i+1].at == e.at {
				continue
			}
			if edges[i+1].at.BitLen() == e.at.BitLen() {
				end = edges[i+1].at.Prev()
			}
		}
		visit(Span{Lo: e.at, Hi: end}, in)
	}
}

// highest is the last address of a family.
func highest(a netip.Addr) netip.Addr { return last(netip.PrefixFrom(a, 0).Masked()) }

// A roster numbers sets of small numbers: equal sets have the same number, and the
// empty one is 0. A set is a binary tree over its members in which equal trees of
// one height are the same, so that one member more or less costs its height.
type roster struct {
	height int
	halves [][2]int32
	known  map[[2]int32]int32
}

func newRoster(size int) *roster {
	return &roster{bits.Len(uint(size)), [][2]int32{{}}, map[[2]int32]int32{{}: 0}}
}

// toggle is the set with one member more, or, where it has it, less.
func (r *roster) toggle(set int32, member int) int32 { return r.at(r.height, set, member) }

func (r *roster) at(height int, tree int32, member int) int32 {
	if height == 0 {
		return 1 - tree
	}
	halves := r.halves[tree]
	side := member >> (height - 1) & 1
	halves[side] = r.at(height-1, halves[side], member)
	if id, known := r.known[halves]; known {
		return id
	}
	id := int32(len(r.halves))
	r.halves = append(r.halves, halves)
	r.known[halves] = id
	return id
}
