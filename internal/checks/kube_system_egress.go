package checks

import (
	"fmt"
	"math"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
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
	g := r.Reach()
	targets := internet(g)
	asked := ports.All().Minus(resolution())
	for _, p := range g.Policies() {
		if p.Namespace == kubeSystem {
			r.Judge(p.Ref, nil)
		}
	}
	for _, found := range egressRules(g, targets, asked, func(p *netpol.Policy) bool { return p.Namespace == kubeSystem }) {
		r.Judge(found.policy.Ref, []check.Problem{internetRule(r, found)})
	}
	complete, why := r.Complete(evidence.NetworkPolicies, kubeSystem)
	if !complete {
		r.Unknown("namespace "+kubeSystem, why)
	}
	for _, w := range r.Workloads {
		e := g.Of(w)
		if w.Namespace != kubeSystem || w.Pod.HostNetwork || e == nil {
			continue
		}
		switch a := answer(g, e, targets, asked); {
		case a.kept:
			r.Judge(w.Ref, nil)
		case a.by != nil && a.by.policy.Namespace == kubeSystem: // reported at the rule
			r.Judge(w.Ref, nil)
		case a.by != nil:
			r.JudgeWorkload(w, []check.Problem{{
				Path:    w.MetaPath.Field("labels"),
				Message: fmt.Sprintf("%s lets %s %q in kube-system reach the internet", a.by, w.Kind, w.Name),
			}})
		case a.unknown != "":
			r.Unknown(w.Ref.String(), a.unknown)
		case complete:
			r.JudgeWorkload(w, []check.Problem{{
				Path:    w.MetaPath.Field("labels"),
				Message: fmt.Sprintf("no network policy limits the egress of %s %q in kube-system", w.Kind, w.Name),
			}})
		}
	}
}

// internet is the addresses that no policy names, one endpoint for each family.
func internet(g *reach.Graph) (list []*reach.Endpoint) {
	for _, family := range []cidr.Set{cidr.IPv4(), cidr.IPv6()} {
		var widest *reach.Endpoint
		for _, e := range g.World() {
			if e.Name == "" && family.Covers(e.Addresses) && (widest == nil || share(e) > share(widest)) {
				widest = e
			}
		}
		if widest != nil {
			list = append(list, widest)
		}
	}
	return list
}

// share is how many of the addresses of its family an endpoint has, about.
func share(e *reach.Endpoint) (part float64) {
	for _, p := range e.Addresses.Prefixes() {
		part += math.Exp2(-float64(p.Bits()))
	}
	return part
}

// resolution is the ports of DNS.
func resolution() ports.Set { return ports.Of(ports.UDP, 53, 53).Union(ports.Of(ports.TCP, 53, 53)) }

func internetRule(r *check.Run, found reached) check.Problem {
	problem := check.Problem{
		Path:    found.rule.Path,
		Message: fmt.Sprintf("%s %q lets pods of kube-system reach every address", found.policy.Kind, found.policy.Name),
	}
	for _, b := range blocksOf(r.Scan, found.opening) {
		if b.cidr.Bits() == 0 {
			problem.Path, problem.Value = b.path.Field("cidr"), b.cidr.String()
			problem.Message = fmt.Sprintf("NetworkPolicy %q lets pods of kube-system reach the internet (%s)", found.policy.Name, b.cidr)
			break
		}
	}
	return problem
}
