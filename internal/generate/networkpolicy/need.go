package networkpolicy

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

// An endKind is what is at one end of a connection.
type endKind uint8

const (
	// ofSet is the pods of workloads that were read.
	ofSet endKind = iota
	// ofLabels is pods that are known by their labels, and were not read.
	ofLabels
	// ofAnyPod is every pod of the cluster.
	ofAnyPod
	// ofAPIServer is the API server.
	ofAPIServer
	// ofNodes is nodes, and pods in the network of their node.
	ofNodes
	// ofOutside is whoever comes through a load balancer, a port of the nodes or an
	// ingress that is not known: the outside, and the nodes that send on.
	ofOutside
	// ofWorld is public addresses, as a name outside the cluster may have them.
	ofWorld
	// ofUpstream is any address but those of pods and metadata: where name servers
	// ask further.
	ofUpstream
	// ofBlock is addresses that were named.
	ofBlock
)

// An end is one end of a needed connection.
type end struct {
	kind endKind
	set  *set
	// namespace and labels are those of ofLabels.
	namespace string
	labels    map[string]string
	// block holds the addresses of ofBlock, and of ofOutside where only some may come in.
	block cidr.Set
	// name is that of ofWorld.
	name string
	// local is set on ofOutside when the addresses of clients arrive as they are.
	local bool
}

// String is how people call the end.
func (e end) String() string {
	switch e.kind {
	case ofSet:
		return e.set.String()
	case ofLabels:
		if len(e.labels) == 0 {
			return "every pod in " + e.namespace
		}
		return "pods " + labelText(e.labels) + " in " + e.namespace
	case ofAnyPod:
		return "every pod"
	case ofAPIServer:
		return "the API server"
	case ofNodes:
		return "nodes"
	case ofOutside:
		if !e.block.Empty() {
			return "the outside, from " + e.block.String()
		}
		return "the outside"
	case ofWorld:
		return e.name
	case ofUpstream:
		return "name servers further up"
	}
	return e.block.String()
}

// key is the same for the same end. No two sets of a namespace have one name.
func (e end) key() string {
	if e.kind == ofSet {
		return e.set.namespace + "/" + e.set.name
	}
	return fmt.Sprintf("%d %s %v", e.kind, e, e.local)
}

// labelText writes labels in the order of their keys.
func labelText(labels map[string]string) string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		list = append(list, key+"="+labels[key])
	}
	return strings.Join(list, ",")
}

// A need is a connection that has to be open, with what says so.
type need struct {
	from, to end
	// ports are those of the accepting end.
	ports   ports.Set
	reasons []reason
	// more is how many reasons there are beyond those that are kept.
	more int
}

// maxReasons is how many reasons of one need are kept.
const maxReasons = 50

// A reason is what says that a connection is needed.
type reason struct {
	// ports are those that this reason asks for.
	ports ports.Set
	// at is the object and its field, with the line where there is one.
	at string
	// says is the part of the field that names the other end.
	says string
	// weak is why the reason may be none, "" when it is a good one.
	weak string
}

func (r reason) String() string {
	text := r.at
	if r.says != "" {
		text += ": " + r.says
	}
	if r.weak != "" {
		text += " (weak: " + r.weak + ")"
	}
	return text
}

// field names a field of an object, and where it is written.
func field(ref *evidence.Ref, p evidence.Path) string {
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

// needs are connections by their ends.
type needs map[string]*need

// add notes that a connection is needed. What needs nothing of a network, or has no
// ports, is left out.
func (n needs) add(from, to end, at ports.Set, why reason) {
	if at.Empty() {
		return
	}
	key := from.key() + " > " + to.key()
	have := n[key]
	if have == nil {
		have = &need{from: from, to: to}
		n[key] = have
	}
	have.ports = have.ports.Union(at)
	for i, r := range have.reasons {
		if r.at == why.at && r.says == why.says {
			have.reasons[i].ports = r.ports.Union(at)
			return
		}
	}
	if len(have.reasons) == maxReasons {
		have.more++
		return
	}
	why.ports = at
	have.reasons = append(have.reasons, why)
}

// list is all needs in an order that does not depend on how they were found.
func (n needs) list() []*need {
	list := make([]*need, 0, len(n))
	for _, key := range slices.Sorted(maps.Keys(n)) {
		one := n[key]
		slices.SortFunc(one.reasons, func(a, b reason) int {
			return cmp.Or(cmp.Compare(len(a.weak), len(b.weak)), cmp.Compare(a.at, b.at), cmp.Compare(a.says, b.says))
		})
		list = append(list, one)
	}
	return list
}

// printable takes from a text what would end a comment or a line: it comes from
// files that anybody may have written.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
