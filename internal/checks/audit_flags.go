package checks

import (
	"slices"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// The flags that switch the audit log on.
const (
	auditPolicyFlag  = "audit-policy-file"
	auditLogFlag     = "audit-log-path"
	auditWebhookFlag = "audit-webhook-config-file"
)

// toStdout is the audit log's path that means the standard output.
const toStdout = "-"

// An auditPolicy is what of a Policy decides whether anything is recorded.
type auditPolicy struct {
	OmitStages []string `json:"omitStages"`
	Rules      []struct {
		Level           string   `json:"level"`
		Users           []string `json:"users"`
		UserGroups      []string `json:"userGroups"`
		Verbs           []string `json:"verbs"`
		Resources       []any    `json:"resources"`
		Namespaces      []string `json:"namespaces"`
		NonResourceURLs []string `json:"nonResourceURLs"`
		OmitStages      []string `json:"omitStages"`
	} `json:"rules"`
}

// records reports whether any request is recorded: the first rule that matches a
// request decides, so that what follows a rule that matches all of them is idle.
func (p *auditPolicy) records() bool {
	for _, r := range p.Rules {
		if r.Level != "None" && !allStages(slices.Concat(p.OmitStages, r.OmitStages)) {
			return true
		}
		if len(r.Users)+len(r.UserGroups)+len(r.Verbs)+len(r.Resources)+len(r.Namespaces)+len(r.NonResourceURLs) == 0 {
			return false
		}
	}
	return false
}

// allStages reports whether a list has every stage of a request that ends well.
func allStages(list []string) bool {
	return slices.Contains(list, "RequestReceived") && slices.Contains(list, "ResponseStarted") && slices.Contains(list, "ResponseComplete")
}

// keepsAuditLog records why an API server keeps no audit log, or why that cannot be told.
func (n *node) keepsAuditLog(c *evidence.Component) {
	policy, at, known := n.flag(c, auditPolicyFlag, "")
	if !known {
		return
	}
	if policy == "" {
		n.say(at, flagPath(c, auditPolicyFlag), "", "the API server keeps no audit log: --%s is not set", auditPolicyFlag)
		return
	}
	log, _, known := n.flag(c, auditLogFlag, "")
	if webhook, _ := c.Flag(auditWebhookFlag); log == "" && webhook.Value == "" {
		if known {
			n.say(at, flagPath(c, auditLogFlag), "", "the API server has an audit policy but keeps no audit log: neither --%s nor --%s is set", auditLogFlag, auditWebhookFlag)
		}
		return
	}
	f, _ := c.Flag(auditPolicyFlag)
	var p auditPolicy
	doc, known := n.decode(c, f, &p)
	if known && !p.records() {
		n.sayIn(c, auditPolicyFlag, doc, func(top evidence.Path) evidence.Path { return top.Field("rules") }, "",
			"the API server records nothing: no rule of the audit policy that a request can reach has another level than None")
	}
}

// auditsNothing is why there is nothing to ask of an audit log; that there is none is
// what audit-log-off says.
const auditsNothing = "kube-apiserver keeps no audit log (AUD-01)"

// noAuditLog records why no file with an audit log is judged: auditLog has none.
func (n *node) noAuditLog(c *evidence.Component) {
	log, given := c.Flag(auditLogFlag)
	policy, _ := c.Flag(auditPolicyFlag)
	switch {
	case c.Unread != "":
		n.cannot("%s: whether --%s is set is not known: %s", c.Name, auditLogFlag, c.Unread)
	case policy.Value == "":
		n.inapplicable(auditsNothing)
	case given && log.Value == toStdout:
		n.inapplicable("kube-apiserver writes its audit log to the standard output, not to a file")
	default:
		n.inapplicable("kube-apiserver writes its audit log to no file")
	}
}

// auditLog returns the flag with the audit log's file; false for one that goes
// elsewhere, or nowhere.
func auditLog(c *evidence.Component) (evidence.Flag, bool) {
	f, given := c.Flag(auditLogFlag)
	policy, _ := c.Flag(auditPolicyFlag)
	return f, given && f.Value != "" && f.Value != toStdout && policy.Value != ""
}
