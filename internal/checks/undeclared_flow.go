package checks

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/reach/need"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// UndeclaredFlow asks of every rule that allows connections whether the objects declare
// that they are needed (guide: Network policies). It finds no fault: where nothing
// declares it, only traffic tells.
var UndeclaredFlow = &check.Check{
	ID:             "undeclared-flow",
	Title:          "a network policy opens what nothing declares to be needed",
	Recommendation: "NET-03",
	Severity:       guide.Low,
	Remedy:         "narrow the rule to what is needed, or take it away; logs of connections tell whether anybody uses it",
	Needs: []evidence.Fact{
		evidence.NetworkPolicies, evidence.Workloads, evidence.Namespaces, evidence.Exposure, evidence.Endpoints, evidence.ConfigMaps,
		evidence.ServiceAccounts, evidence.RBAC, evidence.Admission, evidence.Extensions, evidence.Nodes,
	},
	Doc: undeclaredFlowDoc,
	Run: undeclaredFlow,
}

const undeclaredFlowDoc = `A policy isolates pods only as far as it does not open what nobody needs.

Looked at is each rule that allows connections, of policies of every kind outside the
namespaces of Kubernetes itself: all that it opens, between the pods that its policy
is about and the peers that it names, has to be needed by what the objects say. That
is what gabion generate networkpolicy opens: Services that are named in variables,
arguments, ConfigMaps and annotations, load balancers, backends of Ingresses and
routes, webhooks and aggregated APIs, monitors, rights at the API server, and the
cluster's name servers where the rule demands their namespace kube-system and their
label k8s-app: kube-dns. Where the addresses of nodes or of the API server are not
known, all that may be theirs count; the address of a cloud's metadata service never
does. A name that may be just a word declares nothing, and no policy speaks for
another one or for itself.

There is no finding: what nothing declares may be needed all the same, and only what
really flows tells. The rule is then named as not evaluated, with one connection that
it opens. So is a rule whose peers are not among what was read, and a namespace that
the files do not create: a policy elsewhere may open more. What a mesh lets through is
not asked.

    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: db, namespace: shop}
    spec:
      podSelector: {matchLabels: {app: db}}
      policyTypes: [Ingress, Egress]
      ingress:
        - from: [{podSelector: {matchLabels: {app: web}}}]   # web has DB_URL=postgres://db:5432
          ports: [{port: 5432}]
`

func undeclaredFlow(r *check.Run) {
	notEnforced(r)
	for _, ns := range spaces(r.Scan) {
		if complete, why := r.Complete(evidence.NetworkPolicies, ns.name); !complete && len(ns.workloads) > 0 && !isSystemNamespace(ns.name) {
			r.Unknown(ns.scope(), why)
		}
	}
	policies := r.Reach().Policies()
	var review *need.Review
	if slices.ContainsFunc(policies, allows) {
		policies, review = r.Needs().Graph.Policies(), need.NewReview(r.Needs())
	}
	for _, p := range policies {
		if p.Tier.Layer != netpol.Network || isSystemNamespace(p.Namespace) {
			continue
		}
		var found []need.Excess
		if allows(p) {
			found = review.Undeclared(p)
		}
		if len(found) == 0 {
			r.Judge(p.Ref, nil)
		}
		for _, x := range found {
			why := x.Why
			if x.Opens != "" {
				why = fmt.Sprintf("opens %s, which nothing declares to be needed: only what is seen to flow tells", x.Opens)
			}
			r.Unknown(fmt.Sprintf("%s, %s", p, x.Path), why)
		}
	}
}

// allows reports whether a policy filters packets and may allow some.
func allows(p *netpol.Policy) bool {
	if p.Tier.Layer != netpol.Network {
		return false
	}
	for _, d := range directions {
		rules := cmp.Or(p.Side(d), &netpol.Rules{})
		if rules.Unknown != "" {
			return true
		}
		for i := range rules.List {
			if rules.List[i].Action == netpol.Allow {
				return true
			}
		}
	}
	return false
}
