package checks

import (
	"time"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// TokenLifetime reports API servers that give tokens of service accounts a longer life
// than was asked for, or whatever was asked for (guide: Authentication).
var TokenLifetime = &check.Check{
	ID:             "token-lifetime",
	Title:          "API server issues tokens with a long life",
	Recommendation: "SAT-04",
	Severity:       guide.Medium,
	Remedy:         "set --service-account-extend-token-expiration=false, once no client holds on to an old token (metric serviceaccount_stale_tokens_total)",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "how long the tokens live that the API server issues",
	Doc: `The kubelet asks for tokens of an hour and renews them in the pod. For clients that
read the file but once, the API server makes those tokens valid for a year all the
same: a leaked one works as long, unless its pod goes.

Looked at are the flags service-account-extend-token-expiration, which is true unless
set, and service-account-max-token-expiration, which is the most that others may ask
for: with none, or more than a day, a low finding, as it takes the right to create
tokens. The first wins over the second. Up to 1.19 an API server without
service-account-signing-key-file issues no such tokens: all are standing ones.

` + "```yaml" + `
command:
  - kube-apiserver
  - --service-account-extend-token-expiration=false
  - --service-account-max-token-expiration=24h
` + "```",
	Run: eachComponent(tokenLifetime, evidence.APIServer),
}

// longestToken is how long a token that somebody asked for may reasonably live.
const longestToken = 24 * time.Hour

func tokenLifetime(n *node, c *evidence.Component) {
	v := n.runs(c)
	if !v.AtLeast(20) {
		if _, given, known := n.given(c, "service-account-signing-key-file"); known && !given {
			n.say(c.Place, flagPath(c, "service-account-signing-key-file"), "", "%s issues no bound tokens: those of its service accounts never expire", c.Name)
			return
		}
	}
	if f, given := c.Flag("service-account-extend-token-expiration"); given || v.AtLeast(21) {
		value, at, known := n.flag(c, "service-account-extend-token-expiration", "true")
		if known && isTrue(value) {
			n.say(at, flagPath(c, "service-account-extend-token-expiration"), f.Value, "%s makes the tokens in pods valid for a year instead of an hour", c.Name)
		}
	}
	value, at, known := n.flag(c, "service-account-max-token-expiration", "")
	if !known {
		return
	}
	life, _ := time.ParseDuration(value)
	if life > 0 && life <= longestToken {
		return
	}
	p := n.say(at, flagPath(c, "service-account-max-token-expiration"), value, "%s issues tokens for as long as they are asked for", c.Name)
	if life > 0 {
		p.Message = c.Name + " issues tokens for up to " + value
		p.Path = flagPath(c, "service-account-max-token-expiration.duration") // another fault than that it is not set
	}
	p.Severity, p.SeverityReason = guide.Low, "it takes the right to create tokens"
	p.Remedy = "set --service-account-max-token-expiration to what programs outside the cluster need, such as 24h"
}
