package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/firewall"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// WorkerFirewall reports workers whose packet filter lets others in than the guide's
// table has (Worker node segmentation, Table III).
var WorkerFirewall = &check.Check{
	ID:             "worker-firewall",
	Title:          "a worker's firewall admits too many",
	Recommendation: "WRK-02",
	Severity:       guide.High,
	Remedy:         "admit to 10250 only the control plane and what collects metrics, to node ports only their clients, and drop the rest",
	Needs:          []evidence.Fact{evidence.Hosts, evidence.Nodes},
	Node:           "what the firewalls of the workers admit",
	Doc: firewallDoc(`A worker's kubelet (10250) is for the control plane and for what collects metrics in the
cluster, so for its nodes and their Pods. Node ports (30000-32767 unless the API server's
service-node-port-range says otherwise) are for the clients of the Services: that all are
admitted from the internet at large is named, as low, since a Service may be for everybody.
So is every other port that something listens on.`, `
    ip saddr { 10.0.0.11, 10.0.0.12, 10.0.0.13 } tcp dport 10250 accept
    ip saddr 10.8.0.0/24 tcp dport 30000-32767 accept
`),
	Run: eachNetNode(isWorkerNode, workerFirewall, noWorker),
}

func workerFirewall(n *netNode) {
	f := n.packetFilter()
	if f == nil {
		return
	}
	members, whole := n.members()
	ours := map[uint16]bool{}
	for _, p := range n.machine.Ports() {
		ours[p.Number] = true
		f.judge(guardedPort{
			protocol: "tcp", number: p.Number, name: fmt.Sprintf("port %d of %s", p.Number, p.Component),
			path: filterPath("tcp", p.Number), expected: members, who: "the control plane and what collects metrics in the cluster", whole: whole,
		})
	}
	ports := n.nodePorts()
	f.judgeNodePorts(ports)
	n.judgeOthers(f, func(protocol string, port uint16) bool { return ports.has(port) || protocol == "tcp" && ours[port] })
}

// judgeNodePorts says that node ports can be reached from the internet at large. Their
// connections are translated before they come to the filter's input where there is a
// Service, so it is asked for both ends of the range: ports of which hardly any is used.
func (f *packetFilter) judgeNodePorts(r portRange) {
	var over []firewall.Answer
	for _, port := range []uint16{r.from, r.to} {
		n := 0
		for _, a := range f.ask(firewall.Packet{Protocol: firewall.TCP, Port: port}, true, true) {
			if a.Outcome == firewall.Allowed && wide(a.Sources) {
				over = merge(over, a)
				n++
			}
		}
		if n == 0 {
			return
		}
	}
	problem := f.say(f.place(over[0].Rule), evidence.NewPath("firewall", "tcp", "node-ports"), r.String(), "node ports %s are admitted %s", r, ways(over))
	problem.Severity, problem.SeverityReason = guide.Low, "a Service of type NodePort may be for everybody"
}
