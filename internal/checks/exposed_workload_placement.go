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
	Leaves:         check.Rest{What: "which labels and taints the nodes have", To: []guide.Evidence{guide.Cluster}},
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
architecture separate nothing. DaemonSets, pods on the node's network and known parts
of the cluster in kube-system are left out. What labels and taints the nodes really
have is asked by shared-node; the networks between them are in no object.

The severity is below the recommendation's: it counts only after a break-out.

    spec:
      nodeSelector: {example.com/zone: edge}
      tolerations: [{key: example.com/zone, value: edge, effect: NoSchedule}]
`

// placements are the workloads that matter, by what they say of their nodes.
type placements struct {
	exposed []*evidence.Workload
	// internal are those that are not exposed, of those that say the same of their
	// nodes and taints the first.
	internal []*evidence.Workload
	// byPlace are the first of each placement.
	byPlace map[string]*evidence.Workload
}

func placementsOf(s *check.Scan) placements {
	p := placements{byPlace: map[string]*evidence.Workload{}}
	seen := map[string]bool{}
	for _, w := range s.Workloads {
		switch {
		case w.Template != nil: // it is placed by what is written
		case w.Pod.HostNetwork || w.Kind == "DaemonSet" || isSystemNamespace(w.Namespace) && isSystemPart(w):
		case len(s.Exposures().Exposed(w)) > 0:
			p.exposed = append(p.exposed, w)
		default:
			place := placement(s, w)
			if p.byPlace[place] == nil {
				p.byPlace[place] = w
			}
			if key := place + tolerationText(w.Pod.Tolerations); !seen[key] {
				seen[key] = true
				p.internal = append(p.internal, w)
			}
		}
	}
	return p
}

// neighbour returns an internal workload that an exposed one may share a node
// with, by what both say of their nodes; nil when there is none.
func (p placements) neighbour(s *check.Scan, w *evidence.Workload) *evidence.Workload {
	place := placement(s, w)
	switch other := p.byPlace[place]; {
	case other != nil:
		return other
	case place == "":
		return p.internal[0]
	case !toleratesSome(w.Pod.Tolerations):
		return p.byPlace[""]
	}
	return nil
}

// tolerationText tells tolerations apart.
func tolerationText(list []corev1.Toleration) (text string) {
	for _, t := range list {
		text += "|" + t.Key + " " + string(t.Operator) + " " + t.Value + " " + string(t.Effect)
	}
	return text
}

// toleratesSome reports whether somebody gave the pod tolerations: the API server
// adds those for nodes in trouble to every pod.
func toleratesSome(list []corev1.Toleration) bool {
	return slices.ContainsFunc(list, func(t corev1.Toleration) bool {
		return t.Key != corev1.TaintNodeNotReady && t.Key != corev1.TaintNodeUnreachable
	})
}

func exposedWorkloadPlacement(r *check.Run) {
	p := placementsOf(r.Scan)
	if len(p.internal) == 0 && len(p.exposed) > 0 {
		r.Unknown("", "no internal workload was seen that the exposed ones could be kept apart from")
		return
	}
	for _, w := range p.exposed {
		neighbour := p.neighbour(r.Scan, w)
		if neighbour == nil {
			r.Judge(w.Ref, nil)
			continue
		}
		r.Judge(w.Ref, []check.Problem{sharesNode(r.Scan, w, fmt.Sprintf("may share a node with %s", neighbour.Ref))})
	}
}

func sharesNode(s *check.Scan, w *evidence.Workload, how string) check.Problem {
	return check.Problem{
		Path:           w.PodPath.Field("nodeSelector"),
		Message:        fmt.Sprintf("%s %q is reached from outside (%s) and %s", w.Kind, w.Name, s.Exposures().Exposed(w)[0], how),
		Severity:       guide.Low,
		SeverityReason: "where a pod runs counts only after a break-out from its container",
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
