package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ControllerManagerRootCA reports controller managers that are not told which
// authority pods are to verify the API server with (guide: Control plane hardening).
var ControllerManagerRootCA = &check.Check{
	ID:             "controller-manager-root-ca",
	Title:          "controller manager gives pods no authority for the API server",
	Recommendation: "CP-06",
	Severity:       guide.Medium,
	Remedy:         "set --root-ca-file of the controller manager to the authority that signed the API server's certificate",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "which authority pods verify the API server with",
	Doc: `The controller manager puts the cluster's authority into every namespace (the
ConfigMap kube-root-ca.crt) and into token Secrets. With it pods verify the API server.

Looked at is the flag root-ca-file. Without it the controller manager hands out the
authority that its own kubeconfig names, if any. That service-account-private-key-file
is set is not asked for: without it no standing token Secrets are filled, which is
stricter.

` + "```yaml" + `
command: [kube-controller-manager, --root-ca-file=/etc/kubernetes/pki/ca.crt]
` + "```",
	Run: eachComponent(controllerManagerRootCA, evidence.ControllerManager),
}

func controllerManagerRootCA(n *node, c *evidence.Component) {
	if _, given, known := n.given(c, "root-ca-file"); known && !given {
		n.say(c.Place, flagPath(c, "root-ca-file"), "", "%s has no --root-ca-file: it hands pods whatever authority its own kubeconfig names", c.Name)
	}
}
