package reach

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A member is an endpoint with all that policies can ask of it.
type member struct {
	*Endpoint
	// account is the ServiceAccount of pods; accountUnknown is why it may be another.
	account, accountUnknown string
	// owners are who has the labels that count for the endpoint, nil for nobody.
	owners [4]*holder
	ports  []containerPort
	// portsUnknown is why the pods may have ports beyond these, "" where they have not.
	portsUnknown string
	// has are the families that the endpoint has addresses of.
	has families
	// unread is set of a pod of which only the namespace is known.
	unread bool
}

// A containerPort is a port that a container gives a name.
type containerPort struct {
	netpol.NamedPort
	number uint16
}

// A universe is everything that connections can come from or go to.
type universe struct {
	members []*member
	byOwner [4][]*holder
	of      map[*evidence.Workload]*Endpoint
	// seen are the namespaces that were read, namespaces all that pods are in.
	seen       map[string]bool
	namespaces map[string]*holder
	addresses  addresses
	slicing    *slicing
}

// newUniverse puts pods that no policy can tell apart into one endpoint, and cuts the
// addresses outside along the edges of the sets that policies name.
func newUniverse(snap *evidence.Snapshot, o Options, by *mention) *universe {
	a := newAddresses(snap, o)
	u := &universe{of: map[*evidence.Workload]*Endpoint{}, seen: map[string]bool{}, addresses: a, slicing: newSlicing(snap)}
	u.addPods(snap, by.workloads, a)
	u.addNodes(snap, a)
	u.add(&member{Endpoint: &Endpoint{Kind: netpol.OfAPIServer, Name: "API server", Addresses: a.apiServer}})
	u.addWorld(o, by.sets, a)
	u.addNamespaces(snap)
	u.addAccounts(snap)
	return u
}

func (u *universe) add(m *member) *member {
	m.ID = len(u.members)
	m.has = u.addresses.familiesOf(m)
	u.members = append(u.members, m)
	return m
}

// hold gives endpoints the labels of a holder.
func (u *universe) hold(o netpol.Owner, h *holder, members ...*member) {
	for _, m := range members {
		h.members = append(h.members, int32(m.ID))
		m.owners[o] = h
	}
	u.byOwner[o] = append(u.byOwner[o], h)
}

func (u *universe) addPods(snap *evidence.Snapshot, chosen [][]*evidence.Workload, a addresses) {
	choice := choices(chosen)
	classes := map[string]*member{}
	var list []*member
	template := map[*evidence.Workload][]*evidence.Workload{}
	for _, w := range snap.Workloads {
		if w.Template != nil {
			template[w.Template] = append(template[w.Template], w)
		}
	}
	for _, w := range snap.Workloads {
		if replaced(w, template[w]) {
			continue
		}
		key := classOf(w) + string(choice[w])
		m := classes[key]
		if m == nil {
			m = newPod(w, a)
			classes[key] = m
			list = append(list, m)
		}
		if w.Template == nil || u.of[w.Template] != m.Endpoint {
			m.Workloads = append(m.Workloads, w)
		}
		u.of[w] = m.Endpoint
	}
	for _, m := range list {
		slices.SortStableFunc(m.Workloads, compareWorkloads)
	}
	slices.SortStableFunc(list, func(a, b *member) int { return compareWorkloads(a.Workloads[0], b.Workloads[0]) })
	for _, m := range list {
		w := m.Workloads[0]
		h := &holder{labels: w.PodLabels, open: openLabels(w), unsure: unsureLabels(w)}
		u.hold(netpol.Pod, h, u.add(m))
	}
	for w, runs := range template {
		if u.of[w] == nil {
			u.of[w] = u.of[runs[0]]
		}
	}
}

// choices tell workloads apart that are in different of the lists.
func choices(lists [][]*evidence.Workload) map[*evidence.Workload][]byte {
	in := map[*evidence.Workload][]byte{}
	for i, list := range lists {
		for _, w := range list {
			in[w] = binary.AppendUvarint(in[w], uint64(i))
		}
	}
	return in
}

