package networkpolicy

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/flows"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
)

// A catalog is what names and labels stand for in a snapshot.
type catalog struct {
	snap    *evidence.Snapshot
	graph   *reach.Graph
	options Options

	// sets are all pods that policies can be about, in the order of names.
	sets []*set
	of   map[*evidence.Workload]*set
	// governed are the namespaces that policies are written for.
	governed map[string]bool

	services   map[name]*evidence.Object[corev1.Service]
	byAddress  map[netip.Addr]name
	configMaps map[name]*evidence.Object[corev1.ConfigMap]
	accounts   map[name]*evidence.Object[corev1.ServiceAccount]

	// apiServer and nodes are their addresses, empty where they are not known; pods
	// those of pods.
	apiServer, nodes, pods cidr.Set
	ipv6                   bool

	needs needs
	notes notes
	// peers are the workloads that logs of connections named.
	peers map[flows.Peer]*evidence.Workload
}

type name struct{ namespace, name string }

// systemNamespaces are those of Kubernetes itself: policies for them are only
// written when they are named.
func systemNamespaces() []string { return []string{"kube-system", "kube-public", "kube-node-lease"} }

func newCatalog(snap *evidence.Snapshot, o Options) *catalog {
	c := &catalog{
		snap: completed(snap), options: o,
		of: map[*evidence.Workload]*set{}, governed: map[string]bool{}, needs: needs{}, peers: map[flows.Peer]*evidence.Workload{},
		services: map[name]*evidence.Object[corev1.Service]{}, byAddress: map[netip.Addr]name{},
		configMaps: map[name]*evidence.Object[corev1.ConfigMap]{}, accounts: map[name]*evidence.Object[corev1.ServiceAccount]{},
	}
	c.graph = reach.NewGraph(c.snap, o.Network)
	for _, s := range c.snap.Services {
		at := name{s.Namespace, s.Name}
		c.services[at] = s
		for _, text := range append([]string{s.Value.Spec.ClusterIP}, s.Value.Spec.ClusterIPs...) {
			if a, err := netip.ParseAddr(text); err == nil {
				c.byAddress[a.Unmap()] = at
				c.ipv6 = c.ipv6 || a.Unmap().Is6()
			}
		}
		c.ipv6 = c.ipv6 || slices.Contains(s.Value.Spec.IPFamilies, corev1.IPv6Protocol)
	}
	for _, m := range c.snap.ConfigMaps {
		c.configMaps[name{m.Namespace, m.Name}] = m
	}
	for _, a := range c.snap.ServiceAccounts {
		c.accounts[name{a.Namespace, a.Name}] = a
	}
	c.readNodes()
	c.readSets()
	for _, s := range c.sets {
		wanted := slices.Contains(o.Namespaces, s.namespace)
		if len(o.Namespaces) == 0 {
			wanted = !slices.Contains(systemNamespaces(), s.namespace)
		}
		if wanted {
			c.governed[s.namespace] = true
		}
	}
	return c
}

// readNodes takes the addresses of nodes, of pods and of the API server from the
// nodes, where the options do not tell them.
func (c *catalog) readNodes() {
	c.nodes, c.pods, c.apiServer = c.options.Network.Nodes, c.options.Network.Pods, c.options.APIServer
	var nodes, pods, masters cidr.Set
	for _, n := range c.snap.Nodes {
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
	if c.nodes.Empty() && c.snap.Cluster != nil {
		c.nodes = nodes
	}
	if c.apiServer.Empty() && c.snap.Cluster != nil {
		c.apiServer = masters
	}
	if c.pods.Empty() {
		c.pods = pods
	}
	c.ipv6 = c.ipv6 || c.pods.Overlaps(cidr.IPv6())
}

// readSets puts workloads that no label tells apart together.
func (c *catalog) readSets() {
	byLabels := map[string]*set{}
	for _, w := range c.snap.Workloads {
		if w.Pod.HostNetwork {
			continue
		}
		key := w.Namespace + " " + labelText(stable(w))
		if len(stable(w)) == 0 {
			key = w.Namespace + " " + w.Kind + " " + w.Name
		}
		s := byLabels[key]
		if s == nil {
			s = &set{namespace: w.Namespace, labels: stable(w)}
			byLabels[key] = s
			c.sets = append(c.sets, s)
		}
		s.workloads = append(s.workloads, w)
		c.of[w] = s
	}
	for _, s := range c.sets {
		slices.SortStableFunc(s.workloads, func(a, b *evidence.Workload) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
		})
		s.name = s.workloads[0].Name
	}
	slices.SortStableFunc(c.sets, compareSets)
	taken := map[name]bool{}
	for _, s := range c.sets {
		if taken[name{s.namespace, s.name}] {
			s.name += "-" + strings.ToLower(s.workloads[0].Kind)
		}
		for n, plain := 2, s.name; taken[name{s.namespace, s.name}]; n++ {
			s.name = fmt.Sprintf("%s-%d", plain, n)
		}
		taken[name{s.namespace, s.name}] = true
	}
	byNamespace := map[string][]*set{}
	for _, s := range c.sets {
		byNamespace[s.namespace] = append(byNamespace[s.namespace], s)
	}
	for _, namespace := range slices.Sorted(maps.Keys(byNamespace)) {
		for _, s := range byNamespace[namespace] {
			s.choose(byNamespace[namespace], c.snap.Services)
		}
	}
}

// serviceAt returns the Service that an address belongs to.
func (c *catalog) serviceAt(a netip.Addr) (*evidence.Object[corev1.Service], bool) {
	at, ok := c.byAddress[a.Unmap()]
	return c.services[at], ok
}

// endOf is the end that a workload's pods are.
func (c *catalog) endOf(w *evidence.Workload) end {
	if w.Pod.HostNetwork {
		return end{kind: ofNodes}
	}
	return end{kind: ofSet, set: c.of[w]}
}

// isGoverned reports whether policies are written for the pods at an end.
func (c *catalog) isGoverned(e end) bool { return e.kind == ofSet && c.governed[e.set.namespace] }
