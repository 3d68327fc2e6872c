// Package netpol is the one form into which network policies of every kind are
// read: whom a policy is about, which peers and ports its rules allow or deny, and
// when it is asked before or after others. Readers of the kinds write it, package
// reach evaluates it. It knows no API object's fields, and evaluates nothing.
//
// Everything is three-valued: what a reader does not model, or cannot know, stays
// in the form as Unknown with the reason, and the answer that hangs on it is then
// "unknown because", never a guess.
package netpol

import (
	"slices"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// An Action is what a rule does with a connection that it matches.
type Action uint8

const (
	// Allow accepts the connection: no later rule is asked.
	Allow Action = iota + 1
	// Deny refuses it.
	Deny
	// Pass leaves it to the next tier.
	Pass
)

func (a Action) String() string {
	switch a {
	case Allow:
		return "allow"
	case Deny:
		return "deny"
	case Pass:
		return "pass"
	}
	return "unknown"
}

// A Direction is which end of a connection a policy is about.
type Direction uint8

// Ingress is about the end that accepts the connection, Egress about the one that opens it.
const (
	Ingress Direction = iota
	Egress
)

func (d Direction) String() string {
	if d == Egress {
		return "egress"
	}
	return "ingress"
}

// A Layer is a set of policies that a connection has to get through whatever
// another layer says: packets are filtered, and then a proxy may refuse requests.
type Layer uint8

const (
	// Network is what filters packets.
	Network Layer = iota
	// Mesh is the authorization of a service mesh, at the end that accepts.
	Mesh
)

// A Tier holds the policies that are weighed together. The tiers of a layer are
// asked by Order; the first that decides has decided. A connection that no tier
// decides is allowed.
//
// Within a tier the policies that are about the endpoint are asked by
// Policy.Order (equal ones in the order of their names), their rules in order,
// and the first rule that matches decides. If none does and one of these policies
// isolates, Default is the tier's decision.
type Tier struct {
	// Name is how the tier is called: "AdminNetworkPolicy", "NetworkPolicy", Calico's
	// name of a tier.
	Name  string
	Layer Layer
	Order float64
	// Default is Deny or Pass.
	Default Action
	// DenyFirst is set where every deny rule of the tier is asked before any allow
	// rule, whatever the order of policies.
	DenyFirst bool
	// Unordered is set where nobody knows in which order policies of equal Order are
	// asked: each of them is then asked by itself, and of what two of them decide
	// differently it is not known.
	Unordered bool
}

// Orders of the tiers that Kubernetes itself defines. They are Calico's numbers,
// between which its users put tiers of their own.
const (
	AdminOrder    = 1_000
	DefaultOrder  = 1_000_000
	BaselineOrder = 10_000_000
)

// Enforcement is whose rules of evaluation hold, where they differ.
type Enforcement uint8

const (
	// Kubernetes is the API's own text, and any plugin that does just that.
	Kubernetes Enforcement = iota
	// Cilium joins NetworkPolicies and its own policies in one tier, and matches
	// no pod or node by its address.
	Cilium
	// Calico puts NetworkPolicies into its tier "default", in the order 1000.
	Calico
)

func (e Enforcement) String() string {
	switch e {
	case Cilium:
		return "Cilium"
	case Calico:
		return "Calico"
	}
	return "Kubernetes"
}

// A Policy is a policy object as it is in force.
type Policy struct {
	*evidence.Ref
	Tier  Tier
	Order float64
	// Subject are the endpoints that the policy is about.
	Subject Expr
	// Ingress and Egress are nil where the policy says nothing of that direction.
	Ingress, Egress *Rules
}

// Side is the policy's rules of a direction, or nil.
func (p *Policy) Side(d Direction) *Rules {
	if d == Egress {
		return p.Egress
	}
	return p.Ingress
}

// Rules are what a policy says of one direction.
type Rules struct {
	// Isolates is set when what no rule of the tier decides is decided by the tier's
	// Default, for the endpoints that the policy is about.
	Isolates bool
	// Unknown is why it is not known what the policy does in this direction with its
	// subjects: anything may then be allowed or denied. "" when it is known.
	Unknown string
	List    []Rule
}

// A Rule matches connections by peer and port.
type Rule struct {
	Action Action
	// Peers are the other end: of an ingress rule who connects, of an egress rule to
	// whom.
	Peers Expr
	Ports Ports
	// Limits says in words to what an allowed connection is restricted beyond peers
	// and ports, such as "HTTP GET /public": the connection is open, but not
	// for everything. A rule that denies only some requests of a connection is
	// an Allow rule with limits, or none at all.
	Limits string
	// Unknown is why it is not known whether the rule matches at all, "" otherwise.
	Unknown string
	// Path is where the rule stands in its object.
	Path evidence.Path
	// Index is the place of the rule in its list, from 0.
	Index int
}

// Open reports whether the rule allows everyone to connect to every TCP port, or to
// everywhere, without limits: no condition on the peers, or blocks that hold all
// addresses of a family.
func (r *Rule) Open() bool {
	return r.Action == Allow && r.Unknown == "" && r.Limits == "" && r.Ports.Set.Covers(ports.Every(ports.TCP)) && open(r.Peers)
}

// open reports whether an expression means everyone, or all addresses of a family.
func open(x Expr) bool {
	switch x := x.(type) {
	case Every:
		return !slices.ContainsFunc(x, func(part Expr) bool { return !open(part) })
	case Some:
		var addresses cidr.Set
		for _, part := range x {
			if a, ok := part.(Address); ok {
				addresses = addresses.Union(a.In)
			}
		}
		return open(Address{addresses}) || slices.ContainsFunc(x, open)
	case Address:
		return x.In.Covers(cidr.IPv4()) || x.In.Covers(cidr.IPv6())
	}
	return false
}

// Ports are the ports that a rule matches. A named port is what the pod at the
// accepting end calls so; an end that is no pod has no named ports.
type Ports struct {
	Set   ports.Set
	Named []NamedPort
}

// AllPorts is every port of every protocol.
func AllPorts() Ports { return Ports{Set: ports.All()} }

// A NamedPort is a port by the name that a container gives it.
type NamedPort struct {
	// Protocol limits the name to ports of that protocol.
	Protocol ports.Protocol
	Name     string
}

// Invalid is a policy that the API server or the plugin refuses: it is not in
// force as it is written.
type Invalid struct {
	*evidence.Ref
	Err error
}

// An Expr says of each endpoint whether it is meant: yes, no, or not known.
type Expr interface{ expr() }

type (
	// Every means all that are meant by each of the parts; with no parts, everyone.
	Every []Expr
	// Some means all that are meant by any of the parts; with no parts, no one.
	Some []Expr
	// Not means all that the part does not mean.
	Not struct{ Of Expr }
	// Is means endpoints of a kind.
	Is struct{ Kind Kind }
	// Label means endpoints by a label of theirs or of what they belong to. Pods in the
	// network of their node have labels too: readers add Is where they do not count.
	Label struct {
		Of     Owner
		Key    string
		Op     Op
		Values []string
	}
	// Named means pods by the name of their namespace or ServiceAccount, and endpoints
	// of the kind OfHost by the name of their node.
	Named struct {
		Of   Owner
		Name string
	}
	// Pods means the pods of workloads, for what labels do not say: whether they have a
	// sidecar.
	Pods struct{ Of []*evidence.Workload }
	// Address means endpoints by their address. Of an endpoint that may have one of
	// several addresses it is not known, unless all or none of them are in the set.
	Address struct{ In cidr.Set }
	// Unknown means nobody can say who, among the endpoints that Within means.
	Unknown struct {
		Within Expr
		Why    string
	}
)

func (Every) expr()   {}
func (Some) expr()    {}
func (Not) expr()     {}
func (Is) expr()      {}
func (Label) expr()   {}
func (Named) expr()   {}
func (Pods) expr()    {}
func (Address) expr() {}
func (Unknown) expr() {}

// Everyone is every endpoint, Nobody none.
func Everyone() Expr { return Every{} }

// Nobody is no endpoint.
func Nobody() Expr { return Some{} }

// An Owner is whose label or name is meant.
type Owner uint8

// The owners of labels and names. A node's labels are those of the Node object.
const (
	Pod Owner = iota
	Namespace
	ServiceAccount
	Node
)

// An Op compares a label with values.
type Op uint8

// The operators. In and NotIn take values, Prefix, Suffix and Contains are of the
// label's value and take one. All but NotIn and Absent need the label to be there.
const (
	In Op = iota
	NotIn
	Exists
	Absent
	Prefix
	Suffix
	Contains
)

// A Kind is what an endpoint is. Kinds are disjoint.
type Kind uint8

const (
	// OfPod is pods with a network of their own.
	OfPod Kind = iota
	// OfHost is nodes, and the pods in the network of their node.
	OfHost
	// OfAPIServer is the API server, where it is not known as a pod or node.
	OfAPIServer
	// OfWorld is every other address, outside the cluster or at least not known to
	// belong to it.
	OfWorld
)
