package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ContainerLogLimits reports kubelets whose limits for containers' logs nobody chose
// (guide: Worker node and container logging).
var ContainerLogLimits = &check.Check{
	ID:             "container-log-limits",
	Title:          "nobody chose how much of containers' logs is kept",
	Recommendation: "NLOG-02",
	Severity:       guide.Low,
	Remedy:         "set containerLogMaxSize and containerLogMaxFiles in the kubelet's configuration to what your policy wants",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "which limits the logs of containers have",
	Doc: `The kubelet rotates the logs of containers. With small limits a noisy container, or somebody
who has something to hide, writes over its own past before an agent has read it; with large
ones the disk fills.

Looked at are containerLogMaxSize and containerLogMaxFiles of the kubelet's configuration.
Both have to be set, to whatever value: the defaults, 10Mi and 5 files, are in force when
nobody has thought about it. The kubelet's own account through the API does not tell a
default from the same value chosen: such a node is then not judged.

    apiVersion: kubelet.config.k8s.io/v1beta1
    kind: KubeletConfiguration
    containerLogMaxSize: 50Mi
    containerLogMaxFiles: 5
`,
	Run: eachKubelet(containerLogLimits),
}

func containerLogLimits(n *node, c *evidence.Component) {
	for _, limit := range []struct{ option, byDefault string }{{"containerLogMaxSize", "10Mi"}, {"containerLogMaxFiles", "5"}} {
		_, set := c.Options[limit.option]
		switch {
		case c.Way == evidence.FromAPI && (!set || optionText(c, limit.option) == limit.byDefault):
			n.cannot("kubelet: whether somebody chose %s is not known: the API shows the default, %s", limit.option, limit.byDefault)
		case set:
		case c.Unread != "":
			n.cannot("kubelet: whether %s is set is not known: %s", limit.option, c.Unread)
		default:
			n.say(configured(c), flagPath(c, limit.option), "", "%s is not set: the default of %s is in force", limit.option, limit.byDefault)
		}
	}
}
