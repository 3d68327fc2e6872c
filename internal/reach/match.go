package reach

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// An answer is whom an expression means: the endpoints that it surely means, and
// those of which it is not known. They are disjoint.
type answer struct {
	yes, maybe bitset
	// six is the answer for connections over IPv6, nil where it is the same.
	six *answer
}

// in is the answer for connections of a family.
func (a *answer) in(f family) *answer {
	if f == ipv6 && a.six != nil {
		return a.six
	}
	return a
}

func (a *answer) possible() bitset { return a.yes.union(a.maybe) }

// size is how much an answer takes up, about.
func (a *answer) size() int { return len(a.yes) + len(a.maybe) }

// among is the answer for some of the endpoints.
func (a *answer) among(members bitset) *answer {
	part := &answer{yes: a.yes.intersect(members), maybe: a.maybe.intersect(members)}
	if a.six != nil {
		part.six = a.six.among(members)
	}
	return part
}

// A matcher evaluates expressions over all endpoints at once. Each expression is
// evaluated once, however often it is written.
type matcher struct {
	everyone  bitset
	labels    [4]*labelIndex
	workloads map[*evidence.Workload]int32
	named     map[netpol.Named]*answer
	kinds     [4]bitset
	// world are the endpoints outside by their lowest address: as they are cut along
	// the edges of all sets, it tells of all their addresses.
	world []lowest
	// inside are the other endpoints by the addresses that they may have.
	inside []*located
	// blind is whether blocks of addresses mean no pods and no nodes.
	blind truth

	byKey   map[string]int
	answers []*answer
}

type lowest struct {
	address netip.Addr
	id      int32
}

// located are endpoints that may have the same addresses.
type located struct {
	kind    netpol.Kind
	parts   [2]cidr.Set // by family
	members bitset
}

func newMatcher(u *universe, blind truth) *matcher {
	m := &matcher{named: map[netpol.Named]*answer{}, blind: blind, byKey: map[string]int{}, workloads: map[*evidence.Workload]int32{}}
	for o, holders := range u.byOwner {
		m.labels[o] = newLabelIndex(holders)
	}
	places := map[string]*located{}
	for _, e := range u.members {
		id := int32(e.ID)
		m.everyone, m.kinds[e.Kind] = m.everyone.with(id), m.kinds[e.Kind].with(id)
		for _, w := range e.Workloads {
			m.workloads[w] = id
		}
		if e.Kind == netpol.OfWorld {
			m.world = append(m.world, lowest{e.Addresses.Any(), id})
			continue
		}
		key := string(rune(e.Kind)) + e.Addresses.Key()
		if places[key] == nil {
			places[key] = &located{kind: e.Kind, parts: [2]cidr.Set{ipv4.part(e.Addresses), ipv6.part(e.Addresses)}}
			m.inside = append(m.inside, places[key])
		}
		places[key].members = places[key].members.with(id)
		for _, o := range []netpol.Owner{netpol.Namespace, netpol.ServiceAccount, netpol.Node} {
			m.name(e, o)
		}
	}
	slices.SortFunc(m.world, func(a, b lowest) int { return a.address.Compare(b.address) })
	return m
}

// name notes that an endpoint, or what it belongs to, has a name.
func (m *matcher) name(e *member, o netpol.Owner) {
	name, why := e.ownerName(o)
	key := netpol.Named{Of: o, Name: name}
	if why != "" {
		key.Name = "" // whatever is asked for
	}
	if name == "" && why == "" {
		return
	}
	if m.named[key] == nil {
		m.named[key] = &answer{}
	}
	a := m.named[key]
	if why != "" {
		a.maybe = a.maybe.with(int32(e.ID))
	} else {
		a.yes = a.yes.with(int32(e.ID))
	}
}

