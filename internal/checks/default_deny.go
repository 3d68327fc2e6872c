package checks

import (
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// DefaultDeny reports namespaces whose pods are not isolated in both directions,
// or in which a policy opens everything again (guide: Network policies and
// Appendix E).
var DefaultDeny = &check.Check{
	ID:             "default-deny",
	Title:          "namespace does not deny traffic by default",
	Recommendation: "NET-02",
	Severity:       guide.High,
	Remedy:         "add a NetworkPolicy with an empty podSelector, policyTypes Ingress and Egress, and no rules; allow name resolution beside it",
	Needs:          []evidence.Fact{evidence.NetworkPolicies, evidence.Workloads, evidence.Namespaces},
	Doc:            defaultDenyDoc,
	Run:            defaultDeny,
}

const defaultDenyDoc = `A pod that no policy selects may be reached by every pod of the cluster and may
reach everything. Only where all pods are isolated has each flow been opened on
purpose.

Looked at is each namespace but those of Kubernetes itself (NET-04), one direction
at a time. It denies by default when a policy for all of its pods isolates
that direction, or when every workload that is known there is isolated by some
policy and not opened again. Any kind of policy counts, in the order in which they
are asked: NetworkPolicies, those of the AdminNetworkPolicy API, of Cilium and of
Calico. A rule that lets everyone through to all pods undoes it.
policyTypes is read with its defaults: ingress always, egress only when there are
egress rules. So a policy without rules and without policyTypes, or with the
misspelt policyType of the guide's example, denies ingress only.

Files that do not create the namespace cannot show that it has no policy, nor that
no other policy opens it again. Where what a policy does is not known, nothing is
said of the namespaces that it may be about.

    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: default-deny, namespace: shop}
    spec:
      podSelector: {}
      policyTypes: [Ingress, Egress]
`

func defaultDeny(r *check.Run) {
	for _, ns := range inUse(r.Scan, spaces(r.Scan)) {
		if !isSystemNamespace(ns.name) {
			judgeDefaultDeny(r, ns)
		}
	}
}

func judgeDefaultDeny(r *check.Run, ns *space) {
	g := r.Reach()
	var missing []string
	var doubts []string
	good := true
	for _, d := range directions {
		s := separated(g, ns, d)
		switch {
		case s.open != nil:
			good = false
			r.Judge(s.open.policy.Ref, []check.Problem{{
				Path:    s.open.rule.Path,
				Message: fmt.Sprintf("%s opens all %s of every pod in namespace %q", s.open, d, ns.name),
				Remedy:  "remove the rule, or limit it to the pods and ports that need it",
			}})
		case s.unknown != "":
			doubts = append(doubts, s.unknown)
		case !s.denied:
			missing = append(missing, d.String())
		}
	}
	switch {
	case len(missing) > 0:
		p := check.Problem{
			Path:    evidence.NewPath("metadata", "name"),
			Value:   ns.name,
			Message: fmt.Sprintf("namespace %q does not deny %s by default", ns.name, listed(missing)),
		}
		if deny := ingressOnly(g, ns.name); deny != nil && len(missing) == 1 {
			p.Message += fmt.Sprintf(": %s isolates ingress only, as its policyTypes do not list Egress", deny)
		}
		ns.absent(r, evidence.NetworkPolicies, p)
	case len(doubts) > 0:
		r.Unknown(ns.scope(), doubts[0])
	case good && ns.object != nil:
		r.Judge(ns.object.Ref, nil)
	case good:
		for _, d := range directions {
			for _, p := range g.Coverage(g.Unread(ns.name), d).By {
				r.Judge(p.Ref, nil)
			}
		}
		if ok, why := r.Complete(evidence.NetworkPolicies, ns.name); !ok {
			r.Unknown(ns.scope(), "another policy may open it again: "+why)
		}
	}
}

// ingressOnly returns a NetworkPolicy that was probably meant to deny both
// directions: for all pods, without rules, without policyTypes.
func ingressOnly(g *reach.Graph, namespace string) *netpol.Policy {
	for _, p := range g.Coverage(g.Unread(namespace), netpol.Ingress).By {
		if p.Kind == "NetworkPolicy" && p.Group() == networkingv1.GroupName && p.Egress == nil && len(p.Ingress.List) == 0 {
			return p
		}
	}
	return nil
}
