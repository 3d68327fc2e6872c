package checks

import (
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// TLSCipherSuites reports components that offer weak cipher suites (guide: Encryption).
var TLSCipherSuites = &check.Check{
	ID:             "tls-cipher-suites",
	Title:          "component offers weak cipher suites",
	Recommendation: "ENC-01",
	Severity:       guide.Medium,
	Remedy:         "leave only suites with ECDHE and GCM or ChaCha20 in the list",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "which cipher suites the components offer",
	Doc: `In TLS 1.2 the cipher suite decides how good the encryption is. Weak are those with RC4
and 3DES, those in which the key is exchanged by RSA alone, so that whoever gets the
server's key later reads what was recorded, and those with CBC and SHA-256, whose
padding Go does not check in constant time.

Looked at are the lists of API server, controller manager, cloud controller manager,
scheduler (tls-cipher-suites), etcd (cipher-suites) and kubelet (tlsCipherSuites). With
TLS 1.3 as the least version they do not count. Without a list the components of
Kubernetes offer what Go does, by the release of Go that theirs was made for: up to
1.29 RSA key exchange and 3DES, in 1.30 and 1.31 3DES, from 1.32 on nothing weak; such
a default is a low finding.

` + "```yaml" + `
# KubeletConfiguration
tlsCipherSuites:
  - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
  - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
` + "```",
	Run: eachOrNone(tlsCipherSuites, evidence.CloudControllerManager,
		evidence.APIServer, evidence.ControllerManager, evidence.Scheduler, evidence.Etcd, evidence.Kubelet),
}

func tlsCipherSuites(n *node, c *evidence.Component) {
	least, _, _, known := n.minTLS(c)
	if !known || least == "VersionTLS13" || least == "TLS1.3" {
		return
	}
	suites, name, known := n.suites(c)
	if !known {
		return
	}
	for _, s := range suites {
		if isWeakSuite(s.value) {
			n.say(s.at, flagPath(c, name).Field(s.value), s.value, "%s offers the cipher suite %s: %s", c.Name, s.value, whyWeak(s.value))
		}
	}
	weak := defaultWeakness(n.runs(c))
	if len(suites) > 0 || weak == "" || c.Name == evidence.Etcd {
		return
	}
	p := n.say(c.Place, flagPath(c, name), "", "%s offers cipher suites with %s, as %s does by default", c.Name, weak, n.runs(c))
	p.Severity, p.SeverityReason = guide.Low, "clients of today choose a better one"
}

// suites are the cipher suites that a component is set to, none for its default, and
// the name of the setting.
func (n *node) suites(c *evidence.Component) (list []element, name string, known bool) {
	name = "tls-cipher-suites"
	switch c.Name {
	case evidence.Etcd:
		name = "cipher-suites"
	case evidence.Kubelet:
		name = "tlsCipherSuites"
		var values []string
		at, known := n.option(c, name, &values)
		for _, v := range values {
			list = append(list, element{v, at})
		}
		return list, name, known
	}
	list, known = n.elements(c, name)
	return slices.DeleteFunc(list, func(e element) bool { return e.value == "" }), name, known
}

// isWeakSuite reports whether Go's crypto/tls lists a cipher suite as insecure.
func isWeakSuite(name string) bool { return whyWeak(name) != "" }

func whyWeak(name string) string {
	switch {
	case strings.Contains(name, "_RC4_"):
		return "RC4 is broken"
	case strings.Contains(name, "_3DES_"):
		return "3DES has blocks of 64 bits"
	case strings.HasPrefix(name, "TLS_RSA_WITH_"):
		return "whoever gets the server's key reads what was recorded"
	case strings.HasSuffix(name, "_CBC_SHA256"):
		return "its padding can be guessed from timing"
	}
	return ""
}

// defaultWeakness is what is weak about the suites that a release offers by itself.
func defaultWeakness(v evidence.Version) string {
	switch {
	case v.AtLeast(32):
		return ""
	case v.AtLeast(30):
		return "3DES"
	}
	return "3DES and RSA key exchange"
}
