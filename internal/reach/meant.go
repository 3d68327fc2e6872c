package reach

import "github.com/gabion-k8s/gabion/internal/reach/netpol"

// A Finder finds whom expressions mean. Equal expressions, and equal parts, are looked
// up once. It is not safe for concurrent use.
type Finder struct {
	graph   *Graph
	matcher *matcher
}

// NewFinder returns a Finder among the endpoints of a graph. It weighs nothing.
func NewFinder(g *Graph) *Finder { return &Finder{g, newMatcher(g.universe, g.blind)} }

// Meant are the endpoints that an expression means, surely or perhaps, in connections of
// either family, in the order of Graph.Endpoints.
func (f *Finder) Meant(x netpol.Expr) (list []*Endpoint) {
	a := f.matcher.answer(x)
	meant := a.possible()
	if a.six != nil {
		meant = meant.union(a.six.possible())
	}
	for id := range meant.all() {
		list = append(list, f.graph.endpoints[id])
	}
	return list
}
