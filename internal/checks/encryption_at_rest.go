package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// EncryptionAtRest reports API servers that are not told to encrypt Secrets (guide:
// Secrets; Appendix H).
var EncryptionAtRest = &check.Check{
	ID:             "encryption-at-rest",
	Title:          "Secrets are stored in plain text",
	Recommendation: "SEC-03",
	Severity:       guide.High,
	Remedy:         "give each API server a configuration that encrypts secrets (--encryption-provider-config), then rewrite the Secrets",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "whether the API server encrypts Secrets",
	Doc: `Unless the API server is told to encrypt them, Secrets lie readable in etcd's files and in
each of its backups.

Looked at are the flag ` + "`--encryption-provider-config`" + ` of each API server and the resources
of the file that it names. Secrets are covered by the name secrets and, since 1.27, by the
wildcards ` + "`*.`" + ` (the core group) and ` + "`*.*`" + `; ` + "`*.apps`" + ` and the like do not cover them. Whether
the providers that decide about Secrets really encrypt is encryption-provider's question.

    apiVersion: apiserver.config.k8s.io/v1
    kind: EncryptionConfiguration
    resources:
      - resources: [secrets]
        providers:
          - kms: {apiVersion: v2, name: vault, endpoint: "unix:///run/kms/kms.sock"}
`,
	Run: eachComponent(encryptionAtRest, evidence.APIServer),
}

func encryptionAtRest(n *node, c *evidence.Component) {
	if f, given := c.Flag(encryptionFlag); given {
		if path, mounted := c.HostPath(f.Value); f.Value != "" && !mounted {
			n.say(f.Place, flagPath(c, encryptionFlag), f.Value,
				"--%s names %q, which is not mounted into the API server's pod", encryptionFlag, f.Value)
			return
		} else if file := n.Files[path]; file != nil && file.Type == evidence.Missing {
			n.say(f.Place, flagPath(c, encryptionFlag), f.Value, "--%s names %q, which is not there", encryptionFlag, f.Value)
			return
		}
	}
	e, known := n.atRest(c)
	switch {
	case !known:
	case e == nil:
		n.say(c.Place, flagPath(c, encryptionFlag), "", "Secrets are stored in plain text: --%s is not set", encryptionFlag)
	case len(e.providers) == 0:
		n.sayIn(c, encryptionFlag, e.doc, func(top evidence.Path) evidence.Path { return top.Field("resources") }, "",
			"Secrets are stored in plain text: no entry of the encryption configuration is about secrets")
	}
}
