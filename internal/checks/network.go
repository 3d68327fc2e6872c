package checks

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// directions in the order that messages name them.
var directions = [...]netpol.Direction{netpol.Ingress, netpol.Egress}

// An opening is a rule that lets connections through.
type opening struct {
	policy *netpol.Policy
	rule   *netpol.Rule
}

// String names the rule: NetworkPolicy shop/web, spec.egress[0].
func (o opening) String() string { return o.policy.String() + ", " + o.rule.Path.String() }

// A separation is what the policies make of a namespace in one direction.
type separation struct {
	// denied is set when all of its pods are isolated.
	denied bool
	// open is the rule that lets everyone through to all pods all the same, nil for none.
	open *opening
	// unknown is why it is not certain, "" when it is.
	unknown string
}

// separated says whether all pods of a namespace are isolated: those to come too, or at
// least, where the namespace's making is seen, those that are known.
func separated(g *reach.Graph, ns *space, d netpol.Direction) separation {
	all := g.Unread(ns.name)
	c := g.Coverage(all, d)
	if c.Isolated {
		return separation{denied: true, open: openToAll(g, all, d), unknown: c.Unknown}
	}
	// Only a namespace whose making is seen has no workloads elsewhere.
	if ns.object == nil {
		return separation{unknown: c.Unknown}
	}
	known := false
	for _, w := range ns.workloads {
		e := g.Of(w)
		if w.Pod.HostNetwork || e == nil {
			continue
		}
		own := g.Coverage(e, d)
		if !own.Isolated || openToAll(g, e, d) != nil {
			return separation{unknown: own.Unknown}
		}
		if own.Unknown != "" {
			return separation{denied: true, unknown: own.Unknown}
		}
		known = true
	}
	if known {
		return separation{denied: true}
	}
	return separation{unknown: c.Unknown}
}

// openToAll returns the rule by which any pod of the cluster may connect on every TCP
// port, or be connected to, though the endpoint is isolated; nil when there is none.
func openToAll(g *reach.Graph, e *reach.Endpoint, d netpol.Direction) *opening {
	asked := ports.Every(ports.TCP)
	weighed := g.Weigh(e, d, g.Unread(""), asked)
	if !weighed.Allowed.Covers(asked) {
		return nil
	}
	return firstOpening(weighed)
}

// firstOpening is the first rule that allows something.
func firstOpening(x reach.Explanation) *opening {
	for _, s := range x.Steps {
		if s.Rule != nil && s.Unknown == "" && s.Action == netpol.Allow && !s.Ports.Empty() {
			return &opening{s.Policy, s.Rule}
		}
	}
	return nil
}

// egressRules finds the rules by which pods may open connections to some of the
// targets on some of the ports asked for. A rule counts that means a target for
// certain; not, though, when all pods that its policy is about are kept from there
// by others.
func egressRules(g *reach.Graph, targets []*reach.Endpoint, asked ports.Set, wanted func(*netpol.Policy) bool) (list []reached) {
	for _, p := range g.Policies() {
		if p.Egress == nil || p.Tier.Layer != netpol.Network || !wanted(p) {
			continue
		}
		for i := range p.Egress.List {
			rule := &p.Egress.List[i]
			if t := ruleTarget(g, rule, targets, asked); t != nil {
				list = append(list, reached{opening{p, rule}, t})
			}
		}
	}
	if len(list) == 0 {
		return nil
	}
	about := map[*netpol.Policy][]*reach.Endpoint{}
	for _, found := range list {
		about[found.policy] = nil
	}
	for _, e := range g.Endpoints() {
		if e.Kind != netpol.OfPod {
			continue
		}
		for _, p := range g.Coverage(e, netpol.Egress).By {
			if endpoints, asked := about[p]; asked {
				about[p] = append(endpoints, e)
			}
		}
	}
	kept := map[[2]*reach.Endpoint]bool{}
	return slices.DeleteFunc(list, func(r reached) bool { return !takesEffect(g, about[r.policy], r.target, asked, kept) })
}

// reached is a rule and a target that it opens.
type reached struct {
	opening
	target *reach.Endpoint
}

func ruleTarget(g *reach.Graph, rule *netpol.Rule, targets []*reach.Endpoint, asked ports.Set) *reach.Endpoint {
	if rule.Action != netpol.Allow || rule.Unknown != "" || rule.Ports.Set.Intersect(asked).Empty() {
		return nil
	}
	for _, t := range targets {
		if yes, _ := g.Means(rule.Peers, t); yes {
			return t
		}
	}
	return nil
}

// takesEffect reports whether some of the endpoints may reach the target; it takes
// so where there are none. Those that are known to be kept from a target are in kept.
func takesEffect(g *reach.Graph, endpoints []*reach.Endpoint, target *reach.Endpoint, asked ports.Set, kept map[[2]*reach.Endpoint]bool) bool {
	for _, e := range endpoints {
		pair := [2]*reach.Endpoint{e, target}
		if kept[pair] {
			continue
		}
		if !g.Weigh(e, netpol.Egress, target, asked).Denied.Covers(asked) {
			return true
		}
		kept[pair] = true
	}
	return len(endpoints) == 0
}

// mayReach says how an endpoint may reach a target on the ports asked for: by which
// rule, nil where nothing isolates it; ok is false when it may not. Why it is not
// certain is in unknown.
func mayReach(g *reach.Graph, e, target *reach.Endpoint, asked ports.Set) (by *opening, ok bool, unknown string) {
	weighed := g.Weigh(e, netpol.Egress, target, asked)
	switch {
	case !weighed.Allowed.Empty():
		return firstOpening(weighed), true, ""
	case !weighed.Unknown.Empty():
		return nil, false, doubt(weighed)
	}
	return nil, false, ""
}

// doubt is the first reason why an explanation is not certain.
func doubt(x reach.Explanation) string {
	for _, s := range x.Steps {
		if s.Unknown != "" {
			return s.Unknown
		}
	}
	return "what the policies allow is not known"
}

// holding returns the endpoints among those outside the cluster that have an address.
func holding(g *reach.Graph, addresses []netip.Prefix) (list []*reach.Endpoint) {
	for _, e := range g.World() {
		for _, a := range addresses {
			if e.Addresses.Overlaps(cidr.Of(a)) {
				list = append(list, e)
				break
			}
		}
	}
	return list
}

// notEnforced records the policies that are not valid, which no check judges. Those
// of a mesh filter no packets.
func notEnforced(r *check.Run) {
	for _, p := range r.Reach().Invalid() {
		if p.Group() != "security.istio.io" {
			r.Unknown(p.String(), "it is not valid: "+p.Err.Error())
		}
	}
}

// nothingIsolates is what is wrong with a workload that no policy keeps from somewhere.
func nothingIsolates(w *evidence.Workload, from string) string {
	return fmt.Sprintf("nothing keeps the pods of %s %q from %s: no network policy isolates their egress", w.Kind, w.Name, from)
}
