package checks

import (
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// UserAuthentication reports API servers to which people cannot prove who they are by
// a strong method, and strong ones that are set up weakly (guide: Authentication;
// summary).
var UserAuthentication = &check.Check{
	ID:             "user-authentication",
	Title:          "users have no strong method to authenticate",
	Recommendation: "AUTHN-03",
	Severity:       guide.High,
	Remedy:         "set up an OpenID Connect issuer in an AuthenticationConfiguration (gabion generate authentication-config)",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "how users authenticate to the API server",
	Doc: `Kubernetes keeps no users of its own: administrators have to set up at least one
strong method for them. Tokens of service accounts are for programs, and files of
static tokens and passwords are weak.

Looked for are an OpenID Connect issuer (oidc-issuer-url, or jwt of the
AuthenticationConfiguration), a webhook for tokens
(authentication-token-webhook-config-file), an authenticating proxy
(requestheader-client-ca-file) and an authority for client certificates
(client-ca-file). Certificates satisfy the guide, but cannot be revoked: a lost one
works until it expires. Of what is there is judged that issuers and webhooks are
reached by verified TLS. An issuer whose groups are taken as they are, without a
prefix or a rule, is a low finding: it can name system:masters.

` + "```yaml" + `
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
  - issuer: {url: https://login.example.com, audiences: [kubernetes]}
    claimMappings:
      username: {claim: sub, prefix: "oidc:"}
      groups: {claim: groups, prefix: "oidc:"}
` + "```",
	Run: eachComponent(userAuthentication, evidence.APIServer),
}

// A jwtAuthenticator is what is looked at of one issuer of tokens.
type jwtAuthenticator struct {
	Issuer struct {
		URL          string `json:"url"`
		DiscoveryURL string `json:"discoveryURL"`
	} `json:"issuer"`
	ClaimMappings struct {
		Groups struct {
			Claim  string `json:"claim"`
			Prefix string `json:"prefix"`
		} `json:"groups"`
	} `json:"claimMappings"`
	UserValidationRules []struct {
		Expression string `json:"expression"`
	} `json:"userValidationRules"`
}

const tokenWebhookFlag = "authentication-token-webhook-config-file"

func userAuthentication(n *node, c *evidence.Component) {
	strong, known := n.judgeIssuers(c)
	if f, given, seen := n.given(c, tokenWebhookFlag); given {
		strong = true
		n.judgeConnection(c, f.Name, f.Value, "the webhook for tokens")
	} else {
		known = known && seen
	}
	for _, name := range []string{"client-ca-file", "requestheader-client-ca-file"} {
		_, given, seen := n.given(c, name)
		strong, known = strong || given, known && seen
	}
	if known && !strong {
		n.say(c.Place, flagPath(c, "client-ca-file"), "", "users have no strong method to authenticate to %s: neither OpenID Connect, nor a webhook, nor client certificates", c.Name)
	}
}

// judgeIssuers judges the issuers of tokens, and reports whether there are any.
func (n *node) judgeIssuers(c *evidence.Component) (any, known bool) {
	issuer, any, known := n.given(c, "oidc-issuer-url")
	if any {
		n.judgeFlagIssuer(c, issuer)
	}
	f, given, seen := n.given(c, authenticationConfigFlag)
	if !given {
		return any, known && seen
	}
	var conf authenticationConfig
	doc, read := n.decode(c, f, &conf)
	for i, jwt := range conf.JWT {
		any = true
		n.judgeIssuer(c, doc, i, jwt)
	}
	return any, known && read
}

func (n *node) judgeFlagIssuer(c *evidence.Component, issuer evidence.Flag) {
	if !strings.HasPrefix(issuer.Value, "https://") {
		n.say(issuer.Place, flagPath(c, issuer.Name), issuer.Value, "the issuer of tokens %q is not reached by https", issuer.Value)
	}
	claim, given, _ := n.given(c, "oidc-groups-claim")
	prefix, _ := c.Flag("oidc-groups-prefix")
	if given && prefix.Value == "" {
		p := n.say(claim.Place, flagPath(c, "oidc-groups-prefix"), "", "groups that %q names are taken as they are, system:masters among them", issuer.Value)
		namesGroups(p)
	}
}

func (n *node) judgeIssuer(c *evidence.Component, doc *evidence.Document, i int, jwt jwtAuthenticator) {
	in := func(names ...string) below {
		return func(p evidence.Path) evidence.Path {
			return p.Field("jwt").Index(i, jwt.Issuer.URL).Field(names...)
		}
	}
	if u := jwt.Issuer.URL; !strings.HasPrefix(u, "https://") {
		n.sayIn(c, authenticationConfigFlag, doc, in("issuer", "url"), u, "the issuer of tokens %q is not reached by https", u)
	}
	if u := jwt.Issuer.DiscoveryURL; u != "" && !strings.HasPrefix(u, "https://") {
		n.sayIn(c, authenticationConfigFlag, doc, in("issuer", "discoveryURL"), u, "the keys of the issuer %q are not fetched by https", jwt.Issuer.URL)
	}
	if g := jwt.ClaimMappings.Groups; g.Claim != "" && g.Prefix == "" && len(jwt.UserValidationRules) == 0 {
		p := n.sayIn(c, authenticationConfigFlag, doc, in("claimMappings", "groups", "prefix"), "", "groups that %q names are taken as they are, system:masters among them", jwt.Issuer.URL)
		namesGroups(p)
	}
}

func namesGroups(p *check.Problem) {
	p.Severity, p.SeverityReason = guide.Low, "only who names groups at the issuer can use it"
	p.Remedy = "give the groups of the issuer a prefix, or refuse those that begin with system: by a rule"
}
