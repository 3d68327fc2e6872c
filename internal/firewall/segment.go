package firewall

import "slices"

// A word is 32 bits of which some are known.
type word struct{ value, known uint32 }

func knownWord(v uint32) word { return word{v, 1<<32 - 1} }

// join is what is known of a word that is either a or b.
func (a word) join(b word) word {
	known := a.known & b.known &^ (a.value ^ b.value)
	return word{a.value & known, known}
}

// register is one of the words that rules read and write.
type register int

const (
	packetMark register = iota
	connectionMark
	connectionState
	registers
)

// A cause is a rule that may or may not have matched, and what in it could not
// be decided. Causes are numbered in the order in which packets meet them.
type cause struct {
	rule *Rule
	why  string
	nth  int
}

// A state is what a packet carries from rule to rule besides its addresses.
type state struct {
	words [registers]word
	by    *Rule  // the last rule that accepted or dropped it
	cause *cause // the last rule at which it went both ways
}

func (s *state) join(t *state) *state {
	if s == t || *s == *t {
		return s
	}
	out := *s
	for i := range out.words {
		out.words[i] = s.words[i].join(t.words[i])
	}
	if out.cause == nil || t.cause != nil && t.cause.nth < out.cause.nth {
		out.cause = t.cause
	}
	if out.by == nil {
		out.by = t.by
	}
	return &out
}

// A segment is a run of source addresses whose packets are in one state.
type segment struct {
	span
	*state
}

// appendSegment keeps neighbours in the same state as one.
func appendSegment(list []segment, s segment) []segment {
	if n := len(list) - 1; n >= 0 && list[n].hi != last6 && list[n].hi.next() == s.lo &&
		(list[n].state == s.state || *list[n].state == *s.state) {
		list[n].hi = s.hi
		return list
	}
	return append(list, s)
}

// cut divides segments in those within the set and those without it.
func cut(list []segment, set spans) (in, out []segment) {
	switch {
	case len(list) == 0 || len(set) == 0:
		return nil, list
	case !list[0].lo.less(set[0].lo) && !set[0].hi.less(list[len(list)-1].hi):
		return list, nil
	}
	// Only the segments from i to n touch the set.
	i, _ := slices.BinarySearchFunc(list, set[0].lo, endsBefore)
	n, _ := slices.BinarySearchFunc(list, set[len(set)-1].hi, startsUntil)
	if i >= n {
		return nil, list
	}
	out = append(make([]segment, 0, len(list)+1), list[:i]...)
	for _, s := range list[i:n] {
		lo, done := s.lo, false
		k, _ := slices.BinarySearchFunc(set, s.lo, func(a span, lo addr) int { return endsBefore(segment{span: a}, lo) })
		for ; k < len(set) && !s.hi.less(set[k].lo); k++ {
			if lo.less(set[k].lo) {
				out = append(out, segment{span{lo, set[k].lo.prev()}, s.state})
				lo = set[k].lo
			}
			if !set[k].hi.less(s.hi) {
				in = append(in, segment{span{lo, s.hi}, s.state})
				done = true
				break
			}
			in = append(in, segment{span{lo, set[k].hi}, s.state})
			lo = set[k].hi.next()
		}
		if !done {
			out = append(out, segment{span{lo, s.hi}, s.state})
		}
	}
	out = append(out, list[n:]...)
	return in, out
}

func endsBefore(s segment, a addr) int {
	if s.hi.less(a) {
		return -1
	}
	return 1
}

func startsUntil(s segment, a addr) int {
	if a.less(s.lo) {
		return 1
	}
	return -1
}

// overlay brings packets together that came to one place on two ways.
func overlay(a, b []segment) []segment {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 {
		return a
	}
	out := make([]segment, 0, len(a)+len(b))
	i, j := 0, 0
	var x, y segment
	haveX, haveY := false, false
	for {
		if !haveX && i < len(a) {
			x, haveX = a[i], true
			i++
		}
		if !haveY && j < len(b) {
			y, haveY = b[j], true
			j++
		}
		switch {
		case !haveX && !haveY:
			return out
		case !haveY || haveX && x.hi.less(y.lo):
			out, haveX = appendSegment(out, x), false
		case !haveX || y.hi.less(x.lo):
			out, haveY = appendSegment(out, y), false
		case x.lo.less(y.lo):
			out = appendSegment(out, segment{span{x.lo, y.lo.prev()}, x.state})
			x.lo = y.lo
		case y.lo.less(x.lo):
			out = appendSegment(out, segment{span{y.lo, x.lo.prev()}, y.state})
			y.lo = x.lo
		default:
			hi := minAddr(x.hi, y.hi)
			out = appendSegment(out, segment{span{x.lo, hi}, x.state.join(y.state)})
			haveX, haveY = hi.less(x.hi), hi.less(y.hi)
			if haveX {
				x.lo = hi.next()
			}
			if haveY {
				y.lo = hi.next()
			}
		}
	}
}

// gather brings any number of segments, in any order, together.
func gather(lists [][]segment) []segment {
	switch len(lists) {
	case 0:
		return nil
	case 1:
		return lists[0]
	}
	half := len(lists) / 2
	return overlay(gather(lists[:half]), gather(lists[half:]))
}

// with gives every segment the state that change makes of its own.
func with(list []segment, change func(state) state) []segment {
	made := map[*state]*state{}
	out := slices.Clone(list)
	for i, s := range out {
		to, ok := made[s.state]
		if !ok {
			changed := change(*s.state)
			to = &changed
			made[s.state] = to
		}
		out[i].state = to
	}
	return out
}
