package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// EtcdClientTLS reports an etcd that clients can talk to without TLS, or whose
// certificate nobody can verify (guide: Etcd).
var EtcdClientTLS = &check.Check{
	ID:             "etcd-client-tls",
	Title:          "etcd serves clients without verifiable TLS",
	Recommendation: "ETCD-02",
	Severity:       guide.Critical,
	Remedy:         "give etcd --cert-file and --key-file, https in --listen-client-urls, and no --auto-tls",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "whether etcd serves clients over TLS",
	Doc: `etcd holds every object of the cluster, the Secrets among them, and whoever writes to it
rules the cluster. Without TLS anybody on the way reads along.

Looked at are the flags in force: ` + "`--cert-file`" + ` and ` + "`--key-file`" + ` must be set, ` + "`--auto-tls`" + ` must
not be true (etcd then signs for itself, and no client can tell it from another), and no
address of ` + "`--listen-client-urls`" + ` or ` + "`--listen-client-http-urls`" + ` may begin with http://. Without
the first of these flags etcd listens at http://localhost:2379. Addresses of
` + "`--listen-metrics-urls`" + ` that begin with http:// are for the node itself: at any other whoever
reaches the port reads its metrics, which is low, since they hold neither keys nor values.

    - --cert-file=/etc/kubernetes/pki/etcd/server.crt
    - --key-file=/etc/kubernetes/pki/etcd/server.key
    - --listen-client-urls=https://127.0.0.1:2379,https://10.0.0.11:2379
`,
	Run: eachComponent(etcdClientTLS, evidence.Etcd),
}

func etcdClientTLS(n *node, c *evidence.Component) {
	n.pair(c, "cert-file", "key-file", "auto-tls", "clients")
	n.plain(c, "listen-client-urls", "http://localhost:2379", "clients")
	n.plain(c, "listen-client-http-urls", "", "clients")
	n.plainMetrics(c)
}

// plainMetrics judges the addresses at which etcd serves its metrics and its health.
func (n *node) plainMetrics(c *evidence.Component) {
	const flag = "listen-metrics-urls"
	list, at, known := n.flag(c, flag, "")
	if !known {
		return
	}
	for _, one := range plainURLs(list) {
		if !onlyLoopback(one) {
			p := n.say(at, flagPath(c, flag), list, "etcd gives its metrics without TLS to whoever reaches %s", one)
			p.Severity, p.SeverityReason = guide.Low, "metrics hold neither keys nor values"
			p.Remedy = "set --listen-metrics-urls to http://127.0.0.1:2381"
		}
	}
}

// plain judges the addresses of a flag at which etcd talks without TLS.
func (n *node) plain(c *evidence.Component, flag, byDefault, whom string) {
	list, at, known := n.flag(c, flag, byDefault)
	if !known {
		return
	}
	for _, one := range plainURLs(list) {
		p := n.say(at, flagPath(c, flag), list, "etcd talks to %s without TLS at %s", whom, one)
		if onlyLoopback(one) {
			p.Severity, p.SeverityReason = guide.High, "only what runs in the node's network can connect"
		}
	}
}
