package checks

import (
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// EncryptionProvider reports a provider that writes Secrets in plain text, or under a
// weak algorithm or key (guide: Appendix H; Kubernetes documentation: providers).
var EncryptionProvider = &check.Check{
	ID:             "encryption-provider",
	Title:          "Secrets are written by a weak provider or by none",
	Recommendation: "SEC-04",
	Severity:       guide.High,
	Remedy:         "put kms with apiVersion v2, or secretbox, first among the providers for secrets",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "which provider writes Secrets",
	Doc: `The API server writes with the first provider in the list and only reads with the others.
With ` + "`identity`" + ` first, Secrets are stored in plain text while encryption seems to be on.

Looked at is the first provider of the entry that decides about Secrets: the first that
names secrets, itself or by a wildcard. KMS v2 and secretbox are strong. ` + "`aescbc`" + ` encrypts, but
the Kubernetes documentation advises against it; ` + "`aesgcm`" + ` is safe only while its key is
replaced every 200,000 writes; KMS v1 is deprecated and off by default since 1.29. Of keys
only the length is known: 256 bits are asked for. Where no entry is about Secrets,
encryption-at-rest says so.

    providers:
      - secretbox:
          keys: [{name: key1, secret: …}]
      - identity: {}    # only until all Secrets are rewritten
`,
	Run: encryptsSecrets(weakProvider),
}

func weakProvider(n *node, c *evidence.Component, e *atRest) {
	first := &e.providers[0]
	say := func(format string, args ...any) *check.Problem {
		return n.sayIn(c, encryptionFlag, e.doc, first.where, first.kind, format, args...)
	}
	switch {
	case first.kind == "identity":
		say("the first provider for Secrets is identity, which does not encrypt: they are stored in plain text")
	case first.kind == "aescbc":
		p := say("the first provider for Secrets is aescbc, which the Kubernetes documentation advises against")
		p.Severity, p.SeverityReason = guide.Low, "it encrypts, but does not protect what it encrypts from being changed"
	case first.kind == "aesgcm":
		p := say("the first provider for Secrets is aesgcm, which is safe only while its key is replaced every 200,000 writes")
		p.Severity, p.SeverityReason = guide.Medium, "it is strong until too much was written with one key"
	case first.kind == "kms" && first.version != "v2":
		p := say("the first provider for Secrets is KMS %s%s", first.version, kmsV1Fate(n.runs(c)))
		p.Severity, p.SeverityReason = guide.Low, "it encrypts"
	}
	for i, length := range first.lengths[:min(1, len(first.lengths))] {
		bits, err := strconv.Atoi(strings.TrimSuffix(length, " bit"))
		if err != nil {
			n.cannot("%s: the length of the key %q of %s is not known", c.Name, first.keys[i], e.doc.File)
		} else if bits < 256 {
			p := n.sayIn(c, encryptionFlag, e.doc, func(top evidence.Path) evidence.Path {
				return first.where(top).Field(first.kind, "keys").Index(i, first.keys[i])
			}, length, "the first key of %s for Secrets has %d bits, fewer than 256", first.kind, bits)
			if bits >= 128 {
				p.Severity, p.SeverityReason = guide.Low, "it cannot be guessed today"
			}
		}
	}
}

// kmsV1Fate says what became of the first version of the interface to key services.
func kmsV1Fate(v evidence.Version) string {
	switch {
	case v.AtLeast(29):
		return ", which is deprecated and off by default since 1.29"
	case v.AtLeast(28):
		return ", which is deprecated since 1.28"
	}
	return ", which v2 replaces"
}
