package networkpolicy

import (
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/need"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// selected are the sets of a namespace that a selector means; none for one that
// means everybody.
func (c *catalog) selected(namespace string, s *metav1.LabelSelector) (list []*need.Set) {
	if s == nil || len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0 {
		return nil
	}
	compiled, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return nil
	}
	for _, one := range c.Sets {
		if one.Namespace == namespace && slices.ContainsFunc(one.Workloads, func(w *evidence.Workload) bool { return compiled.Matches(labels.Set(w.PodLabels)) }) {
			list = append(list, one)
		}
	}
	return list
}

// named are the sets that a peer names by the labels of their pods.
func (c *catalog) named(namespace string, peer *networkingv1.NetworkPolicyPeer) (list []*need.Set) {
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
	for _, s := range c.Sets {
		if seen[s.Namespace] {
			continue
		}
		seen[s.Namespace] = true
		if compiled.Matches(c.NamespaceLabels(s.Namespace)) {
			list = append(list, c.selected(s.Namespace, peer.PodSelector)...)
		}
	}
	return list
}

// statedPorts are the ports of a rule that has some, by number or by a name that the
// pods have; none for a rule for all ports.
func statedPorts(s *need.Set, list []networkingv1.NetworkPolicyPort) (set ports.Set) {
	for _, p := range list {
		protocol := ports.TCP
		if p.Protocol != nil {
			protocol = need.ProtocolOf(*p.Protocol)
		}
		switch {
		case p.Port == nil:
		case p.Port.Type == intstr.Int && p.EndPort != nil:
			set = set.Union(ports.Of(protocol, need.Number(p.Port.IntVal), need.Number(*p.EndPort)))
		case p.Port.Type == intstr.Int:
			set = set.Union(need.Single(protocol, p.Port.IntVal))
		default:
			for _, w := range s.Workloads {
				set = set.Union(need.PortsNamed(w, p.Port.StrVal).Intersect(ports.Every(protocol)))
			}
		}
	}
	return set
}

// stated are the connections between pods that existing NetworkPolicies allow by
// naming both ends and the port: somebody has said that they are needed. Policies
// that this program wrote say nothing of their own.
func (c *catalog) stated() {
	for _, p := range c.Snap.NetworkPolicies {
		if !c.governed[p.Namespace] || p.Labels[managedBy] == manager {
			continue
		}
		spec := &p.Value.Spec
		subjects := c.selected(p.Namespace, &spec.PodSelector)
		for i := range spec.Ingress {
			r := &spec.Ingress[i]
			at := evidence.NewPath("spec", "ingress").Index(i, "")
			for _, peer := range r.From {
				for _, other := range c.named(p.Namespace, &peer) {
					for _, s := range subjects {
						c.Needs.Add(need.End{Kind: need.OfSet, Set: other}, need.End{Kind: need.OfSet, Set: s}, statedPorts(s, r.Ports), need.Reason{At: need.Field(p.Ref, at), Says: "an existing policy names both ends"})
					}
				}
			}
		}
		for i := range spec.Egress {
			r := &spec.Egress[i]
			at := evidence.NewPath("spec", "egress").Index(i, "")
			for _, peer := range r.To {
				for _, other := range c.named(p.Namespace, &peer) {
					for _, s := range subjects {
						c.Needs.Add(need.End{Kind: need.OfSet, Set: s}, need.End{Kind: need.OfSet, Set: other}, statedPorts(other, r.Ports), need.Reason{At: need.Field(p.Ref, at), Says: "an existing policy names both ends"})
					}
				}
			}
		}
	}
}

const (
	managedBy = "app.kubernetes.io/managed-by"
	manager   = "gabion"
)
