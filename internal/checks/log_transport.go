package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// LogTransport reports logs that leave a node unencrypted or for nobody knows whom
// (guide: Logging).
var LogTransport = &check.Check{
	ID:             "log-transport",
	Title:          "logs are sent without verified TLS",
	Recommendation: "LOG-05",
	Severity:       guide.High,
	Remedy:         "switch the output to TLS, and verify the target by its authority and name",
	Needs:          []evidence.Fact{evidence.Hosts, evidence.ControlPlanes, evidence.Workloads},
	Leaves:         check.Rest{What: "whether the sender may only add to the logs at the target", To: []guide.Evidence{guide.Attestation}},
	Node:           "whether logs leave the nodes over TLS",
	Doc: `Logs tell an intruder as much as they tell an analyst, and on their way can be read, held back
and forged, unless they go over TLS to a target that is verified.

Looked at are the outputs of log daemons and agents that run on a node (rsyslog, syslog-ng,
Fluent Bit, Vector, …) and the server in the API server's audit webhook. Each must use TLS, and
verify the target's certificate. What is sent to the node itself is left out. An output of
which the configuration does not tell leaves the row open, and so does a log agent in a
DaemonSet, whose settings are in a format of its own. That the target only lets the sender add to the
logs is for a person to state.

    action(type="omfwd" target="logs.example.com" port="6514" protocol="tcp"
           StreamDriver="gtls" StreamDriverMode="1" StreamDriverAuthMode="x509/name")
`,
	Run: eachHost(logTransport),
}

func logTransport(n *node) {
	any := n.eachOutput(n.outputTransport)
	if c := n.Component(evidence.APIServer); c != nil {
		if w := n.auditWebhookOf(c); w != nil {
			any = true
			if !local(w.config.Clusters[w.cluster].Cluster.Server) {
				n.unsafeTransport(c, w)
			}
		}
	}
	any = n.agentSettings("sends logs over TLS") || any
	if !any {
		n.nothingSent()
	}
}

func (n *node) outputTransport(d evidence.LogDaemon, path evidence.Path, o evidence.LogOutput) {
	switch {
	case o.TLS == nil:
		n.cannot("%s: whether it sends to %q over TLS is not known", d.Name, o.Target)
	case !*o.TLS:
		n.say(o.Place, path.Field("tls"), o.Protocol, "%s sends logs to %q over %s without TLS", d.Name, o.Target, o.Protocol)
	case o.Verified == nil:
		n.cannot("%s: whether it verifies the certificate of %q is not known", d.Name, o.Target)
	case !*o.Verified:
		n.say(o.Place, path.Field("verified"), "", "%s sends logs to %q without verifying its certificate", d.Name, o.Target)
	}
}

// agentSettings leaves open what DaemonSets with a log agent do on the node: their
// settings are not read. It reports whether there are any.
func (n *node) agentSettings(question string) bool {
	agents := n.agentsOn("/var/log/pods")
	for _, w := range agents {
		n.cannot("whether %s %s is in its own settings, which are not read", w.Ref, question)
	}
	return len(agents) > 0
}
