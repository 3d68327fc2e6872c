package need

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// completed is the snapshot with the pods of the Prometheus operator as that makes
// them: the labels, containers and ports that its own objects do not tell
// (https://prometheus-operator.dev/docs/api-reference/api/).
func completed(snap *evidence.Snapshot) *evidence.Snapshot {
	if !slices.ContainsFunc(snap.Workloads, unfinished) {
		return snap
	}
	full := *snap
	full.Workloads = make([]*evidence.Workload, len(snap.Workloads))
	for i, w := range snap.Workloads {
		full.Workloads[i] = w
		if !unfinished(w) {
			continue
		}
		if ports, labels := operated(w); ports != nil {
			full.Workloads[i] = withContainers(w, ports, labels)
		}
	}
	return &full
}

// unfinished reports whether what the operator adds to a workload is not known.
func unfinished(w *evidence.Workload) bool {
	return w.Group() == "monitoring.coreos.com" && w.Running == 0
}

// operated are the ports and labels that the operator adds, by the kind.
func operated(w *evidence.Workload) (ports []corev1.ContainerPort, labels map[string]string) {
	own := map[string]string{"Prometheus": "prometheus", "PrometheusAgent": "prometheus", "Alertmanager": "alertmanager", "ThanosRuler": "thanos-ruler"}[w.Kind]
	web := map[string]int32{"prometheus": 9090, "alertmanager": 9093, "thanos-ruler": 10902}[own]
	if own == "" {
		return nil, nil
	}
	ports = []corev1.ContainerPort{{Name: "web", ContainerPort: web}, {Name: "reloader-web", ContainerPort: 8080}}
	if own == "alertmanager" {
		ports = append(ports, corev1.ContainerPort{Name: "mesh-tcp", ContainerPort: 9094}, corev1.ContainerPort{Name: "mesh-udp", ContainerPort: 9094, Protocol: corev1.ProtocolUDP})
	}
	return ports, map[string]string{
		"app.kubernetes.io/name": own, "app.kubernetes.io/instance": w.Name, "app.kubernetes.io/managed-by": "prometheus-operator",
		own: w.Name,
	}
}

func withContainers(w *evidence.Workload, ports []corev1.ContainerPort, labels map[string]string) *evidence.Workload {
	whole := *w
	pod := w.Pod.DeepCopy()
	pod.Containers = append(pod.Containers, corev1.Container{Name: fmt.Sprintf("%s (made by the operator)", w.Kind), Ports: ports})
	maps.Copy(labels, w.PodLabels)
	whole.Pod, whole.PodLabels, whole.Partial = pod, labels, ""
	return &whole
}
