package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// APIServerAnswers reports API servers that really take requests without credentials
// (guide: Authentication and authorization).
var APIServerAnswers = &check.Check{
	ID:             "api-server-answers",
	Title:          "the API server takes requests without credentials",
	Recommendation: "AUTHN-01",
	Severity:       guide.High,
	Remedy:         "limit anonymous requests to the health checks by an AuthenticationConfiguration",
	Needs:          []evidence.Fact{evidence.Nodes, evidence.Namespaces},
	Probe:          "what the API server answers to somebody without credentials",
	Doc: `A request without credentials should be turned away before anybody asks what it may do.
Where anonymous requests are on, one binding to system:anonymous or
system:unauthenticated opens the cluster to everybody who reaches it.

Looked at is what the API server really answered to requests without credentials for /api
and for the list of namespaces. If it gave it, that is critical. If it refused it to
the user system:anonymous, anonymous requests are on, and only the rights hold them
back. /version and the health checks are public by default and do not count.

    apiVersion: apiserver.config.k8s.io/v1
    kind: AuthenticationConfiguration
    anonymous:
      enabled: true
      conditions: [{path: /livez}, {path: /readyz}, {path: /healthz}]
`,
	Run: eachProbed(apiServerAnswers, evidence.APIServer),
}

func apiServerAnswers(p *probedPort) {
	if tries, requests := p.answered(); len(tries) > 0 {
		problem := p.say("anonymous", tries, requests, "answers %s to somebody without credentials", requests)
		problem.Severity, problem.SeverityReason = guide.Critical, "the request was answered"
		return
	}
	if tries, requests := p.takenForAnonymous(); len(tries) > 0 {
		p.say("anonymous", tries, requests, "takes requests without credentials to be from system:anonymous (%s)", requests)
		return
	}
	p.unheard()
}

// takenForAnonymous are the tries in which a request was refused, but to a user that
// only exists where anonymous requests are on.
func (p *probedPort) takenForAnonymous() (tries []*evidence.Probed, requests string) {
	return p.asked(func(q evidence.ProbedRequest) bool { return q.User == "system:anonymous" })
}