// ownerName is the name of an endpoint's namespace, ServiceAccount or node, and why it
// is not known; both are empty where it has none.
func (e *member) ownerName(o netpol.Owner) (name, why string) {
	switch {
	case o == netpol.Namespace && e.unread && e.Namespace == "":
		return "", noNamespace
	case o == netpol.Namespace:
		return e.Namespace, ""
	case o == netpol.ServiceAccount && e.unread:
		return "", e.accountUnknown
	case o == netpol.ServiceAccount && len(e.Workloads) > 0:
		return e.account, e.accountUnknown
	case o == netpol.Node && e.Kind == netpol.OfHost && len(e.Workloads) == 0:
		if h := e.owners[netpol.Node]; h != nil && h.open != "" {
			return "", h.open
		}
		return e.Name, ""
	case o == netpol.Node && e.Kind == netpol.OfHost:
		if name := e.Workloads[0].Pod.NodeName; name != "" {
			return name, ""
		}
		return "", "the node of the pods is not known"
	}
	return "", ""
}

// answer is whom an expression means. Equal expressions have the same answer.
func (m *matcher) answer(x netpol.Expr) *answer { return m.answers[m.id(x)] }

// id is the number of the expression's answer.
func (m *matcher) id(x netpol.Expr) int {
	switch x := x.(type) {
	case netpol.Every:
		return m.joined('&', x)
	case netpol.Some:
		return m.joined('|', x)
	case netpol.Not:
		of := m.id(x.Of)
		return m.once(append([]byte{'!'}, binary.AppendUvarint(nil, uint64(of))...), func(f family) answer {
			a := m.answers[of].in(f)
			return answer{yes: m.everyone.minus(a.possible()), maybe: a.maybe}
		}, of)
	case netpol.Unknown:
		within := m.id(x.Within)
		return m.once(append([]byte{'?'}, binary.AppendUvarint(nil, uint64(within))...), func(f family) answer {
			return answer{maybe: m.answers[within].in(f).possible()}
		}, within)
	case netpol.Is:
		return m.once([]byte{'k', byte(x.Kind)}, func(family) answer { return m.is(x) })
	case netpol.Label:
		return m.once(labelKey(x), func(family) answer { return m.label(x) })
	case netpol.Named:
		return m.once(append([]byte{'n', byte(x.Of)}, x.Name...), func(family) answer { return m.owned(x) })
	case netpol.Pods:
		return m.pods(x.Of)
	case netpol.Address:
		return m.address(x)
	}
	return m.once([]byte{'*'}, func(family) answer { return answer{maybe: m.everyone} })
}

// once evaluates what has a key, if it is not known, for both families where one of
// the parts that it is made of differs between them.
func (m *matcher) once(key []byte, evaluate func(family) answer, parts ...int) int {
	if id, known := m.byKey[string(key)]; known {
		return id
	}
	four := evaluate(ipv4)
	if slices.ContainsFunc(parts, func(id int) bool { return m.answers[id].six != nil }) {
		return m.keep(key, four, evaluate(ipv6))
	}
	return m.keep(key, four, four)
}

// keep numbers an answer that is known for both families.
func (m *matcher) keep(key []byte, four, six answer) int {
	if !six.equal(four) {
		four.six = &six
	}
	id := len(m.answers)
	m.answers = append(m.answers, &four)
	m.byKey[string(key)] = id
	return id
}

func (a answer) equal(o answer) bool {
	return slices.Equal(a.yes, o.yes) && slices.Equal(a.maybe, o.maybe)
}

// address is who has an address of a set, in each family.
func (m *matcher) address(x netpol.Address) int {
	key := append([]byte{'a'}, x.In.Key()...)
	if id, known := m.byKey[string(key)]; known {
		return id
	}
	return m.keep(key, m.located(x.In, ipv4), m.located(x.In, ipv6))
}

