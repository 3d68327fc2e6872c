package network

import (
	"fmt"
	"io"
	"slices"

	"github.com/gabion-k8s/gabion/internal/picture"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// WriteSVG draws connections as a map.
func WriteSVG(w io.Writer, c *Connectivity) error { return picture.WriteSVG(w, c.Map()) }

// maxMapLines bounds a map: nobody sees more, and a big cluster has millions.
const maxMapLines = 20_000

// Map is the map of connections: workloads in their namespaces, and apart from them
// the nodes, the API server and what is outside. Nodes reach every pod: those lines
// are not in it. Of connections that are not known, there is a line of its own kind.
func (c *Connectivity) Map() picture.Map {
	m := &mapping{title: "who can reach whom", areas: []picture.Area{{Name: "outside of pods", Outside: true}}, index: map[string]int{"": 0}, boxes: map[mapEnd]int{}}
	for i, w := range c.Worlds {
		m.world(w, c.Filter, i)
	}
	return m.drawn()
}

// A mapEnd is what a box stands for.
type mapEnd struct{ area, kind, name string }

// A mapping is a map that is being made. Its lines know areas and places in them,
// which become numbers when all boxes are there.
type mapping struct {
	title string
	areas []picture.Area
	// index finds areas, boxes the place of a box in its area.
	index map[string]int
	boxes map[mapEnd]int
	lines []mapLine
}

type mapLine struct {
	src, dst mapEnd
	ports    string
	unknown  bool
}

// world adds the boxes and lines of a world.
func (m *mapping) world(w *World, f Filter, number int) {
	for _, e := range w.Graph.Endpoints() {
		if len(e.Workloads) > 0 && (f.Namespace == "" || e.Namespace == f.Namespace) && f.From == nil && f.To == nil {
			m.place(w, side{endpoint: e}, nil)
		}
	}
	q := w.query(f, number, false)
	each := func(l link) bool {
		if e := l.src.endpoint; e != nil && e.Kind == netpol.OfHost && len(e.Workloads) == 0 {
			return true
		}
		return m.link(w, q, &l)
	}
	_ = q.outgoing(each) && q.incoming(each)
}

// link adds the lines of a link, and reports whether there is room for more.
func (m *mapping) link(w *World, q *query, l *link) bool {
	sources, targets := m.place(w, l.src, q.from), m.place(w, l.dst, q.to)
	if l.unknown.Empty() && w.open(l.src, netpol.Egress) && w.open(l.dst, netpol.Ingress) {
		return true // the marks on both say so
	}
	for _, src := range sources {
		for _, dst := range targets {
			if !l.ports.Empty() {
				m.lines = append(m.lines, mapLine{src, dst, portWords(l.ports), false})
			}
			if !l.unknown.Empty() {
				m.lines = append(m.lines, mapLine{src, dst, portWords(l.unknown), true})
			}
			if len(m.lines) >= maxMapLines {
				m.title += fmt.Sprintf("; cut after %d connections", maxMapLines)
				return false
			}
		}
	}
	return true
}

// open reports whether no policy is about a side in a direction.
func (w *World) open(s side, d netpol.Direction) bool {
	if s.endpoint == nil || s.endpoint.Kind != netpol.OfPod {
		return true
	}
	c := w.Graph.Coverage(s.endpoint, d)
	return len(c.By) == 0 && c.Unknown == ""
}

// place adds the boxes of a side, and returns what they stand for.
func (m *mapping) place(w *World, s side, only *Target) (ends []mapEnd) {
	ends = w.mapEnds(s, only)
	for _, end := range ends {
		if _, seen := m.boxes[end]; seen {
			continue
		}
		i, seen := m.index[end.area]
		if !seen {
			i = len(m.areas)
			m.index[end.area] = i
			m.areas = append(m.areas, picture.Area{Name: end.area})
		}
		a := &m.areas[i]
		m.boxes[end] = len(a.Boxes)
		a.Boxes = append(a.Boxes, picture.Box{Name: end.name, Kind: end.kind, OpenIn: w.open(s, netpol.Ingress), OpenOut: w.open(s, netpol.Egress)})
	}
	return ends
}

// mapEnds are what a side stands for on a map, where all nodes are one.
func (w *World) mapEnds(s side, only *Target) (list []mapEnd) {
	prefix := ""
	if w.Name != "" {
		prefix = w.Name + ": "
	}
	switch e := s.endpoint; {
	case e == nil:
		return []mapEnd{{"", "addresses", prefix + s.outsideText()}}
	case e.Kind == netpol.OfWorld:
		return []mapEnd{{"", "addresses", prefix + e.Name}}
	case e.Kind == netpol.OfAPIServer:
		return []mapEnd{{"", "", prefix + e.Name}}
	case len(e.Workloads) == 0:
		return []mapEnd{{"", "", prefix + everyNode}}
	}
	for _, p := range w.workloadPeers(s.endpoint) {
		end := mapEnd{prefix + p.Namespace, p.Kind, p.Name}
		if p.Template != "" {
			end.name += " " + p.Template
		}
		if only.names(p) && !slices.Contains(list, end) {
			list = append(list, end)
		}
	}
	return list
}

// drawn is the map with its boxes numbered over all areas.
func (m *mapping) drawn() picture.Map {
	first := make([]int, len(m.areas))
	for i := 1; i < len(m.areas); i++ {
		first[i] = first[i-1] + len(m.areas[i-1].Boxes)
	}
	number := func(e mapEnd) int { return first[m.index[e.area]] + m.boxes[e] }
	out := picture.Map{Title: m.title, Areas: m.areas}
	for _, l := range m.lines {
		out.Lines = append(out.Lines, picture.Line{From: number(l.src), To: number(l.dst), Ports: l.ports, Unknown: l.unknown})
	}
	return out
}
