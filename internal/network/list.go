package network

import (
	"encoding/binary"
	"fmt"
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

// A part is which of an outcome's ports are meant.
type part bool

const (
	allowed   part = false
	uncertain part = true
)

func (p part) of(o *outcome) ports.Set {
	if p == uncertain {
		return o.unknown
	}
	return o.ports
}

func (c *Connectivity) rows(which part) iter.Seq[Connection] {
	return func(yield func(Connection) bool) {
		for i, w := range c.Worlds {
			q := w.query(c.Filter, i, which == uncertain)
			q.relevant = func(o *outcome) bool { return !which.of(o).Empty() }
			each := func(l link) bool { return w.expand(&l, c.Filter, i, which.of(&l.outcome), which, yield) }
			if !q.outgoing(each) || !q.incoming(each) {
				return
			}
		}
	}
}

// expand yields a link for each pair of the peers that its sides stand for.
func (w *World) expand(l *link, f Filter, world int, set ports.Set, which part, yield func(Connection) bool) bool {
	row := Connection{Ports: l.list, set: set, Limited: l.limited}
	if which == uncertain {
		row.Ports, row.Limited, row.Reason = l.unsure, false, l.reason
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

// A link is what one side may open to another.
type link struct {
	src, dst side
	outcome
	// reason is why unknown is; "" where nothing is, or nobody asked.
	reason string
}

// An outcome is what becomes of the ports that are asked about.
type outcome struct {
	// number is the same for equal outcomes of one query, and another for others.
	number int
	// open is the same for outcomes that differ in what is not known only.
	open int
	// Ports and unknown are disjoint.
	ports, unknown ports.Set
	limited        bool
	// list is ports as documents have them, unsure unknown.
	list, unsure []Port
	// whole is set where all ports are open for all requests, asked for or not.
	whole bool
}

// key is the same for links that differ in their sides only.
func (l *link) key() outcomeKey { return outcomeKey{l.number, l.reason} }

type outcomeKey struct {
	number int
	reason string
}

// A query is one listing of links.
type query struct {
	*World
	filter   Filter
	from, to *Target
	reasons  bool
	outside  outside
	sweep    *reach.Sweep
	// outcomes are the sweep's, as far as they are asked for.
	outcomes []outcome
	numbers  map[string]int
	// relevant is of which outcomes links are made.
	relevant        func(*outcome) bool
	outward, inward fringe
}

func (w *World) query(f Filter, world int, reasons bool) *query {
	q := &query{World: w, filter: f, reasons: reasons, outside: newOutside(w.Graph.Endpoints()), sweep: w.Graph.NewSweep(),
		numbers: map[string]int{}, from: targetOf(f.From, world), to: targetOf(f.To, world)}
	q.relevant = func(o *outcome) bool { return !o.ports.Empty() || !o.unknown.Empty() }
	q.outward = fringe{end: func(l *link) *side { return &l.dst }, asked: q.to}
	q.inward = fringe{end: func(l *link) *side { return &l.src }, asked: q.from}
	return q
}

// outgoing yields the links whose source is in the cluster. The destinations outside
// are put together when a source is done.
func (q *query) outgoing(yield func(link) bool) bool {
	for _, src := range q.sources() {
		if src.Kind != netpol.OfWorld && !q.linksFrom(src, q.sweep.From(src), yield) {
			return false
		}
	}
	return true
}

func (q *query) sources() []*reach.Endpoint      { return q.ends(q.from) }
func (q *query) destinations() []*reach.Endpoint { return q.ends(q.to) }

// ends are the endpoints of a target, all for none.
func (q *query) ends(t *Target) []*reach.Endpoint {
	if t == nil {
		return q.Graph.Endpoints()
	}
	return t.Endpoints
}

// linksFrom yields the links of one source.
func (q *query) linksFrom(src *reach.Endpoint, row []reach.Stretch, yield func(link) bool) bool {
	inside, away := q.split(row)
	for o, dst := range q.asked(src, inside, q.to) {
		l := link{src: side{endpoint: src}, dst: side{endpoint: dst}, outcome: *o}
		q.explain(&l)
		if !yield(l) {
			return false
		}
	}
	for _, l := range q.together(&q.outward, src, away) {
		l.src = side{endpoint: src}
		if !yield(l) {
			return false
		}
	}
	return true
}

// incoming yields the links from addresses outside.
func (q *query) incoming(yield func(link) bool) bool {
	for _, dst := range q.destinations() {
		if dst.Kind == netpol.OfWorld {
			continue
		}
		for _, l := range q.together(&q.inward, dst, q.sweep.FromOutside(dst)) {
			l.dst = side{endpoint: dst}
			if !yield(l) {
				return false
			}
		}
	}
	return true
}

// split parts a row into endpoints in the cluster and those outside, which are last.
func (q *query) split(row []reach.Stretch) (inside, away []reach.Stretch) {
	first := len(q.Graph.Endpoints()) - len(q.Graph.World())
	i := len(row)
	for i > 0 && row[i-1].First >= first {
		i--
	}
	inside, away = row[:i:i], row[i:]
	if i > 0 && row[i-1].End > first {
		both := row[i-1]
		inside = append(row[:i-1:i-1], reach.Stretch{First: both.First, End: first, Outcome: both.Outcome})
		away = append([]reach.Stretch{{First: first, End: both.End, Outcome: both.Outcome}}, away...)
	}
	return inside, away
}

// A fringe is the links of a cluster's endpoints with addresses outside, to there or
// from there. It remembers those that were put together.
type fringe struct {
	end   func(*link) *side
	asked *Target
	known memory[[]link]
}

// together are the links of one endpoint with addresses outside, put together. The
// endpoint itself is still missing in them.
func (q *query) together(f *fringe, one *reach.Endpoint, row []reach.Stretch) []link {
	if len(row) == 0 {
		return nil
	}
	key := q.rowKey(one, row, func(o *outcome) int { return o.number })
	out, found := f.known.get(key)
	if found {
		return out
	}
	var list []link
	certain := true
	for o, away := range q.asked(one, row, f.asked) {
		if f == &q.inward && away.Name == metadataName {
			continue // nobody connects from where metadata are served
		}
		l := link{src: side{endpoint: one}, dst: side{endpoint: one}, outcome: *o}
		*f.end(&l) = side{endpoint: away}
		q.explain(&l)
		certain = certain && l.reason == ""
		list = append(list, l)
	}
	out = q.merge(list, f)
	if certain { // reasons are those of one endpoint
		f.known.put(key, out, len(out))
	}
	return out
}

// asked yields the peers in a row, as far as they are asked about.
func (q *query) asked(hub *reach.Endpoint, row []reach.Stretch, only *Target) iter.Seq2[*outcome, *reach.Endpoint] {
	var means map[*reach.Endpoint]bool
	if only != nil {
		means = map[*reach.Endpoint]bool{}
		for _, e := range only.Endpoints {
			means[e] = true
		}
	}
	ns := q.filter.Namespace
	return func(yield func(*outcome, *reach.Endpoint) bool) {
		for _, part := range row {
			a := q.outcome(part.Outcome)
			if !q.relevant(a) {
				continue
			}
			unlimited := a.whole && len(hub.Workloads) == 0
			for _, peer := range q.Graph.Endpoints()[part.First:part.End] {
				switch {
				case only != nil && !means[peer]:
				case unlimited && len(peer.Workloads) == 0: // neither is a pod, and no policy is about them
				case ns != "" && hub.Namespace != ns && peer.Namespace != ns:
				case !yield(a, peer):
					return
				}
			}
		}
	}
}

// rowKey is the same for endpoints with the same links but for themselves, as far as
// outcomes with the same number are the same.
func (q *query) rowKey(one *reach.Endpoint, row []reach.Stretch, number func(*outcome) int) string {
	key := []byte{0}
	if len(one.Workloads) > 0 {
		key[0] |= 1
	}
	if one.Namespace == q.filter.Namespace {
		key[0] |= 2
	}
	for i := 0; i < len(row); {
		first, same := row[i], number(q.outcome(row[i].Outcome))
		end := first.End
		for i++; i < len(row) && row[i].First == end && number(q.outcome(row[i].Outcome)) == same; i++ {
			end = row[i].End
		}
		for _, n := range []int{first.First, end - first.First, same} {
			key = binary.AppendUvarint(key, uint64(n))
		}
	}
	return string(key)
}

// outcome is an outcome of the sweep as far as it is asked for.
func (q *query) outcome(number int) *outcome {
	for i := len(q.outcomes); i <= number; i++ {
		c := q.sweep.Outcome(i)
		a := outcome{ports: c.Ports, unknown: c.Unknown, limited: c.Limited, whole: c.Ports.Equal(ports.All()) && !c.Limited}
		if f := q.filter.Ports; !f.Empty() {
			a.ports, a.unknown = a.ports.Intersect(f), a.unknown.Intersect(f)
		}
		a.list, a.unsure = portList(a.ports), portList(a.unknown)
		limited := fmt.Sprint(a.limited)
		a.open = q.number(a.ports.Key(), limited)
		a.number = q.number(a.ports.Key(), limited, a.unknown.Key())
		q.outcomes = append(q.outcomes, a)
	}
	return &q.outcomes[number]
}

// number is the same for the same words, and another for others.
func (q *query) number(words ...string) int {
	key := fmt.Sprintf("%q", words)
	number, known := q.numbers[key]
	if !known {
		number = 1 + len(q.numbers)
		q.numbers[key] = number
	}
	return number
}

// explain finds the reason for what is not known, if it is asked for.
func (q *query) explain(l *link) {
	if q.reasons && !l.unknown.Empty() {
		l.reason = reasonOf(q.Graph.Explain(l.src.endpoint, l.dst.endpoint, l.unknown))
	}
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
func (q *query) merge(list []link, f *fringe) (out []link) {
	type groupKey struct {
		name string
		outcomeKey
	}
	sets := map[groupKey][]cidr.Set{}
	keyOf := map[*reach.Endpoint]outcomeKey{}
	for i := range list {
		e := f.end(&list[i]).endpoint
		key := groupKey{e.Name, list[i].key()}
		keyOf[e] = key.outcomeKey
		if _, seen := sets[key]; !seen {
			out = append(out, list[i])
		}
		sets[key] = append(sets[key], e.Addresses)
	}
	for i := range out {
		l := &out[i]
		e, key := f.end(l).endpoint, l.key()
		set := cidr.Unite(sets[groupKey{e.Name, key}]...)
		if unnamed(e) {
			set = q.outside.merged(set, func(e *reach.Endpoint) bool { return keyOf[e] == key })
		}
		if f.asked != nil && !f.asked.Within.Empty() {
			set = set.Intersect(f.asked.Within)
		}
		if unnamed(e) {
			*f.end(l) = side{outside: set, called: outsideText(set)}
		} else {
			*f.end(l) = side{endpoint: &reach.Endpoint{ID: e.ID, Kind: e.Kind, Name: e.Name, Addresses: set}}
		}
	}
	return out
}

// A memory holds what was worked out before, so far as there is room. The zero memory
// is empty.
type memory[T any] struct {
	entries map[string]T
	// used is what the entries weigh together, in lines and bytes of keys.
	used int
}

// maxMemory bounds what a memory's entries weigh together.
const maxMemory = 1 << 20

func (m *memory[T]) get(key string) (T, bool) {
	entry, known := m.entries[key]
	return entry, known
}

// put remembers an entry. Where there is no room, all others are forgotten.
func (m *memory[T]) put(key string, entry T, lines int) {
	weight := 1 + lines + len(key)/64
	if m.used += weight; m.entries == nil || m.used > maxMemory {
		m.entries, m.used = map[string]T{}, weight
	}
	m.entries[key] = entry
}
