package checks

import (
	"net/netip"
	"net/url"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// plainURLs returns those of a list of URLs, as etcd's flags have them, at which it
// talks without TLS.
func plainURLs(list string) (plain []string) {
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimSpace(one)
		if strings.HasPrefix(strings.ToLower(one), "http://") {
			plain = append(plain, one)
		}
	}
	return plain
}

// onlyLoopback reports whether a URL's address is one that only the node itself
// reaches.
func onlyLoopback(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && addr.IsLoopback() || u.Hostname() == "localhost"
}

// pair judges that a certificate and its key are given, and not made up by etcd itself.
func (n *node) pair(c *evidence.Component, cert, key, auto, what string) {
	if value, at, known := n.flag(c, auto, "false"); known && isTrue(value) {
		n.say(at, flagPath(c, auto), value, "etcd makes its certificate for %s itself (--%s): nobody can verify it", what, auto)
		return
	}
	for _, name := range []string{cert, key} {
		if value, at, known := n.flag(c, name, ""); known && value == "" {
			n.say(at, flagPath(c, name), "", "etcd has no certificate with a key for %s: --%s is not set", what, name)
			return
		}
	}
}
