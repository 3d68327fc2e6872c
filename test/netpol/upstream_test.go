// Package netpol holds no code but tests. It is a module of its own, so that what it
// compares with is no dependency of Gabion: kube-network-policies, in which those who
// maintain the network policy APIs evaluate them packet by packet.
package netpol

import (
	"context"
	"net"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"sigs.k8s.io/kube-network-policies/pkg/api"
	"sigs.k8s.io/kube-network-policies/pkg/network"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
	admin "sigs.k8s.io/kube-network-policies/plugins/npa-v1alpha1"
	cluster "sigs.k8s.io/kube-network-policies/plugins/npa-v1alpha2"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
	npainformers "sigs.k8s.io/network-policy-api/pkg/client/informers/externalversions"
)

// An upstream is the engine of kube-network-policies over objects in memory: its
// informers are never started, and have no client.
type upstream struct {
	core    informers.SharedInformerFactory
	policy  npainformers.SharedInformerFactory
	pods    map[string]*api.PodInfo
	engines map[family]*networkpolicy.PolicyEngine
}

// GetPodInfoByIP knows pods by their addresses.
func (u *upstream) GetPodInfoByIP(ip string) (*api.PodInfo, bool) {
	p := u.pods[ip]
	return p, p != nil
}

// noNames resolves no domain: worlds have none.
type noNames struct{}

func (noNames) ContainsIP(string, net.IP) bool { return false }

func newUpstream() *upstream {
	u := &upstream{core: informers.NewSharedInformerFactory(nil, 0), policy: npainformers.NewSharedInformerFactory(nil, 0)}
	core, old, latest := u.core.Core().V1(), u.policy.Policy().V1alpha1(), u.policy.Policy().V1alpha2()
	network := networkpolicy.NewStandardNetworkPolicy("", core.Namespaces(), core.Pods(), u.core.Networking().V1().NetworkPolicies())
	u.engines = map[family]*networkpolicy.PolicyEngine{
		networkPolicies: networkpolicy.NewPolicyEngine(u, []api.PolicyEvaluator{network}),
		adminPolicies: networkpolicy.NewPolicyEngine(u, []api.PolicyEvaluator{
			admin.NewAdminNetworkPolicy(old.AdminNetworkPolicies(), noNames{}), network,
			admin.NewBaselineAdminNetworkPolicy(old.BaselineAdminNetworkPolicies()),
		}),
		clusterPolicies: networkpolicy.NewPolicyEngine(u, []api.PolicyEvaluator{
			cluster.NewClusterNetworkPolicy(v1alpha2.AdminTier, latest.ClusterNetworkPolicies(), noNames{}, core.Nodes().Lister()), network,
			cluster.NewClusterNetworkPolicy(v1alpha2.BaselineTier, latest.ClusterNetworkPolicies(), noNames{}, core.Nodes().Lister()),
		}),
	}
	return u
}

// load replaces all objects by those of a world.
func (u *upstream) load(w *world) error {
	core, old, latest := u.core.Core().V1(), u.policy.Policy().V1alpha1(), u.policy.Policy().V1alpha2()
	var network []*networkingv1.NetworkPolicy
	for _, p := range w.network {
		network = append(network, stored(p))
	}
	u.pods = map[string]*api.PodInfo{}
	for _, p := range w.pods {
		u.pods[p.Status.PodIP] = api.NewPodInfo(p, w.namespace(p.Namespace).Labels, nil, "")
	}
	for _, err := range []error{
		fill(core.Namespaces().Informer(), w.namespaces),
		fill(core.Pods().Informer(), w.pods),
		fill(core.Nodes().Informer(), w.nodes),
		fill(u.core.Networking().V1().NetworkPolicies().Informer(), network),
		fill(old.AdminNetworkPolicies().Informer(), w.admin),
		fill(old.BaselineAdminNetworkPolicies().Informer(), w.baseline),
		fill(latest.ClusterNetworkPolicies().Informer(), w.cluster),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

func fill[T any](i cache.SharedIndexInformer, list []T) error {
	var objects []any
	for _, o := range list {
		objects = append(objects, o)
	}
	return i.GetStore().Replace(objects, "")
}

// stored is a policy as the API server keeps it, with its defaults.
func stored(p *networkingv1.NetworkPolicy) *networkingv1.NetworkPolicy {
	p = p.DeepCopy()
	tcp := corev1.ProtocolTCP
	protocols := func(list []networkingv1.NetworkPolicyPort) {
		for i := range list {
			if list[i].Protocol == nil {
				list[i].Protocol = &tcp
			}
		}
	}
	for _, r := range p.Spec.Ingress {
		protocols(r.Ports)
	}
	for _, r := range p.Spec.Egress {
		protocols(r.Ports)
	}
	if len(p.Spec.PolicyTypes) == 0 {
		p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(p.Spec.Egress) > 0 {
			p.Spec.PolicyTypes = append(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
	return p
}

// allows asks for one packet.
func (u *upstream) allows(f family, src, dst string, protocol corev1.Protocol, port int) (bool, error) {
	return u.engines[f].EvaluatePacket(context.Background(), &network.Packet{
		SrcIP: net.ParseIP(src), DstIP: net.ParseIP(dst), Proto: protocol, SrcPort: 50000, DstPort: port,
	})
}
