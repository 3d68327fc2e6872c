package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// SystemLogForwarded reports nodes whose system log stays on them (guide: Syslog; SIEM
// platforms).
var SystemLogForwarded = &check.Check{
	ID:             "system-log-forwarded",
	Title:          "system log stays on the node",
	Recommendation: "SYS-01",
	Severity:       guide.Medium,
	Remedy:         "send the system log to an aggregator by rsyslog, syslog-ng, systemd-journal-upload or a log agent",
	Needs:          []evidence.Fact{evidence.Hosts, evidence.Workloads, evidence.Nodes},
	Leaves:         check.Rest{What: "whether the logs arrive where they are analysed, with those of the API server and of containers", To: []guide.Evidence{guide.Attestation}},
	Node:           "whether the system log is sent to an aggregator",
	Doc: `A system log that stays on its node is lost with it, and an intruder on the node can change it.

Looked at are the log daemons and agents that run on the node and have a target elsewhere:
rsyslog, syslog-ng, systemd-journal-upload, Fluent Bit, Vector and others; and the DaemonSets
with a known log agent that mount the node's journal (/var/log, /var/log/journal or
/run/log/journal) and may run on the node. A daemon that is installed but neither runs nor is
enabled sends nothing. Where an agent may run that was not seen, or a configuration was not
understood, the row stays open.

    # /etc/rsyslog.d/forward.conf
    action(type="omfwd" target="logs.example.com" port="6514" protocol="tcp" StreamDriver="gtls"
           StreamDriverMode="1" StreamDriverAuthMode="x509/name" queue.type="LinkedList"
           queue.filename="forward" queue.saveOnShutdown="on" action.resumeRetryCount="-1")
`,
	Run: eachHost(systemLogForwarded),
}

func systemLogForwarded(n *node) {
	for _, d := range senders(n.Host) {
		if d.Name != auditDaemon {
			return
		}
	}
	if len(n.agentsOn("/var/log/journal"))+len(n.agentsOn("/run/log/journal")) > 0 {
		return
	}
	if why := n.unsent(); why != "" {
		n.cannot("whether its system log is sent anywhere is not known: %s", why)
		return
	}
	at, idle := evidence.Position{}, ""
	for _, d := range n.Logging.Daemons {
		if d.Name == auditDaemon {
			continue
		}
		at, idle = d.Place, ": "+d.Name+" has no target elsewhere"
		if !d.Running {
			idle = ": " + d.Name + " is installed, but neither runs nor is enabled"
		}
	}
	n.say(at, evidence.NewPath("logging", "outputs"), "", "the system log stays on the node%s", idle)
}
