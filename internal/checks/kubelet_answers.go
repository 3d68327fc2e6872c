package checks

import (
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// KubeletAnswers reports kubelets that really take requests without credentials (guide:
// Control plane hardening and Worker node segmentation, Tables II and III).
var KubeletAnswers = &check.Check{
	ID:             "kubelet-answers",
	Title:          "the kubelet takes requests without credentials",
	Recommendation: "CP-07",
	Severity:       guide.Critical,
	Remedy:         "set authentication.anonymous.enabled to false, authorization.mode to Webhook and readOnlyPort to 0",
	Needs:          []evidence.Fact{evidence.Nodes, evidence.Namespaces},
	Probe:          "what the kubelets answer to somebody without credentials",
	Doc: `A kubelet that asks nobody who they are lets everybody who reaches it run commands in every
container of the node; its read-only port, 10255, tells of all Pods with their arguments and
environment.

Looked at is what the kubelet really answered to a request for its Pods without
credentials, on each port. If it refused them to the user system:anonymous,
anonymous requests are on, and only its authorization holds them back: that is high.

    authentication:
      anonymous:
        enabled: false
    authorization:
      mode: Webhook
    readOnlyPort: 0
`,
	Run: eachProbed(kubeletAnswers, evidence.Kubelet),
}

func kubeletAnswers(p *probedPort) {
	if tries, requests := p.answered(); len(tries) > 0 {
		problem := p.say("anonymous", tries, requests, "answers %s to somebody without credentials", requests)
		if !slices.ContainsFunc(tries, func(t *evidence.Probed) bool { return t.TLS }) {
			problem.Severity, problem.SeverityReason = guide.High, "the read-only port runs no commands"
		}
		return
	}
	if tries, requests := p.takenForAnonymous(); len(tries) > 0 {
		problem := p.say("anonymous", tries, requests, "takes requests without credentials to be from system:anonymous (%s)", requests)
		problem.Severity, problem.SeverityReason = guide.High, "the request was refused all the same"
		return
	}
	p.unheard()
}
