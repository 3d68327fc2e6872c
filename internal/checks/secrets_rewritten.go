package checks

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// SecretsRewritten reports encryption that still reads plain text, and asks for the
// stored values (guide: Secrets; Appendix I).
var SecretsRewritten = &check.Check{
	ID:             "secrets-rewritten",
	Title:          "Secrets in plain text are still accepted",
	Recommendation: "SEC-06",
	Severity:       guide.Medium,
	Remedy:         "rewrite all Secrets in batches, verify the stored values, then remove identity from the providers",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "whether all Secrets are stored under the present key",
	Doc: `Encryption happens when an object is written. Secrets from before stay as they were, in plain
text or under an old key, until they are written again.

Only the values in etcd show it: each must begin with the marker of the present provider and
key. They are not read; the row stays open and names the command that counts them. Of the
configuration one thing is judged: ` + "`identity`" + ` among the providers for Secrets, behind one that
encrypts. It lets the API server read plain text, and is needed only until all Secrets are
rewritten. Old keys that are still listed are named.

    etcdctl … get /registry/secrets/default/web | head -c 40    # k8s:enc:kms:v2:vault:
`,
	Run: encryptsSecrets(secretsRewritten),
}

func secretsRewritten(n *node, c *evidence.Component, e *atRest) {
	first := e.providers[0]
	if first.kind == "identity" {
		n.leaveOut() // encryption-provider says so
		return
	}
	old := slices.Clone(first.keys[min(1, len(first.keys)):])
	for _, p := range e.providers[1:] {
		if p.kind == "identity" {
			n.sayIn(c, encryptionFlag, e.doc, p.where, p.kind,
				"identity is still among the providers for Secrets: those in plain text that were not rewritten are read as if nothing were wrong")
			continue
		}
		old = append(old, p.keys...)
	}
	listed := ""
	if len(old) > 0 {
		listed = fmt.Sprintf(", with others still listed (%s),", strings.Join(old, ", "))
	}
	n.cannot("whether each Secret is stored under the present key%s only etcd shows; these two numbers must be the same: %s --keys-only | grep -c ^/ and %s --print-value-only | grep -ac '^%s'",
		listed, etcdGet(c), etcdGet(c), first.prefix())
}

// etcdGet is the command that reads all Secrets from etcd as the API server does.
func etcdGet(c *evidence.Component) string {
	words := []string{"etcdctl"}
	for _, f := range []struct{ flag, of string }{{"endpoints", "etcd-servers"}, {"cacert", "etcd-cafile"}, {"cert", "etcd-certfile"}, {"key", "etcd-keyfile"}} {
		if given, ok := c.Flag(f.of); ok {
			words = append(words, "--"+f.flag+"="+given.Value)
		}
	}
	prefix := "/registry"
	if given, ok := c.Flag("etcd-prefix"); ok {
		prefix = path.Join("/", given.Value)
	}
	return strings.Join(append(words, "get", prefix+"/secrets/", "--prefix"), " ")
}
