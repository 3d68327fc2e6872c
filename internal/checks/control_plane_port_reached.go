package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ControlPlanePortReached reports schedulers and controller managers that were really
// reached from elsewhere (guide: Control plane hardening, Table II).
var ControlPlanePortReached = &check.Check{
	ID:             "control-plane-port-reached",
	Title:          "scheduler or controller manager is reached from elsewhere",
	Recommendation: "CP-03",
	Severity:       guide.Medium,
	Remedy:         "set bind-address to 127.0.0.1 in the component's static Pod manifest",
	Needs:          []evidence.Fact{evidence.Nodes, evidence.Namespaces},
	Probe:          "whether the scheduler and the controller managers can be reached",
	Doc: `Nobody but the control plane has business with the scheduler (10259), the controller
manager (10257) and the cloud controller manager (10258).

Looked at is whether a connection to one really came about. Not counted are connections
from a control plane node itself. That it also gave its metrics to somebody without
credentials makes it high.

    - --bind-address=127.0.0.1
`,
	Run: eachTried(controlPlanePortReached, evidence.ControllerManager, evidence.CloudControllerManager, evidence.Scheduler),
}

func controlPlanePortReached(p *probedPort) {
	if answered, requests := p.answered(); len(answered) > 0 {
		problem := p.say("reached", answered, requests, "answers %s to somebody without credentials", requests)
		problem.Severity, problem.SeverityReason = guide.High, "the request was answered"
		return
	}
	if tries := p.fromElsewhere(); len(tries) > 0 {
		p.say("reached", tries, "", "can be reached from %s", from(tries))
		return
	}
	p.open = len(p.tries) > 0 // from the control plane itself anything may be reached
}
