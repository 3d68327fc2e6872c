package checks

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// LogAgentNodes reports nodes without a log agent (guide: Worker node and
// container logging).
var LogAgentNodes = &check.Check{
	ID:             "log-agent-nodes",
	Title:          "node without a log agent",
	Recommendation: "NLOG-01",
	Severity:       guide.High,
	Remedy:         "let the agent's DaemonSet tolerate the node's taints and select the node, and repair its pods",
	Needs:          []evidence.Fact{evidence.Workloads, evidence.Nodes},
	Live:           "whether the agent runs on every node",
	Doc: `The logs of a container are files on its node. Where no agent sends them elsewhere they
are lost with the node, and an intruder on it can delete them.

Looked at are the nodes of the cluster and the DaemonSets with a known log agent that
reads the node's logs (those of log-agent). A node that none of them may run on, by its
node selector, node affinity or tolerations, is reported, and so is a DaemonSet that
has fewer pods ready than nodes it may run on. Taints that Kubernetes itself puts on nodes in
trouble are left out: DaemonSets tolerate them. Pods that are not ready count as missing.
A node that was looked at itself and runs such an agent as a service needs no other.
Where no such agent was seen nothing is said.

    spec:
      tolerations:
        - operator: Exists
`,
	Run: func(r *check.Run) {
		nodeAgents(r, "log agent", func(w *evidence.Workload) bool { return readsNodeLogs(w) && runsLogAgent(w) },
			func(node string) bool { return hasAgent(r.Hosts, node) })
	},
}

// SensorNodes reports nodes without a sensor for intrusions (guide: Tools).
var SensorNodes = &check.Check{
	ID:             "sensor-nodes",
	Title:          "node without an intrusion sensor",
	Recommendation: "TOOL-01",
	Severity:       guide.Medium,
	Remedy:         "let the sensor's DaemonSet tolerate the node's taints and select the node, and repair its pods",
	Needs:          []evidence.Fact{evidence.Workloads, evidence.Nodes},
	Leaves:         check.Rest{What: "when access was last reviewed by a tool", To: []guide.Evidence{guide.Attestation}},
	Live:           "whether a sensor runs on every node",
	Doc: `A sensor sees what containers do to the kernel of their node. A node without one is
where an intruder is not seen.

Looked at are the nodes of the cluster and the DaemonSets with a known sensor (Falco,
Tetragon, Tracee, KubeArmor, those of security services). A node that none of them may
run on, by its node selector, node affinity or tolerations, is reported, and so is a
DaemonSet that has fewer pods ready than nodes it may run on. Where no sensor was seen nothing is said: one may be part of the nodes' image, or
not be known here.

    spec:
      tolerations:
        - operator: Exists
`,
	Run: func(r *check.Run) {
		nodeAgents(r, "sensor", func(w *evidence.Workload) bool { return runsImage(w, sensors) }, func(string) bool { return false })
	},
}

// sensors are image names, the last part or the last two of the repository.
var sensors = map[string]bool{
	"falco": true, "falco-no-driver": true, "falco-driver-loader": true, "tetragon": true, "tracee": true, "kubearmor": true,
	"sysdig/agent": true, "agent-slim": true, "falcon-sensor": true, "falcon-node-sensor": true, "kubescape/node-agent": true,
	"neuvector/enforcer": true, "aquasec/enforcer": true, "aqua-enforcer": true, "wiz-sensor": true, "lacework/datacollector": true,
	"collector-slim": true, "rhacs-collector-rhel8": true, "twistlock/defender": true, "security-publisher": true,
	"guardduty-agent": true, "deepfence_agent_ce": true, "upwind-sensor": true, "sentinelone/s1-agent": true, "s1-agent": true,
}

// nodeAgents judges the nodes by whether an agent of a kind may run on them, and
// the agents by whether they do. A node that has one of its own needs no other.
func nodeAgents(r *check.Run, what string, is func(*evidence.Workload) bool, ownAgent func(node string) bool) {
	_, unseen := r.Complete(evidence.Workloads, "")
	var agents []*evidence.Workload
	for _, w := range r.Workloads {
		if w.Kind == "DaemonSet" && w.Instance == "" && is(w) {
			agents = append(agents, w)
		}
	}
	if len(agents) == 0 && !slices.ContainsFunc(r.Nodes, func(n *evidence.Object[corev1.Node]) bool { return ownAgent(n.Name) }) {
		why := "it may be part of the nodes, or not be known here"
		if unseen != "" {
			why = unseen
		}
		r.Unknown("", "no DaemonSet with a known "+what+" was seen: "+why)
		return
	}
	wanted := make([]int, len(agents))
	for _, n := range r.Nodes {
		covered := ownAgent(n.Name)
		for i, w := range agents {
			if mayRunOn(w.Pod, n) {
				covered = true
				wanted[i]++
			}
		}
		if !covered && unseen != "" {
			r.Unknown(n.Ref.String(), "a DaemonSet with a "+what+" for it may be there: "+unseen)
			continue
		}
		var problems []check.Problem
		if !covered {
			problems = []check.Problem{{
				Path:    evidence.NewPath("spec", "taints"),
				Message: fmt.Sprintf("no %s may run on node %q: %s", what, n.Name, keptOff(agents, n)),
			}}
		}
		r.Judge(n.Ref, problems)
	}
	for i, w := range agents {
		r.Judge(w.Ref, lacking(w, what, wanted[i]))
	}
}

