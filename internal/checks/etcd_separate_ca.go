package checks

import (
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// EtcdSeparateCA reports an etcd that trusts the authority of the cluster's clients
// (guide: Etcd, since 1.1).
var EtcdSeparateCA = &check.Check{
	ID:             "etcd-separate-ca",
	Title:          "etcd trusts the authority that signs the cluster's clients",
	Recommendation: "ETCD-05",
	Severity:       guide.High,
	Remedy:         "give etcd an authority of its own and have its certificates signed by that",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "whether etcd has an authority of its own",
	Doc: `Every node and many users have a certificate of the cluster's authority. If etcd trusts the
same one, each of them can read and write everything that is stored.

Looked at are the certificates in etcd's ` + "`--trusted-ca-file`" + ` and in the API server's
` + "`--client-ca-file`" + ` (or, where no API server runs beside etcd, in the kubelet's
authentication.x509.clientCAFile). They are compared by their public keys: two paths
with a copy of the same authority are no separation, and neither is a bundle that holds both.

    - --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt    # of etcd
    - --client-ca-file=/etc/kubernetes/pki/ca.crt          # of the API server
`,
	Run: eachComponent(etcdSeparateCA, evidence.Etcd),
}

func etcdSeparateCA(n *node, c *evidence.Component) {
	authorities, ok := n.authorities(c, "trusted-ca-file")
	if !ok {
		n.leaveOut()
		return
	}
	shared, known := n.sharedWith(authorities)
	if !known || len(shared) == 0 {
		return
	}
	f, _ := c.Flag("trusted-ca-file")
	var names []string
	for _, s := range shared {
		names = append(names, s.Place.File)
	}
	n.say(f.Place, flagPath(c, f.Name), f.Value, "etcd lets in whom %q signs, which is the authority of the cluster's clients (%s)", shared[0].CommonName, strings.Join(names, ", "))
}
