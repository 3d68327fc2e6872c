package checks

import (
	"net/url"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// EncryptionKeyService reports encryption whose key lies on the node's disk, and key
// services that are not set up soundly (guide: Secrets; Appendix I).
var EncryptionKeyService = &check.Check{
	ID:             "encryption-key-service",
	Title:          "encryption key is not kept in a key service",
	Recommendation: "SEC-05",
	Severity:       guide.Medium,
	Remedy:         "install the key service's plugin on each control-plane node and put kms with apiVersion v2 first among the providers for secrets",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Leaves:         check.Rest{What: "whether the key service's plugin answers (/healthz/kms-providers)", To: []guide.Evidence{guide.Probe}},
	Node:           "where the encryption key is kept",
	Doc: `A key that lies on the disk of the API server's node protects lost backups of etcd, but not a
node that was broken into or copied. With a key service the key itself never lies there.

Looked at is the first provider for Secrets: it must be ` + "`kms`" + ` with apiVersion v2. Without an
apiVersion it is v1, deprecated since 1.28 and off by default since 1.29. The endpoint must be
a socket by its full path, ` + "`unix:///run/kms.sock`" + ` with three slashes, that is mounted into the
API server's pod. Where Secrets are not encrypted at all the other rules of encryption say so.

    providers:
      - kms:
          apiVersion: v2
          name: vault
          endpoint: unix:///run/kms/vault.sock
`,
	Run: encryptsSecrets(encryptionKeyService),
}

func encryptionKeyService(n *node, c *evidence.Component, e *atRest) {
	first := &e.providers[0]
	switch first.kind {
	case "identity":
		n.inapplicable("the first provider for Secrets does not encrypt (SEC-03)")
		return
	case "kms":
	default:
		n.sayIn(c, encryptionFlag, e.doc, first.where, first.kind, "the key that encrypts Secrets (%s) lies in a file on the node", first.kind)
		return
	}
	field := func(name string) below {
		return func(top evidence.Path) evidence.Path { return first.where(top).Field("kms", name) }
	}
	if first.version != "v2" {
		n.sayIn(c, encryptionFlag, e.doc, field("apiVersion"), first.version, "the key service is spoken to by KMS %s%s", first.version, kmsV1Fate(n.runs(c)))
	}
	u, err := url.Parse(first.endpoint)
	if err != nil || u.Scheme != "unix" || u.Host != "" || !strings.HasPrefix(u.Path, "/") {
		n.sayIn(c, encryptionFlag, e.doc, field("endpoint"), first.endpoint, "the endpoint of the key service, %q, is not a socket by its full path (unix:///…)", first.endpoint)
		return
	}
	if _, mounted := c.HostPath(u.Path); !mounted && !strings.HasPrefix(u.Path, "/@") {
		n.sayIn(c, encryptionFlag, e.doc, field("endpoint"), first.endpoint, "the socket of the key service, %s, is not mounted into the API server's pod", u.Path)
	}
}