// lacking says that an agent does not run, or is not ready, where it is meant to.
func lacking(w *evidence.Workload, what string, wanted int) []check.Problem {
	message := ""
	switch {
	case w.Running < wanted:
		message = fmt.Sprintf("%s %q runs on %d of the %d nodes that it is meant for", what, w.Name, w.Running, wanted)
	case w.Ready != nil && int(*w.Ready) < wanted:
		message = fmt.Sprintf("%s %q is ready on %d of the %d nodes that it is meant for", what, w.Name, *w.Ready, wanted)
	default:
		return nil
	}
	return []check.Problem{{Path: evidence.NewPath("metadata", "name"), Value: w.Name, Message: message}}
}

// keptOff says why the first of several DaemonSets does not run on a node.
func keptOff(agents []*evidence.Workload, n *evidence.Object[corev1.Node]) string {
	if len(agents) == 0 {
		return "there is no DaemonSet with one, as other nodes have their own"
	}
	w := agents[0]
	if t := untolerated(w.Pod.Tolerations, n); t != nil {
		return fmt.Sprintf("%s does not tolerate the taint %s", w.Ref, t.Key)
	}
	return fmt.Sprintf("%s does not select it", w.Ref)
}

// mayRunOn reports whether a pod of a DaemonSet could run on a node, by what both
// say: node selector, required node affinity, taints.
func mayRunOn(pod *corev1.PodSpec, n *evidence.Object[corev1.Node]) bool {
	return selectsNode(pod, n) && untolerated(pod.Tolerations, n) == nil
}

// selectsNode reports whether a pod's node selector and required node affinity
// match a node.
func selectsNode(pod *corev1.PodSpec, n *evidence.Object[corev1.Node]) bool {
	if !selects(pod.NodeSelector, n.Labels) {
		return false
	}
	if pod.Affinity == nil || pod.Affinity.NodeAffinity == nil || pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return true
	}
	terms := pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	return slices.ContainsFunc(terms, func(t corev1.NodeSelectorTerm) bool {
		return len(t.MatchExpressions)+len(t.MatchFields) > 0 &&
			requirementsMatch(t.MatchExpressions, n.Labels) &&
			requirementsMatch(t.MatchFields, map[string]string{metav1.ObjectNameField: n.Name})
	})
}

// nodeOperators are how node affinity spells what label selectors call otherwise.
var nodeOperators = map[corev1.NodeSelectorOperator]selection.Operator{
	corev1.NodeSelectorOpIn: selection.In, corev1.NodeSelectorOpNotIn: selection.NotIn,
	corev1.NodeSelectorOpExists: selection.Exists, corev1.NodeSelectorOpDoesNotExist: selection.DoesNotExist,
	corev1.NodeSelectorOpGt: selection.GreaterThan, corev1.NodeSelectorOpLt: selection.LessThan,
}

func requirementsMatch(list []corev1.NodeSelectorRequirement, have map[string]string) bool {
	for _, e := range list {
		r, err := labels.NewRequirement(e.Key, nodeOperators[e.Operator], e.Values)
		if err != nil || !r.Matches(labels.Set(have)) {
			return false
		}
	}
	return true
}

// untolerated returns a taint of a node that keeps pods with these tolerations off
// it. What Kubernetes itself puts on nodes in trouble is passing, and DaemonSets
// tolerate it.
func untolerated(tolerations []corev1.Toleration, n *evidence.Object[corev1.Node]) *corev1.Taint {
	for i := range n.Value.Spec.Taints {
		taint := &n.Value.Spec.Taints[i]
		if taint.Effect == corev1.TaintEffectPreferNoSchedule || strings.HasPrefix(taint.Key, "node.kubernetes.io/") {
			continue
		}
		if !slices.ContainsFunc(tolerations, func(t corev1.Toleration) bool { return toleratesTaint(t, taint) }) {
			return taint
		}
	}
	return nil
}

func toleratesTaint(t corev1.Toleration, taint *corev1.Taint) bool {
	if t.Effect != "" && t.Effect != taint.Effect {
		return false
	}
	switch t.Operator {
	case corev1.TolerationOpExists:
		return t.Key == "" || t.Key == taint.Key
	case corev1.TolerationOpEqual, "":
		return t.Key == taint.Key && t.Value == taint.Value
	}
	return false
}
