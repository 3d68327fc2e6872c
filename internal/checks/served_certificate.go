package checks

import (
	"time"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ServedCertificate reports certificates that ports really serve and that have expired
// or soon will (guide: Encryption).
var ServedCertificate = &check.Check{
	ID:             "served-certificate",
	Title:          "a component serves a certificate that expires",
	Recommendation: "ENC-03",
	Severity:       guide.High,
	Remedy:         "renew the certificate, and have the component load it",
	Needs:          []evidence.Fact{evidence.Nodes, evidence.Namespaces},
	Probe:          "which certificates the components serve",
	Doc: `A component whose certificate expires is cut off from the others at that moment, and people
then tend to switch verification off to get it going again. A component that was not
started anew may still serve an old certificate when the file holds a new one.

Looked at is the chain that each port really served: a certificate in it has expired, is
not valid yet, or has less than 30 days left, or less than the last tenth of a shorter life,
counted from when it was served.

    kubeadm certs renew all
`,
	Run: eachProbed(servedCertificate),
}

func servedCertificate(p *probedPort) {
	p.open = true
	said := map[string]bool{}
	for _, t := range p.tries {
		for i, c := range t.Chain {
			if c.Error != "" {
				p.cannot([]*evidence.Probed{t}, "a certificate that it serves is not understood: %s", c.Error)
				continue
			}
			p.open = false
			what := "certificate"
			if i > 0 {
				what = "issuer " + c.CommonName
			}
			if said[what] {
				continue
			}
			fault, soon := expiry(c, t.At)
			if fault == "" {
				continue
			}
			said[what] = true
			problem := p.say(what, []*evidence.Probed{t}, c.NotAfter.Format(time.DateOnly), "serves a certificate of %q that %s", c.CommonName, fault)
			if soon {
				problem.Severity, problem.SeverityReason = guide.Medium, "there is more than a week left"
			}
		}
	}
}

// expiry says what is wrong with a certificate's time at another, "" for nothing. What
// is near its end is judged as in a file.
func expiry(c *evidence.Certificate, now time.Time) (fault string, soon bool) {
	left, life := c.NotAfter.Sub(now), c.NotAfter.Sub(c.NotBefore)
	switch {
	case now.IsZero():
		return "", false
	case left <= 0:
		return "expired on " + c.NotAfter.Format(time.DateOnly), false
	case now.Before(c.NotBefore):
		return "is not valid before " + c.NotBefore.Format(time.DateOnly), false
	case left < min(30*oneDay, life/10):
		return "expires on " + c.NotAfter.Format(time.DateOnly), left >= 7*oneDay
	}
	return "", false
}
