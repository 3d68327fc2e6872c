package reach

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A slicing is what EndpointSlices say of where Services lead.
type slicing struct {
	snap *evidence.Snapshot
	// of are the slices of each Service.
	of map[objectName][]*evidence.Object[discoveryv1.EndpointSlice]
	// pods are the workloads that are one pod, sets those whose pods have numbers.
	pods, sets map[objectName]*evidence.Workload
}

func newSlicing(snap *evidence.Snapshot) *slicing {
	x := &slicing{snap: snap, of: map[objectName][]*evidence.Object[discoveryv1.EndpointSlice]{},
		pods: map[objectName]*evidence.Workload{}, sets: map[objectName]*evidence.Workload{}}
	for _, s := range snap.EndpointSlices {
		service := objectName{s.Namespace, s.Value.Labels[discoveryv1.LabelServiceName]}
		x.of[service] = append(x.of[service], s)
	}
	for _, w := range snap.Workloads {
		switch {
		case w.Instance != "" && w.Running > 0:
			x.pods[objectName{w.Namespace, w.Instance}] = w
		case w.Kind == "Pod":
			x.pods[objectName{w.Namespace, w.Name}] = w
		case w.Kind == "StatefulSet" && w.Template == nil:
			x.sets[objectName{w.Namespace, w.Name}] = w
		}
	}
	return x
}

// ofService are the slices that tell where a Service leads. What a controller made of
// its selector, the pods tell.
func (x *slicing) ofService(s *evidence.Object[corev1.Service]) (list []*evidence.Object[discoveryv1.EndpointSlice]) {
	for _, slice := range x.of[objectName{s.Namespace, s.Name}] {
		if len(s.Value.Spec.Selector) == 0 || slice.Value.Labels[discoveryv1.LabelManagedBy] != "endpointslice-controller.k8s.io" {
			list = append(list, slice)
		}
	}
	return list
}

// missing is why a Service without a selector may lead elsewhere than the slices that
// were read say, "" where it may not.
func (x *slicing) missing(s *evidence.Object[corev1.Service]) string {
	if c := x.snap.Cluster; c != nil {
		if complete, why := x.snap.Complete(evidence.Endpoints, s.Namespace); !complete {
			return fmt.Sprintf("where %s leads is not known: %s", s, why)
		}
		return ""
	}
	for _, g := range x.snap.Gaps {
		if g.Touches(evidence.Endpoints, s.Namespace) {
			return fmt.Sprintf("where %s leads is not known: %s", s, g.Reason)
		}
	}
	if len(x.of[objectName{s.Namespace, s.Name}]) == 0 {
		return fmt.Sprintf("%s has no selector, and no EndpointSlice of it is among what was read", s)
	}
	return ""
}

// pod is the workload that a slice means, nil for none that was read.
func (x *slicing) pod(name objectName) *evidence.Workload {
	if w := x.pods[name]; w != nil {
		return w
	}
	dash := strings.LastIndexByte(name.name, '-')
	if dash < 0 {
		return nil
	}
	ordinal := name.name[dash+1:]
	if n, err := strconv.ParseUint(ordinal, 10, 31); err != nil || strconv.FormatUint(n, 10) != ordinal {
		return nil
	}
	return x.sets[objectName{name.namespace, name.name[:dash]}]
}

// named are the workloads of a Service's namespace whose pods its slices name.
func (x *slicing) named(s *evidence.Object[corev1.Service]) (list []*evidence.Workload) {
	for _, slice := range x.ofService(s) {
		for i := range slice.Value.Endpoints {
			if w := x.pod(podOf(slice, &slice.Value.Endpoints[i])); w != nil && w.Namespace == s.Namespace {
				list = append(list, w)
			}
		}
	}
	return list
}

// podOf is the name of the pod that has the addresses of an endpoint, as the slice
// says; the zero name where it does not.
func podOf(slice *evidence.Object[discoveryv1.EndpointSlice], e *discoveryv1.Endpoint) objectName {
	if e.TargetRef == nil || e.TargetRef.Kind != "Pod" {
		return objectName{}
	}
	if e.TargetRef.Namespace == "" {
		return objectName{slice.Namespace, e.TargetRef.Name}
	}
	return objectName{e.TargetRef.Namespace, e.TargetRef.Name}
}

