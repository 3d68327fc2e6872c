package reach

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// The ways in from outside, besides routes, which are called by their kind.
const (
	LoadBalancer = "LoadBalancer"
	NodePort     = "NodePort"
	ExternalIPs  = "externalIPs"
	HostPort     = "hostPort"
	HostNetwork  = "hostNetwork"
)

// A Way is a way in from outside the cluster to the pods of a workload. It says
// where a connection would come out; whether policies let it in is Graph.Admit's.
type Way struct {
	// By is the object that opens the way: a Service, an Ingress, a route, or the
	// workload's own with its hostPort or hostNetwork.
	By *evidence.Ref
	// How it does: LoadBalancer, NodePort, externalIPs, hostPort, hostNetwork, or the
	// kind of By where that is an Ingress or a route.
	How string
	// Service is what an Ingress or a route sends to; nil for the other ways.
	Service *evidence.Object[corev1.Service]
	// Workload is whose pods are reached, nil where it is a node or the API server.
	// Endpoint is nil, too, where it is not known who is.
	Workload *evidence.Workload
	Endpoint *Endpoint
	// Front are the ports that the outside connects to, as far as they are known, Ports
	// those of the pods where these connections come out.
	Front, Ports ports.Set
	// From are the addresses that the way itself takes connections from.
	From cidr.Set
	// ByNode and ByBalancer are set where policies may see the address of a node, or of
	// a load balancer in the private network, in place of the client's.
	ByNode, ByBalancer bool
	// ByProxy is set where the pods are connected to by a proxy; Proxies are its pods,
	// none where they were not found among what was read.
	ByProxy bool
	Proxies []*Endpoint
	// Unknown is why it is not certain that the way is open, "" when it is.
	Unknown string
	// entrances are what policies let in to the proxies' own pods.
	entrances []Admission
}

// Private are the addresses that networks use inside, of which no client on the
// internet is (RFC 1918, RFC 6598, RFC 4193).
func Private() cidr.Set {
	return cidr.Of(
		netip.PrefixFrom(netip.AddrFrom4([4]byte{10}), 8),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16}), 12),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168}), 16),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10),
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfc}), 7),
	)
}

// Ways are all ways in from outside, in the order in which the objects that open
// them were read, and those of host ports and host networks last.
func (g *Graph) Ways(snap *evidence.Snapshot) []Way {
	pods := map[string][]*Endpoint{}
	for _, e := range g.Endpoints() {
		if len(e.Workloads) > 0 {
			pods[e.Namespace] = append(pods[e.Namespace], e)
		}
	}
	services := servicesByName(snap)
	proxies := findProxies(g.Endpoints())
	var list []Way
	for _, o := range openings(snap) {
		way := Way{By: o.by, How: o.how, Front: o.front, From: o.from, ByNode: o.node, ByBalancer: o.balancer, Unknown: o.unknown}
		if o.through != nil {
			way.ByProxy, way.Proxies = true, proxies.of(o.through)
		}
		list = append(list, g.to(way, o, services[o.service], pods)...)
	}
	for _, e := range g.Endpoints() {
		for _, w := range e.Workloads {
			list = append(list, ownWays(w, e)...)
		}
	}
	g.enter(list)
	return list
}

// enter finds how the outside gets to the proxies on the ways.
func (g *Graph) enter(list []Way) {
	direct := map[*Endpoint][]Way{}
	for _, w := range list {
		if !w.ByProxy && w.Endpoint != nil {
			direct[w.Endpoint] = append(direct[w.Endpoint], w)
		}
	}
	admissions := map[*Endpoint][]Admission{}
	for i := range list {
		w := &list[i]
		var from cidr.Set
		for _, p := range w.Proxies {
			if _, known := admissions[p]; !known {
				admissions[p] = []Admission{}
				for _, own := range direct[p] {
					admissions[p] = append(admissions[p], g.Admit(own)...)
				}
			}
			w.entrances = append(w.entrances, admissions[p]...)
			for _, own := range direct[p] {
				from = from.Union(own.From)
			}
		}
		switch {
		case !from.Empty():
			w.From = w.From.Intersect(from)
		case len(w.Proxies) > 0 && w.Unknown == "":
			w.Unknown = fmt.Sprintf("nothing that was read opens the pods of %s to the outside", w.Proxies[0].Workloads[0].Ref)
		}
	}
}

// to is the way to each of those that an opening leads to. Where it leads out again
// there is none.
func (g *Graph) to(way Way, o opening, service *evidence.Object[corev1.Service], pods map[string][]*Endpoint) (list []Way) {
	unknown := func(why string) []Way {
		one := way
		if one.Unknown == "" {
			one.Unknown = why
		}
		return []Way{one}
	}
	switch {
	case o.service.name == "":
		return unknown("where it leads is not known")
	case service == nil:
		return unknown(fmt.Sprintf("Service %s/%s is not among what was read", o.service.namespace, o.service.name))
	}
	if way.By != service.Ref {
		way.Service = service
	}
	for _, b := range g.backends(service, pods[service.Namespace]) {
		switch {
		case b.Endpoint == nil:
			list = append(list, unknown(b.Unknown)...)
			continue
		case b.outward():
			continue
		}
		one := way
		one.Workload, one.Endpoint, one.Ports = b.Workload, b.Endpoint, o.port.of(service, b)
		if one.Unknown == "" {
			one.Unknown = b.Unknown
		}
		if !one.Ports.Empty() {
			list = append(list, one)
		}
	}
	return list
}

