package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// AuditLogFile reports audit logs that others than root can read or change (guide:
// Appendix M).
var AuditLogFile = &check.Check{
	ID:             "audit-log-file",
	Title:          "audit log is open to others than root",
	Recommendation: "AUD-04",
	Severity:       guide.High,
	Remedy:         "chown root:root and chmod 600 the log, and let only root write to its folder",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "who may read and change the audit log",
	Doc: `The audit log names everybody's requests, and with a level above Metadata holds what was in
them. Who can write to it can remove the trail.

Looked at are mode and owner of the file that ` + "`--audit-log-path`" + ` names, where it is on the node,
and whether others may write to its folder. The file must belong to root, or to the user that
the API server runs as, with mode 600 or stricter: so the API server itself makes it. A log
that was not written yet has no file; its folder is judged all the same.

    chown root:root /var/log/kubernetes/audit/audit.log
    chmod 600 /var/log/kubernetes/audit/audit.log
`,
	Run: eachComponent(auditLogFile, evidence.APIServer),
}

func auditLogFile(n *node, c *evidence.Component) {
	f, ok := auditLog(c)
	host, mounted := c.HostPath(f.Value)
	switch {
	case !ok:
		n.noAuditLog(c)
		return
	case !mounted:
		n.leaveOut() // audit-log-mounts says so
		return
	}
	file := n.lookedAt(c, f, host)
	if file == nil {
		return
	}
	if file.Type == evidence.Regular {
		if file.Mode&0o077 != 0 {
			n.sayFile(file, "mode", octal(file.Mode), "the audit log %s has mode %s: others than its owner may use it", host, octal(file.Mode))
		}
		if !owned(file, c) {
			n.sayFile(file, "owner", "", "the audit log %s belongs to user %d, not to root", host, file.UID)
		}
	}
	n.folderOf(c, f, host, "the audit log")
}
