package checks

import (
	"strconv"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// WorkerPortListening lists what listens on workers besides the ports of the guide's
// table (Worker node segmentation, Table III).
var WorkerPortListening = &check.Check{
	ID:             "worker-port-listening",
	Title:          "a worker has an open port that it need not have",
	Recommendation: "WRK-02",
	Severity:       guide.Low,
	Remedy:         "stop what listens, or bind it to loopback or to the cluster's network",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "which ports are open on the workers",
	Doc: `A worker needs to be reached at the kubelet's port, 10250, and at the ports of Services of
type NodePort, 30000-32767 unless the API server's service-node-port-range says otherwise.
Every other open port is one more way in.

Looked at are the sockets of the node's network that are not on loopback, TCP and UDP,
each port by itself. SSH (sshd on 22), the health check of kube-proxy for load balancers
(10256) and a DHCP client (68 and 546) are part of most nodes and not reported; nor are UDP
ports from 32768 on, which the kernel gives to clients. What a network plugin needs, such
as 4789, 8472 or 179, is reported: an exception with its reason is the place to say so.

    ss --listening --tcp --udp --numeric --processes
`,
	Run: eachNetNode(isWorkerNode, workerPortListening, noWorker),
}

func workerPortListening(n *netNode) {
	if !n.sees(evidence.TheSockets) {
		return
	}
	n.sees(evidence.TheDatagrams)
	for _, p := range n.listened(n.expectedOfWorker) {
		n.say(evidence.Position{}, evidence.NewPath("listening", p.protocol, strconv.Itoa(int(p.number))), places(p.sockets),
			"%s listens on port %s (%s), which is none of the guide's table of a worker", p.by(), p, places(p.sockets))
	}
}

// expectedOfWorker says of ports that a worker may have.
func (n *netNode) expectedOfWorker(protocol string, port uint16) bool {
	switch {
	case protocol == "udp":
		return port == 68 || port == 546
	case port == 22, port == 10256, n.nodePorts().has(port), port == readOnlyPort:
		return true
	}
	for _, p := range n.machine.Ports() {
		if p.Number == port {
			return true
		}
	}
	return false
}
