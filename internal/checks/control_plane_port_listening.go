package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ControlPlanePortListening reports schedulers and controller managers that really
// listen where other machines reach them (guide: Control plane hardening, Table II).
var ControlPlanePortListening = &check.Check{
	ID:             "control-plane-port-listening",
	Title:          "scheduler or controller manager listens beyond loopback",
	Recommendation: "CP-03",
	Severity:       guide.Medium,
	Remedy:         "set bind-address to 127.0.0.1 in the component's static Pod manifest",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "where the scheduler and the controller managers listen",
	Doc: `Nobody but the control plane has business with the scheduler (10259), the controller
manager (10257) and the cloud controller manager (10258). They serve metrics, profiles
and health there, of which profiles and some metrics help an attacker.

Looked at are the sockets of the node's network: what listens on the component's port, as
its flags have it, on any address but loopback. A socket is judged whatever else the flags
say, as it is what is in force; where requests have to authenticate and be authorized the
problem ranks low. Where sockets were not seen, as in a copy of files, nothing is said: the
flag bind-address is another rule's matter.

    spec:
      containers:
      - command:
        - kube-scheduler
        - --bind-address=127.0.0.1
`,
	Run: eachListening(controlPlanePortListening, evidence.ControllerManager, evidence.CloudControllerManager, evidence.Scheduler),
}

// eachListening judges the components of some names on those nodes whose sockets were
// seen. Of the others it says nothing: whatever is set up there, other checks judge.
func eachListening(judge func(*netNode, *evidence.Component), names ...string) func(*check.Run) {
	return func(r *check.Run) {
		all := r.Machines()
		for _, m := range all {
			if m.Host == nil {
				continue
			}
			if seen, _ := m.Host.Saw(evidence.TheSockets); !seen {
				continue
			}
			n := &netNode{&node{Run: r, Host: m.Host}, m, all}
			any := false
			for _, name := range names {
				c := m.Host.Component(name)
				switch {
				case c != nil:
					any = true
					n.open = n.open || c.Unread != ""
					judge(n, c)
				case name != evidence.CloudControllerManager:
					n.open = true // it may be there all the same, and not have been read
				}
			}
			if any {
				n.done()
			}
		}
	}
}

func controlPlanePortListening(n *netNode, c *evidence.Component) {
	for _, p := range n.machine.Ports() {
		if p.Component != c.Name {
			continue
		}
		if sockets := n.listeners("tcp", p.Number); len(sockets) > 0 {
			at := c.Place
			if f, given := c.Flag("bind-address"); given {
				at = f.Place
			}
			problem := n.say(at, flagPath(c, "listening"), places(sockets), "%s listens on %s, where other machines reach it", c.Name, places(sockets))
			if asksWho(c) {
				problem.Severity, problem.SeverityReason = guide.Low, "requests are authenticated and authorized"
			}
		}
	}
}
