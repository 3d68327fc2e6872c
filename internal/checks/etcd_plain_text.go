package checks

import (
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// EtcdPlainText reports etcd that really speaks without TLS (guide: Etcd).
var EtcdPlainText = &check.Check{
	ID:             "etcd-plain-text",
	Title:          "etcd speaks without TLS",
	Recommendation: "ETCD-02",
	Severity:       guide.Critical,
	Remedy:         "set cert-file and key-file, and begin the URLs that etcd listens on with https",
	Needs:          []evidence.Fact{evidence.Nodes, evidence.Namespaces},
	Probe:          "whether etcd speaks TLS",
	Doc: `Without TLS whoever is on the way between an API server and etcd reads and changes all that
the cluster holds, Secrets among it.

Looked at is whether etcd's port really answered a request in plain text, and no handshake.

    - --listen-client-urls=https://127.0.0.1:2379,https://10.0.0.11:2379
    - --cert-file=/etc/kubernetes/pki/etcd/server.crt
    - --key-file=/etc/kubernetes/pki/etcd/server.key
`,
	Run: eachProbed(etcdPlainText, evidence.Etcd),
}

func etcdPlainText(p *probedPort) {
	plain := p.which(func(t *evidence.Probed) bool {
		return !t.TLS && slices.ContainsFunc(t.Anonymous, func(q evidence.ProbedRequest) bool { return q.Answered })
	})
	if len(plain) > 0 {
		p.say("tls", plain, "", "speaks without TLS")
		return
	}
	if tries := p.which(func(t *evidence.Probed) bool { return !t.TLS }); len(tries) > 0 {
		p.cannot(tries, "neither a handshake nor a request came about")
	}
}
