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

// LogAgent reports node agents for logs that do not run on every node (guide:
// Worker node and container logging).
var LogAgent = &check.Check{
	ID:             "log-agent",
	Title:          "log agent does not run on every node",
	Recommendation: "NLOG-01",
	Severity:       guide.High,
	Remedy:         "let the agent's DaemonSet tolerate the taints of all nodes, and select none of them",
	Needs:          []evidence.Fact{evidence.Workloads},
	Leaves:         check.Rest{What: "whether the agent is ready on every node", To: []guide.Evidence{guide.Cluster}},
	Doc:            logAgentDoc,
	Run:            logAgent,
}

const logAgentDoc = `The logs of a container are files on its node. They are lost with the node, and soon
after the pod. An agent on every node sends them elsewhere in time.

Looked at are DaemonSets that run a known log agent (Fluent Bit, Fluentd, Vector,
Filebeat, Promtail, Alloy, OpenTelemetry Collector, those of logging services and
clouds, …) and mount the node's logs: /var/log or something in it, or the files of
Docker. Each must tolerate the taint of control-plane nodes (until 1.23
node-role.kubernetes.io/master, in 1.24 both, since then
node-role.kubernetes.io/control-plane), where the API server's own logs are, and
must not be held to some nodes by a node selector other than the operating system.

Where no such agent was seen nothing is said: it may be installed elsewhere, and
applications may send their logs themselves.

    spec:
      tolerations:
        - operator: Exists
`

// logAgents are image names, the last part or the last two of the repository.
var logAgents = map[string]bool{
	"fluent-bit": true, "fluentd": true, "fluentd-kubernetes-daemonset": true, "fluentd-elasticsearch": true,
	"aws-for-fluent-bit": true, "newrelic-fluentbit-output": true, "fluentbit-gke": true, "fluentbit": true,
	"vector": true, "filebeat": true, "elastic-agent": true, "promtail": true, "alloy": true, "grafana/agent": true,
	"opentelemetry-collector": true, "opentelemetry-collector-contrib": true, "opentelemetry-collector-k8s": true,
	"splunk-otel-collector": true, "fluentd-hec": true, "datadog/agent": true, "datadoghq/agent": true,
	"cloudwatch-agent": true, "logdna-agent": true, "loggie": true, "ilogtail": true, "loongcollector": true,
	"log-pilot": true, "axosyslog": true, "syslog-ng": true, "logging-agent": true, "vlagent": true,
}

func logAgent(r *check.Run) {
	found := false
	for _, w := range r.Workloads {
		if w.Kind == "DaemonSet" && readsNodeLogs(w) && runsLogAgent(w) {
			found = true
			r.JudgeWorkload(w, missedNodes(r.Scan, w))
		}
	}
	if !found && r.Cluster == nil { // of a live cluster log-agent-nodes says so
		r.Unknown("", "no DaemonSet with a known log agent was seen: logs may be sent by one that is installed elsewhere, or by the applications")
	}
}

func readsNodeLogs(w *evidence.Workload) bool {
	return slices.ContainsFunc(w.Pod.Volumes, func(v corev1.Volume) bool {
		if v.HostPath == nil {
			return false
		}
		path := strings.TrimRight(v.HostPath.Path, "/") + "/"
		return path == "/" || path == "/var/" || strings.HasPrefix(path, "/var/log/") || strings.HasPrefix(path, "/var/lib/docker/")
	})
}

func runsLogAgent(w *evidence.Workload) bool {
	for c := range w.Containers() {
		if last, lastTwo := imageNames(c.Image); logAgents[last] || logAgents[lastTwo] {
			return true
		}
	}
	return false
}

func missedNodes(s *check.Scan, w *evidence.Workload) (problems []check.Problem) {
	taints := controlPlaneTaints(s.Settings.Version)
	for _, taint := range taints {
		if !tolerates(w.Pod.Tolerations, taint) {
			problems = append(problems, check.Problem{
				Path:    w.PodPath.Field("tolerations"),
				Message: fmt.Sprintf("log agent %q does not run on control-plane nodes: it does not tolerate the taint %s", w.Name, taint),
				Fix:     tolerationFix(w, taints),
			})
			break
		}
	}
	for _, key := range slices.Sorted(maps.Keys(w.Pod.NodeSelector)) {
		if !separatesNothing(key) {
			problems = append(problems, check.Problem{
				Path:    w.PodPath.Field("nodeSelector", key),
				Value:   w.Pod.NodeSelector[key],
				Message: fmt.Sprintf("log agent %q runs only on nodes labelled %s=%s", w.Name, key, w.Pod.NodeSelector[key]),
			})
		}
	}
	return problems
}

const (
	controlPlaneTaint = "node-role.kubernetes.io/control-plane"
	masterTaint       = "node-role.kubernetes.io/master"
)

// controlPlaneTaints are those that kubeadm puts on control-plane nodes.
func controlPlaneTaints(v evidence.Version) []string {
	switch {
	case v.AtLeast(25):
		return []string{controlPlaneTaint}
	case v.AtLeast(24):
		return []string{controlPlaneTaint, masterTaint}
	}
	return []string{masterTaint}
}

// tolerationFix writes the toleration where there is none: the agent then runs on
// more nodes, and on those that it runs on as before.
func tolerationFix(w *evidence.Workload, taints []string) *check.Fix {
	if len(w.Pod.Tolerations) > 0 {
		return nil
	}
	var list []string
	for _, t := range taints {
		list = append(list, "{key: "+t+", operator: Exists, effect: NoSchedule}")
	}
	return &check.Fix{
		Path:  w.PodPath.Field("tolerations"),
		Value: "[" + strings.Join(list, ", ") + "]",
	}
}

func tolerates(tolerations []corev1.Toleration, key string) bool {
	taint := &corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule}
	return slices.ContainsFunc(tolerations, func(t corev1.Toleration) bool { return toleratesTaint(t, taint) })
}