// ownWays are those that a workload opens by itself.
func ownWays(w *evidence.Workload, e *Endpoint) (list []Way) {
	if w.Pod.HostNetwork {
		return []Way{{By: w.Ref, How: HostNetwork, Workload: w, Endpoint: e, Front: ports.All(), Ports: ports.All(), From: cidr.All()}}
	}
	for c := range w.Containers() {
		for _, p := range c.Ports {
			protocol, known := protocolOf(p.Protocol)
			if p.HostPort == 0 || !known || loopback(p.HostIP) {
				continue
			}
			list = append(list, Way{By: w.Ref, How: HostPort, Workload: w, Endpoint: e, From: cidr.All(),
				Front: single(protocol, portNumber(p.HostPort)), Ports: single(protocol, portNumber(p.ContainerPort))})
		}
	}
	return list
}

func loopback(address string) bool {
	a, err := netip.ParseAddr(address)
	return err == nil && a.IsLoopback()
}

type objectName struct{ namespace, name string }

func servicesByName(snap *evidence.Snapshot) map[objectName]*evidence.Object[corev1.Service] {
	services := make(map[objectName]*evidence.Object[corev1.Service], len(snap.Services))
	for _, s := range snap.Services {
		services[objectName{s.Namespace, s.Name}] = s
	}
	return services
}

// An opening is what lets the outside in to the pods of a Service.
type opening struct {
	by      *evidence.Ref
	how     string
	service objectName
	port    servicePort
	front   ports.Set
	from    cidr.Set
	// implied is set for the node ports of a load balancer, which nobody asked for.
	implied, node, balancer bool
	// through is the proxy that connects to the pods, nil for none.
	through *proxy
	unknown string
}

// wide reports whether the opening takes connections from every address of a family.
func (o *opening) wide() bool { return o.from.Covers(cidr.IPv4()) || o.from.Covers(cidr.IPv6()) }

// A servicePort is one port of a Service, by number or by name; all with neither.
type servicePort struct {
	number int32
	name   string
}

// of is the ports of a backend that the Service's port leads to.
func (p servicePort) of(s *evidence.Object[corev1.Service], b Backend) ports.Set {
	if p == (servicePort{}) {
		return b.All()
	}
	var set ports.Set
	for i := range s.Value.Spec.Ports {
		own := &s.Value.Spec.Ports[i]
		if p.number != 0 && own.Port == p.number || p.name != "" && own.Name == p.name {
			set = set.Union(b.Ports[i])
		}
	}
	return set
}

// openings are all of a snapshot's: Services first, then Ingresses, then routes.
func openings(snap *evidence.Snapshot) (list []opening) {
	for _, s := range snap.Services {
		list = append(list, serviceOpenings(s)...)
	}
	for _, i := range snap.Ingresses {
		list = append(list, ingressOpenings(i)...)
	}
	return append(list, routeOpenings(snap)...)
}

// External says how a Service is reached from outside the cluster:
// "LoadBalancer", "NodePort" or "externalIPs"; "" when it is not. A load balancer
// that is internal, or open to named ranges only, is not external.
func External(s *evidence.Object[corev1.Service]) string {
	for _, o := range serviceOpenings(s) {
		if o.wide() && !o.implied {
			return o.how
		}
	}
	return ""
}

func serviceOpenings(s *evidence.Object[corev1.Service]) (list []opening) {
	spec := &s.Value.Spec
	if spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	front, nodes := servicePorts(spec)
	o := opening{by: s.Ref, service: objectName{s.Namespace, s.Name}, from: cidr.All(),
		node: spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal}
	add := func(how string, ports ports.Set) { o.how, o.front = how, ports; list = append(list, o) }
	if len(spec.ExternalIPs) > 0 {
		add(ExternalIPs, front)
	}
	switch spec.Type {
	case corev1.ServiceTypeNodePort:
		add(NodePort, nodes)
	case corev1.ServiceTypeLoadBalancer:
		o.from, o.balancer = balancerClients(s), true
		limited := !o.wide()
		add(LoadBalancer, front)
		if limited && (spec.AllocateLoadBalancerNodePorts == nil || *spec.AllocateLoadBalancerNodePorts) {
			o.from, o.balancer, o.implied = cidr.All(), false, true
			add(NodePort, nodes)
		}
	}
	return list
}

// servicePorts are the ports of a Service and those that it opens on nodes. A node
// port that is not given is one of those that the API server gives by default.
func servicePorts(spec *corev1.ServiceSpec) (front, nodes ports.Set) {
	for i := range spec.Ports {
		p := &spec.Ports[i]
		protocol, known := protocolOf(p.Protocol)
		if !known {
			continue
		}
		front = front.Union(single(protocol, portNumber(p.Port)))
		if p.NodePort == 0 {
			nodes = nodes.Union(ports.Of(protocol, 30000, 32767))
		} else {
			nodes = nodes.Union(single(protocol, portNumber(p.NodePort)))
		}
	}
	return front, nodes
}

