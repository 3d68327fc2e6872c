package checks

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// SharedNode reports exposed workloads that are held apart from internal ones by
// their words, and not by the labels and taints of the nodes (guide: Worker node
// segmentation).
var SharedNode = &check.Check{
	ID:             "shared-node",
	Title:          "labels and taints let an exposed workload share a node",
	Recommendation: "WRK-01",
	Severity:       guide.Low,
	Remedy:         "taint the nodes for exposed workloads, and let only these tolerate the taint",
	Needs:          []evidence.Fact{evidence.Workloads, evidence.Exposure, evidence.Namespaces, evidence.Nodes},
	Leaves:         check.Rest{What: "how the networks of the nodes are filtered", To: []guide.Evidence{guide.Attestation}},
	Live:           "which labels and taints the nodes have",
	Doc: `A node selector holds a workload to some nodes. It keeps nobody else off them: that takes
a taint which the others do not tolerate.

Looked at is each workload that the outside reaches and that exposed-workload-placement
passes, against the nodes of the cluster: those that it may run on, by node selector,
required node affinity and taints, must be closed to every workload that is not exposed.
DaemonSets, pods on the node's network and known parts of the cluster in kube-system are
left out. How the nodes' networks are filtered no object shows.

    kubectl taint nodes edge-1 example.com/zone=edge:NoSchedule
`,
	Run: sharedNode,
}

func sharedNode(r *check.Run) {
	p := placementsOf(r.Scan)
	if len(p.internal) == 0 || len(r.Nodes) == 0 {
		return // exposed-workload-placement says so
	}
	for _, w := range p.exposed {
		if p.neighbour(r.Scan, w) != nil {
			continue // reported there
		}
		node, neighbour, eligible := sharedBy(r.Scan, w, p.internal)
		switch {
		case !eligible:
			r.Unknown(w.Ref.String(), "no node of the cluster is one that it may run on")
		case neighbour == nil:
			r.Judge(w.Ref, nil)
		default:
			r.Judge(w.Ref, []check.Problem{sharesNode(r.Scan, w, fmt.Sprintf("may run on node %s, as may %s", node, neighbour.Ref))})
		}
	}
}

// sharedBy returns a node that a workload and one of some others may both run on;
// eligible tells whether there is any node for the workload.
func sharedBy(s *check.Scan, w *evidence.Workload, others []*evidence.Workload) (node string, neighbour *evidence.Workload, eligible bool) {
	for _, n := range s.Nodes {
		if !placedOn(s, w, n) {
			continue
		}
		eligible = true
		for _, other := range others {
			if placedOn(s, other, n) {
				return n.Name, other, true
			}
		}
	}
	return "", nil, eligible
}

// placedOn reports whether a workload's pods may run on a node, with what its
// namespace adds to their node selectors.
func placedOn(s *check.Scan, w *evidence.Workload, n *evidence.Object[corev1.Node]) bool {
	if !mayRunOn(w.Pod, n) {
		return false
	}
	ns := s.Namespace(w.Namespace)
	if ns == nil || ns.Annotations[defaultNodeSelector] == "" {
		return true
	}
	added, err := labels.ConvertSelectorToLabelsMap(strings.TrimSpace(ns.Annotations[defaultNodeSelector]))
	return err != nil || selects(added, n.Labels)
}
