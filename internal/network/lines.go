package network

import (
	"iter"
	"maps"
	"slices"

	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A line is connections as people read them: destinations that one source reaches on
// the same ports are put together where they are a whole.
type line struct {
	src, dst place
	ports    ports.Set
	limited  bool
	// portText is the ports as people write them: TCP 80,443 (some requests only).
	portText string
}

func newLine(src, dst place, set ports.Set, limited bool) line {
	l := line{src, dst, set, limited, portWords(set)}
	if limited {
		l.portText += " (some requests only)"
	}
	return l
}

// A place is one end of a line.
type place struct {
	// group is the namespace of workloads, "" for others; pictures put them together.
	group string
	text  string
}

// What a place is called that is more than one peer.
const (
	everything = "everything"
	everyPod   = "every pod"
	everyNode  = "every node"
	butPods    = "everything but pods"
)

// lines yields what is allowed. Sources that stand for several workloads have a line
// for each of them.
func (c *Connectivity) lines() iter.Seq[line] {
	return func(yield func(line) bool) {
		for i, w := range c.Worlds {
			if !w.lines(c.Filter, i, yield) {
				return
			}
		}
	}
}

func (w *World) lines(f Filter, world int, yield func(line) bool) bool {
	all, q := newWhole(w), w.query(f, world, false)
	q.relevant = func(o *outcome) bool { return !o.ports.Empty() }
	var known memory[[]line]
	for _, src := range q.sources() {
		if src.Kind == netpol.OfWorld {
			continue
		}
		row := q.sweep.From(src)
		key := q.rowKey(src, row, func(o *outcome) int { return o.open })
		lines, found := known.get(key)
		if !found {
			lines = all.lines(q, src, row)
			known.put(key, lines, len(lines))
		}
		if !all.yield(side{endpoint: src}, q, lines, yield) {
			return false
		}
	}
	return all.inward(q, yield)
}

// lines are those of a source, which is still missing in them.
func (all *whole) lines(q *query, src *reach.Endpoint, row []reach.Stretch) []line {
	var g grouped
	q.linksFrom(src, row, func(l link) bool {
		g.add(&l)
		return true
	})
	return all.grouped(&g, q)
}

// inward yields the lines from outside: the sources are few, and each has all of its
// destinations together.
func (all *whole) inward(q *query, yield func(line) bool) bool {
	sources := map[string]*grouped{}
	src := map[string]side{}
	q.incoming(func(l link) bool {
		if l.ports.Empty() {
			return true
		}
		text := all.outsideName(l.src)
		if sources[text] == nil {
			sources[text], src[text] = &grouped{}, l.src
		}
		sources[text].add(&l)
		return true
	})
	for _, text := range slices.Sorted(maps.Keys(sources)) {
		if !all.yield(src[text], q, all.grouped(sources[text], q), yield) {
			return false
		}
	}
	return true
}

// yield yields lines for each place that a source is.
func (all *whole) yield(src side, q *query, lines []line, yield func(line) bool) bool {
	if len(lines) == 0 {
		return true
	}
	for _, at := range all.places(src, q.from) {
		for _, l := range lines {
			l.src = at
			if !yield(l) {
				return false
			}
		}
	}
	return true
}

// A grouped is the destinations of a source, by what it may open to them.
type grouped struct {
	order []int
	by    map[int]*group
}

type group struct {
	ports   ports.Set
	limited bool
	dst     []side
}

func (g *grouped) add(l *link) {
	if l.ports.Empty() {
		return
	}
	if g.by == nil {
		g.by = map[int]*group{}
	}
	if g.by[l.open] == nil {
		g.by[l.open] = &group{ports: l.ports, limited: l.limited}
		g.order = append(g.order, l.open)
	}
	g.by[l.open].join(l.dst)
}

// join adds a destination. Addresses of one name, which may have been apart for what is
// not known of them, are one again; they come last.
func (g *group) join(s side) {
	for i := len(g.dst) - 1; i >= 0; i-- {
		have := &g.dst[i]
		switch {
		case have.endpoint != nil && have.endpoint.Kind != netpol.OfWorld:
			i = 0
		case have.endpoint == nil && s.endpoint == nil:
			have.outside, have.called = have.outside.Union(s.outside), ""
			return
		case have.endpoint != nil && s.endpoint != nil && have.endpoint.Name == s.endpoint.Name && s.endpoint.Kind == netpol.OfWorld:
			both := *have.endpoint
			both.Addresses = both.Addresses.Union(s.endpoint.Addresses)
			have.endpoint = &both
			return
		}
	}
	g.dst = append(g.dst, s)
}

// A whole knows what is all of something in a world.
type whole struct {
	*World
	// pods and nodes count the endpoints of each sort, inNamespace pods.
	pods, nodes int
	inNamespace map[string]int
	// named are all addresses of each name, with none for the API server.
	named map[string]cidr.Set
	// workloads counts the peers of a namespace.
	workloads map[string]int
}

func newWhole(w *World) *whole {
	all := &whole{World: w, inNamespace: map[string]int{}, workloads: map[string]int{}, named: map[string]cidr.Set{}}
	for _, e := range w.Graph.Endpoints() {
		switch {
		case len(e.Workloads) > 0:
			all.pods++
			all.inNamespace[e.Namespace]++
			all.workloads[e.Namespace] += len(w.workloadPeers(e))
		case e.Kind == netpol.OfHost:
			all.nodes++
		case e.Kind == netpol.OfAPIServer:
			all.named[e.Name] = cidr.Set{}
		case !unnamed(e):
			all.named[e.Name] = all.named[e.Name].Union(e.Addresses)
		}
	}
	return all
}

// grouped are the lines to destinations that were put together.
func (all *whole) grouped(g *grouped, q *query) (list []line) {
	for _, open := range g.order {
		part := g.by[open]
		for _, dst := range all.destinations(part.dst, q.to) {
			list = append(list, newLine(place{}, dst, part.ports, part.limited))
		}
	}
	return list
}

// places are a side's peers as places.
func (all *whole) places(s side, only *Target) (list []place) {
	if s.endpoint == nil || s.endpoint.Kind == netpol.OfWorld {
		return []place{{text: all.in(all.outsideName(s))}}
	}
	for p := range all.peers(s) {
		if only.names(p) {
			list = append(list, peerPlace(p))
		}
	}
	return list
}

func peerPlace(p Peer) place { return place{p.Namespace, p.String()} }

func (all *whole) in(text string) string {
	if all.Name != "" {
		return all.Name + ": " + text
	}
	return text
}

// outsideName is what addresses outside are called.
func (all *whole) outsideName(s side) string {
	switch e := s.endpoint; {
	case e == nil:
		return s.outsideText()
	case e.Name == metadataName && all.isWhole(e):
		return e.Name
	default:
		return e.Name + " (" + prefixText(e.Addresses) + ")"
	}
}

func (s side) outsideText() string {
	if s.called != "" {
		return s.called
	}
	return outsideText(s.outside)
}

// isWhole reports whether an endpoint is all that has its name.
func (all *whole) isWhole(e *reach.Endpoint) bool {
	return e.Kind != netpol.OfWorld || all.named[e.Name].Equal(e.Addresses)
}

// destinations are the fewest places that are exactly some sides.
func (all *whole) destinations(sides []side, to *Target) (list []place) {
	var pods, nodes, others []side
	var away *side
	for i := range sides {
		s := sides[i]
		switch e := s.endpoint; {
		case e == nil:
			away = &sides[i]
		case len(e.Workloads) > 0:
			pods = append(pods, s)
		case e.Kind == netpol.OfHost:
			nodes = append(nodes, s)
		default:
			others = append(others, s)
		}
	}
	// Where only a part of the addresses of a name is reached, the rest is missing in
	// away, too: a set that is everything has all of all names.
	if to == nil && len(nodes) == all.nodes && len(others) == len(all.named) && away != nil && outsideText(away.outside) == anyOutside {
		if len(pods) == all.pods {
			return []place{{text: all.in(everything)}}
		}
		return append(all.workloadPlaces(pods, to), place{text: all.in(butPods)})
	}
	list = all.workloadPlaces(pods, to)
	if len(nodes) == all.nodes && all.nodes > 1 && to == nil {
		list = append(list, place{text: all.in(everyNode)})
		nodes = nil
	}
	for _, s := range slices.Concat(nodes, others) {
		list = append(list, all.places(s, to)...)
	}
	if away != nil {
		list = append(list, all.places(*away, to)...)
	}
	return list
}

// workloadPlaces are the fewest places that are exactly some endpoints of pods.
func (all *whole) workloadPlaces(pods []side, to *Target) (list []place) {
	byNamespace := map[string][]side{}
	for _, s := range pods {
		byNamespace[s.endpoint.Namespace] = append(byNamespace[s.endpoint.Namespace], s)
	}
	if to == nil && len(pods) == all.pods && len(byNamespace) > 1 {
		return []place{{text: all.in(everyPod)}}
	}
	for _, ns := range slices.Sorted(maps.Keys(byNamespace)) {
		if to == nil && len(byNamespace[ns]) == all.inNamespace[ns] && all.workloads[ns] > 1 {
			list = append(list, place{ns, all.in(ns + "/*")})
			continue
		}
		for _, s := range byNamespace[ns] {
			list = append(list, all.places(s, to)...)
		}
	}
	return list
}

// A doubt is a reason why connections are not known, and how many those are.
type doubt struct {
	reason string
	count  int
	// first is one of them.
	first Connection
}

// doubts counts what is not known, by reason, most first.
func (c *Connectivity) doubts() []doubt { return countDoubts(c.Unknown()) }

func countDoubts(rows iter.Seq[Connection]) (list []doubt) {
	index := map[string]int{}
	for row := range rows {
		i, seen := index[row.Reason]
		if !seen {
			i = len(list)
			index[row.Reason] = i
			list = append(list, doubt{reason: row.Reason, first: row})
		}
		list[i].count++
	}
	slices.SortStableFunc(list, func(a, b doubt) int { return b.count - a.count })
	return list
}

// portWords writes ports as people say them: TCP 80,443, all, all but TCP 22.
func portWords(set ports.Set) string {
	missing := ports.All().Minus(set)
	if n := len(missing.Ranges()); n > 0 && n < len(set.Ranges()) && n <= maxPrefixes {
		return "all but " + missing.String()
	}
	return set.String()
}
