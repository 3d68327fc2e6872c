package reach

import (
	"slices"

	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// An Admission is what policies make of a way in for a part of the outside.
type Admission struct {
	// From are the endpoints outside that it is about.
	From []*Endpoint
	// Ports are those of the pods that are surely reached; of Unknown it is not known,
	// for the Reason. They are disjoint.
	Ports, Unknown ports.Set
	Reason         string
	// Limited is set when some of Ports are open for certain requests only.
	Limited bool
	// Steps are how it was decided for the first of those who may connect to the pods.
	Steps []Step
}

// Admit says what policies let in by a way, for the parts of the outside that it is
// open to. Where they may see another address than the client's, it is only known
// what they decide alike for all of them.
func (g *Graph) Admit(w Way) []Admission {
	if w.Endpoint == nil {
		return []Admission{{From: g.clients(w.From), Unknown: ports.All(), Reason: w.Unknown}}
	}
	fixed := map[families][]Explanation{}
	var list []Admission
	for _, client := range g.clients(w.From) {
		f := possessed(client.Addresses)
		if fixed[f] == nil {
			fixed[f] = g.standIns(w, f)
		}
		seen := fixed[f]
		if !w.ByProxy {
			seen = append([]Explanation{g.Weigh(w.Endpoint, netpol.Ingress, client, w.Ports)}, seen...)
		}
		list = admit(list, client, w.past(client, agreed(seen, w)))
	}
	return list
}

// past is what is left of an admission by a proxy for a client that may not get to
// the proxy's own pods.
func (w *Way) past(client *Endpoint, a Admission) Admission {
	if len(w.entrances) == 0 {
		return a
	}
	why := ""
	for _, there := range w.entrances {
		switch {
		case !slices.Contains(there.From, client):
		case !there.Ports.Empty():
			return a
		case !there.Unknown.Empty():
			why = there.Reason
		}
	}
	if why == "" {
		return Admission{Steps: a.Steps}
	}
	a.Unknown, a.Ports = a.Unknown.Union(a.Ports), ports.Set{}
	if a.Reason == "" {
		a.Reason = "whether the proxy is reached is not known: " + why
	}
	return a
}

// clients are the endpoints outside with some of the addresses that a way is open to.
func (g *Graph) clients(from cidr.Set) (list []*Endpoint) {
	for _, e := range g.World() {
		if e.Name != metadata && e.Addresses.Overlaps(from) {
			list = append(list, e)
		}
	}
	return list
}

// of are those of some addresses that are of families that there are. On its way a
// packet stays in its own.
func (in families) of(set cidr.Set) cidr.Set {
	for f, is := range in {
		if is == isNot {
			set = set.Minus(family(f).all())
		}
	}
	return set
}

// standIns are the answers for those who may connect to the pods in the client's place.
func (g *Graph) standIns(w Way, f families) (list []Explanation) {
	if nodes := f.of(g.universe.addresses.nodes); w.ByNode && !nodes.Empty() {
		list = append(list, g.Weigh(w.Endpoint, netpol.Ingress, g.At(nodes), w.Ports))
	}
	if w.ByBalancer {
		for _, e := range g.World() {
			if e.Name == "" && e.Addresses.Overlaps(f.of(Private())) {
				list = append(list, g.Weigh(w.Endpoint, netpol.Ingress, e, w.Ports))
			}
		}
	}
	if !w.ByProxy {
		return list
	}
	if len(w.Proxies) > 0 {
		any := g.Explain(w.Proxies[0], w.Endpoint, w.Ports)
		for _, p := range w.Proxies[1:] {
			x := g.Explain(p, w.Endpoint, w.Ports)
			any.Allowed, any.Denied, any.Limited = any.Allowed.Union(x.Allowed), any.Denied.Intersect(x.Denied), any.Limited.Union(x.Limited)
			any.Unknown = w.Ports.Minus(any.Allowed).Minus(any.Denied)
		}
		return append(list, any)
	}
	list = append(list, g.Weigh(w.Endpoint, netpol.Ingress, g.Unread(""), w.Ports))
	for _, e := range g.clients(cidr.All()) {
		list = append(list, g.Weigh(w.Endpoint, netpol.Ingress, e, w.Ports))
	}
	return list
}

// Why it is not known what policies let in, though each answer is.
const (
	otherAddress = "policies may see the address of a node or of a load balancer in place of the client's, and tell them apart"
	otherProxy   = "the connection comes from a proxy that is not among what was read, and policies tell apart who it may be"
)

// agreed is what all answers say alike.
func agreed(answers []Explanation, w Way) (a Admission) {
	denied := w.Ports
	a.Ports, a.Steps = w.Ports, answers[0].Steps
	for _, x := range answers {
		a.Ports, denied = a.Ports.Intersect(x.Allowed), denied.Intersect(x.Denied)
		a.Limited = a.Limited || !x.Limited.Empty()
	}
	if w.Unknown != "" {
		a.Ports = ports.Set{}
	}
	a.Unknown = w.Ports.Minus(a.Ports).Minus(denied)
	switch {
	case a.Unknown.Empty():
	case w.Unknown != "":
		a.Reason = w.Unknown
	case w.ByProxy && len(w.Proxies) == 0:
		a.Reason = otherProxy
	default:
		a.Reason = otherAddress
		if why := doubtOf(answers); why != "" {
			a.Reason = why
		}
	}
	return a
}

// doubtOf is why the first answer is not certain, "" where it is.
func doubtOf(answers []Explanation) string {
	for _, s := range answers[0].Steps {
		if s.Unknown != "" && !answers[0].Unknown.Empty() {
			return s.Unknown
		}
	}
	return ""
}

// admit puts a client to those with the same answer.
func admit(list []Admission, client *Endpoint, a Admission) []Admission {
	for i := range list {
		same := &list[i]
		if same.Ports.Equal(a.Ports) && same.Unknown.Equal(a.Unknown) && same.Reason == a.Reason && same.Limited == a.Limited && (a.Ports.Empty() || sameSteps(same.Steps, a.Steps)) {
			same.From = append(same.From, client)
			return list
		}
	}
	a.From = []*Endpoint{client}
	return append(list, a)
}

// sameSteps reports whether the same rules decided.
func sameSteps(a, b []Step) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Policy != b[i].Policy || a[i].Rule != b[i].Rule || !a[i].Ports.Equal(b[i].Ports) {
			return false
		}
	}
	return true
}
