package reach

import (
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// Coverage says which policies are about an endpoint, and whether they isolate it: those
// that filter packets. What a mesh refuses does not isolate.
func (g *Graph) Coverage(e *Endpoint, d netpol.Direction) Coverage {
	var c Coverage
	var reasons []string
	m := g.member(e)
	for _, p := range g.about(m, d) {
		t, why := g.meansIn(p.Subject, m)
		if t == isNot || p.Tier.Layer != netpol.Network {
			continue
		}
		rules := p.Side(d)
		if !g.standIn[p] {
			c.By = append(c.By, p)
		}
		if t == isSo && rules.Unknown == "" {
			c.Isolated = c.Isolated || rules.Isolates && p.Tier.Default == netpol.Deny || closes(rules)
		}
		if bare(why) {
			c.Bare, why = true, ""
		}
		for _, reason := range []string{why, rules.Unknown} {
			if reason != "" && !slices.Contains(reasons, reason) {
				reasons = append(reasons, reason)
			}
		}
	}
	c.Unknown = strings.Join(reasons, "; ")
	return c
}

// closes reports whether rules deny everything to everyone, as long as nothing that is
// asked before allows it.
func closes(rules *netpol.Rules) bool {
	return slices.ContainsFunc(rules.List, func(r netpol.Rule) bool {
		return r.Action == netpol.Deny && r.Unknown == "" && r.Ports.Set.Covers(ports.All()) && everyone(r.Peers)
	})
}

// everyone reports whether an expression is written to mean every endpoint.
func everyone(x netpol.Expr) bool {
	switch x := x.(type) {
	case netpol.Every:
		return !slices.ContainsFunc(x, func(part netpol.Expr) bool { return !everyone(part) })
	case netpol.Some:
		return slices.ContainsFunc(x, everyone)
	}
	return false
}
