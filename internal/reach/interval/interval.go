// Package interval is the arithmetic of sets that are runs of neighbouring points:
// union, intersection and difference. It knows neither ports nor addresses.
package interval

import "slices"

// A Point is an element of an ordered line. Next and Prev are its neighbours; at an
// end of the line they return a value that equals no point.
type Point[T any] interface {
	Compare(T) int
	Next() T
	Prev() T
}

// A Span is every point from Lo to Hi, both included.
type Span[T any] struct{ Lo, Hi T }

// A Set is a set of points. The zero Set is empty. Sets are never changed.
type Set[T Point[T]] struct {
	// spans are sorted and do not touch each other.
	spans []Span[T]
}

// Of returns the points of spans in any order, overlapping or not. A span whose
// ends are the wrong way round holds nothing.
func Of[T Point[T]](spans ...Span[T]) Set[T] {
	list := make([]Span[T], 0, len(spans))
	for _, s := range spans {
		if s.Lo.Compare(s.Hi) <= 0 {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b Span[T]) int { return a.Lo.Compare(b.Lo) })
	return Set[T]{merge(list)}
}

// merge joins sorted spans that overlap or touch, in place.
func merge[T Point[T]](list []Span[T]) []Span[T] {
	out := list[:0]
	for _, s := range list {
		last := len(out) - 1
		switch {
		case last < 0 || s.Lo.Compare(out[last].Hi) > 0 && s.Lo.Compare(out[last].Hi.Next()) != 0:
			out = append(out, s)
		case s.Hi.Compare(out[last].Hi) > 0:
			out[last].Hi = s.Hi
		}
	}
	return out
}

// Spans are the runs of the set in order. They must not be changed.
func (s Set[T]) Spans() []Span[T] { return s.spans }

// Empty reports whether the set has no point.
func (s Set[T]) Empty() bool { return len(s.spans) == 0 }

// Equal reports whether both sets have the same points.
func (s Set[T]) Equal(o Set[T]) bool {
	return slices.EqualFunc(s.spans, o.spans, func(a, b Span[T]) bool {
		return a.Lo.Compare(b.Lo) == 0 && a.Hi.Compare(b.Hi) == 0
	})
}

// Contains reports whether p is in the set.
func (s Set[T]) Contains(p T) bool {
	_, found := slices.BinarySearchFunc(s.spans, p, func(s Span[T], p T) int {
		switch {
		case s.Hi.Compare(p) < 0:
			return -1
		case s.Lo.Compare(p) > 0:
			return 1
		}
		return 0
	})
	return found
}

// Union is what is in either set.
func (s Set[T]) Union(o Set[T]) Set[T] {
	switch {
	case o.Empty():
		return s
	case s.Empty():
		return o
	}
	list := make([]Span[T], 0, len(s.spans)+len(o.spans))
	a, b := s.spans, o.spans
	for len(a) > 0 || len(b) > 0 {
		if len(b) == 0 || len(a) > 0 && a[0].Lo.Compare(b[0].Lo) <= 0 {
			list, a = append(list, a[0]), a[1:]
		} else {
			list, b = append(list, b[0]), b[1:]
		}
	}
	return Set[T]{merge(list)}
}

// Intersect is what is in both sets.
func (s Set[T]) Intersect(o Set[T]) Set[T] {
	var list []Span[T]
	for a, b := s.spans, o.spans; len(a) > 0 && len(b) > 0; {
		lo, hi := a[0].Lo, a[0].Hi
		if b[0].Lo.Compare(lo) > 0 {
			lo = b[0].Lo
		}
		if b[0].Hi.Compare(hi) < 0 {
			hi = b[0].Hi
		}
		if lo.Compare(hi) <= 0 {
			list = append(list, Span[T]{lo, hi})
		}
		if a[0].Hi.Compare(b[0].Hi) < 0 {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return Set[T]{list}
}

// Minus is what is in s and not in o.
func (s Set[T]) Minus(o Set[T]) Set[T] {
	if s.Empty() || o.Empty() {
		return s
	}
	var list []Span[T]
	cut := o.spans
	for _, span := range s.spans {
		for len(cut) > 0 && cut[0].Hi.Compare(span.Lo) < 0 {
			cut = cut[1:]
		}
		lo, left := span.Lo, true
		for _, c := range cut {
			if c.Lo.Compare(span.Hi) > 0 {
				break
			}
			if c.Lo.Compare(lo) > 0 {
				list = append(list, Span[T]{lo, c.Lo.Prev()})
			}
			if c.Hi.Compare(span.Hi) >= 0 {
				left = false
				break
			}
			lo = c.Hi.Next()
		}
		if left {
			list = append(list, Span[T]{lo, span.Hi})
		}
	}
	return Set[T]{list}
}

// Covers reports whether every point of o is in s.
func (s Set[T]) Covers(o Set[T]) bool { return o.Minus(s).Empty() }

// Overlaps reports whether the sets have a point in common.
func (s Set[T]) Overlaps(o Set[T]) bool { return !s.Intersect(o).Empty() }
