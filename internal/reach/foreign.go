package reach

import (
	"math"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// A foreignKind is a kind of policy that no reader reads.
type foreignKind struct {
	group, kind string
	layer       netpol.Layer
	// ingress and egress are the directions that it may be about.
	ingress, egress bool
}

// foreignKinds are those that are known to decide about connections.
var foreignKinds = []foreignKind{
	{"crd.antrea.io", "ClusterNetworkPolicy", netpol.Network, true, true},
	{"crd.antrea.io", "NetworkPolicy", netpol.Network, true, true},
	{"k8s.ovn.org", "EgressFirewall", netpol.Network, false, true},
	{"network.openshift.io", "EgressNetworkPolicy", netpol.Network, false, true},
	{"kubeovn.io", "SecurityGroup", netpol.Network, true, true},
	{"networking.k8s.aws", "ApplicationNetworkPolicy", netpol.Network, true, true},
	{"networking.k8s.aws", "ClusterNetworkPolicy", netpol.Network, true, true},
	{"networking.gke.io", "FQDNNetworkPolicy", netpol.Network, false, true},
	{"policy.linkerd.io", "AuthorizationPolicy", netpol.Mesh, true, false},
	{"policy.linkerd.io", "Server", netpol.Mesh, true, false},
	{"policy.linkerd.io", "ServerAuthorization", netpol.Mesh, true, false},
}

// foreign are the policies that are seen and not read: of what they are about, all may
// be allowed and all denied. One without a namespace may be about every pod.
func foreign(snap *evidence.Snapshot) (list []*netpol.Policy) {
	for _, ref := range snap.Objects {
		for _, k := range foreignKinds {
			if ref.Kind == k.kind && ref.Group() == k.group {
				list = append(list, k.policy(ref))
			}
		}
	}
	return list
}

func (k foreignKind) policy(ref *evidence.Ref) *netpol.Policy {
	p := &netpol.Policy{
		Ref:     ref,
		Tier:    netpol.Tier{Name: k.kind + " of " + k.group, Layer: k.layer, Order: math.Inf(-1), Default: netpol.Pass},
		Subject: netpol.Every{netpol.Is{Kind: netpol.OfPod}},
	}
	if ref.Namespace != "" {
		p.Subject = netpol.Every{netpol.Is{Kind: netpol.OfPod}, netpol.Named{Of: netpol.Namespace, Name: ref.Namespace}}
	}
	rules := &netpol.Rules{Unknown: ref.String() + " of " + k.group + " is of a kind that is not read"}
	if k.ingress {
		p.Ingress = rules
	}
	if k.egress {
		p.Egress = rules
	}
	return p
}
