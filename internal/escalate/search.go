package escalate

import (
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/rbac"
)

type searchKey struct {
	to  Target
	lax bool
}

// A search knows how far every state is from a target. It goes back from the
// target, so that its cost is that of the edges, not of the starts.
type search struct {
	searchKey
	goals []*state
	dist  []int          // by state, -1 for those that do not reach it
	steps map[*place]int // hops from whoever is at the place
	// next is the state that a place comes to first.
	next map[*place]*state
	// chosen are the choices of principals.
	chosen map[*principal]choice
}

// start is the state of a subject that is asked about.
func (g *Graph) start(who rbac.Subject) *state {
	if ns, name, ok := splitAccount(who.User); ok {
		if s := g.byAccount[account{ns, name}]; s != nil {
			return s
		}
	}
	known := len(g.places)
	s := g.subject(aStart, who)
	s.principals = append(s.principals, g.together(s)...)
	g.workBindable()
	if len(g.places) != known {
		g.searches = map[searchKey]*search{}
	}
	return s
}

func (g *Graph) search(to Target, lax bool) *search {
	key := searchKey{to, lax}
	s := g.searches[key]
	if s == nil {
		s = &search{searchKey: key, goals: g.goals(to), steps: map[*place]int{}, next: map[*place]*state{}, chosen: map[*principal]choice{}}
		s.dist = slices.Repeat([]int{-1}, len(g.states))
		g.run(s)
		g.searches[key] = s
	}
	return s
}

func (g *Graph) goals(to Target) []*state {
	switch to {
	case ClusterAdmin:
		return []*state{g.the(allRights)}
	case Node:
		return []*state{g.the(anyNode), g.the(someNode)}
	}
	if ns, ok := strings.CutPrefix(string(to), secretsPrefix); ok {
		return []*state{{id: -1, kind: secretsOf, name: string(to), account: account{namespace: ns}}}
	}
	ns, name, _ := strings.Cut(strings.TrimPrefix(string(to), accountPrefix), ":")
	if s := g.byAccount[account{ns, name}]; s != nil {
		return []*state{s}
	}
	return nil // nobody becomes what is not there
}

// run goes back from the goals, hop by hop.
func (g *Graph) run(s *search) {
	frontier := s.goals
	for _, v := range frontier {
		if v.id >= 0 {
			s.dist[v.id] = 0
		}
	}
	done := map[*principal]bool{}
	for depth := 1; len(frontier) > 0; depth++ {
		var queue []*place
		for _, v := range frontier {
			for p := range g.before(v) {
				if _, seen := s.steps[p]; seen {
					continue
				}
				if _, ok := g.leads(p, v, s.lax); ok {
					s.steps[p], s.next[p] = depth, v
					queue = append(queue, p)
				}
			}
		}
		frontier = s.back(queue, depth, done)
	}
}

