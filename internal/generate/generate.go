// Package generate makes configuration for the nodes of a cluster: what the API
// server, the kubelet and the packet filter need to meet the guide, each with the
// order of steps that puts it in place without an outage. It knows what each
// setting breaks when it is set carelessly, and leaves that out or says it.
//
// It reads no file, runs nothing and writes nothing: text in, text out. What can
// be proven before it is printed is: a patched manifest is read again and must
// differ in the settings alone, a firewall must admit and drop what was asked.
package generate

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// A page is a configuration file in the making.
type page struct{ strings.Builder }

// comment writes text as comment lines; an indented line of it is a command or
// an example, and stays as it is.
func (p *page) comment(text string) {
	for line := range strings.Lines(strings.Trim(text, "\n") + "\n") {
		p.WriteString(strings.TrimRight("# "+line, " \n") + "\n")
	}
}

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// quote writes a string that came from outside so that YAML reads just that.
func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		return `""` // no string is without JSON
	}
	return string(text)
}

var plainPath = regexp.MustCompile(`^/[A-Za-z0-9._/-]+$`)

// checkPath refuses what would have to be quoted in a manifest, a shell or a
// command line, and what is no absolute path.
func checkPath(what, name string) error {
	if !plainPath.MatchString(name) || path.Clean(name) != name {
		return fmt.Errorf("%s %q: want an absolute path of letters, digits and ._-, without .. or a slash at the end", what, name)
	}
	return nil
}

// The suites that TLS 1.2 may use: forward secret and authenticated. HTTP/2 needs
// the first two. Those of TLS 1.3 are not chosen.
func cipherSuites() []string {
	return []string{
		"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
		"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
		"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
	}
}
