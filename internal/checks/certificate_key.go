package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// CertificateKey reports certificates that components are set up with and that are not
// there, or whose key belongs to another one (guide: Encryption).
var CertificateKey = &check.Check{
	ID:             "certificate-key",
	Title:          "certificate is missing or its key is another's",
	Recommendation: "ENC-03",
	Severity:       guide.High,
	Remedy:         "put the certificate and the key that belong together at the places that the flags name",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "whether certificates and keys are in place",
	Doc: `A component whose certificate is missing, or whose key does not belong to it, does not start
again, or makes itself a certificate that nobody can verify.

Looked at are the certificates and keys that the flags of the API server, the controller manager,
the scheduler, etcd and the kubelet name, and those that kubeconfigs name: the files must be
there, and certificate and key have the same public key. A key that could not be read is
not judged.

    openssl x509 -noout -pubkey -in apiserver.crt
    openssl pkey -pubout -in apiserver.key
`,
	Run: eachHost(certificateKey),
}

func certificateKey(n *node) {
	n.sees(evidence.TheFiles)
	any := false
	for _, p := range presentations() {
		c := n.Component(p.component)
		if c == nil {
			continue
		}
		cert, place, ok := n.hostFile(c, p.cert)
		if !ok {
			continue
		}
		key, _, ok := n.hostFile(c, p.key)
		if !ok {
			continue
		}
		any = true
		n.belong(p.what, flagPath(c, p.cert), place, cert, key)
	}
	for _, k := range n.Kubeconfigs {
		for _, u := range k.Users {
			if u.CertificateFile != "" && u.KeyFile != "" {
				any = true
				n.belong("the certificate of "+u.Name, filePath(k.Path, "users"), u.Place, u.CertificateFile, u.KeyFile)
			}
		}
	}
	if !any {
		n.leaveOut()
	}
}

// belong judges whether a certificate and a key are there and belong together.
func (n *node) belong(what string, path evidence.Path, place evidence.Position, certFile, keyFile string) {
	for _, file := range []string{certFile, keyFile} {
		if f := n.Files[file]; f != nil && f.Type == evidence.Missing {
			n.say(place, path, file, "%s is not in place: there is no %s", what, file)
			return
		}
	}
	certs, ok := n.bundle(certFile)
	if !ok {
		return
	}
	var key *evidence.PrivateKey
	for _, k := range n.Keys {
		if k.Place.File == keyFile && k.PublicKey != "" {
			key = k
		}
	}
	switch {
	case key == nil:
		n.cannot("%s: whether it belongs to its certificate is not known", keyFile)
	case key.PublicKey != certs[0].PublicKey:
		n.say(place, path, certFile, "%s: the key in %s does not belong to the certificate in %s", what, keyFile, certFile)
	}
}
