package cilium

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// service reads a Service as a peer: the pods that its selector means, or the
// addresses that EndpointSlices name for one without a selector. Without a namespace
// the Services of all namespaces are meant. One that is not there leaves the rule
// without peers, which Cilium 1.20 takes for everyone: nobody can say who is meant.
func (s *specReader) service(raw json.RawMessage, at evidence.Path) (netpol.Expr, error) {
	read, doubt, err := decode[serviceRule](raw, at)
	if err != nil {
		return nil, err
	}
	wanted, namespace, err := s.wanted(read, at)
	if err != nil {
		return nil, err
	}
	var some netpol.Some
	for _, o := range s.snap.Services {
		if (namespace == "" || o.Namespace == namespace) && wanted(o.Ref) {
			some = append(some, s.backends(o.Ref, o.Value.Spec.Selector))
		}
	}
	named := read.Selector == nil && namespace != ""
	if len(some) == 0 {
		doubt = and(doubt, fmt.Sprintf("%s: the Service is not among what was read", at))
	}
	if complete, why := s.snap.Complete(evidence.Exposure, namespace); !named && !complete {
		doubt = and(doubt, fmt.Sprintf("%s: not all Services are known: %s", at, why))
	}
	if doubt != "" {
		some = append(some, netpol.Unknown{Within: netpol.Everyone(), Why: doubt})
	}
	return some, nil
}

// wanted gives the condition on the Services that are meant, and their namespace.
func (s *specReader) wanted(read serviceRule, at evidence.Path) (func(*evidence.Ref) bool, string, error) {
	switch {
	case read.Selector != nil:
		labels, doubt, err := readSelector(read.Selector.Selector, at.Field("k8sServiceSelector", "selector"))
		return func(service *evidence.Ref) bool {
			return doubt == "" && !slices.ContainsFunc(labels, func(l label) bool { return l.has(service.Labels) == l.negative() })
		}, read.Selector.Namespace, err
	case read.Service != nil:
		return func(service *evidence.Ref) bool { return service.Name == read.Service.Name }, read.Service.Namespace, nil
	}
	return nil, "", fmt.Errorf("%s: names no Service", at)
}

// backends are the endpoints that a Service sends to.
func (r *reader) backends(service *evidence.Ref, selector map[string]string) netpol.Expr {
	if len(selector) == 0 {
		return r.sliced(service)
	}
	every := netpol.Every{netpol.Is{Kind: netpol.OfPod}, netpol.Named{Of: netpol.Namespace, Name: service.Namespace}}
	for _, key := range slices.Sorted(maps.Keys(selector)) {
		every = append(every, r.pod(label{source: "k8s", key: key, op: netpol.In, values: []string{selector[key]}}))
	}
	return every
}

// sliced are the addresses that EndpointSlices name for a Service without a
// selector: Cilium makes blocks of them, which match what is outside the cluster.
func (r *reader) sliced(service *evidence.Ref) netpol.Expr {
	var list []netip.Addr
	found := false
	for _, o := range r.snap.EndpointSlices {
		if o.Namespace != service.Namespace || o.Labels["kubernetes.io/service-name"] != service.Name {
			continue
		}
		found = true
		for _, e := range o.Value.Endpoints {
			for _, text := range e.Addresses {
				if a, err := netip.ParseAddr(text); err == nil {
					list = append(list, a)
				}
			}
		}
	}
	if !found {
		return unknownOutside(fmt.Sprintf("%s has no selector: where it sends is not known", service))
	}
	return r.addresses(cidr.Address(list...))
}
