// Package picture draws the map of a cluster's network as SVG: namespaces as areas,
// workloads as boxes in them, connections as lines, the outside apart. It places
// what it is given and knows nothing of policies. The drawing needs no script: what
// is pointed at or focused shows its neighbours by style rules alone.
package picture

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"golang.org/x/text/width"
)

// A Map is what is drawn.
type Map struct {
	// ID tells the maps of one page apart; it begins with a letter.
	ID string
	// Title is read out for those who do not see the drawing.
	Title string
	Areas []Area
	Lines []Line
}

// An Area is a namespace, or the outside.
type Area struct {
	Name string
	// Outside is set for the area of what is not in the cluster. It is drawn first.
	Outside bool
	Boxes   []Box
}

// A Box is a workload, or something outside.
type Box struct {
	Name, Kind string
	// OpenIn is set when everyone may connect to it, OpenOut when it may connect
	// to everyone. Lines that this implies are left out: a mark on the box stands
	// for them. Boxes outside carry no marks.
	OpenIn, OpenOut bool
}

// A Line is a connection from one box to another. Boxes are counted over all
// areas, from 0, in their order in the Map.
type Line struct {
	From, To int
	// Ports are shown when the line is pointed at: "TCP 80,443", "all".
	Ports string
	// Unknown is set when it is not certain that the connection is open.
	Unknown bool
}

// Measures, in the units of the drawing (pixels at its natural size).
const (
	boxHeight  = 30
	boxGap     = 14
	areaPad    = 16
	areaHead   = 26
	areaGap    = 46
	letter     = 7.25 // width of one column of text
	minBox     = 92
	maxColumns = 26 // columns of text in a box; a longer name is cut
	margin     = 24
)

type point struct{ x, y float64 }

type rect struct{ x, y, w, h float64 }

func (r rect) centre() point { return point{r.x + r.w/2, r.y + r.h/2} }

// edge is where the line from the middle of r to p leaves r.
func (r rect) edge(p point) point {
	c := r.centre()
	dx, dy := p.x-c.x, p.y-c.y
	if dx == 0 && dy == 0 {
		return c
	}
	scale := math.Min(r.w/2/math.Max(math.Abs(dx), 1e-9), r.h/2/math.Max(math.Abs(dy), 1e-9))
	return point{c.x + dx*scale, c.y + dy*scale}
}

// A Drawing is a map that has been placed. Style are the rules that its elements
// need, beside a page's own or in the file; they hold no text of the map.
type Drawing struct {
	Style, SVG string
	// Drawn and Implied count the lines that are there, those that stand for several
	// counted once, and the connections that marks on boxes stand for.
	Drawn, Implied int
}

// Draw places a map. The same map always gives the same drawing.
func Draw(m Map) Drawing { return draw(m, false) }

// draw places a map; a page explains lines and marks itself, a file by a legend.
func draw(m Map, legend bool) Drawing {
	d := &drawing{Map: fold(m)}
	if d.ID == "" {
		d.ID = "map"
	}
	d.place()
	if legend {
		d.size = point{math.Max(d.size.x, legendWidth()), d.size.y + legendHeight}
	}
	lines, implied := d.bundle()
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="map" id="%s" role="img" aria-label="%s" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" xmlns="http://www.w3.org/2000/svg">`+"\n",
		escape(d.ID), escape(m.Title), d.size.x, d.size.y, d.size.x, d.size.y)
	fmt.Fprintf(&b, `<defs><marker id="%s-tip" viewBox="0 0 8 8" refX="7" refY="4" markerUnits="userSpaceOnUse" markerWidth="9" markerHeight="9" orient="auto-start-reverse"><path d="M0 0.5 8 4 0 7.5z" class="map-tip"/></marker></defs>`+"\n", escape(d.ID))
	d.areaShapes(&b)
	for _, l := range lines {
		d.line(&b, l)
	}
	d.boxes(&b)
	if legend {
		d.legend(&b)
	}
	b.WriteString("</svg>\n")
	return Drawing{Style: style + d.highlights(lines), SVG: b.String(), Drawn: len(lines), Implied: implied}
}

// WriteSVG writes a map as an SVG file of its own.
func WriteSVG(w io.Writer, m Map) error {
	d := draw(m, true)
	head, rest, _ := strings.Cut(d.SVG, "\n")
	_, err := fmt.Fprintf(w, "%s\n<style>%s</style>\n%s", head, palette+d.Style, rest)
	return err
}

