package network

import (
	"iter"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A Connectivity is every connection of some worlds. It holds none of them: they are
// computed whenever they are asked for, so that a big cluster's need no memory.
type Connectivity struct {
	Worlds   []*World
	Filter   Filter
	Warnings []string
	Gaps     []evidence.Gap
}

// A Filter says which connections are asked for; the zero Filter, all.
type Filter struct {
	// Namespace is one that an end of the connection is in.
	Namespace string
	// From and To give, for each world, the ends; nil for all.
	From, To []*Target
	// Ports are those that are asked about; empty for all.
	Ports ports.Set
}

// Connections yields what is allowed, by source and destination. Connections from
// addresses outside come last, by destination. Connections between what are no pods are
// left out where no policy limits them.
func (c *Connectivity) Connections() iter.Seq[Connection] { return c.rows(allowed) }

// Unknown yields connections, each with the reason, of which it is not known whether
// they are allowed.
func (c *Connectivity) Unknown() iter.Seq[Connection] { return c.rows(uncertain) }

// A part is which of a link's ports are meant.
type part bool

const (
	allowed   part = false
	uncertain part = true
)

func (p part) of(l *link) ports.Set {
	if p == uncertain {
		return l.unknown
	}
	return l.ports
}

func (c *Connectivity) rows(which part) iter.Seq[Connection] {
	return func(yield func(Connection) bool) {
		for i, w := range c.Worlds {
			for l := range w.links(c.Filter, i, which == uncertain) {
				if set := which.of(&l); !set.Empty() && !w.expand(&l, c.Filter, i, set, which, yield) {
					return
				}
			}
		}
	}
}

// expand yields a link for each pair of the peers that its sides stand for.
func (w *World) expand(l *link, f Filter, world int, set ports.Set, which part, yield func(Connection) bool) bool {
	row := Connection{Ports: portList(set), set: set}
	if which == uncertain {
		row.Reason = l.reason
	} else {
		row.Limited = l.limited
	}
	from, to := targetOf(f.From, world), targetOf(f.To, world)
	for src := range w.peers(l.src) {
		if !from.names(src) {
			continue
		}
		for dst := range w.peers(l.dst) {
			row.Src, row.Dst = src, dst
			if to.names(dst) && !yield(row) {
				return false
			}
		}
	}
	return true
}

func targetOf(list []*Target, world int) *Target {
	if list == nil {
		return nil
	}
	return list[world]
}

// A link is what one side may open to another. Ports and unknown are disjoint.
type link struct {
	src, dst       side
	ports, unknown ports.Set
	limited        bool
	// reason is why unknown is; "" where nothing is, or nobody asked.
	reason string
}

// key is the same for links that differ in their sides only.
func (l *link) key() string {
	limited := "-"
	if l.limited {
		limited = "+"
	}
	return limited + l.ports.Key() + "/" + l.unknown.Key() + "/" + l.reason
}

// links yields the connections between sides, those from addresses outside last.
func (w *World) links(f Filter, world int, reasons bool) iter.Seq[link] {
	q := w.query(f, world, reasons)
	return func(yield func(link) bool) {
		if q.outgoing(yield) {
			q.incoming(yield)
		}
	}
}

// A query is one listing of links.
type query struct {
	*World
	filter   Filter
	from, to *Target
	reasons  bool
	outside  outside
}

func (w *World) query(f Filter, world int, reasons bool) *query {
	return &query{World: w, filter: f, reasons: reasons, outside: newOutside(w.Graph.Endpoints()),
		from: targetOf(f.From, world), to: targetOf(f.To, world)}
}

// outgoing yields the links whose source is in the cluster. The destinations outside
// are put together when a source is done.
func (q *query) outgoing(yield func(link) bool) bool {
	var away []link
	var src *reach.Endpoint
	flush := func() bool {
		merged := q.merge(away, q.to, func(l *link) *side { return &l.dst })
		away = away[:0]
		for _, l := range merged {
			if !yield(l) {
				return false
			}
		}
		return true
	}
	for c := range q.connections() {
		if c.Src.Kind == netpol.OfWorld {
			continue
		}
		if c.Src != src {
			if !flush() {
				return false
			}
			src = c.Src
		}
		l, asked := q.link(c)
		switch {
		case !asked:
		case c.Dst.Kind == netpol.OfWorld:
			away = append(away, l)
		case !yield(l):
			return false
		}
	}
	return flush()
}

// connections are those between all endpoints, or those that the filter names.
func (q *query) connections() iter.Seq[reach.Connection] {
	if q.from == nil && q.to == nil {
		return q.Graph.Connections()
	}
	sources, destinations := q.Graph.Endpoints(), q.Graph.Endpoints()
	if q.from != nil {
		sources = q.from.Endpoints
	}
	if q.to != nil {
		destinations = q.to.Endpoints
	}
	return func(yield func(reach.Connection) bool) {
		for _, src := range sources {
			for _, dst := range destinations {
				if src.Kind != netpol.OfWorld && !yield(q.Graph.Between(src, dst)) {
					return
				}
			}
		}
	}
}

// incoming yields the links from addresses outside.
func (q *query) incoming(yield func(link) bool) bool {
	sources, destinations := q.Graph.Endpoints(), q.Graph.Endpoints()
	if q.from != nil {
		sources = q.from.Endpoints
	}
	if q.to != nil {
		destinations = q.to.Endpoints
	}
	for _, dst := range destinations {
		if dst.Kind == netpol.OfWorld {
			continue
		}
		var list []link
		for _, src := range sources {
			if src.Kind != netpol.OfWorld || src.Name == metadataName {
				continue // nobody connects from where metadata are served
			}
			if l, asked := q.link(q.Graph.Between(src, dst)); asked {
				list = append(list, l)
			}
		}
		for _, l := range q.merge(list, q.from, func(l *link) *side { return &l.src }) {
			if !yield(l) {
				return false
			}
		}
	}
	return true
}

// link is a connection as far as it is asked for.
func (q *query) link(c reach.Connection) (l link, asked bool) {
	if len(c.Src.Workloads)+len(c.Dst.Workloads) == 0 && c.Ports.Equal(ports.All()) && !c.Limited {
		return l, false // neither is a pod, and no policy is about them
	}
	ns := q.filter.Namespace
	if ns != "" && c.Src.Namespace != ns && c.Dst.Namespace != ns {
		return l, false
	}
	l = link{src: side{endpoint: c.Src}, dst: side{endpoint: c.Dst}, ports: c.Ports, unknown: c.Unknown, limited: c.Limited}
	if !q.filter.Ports.Empty() {
		l.ports, l.unknown = l.ports.Intersect(q.filter.Ports), l.unknown.Intersect(q.filter.Ports)
	}
	if l.ports.Empty() && l.unknown.Empty() {
		return l, false
	}
	if q.reasons && !l.unknown.Empty() {
		l.reason = reasonOf(q.Graph.Explain(c.Src, c.Dst, l.unknown))
	}
	return l, true
}

// reasonOf is why a question has no answer.
func reasonOf(e reach.Explanation) string {
	for _, s := range e.Steps {
		if s.Unknown != "" {
			return s.Unknown
		}
	}
	return "it hangs on something that is not known"
}

// merge puts links together that differ only in the addresses on one side: those
// without a name, and those of one name.
func (q *query) merge(list []link, asked *Target, end func(*link) *side) (out []link) {
	sets := map[string]cidr.Set{}
	keyOf := map[*reach.Endpoint]string{}
	for i := range list {
		e := end(&list[i]).endpoint
		key := e.Name + "\x00" + list[i].key()
		keyOf[e] = list[i].key()
		if _, seen := sets[key]; !seen {
			out = append(out, list[i])
		}
		sets[key] = sets[key].Union(e.Addresses)
	}
	for i := range out {
		l := &out[i]
		e, key := end(l).endpoint, l.key()
		set := sets[e.Name+"\x00"+key]
		if unnamed(e) {
			set = q.outside.merged(set, func(e *reach.Endpoint) bool { return keyOf[e] == key })
		}
		if asked != nil && !asked.Within.Empty() {
			set = set.Intersect(asked.Within)
		}
		if unnamed(e) {
			*end(l) = side{outside: set}
		} else {
			*end(l) = side{endpoint: &reach.Endpoint{ID: e.ID, Kind: e.Kind, Name: e.Name, Addresses: set}}
		}
	}
	return out
}
