package evidence

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// A Machine is a node as all tell that know of it: its Node object and its host.
type Machine struct {
	// Ref is the host's, or the Node's where no host was looked at.
	*Ref
	// Host is nil where none was looked at.
	Host *Host
	// ControlPlane is set for one that runs the control plane or etcd.
	ControlPlane bool
	// Addresses are those that the others of the cluster reach it at: the Node's
	// InternalIPs and what its own flags advertise. External are its ExternalIPs.
	Addresses, External []netip.Addr
	// Pods are the ranges of its pods' addresses.
	Pods []netip.Prefix
}

// Machines returns the nodes of the snapshot, by name. What Node objects say is not
// trusted further than an address of a machine can be true: none is loopback,
// link-local, multicast or unspecified.
func (s *Snapshot) Machines() []*Machine {
	byName := map[string]*Machine{}
	for _, n := range s.Nodes {
		m := &Machine{Ref: n.Ref, ControlPlane: controls(n.Labels)}
		for _, a := range n.Value.Status.Addresses {
			switch a.Type {
			case corev1.NodeInternalIP:
				m.Addresses = addAddress(m.Addresses, a.Address)
			case corev1.NodeExternalIP:
				m.External = addAddress(m.External, a.Address)
			}
		}
		for _, r := range append(n.Value.Spec.PodCIDRs, n.Value.Spec.PodCIDR) {
			if p, err := netip.ParsePrefix(r); err == nil && !slices.Contains(m.Pods, p) {
				m.Pods = append(m.Pods, p)
			}
		}
		byName[n.Name] = m
	}
	for _, h := range s.Hosts {
		m := byName[h.Node]
		if m == nil {
			m = &Machine{}
			byName[h.Node] = m
		}
		m.Ref, m.Host = h.Ref, h
		m.ControlPlane = m.ControlPlane || h.Has(ControlPlane) || h.Has(EtcdMember)
		for _, a := range h.advertised() {
			m.Addresses = addAddress(m.Addresses, a)
		}
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b *Machine) int { return cmp.Compare(a.Name, b.Name) })
}

// advertised are the addresses that the flags of the host's components tell others to
// reach it at.
func (h *Host) advertised() (list []string) {
	for _, from := range []struct{ component, flag string }{
		{APIServer, "advertise-address"}, {Kubelet, "node-ip"},
		{Etcd, "advertise-client-urls"}, {Etcd, "initial-advertise-peer-urls"},
	} {
		if c := h.Component(from.component); c != nil {
			if f, given := c.Flag(from.flag); given {
				for _, one := range strings.Split(f.Value, ",") {
					list = append(list, hostOf(one))
				}
			}
		}
	}
	return list
}

// hostOf is the host of a URL, or the text itself.
func hostOf(text string) string {
	if u, err := url.Parse(text); err == nil && u.Host != "" {
		return u.Hostname()
	}
	return text
}

func addAddress(list []netip.Addr, text string) []netip.Addr {
	a, err := netip.ParseAddr(text)
	a = a.Unmap()
	if err != nil || a.Zone() != "" || !a.IsGlobalUnicast() || slices.Contains(list, a) {
		return list
	}
	return append(list, a)
}

// A Port is one that a component serves, by TCP.
type Port struct {
	Component string
	// Flag, or field of a configuration, is what sets it.
	Flag   string
	Number uint16
}

// The ports that components have unless a flag says otherwise.
const (
	apiServerPort         = 6443
	kubeletPort           = 10250
	controllerManagerPort = 10257
	cloudControllerPort   = 10258
	schedulerPort         = 10259
	etcdClientPort        = 2379
	etcdPeerPort          = 2380
)

// Ports are those of the guide's tables that the machine has: of the components that
// were seen there, as they are set up; where none was seen, of those that such a
// machine usually has.
func (m *Machine) Ports() (list []Port) {
	usual := []Port{
		{APIServer, "secure-port", apiServerPort},
		{ControllerManager, "secure-port", controllerManagerPort},
		{CloudControllerManager, "secure-port", cloudControllerPort},
		{Scheduler, "secure-port", schedulerPort},
		{Etcd, "listen-client-urls", etcdClientPort},
		{Etcd, "listen-peer-urls", etcdPeerPort},
		{Kubelet, "port", kubeletPort},
	}
	known := m.Host != nil && slices.ContainsFunc(usual, func(p Port) bool {
		return p.Component != Kubelet && m.Host.Component(p.Component) != nil
	})
	for _, p := range usual {
		var c *Component
		if m.Host != nil {
			c = m.Host.Component(p.Component)
		}
		switch {
		case p.Component == APIServer && c != nil && m.Host.Component("k3s") != nil:
			// K3s answers for the API server, whose own port only the node reaches.
			served := Port{APIServer, "https-listen-port", apiServerPort}
			for _, n := range served.of(m.Host.Component("k3s")) {
				list = append(list, Port{APIServer, served.Flag, n})
			}
		case c != nil:
			for _, n := range p.of(c) {
				list = append(list, Port{p.Component, p.Flag, n})
			}
		case p.Component == Kubelet, !known && m.ControlPlane && p.Component != CloudControllerManager:
			list = append(list, p)
		}
	}
	return list
}

// of are the numbers that the port really has in a component.
func (p Port) of(c *Component) (list []uint16) {
	if o, set := c.Options[p.Flag]; set {
		var n uint16
		if json.Unmarshal(o.Value, &n) != nil || n == 0 {
			return nil
		}
		return []uint16{n}
	}
	f, given := c.Flag(p.Flag)
	if !given {
		return []uint16{p.Number}
	}
	for _, one := range strings.Split(f.Value, ",") {
		if u, err := url.Parse(one); err == nil && u.Host != "" {
			one = u.Port()
		}
		if n, err := strconv.ParseUint(one, 10, 16); err == nil && n != 0 && !slices.Contains(list, uint16(n)) {
			list = append(list, uint16(n))
		}
	}
	return list
}

// Peers are the addresses that the flags of a host's API server and etcd name for
// etcd's members.
func (h *Host) Peers() (list []netip.Addr) {
	for _, from := range []struct{ component, flag string }{{APIServer, "etcd-servers"}, {Etcd, "initial-cluster"}} {
		c := h.Component(from.component)
		if c == nil {
			continue
		}
		f, _ := c.Flag(from.flag)
		for _, one := range strings.Split(f.Value, ",") {
			if name, member, named := strings.Cut(one, "="); named && !strings.Contains(name, "/") {
				one = member
			}
			list = addAddress(list, hostOf(one))
		}
	}
	return list
}
