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
// both in the order in which they were read, NetworkPolicies first. A policy may be
// there twice, in two tiers.
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
		for _, p := range slices.Clone(valid) {
			if p.Ingress == nil || p.Egress == nil {
				valid = append(valid, otherDirection(p))
			}
		}
	}
	return append(valid, ofCluster...), append(invalid, refused...)
}

// baseline reports whether a policy is asked after NetworkPolicies.
func baseline(p *netpol.Policy) bool { return p.Tier.Order == netpol.BaselineOrder }

// otherDirection is what a NetworkPolicy that is about one direction perhaps means for
// the other one. The network policy API goes on to its baseline for pods that no
// NetworkPolicy selects: plugins that take this by the letter allow everything in
// the direction, others go on.
func otherDirection(p *netpol.Policy) *netpol.Policy {
	open := &netpol.Rules{List: []netpol.Rule{{
		Action: netpol.Allow, Peers: netpol.Everyone(), Ports: netpol.AllPorts(), Path: evidence.NewPath("spec", "policyTypes"),
		Unknown: "network plugins do not agree whether a baseline is about pods that a NetworkPolicy selects for the other direction only",
	}}}
	twin := &netpol.Policy{
		Ref: p.Ref, Subject: p.Subject,
		Tier: netpol.Tier{Name: "NetworkPolicy for the other direction", Order: netpol.DefaultOrder + 1, Default: netpol.Pass},
	}
	if p.Ingress == nil {
		twin.Ingress = open
	} else {
		twin.Egress = open
	}
	return twin
}
