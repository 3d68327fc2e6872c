package checks

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ExposedWorkloadPlacement reports workloads that the outside reaches and that
// may share a node with internal ones (guide: Worker node segmentation).
var ExposedWorkloadPlacement = &check.Check{
	ID:             "exposed-workload-placement",
	Title:          "exposed workload may share nodes with internal ones",
	Recommendation: "WRK-01",
	Severity:       guide.Low,
	Remedy:         "label and taint nodes for exposed workloads, and give these a nodeSelector and a toleration",
	Needs:          []evidence.Fact{evidence.Workloads, evidence.Exposure, evidence.Namespaces},
	Leaves:         check.Rest{What: "which labels and taints the nodes have, and how their networks are filtered", To: []guide.Evidence{guide.Cluster, guide.Attestation}},
	Doc:            exposedWorkloadPlacementDoc,
	Run:            exposedWorkloadPlacement,
}

const exposedWorkloadPlacementDoc = `Who breaks out of a container holds its node. If only exposed workloads run there,
that is all there is to take.

Looked at is each workload that the outside reaches by a Service, an Ingress, a
gateway route or a host port. It has to be held to nodes, by nodeSelector, required
node affinity or the namespace's default node selector, to which no workload that
is not exposed is held too. Where it tolerates no taint, those nodes have none,
and a workload that is held nowhere may land there. Operating system and
architecture separate nothing. DaemonSets and pods on the node's network are left
out: they are on their nodes for the node's sake. Labels and taints of the nodes
themselves are not in the objects, and neither are the networks between them.

The severity is below the recommendation's: it counts only after a break-out.

    spec:
      nodeSelector: {example.com/zone: edge}
      tolerations: [{key: example.com/zone, value: edge, effect: NoSchedule}]
`

func exposedWorkloadPlacement(r *check.Run) {
	var exposed []*evidence.Workload
	internal := map[string]*evidence.Workload{} // the first of each placement
	var anywhere *evidence.Workload
	for _, w := range r.Workloads {
		switch {
		case w.Pod.HostNetwork || w.Kind == "DaemonSet":
		case len(r.Reach().Exposed(w)) > 0:
			exposed = append(exposed, w)
		default:
			place := placement(r.Scan, w)
			if internal[place] == nil {
				internal[place] = w
			}
			if anywhere == nil {
				anywhere = w
			}
		}
	}
	if anywhere == nil && len(exposed) > 0 {
		r.Unknown("", "no internal workload was seen that the exposed ones could be kept apart from")
		return
	}
	for _, w := range exposed {
		place := placement(r.Scan, w)
		neighbour := internal[place]
		switch {
		case place == "" && neighbour == nil:
			neighbour = anywhere
		case place != "" && neighbour == nil && len(w.Pod.Tolerations) == 0:
			neighbour = internal[""]
		}
		if neighbour == nil {
			r.Judge(w.Ref, nil)
			continue
		}
		r.Judge(w.Ref, []check.Problem{{
			Path:           w.PodPath.Field("nodeSelector"),
			Message:        fmt.Sprintf("%s %q is reached from outside (%s) and may share a node with %s", w.Kind, w.Name, r.Reach().Exposed(w)[0], neighbour.Ref),
			Severity:       guide.Low,
			SeverityReason: "where a pod runs counts only after a break-out from its container",
		}})
	}
}

// defaultNodeSelector is the annotation of a Namespace that the admission plugin
// PodNodeSelector adds to its pods' node selectors.
const defaultNodeSelector = "scheduler.alpha.kubernetes.io/node-selector"

// placement writes down which nodes a workload is held to; "" is any.
func placement(s *check.Scan, w *evidence.Workload) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(w.Pod.NodeSelector)) {
		if !separatesNothing(key) {
			parts = append(parts, key+"="+w.Pod.NodeSelector[key])
		}
	}
	if ns := s.Namespace(w.Namespace); ns != nil && ns.Annotations[defaultNodeSelector] != "" {
		parts = append(parts, ns.Annotations[defaultNodeSelector])
	}
	if a := w.Pod.Affinity; a != nil && a.NodeAffinity != nil && a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution != nil {
		for _, term := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
			parts = append(parts, termText(term))
		}
	}
	return strings.Trim(strings.Join(parts, ","), ",")
}

func termText(term corev1.NodeSelectorTerm) string {
	var parts []string
	for _, e := range slices.Concat(term.MatchExpressions, term.MatchFields) {
		if !separatesNothing(e.Key) {
			parts = append(parts, fmt.Sprintf("%s %s %s", e.Key, e.Operator, strings.Join(e.Values, "|")))
		}
	}
	return strings.Join(parts, "&")
}

func separatesNothing(key string) bool {
	switch key {
	case corev1.LabelOSStable, corev1.LabelArchStable, "beta.kubernetes.io/os", "beta.kubernetes.io/arch":
		return true
	}
	return false
}