func compareWorkloads(a, b *evidence.Workload) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.ID, b.ID), cmp.Compare(a.Instance, b.Instance))
}

// replaced reports whether no pod of a workload runs as it is written: all of them
// are among what runs instead.
func replaced(w *evidence.Workload, instead []*evidence.Workload) bool {
	running := 0
	for _, r := range instead {
		running += r.Running
	}
	return running > 0 && running >= w.Running
}

// classOf is the same for workloads whose pods no policy can tell apart.
func classOf(w *evidence.Workload) string {
	var key []byte
	text := func(s string) { key = append(binary.AppendUvarint(key, uint64(len(s))), s...) }
	text(w.Namespace)
	text(w.ServiceAccountName())
	text(openLabels(w))
	text(openAccount(w))
	text(strings.Join(unsureLabels(w), ","))
	for _, p := range containerPorts(w) {
		text(p.Name)
		key = append(key, byte(p.Protocol), byte(p.number>>8), byte(p.number))
	}
	text("")
	if w.Pod.HostNetwork {
		text("host " + w.Pod.NodeName)
	}
	for _, label := range slices.Sorted(maps.Keys(w.PodLabels)) {
		text(label)
		text(w.PodLabels[label])
	}
	text("")
	return string(key)
}

func newPod(w *evidence.Workload, a addresses) *member {
	m := &member{
		Endpoint: &Endpoint{Kind: netpol.OfPod, Namespace: w.Namespace, Addresses: a.pods},
		account:  w.ServiceAccountName(), accountUnknown: openAccount(w),
		ports: containerPorts(w), portsUnknown: openLabels(w),
	}
	if w.Pod.HostNetwork {
		m.Kind, m.Addresses = netpol.OfHost, a.nodesOf(w.Pod.NodeName)
	}
	return m
}

// openLabels is why the pods of a workload may have labels and ports that what was
// read does not tell.
func openLabels(w *evidence.Workload) string {
	switch {
	case w.Template != nil || w.Running > 0 && w.Kind == "Pod":
		return ""
	case w.Partial != "" || w.ByShape:
		return fmt.Sprintf("what the controller of %s adds to its pods is not known", w.Kind)
	}
	return ""
}

// openAccount is why the pods of a workload may run as another ServiceAccount.
func openAccount(w *evidence.Workload) string {
	if w.Pod.ServiceAccountName != "" {
		return ""
	}
	return openLabels(w)
}

// containerPorts are the ports that a workload's containers name, of those containers
// that stay.
func containerPorts(w *evidence.Workload) []containerPort {
	var list []containerPort
	for c := range w.Containers() {
		if c.List == evidence.InitContainers && !c.Sidecar() {
			continue
		}
		for _, p := range c.Ports {
			protocol, known := transport(p.Protocol)
			if p.Name != "" && known && p.ContainerPort > 0 && p.ContainerPort <= 65535 {
				list = append(list, containerPort{netpol.NamedPort{Protocol: protocol, Name: p.Name}, uint16(p.ContainerPort)})
			}
		}
	}
	slices.SortFunc(list, func(a, b containerPort) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.number, b.number))
	})
	return slices.Compact(list)
}

// transport reads a protocol as the API has it; none is TCP.
func transport(p corev1.Protocol) (protocol ports.Protocol, known bool) {
	switch p {
	case "", corev1.ProtocolTCP:
		return ports.TCP, true
	case corev1.ProtocolUDP:
		return ports.UDP, true
	case corev1.ProtocolSCTP:
		return ports.SCTP, true
	}
	return 0, false
}

