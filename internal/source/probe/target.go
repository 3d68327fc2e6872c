package probe

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A Target is one port that is tried, and nothing but it.
type Target struct {
	// Node is the node that it belongs to, "" where that is not known.
	Node string
	// Component is what is said to listen there.
	Component string
	Address   netip.AddrPort
	// Name stands in for the address of a server that is known by name only: it is
	// looked up, and what it leads to is tried. Address has then the port alone.
	Name string
}

// readOnlyPort is what the kubelet's port without authentication is by custom.
const readOnlyPort = 10255

// Targets are the ports that the evidence tells of: the cluster's server, and on the
// addresses of the nodes those of the components that are there, or are said to be.
// They are in order, each once.
func Targets(snap *evidence.Snapshot) []Target {
	var list []Target
	for _, m := range snap.Machines() {
		for _, address := range m.Addresses {
			for _, p := range ports(m) {
				list = append(list, Target{Node: m.Name, Component: p.Component, Address: netip.AddrPortFrom(address, p.Number)})
			}
		}
	}
	if snap.Cluster != nil {
		list = append(list, server(snap.Cluster.Server)...)
	}
	slices.SortFunc(list, func(a, b Target) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Component, b.Component), cmp.Compare(a.Name, b.Name),
			cmp.Compare(b.Node, a.Node)) // one that is named before one that is not
	})
	return slices.CompactFunc(list, func(a, b Target) bool {
		return a.Address == b.Address && a.Component == b.Component && a.Name == b.Name
	})
}

// server is the target of a URL.
func server(text string) []Target {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return nil
	}
	number := uint64(443)
	if u.Port() != "" {
		if number, err = strconv.ParseUint(u.Port(), 10, 16); err != nil {
			return nil
		}
	}
	t := Target{Component: evidence.APIServer, Name: u.Hostname()}
	address, err := netip.ParseAddr(u.Hostname())
	switch {
	case err != nil:
		t.Address = netip.AddrPortFrom(netip.Addr{}, uint16(number))
	case address.Unmap().IsUnspecified() || address.IsMulticast():
		return nil
	default:
		t.Name, t.Address = "", netip.AddrPortFrom(address.Unmap(), uint16(number))
	}
	return []Target{t}
}

// ports are those of a machine at which something should listen, and the one at which
// nothing should: the kubelet's that asks nobody who they are.
func ports(m *evidence.Machine) []evidence.Port {
	number := uint16(readOnlyPort)
	if m.Host != nil {
		if c := m.Host.Component(evidence.Kubelet); c != nil {
			if n := set(c, "readOnlyPort"); n != 0 {
				number = n
			}
		}
	}
	return append(m.Ports(), evidence.Port{Component: evidence.Kubelet, Flag: "readOnlyPort", Number: number})
}

// set is a port in a component's configuration, 0 for none.
func set(c *evidence.Component, path string) (number uint16) {
	if o, set := c.Options[path]; set && json.Unmarshal(o.Value, &number) != nil {
		return 0
	}
	return number
}
