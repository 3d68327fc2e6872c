// Package network is what the commands about the network answer, as documents and
// in the formats that people and programs read: who can reach whom, how one
// connection is decided, what the outside reaches, what a change opens. What
// policies mean it asks of package reach; it reads and writes nothing else. Names
// in what was read are an attacker's strings: every format writes them so that
// they mean nothing in it.
package network

import (
	"cmp"
	"iter"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// APIVersion is that of all documents.
const APIVersion = "gabion.dev/v1"

// The kinds of the documents.
const (
	ConnectivityKind = "ConnectivityReport"
	ExplanationKind  = "Explanation"
	ExposureKind     = "ExposureReport"
	DiffKind         = "ConnectivityDiff"
)

// The kinds of peers that are no objects.
const (
	NodeKind      = "Node"
	APIServerKind = "APIServer"
)

// allNodes is the name of the one that stands for all nodes, where none was read.
const allNodes = "nodes"

// A Peer is one end of connections: the object that owns pods, a node, the API
// server, or a range of addresses.
type Peer struct {
	Namespace string `json:"namespace,omitempty"`
	Kind      string `json:"kind,omitempty"`
	Name      string `json:"name,omitempty"`
	// Template is where the pod template stands in an object that has several.
	Template string `json:"template,omitempty"`
	// CIDR is a range of addresses, for a peer that is no object.
	CIDR string `json:"cidr,omitempty"`
	// Range is what the addresses are called: cloud metadata, a name of the
	// configuration. "" for others.
	Range string `json:"range,omitempty"`
	// Cluster is where, when several were looked at.
	Cluster string `json:"cluster,omitempty"`
}

// String writes the peer as it is written in questions: shop/Deployment/web,
// 192.0.2.0/24 (office).
func (p Peer) String() string {
	text := p.CIDR
	switch {
	case p.CIDR != "" && p.Range != "":
		text += " (" + p.Range + ")"
	case p.CIDR != "":
	case p.Kind == APIServerKind:
		text = p.Name
	case p.Kind == NodeKind && p.Name == allNodes:
		text = everyNode
	case p.Namespace == "":
		text = p.Kind + "/" + p.Name
	default:
		text = p.Namespace + "/" + p.Kind + "/" + p.Name
	}
	if p.Template != "" {
		text += " (" + p.Template + ")"
	}
	if p.Cluster != "" {
		text = p.Cluster + ": " + text
	}
	return text
}

func comparePeers(a, b Peer) int {
	return cmp.Or(strings.Compare(a.Cluster, b.Cluster), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Kind, b.Kind),
		strings.Compare(a.Name, b.Name), strings.Compare(a.Template, b.Template), strings.Compare(a.Range, b.Range), strings.Compare(a.CIDR, b.CIDR))
}

// A Port is neighbouring ports of a protocol. Without Port it is all of the protocol.
type Port struct {
	Protocol string `json:"protocol"`
	Port     uint16 `json:"port,omitempty"`
	EndPort  uint16 `json:"endPort,omitempty"`
}

// portList writes a set as documents have it: an empty list is all ports. The set
// is not empty.
func portList(set ports.Set) []Port {
	list := []Port{}
	if set.Equal(ports.All()) {
		return list
	}
	for _, r := range set.Ranges() {
		p := Port{Protocol: r.Protocol.String()}
		if !r.Whole() {
			p.Port = r.First
			if r.Last != r.First {
				p.EndPort = r.Last
			}
		}
		list = append(list, p)
	}
	return list
}

// A Connection is what one peer may open to another.
type Connection struct {
	Src Peer `json:"src"`
	Dst Peer `json:"dst"`
	// Ports are those of Dst; an empty list is all ports of all protocols.
	Ports []Port `json:"ports"`
	// Limited is set when some of them are open for certain requests only.
	Limited bool `json:"limited,omitempty"`
	// Reason is why it is not known whether the connection is allowed, where that is
	// the case.
	Reason string `json:"reason,omitempty"`

	set ports.Set
}

