package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// EtcdClientAuth reports an etcd that demands no client certificate (guide: Etcd).
var EtcdClientAuth = &check.Check{
	ID:             "etcd-client-auth",
	Title:          "etcd does not demand client certificates",
	Recommendation: "ETCD-03",
	Severity:       guide.Critical,
	Remedy:         "give etcd --client-cert-auth=true and --trusted-ca-file",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "whether etcd demands client certificates",
	Doc: `Whoever may write to etcd rules the cluster, past all of the API server's rules. Only the
API server should be able to.

Looked at are the flags in force: ` + "`--client-cert-auth`" + ` must be true and ` + "`--trusted-ca-file`" + ` name
the authority; without one, every authority that the system trusts would do. Where only the
authority is named, etcd demands certificates all the same, and the finding is lower.

    - --client-cert-auth=true
    - --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
`,
	Run: eachComponent(etcdClientAuth, evidence.Etcd),
}

func etcdClientAuth(n *node, c *evidence.Component) {
	n.asks(c, "client-cert-auth", "trusted-ca-file", "clients")
}
