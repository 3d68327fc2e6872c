package checks

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// EtcdOpenToPods reports policies of nodes that let any pod connect to etcd (guide:
// Etcd).
var EtcdOpenToPods = &check.Check{
	ID:             "etcd-open-to-pods",
	Title:          "a policy of the nodes opens etcd to every pod",
	Recommendation: "ETCD-01",
	Severity:       guide.Critical,
	Remedy:         "let the policy of the control-plane nodes admit TCP 2379 and 2380 from these nodes only",
	Needs:          []evidence.Fact{evidence.NetworkPolicies, evidence.Nodes},
	Doc: nodePoliciesDoc + `
Asked for are TCP 2379 and 2380.
`,
	Run: nodePolicies(ports.Of(ports.TCP, 2379, 2380), "etcd"),
}

// ControlPlaneOpenToPods reports policies of nodes that let any pod connect to ports
// of the control plane besides the API server's (guide: Control plane hardening,
// Table II).
var ControlPlaneOpenToPods = &check.Check{
	ID:             "control-plane-open-to-pods",
	Title:          "a policy of the nodes opens control-plane ports to every pod",
	Recommendation: "CP-04",
	Severity:       guide.High,
	Remedy:         "let the policy of the control-plane nodes admit these ports from the sources of the guide's table only",
	Needs:          []evidence.Fact{evidence.NetworkPolicies, evidence.Nodes},
	Doc: nodePoliciesDoc + `
Asked for are TCP 10250, 10257 and 10259; 6443 is for pods too.
`,
	Run: nodePolicies(ports.Of(ports.TCP, 10250, 10250).Union(ports.Of(ports.TCP, 10257, 10257)).Union(ports.Of(ports.TCP, 10259, 10259)), "the control plane"),
}

const nodePoliciesDoc = `Calico (HostEndpoint) and Cilium (policies with a nodeSelector) can filter what
reaches the nodes themselves, as a packet filter on the node does.

Looked at is each node of the control plane that such a policy is about: a pod of
which nothing is known must not get through to the ports. Nodes without such a
policy are not judged here: what their packet filter admits is asked of the nodes
themselves (--host-root).

Calico leaves some ports of every host open whatever policies say, those of etcd
among them, unless failsafeInboundHostPorts of the FelixConfiguration is set.

    apiVersion: projectcalico.org/v3
    kind: GlobalNetworkPolicy
    metadata: {name: control-plane}
    spec:
      selector: has(node-role.kubernetes.io/control-plane)
      types: [Ingress]
      ingress:
        - {action: Allow, protocol: TCP, destination: {ports: [6443]}}
        - {action: Allow, source: {selector: has(node-role.kubernetes.io/control-plane)}}
`

func nodePolicies(asked ports.Set, what string) func(*check.Run) {
	return func(r *check.Run) {
		g := r.Reach()
		nodes := map[string]*evidence.Object[corev1.Node]{}
		for _, n := range r.Nodes {
			if _, ok := n.Value.Labels[controlPlaneLabel]; ok {
				nodes[n.Name] = n
			}
		}
		for _, e := range g.Nodes() {
			if n := nodes[e.Name]; n != nil {
				judgeNodePolicies(r, n, e, asked, what)
			}
		}
	}
}

// controlPlaneLabel marks the nodes of the control plane, as kubeadm and others set it.
const controlPlaneLabel = "node-role.kubernetes.io/control-plane"

func judgeNodePolicies(r *check.Run, n *evidence.Object[corev1.Node], e *reach.Endpoint, asked ports.Set, what string) {
	g := r.Reach()
	c := g.Coverage(e, netpol.Ingress)
	if len(c.By) == 0 {
		return
	}
	weighed := g.Weigh(e, netpol.Ingress, g.Unread(""), asked)
	by := firstOpening(weighed)
	switch {
	case by != nil:
		r.Judge(by.policy.Ref, []check.Problem{nodeOpening(by, n.Name, what, weighed.Allowed)})
	case !weighed.Allowed.Empty(): // what is about the node leaves these ports alone
	case !weighed.Unknown.Empty() && !weighed.Bare():
		r.Unknown(n.String(), doubt(weighed))
	default: // pods with certain labels may get through, not any pod
		r.Judge(n.Ref, nil)
	}
}

func nodeOpening(by *opening, node, what string, open ports.Set) check.Problem {
	p := check.Problem{
		Path:    by.rule.Path,
		Message: fmt.Sprintf("%s lets any pod connect to %s on node %q (%s)", by, what, node, open),
	}
	if by.policy.Kind == "HostEndpoint" {
		p.Message = fmt.Sprintf("any pod may connect to %s on node %q (%s): Calico's failsafe ports are open whatever policies say", what, node, open)
		p.Remedy = "leave the ports out of failsafeInboundHostPorts in the FelixConfiguration, once a policy admits the nodes that need them"
	}
	return p
}
