package checks

import (
	"regexp"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A presented is a certificate that a component presents or signs with, by its flags.
// What signs it is in the file that flag of another component names.
type presented struct {
	component, cert, key string
	// what is it in words, for whom.
	what string
}

// presentations are the certificates that components are set up with.
func presentations() []presented {
	return []presented{
		{evidence.APIServer, "tls-cert-file", "tls-private-key-file", "the API server's certificate"},
		{evidence.APIServer, "kubelet-client-certificate", "kubelet-client-key", "the API server's certificate for kubelets"},
		{evidence.APIServer, "etcd-certfile", "etcd-keyfile", "the API server's certificate for etcd"},
		{evidence.APIServer, "proxy-client-cert-file", "proxy-client-key-file", "the API server's certificate for extension servers"},
		{evidence.ControllerManager, "tls-cert-file", "tls-private-key-file", "the controller manager's certificate"},
		{evidence.ControllerManager, "cluster-signing-cert-file", "cluster-signing-key-file", "the authority that the controller manager signs with"},
		{evidence.Scheduler, "tls-cert-file", "tls-private-key-file", "the scheduler's certificate"},
		{evidence.Etcd, "cert-file", "key-file", "etcd's certificate"},
		{evidence.Etcd, "peer-cert-file", "peer-key-file", "etcd's certificate for peers"},
		{evidence.Kubelet, "tls-cert-file", "tls-private-key-file", "the kubelet's certificate"},
	}
}

// rotated matches the certificates that a kubelet leaves behind: what it uses is at
// kubelet-client-current.pem.
var rotated = regexp.MustCompile(`/kubelet-(client|server)-\d{4}(-\d{2}){5}\.pem$`)

// certificates are all that lie on the node and are not left behind, those in
// kubeconfigs included.
func (n *node) certificates() (list []*evidence.Certificate) {
	for _, c := range n.Certificates {
		if !rotated.MatchString(c.Place.File) {
			list = append(list, c)
		}
	}
	for _, k := range n.Kubeconfigs {
		for _, u := range k.Users {
			if u.Certificate != nil {
				list = append(list, u.Certificate)
			}
		}
	}
	return list
}

// unreadCertificates records what may have a certificate or a key and could not be read.
func (n *node) unreadCertificates() {
	for _, path := range n.paths() {
		if f := n.Files[path]; f.Error != "" && !rotated.MatchString(path) && mayHold(path) {
			n.cannot("%s: %s", path, f.Error)
		}
	}
	for _, c := range n.certificates() {
		if c.Error != "" {
			n.cannot("%s: %s", c.Place.File, c.Error)
		}
	}
	for _, k := range n.Kubeconfigs {
		if k.Error != "" {
			n.cannot("%s: %s", k.Path, k.Error)
		}
	}
}

// mayHold reports whether a file by its name is one of certificates.
func mayHold(path string) bool {
	for _, end := range []string{".crt", ".pem", ".cert", ".cer", "/pki", "/ssl"} {
		if strings.HasSuffix(path, end) {
			return true
		}
	}
	return strings.Contains(path, "/pki/") || strings.Contains(path, "/tls/")
}

// real is the path of a file without links on the way.
func (n *node) real(path string) string {
	if f := n.Files[path]; f != nil && f.Link != "" {
		return f.Link
	}
	return path
}

// inFile are the certificates of one file that could be read.
func (n *node) inFile(path string) (list []*evidence.Certificate) {
	for _, c := range n.Certificates {
		if c.Place.File == path && c.Error == "" {
			list = append(list, c)
		}
	}
	return list
}

// authorities are the certificates in the file that a flag names; false when there is
// none, which is recorded when it is for want of reading.
func (n *node) authorities(c *evidence.Component, flag string) ([]*evidence.Certificate, bool) {
	file, _, ok := n.hostFile(c, flag)
	if !ok {
		return nil, false
	}
	return n.bundle(file)
}

// bundle are the certificates of a file; false, which is recorded, when there are none.
func (n *node) bundle(file string) ([]*evidence.Certificate, bool) {
	list := n.inFile(file)
	if len(list) == 0 {
		n.cannot("%s: %s", file, n.whyNone(file))
	}
	return list, len(list) > 0
}

// whyNone is why no certificate of a file is known.
func (n *node) whyNone(file string) string {
	for _, c := range n.Certificates {
		if c.Place.File == file && c.Error != "" {
			return c.Error
		}
	}
	f := n.Files[file]
	switch {
	case f != nil && f.Error != "":
		return f.Error
	case f != nil && f.Type == evidence.Missing:
		return "it is not there"
	}
	if ok, why := n.Saw(evidence.TheFiles); !ok {
		return why
	}
	return "no certificate was read from it"
}

// signed reports whether an authority signed a certificate, by itself or through
// others that are on the node.
func (n *node) signed(cert, authority *evidence.Certificate) bool {
	todo, seen := []*evidence.Certificate{cert}, map[string]bool{}
	for len(todo) > 0 {
		c := todo[0]
		todo = todo[1:]
		if c.PublicKey == authority.PublicKey && c.Subject == authority.Subject && c != cert {
			return true
		}
		for _, by := range c.SignedBy {
			if by == authority.SHA256 {
				return true
			}
			if seen[by] {
				continue
			}
			seen[by] = true
			for _, next := range n.Certificates {
				if next.SHA256 == by {
					todo = append(todo, next)
					break
				}
			}
		}
	}
	return false
}

// sharedWith returns those authorities that the API server, or else the kubelet,
// accepts clients by, as their file has them. known is false, which is recorded, when
// nobody's were read.
func (n *node) sharedWith(authorities []*evidence.Certificate) (shared []*evidence.Certificate, known bool) {
	theirs, known := n.clientAuthorities()
	for _, t := range theirs {
		if slices.ContainsFunc(authorities, func(a *evidence.Certificate) bool { return a.PublicKey == t.PublicKey }) {
			shared = append(shared, t)
		}
	}
	return shared, known
}

// clientAuthorities are the authorities of the cluster's clients: those of the API
// server, and on a node without one the kubelet's. False, which is recorded, when they
// are not known.
func (n *node) clientAuthorities() ([]*evidence.Certificate, bool) {
	if c := n.Component(evidence.APIServer); c != nil {
		if list, ok := n.authorities(c, "client-ca-file"); ok {
			return list, true
		}
		if _, given := c.Flag("client-ca-file"); given || c.Unread != "" {
			return nil, false
		}
	}
	if file := n.kubeletClientCA(); file != "" {
		return n.bundle(file)
	}
	n.cannot("the authority of the cluster's clients is not known: neither an API server's nor a kubelet's was read")
	return nil, false
}

// kubeletClientCA is the file with the authorities that the kubelet accepts clients by,
// "" when that is not known.
func (n *node) kubeletClientCA() string {
	c := n.Component(evidence.Kubelet)
	if c == nil {
		return ""
	}
	return optionText(c, "authentication.x509.clientCAFile")
}

// optionText is the text that a field of a component's configuration has, "" for none.
func optionText(c *evidence.Component, path string) string {
	o, set := c.Options[path]
	if !set {
		return ""
	}
	return strings.Trim(string(o.Value), `"`)
}

// clusterKubeconfigs are the files of those kubeconfigs that lead to the API server of
// this cluster: the components' and kubeadm's for administrators. Those in homes may be
// for other clusters, and webhooks have theirs for other servers.
func (n *node) clusterKubeconfigs() map[string]bool {
	files := map[string]bool{"/etc/kubernetes/admin.conf": true, "/etc/kubernetes/super-admin.conf": true}
	for _, name := range []string{evidence.ControllerManager, evidence.Scheduler, evidence.Kubelet, evidence.KubeProxy} {
		c := n.Component(name)
		if c == nil {
			continue
		}
		for _, flag := range []string{"kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"} {
			f, _ := c.Flag(flag)
			if file, ok := c.HostPath(f.Value); ok && f.Value != "" {
				files[file] = true
			}
		}
	}
	return files
}