// A PolicyRule is what decides: a rule of a policy, or the policy as a whole.
type PolicyRule struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Rule is the place of the rule among those of its list, from 0; nil where the
	// policy isolates the pods and no rule lets the connection through.
	Rule *int `json:"rule"`
	// Path is where the rule stands in the object, File and Line where that is written.
	Path string `json:"path,omitempty"`
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// object names the policy as people do.
func (r PolicyRule) object() string {
	if r.Namespace == "" {
		return r.Kind + " " + r.Name
	}
	return r.Kind + " " + r.Namespace + "/" + r.Name
}

func policyRule(p *netpol.Policy, r *netpol.Rule) *PolicyRule {
	if p == nil {
		return nil
	}
	out := &PolicyRule{Kind: p.Kind, Namespace: p.Namespace, Name: p.Name}
	path := evidence.Path{}
	if r != nil {
		index := r.Index
		out.Rule, out.Path, path = &index, r.Path.String(), r.Path
	}
	at := p.Position(path)
	out.File, out.Line = at.File, at.Line
	return out
}

// A World is one cluster, or the files, with its graph.
type World struct {
	Snap  *evidence.Snapshot
	Graph *reach.Graph
	// Name is that of the cluster where there are several worlds.
	Name string
	// templates are the objects with several pod templates.
	templates map[*evidence.Ref]bool
	// pods are the peers of each endpoint's workloads, by its ID.
	pods [][]Peer
}

// NewWorld weighs the policies of a snapshot together.
func NewWorld(snap *evidence.Snapshot, o reach.Options, name string) *World {
	w := &World{Snap: snap, Graph: reach.NewGraph(snap, o), Name: name, templates: map[*evidence.Ref]bool{}}
	first := map[*evidence.Ref]string{}
	for _, one := range snap.Workloads {
		path := one.PodPath.String()
		if before, seen := first[one.Ref]; seen && before != path {
			w.templates[one.Ref] = true
		}
		first[one.Ref] = path
	}
	for _, e := range w.Graph.Endpoints() {
		w.pods = append(w.pods, w.peersOf(e))
	}
	return w
}

// workloadPeer is the peer of a workload. An object with several templates has a peer
// for each.
func (w *World) workloadPeer(one *evidence.Workload) Peer {
	p := Peer{Namespace: one.Namespace, Kind: one.Kind, Name: one.Name, Cluster: w.Name}
	if w.templates[one.Ref] {
		p.Template = one.PodPath.String()
	}
	return p
}

// workloadPeers are the peers of an endpoint's workloads, each once: what is written
// and what runs in its place are one.
func (w *World) workloadPeers(e *reach.Endpoint) []Peer {
	if e.ID < 0 {
		return w.peersOf(e)
	}
	return w.pods[e.ID]
}

func (w *World) peersOf(e *reach.Endpoint) (list []Peer) {
	for _, one := range e.Workloads {
		if p := w.workloadPeer(one); len(list) == 0 || list[len(list)-1] != p {
			list = append(list, p)
		}
	}
	return list
}

// A side is one end of connections that a policy cannot tell apart: an endpoint, or
// addresses outside the cluster.
type side struct {
	endpoint *reach.Endpoint
	// outside are addresses without a name; the endpoint is then nil.
	outside cidr.Set
	// called is what people call those addresses, "" where that was not worked out.
	called string
}

// peers yields the peers that a side stands for.
func (w *World) peers(s side) iter.Seq[Peer] {
	return func(yield func(Peer) bool) {
		e := s.endpoint
		switch {
		case e == nil:
			w.addresses(s.outside, "", yield)
		case len(e.Workloads) > 0:
			for _, p := range w.workloadPeers(e) {
				if !yield(p) {
					return
				}
			}
		case e.Kind == netpol.OfHost:
			yield(Peer{Kind: NodeKind, Name: e.Name, Cluster: w.Name})
		case e.Kind == netpol.OfAPIServer:
			yield(Peer{Kind: APIServerKind, Name: e.Name, Cluster: w.Name})
		default:
			w.addresses(e.Addresses, e.Name, yield)
		}
	}
}

func (w *World) addresses(set cidr.Set, name string, yield func(Peer) bool) {
	for _, p := range set.Prefixes() {
		if !yield(Peer{CIDR: p.String(), Range: name, Cluster: w.Name}) {
			return
		}
	}
}
