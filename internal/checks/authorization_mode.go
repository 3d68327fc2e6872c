package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// AuthorizationMode reports API servers that authorize by something else than Node and
// RBAC (guide: Role-based access control; KEP-3221).
var AuthorizationMode = &check.Check{
	ID:             "authorization-mode",
	Title:          "API server does not authorize by Node and RBAC",
	Recommendation: "RBAC-01",
	Severity:       guide.Critical,
	Remedy:         "set --authorization-mode=Node,RBAC, and leave in what else is in use",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "how the API server authorizes",
	Doc: `Authorizers are asked in their order; the first that allows or denies decides. With
AlwaysAllow among them, everyone who authenticates may do everything, wherever it
stands. Without RBAC roles and bindings mean nothing. Without Node kubelets need rights
on the objects of all nodes. ABAC grants by a file that nobody sees through the API.

Looked at is the flag authorization-mode, which is AlwaysAllow unless set, and the
AuthorizationConfiguration of authorization-config (beta from 1.30, stable from 1.32). A
webhook before RBAC can deny what roles allow: one with failurePolicy NoOpinion does
not when it fails to answer. Webhooks have to be reached by verified TLS. The guide's
example sets the mode to RBAC alone; leave Node in.

` + "```yaml" + `
command: [kube-apiserver, "--authorization-mode=Node,RBAC"]
` + "```",
	Run: eachComponent(authorizationMode, evidence.APIServer),
}

const (
	authorizationConfigFlag = "authorization-config"
	authorizationModeFlag   = "authorization-mode"
)

// An authorizationConfig is what is looked at of an AuthorizationConfiguration.
type authorizationConfig struct {
	Authorizers []struct {
		Type    string `json:"type"`
		Name    string `json:"name"`
		Webhook struct {
			FailurePolicy  string `json:"failurePolicy"`
			ConnectionInfo struct {
				Type           string `json:"type"`
				KubeConfigFile string `json:"kubeConfigFile"`
			} `json:"connectionInfo"`
		} `json:"webhook"`
	} `json:"authorizers"`
}

// An authorizer is one of those that an API server asks, in order.
type authorizer struct {
	mode string
	at   evidence.Position
	path evidence.Path
}

// authorizers are those that an API server asks, in order, and where they are chosen.
func (n *node) authorizers(c *evidence.Component) (list []authorizer, chosen authorizer, known bool) {
	if f, given, _ := n.given(c, authorizationConfigFlag); given {
		var conf authorizationConfig
		doc, read := n.decode(c, f, &conf)
		if !read {
			return nil, chosen, false
		}
		for i, a := range conf.Authorizers {
			where := func(p evidence.Path) evidence.Path { return p.Field("authorizers").Index(i, a.Name) }
			list = append(list, authorizer{a.Type, placeIn(doc, where), where(flagPath(c, f.Name))})
		}
		top := func(p evidence.Path) evidence.Path { return p.Field("authorizers") }
		return list, authorizer{"", placeIn(doc, top), top(flagPath(c, f.Name))}, true
	}
	modes, known := n.elements(c, authorizationModeFlag)
	if !known {
		return nil, chosen, false
	}
	chosen = authorizer{"", c.Place, flagPath(c, authorizationModeFlag)}
	for _, m := range modes {
		list = append(list, authorizer{m.value, m.at, chosen.path.Field(m.value)})
		chosen.at = m.at
	}
	return list, chosen, true
}

// placeIn is where a field of a document is written.
func placeIn(doc *evidence.Document, where below) evidence.Position {
	if doc.Outline == nil {
		return evidence.Position{File: doc.File}
	}
	return doc.Outline.Place(where(evidence.Path{}))
}

func has(list []authorizer, mode string) bool {
	for _, a := range list {
		if a.mode == mode {
			return true
		}
	}
	return false
}

func authorizationMode(n *node, c *evidence.Component) {
	list, chosen, known := n.authorizers(c)
	if !known {
		return
	}
	if len(list) == 0 {
		n.say(chosen.at, chosen.path, "", "%s has no --%s: everyone who authenticates may do everything (AlwaysAllow)", c.Name, authorizationModeFlag)
		return
	}
	for _, a := range list {
		switch a.mode {
		case "AlwaysAllow":
			n.say(a.at, a.path, a.mode, "%s authorizes by AlwaysAllow: everyone who authenticates may do everything", c.Name)
		case "ABAC":
			p := n.say(a.at, a.path, a.mode, "%s grants rights by a file of ABAC policies besides roles", c.Name)
			p.Severity, p.SeverityReason = guide.Medium, "what the file grants may be little"
			p.Remedy = "turn the policies into roles and bindings, and remove ABAC"
		}
	}
	if !has(list, "RBAC") && !has(list, "AlwaysAllow") {
		p := n.say(chosen.at, chosen.path.Field("RBAC"), "", "%s does not authorize by RBAC: roles and bindings mean nothing", c.Name)
		if has(list, "Webhook") {
			p.Severity, p.SeverityReason = guide.High, "a webhook decides in its place"
		}
	}
	if !has(list, "Node") && !has(list, "AlwaysAllow") {
		p := n.say(chosen.at, chosen.path.Field("Node"), "", "%s does not authorize kubelets by Node: each needs rights on the objects of all nodes", c.Name)
		p.Severity, p.SeverityReason = guide.Medium, "it concerns kubelets only"
	}
	n.judgeAuthorizationWebhooks(c)
}

func (n *node) judgeAuthorizationWebhooks(c *evidence.Component) {
	if f, given, _ := n.given(c, "authorization-webhook-config-file"); given {
		n.judgeConnection(c, f.Name, f.Value, "the webhook that authorizes")
	}
	f, given, _ := n.given(c, authorizationConfigFlag)
	if !given {
		return
	}
	var conf authorizationConfig
	doc, _ := n.decode(c, f, &conf)
	granted := false
	for i, a := range conf.Authorizers {
		granted = granted || a.Type == "RBAC"
		if a.Type != "Webhook" {
			continue
		}
		if a.Webhook.FailurePolicy == "NoOpinion" && !granted {
			p := n.sayIn(c, f.Name, doc, func(p evidence.Path) evidence.Path {
				return p.Field("authorizers").Index(i, a.Name).Field("webhook", "failurePolicy")
			}, "NoOpinion", "what the webhook %q would deny is allowed by roles when it does not answer (NoOpinion)", a.Name)
			p.Severity, p.SeverityReason = guide.Low, "it matters only where the webhook denies"
			p.Remedy = "set failurePolicy to Deny, once the webhook is as available as the API server"
		}
		if info := a.Webhook.ConnectionInfo; info.Type == "KubeConfigFile" {
			n.judgeConnection(c, f.Name, info.KubeConfigFile, "the webhook that authorizes")
		}
	}
}
