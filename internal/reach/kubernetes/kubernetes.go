// Package kubernetes reads the network policies that Kubernetes defines itself:
// networking.k8s.io NetworkPolicy, and of the network policy API AdminNetworkPolicy,
// BaselineAdminNetworkPolicy and ClusterNetworkPolicy. It refuses what the API
// server refuses and puts the rest into the form of package netpol: what a plugin
// may read in more than one way is Unknown there. It evaluates nothing, and does
// not know which kinds the cluster's plugin enforces.
package kubernetes

import (
	"slices"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// Read returns the policies of a snapshot and, apart, those that are not valid,
// both in the order in which they were read, NetworkPolicies first.
func Read(snap *evidence.Snapshot, e netpol.Enforcement) (valid []*netpol.Policy, invalid []netpol.Invalid) {
	ofCluster, refused := clusterPolicies(snap.Custom, e)
	for _, o := range snap.NetworkPolicies {
		p, err := networkPolicy(o, e)
		if err != nil {
			invalid = append(invalid, netpol.Invalid{Ref: o.Ref, Err: err})
			continue
		}
		valid = append(valid, p)
	}
	if e == netpol.Kubernetes && slices.ContainsFunc(ofCluster, baseline) {
		for _, p := range valid {
			p.Ingress, p.Egress = orOpen(p.Ingress), orOpen(p.Egress)
		}
	}
	return append(valid, ofCluster...), append(invalid, refused...)
}

// baseline reports whether a policy is asked after NetworkPolicies.
func baseline(p *netpol.Policy) bool { return p.Tier.Order == netpol.BaselineOrder }

// orOpen gives a direction that a NetworkPolicy says nothing about a rule that perhaps
// allows all. The network policy API goes on to its baseline for pods that no
// NetworkPolicy selects. Plugins that take this by the letter allow everything in
// the direction, others go on.
func orOpen(r *netpol.Rules) *netpol.Rules {
	if r != nil {
		return r
	}
	return &netpol.Rules{List: []netpol.Rule{{
		Action: netpol.Allow, Peers: netpol.Everyone(), Ports: netpol.AllPorts(), Path: evidence.NewPath("spec", "policyTypes"),
		Unknown: "network plugins do not agree whether a baseline is about pods that a NetworkPolicy selects for the other direction only",
	}}}
}
