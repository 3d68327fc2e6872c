package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// AuthenticationMethods reports ways to authenticate that are easily forgotten (guide:
// Authentication).
var AuthenticationMethods = &check.Check{
	ID:             "authentication-methods",
	Title:          "API server has a way to authenticate that is easily forgotten",
	Recommendation: "AUTHN-05",
	Severity:       guide.Medium,
	Remedy:         "switch off the methods that nobody needs",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "which ways to authenticate the API server has",
	Doc: `The API server asks one method after the other, and the first that accepts a request
wins. A method that nobody thinks of is a door that nobody watches.

Looked at are the API server's flags and its AuthenticationConfiguration. A problem is
service-account-lookup=false (it is true unless set), with which tokens of deleted
accounts and Secrets go on working; more than one way for the tokens of people, each of
which may claim the same user; and enable-bootstrap-token-auth, an info only, as nodes
join with such tokens: switch it on for that hour. Which bootstrap tokens there are is
asked by bootstrap-token.

` + "```yaml" + `
command: [kube-apiserver, --enable-bootstrap-token-auth=false]
` + "```",
	Run: eachComponent(authenticationMethods, evidence.APIServer),
}

func authenticationMethods(n *node, c *evidence.Component) {
	if value, at, known := n.flag(c, "service-account-lookup", "true"); known && !isTrue(value) {
		p := n.say(at, flagPath(c, "service-account-lookup"), value, "%s accepts the tokens of service accounts and Secrets that were deleted", c.Name)
		p.Remedy = "remove --service-account-lookup=false"
	}
	n.tokenMethods(c)
	if value, at, known := n.flag(c, "enable-bootstrap-token-auth", "false"); known && isTrue(value) {
		p := n.say(at, flagPath(c, "enable-bootstrap-token-auth"), value, "%s accepts bootstrap tokens all the time", c.Name)
		p.Severity, p.SeverityReason = guide.Info, "nodes join with bootstrap tokens, and kubeadm has them expire"
		p.Remedy = "switch bootstrap tokens off between the times at which nodes join"
	}
}

// tokenMethods judges how many ways there are for the tokens of people.
func (n *node) tokenMethods(c *evidence.Component) {
	var names []string
	at := c.Place
	add := func(f evidence.Flag, name string) {
		names, at = append(names, name), f.Place
	}
	if f, given, _ := n.given(c, "oidc-issuer-url"); given {
		add(f, "OpenID Connect")
	}
	if f, given, _ := n.given(c, authenticationConfigFlag); given {
		var conf authenticationConfig
		if _, read := n.decode(c, f, &conf); read && len(conf.JWT) > 0 {
			add(f, "OpenID Connect")
		}
	}
	if f, given, _ := n.given(c, tokenWebhookFlag); given {
		add(f, "a webhook")
	}
	for _, f := range n.credentialFiles(c) {
		add(f, "a file of "+staticWhat(f.Name))
	}
	if len(names) > 1 {
		p := n.say(at, flagPath(c, "token-authenticators"), "", "%s accepts users by %s: the first that knows a name wins", c.Name, listed(names))
		p.Severity, p.SeverityReason = guide.Low, "each may be meant"
	}
}
