package checks

import (
	"fmt"
	"time"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// CertificateValidity reports certificates that have expired or soon will (guide:
// Encryption).
var CertificateValidity = &check.Check{
	ID:             "certificate-validity",
	Title:          "certificate has expired or soon will",
	Recommendation: "ENC-03",
	Severity:       guide.High,
	Remedy:         "renew the certificate (kubeadm certs renew) and restart who presents it",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "how long the certificates are valid",
	Doc: `When a certificate of the control plane expires, the cluster stands still, and in the haste
verification gets switched off.

Looked at are all certificates of the node among the files of Kubernetes and in kubeconfigs, at
the time at which the node was read. What has expired, or is not valid yet, is a finding, and
so is what expires within 30 days, within 7 days the more so. A certificate with a shorter life
has until the last tenth of it, for those are renewed by themselves. What a kubelet has
left behind after a renewal does not count.

    kubeadm certs check-expiration
    kubeadm certs renew all
`,
	Run: eachHost(certificateValidity),
}

const oneDay = 24 * time.Hour

func certificateValidity(n *node) {
	n.sees(evidence.TheFiles)
	n.unreadCertificates()
	list := n.certificates()
	for _, c := range list {
		if c.Error == "" && !n.otherCertificate(c) {
			n.validity(c)
		}
	}
	if len(list) == 0 {
		n.leaveOut()
	}
}

// otherCertificate reports whether a certificate is in a file that is looked at by the
// name that its link leads to, too.
func (n *node) otherCertificate(c *evidence.Certificate) bool {
	return n.otherName(c.Place.File) && !rotated.MatchString(n.real(c.Place.File))
}

func (n *node) validity(c *evidence.Certificate) {
	left, life := c.NotAfter.Sub(n.ReadAt), c.NotAfter.Sub(c.NotBefore)
	path := filePath(c.Place.File, "validity")
	until := c.NotAfter.UTC().Format(time.RFC3339)
	switch {
	case left <= 0:
		n.say(c.Place, path, until, "the certificate %q expired %s ago", c.CommonName, days(-left))
	case c.NotBefore.After(n.ReadAt):
		n.say(c.Place, path, c.NotBefore.UTC().Format(time.RFC3339), "the certificate %q is not valid yet: it will be in %s", c.CommonName, days(c.NotBefore.Sub(n.ReadAt)))
	case left < min(30*oneDay, life/10):
		p := n.say(c.Place, path, until, "the certificate %q expires in %s", c.CommonName, days(left))
		if left >= 7*oneDay {
			p.Severity, p.SeverityReason = guide.Medium, "there is more than a week left"
		}
	}
}

// days writes a duration for people.
func days(d time.Duration) string {
	switch n := int(d / oneDay); n {
	case 0:
		return "less than a day"
	case 1:
		return "1 day"
	default:
		return fmt.Sprintf("%d days", n)
	}
}
