package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// FrontProxyCA reports API servers that take the holders of ordinary client
// certificates for the front proxy, which says who the user is (guide: Control plane
// hardening).
var FrontProxyCA = &check.Check{
	ID:             "front-proxy-ca",
	Title:          "client certificates pass as the front proxy's",
	Recommendation: "CP-06",
	Severity:       guide.Critical,
	Remedy:         "give the front proxy an authority of its own (--requestheader-client-ca-file), and name its certificates in --requestheader-allowed-names",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "whose word about users the API server takes",
	Doc: `Whoever presents a certificate of the front proxy's authority tells the API server in
headers which user and groups a request is from. If that authority is the one that
signs client certificates, too, each holder of such a certificate, every node among
them, can call itself a member of system:masters. Newer API servers refuse to start so.

Looked at is whether the files of requestheader-client-ca-file and client-ca-file are
the same or hold the same certificate, and whether requestheader-allowed-names limits
whom to believe. With names, but one authority for both, the problem ranks low: it then
takes one signing request for such a name.

` + "```yaml" + `
command:
  - kube-apiserver
  - --client-ca-file=/etc/kubernetes/pki/ca.crt
  - --requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt
  - --requestheader-allowed-names=front-proxy-client
` + "```",
	Run: eachComponent(frontProxyCA, evidence.APIServer),
}

func frontProxyCA(n *node, c *evidence.Component) {
	proxy, given, _ := n.given(c, "requestheader-client-ca-file")
	if !given {
		return
	}
	clients, given, _ := n.given(c, "client-ca-file")
	if !given {
		return
	}
	same, known := n.sameAuthority(c, proxy.Value, clients.Value)
	if !known || !same {
		return
	}
	names, known := n.elements(c, "requestheader-allowed-names")
	if !known {
		return
	}
	p := n.say(proxy.Place, flagPath(c, proxy.Name), proxy.Value, "one authority signs client certificates and the front proxy's (%s): every holder of one can act as any user", clients.Value)
	if len(names) > 1 || len(names) == 1 && names[0].value != "" {
		p.Message = "one authority signs client certificates and the front proxy's (" + clients.Value + "): a certificate for an allowed name makes its holder any user"
		p.Severity, p.SeverityReason = guide.Low, "only the names in --requestheader-allowed-names are believed"
	}
}

// sameAuthority reports whether two files of a component hold a certificate in common.
func (n *node) sameAuthority(c *evidence.Component, one, other string) (same, known bool) {
	one, _ = c.HostPath(one)
	other, _ = c.HostPath(other)
	if one == other {
		return one != "", one != ""
	}
	prints := map[string]bool{}
	seen := 0
	for _, cert := range n.Certificates {
		if cert.Place.File == one && cert.Error == "" {
			prints[cert.SHA256] = true
		}
	}
	for _, cert := range n.Certificates {
		if cert.Place.File == other && cert.Error == "" {
			seen++
			same = same || prints[cert.SHA256]
		}
	}
	if len(prints) == 0 || seen == 0 {
		n.cannot("%s: whether the front proxy has an authority of its own is not known: %s and %s were not both read", c.Name, one, other)
		return false, false
	}
	return same, true
}
