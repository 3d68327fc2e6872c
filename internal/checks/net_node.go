package checks

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A netNode is one check's look at one node and at what of the others matters to who
// may reach it.
type netNode struct {
	*node
	machine *evidence.Machine
	all     []*evidence.Machine
}

// eachNetNode judges the nodes that are of a sort. Where none is among those that were
// looked at, none says so.
func eachNetNode(of func(*evidence.Machine) bool, judge func(*netNode), none func(*check.Run)) func(*check.Run) {
	return func(r *check.Run) {
		all := r.Machines()
		found := false
		for _, m := range all {
			if m.Host == nil || !of(m) {
				continue
			}
			found = true
			n := &netNode{&node{Run: r, Host: m.Host}, m, all}
			judge(n)
			n.done()
		}
		if !found {
			none(r)
		}
	}
}

func isControlPlaneNode(m *evidence.Machine) bool { return m.ControlPlane }

func isWorkerNode(m *evidence.Machine) bool { return !m.ControlPlane }

func hasEtcd(m *evidence.Machine) bool {
	return m.Host != nil && m.Host.Component(evidence.Etcd) != nil
}

// noControlPlane says that no control plane node was looked at.
func noControlPlane(r *check.Run) {
	if r.Managed != nil {
		r.Inapplicable("", providersDuty(r.Managed))
		return
	}
	r.Unknown("", "no control plane node was looked at (--host-root on each)")
}

// noWorker says that no worker was looked at, unless there is none.
func noWorker(r *check.Run) {
	if all, _ := r.Complete(evidence.Nodes, ""); all && len(r.Nodes) > 0 && !slices.ContainsFunc(r.Machines(), isWorkerNode) {
		return
	}
	r.Unknown("", "no worker was looked at (--host-root on each)")
}

// controllers are the addresses of the machines that run the control plane, of etcd's
// members and of the node itself. whole is whether they are known to be all.
func (n *netNode) controllers() (list []netip.Prefix, whole bool) {
	add := func(addresses []netip.Addr) {
		for _, a := range addresses {
			list = append(list, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	add(n.machine.Addresses)
	for _, m := range n.all {
		if m.ControlPlane {
			add(m.Addresses)
			add(m.External)
		}
		if m.Host != nil {
			add(m.Host.Peers())
		}
	}
	all, _ := n.Complete(evidence.Nodes, "")
	return list, all && slices.ContainsFunc(n.all, isControlPlaneNode)
}

// members are the addresses of all machines of the cluster, and of their pods.
func (n *netNode) members() (list []netip.Prefix, whole bool) {
	list, whole = n.controllers()
	for _, m := range n.all {
		for _, a := range slices.Concat(m.Addresses, m.External) {
			list = append(list, netip.PrefixFrom(a, a.BitLen()))
		}
		list = append(list, m.Pods...)
	}
	return list, whole
}

// listeners are the sockets beyond loopback that have a port.
func (n *netNode) listeners(protocol string, port uint16) []evidence.Socket {
	return listenersOf(n.Host, protocol, port)
}

func listenersOf(h *evidence.Host, protocol string, port uint16) (list []evidence.Socket) {
	for _, s := range h.Sockets {
		if s.Protocol == protocol && s.Address.Port() == port && !s.Address.Addr().Unmap().IsLoopback() {
			list = append(list, s)
		}
	}
	return list
}

// A listened port is one that something beyond loopback listens on.
type listenedPort struct {
	protocol string
	number   uint16
	process  string
	sockets  []evidence.Socket
}

// String is as people write it: 9100/tcp.
func (p listenedPort) String() string { return fmt.Sprintf("%d/%s", p.number, p.protocol) }

// by names the program that listens.
func (p listenedPort) by() string {
	if p.process == "" {
		return "something"
	}
	return p.process
}

// Ports of UDP from here on are the kernel's to give to clients: a socket of one that
// waits for an answer looks like one that listens.
const clientPorts = 32768

// maxListened bounds how many ports of a node are judged.
const maxListened = 500

// listened are the ports that something listens on beyond loopback, in order, but for
// those that skip says.
func (n *netNode) listened(skip func(protocol string, port uint16) bool) []listenedPort {
	var list []listenedPort
	for _, s := range n.Sockets {
		port := s.Address.Port()
		switch {
		case s.Address.Addr().Unmap().IsLoopback(), skip(s.Protocol, port), s.Protocol == "udp" && port >= clientPorts:
			continue
		}
		i := slices.IndexFunc(list, func(p listenedPort) bool { return p.protocol == s.Protocol && p.number == port })
		if i < 0 {
			if len(list) == maxListened {
				n.cannot("more than %d ports are listened on: the others were not judged", maxListened)
				break
			}
			i = len(list)
			list = append(list, listenedPort{protocol: s.Protocol, number: port})
		}
		p := &list[i]
		p.sockets = append(p.sockets, s)
		if p.process == "" {
			p.process = s.Process
		}
	}
	slices.SortFunc(list, func(a, b listenedPort) int {
		if a.number != b.number {
			return int(a.number) - int(b.number)
		}
		return strings.Compare(a.protocol, b.protocol)
	})
	return list
}

// A portRange is a run of ports, both ends included.
type portRange struct{ from, to uint16 }

func (r portRange) has(port uint16) bool { return r.from <= port && port <= r.to }

func (r portRange) String() string { return fmt.Sprintf("%d-%d", r.from, r.to) }

// nodePorts are the ports that Services of type NodePort have: as an API server that
// was looked at says, else the default.
func (n *netNode) nodePorts() portRange {
	for _, m := range n.all {
		if m.Host == nil {
			continue
		}
		c := m.Host.Component(evidence.APIServer)
		if c == nil {
			continue
		}
		f, given := c.Flag("service-node-port-range")
		if r, ok := parseRange(f.Value); given && ok {
			return r
		}
	}
	return portRange{30000, 32767}
}

// parseRange reads a range as Kubernetes writes it: 30000-32767, 30000+2767, 30000.
func parseRange(text string) (portRange, bool) {
	from, rest, ranged := strings.Cut(text, "-")
	first, more, sized := strings.Cut(text, "+")
	switch {
	case sized:
		a, errA := strconv.ParseUint(first, 10, 16)
		b, errB := strconv.ParseUint(more, 10, 16)
		return portRange{uint16(a), uint16(a + b)}, errA == nil && errB == nil && a+b < 1<<16
	case !ranged:
		rest = from
	}
	a, errA := strconv.ParseUint(from, 10, 16)
	b, errB := strconv.ParseUint(rest, 10, 16)
	return portRange{uint16(a), uint16(b)}, errA == nil && errB == nil && a <= b
}

// places names where sockets listen.
func places(sockets []evidence.Socket) string {
	var names []string
	for _, s := range sockets {
		names = append(names, s.Address.String())
	}
	slices.Sort(names)
	return someOf(slices.Compact(names), 3)
}

// someOf joins the first few of many.
func someOf(names []string, few int) string {
	text := strings.Join(names[:min(few, len(names))], ", ")
	if more := len(names) - few; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
