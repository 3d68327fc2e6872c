package picture

import (
	"cmp"
	"fmt"
	"slices"
)

// Bounds of what a person can take in, and a browser draw.
const (
	maxBoxes = 260
	maxAreas = 90
	maxLines = 4000
)

// fold makes a map small enough to read: the largest namespaces become a single
// box each, the last of too many namespaces one area, until the rest can be shown.
func fold(m Map) Map {
	m = gather(m)
	total := 0
	for _, a := range m.Areas {
		total += len(a.Boxes)
	}
	folded := make([]bool, len(m.Areas))
	for _, i := range bySize(m.Areas) {
		if total <= maxBoxes {
			break
		}
		if n := len(m.Areas[i].Boxes); n > 1 {
			folded[i] = true
			total -= n - 1
		}
	}
	if !slices.Contains(folded, true) {
		return m
	}
	return collapse(m, folded)
}

func bySize(areas []Area) []int {
	list := make([]int, len(areas))
	for i := range list {
		list[i] = i
	}
	slices.SortStableFunc(list, func(a, b int) int {
		return cmp.Or(compareBool(areas[a].Outside, areas[b].Outside), cmp.Compare(len(areas[b].Boxes), len(areas[a].Boxes)))
	})
	return list
}

// gather puts the namespaces beyond the bound, those with the fewest boxes, into
// one area.
func gather(m Map) Map {
	if len(m.Areas) <= maxAreas {
		return m
	}
	keep := make([]bool, len(m.Areas))
	kept := 0
	for i, a := range m.Areas {
		if a.Outside {
			keep[i], kept = true, kept+1
		}
	}
	for _, i := range bySize(m.Areas) {
		if kept < maxAreas-1 && !keep[i] {
			keep[i], kept = true, kept+1
		}
	}
	var areas []Area
	rest := Area{}
	to := make([]int, 0, len(m.Lines))
	// The boxes of the rest come last: their numbers change.
	n := 0
	for i, a := range m.Areas {
		if keep[i] {
			areas = append(areas, a)
			n += len(a.Boxes)
		}
	}
	next := 0
	gathered := 0
	for i, a := range m.Areas {
		for _, b := range a.Boxes {
			if keep[i] {
				to = append(to, next)
				next++
				continue
			}
			b.Name = a.Name + "/" + b.Name
			to = append(to, n+len(rest.Boxes))
			rest.Boxes = append(rest.Boxes, b)
		}
		if !keep[i] {
			gathered++
		}
	}
	rest.Name = fmt.Sprintf("%d other namespaces", gathered)
	return Map{ID: m.ID, Title: m.Title, Areas: append(areas, rest), Lines: renumber(m.Lines, to)}
}

func renumber(lines []Line, to []int) []Line {
	list := make([]Line, 0, len(lines))
	for _, l := range lines {
		if l.From < 0 || l.To < 0 || l.From >= len(to) || l.To >= len(to) {
			continue
		}
		l.From, l.To = to[l.From], to[l.To]
		list = append(list, l)
	}
	return list
}

// collapse makes one box of each folded area.
func collapse(m Map, folded []bool) Map {
	out := Map{ID: m.ID, Title: m.Title}
	var to []int
	next := 0
	for i, a := range m.Areas {
		if !folded[i] {
			for range a.Boxes {
				to = append(to, next)
				next++
			}
			out.Areas = append(out.Areas, a)
			continue
		}
		box := Box{Name: fmt.Sprintf("%d workloads", len(a.Boxes)), OpenIn: true, OpenOut: true}
		for _, b := range a.Boxes {
			box.OpenIn, box.OpenOut = box.OpenIn && b.OpenIn, box.OpenOut && b.OpenOut
			to = append(to, next)
		}
		next++
		out.Areas = append(out.Areas, Area{Name: a.Name, Outside: a.Outside, Boxes: []Box{box}})
	}
	out.Lines = merged(renumber(m.Lines, to))
	return out
}

// merged leaves one line of a kind between two boxes, and says "various ports"
// where they differ.
func merged(lines []Line) []Line {
	type pair struct {
		from, to int
		unknown  bool
	}
	at := map[pair]int{}
	var list []Line
	for _, l := range lines {
		p := pair{l.From, l.To, l.Unknown}
		i, ok := at[p]
		switch {
		case !ok:
			at[p] = len(list)
			list = append(list, l)
		case list[i].Ports != l.Ports:
			list[i].Ports = "various ports"
		}
	}
	return list
}
