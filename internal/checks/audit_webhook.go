package checks

import (
	"net/url"
	"strconv"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// AuditWebhook reports audit webhooks that are not verified, that anybody can send to, or
// that lose events under load (guide: Appendix N, whose own example is plain http).
var AuditWebhook = &check.Check{
	ID:             "audit-webhook",
	Title:          "audit webhook is not set up safely",
	Recommendation: "AUD-06",
	Severity:       guide.Medium,
	Remedy:         "send to an https server, verify it by its authority, authenticate by a client certificate, and use the mode batch",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "how audit events are sent to a webhook",
	Doc: `Audit events that are pushed to another system must arrive, and must not be read on the way.

Looked at, where ` + "`--audit-webhook-config-file`" + ` is set, is that kubeconfig: the server must be
https, verified by an authority of its own (certificate-authority), and the API server must
authenticate, by a client certificate or a token; a password in the file is reported. Of the
flags: ` + "`--audit-webhook-mode`" + ` is batch by default; blocking lets each request wait for the
webhook, and blocking-strict fails requests when it is gone. A buffer
(` + "`--audit-webhook-batch-buffer-size`" + `) below the default of 10000 events is reported: what does
not fit is dropped. Where no webhook is used the rule does not apply.

    clusters:
      - name: siem
        cluster: {server: "https://siem.example.com/audit", certificate-authority: /etc/kubernetes/audit/ca.crt}
    users:
      - name: api-server
        user: {client-certificate: /etc/kubernetes/audit/client.crt, client-key: /etc/kubernetes/audit/client.key}
`,
	Run: eachComponent(auditWebhook, evidence.APIServer),
}

// A webhookConfig is a kubeconfig, of which credentials are told as their lengths.
type webhookConfig struct {
	CurrentContext string `json:"current-context"`
	Contexts       []struct {
		Name    string `json:"name"`
		Context struct {
			Cluster string `json:"cluster"`
			User    string `json:"user"`
		} `json:"context"`
	} `json:"contexts"`
	Clusters []struct {
		Name    string `json:"name"`
		Cluster struct {
			Server   string `json:"server"`
			Insecure bool   `json:"insecure-skip-tls-verify"`
			CA       string `json:"certificate-authority"`
			CAData   string `json:"certificate-authority-data"`
		} `json:"cluster"`
	} `json:"clusters"`
	Users []struct {
		Name string         `json:"name"`
		User map[string]any `json:"user"`
	} `json:"users"`
}

// An auditTarget is the server that audit events are sent to, and as whom.
type auditTarget struct {
	config        webhookConfig
	doc           *evidence.Document
	cluster, user int // indexes; -1 where there is none
}

// auditWebhookOf reads the webhook's configuration; nil where there is none, or, which is
// recorded, nobody knows.
func (n *node) auditWebhookOf(c *evidence.Component) *auditTarget {
	f, given := c.Flag(auditWebhookFlag)
	if !given || f.Value == "" {
		if c.Unread != "" {
			n.cannot("%s: whether --%s is set is not known: %s", c.Name, auditWebhookFlag, c.Unread)
		}
		return nil
	}
	w := &auditTarget{cluster: -1, user: -1}
	doc, known := n.decode(c, f, &w.config)
	if !known {
		return nil
	}
	w.doc = doc
	cluster, user := "", ""
	for _, ctx := range w.config.Contexts {
		if ctx.Name == w.config.CurrentContext {
			cluster, user = ctx.Context.Cluster, ctx.Context.User
		}
	}
	for i, cl := range w.config.Clusters {
		if cl.Name == cluster {
			w.cluster = i
		}
	}
	for i, u := range w.config.Users {
		if u.Name == user {
			w.user = i
		}
	}
	if w.cluster < 0 {
		n.cannot("%s: the current context of %s (--%s) names no server", c.Name, f.Value, f.Name)
		return nil
	}
	return w
}

// inCluster leads to a field of the webhook's server.
func (w *auditTarget) inCluster(field string) below {
	return func(top evidence.Path) evidence.Path {
		return top.Field("clusters").Index(w.cluster, w.config.Clusters[w.cluster].Name).Field("cluster", field)
	}
}

// inUser leads to a field of the user that the API server authenticates as.
func (w *auditTarget) inUser(field string) below {
	return func(top evidence.Path) evidence.Path {
		return top.Field("users").Index(w.user, w.config.Users[w.user].Name).Field("user", field)
	}
}

// unsafeTransport says where audit events go over the network unencrypted or to nobody
// knows whom.
func (n *node) unsafeTransport(c *evidence.Component, w *auditTarget) (https bool) {
	server := w.config.Clusters[w.cluster].Cluster
	u, err := url.Parse(server.Server)
	switch {
	case err != nil || u.Scheme != "https":
		n.sayIn(c, auditWebhookFlag, w.doc, w.inCluster("server"), "", "audit events are sent to the webhook %q without TLS", origin(u))
		return false
	case server.Insecure:
		n.sayIn(c, auditWebhookFlag, w.doc, w.inCluster("insecure-skip-tls-verify"), "true", "audit events are sent to the webhook %q without verifying its certificate", origin(u))
	}
	return true
}

// origin is the server of a URL without what may be secret in it.
func origin(u *url.URL) string {
	if u == nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func auditWebhook(n *node, c *evidence.Component) {
	w := n.auditWebhookOf(c)
	if w == nil {
		n.leaveOut()
		if f, _ := c.Flag(auditWebhookFlag); f.Value == "" && c.Unread == "" {
			n.inapplicable("kube-apiserver sends audit events to no webhook")
		}
		return
	}
	server := w.config.Clusters[w.cluster].Cluster
	if n.unsafeTransport(c, w) && !server.Insecure && server.CA == "" && server.CAData == "" {
		p := n.sayIn(c, auditWebhookFlag, w.doc, w.inCluster("certificate-authority"), "", "the audit webhook is verified by any authority that the node trusts, not by one of its own")
		p.Severity, p.SeverityReason = guide.Low, "it is verified"
	}
	auditWebhookUser(n, c, w)
	auditWebhookBatches(n, c)
}

// auditWebhookUser judges how the API server authenticates to the webhook.
func auditWebhookUser(n *node, c *evidence.Component, w *auditTarget) {
	if w.user >= 0 {
		user := w.config.Users[w.user].User
		if user["password"] != nil {
			n.sayIn(c, auditWebhookFlag, w.doc, w.inUser("password"), "", "the password for the audit webhook stands in the file %s", w.doc.File)
			return
		}
		for _, field := range []string{"client-certificate", "client-certificate-data", "token", "tokenFile", "exec", "auth-provider"} {
			if user[field] != nil {
				return
			}
		}
	}
	n.sayIn(c, auditWebhookFlag, w.doc, func(top evidence.Path) evidence.Path { return top.Field("users") }, "",
		"the API server does not authenticate to the audit webhook, which cannot tell its events from others'")
}

// auditWebhookBatches judges what happens to events when there are many, or the webhook
// does not answer.
func auditWebhookBatches(n *node, c *evidence.Component) {
	mode, at, known := n.flag(c, "audit-webhook-mode", "batch")
	if !known {
		return
	}
	lowly := func(reason string, p *check.Problem) { p.Severity, p.SeverityReason = guide.Low, reason }
	switch mode {
	case "blocking":
		lowly("events are sent all the same", n.say(at, flagPath(c, "audit-webhook-mode"), mode,
			"each request waits until the audit webhook answers (--audit-webhook-mode=blocking)"))
		return
	case "blocking-strict":
		lowly("no event is lost", n.say(at, flagPath(c, "audit-webhook-mode"), mode,
			"the API server refuses requests while the audit webhook does not answer (--audit-webhook-mode=blocking-strict)"))
		return
	}
	const usual = 10000
	text, at, _ := n.flag(c, "audit-webhook-batch-buffer-size", strconv.Itoa(usual))
	if size, err := strconv.Atoi(text); err == nil && size < usual {
		lowly("it takes many requests at once", n.say(at, flagPath(c, "audit-webhook-batch-buffer-size"), text,
			"audit events are dropped when more than %d wait for the webhook, fewer than the default of %d", size, usual))
	}
}
