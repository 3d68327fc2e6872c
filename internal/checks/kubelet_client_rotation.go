package checks

import (
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// KubeletClientRotation reports kubelets that keep the certificate by which the API
// server knows them until it runs out (guide: Encryption).
var KubeletClientRotation = &check.Check{
	ID:             "kubelet-client-rotation",
	Title:          "kubelet does not rotate its client certificate",
	Recommendation: "ENC-02",
	Severity:       guide.Medium,
	Remedy:         "set rotateCertificates to true in the kubelet's configuration",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "whether the kubelets rotate their certificates",
	Doc: `A kubelet proves to the API server who it is with a client certificate. Rotated, a stolen
one is soon worth nothing, and none runs out unnoticed.

Looked at is rotateCertificates of the kubelet's configuration in force; it is false unless
it is set. Kubelets without a kubeconfig, or with one that has no certificate but a token or
a program that fetches one, as on EKS, are left out; so are those of K3s and RKE2, which renew
the certificate themselves each time they start. Where only the API told of a kubelet its kubeconfig is
not known, and one that does not rotate is not judged.

    apiVersion: kubelet.config.k8s.io/v1beta1
    kind: KubeletConfiguration
    rotateCertificates: true
`,
	Run: eachKubelet(kubeletClientRotation),
}

func kubeletClientRotation(n *node, c *evidence.Component) {
	const option = "rotateCertificates"
	rotates, at, known := setting(n, c, option, false)
	if !known || rotates {
		return
	}
	if n.Distribution == evidence.K3s || n.Distribution == evidence.RKE2 {
		n.leaveOut()
		return
	}
	file, given := c.Flag("kubeconfig")
	if c.Way == evidence.FromAPI || !given && c.Unread != "" {
		n.cannot("kubelet: it does not rotate certificates; whether it has one is not known: its kubeconfig was not read")
		return
	}
	if !given || !n.mayHaveCertificate(file.Value) {
		n.leaveOut()
		return
	}
	n.say(at, flagPath(c, option), optionText(c, option), "the kubelet does not rotate its client certificate: %s is not true", option)
}

// mayHaveCertificate reports whether a user of a kubeconfig authenticates by a
// certificate, as far as that is known.
func (n *node) mayHaveCertificate(kubeconfig string) bool {
	i := slices.IndexFunc(n.Kubeconfigs, func(k *evidence.Kubeconfig) bool { return k.Path == kubeconfig })
	if i < 0 || n.Kubeconfigs[i].Error != "" || len(n.Kubeconfigs[i].Users) == 0 {
		return true
	}
	return slices.ContainsFunc(n.Kubeconfigs[i].Users, func(u evidence.KubeconfigUser) bool {
		return u.Certificate != nil || u.CertificateFile != "" || !u.Token && u.TokenFile == "" && u.Exec == ""
	})
}
