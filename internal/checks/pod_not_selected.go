package checks

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// PodNotSelected reports workloads whose pods no network policy isolates, in one
// direction or both (guide: Network policies).
var PodNotSelected = &check.Check{
	ID:             "pod-not-selected",
	Title:          "no network policy selects the pods",
	Recommendation: "NET-03",
	Severity:       guide.Medium,
	Remedy:         "select the pods with a NetworkPolicy that opens the flows they need, in both directions",
	Needs:          []evidence.Fact{evidence.NetworkPolicies, evidence.Workloads, evidence.Namespaces},
	Doc:            podNotSelectedDoc,
	Run:            podNotSelected,
}

const podNotSelectedDoc = `A pod that no policy selects in a direction accepts or opens every connection of
that direction.

Looked at is each workload outside the namespaces of Kubernetes itself, with the
labels of its pod template. A policy counts for a direction that its
policyTypes name or that follows from their default (ingress always, egress only
with egress rules). What the rules then allow is not asked here, but see
allow-all-policy and undeclared-flow. Pods on the node's network are left out: policies do not govern
them. Labels that an operator adds to pods later are not known, so a workload that
an operator completes is not called unselected.

Files that do not create the namespace cannot show that no policy selects the
pods. Policies of Cilium, Calico and the AdminNetworkPolicy API count like any other;
an AdminNetworkPolicy denies what it names and isolates nothing.

    apiVersion: networking.k8s.io/v1
    kind: NetworkPolicy
    metadata: {name: web, namespace: shop}
    spec:
      podSelector: {matchLabels: {app: web}}
      policyTypes: [Ingress, Egress]
      ingress:
        - from: [{podSelector: {matchLabels: {app: gateway}}}]
          ports: [{port: 8080}]
`

func podNotSelected(r *check.Run) {
	for _, ns := range spaces(r.Scan) {
		if isSystemNamespace(ns.name) {
			continue
		}
		unselected := judgeSelected(r, ns)
		if len(unselected) == 0 {
			continue
		}
		if complete, why := r.Complete(evidence.NetworkPolicies, ns.name); !complete {
			r.Unknown(ns.scope(), why)
			continue
		}
		for _, w := range unselected {
			r.JudgeWorkload(w, []check.Problem{notSelected(r.Reach(), w)})
		}
	}
}

// judgeSelected passes the workloads that policies select in both directions and
// returns the others.
func judgeSelected(r *check.Run, ns *space) (unselected []*evidence.Workload) {
	for _, w := range ns.workloads {
		e := r.Reach().Of(w)
		if w.Pod.HostNetwork || e == nil {
			continue
		}
		ingress, egress := r.Reach().Coverage(e, netpol.Ingress), r.Reach().Coverage(e, netpol.Egress)
		why := cmp.Or(unsure(ingress), unsure(egress))
		switch {
		case ingress.Isolated && egress.Isolated:
			r.Judge(w.Ref, nil)
		case w.Partial != "" && w.Running > 0: // those that run are judged
		case w.Partial != "":
			r.Unknown(w.Ref.String(), "the labels of its pods are not all known: "+w.Partial)
		case why != "" && !bare(ingress) && !bare(egress):
			r.Unknown(w.Ref.String(), why)
		default:
			unselected = append(unselected, w)
		}
	}
	return unselected
}

// bare reports whether it is certain that nothing isolates the pods.
func bare(c reach.Coverage) bool { return !c.Isolated && c.Unknown == "" }

// unsure is why it is not certain that the pods are isolated, "" when it is certain
// that they are, or are not.
func unsure(c reach.Coverage) string {
	if c.Isolated {
		return ""
	}
	return c.Unknown
}

func notSelected(g *reach.Graph, w *evidence.Workload) check.Problem {
	e := g.Of(w)
	var without []string
	for _, d := range directions {
		if bare(g.Coverage(e, d)) {
			without = append(without, d.String())
		}
	}
	return check.Problem{
		Path:    w.MetaPath.Field("labels"),
		Message: fmt.Sprintf("no network policy isolates the pods of %s %q for %s", w.Kind, w.Name, strings.Join(without, " or ")),
	}
}
