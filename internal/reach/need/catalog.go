// Package need finds which connections the workloads of a snapshot need, each with
// the place that says so: Services that are named in variables, arguments, settings and
// annotations, ways in from outside, webhooks, monitors, rights at the API server, and
// what the cluster's own parts are known to do.
//
// It takes no policy for a reason: that a connection is allowed does not show that
// anybody needs it. What a program connects to without its objects saying so it cannot
// know, and what it could not follow is among the notes. It judges nothing.
package need

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
)

// Facts are what the objects do not tell of a cluster.
type Facts struct {
	// Network holds the ranges of pods and nodes.
	Network reach.Options
	// APIServer are the addresses of the API server as pods reach it; where empty, they
	// are taken from the nodes of the control plane, and are else not known.
	APIServer cidr.Set
	// IngressNamespaces are where the controllers of Ingresses and routes run whose
	// pods are not among what was read.
	IngressNamespaces []string
	// Names is set where policies can mean a name outside the cluster. Where they
	// cannot, one that only a private network knows stands for no address.
	Names bool
}

// A Catalog is what names, labels and addresses stand for in a snapshot, and what its
// workloads need.
type Catalog struct {
	// Snap is the snapshot with what operators add to their pods, Graph that of it.
	Snap  *evidence.Snapshot
	Graph *reach.Graph
	facts Facts

	// Sets are all pods that policies can be about, in the order of names, and Of says
	// to which of them a workload belongs: to none in the network of its node.
	Sets []*Set
	Of   map[*evidence.Workload]*Set

	// Services are those that were read.
	Services   map[Name]*evidence.Object[corev1.Service]
	byAddress  map[netip.Addr]Name
	configMaps map[Name]*evidence.Object[corev1.ConfigMap]
	accounts   map[Name]*evidence.Object[corev1.ServiceAccount]
	backends   map[*evidence.Object[corev1.Service]][]reach.Backend
	passages   map[entry][]passage
	// bound says what gives a ServiceAccount rights: the first binding that names it.
	bound     map[Name]subject
	resolvers []Resolver

	// APIServer and Nodes are their addresses, empty where they are not known; Pods
	// those of pods.
	APIServer, Nodes, Pods cidr.Set
	ipv6                   bool

	// Needs are the connections, Notes what is to be known about them: what could not be
	// followed, and why.
	Needs Needs
	Notes Notes
}

// A Name is how objects of one kind are told apart.
type Name struct{ Namespace, Name string }

// Find finds what the workloads of a snapshot need. The graph is that of the snapshot,
// or nil to have one made; with pods that an operator completes there is another one in
// the catalog.
func Find(snap *evidence.Snapshot, g *reach.Graph, o Facts) *Catalog {
	c := &Catalog{
		Snap: completed(snap), facts: o,
		Of: map[*evidence.Workload]*Set{}, Needs: Needs{}, backends: map[*evidence.Object[corev1.Service]][]reach.Backend{}, passages: map[entry][]passage{},
		Services: map[Name]*evidence.Object[corev1.Service]{}, byAddress: map[netip.Addr]Name{},
		configMaps: map[Name]*evidence.Object[corev1.ConfigMap]{}, accounts: map[Name]*evidence.Object[corev1.ServiceAccount]{},
	}
	if c.Graph = g; g == nil || c.Snap != snap {
		c.Graph = reach.NewGraph(c.Snap, o.Network)
	}
	for _, s := range c.Snap.Services {
		at := Name{s.Namespace, s.Name}
		c.Services[at] = s
		for _, text := range append([]string{s.Value.Spec.ClusterIP}, s.Value.Spec.ClusterIPs...) {
			if a, err := netip.ParseAddr(text); err == nil {
				c.byAddress[a.Unmap()] = at
				c.ipv6 = c.ipv6 || a.Unmap().Is6()
			}
		}
		c.ipv6 = c.ipv6 || slices.Contains(s.Value.Spec.IPFamilies, corev1.IPv6Protocol)
	}
	for _, m := range c.Snap.ConfigMaps {
		c.configMaps[Name{m.Namespace, m.Name}] = m
	}
	for _, a := range c.Snap.ServiceAccounts {
		c.accounts[Name{a.Namespace, a.Name}] = a
	}
	c.readNodes()
	c.readSets()
	c.readBindings()
	c.resolvers = c.findResolvers()
	c.infer()
	return c
}

