package checks

import (
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ControlPlaneBindAddress reports schedulers and controller managers that listen
// beyond the node (guide: Table II, control plane ports).
var ControlPlaneBindAddress = &check.Check{
	ID:             "control-plane-bind-address",
	Title:          "scheduler or controller manager listens beyond the node",
	Recommendation: "CP-03",
	Severity:       guide.Medium,
	Remedy:         "set --bind-address=127.0.0.1, or close the port in the firewall where a metrics collector needs it",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "whether scheduler and controller manager listen beyond the node",
	Doc: `Scheduler, controller manager and cloud controller manager serve health, metrics and
profiles. Nobody outside the control plane needs them.

Looked at is the flag bind-address, which is all addresses unless set, and secure-port,
with which 0 serves nothing. Where requests beyond the health paths have to
authenticate and be authorized (authentication-kubeconfig, authorization-kubeconfig,
authorization-always-allow-paths) the problem ranks low. Old releases serve a
port without TLS and authentication besides, by default on all addresses: the
controller manager up to 1.21 (10252), the scheduler up to 1.22 (10251), unless port is
0; beyond the node that ranks high.

` + "```yaml" + `
command: [kube-scheduler, --bind-address=127.0.0.1]
` + "```",
	Run: eachOrNone(controlPlaneBindAddress, evidence.CloudControllerManager, evidence.ControllerManager, evidence.Scheduler),
}

// An insecurePlace is the port that old releases of a component serve without TLS,
// and the first release that does not.
type insecurePlace struct {
	port string
	gone int
}

func insecurePlaceOf(component string) insecurePlace {
	switch component {
	case evidence.ControllerManager:
		return insecurePlace{"10252", 22}
	case evidence.Scheduler:
		return insecurePlace{"10251", 23}
	}
	return insecurePlace{"0", 24}
}

func controlPlaneBindAddress(n *node, c *evidence.Component) {
	n.insecurely(c)
	port, _, known := n.flag(c, "secure-port", "")
	if !known || port == "0" {
		return
	}
	address, at, known := n.flag(c, "bind-address", "0.0.0.0")
	if !known || isLoopback(address) {
		return
	}
	value := ""
	if f, given := c.Flag("bind-address"); given {
		value = f.Value
	}
	p := n.say(at, flagPath(c, "bind-address"), value, "%s listens on %s, not only on the loopback address", c.Name, address)
	if asksWho(c) {
		p.Severity, p.SeverityReason = guide.Low, "requests are authenticated and authorized"
	}
}

// insecurely judges the port without TLS of old releases.
func (n *node) insecurely(c *evidence.Component) {
	old, v := insecurePlaceOf(c.Name), n.runs(c)
	if v.AtLeast(old.gone) && tells(c) {
		return
	}
	byDefault := "0"
	if !v.AtLeast(old.gone) {
		byDefault = old.port
	}
	port, at, known := n.flag(c, "port", byDefault)
	if !known || port == "0" {
		return
	}
	address, _, known := n.flag(c, "address", "0.0.0.0")
	if !known {
		return
	}
	value := ""
	if f, given := c.Flag("port"); given {
		value = f.Value
	}
	p := n.say(at, flagPath(c, "port"), value, "%s answers everyone on port %s of %s, without TLS and authentication", c.Name, port, address)
	p.Severity, p.SeverityReason = guide.High, "nobody has to authenticate"
	p.Remedy = "set --port=0"
	if isLoopback(address) {
		p.Severity, p.SeverityReason = guide.Low, "only what runs on the node reaches the port"
	}
}

// asksWho reports whether a component has everyone authenticate and be authorized who
// asks for more than its health.
func asksWho(c *evidence.Component) bool {
	for _, name := range []string{"authentication-kubeconfig", "authorization-kubeconfig"} {
		if f, given := c.Flag(name); !given || f.Value == "" {
			return false
		}
	}
	for _, f := range c.Flags {
		if f.Name != "authorization-always-allow-paths" {
			continue
		}
		for p := range strings.SplitSeq(f.Value, ",") {
			if !isHealthPath("/" + strings.TrimPrefix(strings.TrimSpace(p), "/")) {
				return false
			}
		}
	}
	return true
}

// isHealthPath reports whether a path tells only how a component is.
func isHealthPath(path string) bool {
	for _, p := range []string{"/livez", "/readyz", "/healthz"} {
		if path == p || strings.HasPrefix(path, p+"/") {
			return true
		}
	}
	return false
}
