package checks

import (
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// LogLayers reports layers of a node without a log (guide: Logging, the seven layers of
// version 1.1).
var LogLayers = &check.Check{
	ID:             "log-layers",
	Title:          "layer without a log",
	Recommendation: "LOG-01",
	Severity:       guide.High,
	Remedy:         "run auditd and a system log on every node, and keep the API server's audit log",
	Needs:          []evidence.Fact{evidence.Hosts, evidence.ControlPlanes, evidence.Workloads, evidence.Nodes},
	Leaves:         check.Rest{What: "whether the logs of image registry and cloud are kept", To: []guide.Evidence{guide.Attestation}},
	Node:           "which layers of the nodes have a log",
	Doc: `An attack crosses several layers, and the one without a log is where its trail ends. The guide
counts seven: host, application, container, container engine, image registry, API server, cloud.

Of these the nodes decide four. Host: a daemon for the kernel's audit (auditd or the like) must
run, or a sensor for system calls that a DaemonSet brings. Container engine, and the rest of
the host: journald or a syslog daemon, to which they log. API server: its audit log must be on
(audit-log-off says how). Containers, and the applications in them: their output is kept by the
kubelet below /var/log/pods; an agent must read it there, on the node or in a DaemonSet. Where
none was seen the row stays open, as applications may send their logs themselves.

    systemctl enable --now auditd
`,
	Run: eachHost(logLayers),
}

func logLayers(n *node) {
	if c := n.Component(evidence.APIServer); c != nil {
		n.keepsAuditLog(c)
	}
	if !n.sees(evidence.TheLogging) {
		return
	}
	system, kernel := n.Logging.Journald != nil, false
	for _, d := range n.Logging.Daemons {
		system = system || d.Running && syslogDaemons[d.Name]
		kernel = kernel || d.Running && d.Name == auditDaemon
	}
	for _, w := range n.Workloads {
		kernel = kernel || w.Kind == "DaemonSet" && w.Instance == "" && runsImage(w, sensors) && n.mayRun(w)
	}
	if !system {
		n.cannot("neither journald nor a syslog daemon was found")
	}
	n.kernelLayer(kernel)
	if n.Component(evidence.Kubelet) != nil && len(n.agentsOn("/var/log/pods")) == 0 && !slices.ContainsFunc(n.Logging.Daemons, isAgent) {
		n.cannot("no known agent was seen that reads the logs of containers on it")
	}
}

// kernelLayer judges whether logins and system calls are recorded.
func (n *node) kernelLayer(kernel bool) {
	if kernel {
		return
	}
	at, idle := evidence.Position{}, ""
	for _, d := range n.Logging.Daemons {
		if d.Name == auditDaemon {
			at, idle = d.Place, ": "+d.Name+" is installed, but neither runs nor is enabled"
		}
	}
	if ok, why := n.Saw(evidence.TheProcesses); !ok && idle == "" {
		n.cannot("whether a daemon for the kernel's audit runs is not known: %s", why)
		return
	}
	p := n.say(at, evidence.NewPath("logging", "audit"), "", "no daemon records the kernel's audit%s", idle)
	p.Severity, p.SeverityReason = guide.Medium, "logins and system messages are in the system log all the same"
}
