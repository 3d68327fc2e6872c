package reach

import (
	"slices"
	"sync"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// Options are what the evidence does not tell of a cluster's network.
type Options struct {
	// Pods are the ranges that the addresses of pods come from, Nodes those of
	// nodes; where empty, they are taken from Node objects, and are else not known.
	Pods, Nodes cidr.Set
	// Ranges are networks outside the cluster that the user named.
	Ranges map[string]cidr.Set
}

// An Endpoint is what connections come from or go to: pods that no policy can tell
// apart, a node, a range of addresses.
type Endpoint struct {
	// ID is the endpoint's index in Graph.Endpoints.
	ID   int
	Kind netpol.Kind
	// Workloads are the objects whose pods these are; nil for nodes and addresses.
	Workloads []*evidence.Workload
	// Namespace is that of the workloads.
	Namespace string
	// Name is how an endpoint without workloads is called: a node's name, the name of
	// a range, "API server", "cloud metadata"; "" for other addresses.
	Name string
	// Addresses are those that the endpoint may have: exactly its own where they are
	// known, else the ranges they come from.
	Addresses cidr.Set
}

// A Graph answers who may connect to whom. It is computed once per snapshot and
// does not change; it is safe for concurrent use.
type Graph struct {
	enforcement netpol.Enforcement
	// blind is whether blocks of addresses mean no pods and no nodes.
	blind truth
	// policies are those in force in the order in which they are asked, and among them
	// what stands for those of which it is not known; inForce are the former alone.
	policies, inForce []*netpol.Policy
	standIn           map[*netpol.Policy]bool
	invalid           []netpol.Invalid

	universe  *universe
	endpoints []*Endpoint
	// byKind are the endpoints of each kind.
	byKind     [4][]*Endpoint
	directions [2]*direction

	// All pairs are weighed when the first is asked for: checks ask for none.
	weighing sync.Once
	// everyone are all endpoints, hosts those in the network of nodes, others the rest.
	everyone, hosts, others bitset
	// verdicts are all that occur, closed those that allow nothing.
	verdicts []verdict
	closed   []bool
}

// A direction is what the policies say of all endpoints in one direction.
type direction struct {
	// chains are the policies that are about endpoints, chainOf each endpoint's by family.
	chains  []chain
	chainOf [2][]int32
	// bare are the policies that may be about a pod of which only the namespace is
	// known, by their place: those of one namespace alone, and under "" all others.
	bare map[string][]int32
	// sides are the rules of the policies, by their place, until the programs have run.
	sides []*side
	// programs are the verdicts about the peers, programOf each endpoint's by family.
	programs  [][]run
	programOf [2][]int32
}

// A run is neighbouring endpoints about which a program has one verdict, up to the
// next run.
type run struct{ from, verdict int32 }

// NewGraph reads the policies of a snapshot and finds whom they are about.
func NewGraph(snap *evidence.Snapshot, o Options) *Graph {
	g := &Graph{}
	g.readPolicies(snap)
	g.survey(snap, o)
	return g
}

// survey finds the endpoints, and whom the policies are about.
func (g *Graph) survey(snap *evidence.Snapshot, o Options) {
	g.universe = newUniverse(snap, o, mentioned(g.policies))
	for _, m := range g.universe.members {
		g.endpoints = append(g.endpoints, m.Endpoint)
		g.byKind[m.Kind] = append(g.byKind[m.Kind], m.Endpoint)
	}
	m := newMatcher(g.universe, g.blind)
	for _, d := range []netpol.Direction{netpol.Ingress, netpol.Egress} {
		g.directions[d] = &direction{}
		g.chain(m, d)
	}
}

// weighAll evaluates the policies for all pairs of endpoints, once.
func (g *Graph) weighAll() {
	g.weighing.Do(func() {
		m := newMatcher(g.universe, g.blind)
		c := &compiler{matcher: m, universe: g.universe, named: map[netpol.NamedPort][]*caller{}}
		g.everyone, g.hosts = m.everyone, m.kinds[netpol.OfHost]
		g.others = g.everyone.minus(g.hosts)
		known := map[string]int32{}
		for _, d := range []netpol.Direction{netpol.Ingress, netpol.Egress} {
			for _, p := range g.policies {
				g.directions[d].sides = append(g.directions[d].sides, c.compile(p, d))
			}
			g.runPrograms(d, known)
			g.directions[d].sides = nil
		}
		for _, v := range g.verdicts {
			g.closed = append(g.closed, v.nothing())
		}
	})
}

// Enforcement is whose rules of evaluation were taken to hold.
func (g *Graph) Enforcement() netpol.Enforcement { return g.enforcement }

// Policies are the policies in force, of every kind and layer, in the order in which
// they are asked.
func (g *Graph) Policies() []*netpol.Policy { return g.inForce }

// Invalid are the policies that are not in force, since they are not valid. Where
// they were read from files, what they would have been about is not known.
func (g *Graph) Invalid() []netpol.Invalid { return g.invalid }

// Endpoints are all endpoints, pods first, in the order of namespace, kind and name.
func (g *Graph) Endpoints() []*Endpoint { return g.endpoints }

// World are the endpoints outside, in parts that no policy cuts: the metadata
// addresses, the ranges with a name, and all addresses. They overlap: an address of a
// range is also one of all. They are the last of Endpoints.
func (g *Graph) World() []*Endpoint { return slices.Clip(g.byKind[netpol.OfWorld]) }

// Metadata are where clouds tell machines about themselves.
func (g *Graph) Metadata() []*Endpoint { return g.Named(metadata) }

// Named are the parts of a range that the user named.
func (g *Graph) Named(name string) (list []*Endpoint) {
	for _, e := range g.World() {
		if e.Name == name {
			list = append(list, e)
		}
	}
	return list
}

// APIServer is the API server.
func (g *Graph) APIServer() *Endpoint { return g.byKind[netpol.OfAPIServer][0] }

// Nodes are the nodes, without the pods in their network. Where none were read one
// endpoint stands for all.
func (g *Graph) Nodes() (list []*Endpoint) {
	for _, e := range g.byKind[netpol.OfHost] {
		if len(e.Workloads) == 0 {
			list = append(list, e)
		}
	}
	return list
}

// Unread is a pod of which only the namespace is known; "" is a pod of some namespace
// that is not among what was read. It is not in Endpoints and Connections.
func (g *Graph) Unread(namespace string) *Endpoint {
	return &Endpoint{ID: unread, Kind: netpol.OfPod, Namespace: namespace, Addresses: g.universe.addresses.pods}
}

// At is whoever has one of some addresses outside. It is not in Endpoints and Connections.
func (g *Graph) At(addresses cidr.Set) *Endpoint {
	return &Endpoint{ID: unread, Kind: netpol.OfWorld, Addresses: addresses}
}

// unread is the ID of endpoints that are not in Endpoints.
const unread = -1

// member is an endpoint with all that policies can ask of it.
func (g *Graph) member(e *Endpoint) *member {
	switch {
	case e.ID != unread:
		return g.universe.members[e.ID]
	case e.Kind == netpol.OfWorld:
		return &member{Endpoint: e, has: possessed(e.Addresses)}
	}
	return g.universe.unread(e)
}

// Means reports whether an expression means an endpoint, surely or perhaps.
func (g *Graph) Means(x netpol.Expr, e *Endpoint) (yes, maybe bool) {
	t, _ := g.meansIn(x, g.member(e))
	return t == isSo, t == mayBe
}

// Of returns the endpoint that a workload's pods are: of one that does not run as it
// is written, what runs instead. Nil for a workload of another snapshot.
func (g *Graph) Of(w *evidence.Workload) *Endpoint { return g.universe.of[w] }

// A Connection is what one endpoint may open to another.
type Connection struct {
	Src, Dst *Endpoint
	// Ports are certainly allowed; of Unknown it is not known. They are disjoint.
	Ports, Unknown ports.Set
	// Limited is set when some of Ports are open for certain requests only: Explain
	// says which.
	Limited bool
}

// A Coverage is what the policies make of an endpoint's pods in one direction.
type Coverage struct {
	// Isolated is set when a policy isolates the pods: what nothing allows is denied.
	Isolated bool
	// By are the policies that are about the pods in this direction, in the order in
	// which they are asked.
	By []*netpol.Policy
	// Unknown is why the answer is not certain, "" when it is. Isolated is set only
	// where it is certain; other policies may then all the same not be.
	Unknown string
	// Bare is set of a pod that was not read, where policies are about some pods of its
	// namespace and not about others.
	Bare bool
}

// An Explanation is how one question was decided.
type Explanation struct {
	Src, Dst *Endpoint
	// Allowed, Denied and Unknown are what became of the ports that were asked for.
	Allowed, Denied, Unknown ports.Set
	// Limited are those of Allowed that are open for certain requests only.
	Limited ports.Set
	// Steps are in the order of evaluation: egress, then ingress, each by layer and tier.
	Steps []Step
}

// A Step is one rule, or one default, that had a say.
type Step struct {
	Direction netpol.Direction
	// Policy and Rule are nil where no policy is about the endpoint, or none decides;
	// Rule alone is nil where the policy isolates and no rule of the tier matched.
	Policy *netpol.Policy
	Rule   *netpol.Rule
	Action netpol.Action
	// Ports are those that the step decided; none for a policy that is about the
	// endpoint and had no rule that matches.
	Ports ports.Set
	// Unknown is why the step may or may not apply, "" when it does.
	Unknown string
	// Limits is what an allowed connection is restricted to, "" for nothing.
	Limits string
	// Why says what decides where no policy does, "" otherwise.
	Why string
	// Family is IPv4 or IPv6 where connections of the two are not decided alike.
	Family string
}
