package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/reach"
)

// PodNotSelected reports workloads whose pods no NetworkPolicy selects, in one
// direction or both (guide: Network policies).
var PodNotSelected = &check.Check{
	ID:             "pod-not-selected",
	Title:          "no network policy selects the pods",
	Recommendation: "NET-03",
	Severity:       guide.Medium,
	Remedy:         "select the pods with a NetworkPolicy that opens the flows they need, in both directions",
	Needs:          []evidence.Fact{evidence.NetworkPolicies, evidence.Workloads, evidence.Namespaces},
	Leaves:         check.Rest{What: "whether every flow that the policies open is needed", To: []guide.Evidence{guide.AuditLog}},
	Doc:            podNotSelectedDoc,
	Run:            podNotSelected,
}

const podNotSelectedDoc = `A pod that no policy selects in a direction accepts or opens every connection of
that direction.

Looked at is each workload outside the namespaces of Kubernetes itself, with the
labels of its pod template. A policy counts for a direction that its
policyTypes name or that follows from their default (ingress always, egress only
with egress rules). What the rules then allow is not asked here, but see
allow-all-policy. Pods on the node's network are left out: policies do not govern
them. Labels that an operator adds to pods later are not known, so a workload that
an operator completes is not called unselected.

Files that do not create the namespace cannot show that no policy selects the
pods. Policies of Cilium, Calico and the AdminNetworkPolicy API are not read.

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
		doubt := r.Reach().Unread(ns.name)
		if doubt == "" {
			_, doubt = r.Complete(evidence.NetworkPolicies, ns.name)
		}
		if doubt != "" {
			r.Unknown(ns.scope(), doubt)
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
		if w.Pod.HostNetwork {
			continue
		}
		ingress, egress := r.Reach().Isolation(w)
		switch {
		case ingress.Isolated && egress.Isolated:
			r.Judge(w.Ref, nil)
		case w.Partial != "" && w.Running > 0: // those that run are judged
		case w.Partial != "":
			r.Unknown(w.Ref.String(), "the labels of its pods are not all known: "+w.Partial)
		default:
			unselected = append(unselected, w)
		}
	}
	return unselected
}

func notSelected(x *reach.Index, w *evidence.Workload) check.Problem {
	ingress, egress := x.Isolation(w)
	direction := "ingress or egress"
	switch {
	case ingress.Isolated:
		direction = "egress"
	case egress.Isolated:
		direction = "ingress"
	}
	return check.Problem{
		Path:    w.MetaPath.Field("labels"),
		Message: fmt.Sprintf("no NetworkPolicy selects the pods of %s %q for %s", w.Kind, w.Name, direction),
	}
}
