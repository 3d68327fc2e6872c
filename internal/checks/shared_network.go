package checks

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// SharedNetwork reports control plane nodes that are on one network with workers (guide:
// summary of Control plane hardening).
var SharedNetwork = &check.Check{
	ID:             "shared-network",
	Title:          "a control plane node is on one network with workers",
	Recommendation: "CP-05",
	Severity:       guide.Medium,
	Remedy:         "give the control plane a network of its own, and filter what passes between it and that of the workers",
	Needs:          []evidence.Fact{evidence.Hosts, evidence.Nodes},
	Leaves:         check.Rest{What: "whether the traffic between the networks of the control plane and of the workers is filtered", To: []guide.Evidence{guide.Attestation}},
	Node:           "which networks the nodes are on",
	Doc: `On one network with the control plane an intruder on a worker reaches etcd, the scheduler and
the kubelets of the control plane without passing anything that filters or watches.

Looked at are the addresses that each node has and the lengths of their networks, as its kernel
tells them (/proc/net), or ip addr does in /gabion/ip-addr.txt, or else its static
configuration (netplan, systemd-networkd, NetworkManager, ifcfg, ifupdown); of nodes that only
the API tells of, their addresses. A control plane node must have no network that a worker has
an address in. Bridges and tunnels of containers, and the ranges of pods, do not count. An
address that is alone in its network, as some clouds give them, tells nothing of its neighbours.
A control plane node that no taint keeps workloads off is one with the workers. What is filtered
between two networks the nodes do not show.

    ip -o addr > /gabion/ip-addr.txt
`,
	Run: sharedNetwork,
}

func sharedNetwork(r *check.Run) {
	all := r.Machines()
	var workers []*evidence.Machine
	for _, m := range all {
		if isWorkerNode(m) {
			workers = append(workers, m)
		}
	}
	found := false
	for _, m := range all {
		if !isControlPlaneNode(m) {
			continue
		}
		found = true
		host := m.Host
		if host == nil {
			host = &evidence.Host{Ref: m.Ref, Node: m.Name}
		}
		n := &netNode{&node{Run: r, Host: host}, m, all}
		n.judgeNetworks(workers)
		n.done()
	}
	if !found {
		noControlPlane(r)
	}
}

// judgeNetworks compares the networks of a control plane node with those of the workers.
func (n *netNode) judgeNetworks(workers []*evidence.Machine) {
	if o := n.object(); o != nil && !keepsOff(o) {
		n.say(evidence.Position{}, evidence.NewPath("spec", "taints"), "", "no taint keeps workloads off this control plane node: it is on one network with them")
	}
	own := n.networksOf(n.machine)
	if why := n.unseenNetworks(n.machine, own); why != "" {
		n.cannot("which networks it is on is not known: %s", why)
	}
	alone := slices.IndexFunc(own, func(o evidence.Network) bool { return o.Prefix.IsSingleIP() })
	if alone >= 0 {
		n.cannot("%s is alone in its network: who its neighbours are is not known", own[alone].Prefix.Addr())
	}
	with := map[int][]string{}
	for _, w := range workers {
		theirs := n.networksOf(w)
		at := -1
		for i, o := range own {
			shares := slices.ContainsFunc(w.Addresses, o.Prefix.Contains) ||
				slices.ContainsFunc(theirs, func(t evidence.Network) bool { return t.Prefix.Overlaps(o.Prefix) })
			if shares && at < 0 {
				at = i
			}
		}
		if at >= 0 {
			with[at] = append(with[at], w.Name)
		} else if why := n.unseenNetworks(w, theirs); why != "" {
			n.cannot("which networks worker %s is on is not known: %s", w.Name, why)
		}
	}
	for i, o := range own {
		if names := with[i]; len(names) > 0 {
			n.say(o.Place, evidence.NewPath("networks", o.Interface), o.Prefix.Masked().String(), "it is on the network %s together with %s", o.Prefix.Masked(), someOf(names, 3))
		}
	}
	switch all, _ := n.Complete(evidence.Nodes, ""); {
	case len(workers) > 0:
	case all && len(n.Nodes) > 0 && n.Cluster != nil:
		n.inapplicable("the cluster has no worker")
	default:
		n.cannot("no worker was looked at (--host-root on each)")
	}
}

// ofContainers matches the interfaces that container runtimes and network plugins make.
var ofContainers = regexp.MustCompile(`^(?:cni|docker|flannel|cali|veth|cilium|lxc|weave|kube-|nodelocaldns|tunl|vxlan|virbr|antrea|ovn|wg)|^br-[0-9a-f]{12}$`)

// networksOf are the networks that a machine is on, but for those of its containers.
func (n *netNode) networksOf(m *evidence.Machine) (list []evidence.Network) {
	if m.Host == nil {
		return nil
	}
	var pods []netip.Prefix
	for _, other := range n.all {
		pods = append(pods, other.Pods...)
	}
	for _, o := range m.Host.Networks {
		own := slices.Contains(m.Addresses, o.Prefix.Addr()) // whatever its interface is called
		inPods := slices.ContainsFunc(pods, func(p netip.Prefix) bool { return p.Contains(o.Prefix.Addr()) })
		if own || !inPods && !ofContainers.MatchString(o.Interface) {
			list = append(list, o)
		}
	}
	return list
}

// unseenNetworks is why not all networks of a machine are known, "" when they are.
func (n *netNode) unseenNetworks(m *evidence.Machine, seen []evidence.Network) string {
	if m.Host == nil {
		return "it was not looked at (--host-root there)"
	}
	if _, why := m.Host.Saw(evidence.TheNetworks); why != "" || len(seen) > 0 {
		return why
	}
	return "none but those of its containers were seen"
}

// keepsOff reports whether a taint keeps workloads off a node that do not ask for it.
// Those that tell of the node's condition come and go.
func keepsOff(o *nodeObject) bool {
	return slices.ContainsFunc(o.Value.Spec.Taints, func(t corev1.Taint) bool {
		return !strings.HasPrefix(t.Key, "node.kubernetes.io/") && (t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute)
	})
}