// named are the ports that a name surely stands for at an endpoint that accepts, and
// those that it may stand for, with the reason.
func (m *member) named(n netpol.NamedPort) (sure, maybe ports.Set, why string) {
	found := 0
	for _, p := range m.ports {
		if p.NamedPort == n {
			found++
			sure = sure.Union(ports.Of(n.Protocol, p.number, p.number))
		}
	}
	switch {
	case found > 1:
		return ports.Set{}, sure, fmt.Sprintf("several ports are called %q", n.Name)
	case found == 1 && m.Kind == netpol.OfHost:
		return ports.Set{}, sure, "whether the ports of a pod in its node's network are known by name depends on the plugin"
	case found == 0 && m.portsUnknown != "":
		return ports.Set{}, ports.Every(n.Protocol), m.portsUnknown
	}
	return sure, ports.Set{}, ""
}

func (u *universe) addNodes(snap *evidence.Snapshot, a addresses) {
	holders := map[string]*holder{}
	nodes := slices.Clone(snap.Nodes)
	slices.SortStableFunc(nodes, func(a, b *evidence.Object[corev1.Node]) int { return cmp.Compare(a.Name, b.Name) })
	for _, n := range nodes {
		if holders[n.Name] != nil {
			continue
		}
		h := &holder{labels: n.Value.Labels}
		holders[n.Name] = h
		u.hold(netpol.Node, h, u.add(&member{Endpoint: &Endpoint{Kind: netpol.OfHost, Name: n.Name, Addresses: a.nodesOf(n.Name)}}))
	}
	unknown := &holder{open: "the labels of the node are not known"}
	if len(nodes) == 0 {
		m := u.add(&member{Endpoint: &Endpoint{Kind: netpol.OfHost, Name: "nodes", Addresses: a.nodes}})
		u.hold(netpol.Node, unknown, m)
	} else {
		u.hold(netpol.Node, unknown)
	}
	for _, m := range u.members {
		if m.Kind != netpol.OfHost || len(m.Workloads) == 0 {
			continue
		}
		h := holders[m.Workloads[0].Pod.NodeName]
		if h == nil {
			h = unknown
		}
		h.members = append(h.members, int32(m.ID))
		m.owners[netpol.Node] = h
	}
}

// metadataAddresses are where clouds answer a machine with what it is and, often, with
// credentials: AWS, GCP, Azure, OpenStack and others; the credentials of ECS tasks and
// EKS pods; Alibaba; Azure's wire server; Oracle; and the IPv6 addresses of AWS and GCP.
func metadataAddresses() cidr.Set {
	set, _ := cidr.Parse("169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "168.63.129.16", "192.0.0.192",
		"fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254")
	return set
}

// metadata is how these endpoints are called.
const metadata = "cloud metadata"

// addWorld adds what lies outside: the metadata addresses, the ranges with a name, and
// all addresses, each cut along the edges of the sets. An address may be part of
// several: of all addresses, and of what has a name.
func (u *universe) addWorld(o Options, sets []cidr.Set, a addresses) {
	atoms := cidr.Atoms(sets)
	part := func(name string, of cidr.Set) {
		for _, atom := range atoms {
			if in := atom.Intersect(of); !in.Empty() {
				u.add(&member{Endpoint: &Endpoint{Kind: netpol.OfWorld, Name: name, Addresses: in}})
			}
		}
	}
	part(metadata, metadataAddresses())
	for _, name := range slices.Sorted(maps.Keys(o.Ranges)) {
		part(name, o.Ranges[name])
	}
	elsewhere := metadataAddresses().Union(a.inside)
	for _, atom := range atoms {
		if !elsewhere.Covers(atom) {
			u.add(&member{Endpoint: &Endpoint{Kind: netpol.OfWorld, Addresses: atom}})
		}
	}
}

func (u *universe) addNamespaces(snap *evidence.Snapshot) {
	holders := map[string]*holder{}
	for _, ns := range snap.Namespaces {
		h := holders[ns.Name]
		u.seen[ns.Name] = true
		if h == nil {
			h = &holder{labels: map[string]string{}}
			maps.Copy(h.labels, ns.Value.Labels)
			holders[ns.Name] = h
			continue
		}
		h.unsure = append(h.unsure, differing(h.labels, ns.Value.Labels)...)
	}
	u.group(netpol.Namespace, holders, func(m *member) string { return m.Namespace }, unreadNamespace)
	u.namespaces = holders
	for name, h := range holders {
		h.labels[corev1.LabelMetadataName] = name
		h.unsure = slices.DeleteFunc(h.unsure, func(key string) bool { return key == corev1.LabelMetadataName })
	}
}

