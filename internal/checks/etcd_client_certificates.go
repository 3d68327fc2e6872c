package checks

import (
	"fmt"
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// EtcdClientCertificates reports certificates that open etcd and belong to nobody who
// needs it, and keys of such certificates that others can read (guide: Etcd).
var EtcdClientCertificates = &check.Check{
	ID:             "etcd-client-certificates",
	Title:          "certificate opens etcd for others than the API server",
	Recommendation: "ETCD-03",
	Severity:       guide.Critical,
	Remedy:         "remove the certificate with its key, and if it may have been copied, replace etcd's authority",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "which certificates open etcd",
	Leaves:         check.Rest{What: "which certificates etcd's authority has signed that are not on the nodes", To: []guide.Evidence{guide.Attestation}},
	Doc: `etcd lets everybody in who has a client certificate of the authority that it trusts, and knows
no smaller rights unless its own users are set up. So every such certificate must be
accounted for.

Looked at are all certificates of the node that an authority in etcd's ` + "`--trusted-ca-file`" + ` has
signed and that clients may use. Accounted for are those that the API server presents
(` + "`--etcd-certfile`" + `), etcd's own (` + "`--cert-file`, `--peer-cert-file`" + `) and those that kubeadm makes
for them and for health checks. Everything else is a finding. The keys of all of them must be
readable by root, or etcd's user, alone. Where etcd shares its authority with the clients of
the API server, every certificate of the cluster opens it: then etcd-separate-ca speaks.

    rm /etc/kubernetes/pki/etcd/old-client.crt /etc/kubernetes/pki/etcd/old-client.key
`,
	Run: eachComponent(etcdClientCertificates, evidence.Etcd),
}

func etcdClientCertificates(n *node, c *evidence.Component) {
	n.sees(evidence.TheFiles)
	authorities, ok := n.authorities(c, "trusted-ca-file")
	if !ok {
		n.leaveOut() // etcd-client-auth says so
		return
	}
	if shared, _ := n.sharedWith(authorities); len(shared) > 0 {
		n.cannot("etcd lets in every client of the cluster, as they have one authority (ETCD-05): whose certificates are meant for it, they do not tell")
		return
	}
	n.unreadCertificates()
	known := n.etcdUsers()
	for _, cert := range n.clientsOf(authorities) {
		if !known[cert.Place.File] && !kubeadms(cert) {
			n.say(cert.Place, filePath(cert.Place.File, "certificate"), "", "the certificate %q in %s opens etcd, and belongs neither to the API server nor to etcd", cert.CommonName, cert.Place.File)
		}
		for _, k := range n.Keys {
			if k.PublicKey == cert.PublicKey && k.PublicKey != "" && !k.Encrypted && !n.otherName(k.Place.File) {
				n.readableKey(k, fmt.Sprintf(" of %q, which opens etcd,", cert.CommonName))
			}
		}
	}
}

// etcdClients are the certificates of the node that etcd lets in, where it trusts an
// authority of its own.
func (n *node) etcdClients() []*evidence.Certificate {
	c := n.Component(evidence.Etcd)
	if c == nil {
		return nil
	}
	quiet := &node{Run: &check.Run{Scan: n.Scan}, Host: n.Host}
	authorities, ok := quiet.authorities(c, "trusted-ca-file")
	if !ok {
		return nil
	}
	if shared, _ := quiet.sharedWith(authorities); len(shared) > 0 {
		return nil
	}
	return quiet.clientsOf(authorities)
}

// clientsOf are the certificates for clients that authorities have signed, those of
// links left out whose target is looked at as well.
func (n *node) clientsOf(authorities []*evidence.Certificate) (list []*evidence.Certificate) {
	for _, cert := range n.certificates() {
		if cert.IsCA || cert.Server && !cert.Client || n.otherName(cert.Place.File) {
			continue
		}
		if slices.ContainsFunc(authorities, func(ca *evidence.Certificate) bool { return n.signed(cert, ca) }) {
			list = append(list, cert)
		}
	}
	return list
}

// etcdUsers are the files of the certificates that the API server and etcd present.
func (n *node) etcdUsers() map[string]bool {
	files := map[string]bool{}
	for component, flags := range map[string][]string{
		evidence.Etcd:      {"cert-file", "peer-cert-file"},
		evidence.APIServer: {"etcd-certfile"},
	} {
		c := n.Component(component)
		if c == nil {
			continue
		}
		for _, flag := range flags {
			f, _ := c.Flag(flag)
			if file, ok := c.HostPath(f.Value); ok && f.Value != "" {
				files[n.real(file)] = true
			}
		}
	}
	return files
}

// kubeadms reports whether a certificate is one that kubeadm makes for etcd and its
// clients, whoever presents it.
func kubeadms(cert *evidence.Certificate) bool {
	switch cert.Place.File {
	case "/etc/kubernetes/pki/etcd/server.crt", "/etc/kubernetes/pki/etcd/peer.crt":
		return true
	case "/etc/kubernetes/pki/etcd/healthcheck-client.crt":
		return cert.CommonName == "kube-etcd-healthcheck-client"
	case "/etc/kubernetes/pki/apiserver-etcd-client.crt":
		return cert.CommonName == "kube-apiserver-etcd-client"
	}
	return false
}
