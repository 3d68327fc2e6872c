package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// KubeletAPIAccess reports kubelets that let others in than those whom the API server
// allows (guide: Control plane hardening and Worker node segmentation, Tables II and
// III).
var KubeletAPIAccess = &check.Check{
	ID:             "kubelet-api-access",
	Title:          "kubelet's API is open",
	Recommendation: "CP-07",
	Severity:       guide.Critical,
	Remedy:         "set authentication.anonymous.enabled to false, authentication.x509.clientCAFile, and authorization.mode to Webhook in the kubelet's configuration",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "whom the kubelets let in",
	Doc: `Whoever the kubelet lets in on port 10250 reads logs and runs commands in every container
of the node.

Looked at is the configuration in force, after file, drop-ins and flags:
authentication.anonymous.enabled has to be false, authentication.x509.clientCAFile has to
name an authority, and authorization.mode has to be Webhook, by which the API server
decides. What is not set has its default, and that differs: a kubelet with a
configuration file refuses anonymous requests and asks the API server; one that only has
flags lets everybody do everything. Where anonymous requests are let in but the API server
decides about them the finding is high.

    apiVersion: kubelet.config.k8s.io/v1beta1
    kind: KubeletConfiguration
    authentication:
      anonymous: {enabled: false}
      webhook: {enabled: true}
      x509: {clientCAFile: /etc/kubernetes/pki/ca.crt}
    authorization: {mode: Webhook}
`,
	Run: eachKubelet(kubeletAPIAccess),
}

const (
	anonymousOption   = "authentication.anonymous.enabled"
	clientCAOption    = "authentication.x509.clientCAFile"
	kubeletModeOption = "authorization.mode"
)

func kubeletAPIAccess(n *node, c *evidence.Component) {
	mode := n.kubeletAuthorization(c)
	anonymous, at, known := setting(n, c, anonymousOption, flagDefaults(c))
	if known && anonymous {
		p := n.say(at, flagPath(c, anonymousOption), optionText(c, anonymousOption), "the kubelet takes requests without credentials%s", unsetOpen(c, anonymousOption))
		if mode == kubeletWebhook {
			p.Severity, p.SeverityReason = guide.High, "the API server decides what they may do"
		}
	}
	authority, at, known := setting(n, c, clientCAOption, "")
	if known && authority == "" {
		p := n.say(at, flagPath(c, clientCAOption), "", "the kubelet verifies no client's certificate: no clientCAFile is set")
		p.Severity, p.SeverityReason = guide.Medium, "it keeps the API server out rather than letting others in"
	}
}

const (
	kubeletWebhook     = "Webhook"
	kubeletAlwaysAllow = "AlwaysAllow"
)

// kubeletAuthorization judges how a kubelet authorizes, and says how; "" when that is not
// known.
func (n *node) kubeletAuthorization(c *evidence.Component) string {
	byDefault := kubeletWebhook
	if flagDefaults(c) {
		byDefault = kubeletAlwaysAllow
	}
	mode, at, known := setting(n, c, kubeletModeOption, byDefault)
	switch {
	case !known:
		return ""
	case mode == "":
		mode = byDefault
	case mode != kubeletWebhook && mode != kubeletAlwaysAllow:
		n.cannot("kubelet: what the authorization mode %q does is not known", mode)
	}
	if mode == kubeletAlwaysAllow {
		n.say(at, flagPath(c, kubeletModeOption), optionText(c, kubeletModeOption),
			"the kubelet lets everyone whom it authenticates do everything: its authorization mode is AlwaysAllow%s", unsetOpen(c, kubeletModeOption))
	}
	return mode
}
