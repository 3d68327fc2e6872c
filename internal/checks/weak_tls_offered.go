package checks

import (
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// WeakTLSOffered reports ports that really agree to old versions of TLS or to weak cipher
// suites (guide: Encryption).
var WeakTLSOffered = &check.Check{
	ID:             "weak-tls-offered",
	Title:          "a component agrees to old or weak TLS",
	Recommendation: "ENC-01",
	Severity:       guide.High,
	Remedy:         "set tls-min-version to VersionTLS12 or VersionTLS13, and leave tls-cipher-suites to its default",
	Needs:          []evidence.Fact{evidence.Nodes, evidence.Namespaces},
	Probe:          "which TLS the components agree to",
	Doc: `TLS 1.0 and 1.1 have known faults and are no longer allowed in most places. So do cipher
suites with RC4, 3DES or CBC with SHA-256, and those that exchange keys by RSA: who records
a connection and later gets the server's key can read it.

Looked at is what each component really agreed to: one handshake for each version of TLS,
and one for each weak suite. Suites of TLS 1.3 are all sound. What flags say is another
rule's matter.

    - --tls-min-version=VersionTLS12
`,
	Run: eachProbed(weakTLSOffered),
}

func weakTLSOffered(p *probedPort) {
	tls := p.which(func(t *evidence.Probed) bool { return t.TLS })
	if len(tls) == 0 {
		p.open = true // there is no TLS to judge
		return
	}
	for _, version := range []string{"TLS 1.0", "TLS 1.1"} {
		if tries := p.which(func(t *evidence.Probed) bool { return slices.Contains(t.Versions, version) }); len(tries) > 0 {
			p.say(version, tries, version, "agrees to %s", version)
		}
	}
	if tries := p.which(func(t *evidence.Probed) bool { return len(t.Ciphers) > 0 }); len(tries) > 0 {
		suites := strings.Join(tries[0].Ciphers, ", ")
		problem := p.say("ciphers", tries, suites, "agrees to weak cipher suites: %s", suites)
		problem.Severity, problem.SeverityReason = guide.Medium, "a client that offers better ones does not get them"
	}
	if tries := p.which(func(t *evidence.Probed) bool { return t.TLS && t.Error != "" }); len(tries) > 0 {
		p.cannot(tries, "which TLS it agrees to is not wholly known: %s", tries[0].Error)
	}
}
