package checks

import (
	"time"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// UnsupportedNodeRuntime reports nodes whose container runtime gets no fixes any more
// (guide: Upgrading and application security practices).
var UnsupportedNodeRuntime = &check.Check{
	ID:             "unsupported-node-runtime",
	Title:          "node's container runtime is no longer supported",
	Recommendation: "UPG-02",
	Severity:       guide.Medium,
	Remedy:         "upgrade the node's container runtime, or replace the node by one with a newer image",
	Needs:          []evidence.Fact{evidence.Hosts},
	Leaves:         advisories,
	Node:           "which container runtimes the nodes have installed",
	Doc: `The runtime stands between a container and the node's kernel, and flaws in it have let
containers out more than once. A release that its makers no longer support does not
get the fix.

Looked at is the installed package of containerd or CRI-O, against the end dates of
containerd's releases, and for CRI-O of the Kubernetes release of the same number, on the day
on which the node was looked at. The dates are part of this program and as of a day of
their own. A node whose status is known is the matter of unsupported-runtime. The finding
ranks below the recommendation: a distribution may still put fixes into a release that its
makers gave up.

    containerd --version
`,
	Run: eachHost(unsupportedNodeRuntime),
}

// advisories are what the release of a system alone does not tell.
var advisories = check.Rest{What: "whether operating systems, kernels, runtimes and packages match an open advisory", To: []guide.Evidence{guide.Vulnerabilities, guide.Host}}

func unsupportedNodeRuntime(n *node) {
	if n.object() != nil {
		n.leaveOut()
		return
	}
	n.sayAge(releasesKnown)
	runtimes := n.runtimes()
	for _, c := range runtimes {
		text, v, known := n.releaseOf(c)
		if !known {
			n.cannot("%s: which release it is is not known", c.Name)
			continue
		}
		ends := containerdSupport
		if c.Name == evidence.CRIO {
			ends = kubernetesSupport
		}
		switch state, end := ends(v, n.ReadAt); state {
		case unknownSupport:
			n.cannot("%s %s is not in the list of releases as of %s", c.Name, v, releasesKnown.Format(time.DateOnly))
		case ended:
			p := n.say(c.Place, evidence.NewPath(c.Name, "version"), text, "%s is %s, and support of %s ended on %s", c.Name, text, v, end.Format(time.DateOnly))
			p.Severity, p.SeverityReason = guide.Medium, "the node's distribution may still put fixes into the release"
		}
	}
	if len(runtimes) == 0 {
		n.cannot("no container runtime was seen")
	}
}
