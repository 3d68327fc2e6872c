package checks

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// CNIPlugin reports nodes whose network plugin is known to ignore network policies
// (guide: Network policies).
var CNIPlugin = &check.Check{
	ID:             "cni-plugin",
	Title:          "a node's network plugin enforces no network policies",
	Recommendation: "NET-01",
	Severity:       guide.High,
	Remedy:         "use a network plugin that enforces policies, or add an engine that does",
	Needs:          []evidence.Fact{evidence.Hosts, evidence.Workloads},
	Leaves:         attempt,
	Node:           "which network plugin the nodes use",
	Doc: `The API server stores NetworkPolicies whether or not anything enforces them. It is the
network plugin of the nodes that does, or does not.

Looked at is the first configuration in the folder of the container runtime's plugins
(/etc/cni/net.d as a rule), the one that is in force, with all plugins that it chains or
delegates to. Calico's, Cilium's, Antrea's, Kube-OVN's, OVN-Kubernetes', OpenShift's and
Weave Net's enforce policies. Flannel does not, but K3s enforces them beside it
unless disable-network-policy is set. Of a plugin that may or may not, and of none, nothing
is said, unless the cluster is looked at as well and runs an engine that is known.

    {"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "cilium-cni"}]}
`,
	Run: cniPlugin,
}

// policyPlugins are the plugins, by type, that are known to enforce network policies, or
// known not to.
var policyPlugins = map[string]bool{
	"calico": true, "cilium-cni": true, "antrea": true, "kube-ovn": true, "ovn-k8s-cni-overlay": true,
	"openshift-sdn": true, "weave-net": true,
	"flannel": false,
}

func cniPlugin(r *check.Run) {
	engine := slices.ContainsFunc(r.Workloads, func(w *evidence.Workload) bool {
		enforces, _ := enforcesPolicies(w)
		return enforces
	})
	for _, h := range r.Hosts {
		if h.Root == "" {
			continue // the API does not tell
		}
		n := &node{Run: r, Host: h}
		if !engine {
			judgePlugin(n)
		}
		n.done()
	}
}

func judgePlugin(n *node) {
	if len(n.System.CNI) == 0 {
		if n.sees(evidence.TheFiles) {
			n.cannot("no configuration of a network plugin was found")
		}
		return
	}
	d := n.System.CNI[0]
	if d.Error != "" {
		n.cannot("%s: not read: %s", d.File, d.Error)
		return
	}
	types, err := pluginTypes(d.JSON)
	if err != nil {
		n.cannot("%s: not read: it is no configuration of a plugin", d.File)
		return
	}
	without := ""
	for _, t := range types {
		switch enforces, known := policyPlugins[t]; {
		case enforces:
			return
		case known:
			without = t
		}
	}
	switch {
	case without == "":
		n.cannot("%s: whether network policies are enforced by %s is not known", d.File, strings.Join(types, ", "))
	case n.Distribution == evidence.K3s && !switchedOff(n):
		if c := n.Component("k3s"); c != nil && c.Unread != "" {
			n.cannot("whether K3s enforces network policies is not known: %s", c.Unread)
		}
	default:
		n.say(evidence.Position{File: d.File}, evidence.NewPath("cni", "type"), without,
			"the node's network plugin is %q, which enforces no network policies, and nothing that does is known beside it", without)
	}
}

// switchedOff reports whether K3s was told to enforce no policies.
func switchedOff(n *node) bool {
	for _, c := range n.Components {
		if f, given := c.Flag("disable-network-policy"); given && isTrue(f.Value) {
			return true
		}
	}
	return false
}

// pluginTypes are the plugins of a configuration, also those that another one calls.
func pluginTypes(text []byte) ([]string, error) {
	type plugin struct {
		Type      string          `json:"type"`
		Delegates json.RawMessage `json:"delegates"`
		Delegate  json.RawMessage `json:"delegate"`
	}
	var config struct {
		plugin
		Plugins []plugin `json:"plugins"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, err
	}
	var types []string
	for _, p := range append([]plugin{config.plugin}, config.Plugins...) {
		var called []plugin
		var one plugin
		if json.Unmarshal(p.Delegates, &called) == nil || json.Unmarshal(p.Delegate, &one) == nil {
			called = append(called, one)
		}
		for _, p := range append([]plugin{p}, called...) {
			if p.Type != "" {
				types = append(types, p.Type)
			}
		}
	}
	return types, nil
}
