package networkpolicy

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// selected are the sets of a namespace that a selector means; none for one that
// means everybody.
func (c *catalog) selected(namespace string, s *metav1.LabelSelector) (list []*set) {
	if s == nil || len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0 {
		return nil
	}
	compiled, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return nil
	}
	for _, one := range c.sets {
		if one.namespace == namespace && slices.ContainsFunc(one.workloads, func(w *evidence.Workload) bool { return compiled.Matches(labels.Set(w.PodLabels)) }) {
			list = append(list, one)
		}
	}
	return list
}

// named are the sets that a peer names by the labels of their pods.
func (c *catalog) named(namespace string, peer *networkingv1.NetworkPolicyPeer) (list []*set) {
	if peer.PodSelector == nil {
		return nil
	}
	if peer.NamespaceSelector == nil {
		return c.selected(namespace, peer.PodSelector)
	}
	compiled, err := metav1.LabelSelectorAsSelector(peer.NamespaceSelector)
	if err != nil {
		return nil
	}
	seen := map[string]bool{}
	for _, s := range c.sets {
		if seen[s.namespace] {
			continue
		}
		seen[s.namespace] = true
		if compiled.Matches(c.namespaceLabels(s.namespace)) {
			list = append(list, c.selected(s.namespace, peer.PodSelector)...)
		}
	}
	return list
}

func (c *catalog) namespaceLabels(namespace string) labels.Set {
	own := labels.Set{corev1.LabelMetadataName: namespace}
	for _, ns := range c.snap.Namespaces {
		if ns.Name == namespace {
			for key, value := range ns.Labels {
				own[key] = value
			}
		}
	}
	return own
}

// statedPorts are the ports of a rule that has some, by number or by a name that the
// pods have; none for a rule for all ports.
func statedPorts(s *set, list []networkingv1.NetworkPolicyPort) (set ports.Set) {
	for _, p := range list {
		protocol := ports.TCP
		if p.Protocol != nil {
			protocol = protocolOf(*p.Protocol)
		}
		switch {
		case p.Port == nil:
		case p.Port.Type == intstr.Int && p.EndPort != nil:
			set = set.Union(ports.Of(protocol, number(p.Port.IntVal), number(*p.EndPort)))
		case p.Port.Type == intstr.Int:
			set = set.Union(single(protocol, p.Port.IntVal))
		default:
			for _, w := range s.workloads {
				set = set.Union(portsNamed(w, p.Port.StrVal).Intersect(ports.Every(protocol)))
			}
		}
	}
	return set
}

// number is a port, 0 for what is none.
func number(n int32) uint16 {
	if n < 1 || n > 65535 {
		return 0
	}
	return uint16(n)
}

// single is one port; none for what is no port.
func single(p ports.Protocol, n int32) ports.Set { return ports.Of(p, number(n), number(n)) }

// portsNamed are the ports that the containers of a workload call so.
func portsNamed(w *evidence.Workload, name string) (set ports.Set) {
	for c := range w.Containers() {
		for _, p := range c.Ports {
			if p.Name == name {
				set = set.Union(single(protocolOf(p.Protocol), p.ContainerPort))
			}
		}
	}
	return set
}

// containerPorts are all ports that the containers of a workload list.
func containerPorts(w *evidence.Workload) (set ports.Set) {
	for c := range w.Containers() {
		for _, p := range c.Ports {
			set = set.Union(single(protocolOf(p.Protocol), p.ContainerPort))
		}
	}
	return set
}
