package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// StaticCredentials reports API servers that accept tokens or passwords from a file
// (guide: Authentication).
var StaticCredentials = &check.Check{
	ID:             "static-credentials",
	Title:          "API server accepts static tokens or passwords",
	Recommendation: "AUTHN-04",
	Severity:       guide.High,
	Remedy:         "move the users to OpenID Connect or certificates, then remove the flag and the file",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "whether the API server accepts static tokens or passwords",
	Doc: `A file of tokens or passwords is read in clear text when the API server starts. What
stands in it never expires, and is revoked only by a restart.

Looked at are the flags token-auth-file and, up to 1.18, basic-auth-file: 1.19
removed it. Neither has a default.

` + "```console" + `
$ grep auth-file /etc/kubernetes/manifests/kube-apiserver.yaml
    - --token-auth-file=/etc/kubernetes/tokens.csv   # remove
` + "```",
	Run: eachComponent(staticCredentials, evidence.APIServer),
}

func staticCredentials(n *node, c *evidence.Component) {
	for _, f := range n.credentialFiles(c) {
		n.say(f.Place, flagPath(c, f.Name), f.Value, "%s accepts the %s in %s, which never expire", c.Name, staticWhat(f.Name), f.Value)
	}
}

func staticWhat(flag string) string {
	if flag == "basic-auth-file" {
		return "passwords"
	}
	return "tokens"
}

// credentialFiles are the flags in force that name a file of credentials.
func (n *node) credentialFiles(c *evidence.Component) (list []evidence.Flag) {
	for _, name := range []string{"token-auth-file", "basic-auth-file"} {
		if name == "basic-auth-file" && tells(c) && n.runs(c).AtLeast(19) {
			continue
		}
		if f, given, _ := n.given(c, name); given {
			list = append(list, f)
		}
	}
	return list
}
