package checks

import (
	"fmt"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/reach"
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
at a time. It denies by default when a policy with an empty podSelector isolates
that direction, or when every workload that is known there is isolated by some
policy and not opened again. A rule without peers and ports in a policy for all
pods undoes it, whatever other policies say: rules only ever add.
policyTypes is read with its defaults: ingress always, egress only when there are
egress rules. So a policy without rules and without policyTypes, or with the
misspelt policyType of the guide's example, denies ingress only.

Files that do not create the namespace cannot show that it has no policy, nor that
no other policy opens it again.
Policies of Cilium, Calico and the AdminNetworkPolicy API are not read; where
there are such, nothing is said.

    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: default-deny, namespace: shop}
    spec:
      podSelector: {}
      policyTypes: [Ingress, Egress]
`

func defaultDeny(r *check.Run) {
	for _, ns := range inUse(r.Scan, spaces(r.Scan)) {
		if isSystemNamespace(ns.name) {
			continue
		}
		if why := r.Reach().Unread(ns.name); why != "" {
			r.Unknown(ns.scope(), why)
			continue
		}
		judgeDefaultDeny(r, ns)
	}
}

func judgeDefaultDeny(r *check.Run, ns *space) {
	x := r.Reach()
	var missing []string
	good := true
	for _, d := range directions {
		if rule := openForAll(x, ns.name, d); rule != nil {
			good = false
			r.Judge(rule.Policy.Ref, []check.Problem{{
				Path:    rule.Path(),
				Message: fmt.Sprintf("%s opens all %s of every pod in namespace %q", rule, strings.ToLower(string(d)), ns.name),
				Remedy:  "remove the rule, or limit it to the pods and ports that need it",
			}})
			continue
		}
		if !deniesAll(x, ns, d) {
			missing = append(missing, strings.ToLower(string(d)))
		}
	}
	switch {
	case len(missing) > 0:
		p := check.Problem{
			Path:    evidence.NewPath("metadata", "name"),
			Value:   ns.name,
			Message: fmt.Sprintf("namespace %q does not deny %s by default", ns.name, listed(missing)),
		}
		if deny := ingressOnly(x, ns.name); deny != nil && len(missing) == 1 {
			p.Message += fmt.Sprintf(": %s isolates ingress only, as its policyTypes do not list Egress", deny)
		}
		ns.absent(r, evidence.NetworkPolicies, p)
	case good && ns.object != nil:
		r.Judge(ns.object.Ref, nil)
	case good:
		for _, p := range x.Policies(ns.name) {
			r.Judge(p.Ref, nil)
		}
		if ok, why := r.Complete(evidence.NetworkPolicies, ns.name); !ok {
			r.Unknown(ns.scope(), "another policy may open it again: "+why)
		}
	}
}

// openForAll returns a rule that allows everything to, or from, all pods.
func openForAll(x *reach.Index, namespace string, d networkingv1.PolicyType) *reach.Rule {
	for _, p := range x.Policies(namespace) {
		if rule := p.Open(d); rule != nil && p.SelectsAll() {
			return rule
		}
	}
	return nil
}

// deniesAll reports whether all pods of the namespace are isolated: those to come
// too, by one policy, or at least those that are known.
func deniesAll(x *reach.Index, ns *space, d networkingv1.PolicyType) bool {
	for _, p := range x.Policies(ns.name) {
		if p.SelectsAll() && p.Isolates(d) {
			return true
		}
	}
	// Only a namespace whose making is seen has no workloads elsewhere.
	if ns.object == nil {
		return false
	}
	known := false
	for _, w := range ns.workloads {
		if w.Pod.HostNetwork {
			continue
		}
		if i := isolation(x, w, d); !i.Isolated || i.Open != nil {
			return false
		}
		known = true
	}
	return known
}

func isolation(x *reach.Index, w *evidence.Workload, d networkingv1.PolicyType) reach.Isolation {
	ingress, egress := x.Isolation(w)
	if d == networkingv1.PolicyTypeEgress {
		return egress
	}
	return ingress
}

// ingressOnly returns a policy that was probably meant to deny both directions:
// for all pods, without rules, without policyTypes.
func ingressOnly(x *reach.Index, namespace string) *reach.Policy {
	for _, p := range x.Policies(namespace) {
		spec := &p.Value.Spec
		if p.SelectsAll() && len(spec.Ingress) == 0 && !p.Isolates(networkingv1.PolicyTypeEgress) {
			return p
		}
	}
	return nil
}
