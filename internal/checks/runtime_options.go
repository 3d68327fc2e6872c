package checks

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// runtime is a container runtime of the node, nil where it has none of that name, or its
// kubelet is set up to use another one.
func (n *node) runtime(name string) *evidence.Component {
	if kubelet := n.Component(evidence.Kubelet); kubelet != nil {
		if endpoint := optionText(kubelet, "containerRuntimeEndpoint"); endpoint != "" && !strings.Contains(endpoint, name) {
			return nil
		}
	}
	return n.Component(name)
}

// runtimes are the container runtimes of the node that its kubelet may use.
func (n *node) runtimes() []*evidence.Component {
	list := []*evidence.Component{n.runtime(evidence.Containerd), n.runtime(evidence.CRIO)}
	return slices.DeleteFunc(list, func(c *evidence.Component) bool { return c == nil })
}

// criPlugins are the names of the plugin by which containerd serves Kubernetes, the one
// of version 3 of its configuration first.
func criPlugins() []string {
	return []string{`plugins."io.containerd.cri.v1.runtime".`, `plugins."io.containerd.grpc.v1.cri".`, "plugins.cri."}
}

// criSwitch is a switch of the plugin by which containerd serves Kubernetes, under the
// name it has in the configuration; it is off unless set. known is false where there is
// no containerd, and where nobody knows, which is recorded.
func (n *node) criSwitch(name string) (on bool, option string, at evidence.Position, known bool) {
	c := n.runtime(evidence.Containerd)
	if c == nil {
		return false, "", at, false
	}
	for _, plugin := range criPlugins() {
		if o, set := c.Options[plugin+name]; set {
			if err := json.Unmarshal(o.Value, &on); err != nil {
				n.cannot("containerd: %s%s: %s is neither true nor false", plugin, name, o.Value)
				return false, "", at, false
			}
			return on, plugin + name, o.Place, true
		}
	}
	option = criPlugins()[0] + name
	at, known = n.option(c, option, &on)
	return on, option, at, known
}