func unreadNamespace(name string) string {
	return fmt.Sprintf("the labels of Namespace %s are not known: it is not among what was read", name)
}

// unread is a pod of which only the namespace is known, if that.
func (u *universe) unread(e *Endpoint) *member {
	m := &member{Endpoint: e, accountUnknown: onlyNamespace, portsUnknown: onlyNamespace, unread: true, has: u.addresses.families}
	m.owners[netpol.Pod], m.owners[netpol.ServiceAccount] = &holder{open: onlyNamespace}, &holder{open: onlyNamespace}
	m.owners[netpol.Namespace] = u.namespaces[e.Namespace]
	switch {
	case e.Namespace == "":
		m.owners[netpol.Namespace] = &holder{open: noNamespace}
	case m.owners[netpol.Namespace] == nil:
		m.owners[netpol.Namespace] = &holder{labels: map[string]string{corev1.LabelMetadataName: e.Namespace}, open: unreadNamespace(e.Namespace)}
	}
	return m
}

// Why what policies ask of a pod that was not read is not known.
const (
	onlyNamespace = "nothing but its namespace is known of the pod"
	noNamespace   = "it is not known in which namespace the pod is"
)

// bare reports whether a reason is that a pod was not read.
func bare(why string) bool { return why == onlyNamespace || why == noNamespace }

func (u *universe) addAccounts(snap *evidence.Snapshot) {
	holders := map[string]*holder{}
	for _, sa := range snap.ServiceAccounts {
		name := sa.Namespace + "/" + sa.Name
		h := holders[name]
		if h == nil {
			holders[name] = &holder{labels: sa.Value.Labels}
			continue
		}
		h.unsure = append(h.unsure, differing(h.labels, sa.Value.Labels)...)
	}
	u.group(netpol.ServiceAccount, holders, func(m *member) string {
		if m.accountUnknown != "" {
			return "" // no ServiceAccount has this name
		}
		return m.Namespace + "/" + m.account
	}, func(name string) string {
		if name == "" {
			return "the ServiceAccount of the pods is not known"
		}
		return fmt.Sprintf("the labels of ServiceAccount %s are not known: it is not among what was read", name)
	})
}

// group gives every class of pods the holder of a name, one with labels that are not
// known where there is none.
func (u *universe) group(o netpol.Owner, holders map[string]*holder, name func(*member) string, unknown func(name string) string) {
	for _, m := range u.members {
		if len(m.Workloads) == 0 {
			continue
		}
		n := name(m)
		h := holders[n]
		if h == nil {
			h = &holder{labels: map[string]string{}, open: unknown(n)}
			holders[n] = h
		}
		h.members = append(h.members, int32(m.ID))
		m.owners[o] = h
	}
	for _, n := range slices.Sorted(maps.Keys(holders)) {
		u.byOwner[o] = append(u.byOwner[o], holders[n])
	}
}

