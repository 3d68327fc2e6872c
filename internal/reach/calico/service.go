package calico

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A service is who is behind a Service, and at which ports.
type service struct {
	selector map[string]string
	ports    netpol.Ports
	// sliced is set when EndpointSlices were read, which then tell the addresses.
	sliced    bool
	addresses []netip.Addr
	// onNodes is set when pods behind it are in the network of their node, and served
	// are the ports at which these serve.
	onNodes bool
	served  ports.Set
}

// newServices reads the Services of a snapshot, by namespace and name.
func newServices(snap *evidence.Snapshot) map[string]*service {
	found := map[string]*service{}
	var onNodes []*evidence.Workload
	for _, w := range snap.Workloads {
		if w.Pod.HostNetwork {
			onNodes = append(onNodes, w)
		}
	}
	for _, o := range snap.Services {
		s := &service{selector: o.Value.Spec.Selector}
		for _, p := range o.Value.Spec.Ports {
			number := p.TargetPort.IntVal
			if number == 0 {
				number = p.Port
			}
			if p.TargetPort.Type == intstr.String && p.TargetPort.StrVal != "" {
				s.ports.Named = append(s.ports.Named, netpol.NamedPort{Protocol: transport(string(p.Protocol)), Name: p.TargetPort.StrVal})
			} else {
				s.add(string(p.Protocol), number)
			}
		}
		s.addOnNodes(o.Namespace, onNodes)
		found[o.Namespace+"/"+o.Name] = s
	}
	for _, o := range snap.EndpointSlices {
		name := o.Namespace + "/" + o.Labels["kubernetes.io/service-name"]
		s := found[name]
		if s == nil {
			s = &service{}
			found[name] = s
		}
		if len(s.selector) > 0 {
			continue
		}
		if !s.sliced {
			s.sliced, s.ports = true, netpol.Ports{}
		}
		for _, e := range o.Value.Endpoints {
			for _, text := range e.Addresses {
				if a, err := netip.ParseAddr(text); err == nil {
					s.addresses = append(s.addresses, a)
				}
			}
		}
		for _, p := range o.Value.Ports {
			if p.Port != nil && p.Protocol != nil {
				s.add(string(*p.Protocol), *p.Port)
			}
		}
	}
	return found
}

// addOnNodes looks for pods behind the Service among those in the network of their node.
func (s *service) addOnNodes(namespace string, pods []*evidence.Workload) {
	for _, w := range pods {
		if len(s.selector) == 0 || w.Namespace != namespace || !carries(w.PodLabels, s.selector) {
			continue
		}
		s.onNodes, s.served = true, s.served.Union(s.ports.Set).Union(called(w, s.ports.Named))
	}
}

func carries(labels, wanted map[string]string) bool {
	for key, value := range wanted {
		if has, ok := labels[key]; !ok || has != value {
			return false
		}
	}
	return true
}

func (s *service) add(protocol string, port int32) {
	if p := transport(protocol); port > 0 && port < 1<<16 {
		s.ports.Set = s.ports.Set.Union(ports.Of(p, uint16(port), uint16(port)))
	}
}

// transport reads the protocol of a Service's port, which is TCP where it is not given.
func transport(name string) ports.Protocol {
	switch name {
	case "UDP":
		return ports.UDP
	case "SCTP":
		return ports.SCTP
	}
	return ports.TCP
}

// serviceRule limits a rule to the endpoints of a Service. A rule of egress means the
// ports at which they serve, too; one of ingress only who they are.
func (r *reader) serviceRule(to *netpol.Rule, m *matched, given *serviceSpec, egress bool, namespace string) {
	if given.Namespace != "" {
		namespace = given.Namespace
	}
	s := r.services[namespace+"/"+given.Name]
	to.Peers = netpol.Every{to.Peers, s.peers(namespace, given.Name)}
	if !egress {
		return
	}
	base := m.certain.Set
	if s == nil {
		m.certain.Set = base.Minus(ports.Every(ports.ICMP)).Minus(ports.Every(ports.ICMPv6)).Minus(ports.Every(ports.Other))
		return
	}
	served := netpol.Ports{Set: s.ports.Set.Intersect(base)}
	for _, n := range s.ports.Named {
		if !base.Intersect(ports.Every(n.Protocol)).Empty() {
			served.Named = append(served.Named, n)
		}
	}
	*m = matched{certain: served}
}

// serviceHosts is what a rule about the endpoints of a Service may mean besides pods with
// addresses of their own: a pod in the network of its node has that of the node, and
// so have all others there.
func (r *reader) serviceHosts(one rule, m matched, given *serviceSpec, egress bool, namespace string) []rule {
	full := cmp.Or(given.Namespace, namespace) + "/" + given.Name
	s := r.services[full]
	if s == nil || !s.onNodes {
		return nil
	}
	set := m.certain.Set.Union(m.maybe)
	if egress {
		set = set.Intersect(s.served)
	}
	one.Peers, one.Ports = netpol.Every{one.Peers, netpol.Is{Kind: netpol.OfHost}}, netpol.Ports{Set: set}
	one.Unknown = cmp.Or(one.Unknown, fmt.Sprintf("a pod behind Service %s is in the network of its node, and which node that is is not looked up", full))
	return []rule{one}
}

// peers are the endpoints of a Service; s is nil for one that was not read.
func (s *service) peers(namespace, name string) netpol.Expr {
	full, api := namespace+"/"+name, netpol.Is{Kind: netpol.OfAPIServer}
	switch {
	case s == nil && full == "default/kubernetes":
		return netpol.Unknown{Within: api, Why: "at which port the API server serves is not known: Service default/kubernetes was not read"}
	case s == nil:
		return netpol.Unknown{Within: netpol.Everyone(), Why: fmt.Sprintf("Service %s is not among what was read", full)}
	case full == "default/kubernetes":
		return netpol.Some{api, netpol.Address{In: cidr.Address(s.addresses...)}}
	case len(s.selector) > 0:
		pods := netpol.Every{netpol.Is{Kind: netpol.OfPod}, netpol.Named{Of: netpol.Namespace, Name: namespace}}
		for _, key := range slices.Sorted(maps.Keys(s.selector)) {
			pods = append(pods, netpol.Label{Of: netpol.Pod, Key: key, Op: netpol.In, Values: []string{s.selector[key]}})
		}
		return pods
	case s.sliced:
		return netpol.Address{In: cidr.Address(s.addresses...)}
	}
	return netpol.Unknown{Within: netpol.Everyone(), Why: fmt.Sprintf("Service %s has no selector, and its endpoints were not read", full)}
}
