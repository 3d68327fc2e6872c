package reach

import (
	"iter"

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
type Graph struct{}

// NewGraph reads the policies of a snapshot and weighs them together.
func NewGraph(snap *evidence.Snapshot, o Options) *Graph { return &Graph{} }

// Enforcement is whose rules of evaluation were taken to hold, and Policies are
// the policies in force, of every kind, Invalid those that are not valid.
func (g *Graph) Enforcement() netpol.Enforcement { return netpol.Kubernetes }

// Policies are the policies in force, of every kind and layer.
func (g *Graph) Policies() []*netpol.Policy { return nil }

// Invalid are the policies that are not in force, since they are not valid.
func (g *Graph) Invalid() []netpol.Invalid { return nil }

// Endpoints are all endpoints, pods first, in the order of namespace, kind and name.
func (g *Graph) Endpoints() []*Endpoint { return nil }

// Of returns the endpoint that a workload's pods are.
func (g *Graph) Of(w *evidence.Workload) *Endpoint { return nil }

// A Connection is what one endpoint may open to another.
type Connection struct {
	Src, Dst *Endpoint
	// Ports are certainly allowed; of Unknown it is not known. They are disjoint.
	Ports, Unknown ports.Set
	// Limited is set when some of Ports are open for certain requests only: Explain
	// says which.
	Limited bool
}

// Between says what src may open to dst: the egress rules of src and the ingress
// rules of dst, in every layer.
func (g *Graph) Between(src, dst *Endpoint) Connection { return Connection{Src: src, Dst: dst} }

// Connections yields every pair of endpoints with something allowed or unknown, by
// source and destination. Pairs of two endpoints outside the cluster are left out.
func (g *Graph) Connections() iter.Seq[Connection] { return func(func(Connection) bool) {} }

// A Coverage is what the policies make of an endpoint's pods in one direction.
type Coverage struct {
	// Isolated is set when a policy isolates the pods: what nothing allows is denied.
	Isolated bool
	// By are the policies that are about the pods in this direction, in the order in
	// which they are asked.
	By []*netpol.Policy
	// Unknown is why the answer is not certain, "" when it is.
	Unknown string
}

// Coverage says which policies are about an endpoint, and whether they isolate it.
func (g *Graph) Coverage(e *Endpoint, d netpol.Direction) Coverage { return Coverage{} }

// An Explanation is how one question was decided.
type Explanation struct {
	Src, Dst *Endpoint
	// Allowed, Denied and Unknown are what became of the ports that were asked for.
	Allowed, Denied, Unknown ports.Set
	// Steps are in the order of evaluation: egress, then ingress, each by layer and tier.
	Steps []Step
}

// A Step is one rule, or one default, that had a say.
type Step struct {
	Direction netpol.Direction
	// Policy and Rule are nil where no policy is about the endpoint; Rule alone is
	// nil where the policy isolates and no rule of the tier matched.
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
}

// Explain says for each of the asked ports how it is decided between two
// endpoints, and by which rule.
func (g *Graph) Explain(src, dst *Endpoint, asked ports.Set) Explanation {
	return Explanation{Src: src, Dst: dst}
}
