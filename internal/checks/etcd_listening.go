package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// EtcdListening reports etcd that listens on more addresses than the API servers and
// its other members need (guide: Etcd).
var EtcdListening = &check.Check{
	ID:             "etcd-listening",
	Title:          "etcd listens on all addresses of the node",
	Recommendation: "ETCD-01",
	Severity:       guide.Medium,
	Remedy:         "name loopback and the node's own address of the cluster's network in listen-client-urls and listen-peer-urls",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "where etcd listens",
	Doc: `Who can write to etcd owns the cluster. It needs to be reached by API servers and by its
other members, on one address of the node's.

Looked at are the sockets of the node's network: whether etcd's ports for clients and for
members, as its flags name them, are open on all addresses, so on each network that the
node is or will be on, or on an address of the internet. The firewall is another rule's
matter; so the severity is below that of the recommendation. Where sockets were not seen
nothing is said.

    spec:
      containers:
      - command:
        - etcd
        - --listen-client-urls=https://127.0.0.1:2379,https://10.0.0.11:2379
`,
	Run: eachListening(etcdListening, evidence.Etcd),
}

func etcdListening(n *netNode, c *evidence.Component) {
	for _, p := range n.machine.Ports() {
		if p.Component != evidence.Etcd {
			continue
		}
		var everywhere, public []evidence.Socket
		for _, s := range n.listeners("tcp", p.Number) {
			switch a := s.Address.Addr().Unmap(); {
			case a.IsUnspecified():
				everywhere = append(everywhere, s)
			case isPublic(a):
				public = append(public, s)
			}
		}
		at := c.Place
		if f, given := c.Flag(p.Flag); given {
			at = f.Place
		}
		path := flagPath(c, p.Flag).Field("listening")
		switch {
		case len(public) > 0:
			problem := n.say(at, path, places(public), "etcd listens on %s, an address of the internet", places(public))
			problem.Severity, problem.SeverityReason = guide.High, "the address is one of the internet"
		case len(everywhere) > 0:
			n.say(at, path, places(everywhere), "etcd listens on all addresses of the node (%s)", places(everywhere))
		}
	}
}
