package reach

import (
	"cmp"
	"slices"

	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// compareOrder is the order in which policies are asked.
func compareOrder(a, b *netpol.Policy) int {
	return cmp.Or(compareTiers(a.Tier, b.Tier), cmp.Compare(a.Order, b.Order),
		cmp.Compare(a.Name, b.Name), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind))
}

func compareTiers(a, b netpol.Tier) int {
	return cmp.Or(cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Order, b.Order), cmp.Compare(a.Name, b.Name))
}

// An entry is what a rule asks of one group of peers.
type entry struct {
	action netpol.Action
	peers  *answer
	ports  ports.Set
	// named are ports of the subject, by name.
	named []netpol.NamedPort
	// sure is unset where it is not known whether the rule matches.
	sure bool
	// some is set where the rule allows not every request.
	some bool
}

// A side is the rules of a policy in one direction.
type side struct {
	isolates bool
	named    bool // some entry names ports of the subject
	twofold  bool // some entry has other peers over IPv6
	entries  []entry
}

// A compiler translates policies into what a machine runs.
type compiler struct {
	matcher  *matcher
	universe *universe
	// named are the answers of callers.
	named map[netpol.NamedPort][]*caller
}

// compile translates the rules of a policy in one direction, nil for none.
func (c *compiler) compile(p *netpol.Policy, d netpol.Direction) *side {
	rules := p.Side(d)
	if rules == nil {
		return nil
	}
	s := &side{isolates: rules.Isolates}
	if rules.Unknown != "" {
		everyone := c.matcher.answer(netpol.Everyone())
		for _, action := range []netpol.Action{netpol.Allow, netpol.Deny} {
			s.entries = append(s.entries, entry{action: action, peers: everyone, ports: ports.All()})
		}
	}
	for i := range rules.List {
		r := &rules.List[i]
		e := entry{action: r.Action, peers: c.matcher.answer(r.Peers), ports: r.Ports.Set, sure: r.Unknown == "", some: r.Limits != ""}
		s.twofold = s.twofold || e.peers.six != nil
		if d == netpol.Ingress {
			e.named = r.Ports.Named
			s.named = s.named || len(e.named) > 0
			s.entries = append(s.entries, e)
			continue
		}
		if !e.ports.Empty() {
			s.entries = append(s.entries, e)
		}
		for _, n := range r.Ports.Named {
			s.entries = append(s.entries, c.resolve(e, n)...)
		}
	}
	return s
}

// resolve splits an entry by what its peers call a port.
func (c *compiler) resolve(e entry, n netpol.NamedPort) (list []entry) {
	for _, r := range c.callers(n) {
		list = append(list, entry{action: e.action, peers: e.peers.among(r.members), ports: r.ports, sure: e.sure && r.sure, some: e.some})
	}
	return list
}

// A caller is the endpoints that mean the same by the name of a port.
type caller struct {
	ports   ports.Set
	sure    bool
	members bitset
}

// callers are who has a port of a name.
func (c *compiler) callers(n netpol.NamedPort) []*caller {
	if list, known := c.named[n]; known {
		return list
	}
	var list []*caller
	byKey := map[string]*caller{}
	for _, m := range c.universe.members {
		if len(m.ports) == 0 && m.portsUnknown == "" {
			continue
		}
		sure, maybe, _ := m.named(n)
		for i, set := range []ports.Set{sure, maybe} {
			if set.Empty() {
				continue
			}
			key := string(rune(i)) + set.Key()
			if byKey[key] == nil {
				byKey[key] = &caller{ports: set, sure: i == 0}
				list = append(list, byKey[key])
			}
			byKey[key].members = byKey[key].members.with(int32(m.ID))
		}
	}
	c.named[n] = list
	return list
}

// A chain is the policies that are about an endpoint, in the order in which they are
// asked: those before the last, by their number in chains, and the last.
type chain struct {
	before int32
	policy int32
	sure   bool
	named  bool // some policy of the chain names ports of its subject
	// twofold is set where some policy of the chain has other peers over IPv6.
	twofold bool
}

// chain finds for every endpoint the policies that are about it in one direction.
// Endpoints with the same policies get the same chain. The first chain is empty.
func (g *Graph) chain(m *matcher, d netpol.Direction) {
	dir := g.directions[d]
	dir.chains, dir.bare = []chain{{}}, map[string][]int32{}
	twofold := false
	for f := range dir.chainOf {
		if f == int(ipv6) && !twofold {
			dir.chainOf[ipv6] = dir.chainOf[ipv4]
			break
		}
		dir.chainOf[f] = make([]int32, len(g.endpoints))
		for i, p := range g.policies {
			if p.Side(d) == nil {
				continue
			}
			subject := m.answer(p.Subject)
			twofold = twofold || subject.six != nil
			dir.extend(dir.chainOf[f], subject.in(family(f)).yes, int32(i), true)
			dir.extend(dir.chainOf[f], subject.in(family(f)).maybe, int32(i), false)
		}
	}
	for i, p := range g.policies {
		if p.Side(d) != nil {
			namespace := namespaceOf(p.Subject)
			dir.bare[namespace] = append(dir.bare[namespace], int32(i))
		}
	}
}

