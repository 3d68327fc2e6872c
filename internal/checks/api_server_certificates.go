package checks

import (
	"path"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// APIServerCertificates reports API servers that do not prove who they are, or do not
// ask others to (guide: Control plane hardening; summary).
var APIServerCertificates = &check.Check{
	ID:             "api-server-certificates",
	Title:          "API server lacks a certificate or an authority",
	Recommendation: "CP-06",
	Severity:       guide.High,
	Remedy:         "set the flag in the API server's static Pod manifest; give kubelets serving certificates of the authority before kubelet-certificate-authority",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "whether the API server and those it talks to prove who they are",
	Doc: `TLS helps only where both sides prove who they are. The API server needs a serving
certificate that clients can verify, an authority for client certificates, a
certificate of its own towards kubelets, and the authority that signed theirs. kubeadm
leaves out the last one: kubelets there serve certificates that they signed themselves,
and whoever gets between them and the API server reads logs and takes over exec.

Looked at are the flags tls-cert-file (or the certificate in cert-dir),
client-ca-file, kubelet-client-certificate, kubelet-client-key,
kubelet-certificate-authority and, up to 1.18, kubelet-https=false. None of them has a
default that does the same. First have the kubelets ask for serving certificates
(serverTLSBootstrap) and approve them, else logs and exec stop working.

` + "```yaml" + `
command:
  - kube-apiserver
  - --kubelet-certificate-authority=/etc/kubernetes/pki/ca.crt
` + "```",
	Run: eachComponent(apiServerCertificates, evidence.APIServer),
}

func apiServerCertificates(n *node, c *evidence.Component) {
	n.servingCertificate(c)
	for _, missing := range [...]struct{ flag, why string }{
		{"client-ca-file", "it accepts no client certificates, so its clients need other credentials"},
		{"kubelet-client-certificate", "it does not prove to kubelets who it is"},
		{"kubelet-client-key", "it does not prove to kubelets who it is"},
		{"kubelet-certificate-authority", "it talks to whoever answers in place of a kubelet"},
	} {
		if f, given, known := n.given(c, missing.flag); known && !given {
			at := c.Place
			if f.Name != "" {
				at = f.Place
			}
			n.say(at, flagPath(c, missing.flag), "", "%s has no --%s: %s", c.Name, missing.flag, missing.why)
		}
	}
	if f, given := c.Flag("kubelet-https"); given && !isTrue(f.Value) && (!n.runs(c).AtLeast(19) || !tells(c)) {
		n.say(f.Place, flagPath(c, f.Name), f.Value, "%s talks to kubelets without TLS", c.Name)
	}
}

// servingCertificate judges what the API server serves with: without a file it makes
// a certificate that it signs itself.
func (n *node) servingCertificate(c *evidence.Component) {
	_, given, known := n.given(c, "tls-cert-file")
	if given || !known {
		return
	}
	if dir, given := c.Flag("cert-dir"); given {
		at, _ := c.HostPath(path.Join(dir.Value, "apiserver.crt"))
		if n.Certificate(at) != nil {
			return
		}
	}
	n.say(c.Place, flagPath(c, "tls-cert-file"), "", "%s has no --tls-cert-file: it serves a certificate that it signed itself, which nobody can verify", c.Name)
}
