package checks

import (
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// TLSVersion reports components that speak versions of TLS before 1.2 (guide:
// Encryption).
var TLSVersion = &check.Check{
	ID:             "tls-version",
	Title:          "component speaks an old version of TLS",
	Recommendation: "ENC-01",
	Severity:       guide.High,
	Remedy:         "set the minimum version to VersionTLS12 or VersionTLS13, or remove the setting: the default is 1.2",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "which versions of TLS the components speak",
	Doc: `TLS 1.0 and 1.1 rest on broken ciphers and digests, and are withdrawn.

Looked at is the least version of API server, controller manager, cloud controller
manager, scheduler and etcd (tls-min-version) and kubelet (tlsMinVersion, or the flag).
Where it is not set it is 1.2: that is built into the components of Kubernetes and into
etcd, whose flag knows nothing older. So only a setting can be the fault.

` + "```yaml" + `
# KubeletConfiguration
tlsMinVersion: VersionTLS12
` + "```",
	Run: eachOrNone(tlsVersion, evidence.CloudControllerManager,
		evidence.APIServer, evidence.ControllerManager, evidence.Scheduler, evidence.Etcd, evidence.Kubelet),
}

func tlsVersion(n *node, c *evidence.Component) {
	version, name, at, known := n.minTLS(c)
	if known && (version == "VersionTLS10" || version == "VersionTLS11") {
		n.say(at, flagPath(c, name), version, "%s speaks TLS 1.%s", c.Name, strings.TrimPrefix(version, "VersionTLS1"))
	}
}

// minTLS is the least version of TLS that a component is set to, "" for its default,
// and the name of the setting.
func (n *node) minTLS(c *evidence.Component) (version, name string, at evidence.Position, known bool) {
	if c.Name == evidence.Kubelet {
		at, known = n.option(c, "tlsMinVersion", &version)
		return version, "tlsMinVersion", at, known
	}
	version, at, known = n.flag(c, "tls-min-version", "")
	return version, "tls-min-version", at, known
}