// readNodes takes the addresses of nodes, of pods and of the API server from the
// nodes, where the options do not tell them.
func (c *Catalog) readNodes() {
	c.Nodes, c.Pods, c.APIServer = c.facts.Network.Nodes, c.facts.Network.Pods, c.facts.APIServer
	var nodes, pods, masters cidr.Set
	for _, n := range c.Snap.Nodes {
		for _, a := range n.Value.Status.Addresses {
			address, err := netip.ParseAddr(a.Address)
			if err != nil || a.Type != corev1.NodeInternalIP && a.Type != corev1.NodeExternalIP {
				continue
			}
			nodes = nodes.Union(cidr.Address(address))
			_, plane := n.Labels["node-role.kubernetes.io/control-plane"]
			_, master := n.Labels["node-role.kubernetes.io/master"]
			if a.Type == corev1.NodeInternalIP && (plane || master) {
				masters = masters.Union(cidr.Address(address))
			}
		}
		for _, text := range append([]string{n.Value.Spec.PodCIDR}, n.Value.Spec.PodCIDRs...) {
			if p, err := netip.ParsePrefix(text); err == nil {
				pods = pods.Union(cidr.Of(p))
				c.ipv6 = c.ipv6 || p.Addr().Is6()
			}
		}
	}
	// Nodes in files may be some of them; those of a cluster are all.
	if c.Nodes.Empty() && c.Snap.Cluster != nil {
		c.Nodes = nodes
	}
	if c.APIServer.Empty() && c.Snap.Cluster != nil {
		c.APIServer = masters
	}
	if c.Pods.Empty() {
		c.Pods = pods
	}
	c.ipv6 = c.ipv6 || c.Pods.Overlaps(cidr.IPv6())
}

// readSets puts workloads that no label tells apart together.
func (c *Catalog) readSets() {
	byLabels := map[string]*Set{}
	for _, w := range c.Snap.Workloads {
		if w.Pod.HostNetwork {
			continue
		}
		key := w.Namespace + " " + labelText(Stable(w))
		if len(Stable(w)) == 0 {
			key = w.Namespace + " " + w.Kind + " " + w.Name
		}
		s := byLabels[key]
		if s == nil {
			s = &Set{Namespace: w.Namespace, labels: Stable(w)}
			byLabels[key] = s
			c.Sets = append(c.Sets, s)
		}
		s.Workloads = append(s.Workloads, w)
		c.Of[w] = s
	}
	for _, s := range c.Sets {
		slices.SortStableFunc(s.Workloads, func(a, b *evidence.Workload) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
		})
		s.Name = s.Workloads[0].Name
	}
	slices.SortStableFunc(c.Sets, compareSets)
	taken := map[Name]bool{}
	for _, s := range c.Sets {
		if taken[Name{s.Namespace, s.Name}] {
			s.Name += "-" + strings.ToLower(s.Workloads[0].Kind)
		}
		for n, plain := 2, s.Name; taken[Name{s.Namespace, s.Name}]; n++ {
			s.Name = fmt.Sprintf("%s-%d", plain, n)
		}
		taken[Name{s.Namespace, s.Name}] = true
	}
}

// ChooseSelectors finds for each set the selector that means it, or says why there is none.
func (c *Catalog) ChooseSelectors() {
	byNamespace := map[string][]*Set{}
	for _, s := range c.Sets {
		byNamespace[s.Namespace] = append(byNamespace[s.Namespace], s)
	}
	for _, namespace := range slices.Sorted(maps.Keys(byNamespace)) {
		for _, s := range byNamespace[namespace] {
			s.choose(byNamespace[namespace], c.Snap.Services)
		}
	}
}

// Backends are whom a Service sends to, as the graph finds them. It is not safe for
// concurrent use.
func (c *Catalog) Backends(s *evidence.Object[corev1.Service]) []reach.Backend {
	list, known := c.backends[s]
	if !known {
		list = c.Graph.Backends(s)
		c.backends[s] = list
	}
	return list
}

// ServiceAt returns the Service that an address belongs to.
func (c *Catalog) ServiceAt(a netip.Addr) (*evidence.Object[corev1.Service], bool) {
	at, ok := c.byAddress[a.Unmap()]
	return c.Services[at], ok
}

// EndOf is the end that a workload's pods are.
func (c *Catalog) EndOf(w *evidence.Workload) End {
	if w.Pod.HostNetwork {
		return End{Kind: OfNodes}
	}
	return End{Kind: OfSet, Set: c.Of[w]}
}
