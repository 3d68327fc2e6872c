package checks

import (
	"fmt"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ControlPlaneFirewall reports control plane nodes whose packet filter lets others in
// than the guide's table has (Control plane hardening, Table II).
var ControlPlaneFirewall = &check.Check{
	ID:             "control-plane-firewall",
	Title:          "a control plane node's firewall admits too many",
	Recommendation: "CP-04",
	Severity:       guide.High,
	Remedy:         "admit to each port only who needs it, and drop the rest",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "what the firewalls of the control plane nodes admit",
	Doc: firewallDoc(`On a control plane node the API server (6443) is for its users, but hardly for the whole
internet; etcd (2379-2380), the scheduler (10259) and the controller managers (10257, 10258)
for the control plane alone; the kubelet (10250) for the control plane and for what
collects metrics in the cluster, so for its nodes and their Pods. Besides, every port that
something listens on, and that is admitted from the internet at large, is named.`, `
    chain input { type filter hook input priority filter; policy drop;
      ct state established,related accept
      iifname lo accept
      ip saddr 10.0.0.11-10.0.0.13 tcp dport { 2379, 2380, 10250 } accept
      ip saddr 10.0.0.0/16 tcp dport 6443 accept
    }
`),
	Run: eachNetNode(isControlPlaneNode, controlPlaneFirewall, noControlPlane),
}

// firewallDoc adds to what a rule asks of ports how a filter is judged.
func firewallDoc(asks, example string) string {
	return asks + `

Looked at are the rules of nftables and iptables, in the order of the kernel, for IPv4 and
IPv6: from which addresses a new connection comes through, and which rule decides. Ports
that nothing listens on beyond loopback are left out where the sockets were seen. The
addresses of the control plane are those of the cluster's nodes and those that the flags of
API servers and etcd name. Where these need not be all, a filter is only found at fault
when it admits more than a single network can hold (/24, or /64 of IPv6).
Rules that cannot be followed, such as sets that the dump does not print, leave the answer
open. A firewall in front of the node is not seen.
` + strings.TrimPrefix(example, "\n")
}

func controlPlaneFirewall(n *netNode) {
	f := n.packetFilter()
	if f == nil {
		return
	}
	control, whole := n.controllers()
	members, _ := n.members()
	ours := map[uint16]bool{}
	for _, p := range n.machine.Ports() {
		ours[p.Number] = true
		g := guardedPort{
			protocol: "tcp", number: p.Number, name: fmt.Sprintf("port %d of %s", p.Number, p.Component),
			path: filterPath("tcp", p.Number), expected: control, who: "the control plane", whole: whole,
		}
		switch p.Component {
		case evidence.APIServer:
			g.open, g.who = true, "users of the cluster, not for the internet at large"
		case evidence.Kubelet:
			g.expected, g.who = members, "the control plane and what collects metrics in the cluster"
		}
		f.judge(g)
	}
	n.judgeOthers(f, func(protocol string, port uint16) bool { return protocol == "tcp" && ours[port] })
}

// judgeOthers judges what else is listened on.
func (n *netNode) judgeOthers(f *packetFilter, ours func(string, uint16) bool) {
	if seen, why := n.Saw(evidence.TheSockets); !seen {
		n.cannot("which other ports are listened on: %s", why)
		return
	}
	if seen, why := n.Saw(evidence.TheDatagrams); !seen {
		n.cannot("%s", why)
	}
	for _, p := range n.listened(ours) {
		f.judgeOther(p)
	}
}
