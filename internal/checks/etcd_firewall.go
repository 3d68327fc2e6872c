package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// EtcdFirewall reports etcd that others reach than API servers and its members (guide:
// Etcd).
var EtcdFirewall = &check.Check{
	ID:             "etcd-firewall",
	Title:          "a firewall lets others reach etcd",
	Recommendation: "ETCD-01",
	Severity:       guide.Critical,
	Remedy:         "admit only the control plane nodes and etcd's members to 2379 and 2380",
	Needs:          []evidence.Fact{evidence.ControlPlanes, evidence.Nodes},
	Node:           "who can reach etcd",
	Doc: firewallDoc(`Who can write to etcd owns the cluster, and who can read it has every Secret that is not
encrypted. Only API servers and its own members need its ports, 2379 and 2380 unless its
flags say otherwise.`, `
    ip saddr { 10.0.0.11, 10.0.0.12, 10.0.0.13 } tcp dport 2379-2380 accept
`),
	Run: eachNetNode(hasEtcd, etcdFirewall, noEtcd),
}

// noEtcd says that no node with etcd was looked at.
func noEtcd(r *check.Run) {
	if r.Managed != nil {
		r.Inapplicable("", providersDuty(r.Managed))
		return
	}
	r.Unknown("", "no node with etcd was looked at (--host-root on each)")
}

func etcdFirewall(n *netNode) {
	f := n.packetFilter()
	if f == nil {
		return
	}
	control, whole := n.controllers()
	for _, p := range n.machine.Ports() {
		if p.Component == evidence.Etcd {
			f.judge(guardedPort{
				protocol: "tcp", number: p.Number, name: fmt.Sprintf("port %d of etcd", p.Number),
				path: filterPath("tcp", p.Number), expected: control, who: "API servers and members of etcd", whole: whole,
			})
		}
	}
}
