package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// EtcdPeerTLS reports members of etcd that do not authenticate each other (guide:
// Etcd, Encryption).
var EtcdPeerTLS = &check.Check{
	ID:             "etcd-peer-tls",
	Title:          "etcd members talk without mutual TLS",
	Recommendation: "ETCD-04",
	Severity:       guide.High,
	Remedy:         "give etcd --peer-cert-file, --peer-key-file, --peer-trusted-ca-file and --peer-client-cert-auth=true, and no --peer-auto-tls",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "whether the members of etcd authenticate each other",
	Doc: `Members of etcd send each other everything that is written. A peer that need not
authenticate can join in and read, or change, all of it.

Looked at are the flags in force: ` + "`--peer-cert-file`" + `, ` + "`--peer-key-file`" + ` and ` + "`--peer-trusted-ca-file`" + `
must be set, ` + "`--peer-client-cert-auth`" + ` must be true, ` + "`--peer-auto-tls`" + ` must not, and no address of
` + "`--listen-peer-urls`" + ` may begin with http://. A single member listens for peers as well; without
the flag it does so at http://localhost:2380.

    - --peer-cert-file=/etc/kubernetes/pki/etcd/peer.crt
    - --peer-key-file=/etc/kubernetes/pki/etcd/peer.key
    - --peer-client-cert-auth=true
    - --peer-trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
`,
	Run: eachComponent(etcdPeerTLS, evidence.Etcd),
}

func etcdPeerTLS(n *node, c *evidence.Component) {
	n.pair(c, "peer-cert-file", "peer-key-file", "peer-auto-tls", "peers")
	n.asks(c, "peer-client-cert-auth", "peer-trusted-ca-file", "peers")
	n.plain(c, "listen-peer-urls", "http://localhost:2380", "peers")
}

// asks judges whether etcd demands certificates, and of whose making. With an authority
// named it demands them even where the other flag is not set.
func (n *node) asks(c *evidence.Component, auth, authority, whom string) {
	ca, atCA, knownCA := n.flag(c, authority, "")
	value, at, known := n.flag(c, auth, "false")
	switch {
	case !known || !knownCA:
	case !isTrue(value) && ca == "":
		n.say(at, flagPath(c, auth), value, "etcd demands no certificate of %s: --%s is not true", whom, auth)
	case !isTrue(value):
		p := n.say(at, flagPath(c, auth), value, "etcd does not authenticate %s by their certificates: --%s is not true", whom, auth)
		p.Severity, p.SeverityReason = guide.Medium, "it demands certificates all the same, because an authority is set"
	case ca == "":
		n.say(atCA, flagPath(c, authority), "", "etcd accepts certificates of %s from every authority that the system trusts: --%s is not set", whom, authority)
	}
}
