package checks

import (
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// CertificateStrength reports certificates and keys that can be forged (guide:
// Encryption).
var CertificateStrength = &check.Check{
	ID:             "certificate-strength",
	Title:          "certificate has a weak key or signature",
	Recommendation: "ENC-03",
	Severity:       guide.High,
	Remedy:         "make the certificate anew with RSA of 2048 bits or more, ECDSA of 256 or Ed25519, signed with SHA-256",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "how strong the certificates' keys are",
	Doc: `A short key can be computed from its certificate, and a certificate signed by way of SHA-1 or MD5
can be given to somebody else.

Looked at are all certificates and private keys of the node among the files of Kubernetes, and
the certificates in kubeconfigs: RSA needs 2048 bits, ECDSA 224, DSA is out. The signature of
an authority on itself proves nothing and does not count.

    openssl x509 -noout -text -in /etc/kubernetes/pki/apiserver.crt
`,
	Run: eachHost(certificateStrength),
}

func certificateStrength(n *node) {
	n.sees(evidence.TheFiles)
	n.unreadCertificates()
	list := n.certificates()
	certified := map[string]bool{}
	for _, c := range list {
		if c.Error != "" || n.otherCertificate(c) {
			continue
		}
		certified[c.PublicKey] = true
		if why := weakKey(c.KeyType, c.KeyBits); why != "" {
			n.say(c.Place, filePath(c.Place.File, "key"), why, "the certificate %q has a weak key: %s", c.CommonName, why)
		}
		if c.Subject != c.Issuer && weakSignature(c.Signature) {
			n.say(c.Place, filePath(c.Place.File, "signature"), c.Signature, "the certificate %q has a weak signature: %s", c.CommonName, c.Signature)
		}
	}
	for _, k := range n.Keys {
		if why := weakKey(k.KeyType, k.KeyBits); why != "" && !certified[k.PublicKey] && !n.otherName(k.Place.File) {
			n.say(k.Place, filePath(k.Place.File, "key"), why, "the private key %s is weak: %s", k.Place.File, why)
		}
	}
	if len(list)+len(n.Keys) == 0 {
		n.leaveOut()
	}
}

// weakKey names a key that is weak, "" for a good one or one that is not known.
func weakKey(kind string, bits int) string {
	least := map[string]int{"RSA": 2048, "ECDSA": 224}[kind]
	switch {
	case kind == "DSA":
		return "DSA"
	case bits > 0 && bits < least:
		return kind + " of " + strconv.Itoa(bits) + " bits"
	}
	return ""
}

func weakSignature(algorithm string) bool {
	a := strings.ToUpper(strings.ReplaceAll(algorithm, "-", ""))
	return strings.Contains(a, "SHA1") || strings.Contains(a, "MD5") || strings.Contains(a, "MD2")
}
