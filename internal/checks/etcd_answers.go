package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// EtcdAnswers reports etcd that really answers clients without a certificate (guide:
// Etcd).
var EtcdAnswers = &check.Check{
	ID:             "etcd-answers",
	Title:          "etcd answers without a client certificate",
	Recommendation: "ETCD-03",
	Severity:       guide.Critical,
	Remedy:         "set client-cert-auth to true, with a trusted-ca-file that signs nothing but the API servers' certificates",
	Needs:          []evidence.Fact{evidence.Nodes, evidence.Namespaces},
	Probe:          "whether etcd answers without a client certificate",
	Doc: `Who can write to etcd owns the cluster, and whoever reaches one that demands no certificate
can write to it.

Looked at is what etcd really answered without a client certificate: its version, and
how many keys have a name that nobody uses, for which no value is read.

    - --client-cert-auth=true
    - --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
`,
	Run: eachProbed(etcdAnswers, evidence.Etcd),
}

func etcdAnswers(p *probedPort) {
	if tries, requests := p.answered(); len(tries) > 0 {
		p.say("client-cert-auth", tries, requests, "answers %s without a client certificate", requests)
		return
	}
	p.unheard()
}
