package checks

import (
	"path"
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// KubeletServingCertificate reports kubelets whose certificate nobody can verify (guide:
// Encryption).
var KubeletServingCertificate = &check.Check{
	ID:             "kubelet-serving-certificate",
	Title:          "kubelet signs its serving certificate itself",
	Recommendation: "ENC-02",
	Severity:       guide.Medium,
	Remedy:         "set serverTLSBootstrap to true in the kubelet's configuration, and have the requests for certificates approved",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "who signs the kubelets' serving certificates",
	Doc: `The API server sends commands and reads logs through the kubelet's port. If the kubelet's
certificate is its own work the API server cannot verify it, and whoever is between them can
answer in the kubelet's place.

Looked at are serverTLSBootstrap, by which the kubelet asks the cluster for a certificate and
renews it, and the feature gate RotateKubeletServerCertificate, which is on unless it is
switched off. Without it the certificate of tlsCertFile, or else of kubelet.crt in the
kubelet's own folder, has to be signed by an authority of clientCAFile or of the API server's
--kubelet-certificate-authority. Is it signed by somebody who is not known on the node, that is
not judged. A file has to be renewed by somebody else.

Somebody has to approve the requests: a controller that compares the names in them with the
node's, or a person.

    apiVersion: kubelet.config.k8s.io/v1beta1
    kind: KubeletConfiguration
    serverTLSBootstrap: true
`,
	Run: eachKubelet(kubeletServingCertificate),
}

const (
	serverBootstrapOption = "serverTLSBootstrap"
	servingFileOption     = "tlsCertFile"
	// ownServingFile is the certificate that a kubelet signs itself, unless flags say
	// where else its certificates are.
	ownServingFile = "/var/lib/kubelet/pki/kubelet.crt"
)

func kubeletServingCertificate(n *node, c *evidence.Component) {
	asks, at, known := setting(n, c, serverBootstrapOption, false)
	if !known {
		return
	}
	if asks {
		const gate = "featureGates.RotateKubeletServerCertificate"
		if on, at, known := setting(n, c, gate, true); known && !on {
			n.say(at, flagPath(c, gate), "false", "the kubelet asks for no serving certificate: %s is false", gate)
		}
		return
	}
	own := ownServingPath(c)
	file, _, known := setting(n, c, servingFileOption, own)
	if !known {
		return
	}
	if file == "" {
		file = own
	}
	certs := n.inFile(n.real(file))
	self := func() {
		n.say(at, flagPath(c, serverBootstrapOption), optionText(c, serverBootstrapOption), "the kubelet serves a certificate that it signed itself (%s): %s is not true", file, serverBootstrapOption)
	}
	switch made := file == own && n.madeAnew(file); {
	case made:
		self()
	case len(certs) == 0:
		n.cannot("kubelet: who signed %s is not known: %s", file, n.whyNone(file))
	case slices.ContainsFunc(n.servingAuthorities(c), func(ca *evidence.Certificate) bool { return n.signed(certs[0], ca) }):
	case n.signedWithin(certs):
		self()
	default:
		n.cannot("kubelet: whoever signed %s is not among the authorities on the node: %s", file, certs[0].Issuer)
	}
}

// ownServingPath is where a kubelet puts the certificate that it signs itself.
func ownServingPath(c *evidence.Component) string {
	if f, given := c.Flag("cert-dir"); given && f.Value != "" {
		return path.Join(f.Value, "kubelet.crt")
	}
	if f, given := c.Flag("root-dir"); given && f.Value != "" {
		return path.Join(f.Value, "pki/kubelet.crt")
	}
	return ownServingFile
}

// madeAnew reports whether a kubelet makes the file: because it is not there, or, where
// no file of the node was seen, because it is the place for what it makes.
func (n *node) madeAnew(file string) bool {
	if n.Root == "" {
		return true
	}
	saw, _ := n.Saw(evidence.TheFiles)
	f := n.Files[file]
	return len(n.inFile(n.real(file))) == 0 && (f == nil && saw || f != nil && f.Type == evidence.Missing && f.Error == "")
}

// servingAuthorities are those that a kubelet's serving certificate may be signed by.
func (n *node) servingAuthorities(c *evidence.Component) []*evidence.Certificate {
	list := n.inFile(n.real(optionText(c, clientCAOption)))
	if server := n.Component(evidence.APIServer); server != nil {
		if f, given := server.Flag("kubelet-certificate-authority"); given {
			if file, mounted := server.HostPath(f.Value); mounted {
				list = slices.Concat(list, n.inFile(n.real(file)))
			}
		}
	}
	return list
}

// signedWithin reports whether nobody but the certificates of a file themselves vouches
// for the first of them.
func (n *node) signedWithin(certs []*evidence.Certificate) bool {
	return slices.ContainsFunc(certs, func(c *evidence.Certificate) bool {
		return slices.Contains(c.SignedBy, c.SHA256) && (c == certs[0] || n.signed(certs[0], c))
	})
}