// sourceRangesAnnotation is the older form of spec.loadBalancerSourceRanges.
const sourceRangesAnnotation = "service.beta.kubernetes.io/load-balancer-source-ranges"

// balancerClients are the addresses that a load balancer takes connections from. A
// range that cannot be read limits nothing.
func balancerClients(s *evidence.Object[corev1.Service]) cidr.Set {
	from := cidr.All()
	ranges := s.Value.Spec.LoadBalancerSourceRanges
	if text := s.Annotations[sourceRangesAnnotation]; len(ranges) == 0 && strings.TrimSpace(text) != "" {
		ranges = strings.Split(text, ",")
	}
	if set, err := cidr.Parse(ranges...); err == nil && len(ranges) > 0 {
		from = set
	}
	if internalBalancer(s.Annotations) {
		from = from.Intersect(Private())
	}
	return from
}

// internalBalancer knows the annotations by which providers are told to give a
// load balancer an address of the private network only.
func internalBalancer(annotations map[string]string) bool {
	for _, a := range internalAnnotations {
		if value, ok := annotations[a.key]; ok && (strings.EqualFold(value, a.value) || a.value == "" && value != "" && value != "false") {
			return true
		}
	}
	// The AWS Load Balancer Controller makes internal balancers unless told
	// otherwise; the in-tree provider makes public ones.
	switch annotations["service.beta.kubernetes.io/aws-load-balancer-type"] {
	case "external", "nlb-ip":
		return annotations["service.beta.kubernetes.io/aws-load-balancer-scheme"] != "internet-facing"
	}
	return false
}

// internalAnnotations: an empty value stands for any value but false.
var internalAnnotations = []struct{ key, value string }{
	{"service.beta.kubernetes.io/aws-load-balancer-internal", ""},
	{"service.beta.kubernetes.io/aws-load-balancer-scheme", "internal"},
	{"service.beta.kubernetes.io/azure-load-balancer-internal", "true"},
	{"networking.gke.io/load-balancer-type", "Internal"},
	{"cloud.google.com/load-balancer-type", "Internal"},
	{"service.beta.kubernetes.io/openstack-internal-load-balancer", "true"},
	{"service.beta.kubernetes.io/oci-load-balancer-internal", "true"},
	{"service.beta.kubernetes.io/alibaba-cloud-loadbalancer-address-type", "intranet"},
	{"service.kubernetes.io/ibm-load-balancer-cloud-provider-ip-type", "private"},
	{"service.kubernetes.io/qcloud-loadbalancer-internal-subnetid", ""},
	{"load-balancer.hetzner.cloud/disable-public-network", "true"},
}

// Exposed says by what the outside reaches the pods of a workload: Services,
// Ingresses, routes, ports and the network of the node. Empty when nothing that
// was read does; where Services or Ingresses were not seen there may be more.
func (x Exposures) Exposed(w *evidence.Workload) []string {
	var reasons []string
	for _, e := range x[w.Namespace] {
		if e.reaches(w) && !slices.Contains(reasons, e.reason) {
			reasons = append(reasons, e.reason)
		}
	}
	for _, way := range ownWays(w, nil) {
		if way.How == HostNetwork {
			return append(reasons, HostNetwork)
		}
		reasons = append(reasons, fmt.Sprintf("%s %d", HostPort, way.Front.Ranges()[0].First))
	}
	return reasons
}

// An exposure is one way in from outside, to the pods that a Service selects, or to
// those that its EndpointSlices name.
type exposure struct {
	selector map[string]string
	named    []*evidence.Workload
	reason   string
}

// reaches reports whether the way surely leads to pods of a workload.
func (e *exposure) reaches(w *evidence.Workload) bool {
	if len(e.selector) == 0 {
		return slices.Contains(e.named, w)
	}
	chosen, why := selects(e.selector, w)
	return chosen && why == "" || slices.Contains(e.named, w)
}

// Exposures are the ways in from outside by Services and routes, by namespace.
type Exposures map[string][]exposure

// NewExposures finds what is exposed by the Services, Ingresses and routes of a
// snapshot, without a Graph: whether policies let anybody in is not asked.
func NewExposures(snap *evidence.Snapshot) Exposures {
	services := servicesByName(snap)
	x := newSlicing(snap)
	exposures := Exposures{}
	for _, o := range openings(snap) {
		s := services[o.service]
		if !o.wide() || o.implied || s == nil || elsewhere(s) != "" {
			continue
		}
		reason := o.by.String()
		if o.by == s.Ref {
			reason = fmt.Sprintf("%s (%s)", s, o.how)
		}
		exposures[s.Namespace] = append(exposures[s.Namespace], exposure{s.Value.Spec.Selector, x.named(s), reason})
	}
	return exposures
}
