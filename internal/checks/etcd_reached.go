package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// EtcdReached reports etcd that was really reached from elsewhere (guide: Etcd).
var EtcdReached = &check.Check{
	ID:             "etcd-reached",
	Title:          "etcd is reached from elsewhere",
	Recommendation: "ETCD-01",
	Severity:       guide.High,
	Remedy:         "admit only the control plane nodes and etcd's members to 2379 and 2380",
	Needs:          []evidence.Fact{evidence.Nodes, evidence.Namespaces},
	Probe:          "whether etcd can be reached",
	Doc: `Only API servers and its own members need to reach etcd, at 2379 and 2380. Whoever else does
is one stolen certificate away from all that the cluster holds.

Looked at is whether a connection really came about. Not counted are connections from a
control plane node itself. Whether etcd then answered is another rule's matter.

    ip saddr { 10.0.0.11, 10.0.0.12, 10.0.0.13 } tcp dport 2379-2380 accept
`,
	Run: eachTried(etcdReached, evidence.Etcd),
}

func etcdReached(p *probedPort) {
	if tries := p.fromElsewhere(); len(tries) > 0 {
		p.say("reached", tries, "", "can be reached from %s", from(tries))
		return
	}
	p.open = len(p.tries) > 0 // from the control plane itself anything may be reached
}