// namespaceOf is the only namespace that an expression can mean pods of, "" where it
// may be any.
func namespaceOf(x netpol.Expr) string {
	switch x := x.(type) {
	case netpol.Named:
		if x.Of == netpol.Namespace {
			return x.Name
		}
	case netpol.Unknown:
		return namespaceOf(x.Within)
	case netpol.Every:
		for _, part := range x {
			if name := namespaceOf(part); name != "" {
				return name
			}
		}
	}
	return ""
}

// extend puts a policy at the end of the chains of endpoints.
func (dir *direction) extend(of []int32, members bitset, policy int32, sure bool) {
	longer := map[int32]int32{}
	for id := range members.all() {
		last := of[id]
		to, known := longer[last]
		if !known {
			to = int32(len(dir.chains))
			dir.chains = append(dir.chains, chain{before: last, policy: policy, sure: sure})
			longer[last] = to
		}
		of[id] = to
	}
}

// mark notes of every chain what its programs depend on.
func (dir *direction) mark() {
	for i := 1; i < len(dir.chains); i++ {
		c := &dir.chains[i]
		before, s := dir.chains[c.before], dir.sides[c.policy]
		c.named, c.twofold = s.named || before.named, s.twofold || before.twofold
	}
}

// links are the policies of a chain in the order in which they are asked.
func (dir *direction) links(last int32) []chain {
	var list []chain
	for at := last; at != 0; at = dir.chains[at].before {
		list = append(list, dir.chains[at])
	}
	slices.Reverse(list)
	return list
}

// places adds the places of the policies of a chain.
func (dir *direction) places(to []int32, last int32) []int32 {
	for at := last; at != 0; at = dir.chains[at].before {
		to = append(to, dir.chains[at].policy)
	}
	return to
}

// A stage is a tier as far as it is about one endpoint.
type stage struct {
	tier netpol.Tier
	// isolated is whether what no entry decides is decided by the tier's default.
	isolated truth
	rounds   []round
}

// A round is the lists of entries that are asked each by itself, for nobody knows in
// which order; most often it is one list.
type round struct {
	order float64
	lists [][]entry
}

// stages are the tiers of a chain in the order in which they are asked, for a subject
// with certain names of ports.
func (g *Graph) stages(last int32, d netpol.Direction, subject *member) (stages []*stage) {
	dir := g.directions[d]
	for _, link := range dir.links(last) {
		tier := g.policies[link.policy].Tier
		if n := len(stages); n == 0 || compareTiers(stages[n-1].tier, tier) != 0 {
			stages = append(stages, &stage{tier: tier})
		}
		stages[len(stages)-1].add(g.policies[link.policy], dir.sides[link.policy], link.sure, subject)
	}
	for _, s := range stages {
		for _, r := range s.rounds {
			for i, list := range r.lists {
				if s.tier.DenyFirst {
					slices.SortStableFunc(list, func(a, b entry) int { return cmp.Compare(late(a), late(b)) })
				}
				r.lists[i] = together(list)
			}
		}
	}
	return stages
}

// late is 0 for the entries that a tier asks first where it asks what denies first.
func late(e entry) int {
	if e.action == netpol.Deny {
		return 0
	}
	return 1
}

// add appends a policy's rules, those about its own ports with their numbers.
func (s *stage) add(p *netpol.Policy, of *side, sure bool, subject *member) {
	if of.isolates && sure {
		s.isolated = isSo
	} else if of.isolates && s.isolated == isNot {
		s.isolated = mayBe
	}
	into := s.list(p)
	for _, e := range of.entries {
		e.sure = e.sure && sure
		named := e.named
		e.named = nil
		var possible ports.Set
		for _, n := range named {
			sure, maybe, _ := subject.named(n)
			e.ports, possible = e.ports.Union(sure), possible.Union(maybe)
		}
		if !e.ports.Empty() {
			*into = append(*into, e)
		}
		if !possible.Empty() {
			e.ports, e.sure = possible, false
			*into = append(*into, e)
		}
	}
}

// list is where the entries of the next policy belong.
func (s *stage) list(p *netpol.Policy) *[]entry {
	n := len(s.rounds)
	if n == 0 || p.Tier.Unordered && s.rounds[n-1].order != p.Order {
		s.rounds = append(s.rounds, round{order: p.Order})
		n++
	}
	r := &s.rounds[n-1]
	if len(r.lists) == 0 || p.Tier.Unordered {
		r.lists = append(r.lists, nil)
	}
	return &r.lists[len(r.lists)-1]
}

// together joins entries for the same peers among neighbours that differ in peers and
// ports alone: in which order those are asked does not matter.
func together(entries []entry) []entry {
	var list []entry
	at := map[*answer]int{}
	for i, e := range entries {
		if i > 0 && (e.action != entries[i-1].action || e.sure != entries[i-1].sure || e.some != entries[i-1].some) {
			clear(at)
		}
		if first, known := at[e.peers]; known {
			list[first].ports = list[first].ports.Union(e.ports)
			continue
		}
		at[e.peers] = len(list)
		list = append(list, e)
	}
	return list
}
