package checks

import (
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// CertificateIssuer reports certificates that are not signed by the authority that
// those verify them with to whom they are presented (guide: Encryption).
var CertificateIssuer = &check.Check{
	ID:             "certificate-issuer",
	Title:          "certificate is not signed by the authority in use",
	Recommendation: "ENC-03",
	Severity:       guide.High,
	Remedy:         "have the certificate signed by the authority in use, or add its authority where it is verified",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "whether the right authorities signed the certificates",
	Doc: `A certificate of the wrong authority is refused, and the way out that is taken in need is not to
verify at all. It may also be the trace of somebody who put in an authority of his own.

Compared are, as far as both sides are on the node, what a component presents and the authorities
of who verifies it: the API server's certificate and the controller manager's --root-ca-file, its
client certificates and those of the kubelet, of etcd and of --requestheader-client-ca-file,
etcd's certificate and the API server's --etcd-cafile, etcd's peers among each other, and the client
certificates in the kubeconfigs of the components and --client-ca-file. Signatures are verified,
authorities in between may lie in any file that was read.

    openssl verify -CAfile /etc/kubernetes/pki/ca.crt /etc/kubernetes/pki/apiserver.crt
`,
	Run: eachHost(certificateIssuer),
}

// A trust is a certificate by the flag that names it, and where the authorities are
// named that it is verified with.
type trust struct {
	component, cert string
	verifier, by    string
	what, whose     string
}

func trusts() []trust {
	return []trust{
		{evidence.APIServer, "tls-cert-file", evidence.ControllerManager, "root-ca-file", "the API server's certificate", "what pods verify it with"},
		{evidence.APIServer, "etcd-certfile", evidence.Etcd, "trusted-ca-file", "the API server's certificate for etcd", "what etcd trusts"},
		{evidence.APIServer, "proxy-client-cert-file", evidence.APIServer, "requestheader-client-ca-file", "the API server's certificate for extension servers", "what they verify it with"},
		{evidence.Etcd, "cert-file", evidence.APIServer, "etcd-cafile", "etcd's certificate", "what the API server verifies it with"},
		{evidence.Etcd, "peer-cert-file", evidence.Etcd, "peer-trusted-ca-file", "etcd's certificate for peers", "what peers trust"},
	}
}

func certificateIssuer(n *node) {
	n.sees(evidence.TheFiles)
	n.unreadCertificates()
	any := false
	for _, t := range trusts() {
		presents, verifies := n.Component(t.component), n.Component(t.verifier)
		if presents == nil || verifies == nil {
			continue
		}
		cert, _, ok := n.hostFile(presents, t.cert)
		if !ok {
			continue
		}
		authority, _, ok := n.hostFile(verifies, t.by)
		if !ok {
			continue
		}
		any = true
		n.issuedBy(t.what, cert, t.whose, authority)
	}
	any = n.kubeletTrust() || any
	any = n.kubeconfigTrust() || any
	if !any {
		n.leaveOut()
	}
}

// kubeletTrust judges the certificate that the API server presents to kubelets.
func (n *node) kubeletTrust() bool {
	c, authority := n.Component(evidence.APIServer), n.kubeletClientCA()
	if c == nil || authority == "" {
		return false
	}
	cert, _, ok := n.hostFile(c, "kubelet-client-certificate")
	if ok {
		n.issuedBy("the API server's certificate for kubelets", cert, "what the kubelet trusts", authority)
	}
	return ok
}

// kubeconfigTrust judges the certificates by which components authenticate to the API
// server.
func (n *node) kubeconfigTrust() (any bool) {
	authorities, known := n.clientAuthorities()
	if !known {
		return true
	}
	ofCluster := n.clusterKubeconfigs()
	for _, k := range n.Kubeconfigs {
		if !ofCluster[k.Path] {
			continue
		}
		for _, u := range k.Users {
			switch {
			case u.Certificate != nil && u.Certificate.Error == "":
				any = true
				n.issued("the certificate of "+u.Name, u.Certificate, "what the API server trusts", authorities)
			case u.CertificateFile != "":
				any = true
				if certs, ok := n.bundle(u.CertificateFile); ok {
					n.issued("the certificate of "+u.Name, certs[0], "what the API server trusts", authorities)
				}
			}
		}
	}
	return any
}

// issuedBy judges whether an authority in a file signed the certificate in another one.
func (n *node) issuedBy(what, certFile, whose, authority string) {
	certs, ok := n.bundle(certFile)
	if !ok {
		return
	}
	if authorities, ok := n.bundle(authority); ok {
		n.issued(what, certs[0], whose, authorities)
	}
}

func (n *node) issued(what string, cert *evidence.Certificate, whose string, authorities []*evidence.Certificate) {
	if !slices.ContainsFunc(authorities, func(ca *evidence.Certificate) bool { return n.signed(cert, ca) }) {
		n.say(cert.Place, filePath(cert.Place.File, "issuer"), cert.Issuer, "%s %q is not signed by %s (%s)", what, cert.CommonName, whose, authorities[0].Place.File)
	}
}