// before yields the places that can lead to a state.
func (g *Graph) before(v *state) func(func(*place) bool) {
	return func(yield func(*place) bool) {
		spaces := []string{"", v.namespace}
		switch {
		case v.kind == anyNode || v.kind == someNode:
			spaces = append([]string{""}, g.namespaces...)
		case v.namespace == "":
			spaces = spaces[:1]
		}
		for _, ns := range spaces {
			for _, p := range g.placesAt[ns] {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// back goes from places to who is there, and where rights can be bound from those
// to the places at which they can.
func (s *search) back(queue []*place, depth int, done map[*principal]bool) (frontier []*state) {
	reach := func(v *state, p *place) {
		if v.kind == boundTo {
			for _, before := range v.impliedBy {
				if _, seen := s.steps[before]; !seen {
					s.steps[before], s.next[before] = depth, s.next[p]
					queue = append(queue, before)
				}
			}
		} else if s.dist[v.id] < 0 {
			s.dist[v.id] = depth
			frontier = append(frontier, v)
		}
	}
	for i := 0; i < len(queue); i++ {
		p := queue[i]
		for _, h := range p.holders {
			switch {
			case h.principal == nil:
				reach(h.state, p)
			case !done[h.principal]:
				done[h.principal] = true
				for _, v := range h.principal.members {
					reach(v, p)
				}
			}
		}
	}
	slices.SortFunc(frontier, func(a, b *state) int { return a.id - b.id })
	return frontier
}

// A choice is the edge by which somebody comes to the target soonest.
type choice struct {
	edge
	hops int // -1 when there is none
}

func (c choice) or(other choice) choice {
	switch {
	case other.hops < 0 || c.hops >= 0 && c.hops < other.hops:
		return c
	case c.hops < 0 || other.hops < c.hops || compareEdges(other.edge, c.edge) < 0:
		return other
	}
	return c
}

func (s *search) choose(edges []edge) choice {
	best := choice{hops: -1}
	for _, e := range edges {
		if hops, ok := s.steps[e.place]; ok && (best.hops < 0 || hops < best.hops) {
			best = choice{e, hops}
		}
	}
	return best
}

// best is what a state chooses: no edge when it is the target.
func (s *search) best(v *state) choice {
	if slices.Contains(s.goals, v) {
		return choice{hops: -1}
	}
	best := s.choose(v.own)
	for _, p := range v.principals {
		c, ok := s.chosen[p]
		if !ok {
			c = s.choose(p.edges)
			s.chosen[p] = c
		}
		best = best.or(c)
	}
	return best
}

// shortest returns a shortest path, or none.
func (g *Graph) shortest(s *search, start *state) []Path {
	path := Path{From: start.name, To: string(s.to)}
	for v := start; !slices.Contains(s.goals, v); {
		c := s.best(v)
		if c.hops < 0 {
			return nil
		}
		next := s.next[c.place]
		path.Hops = append(path.Hops, g.hop(v, c.edge, next, s.lax))
		v = next
	}
	if len(path.Hops) == 0 {
		return nil
	}
	return []Path{path}
}

// through follows an edge to a state, by rights that are bound on the way: the
// edges that are taken, and the lead of the last.
func (g *Graph) through(e edge, v *state, lax bool, seen map[*state]bool) ([]edge, lead) {
	if e.place.as == nil {
		if l, ok := g.leads(e.place, v, lax); ok {
			return []edge{e}, l
		}
		return nil, lead{}
	}
	if seen[e.place.as] {
		return nil, lead{}
	}
	if seen == nil {
		seen = map[*state]bool{}
	}
	seen[e.place.as] = true
	inner := e.place.as.edges()
	for _, direct := range []bool{true, false} {
		for _, i := range inner {
			if (i.place.as == nil) != direct {
				continue
			}
			if rest, l := g.through(i, v, lax, seen); rest != nil {
				return append([]edge{e}, rest...), l
			}
		}
	}
	return nil, lead{}
}

// hop writes an edge down.
func (g *Graph) hop(from *state, e edge, to *state, lax bool) Hop {
	chain, l := g.through(e, to, lax, nil)
	h := Hop{From: from.name, To: to.name, Technique: table[e.place.technique].ID, ClosedBy: l.closed}
	for _, c := range chain[:max(0, len(chain)-1)] {
		h.Why += given(c) + ", and then "
		l.name = "" // it belongs to the last one
	}
	h.Why += l.why
	if len(e.uses) == 0 {
		return h
	}
	grants := make([]Grant, len(e.uses))
	for i, u := range e.uses {
		grants[i] = g.write(u, l)
		l.name = "" // it is the object of the first
	}
	h.Permission, h.GrantedBy = grants[0].Permission, grants[0].GrantedBy
	h.Also = grants[1:]
	return h
}

// given says what rights a place gives.
func given(e edge) string {
	switch e.place.technique {
	case bound:
		return "members of " + rbac.Masters + " may do everything"
	case escalateRole:
		return "a role that it is bound to, or another that such a role collects, can get any right" + scoped(e.place.ns)
	case impersonate:
		return "requests may say that they come from a member of " + rbac.Masters
	case mutatingWebhook, mutatingPolicy:
		return "what somebody with all rights writes next can be made to bind them to it"
	case controlPlaneNode:
		return "the node holds the keys of the cluster"
	}
	return "it can bind " + e.place.as.name + " to itself"
}

// write is a use as the API server is asked about it.
func (g *Graph) write(u use, l lead) Grant {
	p := Permission{Verb: u.request.Verb, APIGroup: u.request.Group, Resource: u.request.Resource, Namespace: u.ns, Name: u.name}
	if q := g.reqs[u.need]; q.wide {
		p.Namespace = ""
	} else if p.Namespace == "" {
		p.Namespace = l.ns
	}
	if p.Name == "" && g.reqs[u.need].named {
		p.Name = g.object(u.need, l)
	}
	grant := Grant{Permission: p}
	if u.binding != nil {
		b := u.binding
		grant.GrantedBy = GrantedBy{Object{b.Kind, b.Namespace, b.Name}, Object{u.role.Kind, u.role.Namespace, u.role.Name}, u.rule}
	}
	return grant
}

// object is the name that a lead gives to the request of a need.
func (g *Graph) object(n need, l lead) string {
	switch n {
	case createTokens, impersonateAccounts, impersonateUsers, impersonateGroups, changeDefinitions, relabelNamespaces, liftPolicies, liftPolicyBindings,
		changeDeployments, changeDaemonSets, changeStatefulSets, changeReplicaSets, changeReplicationControllers, changeCronJobs:
		return l.name
	}
	return ""
}
