package checks

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// CertificateNames reports serving certificates that lack a name or address by which
// clients reach the server (guide: Encryption).
var CertificateNames = &check.Check{
	ID:             "certificate-names",
	Title:          "serving certificate lacks a name it is reached by",
	Recommendation: "ENC-03",
	Severity:       guide.Medium,
	Remedy:         "make the certificate anew with the name or address among its subject alternative names",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "whether the certificates have the names that they are reached by",
	Doc: `Who reaches a server by a name that its certificate does not have is refused, and the way out that
is taken in need is not to verify at all.

Looked at are the names and addresses in the API server's certificate, which must cover
kubernetes.default.svc, the first address of --service-cluster-ip-range, --advertise-address and the
servers that the kubeconfigs of the components and kubeadm's admin.conf name; in etcd's, which must cover
--advertise-client-urls; and in etcd's for peers, with --initial-advertise-peer-urls. Where the API
server has further certificates by name (--tls-sni-cert-key), it is not judged.

    openssl x509 -noout -ext subjectAltName -in /etc/kubernetes/pki/apiserver.crt
`,
	Run: eachComponent(certificateNames, evidence.APIServer, evidence.Etcd),
}

func certificateNames(n *node, c *evidence.Component) {
	n.sees(evidence.TheFiles)
	if c.Name == evidence.Etcd {
		n.covers(c, "cert-file", n.hostsOf(c, "advertise-client-urls"))
		n.covers(c, "peer-cert-file", n.hostsOf(c, "initial-advertise-peer-urls"))
		return
	}
	if _, several := c.Flag("tls-sni-cert-key"); several {
		n.leaveOut()
		return
	}
	n.covers(c, "tls-cert-file", n.apiServerNames(c))
}

// A name is how a server is reached, and who does.
type name struct{ host, by string }

func (n *node) apiServerNames(c *evidence.Component) []name {
	names := []name{{"kubernetes.default.svc", "pods"}}
	if f, given := c.Flag("advertise-address"); given {
		names = append(names, name{f.Value, "--advertise-address"})
	}
	if f, given := c.Flag("service-cluster-ip-range"); given {
		for one := range strings.SplitSeq(f.Value, ",") {
			if prefix, err := netip.ParsePrefix(strings.TrimSpace(one)); err == nil {
				names = append(names, name{prefix.Masked().Addr().Next().String(), "pods"})
				break // the API server has an address of the first range only
			}
		}
	}
	ofCluster := n.clusterKubeconfigs()
	for _, k := range n.Kubeconfigs {
		if !ofCluster[k.Path] {
			continue
		}
		for _, cluster := range k.Clusters {
			if u, err := url.Parse(cluster.Server); err == nil && u.Hostname() != "" {
				names = append(names, name{u.Hostname(), k.Path})
			}
		}
	}
	return names
}

// hostsOf are the hosts of the URLs in a flag.
func (n *node) hostsOf(c *evidence.Component, flag string) (names []name) {
	f, _ := c.Flag(flag)
	for one := range strings.SplitSeq(f.Value, ",") {
		if u, err := url.Parse(strings.TrimSpace(one)); err == nil && u.Hostname() != "" {
			names = append(names, name{u.Hostname(), "--" + flag})
		}
	}
	return names
}

// covers judges whether the certificate that a flag names has all names.
func (n *node) covers(c *evidence.Component, flag string, names []name) {
	file, _, ok := n.hostFile(c, flag)
	if !ok {
		return
	}
	certs, ok := n.bundle(file)
	if !ok {
		return
	}
	var missing []string
	for _, one := range names {
		said := fmt.Sprintf("%s (%s)", one.host, one.by)
		if !hasName(certs[0], one.host) && !slices.ContainsFunc(missing, func(m string) bool { return strings.HasPrefix(m, one.host+" ") }) {
			missing = append(missing, said)
		}
	}
	if len(missing) > 0 {
		n.say(certs[0].Place, filePath(file, "names"), "", "the certificate %q of %s lacks %s", certs[0].CommonName, c.Name, strings.Join(missing, ", "))
	}
}

// hasName reports whether a certificate is for a host.
func hasName(c *evidence.Certificate, host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return slices.ContainsFunc(c.Addresses, func(a netip.Addr) bool { return a.Unmap() == addr.Unmap() })
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return slices.ContainsFunc(c.DNSNames, func(pattern string) bool {
		pattern = strings.ToLower(pattern)
		if rest, wild := strings.CutPrefix(pattern, "*."); wild {
			_, parent, _ := strings.Cut(host, ".")
			return parent == rest
		}
		return pattern == host
	})
}
