package checks

import (
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// AuditLogMounts reports audit flags that do not agree with what is mounted into the API
// server's pod (guide: Appendix M, whose own example names two different paths).
var AuditLogMounts = &check.Check{
	ID:             "audit-log-mounts",
	Title:          "audit flags do not agree with the API server's mounts",
	Recommendation: "AUD-04",
	Severity:       guide.High,
	Remedy:         "mount the policy read-only and the log's folder writable, from host paths that exist, at the very paths that the flags name",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Leaves:         check.Rest{What: "whether the last event is recent", To: []guide.Evidence{guide.AuditLog}},
	Node:           "whether audit flags, mounts and host paths agree",
	Doc: `An API server in a pod sees only what is mounted into it. A policy or webhook configuration
that is not mounted keeps it from starting; a log that is not goes into the container and is
lost with it.

Looked at are ` + "`--audit-policy-file`" + `, ` + "`--audit-webhook-config-file`" + ` and ` + "`--audit-log-path`" + ` of each
API server, its mounts and what is there on the node. The two configuration files must be
files that exist; mounts of them should be read-only. The log's mount must be writable, and be
that of a folder: a log that is mounted as a single file cannot be renamed, so that the API
server cannot rotate it and stops recording when it is full. The path - is the container's
own output, which is kept as the logs of containers are.

    volumeMounts:
      - {name: audit-policy, mountPath: /etc/kubernetes/audit, readOnly: true}
      - {name: audit-log, mountPath: /var/log/kubernetes/audit}
`,
	Run: eachComponent(auditLogMounts, evidence.APIServer),
}

func auditLogMounts(n *node, c *evidence.Component) {
	switch policy, _, known := n.flag(c, auditPolicyFlag, ""); {
	case !known:
		return
	case policy == "":
		n.inapplicable(auditsNothing)
		return
	}
	for _, name := range []string{auditPolicyFlag, auditWebhookFlag} {
		if f, given := c.Flag(name); given && f.Value != "" {
			auditInput(n, c, f)
		}
	}
	if f, ok := auditLog(c); ok {
		auditOutput(n, c, f)
	}
}

// auditInput judges a file that the API server reads.
func auditInput(n *node, c *evidence.Component, f evidence.Flag) {
	path := flagPath(c, f.Name)
	host, mounted := c.HostPath(f.Value)
	if !mounted {
		n.say(f.Place, path, f.Value, "--%s names %q, which is not mounted into the API server's pod", f.Name, f.Value)
		return
	}
	file := n.lookedAt(c, f, host)
	switch {
	case file == nil:
	case file.Type == evidence.Missing:
		n.say(f.Place, path, f.Value, "--%s names %q, but %s is not there on the node", f.Name, f.Value, host)
	case file.Type != evidence.Regular:
		n.say(f.Place, path, f.Value, "--%s names %q, but %s is no file", f.Name, f.Value, host)
	}
	if m, ok := c.Mount(f.Value); c.Pod && ok && !m.ReadOnly {
		p := n.say(f.Place, path.Field("mount"), m.Container, "%q, with the file of --%s, is mounted writable into the API server's pod", m.Container, f.Name)
		p.Severity, p.SeverityReason = guide.Low, "it takes an API server that was broken into"
	}
}

// auditOutput judges where the audit log is written to.
func auditOutput(n *node, c *evidence.Component, f evidence.Flag) {
	path := flagPath(c, f.Name)
	host, mounted := c.HostPath(f.Value)
	if !mounted {
		n.say(f.Place, path, f.Value, "--%s writes to %q inside the API server's container: nothing of the node is mounted there, and the log is lost with the container", f.Name, f.Value)
		return
	}
	file := n.Files[host]
	m, _ := c.Mount(f.Value) // none for one that is in no pod
	switch {
	case m.ReadOnly:
		n.say(f.Place, path, f.Value, "--%s writes to %q, but %q is mounted read-only into the API server's pod", f.Name, f.Value, m.Container)
	case file != nil && file.Type == evidence.Directory:
		n.say(f.Place, path, f.Value, "--%s names %q, but %s is a folder", f.Name, f.Value, host)
	case strings.TrimSuffix(m.Container, "/") == f.Value:
		n.say(f.Place, path, f.Value, "%q is mounted into the API server's pod as a single file, which cannot be rotated: nothing is recorded once it is full", f.Value)
	}
}