// A drawing is a map being placed.
type drawing struct {
	Map
	areas []rect // by area
	box   []rect // by box
	area  []int  // area of each box
	size  point
}

// place gives every box and area its room: boxes in a grid within their area,
// areas in rows, the outside on top.
func (d *drawing) place() {
	inner := make([]point, len(d.Areas))
	sizes := make([]point, len(d.Areas))
	var total float64
	for i, a := range d.Areas {
		inner[i] = point{boxWidth(a.Boxes), boxHeight}
		sizes[i] = areaSize(a, inner[i])
		total += (sizes[i].x + areaGap) * (sizes[i].y + areaGap)
	}
	limit := math.Max(900, math.Sqrt(total)*1.35)
	d.areas = make([]rect, len(d.Areas))
	x, y, row := float64(margin), float64(margin), 0.0
	for _, i := range d.order(sizes) {
		s := sizes[i]
		if x > margin && (x+s.x > limit || d.Areas[i].Outside) {
			x, y, row = margin, y+row+areaGap, 0
		}
		d.areas[i] = rect{x, y, s.x, s.y}
		d.size.x = math.Max(d.size.x, x+s.x+margin)
		d.size.y = math.Max(d.size.y, y+s.y+margin)
		x, row = x+s.x+areaGap, math.Max(row, s.y)
		if d.Areas[i].Outside {
			x, y, row = margin, y+s.y+areaGap, 0
		}
	}
	for i, a := range d.Areas {
		columns := gridColumns(a)
		for n := range a.Boxes {
			d.area = append(d.area, i)
			d.box = append(d.box, rect{
				d.areas[i].x + areaPad + float64(n%columns)*(inner[i].x+boxGap*2),
				d.areas[i].y + areaHead + areaPad + float64(n/columns)*(boxHeight+boxGap*1.6),
				inner[i].x, boxHeight,
			})
		}
	}
}

// order is the outside first, then the areas by height, so that rows are even.
func (d *drawing) order(sizes []point) []int {
	list := make([]int, len(d.Areas))
	for i := range list {
		list[i] = i
	}
	slices.SortStableFunc(list, func(a, b int) int {
		if d.Areas[a].Outside != d.Areas[b].Outside {
			if d.Areas[a].Outside {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(sizes[b].y, sizes[a].y), cmp.Compare(d.Areas[a].Name, d.Areas[b].Name))
	})
	return list
}

func gridColumns(a Area) int {
	n := len(a.Boxes)
	if a.Outside {
		return max(1, min(n, 7))
	}
	return max(1, int(math.Ceil(math.Sqrt(float64(n)*0.6))))
}

func areaSize(a Area, box point) point {
	columns := gridColumns(a)
	rows := (len(a.Boxes) + columns - 1) / columns
	w := float64(columns)*(box.x+boxGap*2) - boxGap*2 + areaPad*2
	h := areaHead + areaPad*2 + float64(rows)*(boxHeight+boxGap*1.6) - boxGap*1.6
	return point{math.Max(w, columnsOf(a.Name)*letter+areaPad*2+40), math.Max(h, areaHead+areaPad)}
}

func boxWidth(boxes []Box) float64 {
	widest := 0.0
	for _, b := range boxes {
		widest = math.Max(widest, math.Min(columnsOf(b.Name), maxColumns))
	}
	return math.Max(minBox, widest*letter+36)
}

// columnsOf is how wide a text is, in columns of a terminal: wide letters take two.
func columnsOf(text string) float64 {
	n := 0
	for _, r := range text {
		n++
		if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
			n++
		}
	}
	return float64(n)
}

// short cuts a text to a number of columns.
func short(text string, columns int) string {
	if columnsOf(text) <= float64(columns) {
		return text
	}
	var b strings.Builder
	used := 0.0
	for _, r := range text {
		used += columnsOf(string(r))
		if used > float64(columns-1) {
			break
		}
		b.WriteRune(r)
	}
	return b.String() + "…"
}

// escape makes any text fit for an attribute or an element: what is no character of
// XML, or would change how the text is read, becomes the replacement character.
func escape(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '"':
			b.WriteString("&#34;")
		case r == '\'':
			b.WriteString("&#39;")
		case r < ' ' && r != '\n', r == 0x7f, r >= 0x80 && r < 0xa0, r == 0xfffe, r == 0xffff,
			r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f:
			b.WriteRune('\ufffd')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