// slicePorts are, for each port of a Service, those that a slice has for it: the ones
// of its name. Why is set where a slice leaves open which they are.
func slicePorts(s *evidence.Object[corev1.Service], slice *evidence.Object[discoveryv1.EndpointSlice]) (list []ports.Set, why string) {
	list = make([]ports.Set, len(s.Value.Spec.Ports))
	for i := range s.Value.Spec.Ports {
		own := &s.Value.Spec.Ports[i]
		protocol, known := protocolOf(own.Protocol)
		if !known {
			continue
		}
		for _, p := range slice.Value.Ports {
			name, of := "", corev1.ProtocolTCP
			if p.Name != nil {
				name = *p.Name
			}
			if p.Protocol != nil {
				of = *p.Protocol
			}
			if its, known := protocolOf(of); !known || its != protocol || name != own.Name {
				continue
			}
			if p.Port == nil {
				list[i], why = ports.Every(protocol), fmt.Sprintf("%s does not say which port it is about", slice)
				continue
			}
			list[i] = list[i].Union(single(protocol, portNumber(*p.Port)))
		}
	}
	return list, why
}

// sliced are the backends of a Service that its EndpointSlices name, whether they are
// ready or not.
func (g *Graph) sliced(s *evidence.Object[corev1.Service]) (list []Backend) {
	x := g.universe.slicing
	for _, slice := range x.ofService(s) {
		to, why := slicePorts(s, slice)
		if slice.Value.AddressType == discoveryv1.AddressTypeFQDN {
			list = append(list, Backend{Unknown: fmt.Sprintf("%s has names in place of addresses: where these lead is not known", slice)})
			continue
		}
		var outside cidr.Set
		for i := range slice.Value.Endpoints {
			e := &slice.Value.Endpoints[i]
			for _, text := range e.Addresses {
				b := g.having(slice, podOf(slice, e), text)
				if b.Endpoint != nil && b.Endpoint.ID == unread {
					outside = outside.Union(b.Endpoint.Addresses)
					continue
				}
				list = addBackend(list, b, to, why)
			}
		}
		if !outside.Empty() {
			list = addBackend(list, Backend{Endpoint: g.At(outside)}, to, why)
		}
	}
	if len(s.Value.Spec.Selector) == 0 {
		if why := x.missing(s); why != "" {
			list = append(list, Backend{Unknown: why})
		}
	}
	return list
}

// addBackend adds a backend on some ports, with those that it is there on already.
func addBackend(list []Backend, b Backend, to []ports.Set, why string) []Backend {
	for i := range list {
		have := &list[i]
		if have.Workload != b.Workload || have.Endpoint != b.Endpoint || have.Endpoint == nil && have.Unknown != b.Unknown {
			continue
		}
		if have.Endpoint != nil && have.Unknown == "" {
			have.Unknown = why
		}
		for n := range have.Ports {
			have.Ports[n] = have.Ports[n].Union(to[n])
		}
		return list
	}
	if b.Endpoint != nil {
		b.Ports, b.Unknown = append([]ports.Set(nil), to...), why
	}
	return append(list, b)
}

// having is whoever has an address that a slice names, of the pod that it says, if any.
func (g *Graph) having(slice *evidence.Object[discoveryv1.EndpointSlice], pod objectName, text string) Backend {
	unknown := func(format string, args ...any) Backend { return Backend{Unknown: fmt.Sprintf(format, args...)} }
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return unknown("the address %q of %s cannot be read", text, slice)
	}
	a, address := g.universe.addresses, cidr.Address(ip)
	if pod.name != "" {
		w := g.universe.slicing.pod(pod)
		switch {
		case w == nil:
			return unknown("%s is the address of Pod %s/%s, which is not among what was read", ip, pod.namespace, pod.name)
		case !g.Of(w).Addresses.Covers(address):
			return unknown("Pod %s/%s cannot have the address %s, which %s gives it", pod.namespace, pod.name, ip, slice)
		}
		return Backend{Workload: w, Endpoint: g.Of(w)}
	}
	if a.exact && a.apiServer.Covers(address) {
		return Backend{Endpoint: g.APIServer()}
	}
	for _, n := range g.Nodes() {
		if own := a.node[n.Name]; own.Covers(address) {
			return Backend{Endpoint: n}
		}
	}
	switch {
	case metadataAddresses().Covers(address):
	case a.inside.Covers(address):
		return unknown("%s is the address of a pod, and of which is not known", ip)
	case a.pods.Covers(address):
		return unknown("%s may be the address of a pod: which addresses pods have is not known", ip)
	case a.nodesGiven && a.nodes.Covers(address):
		return g.someNode(ip)
	}
	return Backend{Endpoint: g.At(address)}
}

// someNode is the endpoint that stands for all nodes, if there is one.
func (g *Graph) someNode(ip netip.Addr) Backend {
	if len(g.universe.addresses.node) == 0 && len(g.Nodes()) == 1 {
		return Backend{Endpoint: g.Nodes()[0]}
	}
	return Backend{Unknown: fmt.Sprintf("%s is the address of a node, and of which is not known", ip)}
}

// outward reports whether a backend is addresses outside the cluster.
func (b *Backend) outward() bool { return b.Endpoint != nil && b.Endpoint.Kind == netpol.OfWorld }
