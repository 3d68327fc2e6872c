package interval_test

import (
	"cmp"
	"math/rand/v2"
	"testing"

	"github.com/gabion-k8s/gabion/internal/reach/interval"
)

// A digit is a point of a line so short that sets can be compared point by point.
type digit int8

const last digit = 9

func (d digit) Compare(o digit) int { return cmp.Compare(d, o) }

// Next and Prev leave the line at its ends.
func (d digit) Next() digit {
	if d == last {
		return -1
	}
	return d + 1
}
func (d digit) Prev() digit { return d - 1 }

type set = interval.Set[digit]

func of(t *testing.T, random *rand.Rand) (set, [last + 1]bool) {
	var spans []interval.Span[digit]
	var in [last + 1]bool
	for range random.IntN(5) {
		s := interval.Span[digit]{Lo: digit(random.IntN(int(last) + 1)), Hi: digit(random.IntN(int(last) + 1))}
		spans = append(spans, s)
		for d := s.Lo; d <= s.Hi; d++ {
			in[d] = true
		}
	}
	made := interval.Of(spans...)
	same(t, "Of", made, func(d digit) bool { return in[d] })
	return made, in
}

// same checks that a set has exactly the points that it should, and is written the one
// way there is: sorted spans that do not touch.
func same(t *testing.T, what string, s set, in func(digit) bool) {
	t.Helper()
	for d := digit(0); d <= last; d++ {
		if s.Contains(d) != in(d) {
			t.Fatalf("%s: %v: point %d is there: %v", what, s.Spans(), d, s.Contains(d))
		}
	}
	for i, span := range s.Spans() {
		if span.Lo > span.Hi || i > 0 && span.Lo <= s.Spans()[i-1].Hi+1 {
			t.Fatalf("%s: %v", what, s.Spans())
		}
	}
}

func TestArithmetic(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		a, inA := of(t, random)
		b, inB := of(t, random)
		same(t, "union", a.Union(b), func(d digit) bool { return inA[d] || inB[d] })
		same(t, "intersection", a.Intersect(b), func(d digit) bool { return inA[d] && inB[d] })
		same(t, "difference", a.Minus(b), func(d digit) bool { return inA[d] && !inB[d] })

		covers, overlaps, empty := true, false, true
		for d := range inA {
			covers = covers && (inA[d] || !inB[d])
			overlaps = overlaps || inA[d] && inB[d]
			empty = empty && !inA[d]
		}
		if a.Covers(b) != covers || a.Overlaps(b) != overlaps || a.Empty() != empty || a.Equal(b) != (inA == inB) {
			t.Fatalf("%v and %v: covers %v, overlaps %v, empty %v, equal %v", a.Spans(), b.Spans(), a.Covers(b), a.Overlaps(b), a.Empty(), a.Equal(b))
		}
	}
}

// The operands of an operation stay as they are, whatever is done to the result.
func TestUnchanged(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2_000 {
		a, inA := of(t, random)
		b, inB := of(t, random)
		c, _ := of(t, random)
		_ = a.Union(b).Union(c).Minus(b)
		_ = a.Intersect(c).Union(b)
		same(t, "left", a, func(d digit) bool { return inA[d] })
		same(t, "right", b, func(d digit) bool { return inB[d] })
	}
}
