package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// LogBuffer reports logs that are lost while the service that they go to is down (guide:
// Fault tolerance).
var LogBuffer = &check.Check{
	ID:             "log-buffer",
	Title:          "logs are lost while the log service is down",
	Recommendation: "FT-02",
	Severity:       guide.Medium,
	Remedy:         "keep the output's queue on disk and retry without end, and keep the audit log's path beside the webhook",
	Needs:          []evidence.Fact{evidence.Hosts, evidence.ControlPlanes, evidence.Workloads},
	Node:           "whether logs are kept while the log service is down",
	Doc: `A log service fails, or is cut off by somebody who wants to act without a record. What is sent
then must be kept on the node and sent later.

Looked at are the outputs of log daemons and agents that run on a node: each must keep on disk
what it cannot send. Messages over UDP are gone when they were sent, whoever listens. An API server with an audit
webhook must keep its local log as well (` + "`--audit-log-path`" + `): the webhook's buffer is memory.
An output of which the configuration does not tell leaves the row open, and so does a log
agent in a DaemonSet, whose settings are in a format of its own.

    action(type="omfwd" target="logs.example.com" port="6514" protocol="tcp"
           queue.type="LinkedList" queue.filename="forward" queue.saveOnShutdown="on"
           action.resumeRetryCount="-1")
`,
	Run: eachHost(logBuffer),
}

func logBuffer(n *node) {
	any := n.eachOutput(func(d evidence.LogDaemon, path evidence.Path, o evidence.LogOutput) {
		path = path.Field("buffered")
		switch {
		case o.Protocol == "udp":
			n.say(o.Place, path, o.Protocol, "%s sends logs to %q over udp, by which they are lost while nobody listens", d.Name, o.Target)
		case o.Buffered == nil:
			n.cannot("%s: whether it keeps on disk what it cannot send to %q is not known", d.Name, o.Target)
		case !*o.Buffered:
			n.say(o.Place, path, "", "%s does not keep on disk what it cannot send to %q", d.Name, o.Target)
		}
	})
	any = webhookBeside(n) || any
	any = n.agentSettings("buffers logs on disk") || any
	if !any {
		n.nothingSent()
	}
}

// webhookBeside judges whether an API server that sends its audit log away keeps it as
// well. It reports whether it sends it.
func webhookBeside(n *node) bool {
	c := n.Component(evidence.APIServer)
	if c == nil {
		return false
	}
	f, given := c.Flag(auditWebhookFlag)
	if !given || f.Value == "" {
		return false
	}
	if log, at, known := n.flag(c, auditLogFlag, ""); known && log == "" {
		if at == c.Place {
			at = f.Place
		}
		n.say(at, flagPath(c, auditLogFlag), "", "audit events that the webhook does not take are lost: --%s is not set beside --%s", auditLogFlag, auditWebhookFlag)
	}
	return true
}
