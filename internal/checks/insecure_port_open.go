package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// InsecurePortOpen reports API servers that serve a port without TLS and
// authentication (guide: Control plane hardening). Kubernetes 1.20 stopped serving
// it, 1.24 removed the flags.
var InsecurePortOpen = &check.Check{
	ID:             "insecure-port-open",
	Title:          "API server serves a port without authentication",
	Recommendation: "CP-02",
	Severity:       guide.Critical,
	Remedy:         "set --insecure-port=0, or upgrade to 1.24 or later, which has no such port",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "whether the API server serves a port without authentication",
	Alone:          true,
	Doc: `On its insecure port an API server obeys everyone who reaches it: no TLS, no
authentication, no authorization.

Looked at are the flags insecure-port and insecure-bind-address (port and address in
the oldest releases). Up to 1.19 the port is 8080 on the loopback address unless the
flags say otherwise; there 0 switches it off. From 1.20 on nothing is served whatever
they say, and 1.24 does not know them. Of an API server whose release is not known the
flags are believed. A port that only the node itself reaches ranks high, not critical.

` + "```yaml" + `
command: [kube-apiserver, --insecure-port=0]
` + "```",
	Run: eachComponent(insecurePortOpen, evidence.APIServer),
}

func insecurePortOpen(n *node, c *evidence.Component) {
	v := n.runs(c)
	if v.AtLeast(20) && tells(c) {
		return
	}
	byDefault := "0"
	if !v.AtLeast(20) {
		byDefault = "8080"
	}
	portFlag, addressFlag := firstGiven(c, "insecure-port", "port"), firstGiven(c, "insecure-bind-address", "address")
	port, at, known := n.flag(c, portFlag, byDefault)
	if !known || port == "0" {
		return
	}
	address, _, known := n.flag(c, addressFlag, "127.0.0.1")
	if !known {
		return
	}
	value := ""
	if f, given := c.Flag(portFlag); given {
		value = f.Value
	}
	p := n.say(at, flagPath(c, portFlag), value, "%s obeys everyone who reaches port %s of %s, without authentication", c.Name, port, address)
	if isLoopback(address) {
		p.Severity, p.SeverityReason = guide.High, "only what runs on the node reaches the port"
	}
}

// firstGiven is the first of some names of one flag that is given, else the first.
func firstGiven(c *evidence.Component, names ...string) string {
	for _, name := range names {
		if _, given := c.Flag(name); given {
			return name
		}
	}
	return names[0]
}
