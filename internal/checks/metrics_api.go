package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// MetricsAPI reports clusters that collect no metrics (guide: Logging and
// monitoring).
var MetricsAPI = &check.Check{
	ID:             "metrics-api",
	Title:          "metrics are not collected",
	Recommendation: "LOG-07",
	Severity:       guide.Low,
	Remedy:         "install metrics-server, or a monitoring system that scrapes nodes and pods",
	Needs:          []evidence.Fact{evidence.Extensions, evidence.Workloads, evidence.Namespaces},
	Live:           "whether the metrics API answers",
	Doc: `Without metrics nobody sees that a container mines coins, or that a node runs full.

Looked at is the APIService of the group metrics.k8s.io, which metrics-server or an
adapter of a monitoring system registers: its condition Available has to be True.
Where there is none, a known monitoring system among the running workloads (Prometheus
and its agents, VictoriaMetrics, Thanos, Grafana Alloy, those of clouds and services)
keeps the row from failing; whether it scrapes anything, and its targets are up, is not
in the API's objects.

    kubectl get apiservice v1beta1.metrics.k8s.io
`,
	Run: metricsAPI,
}

// apiService is the part of an APIService that is read.
type apiService struct {
	Spec struct {
		Group   string `json:"group"`
		Service *struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"service"`
	} `json:"spec"`
	Status struct {
		Conditions []struct {
			Type    string `json:"type"`
			Status  string `json:"status"`
			Reason  string `json:"reason"`
			Message string `json:"message"`
		} `json:"conditions"`
	} `json:"status"`
}

const (
	apiServices  = "apiregistration.k8s.io"
	metricsGroup = "metrics.k8s.io"
)

func metricsAPI(r *check.Run) {
	found := false
	for ref, s := range customs[apiService](r, apiServices, "APIService") {
		if s.Spec.Group == metricsGroup {
			found = true
			judgeAvailable(r, ref, s)
		}
	}
	if found {
		return
	}
	for w := range running(r.Snapshot) {
		if runsImage(w, metricsCollectors) {
			r.Unknown("", fmt.Sprintf("the metrics API is not registered; %s may collect metrics, but whether its targets are up no object says", w.Ref))
			return
		}
	}
	absentFromCluster(r, evidence.Extensions, check.Problem{
		Message: "nothing collects metrics: no metrics API is registered and no known monitoring system runs",
	})
}

func judgeAvailable(r *check.Run, ref *evidence.Ref, s *apiService) {
	for i, c := range s.Status.Conditions {
		if c.Type != "Available" {
			continue
		}
		if c.Status == "True" {
			r.Judge(ref, nil)
			return
		}
		r.Judge(ref, []check.Problem{{
			Path:    evidence.NewPath("status", "conditions").Index(i, c.Type).Field("status"),
			Value:   c.Status,
			Message: fmt.Sprintf("the metrics API is registered and not available (%s)", c.Reason),
			Remedy:  "repair what stands behind the APIService " + ref.Name + ", or delete it",
		}})
		return
	}
	r.Unknown(ref.String(), "it does not say whether it is available")
}

// metricsCollectors are images of systems that collect metrics, by the last part
// or the last two of the repository.
var metricsCollectors = map[string]bool{
	"prometheus/prometheus": true, "prometheus": true, "prometheus-agent": true, "thanos": true, "mimir": true, "cortex": true,
	"vmagent": true, "victoria-metrics": true, "vmsingle": true, "alloy": true, "grafana/agent": true, "k8s-monitoring": true,
	"opentelemetry-collector-contrib": true, "opentelemetry-collector-k8s": true, "datadog/agent": true, "datadoghq/agent": true,
	"gmp-collector": true, "prometheus-engine/collector": true, "gke-metrics-agent": true, "cloudwatch-agent": true,
	"prometheus-collector": true, "ama-metrics": true, "dynatrace-oneagent": true, "telegraf": true, "netdata": true, "zabbix-agent2": true,
}

// runsImage reports whether a container runs one of some images.
func runsImage(w *evidence.Workload, images map[string]bool) bool {
	for c := range w.Containers() {
		if last, lastTwo := imageNames(c.Image); images[last] || images[lastTwo] {
			return true
		}
	}
	return false
}
