package need

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A Kind is what is at one end of a connection.
type Kind uint8

const (
	// OfSet is the pods of workloads that were read.
	OfSet Kind = iota
	// OfLabels is pods that are known by their labels, and were not read.
	OfLabels
	// OfAnyPod is every pod of the cluster.
	OfAnyPod
	// OfAPIServer is the API server.
	OfAPIServer
	// OfNodes is nodes, and pods in the network of their node.
	OfNodes
	// OfOutside is whoever comes through a load balancer, a port of the nodes or an
	// ingress that is not known: the outside, and the nodes that send on.
	OfOutside
	// OfWorld is public addresses, as a name outside the cluster may have them.
	OfWorld
	// OfUpstream is any address but those of pods and metadata: where name servers
	// ask further.
	OfUpstream
	// OfBlock is addresses that were named.
	OfBlock
)

// An End is one end of a needed connection.
type End struct {
	Kind Kind
	// Set is that of OfSet.
	Set *Set
	// Namespace and Labels are those of OfLabels.
	Namespace string
	Labels    map[string]string
	// Block holds the addresses of OfBlock, and of OfOutside where only some may come in.
	Block cidr.Set
	// Name is that of OfWorld.
	Name string
	// Local is set on OfOutside when the addresses of clients arrive as they are.
	Local bool
}

// String is how people call the end.
func (e End) String() string {
	switch e.Kind {
	case OfSet:
		return e.Set.String()
	case OfLabels:
		if len(e.Labels) == 0 {
			return "every pod in " + e.Namespace
		}
		return "pods " + labelText(e.Labels) + " in " + e.Namespace
	case OfAnyPod:
		return "every pod"
	case OfAPIServer:
		return "the API server"
	case OfNodes:
		return "nodes"
	case OfOutside:
		if !e.Block.Empty() {
			return "the outside, from " + e.Block.String()
		}
		return "the outside"
	case OfWorld:
		return e.Name
	case OfUpstream:
		return "name servers further up"
	}
	return e.Block.String()
}

// Key is the same for the same end. No two sets of a namespace have one name.
func (e End) Key() string {
	if e.Kind == OfSet {
		return e.Set.Namespace + "/" + e.Set.Name
	}
	return fmt.Sprintf("%d %s %v", e.Kind, e, e.Local)
}

// labelText writes labels in the order of their keys.
func labelText(labels map[string]string) string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		list = append(list, key+"="+labels[key])
	}
	return strings.Join(list, ",")
}

// A Need is a connection that has to be open, with what says so.
type Need struct {
	From, To End
	// Ports are those of the accepting end.
	Ports ports.Set
	// Reasons are what says so; More is how many there are beyond those that are kept.
	Reasons []Reason
	More    int
}

// maxReasons is how many reasons of one need are kept.
const maxReasons = 50

// A Reason is what says that a connection is needed.
type Reason struct {
	// Ports are those that this reason asks for.
	Ports ports.Set
	// At is the object and its field, with the line where there is one.
	At string
	// Says is the part of the field that names the other end.
	Says string
	// Weak is why the reason may be none, "" when it is a good one.
	Weak string
}

func (r Reason) String() string {
	text := r.At
	if r.Says != "" {
		text += ": " + r.Says
	}
	if r.Weak != "" {
		text += " (weak: " + r.Weak + ")"
	}
	return text
}

// Field names a field of an object, and where it is written.
func Field(ref *evidence.Ref, p evidence.Path) string {
	text := ref.String()
	if p.Len() > 0 {
		text += ", " + p.String()
	}
	return text + place(ref, p)
}

func place(ref *evidence.Ref, p evidence.Path) string {
	at := ref.Position(p)
	switch {
	case at.File == "":
		return ""
	case at.Line == 0:
		return " (" + at.File + ")"
	}
	return fmt.Sprintf(" (%s:%d)", at.File, at.Line)
}

// Needs are connections by their ends.
type Needs map[string]*Need

// Add notes that a connection is needed. What needs nothing of a network, or has no
// ports, is left out.
func (n Needs) Add(from, to End, at ports.Set, why Reason) {
	if at.Empty() {
		return
	}
	key := from.Key() + " > " + to.Key()
	have := n[key]
	if have == nil {
		have = &Need{From: from, To: to}
		n[key] = have
	}
	have.Ports = have.Ports.Union(at)
	for i, r := range have.Reasons {
		if r.At == why.At && r.Says == why.Says {
			have.Reasons[i].Ports = r.Ports.Union(at)
			return
		}
	}
	if len(have.Reasons) == maxReasons {
		have.More++
		return
	}
	why.Ports = at
	have.Reasons = append(have.Reasons, why)
}

// List is all needs in an order that does not depend on how they were found.
func (n Needs) List() []*Need {
	list := make([]*Need, 0, len(n))
	for _, key := range slices.Sorted(maps.Keys(n)) {
		one := n[key]
		slices.SortFunc(one.Reasons, func(a, b Reason) int {
			return cmp.Or(cmp.Compare(len(a.Weak), len(b.Weak)), cmp.Compare(a.At, b.At), cmp.Compare(a.Says, b.Says))
		})
		list = append(list, one)
	}
	return list
}

// Printable takes from a text what would end a comment or a line: it comes from
// files that anybody may have written.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
