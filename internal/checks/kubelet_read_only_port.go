package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// KubeletReadOnlyPort reports kubelets that are set up to serve the port that asks
// nobody who they are (guide: Control plane hardening and Worker node segmentation).
var KubeletReadOnlyPort = &check.Check{
	ID:             "kubelet-read-only-port",
	Title:          "kubelet's read-only port is on",
	Recommendation: "CP-07",
	Severity:       guide.High,
	Remedy:         "set readOnlyPort to 0 in the kubelet's configuration, once nothing collects metrics there",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "whether the kubelets' read-only port is on",
	Doc: `The read-only port knows neither TLS nor authentication. It tells everybody which Pods run on
the node, with their arguments and environment variables.

Looked at is readOnlyPort in force, after file, drop-ins and flags; it has to be 0. Not
set, it is 0 for a kubelet with a configuration file and 10255 for one that only has
flags. Whether something listens there is what kubelet-read-only-port-listening looks at.

    apiVersion: kubelet.config.k8s.io/v1beta1
    kind: KubeletConfiguration
    readOnlyPort: 0
`,
	Run: eachKubelet(kubeletReadOnlyPort),
}

func kubeletReadOnlyPort(n *node, c *evidence.Component) {
	const option = "readOnlyPort"
	byDefault := 0
	if flagDefaults(c) {
		byDefault = readOnlyPort
	}
	if port, at, known := setting(n, c, option, byDefault); known && port != 0 {
		n.say(at, flagPath(c, option), optionText(c, option), "the kubelet serves the read-only port %d%s", port, unsetOpen(c, option))
	}
}
