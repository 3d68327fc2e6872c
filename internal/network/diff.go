package network

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A Diff is the connections that a change opens and closes.
type Diff struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Opened are connections that were denied and are allowed, Closed the reverse. What
	// is there only after the change has had no connections before.
	Opened []Connection `json:"opened"`
	Closed []Connection `json:"closed"`
	// MayOpen and MayClose are those of which it was not known before, or is not known
	// after, whether they are allowed: Reason says which. What is unknown in both is in
	// neither.
	MayOpen  []Connection   `json:"mayOpen"`
	MayClose []Connection   `json:"mayClose"`
	Warnings []string       `json:"warnings"`
	Gaps     []evidence.Gap `json:"gaps"`

	// before and after are all peers, for what people read.
	before, after census
}

// Compare works out what a change does. Filter limits what is asked about; its From
// and To are not used.
func Compare(before, after *World, f Filter) *Diff {
	d := &Diff{APIVersion: APIVersion, Kind: DiffKind, Opened: []Connection{}, Closed: []Connection{}, MayOpen: []Connection{}, MayClose: []Connection{},
		Warnings: []string{}, Gaps: []evidence.Gap{}, before: newCensus(before), after: newCensus(after)}
	c := &comparison{diff: d, filter: f, before: before, after: after}
	c.gather()
	for _, one := range c.inside {
		for _, dst := range c.inside {
			c.write(c.changes(one, dst))
		}
		var to, from []change
		for _, away := range c.outside {
			to = append(to, c.changes(one, away)...)
			if away.name == "" { // nobody connects from where metadata are served
				from = append(from, c.changes(away, one)...)
			}
		}
		c.write(c.merge(to, func(x *change) **party { return &x.dst }))
		c.write(c.merge(from, func(x *change) **party { return &x.src }))
	}
	for _, list := range []*[]Connection{&d.Opened, &d.Closed, &d.MayOpen, &d.MayClose} {
		slices.SortStableFunc(*list, func(a, b Connection) int { return cmp.Or(comparePeers(a.Src, b.Src), comparePeers(a.Dst, b.Dst)) })
	}
	return d
}

// A party is an end of connections in both worlds: peers that neither tells apart, or
// addresses. It has no endpoints in a world where it is not.
type party struct {
	peers         []Peer
	namespace     string
	other         Peer // a node or the API server
	outside       cidr.Set
	name          string // of the addresses
	before, after []*reach.Endpoint
}

// all are the peers that a party stands for.
func (p *party) all() (list []Peer) {
	switch {
	case len(p.peers) > 0:
		return p.peers
	case p.outside.Empty():
		return []Peer{p.other}
	}
	for _, prefix := range p.outside.Prefixes() {
		list = append(list, Peer{CIDR: prefix.String(), Range: p.name})
	}
	return list
}

type comparison struct {
	diff          *Diff
	filter        Filter
	before, after *World
	// inside are the parties in the cluster, outside the addresses.
	inside, outside []*party
	free            outside
}

// asked reports whether connections between two parties are asked about. Those of
// nodes and the API server with one another are no policy's business.
func (c *comparison) asked(src, dst *party) bool {
	ns := c.filter.Namespace
	return (len(src.peers) > 0 || len(dst.peers) > 0) && (ns == "" || src.namespace == ns || dst.namespace == ns)
}

// gather finds the parties: workloads by name, nodes, the API server, and the
// addresses outside, cut along the edges of both worlds.
func (c *comparison) gather() {
	ends := map[Peer]*[2][]*reach.Endpoint{}
	for i, w := range []*World{c.before, c.after} {
		for _, e := range w.Graph.Endpoints() {
			for _, p := range w.workloadPeers(e) {
				p.Cluster = ""
				if ends[p] == nil {
					ends[p] = &[2][]*reach.Endpoint{}
				}
				ends[p][i] = appendNew(ends[p][i], e)
			}
		}
	}
	classes := map[string]*party{}
	for p, both := range ends {
		key := p.Namespace + "\x00" + idsOf(both[0]) + "/" + idsOf(both[1])
		if classes[key] == nil {
			classes[key] = &party{namespace: p.Namespace, before: both[0], after: both[1]}
		}
		classes[key].peers = append(classes[key].peers, p)
	}
	for _, one := range classes {
		slices.SortFunc(one.peers, comparePeers)
		c.inside = append(c.inside, one)
	}
	slices.SortFunc(c.inside, func(a, b *party) int { return comparePeers(a.peers[0], b.peers[0]) })
	c.gatherNodes()
	c.inside = append(c.inside, &party{other: Peer{Kind: APIServerKind, Name: c.after.Graph.APIServer().Name},
		before: []*reach.Endpoint{c.before.Graph.APIServer()}, after: []*reach.Endpoint{c.after.Graph.APIServer()}})
	c.gatherOutside()
}

func idsOf(list []*reach.Endpoint) string {
	var b strings.Builder
	for _, e := range list {
		fmt.Fprintf(&b, "%d,", e.ID)
	}
	return b.String()
}

// gatherNodes matches nodes by name. Where one world has none, its one endpoint for
// all nodes stands for each.
func (c *comparison) gatherNodes() {
	var names []string
	for _, w := range []*World{c.before, c.after} {
		if len(w.Snap.Nodes) > 0 {
			for _, e := range w.Graph.Nodes() {
				names = append(names, e.Name)
			}
		}
	}
	if len(names) == 0 {
		names = []string{c.after.Graph.Nodes()[0].Name}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		find := func(w *World) (list []*reach.Endpoint) {
			for _, e := range w.Graph.Nodes() {
				if e.Name == name || len(w.Snap.Nodes) == 0 {
					list = append(list, e)
				}
			}
			return list
		}
		c.inside = append(c.inside, &party{other: Peer{Kind: NodeKind, Name: name}, before: find(c.before), after: find(c.after)})
	}
}

