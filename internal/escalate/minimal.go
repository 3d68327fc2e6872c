package escalate

import "slices"

// mostSteps bounds the work for all paths of one start: edges that are looked at.
const mostSteps = 1_000_000

// A walk looks for every minimal path of one start.
type walk struct {
	g *Graph
	s *search
	// near are the states that reach the target, the nearest first.
	near  []*state
	limit int
	work  int
	// cut is set when there may be more paths than were found, deeper when there may
	// be longer ones than were looked for.
	cut, deeper bool
	trail       []*state
	taken       []edge
	paths       []Path
	edges       map[*state][]edge
}

// A right is one rule by one binding. Paths are compared by the rights they take.
type right struct{ binding, rule int }

func addRights(rights []right, e edge) []right {
	for _, u := range e.uses {
		rights = append(rights, right{bindingID(u), u.rule})
	}
	return rights
}

// minimal returns the paths of a start on which no hops can be left out, as far as
// the rights go that they take: no hop from a state to a later one takes some of
// these only. Who takes one right away from each of them closes all paths. Shorter
// ones come first.
func (g *Graph) minimal(s *search, start *state, limit int) ([]Path, bool) {
	hops := s.best(start).hops
	if hops < 0 {
		return nil, false
	}
	w := &walk{g: g, s: s, limit: limit, trail: []*state{start}, deeper: true, edges: map[*state][]edge{}}
	for _, v := range g.states {
		if s.dist[v.id] > 0 {
			w.near = append(w.near, v)
		}
	}
	slices.SortStableFunc(w.near, func(a, b *state) int { return s.dist[a.id] - s.dist[b.id] })
	for ; w.deeper && !w.cut; hops++ {
		w.deeper = false
		w.extend(hops)
	}
	return w.paths, w.cut
}

// extend finds the paths that go on from the trail with so many hops.
func (w *walk) extend(left int) {
	edges := distinct(w.from(w.trail[len(w.trail)-1]))
	for _, e := range edges {
		hops, ok := w.s.steps[e.place]
		switch {
		case !ok || hops > left:
			continue
		case left == 1:
			w.add(e)
			continue
		}
		for _, next := range w.near {
			if w.s.dist[next.id] >= left {
				break
			}
			if w.goes(e, next) {
				w.trail, w.taken = append(w.trail, next), append(w.taken, e)
				w.extend(left - 1)
				w.trail, w.taken = w.trail[:len(w.trail)-1], w.taken[:len(w.taken)-1]
			}
			if w.cut {
				return
			}
		}
	}
	w.deeper = w.deeper || w.further(edges, left)
}

// further reports whether the trail goes on to states that are farther away from
// the target than the hops that are left.
func (w *walk) further(edges []edge, left int) bool {
	for _, e := range edges {
		if _, ok := w.s.steps[e.place]; !ok {
			continue
		}
		for _, next := range slices.Backward(w.near) {
			if w.cut || w.s.dist[next.id] < left {
				break
			}
			if w.goes(e, next) {
				return true
			}
		}
	}
	return false
}

// goes reports whether an edge extends the trail to a state, so that no shorter
// way with the same rights leads there.
func (w *walk) goes(e edge, next *state) bool {
	w.spent()
	if slices.Contains(w.trail, next) || !w.leads(e, next) {
		return false
	}
	return !w.shortcut(append(slices.Clone(w.taken), e), func(from int, e edge) bool {
		return from < len(w.trail)-1 && w.leads(e, next)
	})
}

// shortcut reports whether a state of the trail has an edge that takes some of the
// rights of a path only and that leads past hops of it.
func (w *walk) shortcut(path []edge, past func(from int, e edge) bool) bool {
	var rights []right
	for _, e := range path {
		rights = addRights(rights, e)
	}
	for i, v := range w.trail {
		for _, e := range w.from(v) {
			if w.spent(); w.cut {
				return true
			}
			spare := !slices.ContainsFunc(addRights(nil, e), func(r right) bool { return !slices.Contains(rights, r) })
			if spare && past(i, e) {
				return true
			}
		}
	}
	return false
}

// from are the edges of a state.
func (w *walk) from(v *state) []edge {
	list, ok := w.edges[v]
	if !ok {
		list = v.edges()
		w.edges[v] = list
	}
	return list
}

// spent counts the work.
func (w *walk) spent() {
	w.work++
	w.cut = w.cut || w.work > mostSteps
}

func (w *walk) leads(e edge, to *state) bool {
	chain, _ := w.g.through(e, to, w.s.lax, nil)
	return chain != nil
}

// distinct drops edges that differ from another only in the verb or the kind.
func distinct(edges []edge) (list []edge) {
	type same struct {
		technique technique
		right     right
		as        *state
		ns, name  string
	}
	seen := map[same]bool{}
	for _, e := range edges {
		key := same{technique: e.place.technique, as: e.place.as, ns: e.place.ns, name: e.place.name}
		if len(e.uses) > 0 {
			key.right = right{bindingID(e.uses[0]), e.uses[0].rule}
		}
		if !seen[key] {
			seen[key] = true
			list = append(list, e)
		}
	}
	return list
}

// add ends the trail at the target, if its rights are all needed.
func (w *walk) add(last edge) {
	path := append(slices.Clone(w.taken), last)
	if w.shortcut(path, func(from int, e edge) bool {
		if from < len(w.trail)-1 && w.s.steps[e.place] == 1 {
			return true
		}
		for to := from + 2; to < len(w.trail); to++ {
			if w.leads(e, w.trail[to]) {
				return true
			}
		}
		return false
	}) {
		return
	}
	if len(w.paths) >= w.limit {
		w.cut = true
		return
	}
	p := Path{From: w.trail[0].name, To: string(w.s.to)}
	for i, e := range path {
		next := w.s.next[e.place]
		if i+1 < len(w.trail) {
			next = w.trail[i+1]
		}
		p.Hops = append(p.Hops, w.g.hop(w.trail[i], e, next, w.s.lax))
	}
	w.paths = append(w.paths, p)
}
