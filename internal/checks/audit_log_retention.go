package checks

import (
	"strconv"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// AuditLogRetention reports audit logs that are not rotated and kept by limits that
// somebody set (guide: Appendix M; Kubernetes 1.36 changed the defaults).
var AuditLogRetention = &check.Check{
	ID:             "audit-log-retention",
	Title:          "audit log is kept or rotated without limits",
	Recommendation: "AUD-05",
	Severity:       guide.Medium,
	Remedy:         "set --audit-log-maxage by the organization's policy, and --audit-log-maxbackup and --audit-log-maxsize by the free space",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "how long the audit log is kept",
	Doc: `Attacks are often found after months. How long audit logs are kept is for the organization to
say; on the node it is a matter of three flags.

Looked at are ` + "`--audit-log-maxage`" + ` (days), ` + "`--audit-log-maxbackup`" + ` (files) and ` + "`--audit-log-maxsize`" + `
(megabytes) of API servers that write to a file. Since 1.36 they are by default 366, 100 and
100; before, the first two had no limit, and not having set them is reported. So are both of
them 0, with which no file is ever removed, a size of 0 (since 1.36 the file then grows for
ever; before it meant 100), and an age below 30 days. Whether it all fits the disk is
log-space's question.

    - --audit-log-maxage=365
    - --audit-log-maxbackup=50
    - --audit-log-maxsize=100
`,
	Run: eachComponent(auditLogRetention, evidence.APIServer),
}

// limits are how an audit log is rotated and kept: 0 is no limit.
type limits struct{ age, backups, size limit }

// A limit is a number that a flag sets, or that holds by default.
type limit struct {
	flag  string
	value int
	given bool
	at    evidence.Position
}

// auditLimits reads the flags of an API server; false, which is recorded, when nobody
// knows them.
func (n *node) auditLimits(c *evidence.Component) (l limits, known bool) {
	age, backups := 0, 0
	if n.runs(c).AtLeast(36) {
		age, backups = 366, 100
	}
	var a, b, s bool
	l.age, a = n.limit(c, "audit-log-maxage", age)
	l.backups, b = n.limit(c, "audit-log-maxbackup", backups)
	l.size, s = n.limit(c, "audit-log-maxsize", 100)
	if l.size.value == 0 && !n.runs(c).AtLeast(36) {
		l.size.value = 100
	}
	return l, a && b && s
}

func (n *node) limit(c *evidence.Component, flag string, byDefault int) (limit, bool) {
	text, at, known := n.flag(c, flag, strconv.Itoa(byDefault))
	if !known {
		return limit{}, false
	}
	value, err := strconv.Atoi(text)
	if err != nil || value < 0 {
		n.cannot("%s: --%s=%s is not a limit", c.Name, flag, text)
		return limit{}, false
	}
	_, given := c.Flag(flag)
	return limit{flag, value, given, at}, true
}

func auditLogRetention(n *node, c *evidence.Component) {
	if _, ok := auditLog(c); !ok {
		n.noAuditLog(c)
		return
	}
	l, known := n.auditLimits(c)
	if !known {
		return
	}
	say := func(of limit, format string, args ...any) *check.Problem {
		value := ""
		if of.given {
			value = strconv.Itoa(of.value)
		}
		return n.say(of.at, flagPath(c, of.flag), value, format, args...)
	}
	for _, of := range []limit{l.age, l.backups} {
		if of.value == 0 && !of.given {
			say(of, "how long audit logs are kept is not set: --%s is missing, and has no limit by default", of.flag)
		}
	}
	if l.age.value == 0 && l.backups.value == 0 && l.age.given && l.backups.given {
		say(l.backups, "no audit log is ever removed: --%s and --%s are both 0", l.age.flag, l.backups.flag)
	}
	if l.size.value == 0 {
		say(l.size, "the audit log is never rotated: --%s is 0", l.size.flag)
	}
	if l.age.value > 0 && l.age.value < 30 {
		p := say(l.age, "audit logs are kept for %d days only", l.age.value)
		p.Severity, p.SeverityReason = guide.Low, "they may be kept longer elsewhere"
	}
}
