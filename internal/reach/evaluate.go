package reach

import (
	"encoding/binary"

	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A verdict is what one end of a connection makes of its ports: those that are surely
// allowed, and those of which it is not known. The rest is surely denied.
type verdict struct {
	allowed, unknown ports.Set
	// limited are allowed for some requests, and not or perhaps not for all.
	limited ports.Set
}

// and is what both verdicts together allow.
func (v verdict) and(o verdict) verdict {
	both := v.allowed.Intersect(o.allowed)
	possible := v.allowed.Union(v.unknown).Intersect(o.allowed.Union(o.unknown))
	return verdict{both, possible.Minus(both), v.limited.Union(o.limited).Intersect(both)}
}

// key is the same for equal verdicts, and another for others.
func (v verdict) key() string {
	var key []byte
	for _, set := range []ports.Set{v.allowed, v.unknown, v.limited} {
		text := set.Key()
		key = append(binary.AppendUvarint(key, uint64(len(text))), text...)
	}
	return string(key)
}

// A state is how far the evaluation for a group of peers has come.
type state struct {
	// live are the ports that no rule of the tier has decided, passed those that one
	// has left to the next tier. What may be either is in both.
	live, passed ports.Set
	// allow and deny are the ports that may have been decided so.
	allow, deny ports.Set
	// opened are the ports that are surely open for some requests.
	opened ports.Set
	// before is what earlier layers made of the connection.
	before verdict
	// start are the ports that were live, and open for some requests, before policies
	// that are asked each by itself; left are those that none of them has decided.
	start struct{ live, opened ports.Set }
	left  ports.Set
}

// A machine runs the program of one endpoint in one direction for all peers at once.
type machine struct {
	family family
	states []state
	of     []int32 // by peer
}

// run evaluates stages for every peer. The result is good until the next run.
func (m *machine) run(g *Graph, d netpol.Direction, stages []*stage, subject netpol.Kind) {
	all := ports.All()
	m.states = append(m.states[:0], state{live: all, before: verdict{allowed: all}})
	if m.of == nil {
		m.of = make([]int32, len(g.universe.members))
	}
	clear(m.of)
	hosts, others := g.hosts, g.others
	if subject != netpol.OfPod {
		hosts, others = nil, g.everyone
	}
	for i, s := range stages {
		for _, r := range s.rounds {
			m.round(r, g.everyone)
		}
		m.apply(others, func(before state) (state, bool) { return before.endTier(s, isNot), true })
		m.apply(hosts, func(before state) (state, bool) {
			return before.endTier(s, reachesOwnNode(s.tier, d, g.enforcement)), true
		})
		if i+1 < len(stages) && stages[i+1].tier.Layer == s.tier.Layer {
			continue
		}
		if s.tier.Layer == netpol.Network && d == netpol.Ingress && g.enforcement == netpol.Calico {
			m.apply(hosts, func(s state) (state, bool) { return state{live: ports.All(), before: s.before}, true })
		}
		m.apply(g.everyone, func(s state) (state, bool) { return s.endLayer(), true })
	}
}

// reachesOwnNode reports whether the default of a tier stands between a pod and the
// node that it runs on, which may be any: every pod is reached from its own node, and
// whether it reaches that one depends on the plugin. (Calico asks no policy at all of
// connections from a pod's own node.)
func reachesOwnNode(t netpol.Tier, d netpol.Direction, e netpol.Enforcement) truth {
	switch {
	case t.Layer != netpol.Network:
		return isNot
	case d == netpol.Ingress:
		return isSo
	case e == netpol.Kubernetes:
		return mayBe
	}
	return isNot
}

// round asks lists of entries, several each by itself.
func (m *machine) round(r round, everyone bitset) {
	if len(r.lists) == 1 {
		m.list(r.lists[0])
		return
	}
	m.apply(everyone, func(s state) (state, bool) { return s.startRound(), true })
	for _, list := range r.lists {
		m.list(list)
		m.apply(everyone, func(s state) (state, bool) { return s.nextInRound(), true })
	}
	m.apply(everyone, func(s state) (state, bool) { return s.endRound(), true })
}

// list asks entries in order.
func (m *machine) list(entries []entry) {
	for _, e := range entries {
		peers := e.peers.in(m.family)
		if e.sure {
			m.apply(peers.yes, func(s state) (state, bool) { return s.match(e) })
			m.apply(peers.maybe, func(s state) (state, bool) { return s.mayMatch(e) })
		} else {
			m.apply(peers.possible(), func(s state) (state, bool) { return s.mayMatch(e) })
		}
	}
}

// apply changes the state of peers: equal states into equal ones. A change that is
// none keeps the state.
func (m *machine) apply(peers bitset, change func(state) (state, bool)) {
	into := map[int32]int32{}
	from, to := int32(-1), int32(-1)
	for peer := range peers.all() {
		now := m.of[peer]
		if now != from {
			next, known := into[now]
			if !known {
				next = now
				if s, changed := change(m.states[now]); changed {
					next = int32(len(m.states))
					m.states = append(m.states, s)
				}
				into[now] = next
			}
			from, to = now, next
		}
		m.of[peer] = to
	}
}

// match is the state after a rule that surely matches.
func (s state) match(e entry) (state, bool) {
	hit := s.live.Intersect(e.ports)
	if hit.Empty() {
		return s, false
	}
	if e.some {
		// Requests that the rule does not allow go on to the next one.
		s.opened = s.opened.Union(hit.Minus(s.deny).Minus(s.passed))
		s.allow = s.allow.Union(hit)
		return s, true
	}
	s.live = s.live.Minus(hit)
	return s.decide(e.action, hit), true
}

// mayMatch is the state after a rule of which it is not known whether it matches.
func (s state) mayMatch(e entry) (state, bool) {
	hit := s.live.Intersect(e.ports)
	if hit.Empty() {
		return s, false
	}
	return s.decide(e.action, hit), true
}

func (s state) decide(a netpol.Action, hit ports.Set) state {
	switch a {
	case netpol.Allow:
		s.allow = s.allow.Union(hit)
	case netpol.Deny:
		s.deny = s.deny.Union(hit)
	case netpol.Pass:
		s.passed = s.passed.Union(hit)
	}
	return s
}

// startRound is the state before policies that are asked each by itself.
func (s state) startRound() state {
	s.start.live, s.start.opened, s.left = s.live, s.opened, s.live
	return s
}

// nextInRound is the state between two of them.
func (s state) nextInRound() state {
	s.left, s.live = s.left.Intersect(s.live), s.start.live
	return s
}

// endRound is the state after them: no request is surely let through that one of the
// others may have stopped.
func (s state) endRound() state {
	s.live = s.left
	s.opened = s.start.opened.Union(s.opened.Minus(s.deny).Minus(s.passed))
	return s
}

// endTier is the state after the tier's default, which exempts some peers.
func (s state) endTier(of *stage, exempt truth) state {
	if of.tier.Default == netpol.Deny && of.isolated != isNot {
		if exempt != isNot {
			s.allow = s.allow.Union(s.live)
		}
		if exempt != isSo {
			s.deny = s.deny.Union(s.live)
		}
		if of.isolated == isSo {
			s.live = ports.Set{}
		}
	}
	s.live, s.passed = s.live.Union(s.passed), ports.Set{}
	return s
}

// endLayer is the state after a layer: what nothing decided is allowed, and the next
// layer decides anew.
func (s state) endLayer() state {
	return state{live: ports.All(), before: s.before.and(s.verdict())}
}

func (s state) verdict() verdict {
	allow := s.allow.Union(s.live)
	sure := allow.Minus(s.deny)
	limited := s.opened.Intersect(s.deny)
	return verdict{
		allowed: sure.Union(limited),
		unknown: allow.Intersect(s.deny).Minus(limited),
		limited: limited,
	}
}
