package picture

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// An end is a box, or all boxes of an area.
type end struct {
	index int
	whole bool // of an area
}

// A bundle is a line as it is drawn: it may stand for those of whole areas.
type bundle struct {
	from, to end
	ports    string
	unknown  bool
	count    int
}

type kindOfLine struct {
	ports   string
	unknown bool
}

// bundle drops the lines that marks stand for, and joins those between all boxes of
// two areas, then those between one box and all of an area.
func (d *drawing) bundle() (list []bundle, implied int) {
	boxes := d.flat()
	pairs := map[kindOfLine]map[[2]int]bool{}
	for _, l := range d.Lines {
		if l.From == l.To || l.From < 0 || l.To < 0 || l.From >= len(boxes) || l.To >= len(boxes) {
			continue
		}
		if boxes[l.From].OpenOut && boxes[l.To].OpenIn && !l.Unknown {
			implied++
			continue
		}
		k := kindOfLine{l.Ports, l.Unknown}
		if pairs[k] == nil {
			pairs[k] = map[[2]int]bool{}
		}
		pairs[k][[2]int{l.From, l.To}] = true
	}
	kinds := slices.SortedFunc(maps.Keys(pairs), func(a, b kindOfLine) int {
		return cmp.Or(cmp.Compare(a.ports, b.ports), compareBool(a.unknown, b.unknown))
	})
	members := make([][]int, len(d.Areas))
	for box, area := range d.area {
		members[area] = append(members[area], box)
	}
	for _, k := range kinds {
		list = append(list, d.join(pairs[k], members, k)...)
	}
	return list, implied
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func (d *drawing) flat() (boxes []Box) {
	for _, a := range d.Areas {
		boxes = append(boxes, a.Boxes...)
	}
	return boxes
}

// join bundles the pairs of one kind. It empties pairs.
func (d *drawing) join(pairs map[[2]int]bool, members [][]int, k kindOfLine) (list []bundle) {
	sorted := func() [][2]int {
		return slices.SortedFunc(maps.Keys(pairs), func(a, b [2]int) int {
			return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
		})
	}
	take := func(from, to end, sources, targets []int) bool {
		n := 0
		for _, s := range sources {
			for _, t := range targets {
				if s == t {
					continue
				}
				if !pairs[[2]int{s, t}] {
					return false
				}
				n++
			}
		}
		if n < 2 {
			return false
		}
		for _, s := range sources {
			for _, t := range targets {
				delete(pairs, [2]int{s, t})
			}
		}
		list = append(list, bundle{from, to, k.ports, k.unknown, n})
		return true
	}
	seen := map[[2]int]bool{}
	for _, p := range sorted() {
		a, b := d.area[p[0]], d.area[p[1]]
		if !seen[[2]int{a, b}] && len(members[a]) > 1 && len(members[b]) > 1 {
			seen[[2]int{a, b}] = true
			take(end{a, true}, end{b, true}, members[a], members[b])
		}
	}
	tried := map[[3]int]bool{}
	for _, p := range sorted() {
		if !pairs[p] {
			continue
		}
		a, b := d.area[p[0]], d.area[p[1]]
		if a == b {
			continue // a line from a box to the edge of its own area tells nobody anything
		}
		if out := [3]int{0, p[0], b}; !tried[out] && len(members[b]) > 1 {
			tried[out] = true
			if take(end{p[0], false}, end{b, true}, p[:1], members[b]) {
				continue
			}
		}
		if in := [3]int{1, a, p[1]}; !tried[in] && len(members[a]) > 1 {
			tried[in] = true
			take(end{a, true}, end{p[1], false}, members[a], p[1:])
		}
	}
	for _, p := range sorted() {
		list = append(list, bundle{end{p[0], false}, end{p[1], false}, k.ports, k.unknown, 1})
	}
	return list
}

func (d *drawing) rect(e end) rect {
	if e.whole {
		return d.areas[e.index]
	}
	return d.box[e.index]
}

func (d *drawing) name(e end) string {
	if e.whole {
		return "all of " + d.Areas[e.index].Name
	}
	area := d.Areas[d.area[e.index]]
	first := slices.Index(d.area, d.area[e.index])
	box := area.Boxes[e.index-first]
	if area.Outside {
		return box.Name
	}
	return area.Name + "/" + strings.TrimPrefix(box.Kind+"/"+box.Name, "/")
}

// classes are what a line is found by when one of its ends is pointed at.
func (d *drawing) classes(e end, prefix string) string {
	if e.whole {
		return fmt.Sprintf("%sa%d", prefix, e.index)
	}
	return fmt.Sprintf("%sb%d", prefix, e.index)
}

func (d *drawing) line(b *strings.Builder, l bundle) {
	from, to := d.rect(l.from), d.rect(l.to)
	classes := "map-line " + d.classes(l.from, "f-") + " " + d.classes(l.to, "t-")
	if l.from.whole || l.to.whole {
		classes += " map-thick"
	}
	if l.unknown {
		classes += " map-maybe"
	}
	title := fmt.Sprintf("%s → %s: %s", d.name(l.from), d.name(l.to), l.ports)
	if l.unknown {
		title += " (not known)"
	}
	fmt.Fprintf(b, `<path class="%s" d="%s" marker-end="url(#%s-tip)"><title>%s</title></path>`+"\n", classes, curve(from, to), escape(d.ID), escape(title))
}

// curve leads from the edge of one rectangle to that of another, bent a little to
// the right, so that the two directions between the same ends lie apart.
func curve(from, to rect) string {
	if from == to {
		// Within an area, among all of its boxes: a loop at its corner.
		x, y := from.x+from.w, from.y
		return fmt.Sprintf("M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f", x-26, y, x-20, y-26, x+26, y+14, x, y+24)
	}
	a, b := from.centre(), to.centre()
	dx, dy := b.x-a.x, b.y-a.y
	length := math.Max(math.Hypot(dx, dy), 1)
	bend := math.Min(36, length*0.12)
	middle := point{(a.x+b.x)/2 - dy/length*bend, (a.y+b.y)/2 + dx/length*bend}
	start, stop := from.edge(middle), to.edge(middle)
	return fmt.Sprintf("M%.1f %.1fQ%.1f %.1f %.1f %.1f", start.x, start.y, middle.x, middle.y, stop.x, stop.y)
}

func (d *drawing) areaShapes(b *strings.Builder) {
	for i, a := range d.Areas {
		r := d.areas[i]
		class := "map-area"
		if a.Outside {
			class += " map-outside"
		}
		fmt.Fprintf(b, `<g class="%s" id="%s-a%d" tabindex="0"><rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="8"/><text x="%.1f" y="%.1f">%s</text><title>%s</title></g>`+"\n",
			class, escape(d.ID), i, r.x, r.y, r.w, r.h, r.x+areaPad, r.y+20, escape(a.Name), escape(areaTitle(a)))
	}
}

func areaTitle(a Area) string {
	if a.Outside {
		return a.Name
	}
	return fmt.Sprintf("%s: %d workloads", a.Name, len(a.Boxes))
}

func (d *drawing) boxes(b *strings.Builder) {
	n := 0
	for _, a := range d.Areas {
		for _, box := range a.Boxes {
			if a.Outside { // that the outside is open is no news
				box.OpenIn, box.OpenOut = false, false
			}
			r := d.box[n]
			class := "map-box"
			if box.OpenIn {
				class += " map-open-in"
			}
			if box.OpenOut {
				class += " map-open-out"
			}
			fmt.Fprintf(b, `<g class="%s" id="%s-b%d" tabindex="0"><rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="4"/><text x="%.1f" y="%.1f">%s</text>`,
				class, escape(d.ID), n, r.x, r.y, r.w, r.h, r.x+17, r.y+19.5, escape(short(box.Name, maxColumns)))
			if box.OpenIn {
				fmt.Fprintf(b, `<path class="map-mark" d="M%.1f %.1fl8 5-8 5z"/>`, r.x+4, r.y+10)
			}
			if box.OpenOut {
				fmt.Fprintf(b, `<path class="map-mark" d="M%.1f %.1fl8 5-8 5z"/>`, r.x+r.w-12, r.y+10)
			}
			fmt.Fprintf(b, "<title>%s</title></g>\n", escape(title(a, box)))
			n++
		}
	}
}

func title(a Area, box Box) string {
	text := strings.TrimSpace(box.Kind + " " + box.Name)
	if !a.Outside {
		text = strings.TrimSpace(box.Kind + " " + a.Name + "/" + box.Name)
	}
	if box.OpenIn {
		text += "\neveryone may connect to it, on every port"
	}
	if box.OpenOut {
		text += "\nit may connect to everyone, on every port"
	}
	return text
}
