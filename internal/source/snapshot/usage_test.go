package snapshot_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/source/cluster"
	"github.com/gabion-k8s/gabion/internal/source/snapshot"
)

// What pods use goes through a snapshot as an object of the metrics API, and comes out
// with the workload.
func TestUsage(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "a"}}}, Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	worlds := load(t, write(t, func(w *snapshot.Writer) {
		addCluster(t, w, []cluster.Object{
			{APIVersion: "metrics.k8s.io/v1beta1", Kind: "PodMetrics", JSON: []byte(`{"apiVersion":"metrics.k8s.io/v1beta1","kind":"PodMetrics","metadata":{"name":"web","namespace":"shop"},"containers":[{"name":"app","usage":{"cpu":"12m","memory":"34Mi"}}]}`)},
			{APIVersion: "v1", Kind: "Pod", Typed: pod},
		})
	}))
	if len(worlds[0].Workloads) != 1 {
		t.Fatalf("%d workloads", len(worlds[0].Workloads))
	}
	use := worlds[0].Workloads[0].Usage["app"]
	if use.CPU.String() != "12m" || use.Memory.String() != "34Mi" || use.Pods != 1 {
		t.Errorf("%+v", use)
	}
}
