package istio

import (
	"slices"

	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// mostDenied is how many rules that deny requests are told apart by their peers.
const mostDenied = 16

// deniesRequests reports whether a policy denies by what is asked of requests.
func (a *authorization) deniesRequests() bool {
	return a.spec.Action == "DENY" && slices.ContainsFunc(a.rules, func(r rule) bool {
		return slices.ContainsFunc(r.clauses, func(c clause) bool {
			return slices.ContainsFunc(c, func(alt alternative) bool { return len(alt.limits) > 0 })
		})
	})
}

// meets reports whether two policies may be about the same pods.
func (a *authorization) meets(o *authorization) bool {
	if a.ref.Namespace != o.ref.Namespace && a.ref.Namespace != a.mesh.Root && o.ref.Namespace != o.mesh.Root {
		return false
	}
	if a.spec.Selector == nil || o.spec.Selector == nil {
		return true
	}
	for key, value := range a.spec.Selector.MatchLabels {
		if other, ok := o.spec.Selector.MatchLabels[key]; ok && other != value {
			return false
		}
	}
	return true
}

// denying are rules that deny requests of pods that a policy may be about too.
func (a *authorization) denying() (list []deniedBy) {
	candidates := slices.Concat(a.mesh.denying[a.ref.Namespace], a.mesh.denying[a.mesh.Root])
	if a.ref.Namespace == a.mesh.Root {
		candidates = a.mesh.denyingAll
	}
	for _, d := range candidates {
		if !a.meets(d) {
			continue
		}
		for _, r := range d.rules {
			list = append(list, deniedBy{d, r})
		}
		if len(list) > mostDenied {
			break
		}
	}
	return list
}

// A deniedBy is a rule of a policy that denies.
type deniedBy struct {
	*authorization
	rule rule
}

// undenied takes of a rule that allows requests what rules that deny may all deny: of
// that it is not known whether anything is left.
func undenied(one netpol.Rule, clauses []clause, n naming, denying []deniedBy) (rules []netpol.Rule) {
	whole := one.Ports.Set
	list, perhapsAll := []shut{{ports: whole}}, []shut{{whole, netpol.Some{netpol.Everyone()}}}
	if len(denying) > mostDenied {
		denying, list = nil, perhapsAll
	}
	for _, d := range denying {
		j, ok := d.join(d.rule.clauses, true, n)
		if !ok {
			continue
		}
		if on := closed(clauses, d.rule.clauses, j.ports.Intersect(whole)); !on.Empty() {
			list = shutting(list, on, j.peers)
		}
		if len(list) > mostParts {
			list = perhapsAll
			break
		}
	}
	for _, s := range list {
		r := one
		r.Ports.Set = s.ports
		if len(s.peers) > 0 {
			r.Peers = netpol.Some{
				netpol.Every{one.Peers, netpol.Not{Of: s.peers}},
				netpol.Unknown{Within: netpol.Every{one.Peers, s.peers}, Why: "a policy with DENY may deny all requests that this one allows"},
			}
		}
		rules = append(rules, r)
	}
	return rules
}

// A shut is ports on which peers may be denied all requests.
type shut struct {
	ports ports.Set
	peers netpol.Some
}

// shutting adds peers on some ports.
func shutting(list []shut, on ports.Set, peers netpol.Expr) (cut []shut) {
	for _, s := range list {
		if apart := s.ports.Minus(on); !apart.Empty() {
			cut = append(cut, shut{apart, s.peers})
		}
		if met := s.ports.Intersect(on); !met.Empty() {
			cut = append(cut, shut{met, append(slices.Clip(s.peers), peers)})
		}
	}
	return cut
}

// closed are the ports, among some, on which clauses that deny by requests may leave
// nothing of those that others let through.
func closed(passed, denied []clause, among ports.Set) (set ports.Set) {
	for _, on := range parts(among, slices.Concat(passed, denied)) {
		rest, asks := asking(at(denied, on))
		if asks && !leaves(at(passed, on), rest) {
			set = set.Union(on)
		}
	}
	return set
}

// mostParts is into how many parts ports are cut; a rule that tells more apart may deny
// what its other alternatives do, and rules that do may deny everybody.
const mostParts = 64

// parts cuts ports along those of the alternatives.
func parts(whole ports.Set, clauses []clause) []ports.Set {
	list := []ports.Set{whole}
	for _, c := range clauses {
		for _, alt := range c {
			if len(list) > mostParts {
				return []ports.Set{whole}
			}
			var cut []ports.Set
			for _, part := range list {
				for _, piece := range []ports.Set{part.Intersect(alt.ports), part.Minus(alt.ports)} {
					if !piece.Empty() {
						cut = append(cut, piece)
					}
				}
			}
			list = cut
		}
	}
	return list
}

// asking are clauses without the alternatives that ask nothing of requests, where a rule
// asks in one clause only: what these mean is denied for certain. It reports whether any
// clause asks something.
func asking(clauses []clause) ([]clause, bool) {
	of, found := 0, 0
	for i, c := range clauses {
		if slices.ContainsFunc(c, func(alt alternative) bool { return len(alt.asks) > 0 }) {
			of, found = i, found+1
		}
	}
	if found != 1 {
		return clauses, found > 0
	}
	clauses = slices.Clone(clauses)
	clauses[of] = slices.DeleteFunc(slices.Clone(clauses[of]), func(alt alternative) bool { return len(alt.asks) == 0 })
	return clauses, true
}

// at are the clauses with those alternatives that are about some of the ports.
func at(clauses []clause, on ports.Set) (list []clause) {
	for _, c := range clauses {
		list = append(list, slices.DeleteFunc(slices.Clone(c), func(alt alternative) bool { return alt.ports.Intersect(on).Empty() }))
	}
	return list
}
