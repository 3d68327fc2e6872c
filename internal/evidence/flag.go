package evidence

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
)

// secretFlag matches the names of flags whose value is a credential; clusterToken those
// whose name only looks like it.
var (
	secretFlag   = regexp.MustCompile(`(?:^|-)(?:token|password|secret|secret-key|access-key|passphrase)$|^manifest-url-header$`)
	clusterToken = regexp.MustCompile(`^(?:initial-cluster-token|auth-token)$`)
	urlPassword  = regexp.MustCompile(`://[^/@\s]*:[^/@\s]*@`)
)

// NewFlag is a flag as the components of Kubernetes read it: an underscore in its name
// is a dash. Of a credential its length is kept.
func NewFlag(name, value string, at Position) Flag {
	name = strings.ReplaceAll(name, "_", "-")
	if secretFlag.MatchString(name) && !clusterToken.MatchString(name) && value != "" && value != "true" && value != "false" {
		value = bits(value)
	}
	return Flag{Name: name, Value: WithoutPassword(value), Place: at}
}

// WithoutPassword takes user and password from the URLs in a text.
func WithoutPassword(text string) string { return urlPassword.ReplaceAllString(text, "://…@") }

// bits is what is kept of a credential.
func bits(secret string) string {
	n := len(secret)
	if key, err := base64.StdEncoding.DecodeString(secret); err == nil {
		n = len(key)
	}
	return fmt.Sprintf("%d bit", 8*n)
}
