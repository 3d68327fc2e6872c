package checks

import (
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// HostNetwork reports pods that use the network of their node.
//
// Guide: Table I, hostNetwork. Pod Security Standards, baseline: hostNamespaces (1.0).
var HostNetwork = &check.Check{
	ID:             "host-network",
	Title:          "pod uses the node's network",
	Doc:            hostNetworkDoc,
	Recommendation: "POD-07",
	Severity:       guide.High,
	Remedy:         "remove hostNetwork and reach the pod through a Service",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            pods(everyPod, hostNetwork),
}

const hostNetworkDoc = `A pod with hostNetwork uses the interfaces of its node. Network policies do not
hold for it, it reaches services that listen on the node's loopback address, such
as a kubelet's or a database's, and often the metadata service of the cloud that
hands out the node's credentials.

The pod's hostNetwork is judged; left out it is false. Network plugins,
kube-proxy and some node agents need it: give those an exception.

    spec:
      hostNetwork: false

Expose the application by a Service. A port that must be the node's own is
better served by a load balancer or an ingress controller.
`

func hostNetwork(s *check.Scan, w *evidence.Workload) []check.Problem {
	if !w.Pod.HostNetwork {
		return nil
	}
	at := w.PodPath.Field("hostNetwork")
	p := check.Problem{
		Path:    at,
		Value:   "true",
		Message: "the pod uses the network of its node, where network policies do not hold: hostNetwork is true",
	}
	if !takesHostPort(w) && !leavesToPolicies(s, w.Namespace) {
		p.Fix = &check.Fix{Path: at, Value: "false", Breaks: "an application that listens on the node's address or watches its traffic, and clients that know it by that address"}
	}
	return []check.Problem{p}
}

// takesHostPort reports whether a container names a port of the node: it would go on
// taking it without the node's network.
func takesHostPort(w *evidence.Workload) bool {
	for c := range w.Containers() {
		for _, p := range c.Ports {
			if p.HostPort != 0 {
				return true
			}
		}
	}
	return false
}

// leavesToPolicies reports whether a pod that left the node's network would come under
// the policies of its namespace, or be known to come under none: somebody has to say
// first what it may talk to.
func leavesToPolicies(s *check.Scan, namespace string) bool {
	if complete, _ := s.Complete(evidence.NetworkPolicies, namespace); complete {
		return true
	}
	return slices.ContainsFunc(s.NetworkPolicies, func(p *evidence.Object[networkingv1.NetworkPolicy]) bool { return p.Namespace == namespace })
}
