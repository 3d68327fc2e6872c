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
	size      int
	labels    [4]*labelIndex
	workloads map[*evidence.Workload]int32
	named     map[netpol.Named]*answer
	kinds     [4]bitset
	// world are the endpoints outside by their lowest address: as they are cut along
	// the edges of all sets, it tells of all their addresses.
	world []lowest
	// inside are the other endpoints by the addresses that they may have.
	inside []*located
	// blind is set where blocks of addresses mean no pods and no nodes.
	blind bool

	byKey   map[string]int
	answers []*answer
}

type lowest struct {
	address netip.Addr
	id      int32
}

// located are endpoints that may have the same addresses.
type located struct {
	kind      netpol.Kind
	addresses cidr.Set
	members   bitset
}

func newMatcher(u *universe, e netpol.Enforcement) *matcher {
	m := &matcher{size: len(u.members), named: map[netpol.Named]*answer{}, blind: e == netpol.Cilium, byKey: map[string]int{}, workloads: map[*evidence.Workload]int32{}}
	for o, holders := range u.byOwner {
		m.labels[o] = newLabelIndex(holders)
	}
	for k := range m.kinds {
		m.kinds[k] = newBitset(m.size)
	}
	places := map[string]*located{}
	for _, e := range u.members {
		id := int32(e.ID)
		m.kinds[e.Kind].set(id)
		for _, w := range e.Workloads {
			m.workloads[w] = id
		}
		if e.Kind == netpol.OfWorld {
			m.world = append(m.world, lowest{e.Addresses.Any(), id})
			continue
		}
		key := string(rune(e.Kind)) + e.Addresses.Key()
		if places[key] == nil {
			places[key] = &located{e.Kind, e.Addresses, newBitset(m.size)}
			m.inside = append(m.inside, places[key])
		}
		places[key].members.set(id)
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
		m.named[key] = &answer{yes: newBitset(m.size), maybe: newBitset(m.size)}
	}
	if why != "" {
		m.named[key].maybe.set(int32(e.ID))
	} else {
		m.named[key].yes.set(int32(e.ID))
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

// everyone are all endpoints.
func (m *matcher) everyone() bitset {
	all := newBitset(m.size)
	for id := range m.size {
		all.set(int32(id))
	}
	return all
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
			return answer{yes: m.everyone().minus(a.possible()), maybe: a.maybe}
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
	return m.once([]byte{'*'}, func(family) answer { return answer{maybe: m.everyone()} })
}

// once evaluates what has a key, if it is not known, for both families where one of
// the parts that it is made of differs between them.
func (m *matcher) once(key []byte, evaluate func(family) answer, parts ...int) int {
	if id, known := m.byKey[string(key)]; known {
		return id
	}
	a := evaluate(ipv4).normal()
	if slices.ContainsFunc(parts, func(id int) bool { return m.answers[id].six != nil }) {
		if six := evaluate(ipv6).normal(); !six.equal(a) {
			a.six = six
		}
	}
	id := len(m.answers)
	m.answers = append(m.answers, a)
	m.byKey[string(key)] = id
	return id
}

func (a answer) normal() *answer { return &answer{yes: a.yes.orNil(), maybe: a.maybe.orNil()} }

func (a *answer) equal(o *answer) bool {
	return slices.Equal(a.yes, o.yes) && slices.Equal(a.maybe, o.maybe)
}

// address is who has an address of a set, in each family.
func (m *matcher) address(x netpol.Address) int {
	key := append([]byte{'a'}, x.In.Key()...)
	if id, known := m.byKey[string(key)]; known {
		return id
	}
	four, six := m.located(x.In, ipv4).normal(), m.located(x.In, ipv6).normal()
	if !six.equal(four) {
		four.six = six
	}
	id := len(m.answers)
	m.answers = append(m.answers, four)
	m.byKey[string(key)] = id
	return id
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
	yes := m.everyone()
	possible := yes
	for _, id := range ids {
		a := m.answers[id].in(f)
		yes, possible = yes.intersect(a.yes), possible.intersect(a.possible())
	}
	return answer{yes: yes, maybe: possible.minus(yes)}
}

func (m *matcher) some(ids []int, f family) answer {
	yes, maybe := newBitset(m.size), newBitset(m.size)
	for _, id := range ids {
		for i, word := range m.answers[id].in(f).yes {
			yes[i] |= word
		}
		for i, word := range m.answers[id].in(f).maybe {
			maybe[i] |= word
		}
	}
	return answer{yes: yes, maybe: maybe.minus(yes)}
}

func (m *matcher) is(x netpol.Is) answer {
	if int(x.Kind) >= len(m.kinds) {
		return answer{}
	}
	return answer{yes: m.kinds[x.Kind]}
}

// pods is whose pods are those of one of the workloads.
func (m *matcher) pods(of []*evidence.Workload) int {
	yes := newBitset(m.size)
	for _, w := range of {
		if id, there := m.workloads[w]; there {
			yes.set(id)
		}
	}
	key := []byte{'p'}
	for _, word := range yes {
		key = binary.BigEndian.AppendUint64(key, word)
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
		return answer{maybe: m.everyone()}
	}
	yes, maybe := m.labels[l.Of].find(l, m.size)
	if negative(l.Op) {
		yes = m.everyone().minus(yes).minus(maybe)
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
	yes, maybe := newBitset(m.size), newBitset(m.size)
	for _, r := range set.Spans() {
		from, _ := slices.BinarySearchFunc(m.world, r.Lo, func(l lowest, a netip.Addr) int { return l.address.Compare(a) })
		for _, l := range m.world[from:] {
			if l.address.Compare(r.Hi) > 0 {
				break
			}
			yes.set(l.id)
		}
	}
	for _, in := range m.inside {
		into := maybe
		switch addressed(in.kind, in.addresses, set, f, m.blind) {
		case isNot:
			continue
		case isSo:
			into = yes
		}
		for i, word := range in.members {
			into[i] |= word
		}
	}
	return answer{yes: yes, maybe: maybe}
}
