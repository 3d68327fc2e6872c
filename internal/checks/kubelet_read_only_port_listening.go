package checks

import (
	"encoding/json"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// KubeletReadOnlyPortListening reports kubelets that really serve the port that asks
// nobody who they are (guide: Control plane hardening and Worker node segmentation,
// Tables II and III, which do not have it).
var KubeletReadOnlyPortListening = &check.Check{
	ID:             "kubelet-read-only-port-listening",
	Title:          "the kubelet's read-only port is open",
	Recommendation: "CP-07",
	Severity:       guide.High,
	Remedy:         "set readOnlyPort to 0 in the kubelet's configuration and start it anew",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "whether the kubelet's read-only port is open",
	Doc: `On its read-only port, 10255 by custom, the kubelet tells everybody who connects which
Pods run on the node, with their environment variables, arguments and annotations. There
is neither TLS nor authentication.

Looked at are the sockets of the node's network: whether the kubelet, or a program that
is not known, listens on 10255 or on the port that readOnlyPort names. Where sockets were
not seen nothing is said: the setting is another rule's matter.

    apiVersion: kubelet.config.k8s.io/v1beta1
    kind: KubeletConfiguration
    readOnlyPort: 0
`,
	Run: eachListening(kubeletReadOnlyPortListening, evidence.Kubelet),
}

const readOnlyPort = 10255

func kubeletReadOnlyPortListening(n *netNode, c *evidence.Component) {
	port, at := uint16(readOnlyPort), c.Place
	if o, set := c.Options["readOnlyPort"]; set {
		var number uint16
		at = o.Place
		if json.Unmarshal(o.Value, &number) == nil && number != 0 {
			port = number
		}
	}
	var open []evidence.Socket
	for _, s := range n.Sockets {
		if s.Protocol == "tcp" && s.Address.Port() == port && (s.Process == "" || s.Process == evidence.Kubelet) {
			open = append(open, s)
		}
	}
	if len(open) > 0 {
		n.say(at, flagPath(c, "readOnlyPort").Field("listening"), places(open), "the kubelet's read-only port is open: %s", places(open))
	}
}
