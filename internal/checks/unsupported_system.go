package checks

import (
	"time"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// UnsupportedSystem reports nodes whose operating system gets no fixes any more (guide:
// Upgrading and application security practices).
var UnsupportedSystem = &check.Check{
	ID:             "unsupported-system",
	Title:          "node's operating system is no longer supported",
	Recommendation: "UPG-02",
	Severity:       guide.High,
	Remedy:         "replace the node by one with a supported release of the operating system",
	Needs:          []evidence.Fact{evidence.Hosts},
	Leaves:         advisories,
	Node:           "which operating systems the nodes have",
	Doc: `A flaw in the kernel or in a library of the node is a way out of every container on it. A
distribution past its end does not get the fix.

Looked at are ID and VERSION_ID of os-release, against the days until which Debian (its long
term support), Ubuntu, RHEL and those built from it, Amazon Linux and SLES get security fixes,
on the day on which the node was looked at. These dates are part of this program and as of a
day of their own; once they are older than half a year the answer says so. Where the makers sell
fixes for longer the finding is medium: whether the node gets them is not looked at. Systems
that update themselves as a whole, such as Flatcar, Bottlerocket, Talos or Container-Optimized
OS, have no such dates here and are not judged.

    cat /etc/os-release
`,
	Run: eachHost(unsupportedSystem),
}

func unsupportedSystem(n *node) {
	n.sayAge(systemsKnown)
	s := &n.System
	if s.OS == "" {
		n.cannot("which operating system it has is not known")
		return
	}
	end, listed := systemEnd(s.OS, s.OSVersion)
	switch {
	case !listed:
		n.cannot("how long %s %s is supported is not known here", s.OS, s.OSVersion)
	case supportUntil(end.free, n.ReadAt) == ended:
		p := n.say(evidence.Position{File: "/etc/os-release"}, evidence.NewPath("system", "os"), s.OSVersion, "the node has %s %s, whose support ended on %s", s.OS, s.OSVersion, end.free.Format(time.DateOnly))
		if !end.paid.IsZero() && supportUntil(end.paid, n.ReadAt) == supported {
			p.Severity, p.SeverityReason = guide.Medium, "its makers sell fixes until "+end.paid.Format(time.DateOnly)
		}
	}
}