// joined is all parts together, or any of them.
func (m *matcher) joined(how byte, parts []netpol.Expr) int {
	ids := make([]int, len(parts))
	for i, p := range parts {
		ids[i] = m.id(p)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if len(ids) == 1 {
		return ids[0]
	}
	key := []byte{how}
	for _, id := range ids {
		key = binary.AppendUvarint(key, uint64(id))
	}
	return m.once(key, func(f family) answer {
		if how == '&' {
			return m.every(ids, f)
		}
		return m.some(ids, f)
	}, ids...)
}

func (m *matcher) every(ids []int, f family) answer {
	// The smallest parts come first, so that little is made on the way.
	var parts []*answer
	for _, id := range ids {
		parts = append(parts, m.answers[id].in(f))
	}
	slices.SortFunc(parts, func(a, b *answer) int { return a.size() - b.size() })
	yes, possible := m.everyone, m.everyone
	for _, a := range parts {
		yes, possible = yes.intersect(a.yes), possible.intersect(a.possible())
	}
	return answer{yes: yes, maybe: possible.minus(yes)}
}

func (m *matcher) some(ids []int, f family) answer {
	var yes, maybe []bitset
	for _, id := range ids {
		a := m.answers[id].in(f)
		yes, maybe = append(yes, a.yes), append(maybe, a.maybe)
	}
	all := unite(yes)
	return answer{yes: all, maybe: unite(maybe).minus(all)}
}

func (m *matcher) is(x netpol.Is) answer {
	if int(x.Kind) >= len(m.kinds) {
		return answer{}
	}
	return answer{yes: m.kinds[x.Kind]}
}

// pods is whose pods are those of one of the workloads.
func (m *matcher) pods(of []*evidence.Workload) int {
	var ids []int32
	for _, w := range of {
		if id, there := m.workloads[w]; there {
			ids = append(ids, id)
		}
	}
	yes := bitsetOf(ids)
	key := []byte{'p'}
	for _, w := range yes {
		key = binary.BigEndian.AppendUint64(binary.AppendUvarint(key, uint64(w.at)), w.bits)
	}
	return m.once(key, func(family) answer { return answer{yes: yes} })
}

func labelKey(l netpol.Label) []byte {
	key := []byte{'l', byte(l.Of), byte(l.Op)}
	for _, text := range append([]string{l.Key}, l.Values...) {
		key = append(binary.AppendUvarint(key, uint64(len(text))), text...)
	}
	return key
}

func (m *matcher) label(l netpol.Label) answer {
	if int(l.Of) >= len(m.labels) {
		return answer{maybe: m.everyone}
	}
	yes, maybe := m.labels[l.Of].find(l)
	if negative(l.Op) {
		yes = m.everyone.minus(yes).minus(maybe)
	}
	return answer{yes: yes, maybe: maybe.minus(yes)}
}

func (m *matcher) owned(x netpol.Named) answer {
	if x.Of == netpol.Pod {
		return answer{maybe: m.kinds[netpol.OfPod].union(m.kinds[netpol.OfHost])}
	}
	var a answer
	if named := m.named[x]; named != nil && x.Name != "" {
		a.yes = named.yes
	}
	if unknown := m.named[netpol.Named{Of: x.Of}]; unknown != nil {
		a.maybe = unknown.maybe
	}
	return a
}

// located is who has an address of a set in a family. Endpoints outside have addresses
// of one family only.
func (m *matcher) located(set cidr.Set, f family) answer {
	var outside []int32
	var yes, maybe []bitset
	for _, r := range set.Spans() {
		from, _ := slices.BinarySearchFunc(m.world, r.Lo, func(l lowest, a netip.Addr) int { return l.address.Compare(a) })
		for _, l := range m.world[from:] {
			if l.address.Compare(r.Hi) > 0 {
				break
			}
			outside = append(outside, l.id)
		}
	}
	yes = append(yes, bitsetOf(outside))
	for _, in := range m.inside {
		switch addressed(in.kind, in.parts[f], set, m.blind) {
		case isSo:
			yes = append(yes, in.members)
		case mayBe:
			maybe = append(maybe, in.members)
		}
	}
	return answer{yes: unite(yes), maybe: unite(maybe)}
}