// differing are the keys that two writings of the labels of one object do not have alike.
func differing(a, b map[string]string) (keys []string) {
	for key, value := range a {
		if other, there := b[key]; !there || other != value {
			keys = append(keys, key)
		}
	}
	for key := range b {
		if _, there := a[key]; !there {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// addresses are where the endpoints of a cluster may be.
type addresses struct {
	pods, nodes, apiServer cidr.Set
	// inside are the addresses that surely belong to pods and nodes.
	inside cidr.Set
	node   map[string]cidr.Set
	// families are the cluster's; exact is whether those of the API server are its own.
	families families
	exact    bool
	// nodesGiven is whether the user said where nodes are.
	nodesGiven bool
}

// familiesOf are the families of an endpoint: of its own addresses where they are
// known, else the cluster's.
func (a addresses) familiesOf(m *member) families {
	switch {
	case m.Kind == netpol.OfWorld:
		return possessed(m.Addresses)
	case m.Kind == netpol.OfAPIServer && a.exact:
		return possessed(m.Addresses)
	case m.Kind == netpol.OfHost && len(m.Workloads) == 0 && !a.node[m.Name].Empty():
		return possessed(m.Addresses)
	}
	return a.families
}

func newAddresses(snap *evidence.Snapshot, o Options) addresses {
	a := addresses{pods: o.Pods, nodes: o.Nodes, nodesGiven: !o.Nodes.Empty(), node: map[string]cidr.Set{}}
	var podRanges, own cidr.Set
	for _, n := range snap.Nodes {
		for _, text := range append(slices.Clone(n.Value.Spec.PodCIDRs), n.Value.Spec.PodCIDR) {
			if set, err := cidr.Parse(text); err == nil {
				podRanges = podRanges.Union(set)
			}
		}
		if set := statusAddresses(n.Value); !set.Empty() {
			a.node[n.Name] = set
			own = own.Union(set)
		}
	}
	if a.pods.Empty() {
		a.pods = podRanges
	}
	a.families = familiesOf(snap, a.pods, own.Union(a.nodes))
	a.inside = a.pods.Union(own)
	if a.pods.Empty() {
		a.pods = private()
	}
	if a.nodes.Empty() && len(a.node) == len(snap.Nodes) {
		a.nodes = own
	}
	if a.nodes.Empty() {
		a.nodes = cidr.All().Minus(a.inside)
	}
	a.apiServer = advertised(snap).Union(registered(snap))
	a.exact = !a.apiServer.Empty()
	if !a.exact {
		a.apiServer = cidr.All().Minus(a.inside.Minus(own))
	}
	return a
}

// nodesOf are the addresses of a node, those of all nodes where its own are not known.
func (a addresses) nodesOf(name string) cidr.Set {
	if own, known := a.node[name]; known {
		return own
	}
	return a.nodes
}

func statusAddresses(n *corev1.Node) cidr.Set {
	var list []netip.Addr
	for _, address := range n.Status.Addresses {
		if ip, err := netip.ParseAddr(address.Address); err == nil {
			list = append(list, ip)
		}
	}
	return cidr.Address(list...)
}

// private are the addresses that pods have where nothing tells: RFC 1918, RFC 6598,
// and any of IPv6.
func private() cidr.Set {
	v4, _ := cidr.Parse("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
	return v4.Union(cidr.IPv6())
}

// registered are the addresses of the API servers in the Service kubernetes, which
// they keep themselves; empty where that was not read.
func registered(snap *evidence.Snapshot) cidr.Set {
	var list []netip.Addr
	for _, s := range snap.EndpointSlices {
		if s.Namespace != metav1.NamespaceDefault || s.Value.Labels[discoveryv1.LabelServiceName] != "kubernetes" {
			continue
		}
		for _, e := range s.Value.Endpoints {
			for _, text := range e.Addresses {
				if ip, err := netip.ParseAddr(text); err == nil {
					list = append(list, ip)
				}
			}
		}
	}
	return cidr.Address(list...)
}

// advertised are the addresses that the API servers that were read tell the cluster
// that they have; empty where none were.
func advertised(snap *evidence.Snapshot) cidr.Set {
	const flag = "--advertise-address="
	var list []netip.Addr
	for _, w := range snap.Workloads {
		if w.Namespace != "kube-system" || !strings.HasPrefix(w.Name, "kube-apiserver") {
			continue
		}
		for c := range w.Containers() {
			for _, word := range slices.Concat(c.Command, c.Args) {
				text, found := strings.CutPrefix(word, flag)
				if ip, err := netip.ParseAddr(text); found && err == nil {
					list = append(list, ip)
				}
			}
		}
	}
	return cidr.Address(list...)
}