// gatherOutside cuts what both worlds take to be outside into parts that neither cuts.
func (c *comparison) gatherOutside() {
	var sets []cidr.Set
	var ends [2][]*reach.Endpoint
	for i, w := range []*World{c.before, c.after} {
		for _, e := range w.Graph.World() {
			if e.Name == "" || e.Name == metadataName {
				ends[i] = append(ends[i], e)
				sets = append(sets, e.Addresses)
			}
		}
	}
	c.free.free = cidr.All()
	for _, atom := range cidr.Atoms(sets) {
		for _, name := range []string{metadataName, ""} {
			find := func(list []*reach.Endpoint) (found []*reach.Endpoint) {
				for _, e := range list {
					if e.Name == name && e.Addresses.Covers(atom) {
						found = append(found, e)
					}
				}
				return found
			}
			one := &party{outside: atom, name: name, before: find(ends[0]), after: find(ends[1])}
			if len(one.before) > 0 && len(one.after) > 0 {
				c.outside = append(c.outside, one)
				c.free.free = c.free.free.Minus(atom)
			}
		}
	}
}

// A state is what becomes of connections between two parties in one world.
type state struct {
	allowed, unknown, limited ports.Set
	// limits is what the limited ones are restricted to.
	limits string
	reason string
}

func (c *comparison) state(w *World, src, dst []*reach.Endpoint) (s state) {
	for _, from := range src {
		for _, to := range dst {
			one := w.Graph.Between(from, to)
			s.allowed, s.unknown = s.allowed.Union(one.Ports), s.unknown.Union(one.Unknown)
			if one.Limited {
				x := w.Graph.Explain(from, to, one.Ports)
				s.limited = s.limited.Union(x.Limited)
				for _, step := range x.Steps {
					s.limits += step.Limits + "\n"
				}
			}
			if !one.Unknown.Empty() && s.reason == "" {
				s.reason = reasonOf(w.Graph.Explain(from, to, one.Unknown))
			}
		}
	}
	s.unknown = s.unknown.Minus(s.allowed)
	if f := c.filter.Ports; !f.Empty() {
		s.allowed, s.unknown, s.limited = s.allowed.Intersect(f), s.unknown.Intersect(f), s.limited.Intersect(f)
	}
	return s
}

// A change is one difference between two parties.
type change struct {
	list     *[]Connection
	src, dst *party
	ports    ports.Set
	limited  bool
	reason   string
}

// Why a connection that is open in both worlds changed, or may have.
const (
	onlySomeBefore = "before, it was open for certain requests only"
	onlySomeAfter  = "it is now open for certain requests only"
	otherRequests  = "it is open for other requests than before"
)

// changes are the differences between two parties.
func (c *comparison) changes(src, dst *party) (list []change) {
	if !c.asked(src, dst) {
		return nil
	}
	old, now := c.state(c.before, src.before, dst.before), c.state(c.after, src.after, dst.after)
	d := c.diff
	add := func(into *[]Connection, set ports.Set, limited ports.Set, reason string) {
		if !set.Empty() {
			list = append(list, change{into, src, dst, set, !limited.Intersect(set).Empty(), reason})
		}
	}
	possible, still := old.allowed.Union(old.unknown), now.allowed.Union(now.unknown)
	none := ports.Set{}
	add(&d.Opened, now.allowed.Minus(possible), now.limited, "")
	add(&d.Closed, old.allowed.Minus(still), old.limited, "")
	add(&d.MayOpen, now.unknown.Minus(possible), none, "not known after: "+now.reason)
	add(&d.MayOpen, now.allowed.Intersect(old.unknown), now.limited, "not known before: "+old.reason)
	add(&d.MayClose, old.unknown.Minus(still), none, "not known before: "+old.reason)
	add(&d.MayClose, old.allowed.Intersect(now.unknown), old.limited, "not known after: "+now.reason)
	both := old.allowed.Intersect(now.allowed)
	add(&d.Opened, both.Intersect(old.limited).Minus(now.limited), none, onlySomeBefore)
	add(&d.Closed, both.Intersect(now.limited).Minus(old.limited), none, onlySomeAfter)
	if old.limits != now.limits {
		add(&d.MayOpen, both.Intersect(old.limited).Intersect(now.limited), now.limited, otherRequests)
	}
	return list
}

// merge puts changes together that differ only in the addresses without a name.
func (c *comparison) merge(list []change, end func(*change) **party) (out []change) {
	index := map[string]int{}
	for _, one := range list {
		away := *end(&one)
		key := fmt.Sprintf("%p %s %s %t %s", one.list, away.name, one.ports.Key(), one.limited, one.reason)
		if i, seen := index[key]; seen {
			(*end(&out[i])).outside = (*end(&out[i])).outside.Union(away.outside)
			continue
		}
		index[key] = len(out)
		merged := *away
		*end(&one) = &merged
		out = append(out, one)
	}
	for i := range out {
		if away := *end(&out[i]); away.name == "" {
			away.outside = c.free.merged(away.outside, nil)
		}
	}
	return out
}

// write writes changes down, for each pair of the peers that the parties stand for.
func (c *comparison) write(list []change) {
	for _, one := range list {
		row := Connection{Ports: portList(one.ports), set: one.ports, Limited: one.limited, Reason: one.reason}
		for _, row.Src = range one.src.all() {
			for _, row.Dst = range one.dst.all() {
				*one.list = append(*one.list, row)
			}
		}
	}
}
