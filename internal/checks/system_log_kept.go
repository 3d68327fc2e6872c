package checks

import (
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// SystemLogKept reports nodes whose journal does not outlive a restart (guide: Syslog).
var SystemLogKept = &check.Check{
	ID:             "system-log-kept",
	Title:          "system log is lost when the node restarts",
	Recommendation: "SYS-01",
	Severity:       guide.Medium,
	Remedy:         "set Storage=persistent in journald.conf",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "whether the journal is kept on disk",
	Doc: `What happens below Kubernetes, such as logins, kernel messages and what the kubelet and the
container engine say, is recorded by the node's system log only. A journal in memory is gone
after a restart, which an intruder can cause.

Looked at are journald's settings after their drop-ins: ` + "`Storage=persistent`" + ` keeps the journal on
disk, auto (the default) where /var/log/journal is there, volatile keeps it in memory, and none
not at all. A syslog daemon that runs keeps files of its own, and is enough unless Storage is
none and nothing is forwarded to it.

    # /etc/systemd/journald.conf.d/keep.conf
    [Journal]
    Storage=persistent
`,
	Run: eachHost(systemLogKept),
}

func systemLogKept(n *node) {
	if !n.sees(evidence.TheLogging) {
		return
	}
	syslog := false
	for _, d := range n.Logging.Daemons {
		syslog = syslog || d.Running && syslogDaemons[d.Name]
	}
	if n.Logging.Journald == nil {
		if !syslog {
			n.cannot("neither journald nor a syslog daemon was found")
		}
		return
	}
	storage := n.Logging.Journald["Storage"]
	at, path := storage.Place, evidence.NewPath("journald", "Storage")
	switch value := strings.ToLower(storage.Value); {
	case value == "none" && (!syslog || !yes(n.Logging.Journald["ForwardToSyslog"].Value)):
		n.say(at, path, storage.Value, "the system log is not kept: journald's Storage is none")
	case syslog:
	case value == "volatile":
		n.say(at, path, storage.Value, "the system log is lost when the node restarts: journald's Storage is volatile")
	case value != "persistent" && !n.Logging.PersistentJournal:
		n.say(at, path, storage.Value, "the system log is lost when the node restarts: journald keeps it in memory, as /var/log/journal is not there")
	}
}

// yes reads a truth value of systemd.
func yes(value string) bool {
	switch strings.ToLower(value) {
	case "1", "yes", "y", "true", "t", "on":
		return true
	}
	return false
}
