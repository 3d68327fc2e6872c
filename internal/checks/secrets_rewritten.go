package checks

import (
	"fmt"
	"maps"
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

Only the values in etcd show it: each must begin with the mark of the present provider and key.
Where etcd's data file was read (as root on its node, or a snapshot that etcdctl saved to
/gabion/etcd.db), the marks are counted: what is in plain text, or behind another mark, is a
finding. Values are not kept. Elsewhere the row stays open and names the commands that count
them. Of the configuration one thing is judged: ` + "`identity`" + ` among the providers for Secrets,
behind one that encrypts. It lets the API server read plain text, and is needed only until all
Secrets are rewritten. Old keys that are still listed are named.

    etcdctl … get /registry/secrets/default/web | head -c 40    # k8s:enc:kms:v2:vault:
`,
	Run: encryptsSecrets(secretsRewritten),
}

func secretsRewritten(n *node, c *evidence.Component, e *atRest) {
	first := e.providers[0]
	if first.kind == "identity" {
		n.inapplicable("the first provider for Secrets does not encrypt (SEC-03)")
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
	d := storedWhere(n, c)
	if d == nil || d.Error != "" {
		n.askEtcd(c, first.prefix(), old, d)
		return
	}
	for _, mark := range slices.Sorted(maps.Keys(d.Marks)) {
		at := evidence.Position{File: d.File}
		switch count := d.Marks[mark]; {
		case mark == first.prefix():
		case mark == "":
			p := n.say(at, flagPath(c, encryptionFlag).Field("stored"), "", "%d of %d Secrets are stored in plain text: %s", count, d.Secrets, firstOf(d.Plain, count))
			p.Severity, p.SeverityReason = guide.High, "whoever reads etcd or a backup of it reads them"
		default:
			n.say(at, flagPath(c, encryptionFlag).Field("stored", mark), mark, "%d of %d Secrets are stored behind %q, not behind the present %q", count, d.Secrets, mark, first.prefix())
		}
	}
}

// storedWhere is how Secrets are stored in the etcd of an API server: in that of its
// node, else in the only one that was read. nil when none was.
func storedWhere(n *node, c *evidence.Component) *evidence.EtcdData {
	if n.Etcd != nil {
		return n.Etcd
	}
	var only *evidence.EtcdData
	for _, h := range n.Hosts {
		if h.Etcd != nil && only != nil {
			return nil
		}
		if h.Etcd != nil {
			only = h.Etcd
		}
	}
	return only
}

// firstOf names the first of several.
func firstOf(names []string, count int) string {
	const named = 3
	text := strings.Join(names[:min(named, len(names))], ", ")
	if count > named {
		text += ", …"
	}
	return text
}

// askEtcd says that only etcd knows how Secrets are stored, and how to ask it.
func (n *node) askEtcd(c *evidence.Component, mark string, old []string, d *evidence.EtcdData) {
	listed, why := "", ""
	if len(old) > 0 {
		listed = fmt.Sprintf(", with others still listed (%s),", strings.Join(old, ", "))
	}
	if d != nil {
		why = fmt.Sprintf(" (%s: %s)", d.File, d.Error)
	}
	n.cannot("whether each Secret is stored under the present key%s only etcd shows%s; these two numbers must be the same: %s --keys-only | grep -c ^/ and %s --print-value-only | grep -ac '^%s'",
		listed, why, etcdGet(c), etcdGet(c), mark)
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
