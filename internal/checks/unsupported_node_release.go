package checks

import (
	"time"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// UnsupportedNodeRelease reports nodes with components of Kubernetes releases that get
// no fixes any more (guide: Upgrading and application security practices).
var UnsupportedNodeRelease = &check.Check{
	ID:             "unsupported-node-release",
	Title:          "node runs a Kubernetes release that is no longer supported",
	Recommendation: "UPG-01",
	Severity:       guide.High,
	Remedy:         "upgrade one minor release at a time, the control plane first",
	Needs:          []evidence.Fact{evidence.Hosts},
	Leaves:         check.Rest{What: "whether these are the newest patches, and no advisory is open", To: []guide.Evidence{guide.Vulnerabilities}},
	Node:           "which releases the components of the nodes are",
	Doc: `A release of Kubernetes gets fixes for about fourteen months. Flaws that are found
later stay open in it, and are public.

Looked at are the tags of the images of kube-apiserver, kube-controller-manager,
kube-scheduler and kube-proxy that a node runs, and the installed package of the kubelet,
against the end dates that the Kubernetes project gave its releases, on the day on which the
node was looked at. These dates are part of this program and as of a day of their own; once
they are older than half a year the answer says so. Where the cluster was looked at too,
kubelets and the API server that answered are the matter of unsupported-release.

    kubelet --version
`,
	Run: eachHost(unsupportedNodeRelease),
}

func unsupportedNodeRelease(n *node) {
	n.sayAge(releasesKnown)
	said := map[string]bool{}
	judged := false
	for _, c := range n.Components {
		switch c.Name {
		case evidence.Kubelet:
			if n.object() != nil {
				continue
			}
		case evidence.APIServer, evidence.ControllerManager, evidence.Scheduler, evidence.KubeProxy:
		default:
			continue
		}
		text, v, known := n.releaseOf(c)
		if !known {
			n.cannot("%s: which release it is is not known", c.Name)
			continue
		}
		if n.Cluster != nil && sameRelease(n.Cluster.Version, v) {
			continue // unsupported-release judges it
		}
		judged = true
		state, end := kubernetesSupport(v, n.ReadAt)
		switch {
		case state == unknownSupport:
			n.cannot("%s: Kubernetes %s is not in the list of releases as of %s", c.Name, v, releasesKnown.Format(time.DateOnly))
		case state == ended && !said[v.String()]:
			said[v.String()] = true
			p := n.say(c.Place, evidence.NewPath(c.Name, "version"), text, "%s is of Kubernetes %s, whose support ended on %s", c.Name, text, end.Format(time.DateOnly))
			if provider := extendedSupport(text); provider != "" {
				p.Severity, p.SeverityReason = guide.Medium, provider+" can support a release longer than the Kubernetes project does"
			}
		}
	}
	if !judged {
		n.leaveOut()
	}
}

func sameRelease(text string, v evidence.Version) bool {
	other, err := evidence.ParseVersion(text)
	return err == nil && other == v
}
