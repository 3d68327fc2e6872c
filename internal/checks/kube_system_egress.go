package checks

import (
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/reach"
)

// KubeSystemEgress reports pods of kube-system that may open connections to the
// internet (guide: Control plane hardening).
var KubeSystemEgress = &check.Check{
	ID:             "kube-system-egress",
	Title:          "kube-system may reach the internet",
	Recommendation: "NET-04",
	Severity:       guide.Medium,
	Remedy:         "limit the egress of kube-system to DNS, the API server, the nodes and what its add-ons need",
	Needs:          []evidence.Fact{evidence.NetworkPolicies, evidence.Workloads, evidence.Namespaces},
	Leaves:         check.Rest{What: "whether name resolution and the API server still answer", To: []guide.Evidence{guide.Probe}},
	Doc:            kubeSystemEgressDoc,
	Run:            kubeSystemEgress,
}

const kubeSystemEgressDoc = `The pods of kube-system have wide rights, so a way from them to the internet is
worth much to an intruder. They still have to talk to the API server, to the nodes
and, for DNS, to the upstream resolvers.

Looked at are the policies in kube-system: a rule that allows egress to all
addresses, with exceptions or without, is reported unless it is limited to port 53.
So are workloads there whose egress no policy isolates, where that can be known;
pods on the node's network are left out, as policies do not govern them.

Do not simply deny all of kube-system: cluster DNS has to accept port 53 from every
namespace, and metrics-server and other aggregated APIs have to be reached by the
API server, or the cluster stops working.

    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: dns, namespace: kube-system}
    spec:
      podSelector: {matchLabels: {k8s-app: kube-dns}}
      policyTypes: [Egress]
      egress:
        - ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
        - to: [{ipBlock: {cidr: 10.0.0.10/32}}]   # the API server
          ports: [{port: 6443}]
`

const kubeSystem = "kube-system"

func kubeSystemEgress(r *check.Run) {
	x := r.Reach()
	for _, p := range x.Policies(kubeSystem) {
		r.Judge(p.Ref, internetRules(p))
	}
	if why := x.Unread(kubeSystem); why != "" {
		r.Unknown("namespace "+kubeSystem, why)
		return
	}
	complete, why := r.Complete(evidence.NetworkPolicies, kubeSystem)
	if !complete {
		r.Unknown("namespace "+kubeSystem, why)
	}
	for _, w := range r.Workloads {
		if w.Namespace != kubeSystem || w.Pod.HostNetwork {
			continue
		}
		switch {
		case isolation(x, w, networkingv1.PolicyTypeEgress).Isolated:
			r.Judge(w.Ref, nil)
		case complete:
			r.JudgeWorkload(w, []check.Problem{{
				Path:    w.MetaPath.Field("labels"),
				Message: fmt.Sprintf("no NetworkPolicy limits the egress of %s %q in kube-system", w.Kind, w.Name),
			}})
		}
	}
}

func internetRules(p *reach.Policy) (problems []check.Problem) {
	rules := p.Rules(networkingv1.PolicyTypeEgress)
	for i := range rules {
		rule := &rules[i]
		if !rule.Internet() || rule.OnlyDNS() {
			continue
		}
		problem := check.Problem{
			Path:    rule.Path(),
			Message: fmt.Sprintf("NetworkPolicy %q lets pods of kube-system reach every address", p.Name),
		}
		for _, b := range rule.Blocks {
			if b.CIDR.Bits() == 0 {
				problem.Path, problem.Value = rule.PeerPath(b.Peer).Field("ipBlock", "cidr"), b.CIDR.String()
				problem.Message = fmt.Sprintf("NetworkPolicy %q lets pods of kube-system reach the internet (%s)", p.Name, b.CIDR)
				break
			}
		}
		problems = append(problems, problem)
	}
	return problems
}
