package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// AnonymousRequests reports API servers that take requests without credentials
// (guide: Authentication; KEP-4633).
var AnonymousRequests = &check.Check{
	ID:             "anonymous-requests",
	Title:          "API server takes anonymous requests",
	Recommendation: "AUTHN-01",
	Severity:       guide.High,
	Remedy:         "limit anonymous requests to the health paths in an AuthenticationConfiguration (gabion generate authentication-config); --anonymous-auth=false alone breaks the probes of a kubeadm API server",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "whether the API server takes anonymous requests",
	Doc: `A request without credentials is one of the user system:anonymous unless that is
switched off. Everyone who reaches the port then gets a first look, and any right that
was granted by mistake.

Looked at is the flag anonymous-auth, which is true unless set, and the field anonymous
of the AuthenticationConfiguration: disabled, or limited by conditions to /livez,
/readyz and /healthz and what is below them. The field is there from 1.32 on (from 1.31
behind the feature gate AnonymousAuthConfigurableEndpoints). Field and flag exclude each
other: with both the API server does not start.

On a cluster of kubeadm the kubelet's probes of the API server are anonymous, so that
anonymous-auth=false has it restarted for ever. Use the configuration instead:

` + "```yaml" + `
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
anonymous:
  enabled: true
  conditions: [{path: /livez}, {path: /readyz}, {path: /healthz}]
` + "```",
	Run: eachComponent(anonymousRequests, evidence.APIServer),
}

const authenticationConfigFlag = "authentication-config"

// An authenticationConfig is what is looked at of an AuthenticationConfiguration.
type authenticationConfig struct {
	Anonymous *struct {
		Enabled    bool `json:"enabled"`
		Conditions []struct {
			Path string `json:"path"`
		} `json:"conditions"`
	} `json:"anonymous"`
	JWT []jwtAuthenticator `json:"jwt"`
}

func anonymousRequests(n *node, c *evidence.Component) {
	flag, flagged := c.Flag("anonymous-auth")
	if _, structured := c.Flag(authenticationConfigFlag); flagged && !structured {
		// Whatever else may be set: with this flag there is no structured form.
		if isTrue(flag.Value) {
			n.say(flag.Place, flagPath(c, flag.Name), flag.Value, "%s takes requests without credentials for every path", c.Name)
		}
		return
	}
	f, given, known := n.given(c, authenticationConfigFlag)
	if given {
		var conf authenticationConfig
		doc, read := n.decode(c, f, &conf)
		if read && conf.Anonymous != nil {
			n.anonymousConditions(c, doc, &conf)
			return
		}
		known = read || flagged
	}
	if !known {
		return
	}
	value, at, known := n.flag(c, "anonymous-auth", "true")
	if known && isTrue(value) {
		n.say(at, flagPath(c, "anonymous-auth"), flag.Value, "%s takes requests without credentials for every path", c.Name)
	}
}

// anonymousConditions judges the structured form.
func (n *node) anonymousConditions(c *evidence.Component, doc *evidence.Document, conf *authenticationConfig) {
	anonymous := func(p evidence.Path) evidence.Path { return p.Field("anonymous") }
	if flag, flagged := c.Flag("anonymous-auth"); flagged {
		n.say(flag.Place, flagPath(c, flag.Name), flag.Value, "%s excludes the field anonymous of %s: the API server does not start with both", flagText(flag.Name, flag.Value), doc.File)
		return
	}
	if v := n.runs(c); !v.AtLeast(32) && !n.gate(c, "AnonymousAuthConfigurableEndpoints") {
		n.cannot("%s: what the field anonymous of %s means is not known: %s has it only by the feature gate AnonymousAuthConfigurableEndpoints", c.Name, doc.File, v)
		return
	}
	switch {
	case !conf.Anonymous.Enabled:
		return
	case len(conf.Anonymous.Conditions) == 0:
		n.sayIn(c, authenticationConfigFlag, doc, func(p evidence.Path) evidence.Path { return anonymous(p).Field("enabled") },
			"true", "%s takes requests without credentials for every path: anonymous has no conditions", c.Name)
		return
	}
	for i, cond := range conf.Anonymous.Conditions {
		if isHealthPath(cond.Path) {
			continue
		}
		p := n.sayIn(c, authenticationConfigFlag, doc, func(p evidence.Path) evidence.Path {
			return anonymous(p).Field("conditions").Index(i, cond.Path).Field("path")
		}, cond.Path, "%s takes requests without credentials for %s, which is no health path", c.Name, cond.Path)
		p.Severity, p.SeverityReason = guide.Medium, "only this path is open"
	}
}

// gate reports whether a feature gate is switched on by its name.
func (n *node) gate(c *evidence.Component, name string) bool {
	on := false
	for _, f := range c.Flags {
		if f.Name == "feature-gates" {
			on = gateIn(f.Value, name, on)
		}
	}
	return on
}
