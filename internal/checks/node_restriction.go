package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// NodeRestriction reports API servers on which kubelets may change the objects of other
// nodes (guide: Role-based access control).
var NodeRestriction = &check.Check{
	ID:             "node-restriction",
	Title:          "kubelets may change the objects of other nodes",
	Recommendation: "RBAC-01",
	Severity:       guide.High,
	Remedy:         "add NodeRestriction to --enable-admission-plugins",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "whether kubelets are held to their own node",
	Doc: `The Node authorizer limits what a kubelet may read, and lets it write Nodes and Pods.
Only the admission plugin NodeRestriction holds it to its own: without it, whoever has
taken one node relabels others and draws workloads to where their secrets can be read.

Looked at is whether NodeRestriction is among enable-admission-plugins (it is off
unless it is) where Node is among the authorization modes.

` + "```yaml" + `
command: [kube-apiserver, --enable-admission-plugins=NodeRestriction]
` + "```",
	Run: eachComponent(nodeRestriction, evidence.APIServer),
}

func nodeRestriction(n *node, c *evidence.Component) {
	list, _, known := n.authorizers(c)
	if !known || !has(list, "Node") {
		return
	}
	on, at, known := n.plugin(c, "NodeRestriction", false)
	if known && !on {
		n.say(at.at, flagPath(c, "enable-admission-plugins").Field("NodeRestriction"), "", "%s lets every kubelet change the objects of other nodes: the admission plugin NodeRestriction is off", c.Name)
	}
}
