package snapshot_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/gabion-k8s/gabion/internal/source/cluster"
	"github.com/gabion-k8s/gabion/internal/source/snapshot"
)

// manyPods is as many pods as a large cluster has.
const manyPods = 20_000

// runningPod is a pod as an API server serves it, with what the kubelet says of it.
func runningPod(i int) *corev1.Pod {
	meta := metav1.ObjectMeta{
		Name: fmt.Sprintf("web-%d-6d4cf56db6-%05x", i/10, i*7919), Namespace: fmt.Sprint("team-", i%200), UID: types.UID(fmt.Sprintf("%08x-7c4f-4f0e-9d0a-%012x", i, i*104729)),
		ResourceVersion: fmt.Sprint(i * 31), CreationTimestamp: metav1.NewTime(created), GenerateName: fmt.Sprintf("web-%d-6d4cf56db6-", i/10),
		Labels:          map[string]string{"app": fmt.Sprint("web-", i/10), "pod-template-hash": "6d4cf56db6", "app.kubernetes.io/managed-by": "Helm"},
		Annotations:     map[string]string{"checksum/config": fmt.Sprintf("%064x", i*15485863)},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: fmt.Sprintf("web-%d-6d4cf56db6", i/10), UID: types.UID(fmt.Sprint("rs-", i/10)), Controller: new(true)}},
	}
	container := func(name string) corev1.Container {
		probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(8080), Scheme: "HTTP"}}, TimeoutSeconds: 1, PeriodSeconds: 10, SuccessThreshold: 1, FailureThreshold: 3}
		return corev1.Container{
			Name: name, Image: "registry.example.com/team/" + name + ":1.2.3", ImagePullPolicy: corev1.PullIfNotPresent,
			Ports:         []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
			Env:           []corev1.EnvVar{{Name: "POD", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.name"}}}, {Name: "LEVEL", Value: "info"}},
			Resources:     corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("128Mi")}, Limits: corev1.ResourceList{"memory": resource.MustParse("256Mi")}},
			VolumeMounts:  []corev1.VolumeMount{{Name: "config", MountPath: "/etc/app"}, {Name: "kube-api-access", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}},
			LivenessProbe: probe, ReadinessProbe: probe,
			TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: corev1.TerminationMessageReadFile,
			SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
		}
	}
	status := func(name string) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: name, Ready: true, Started: new(true), Image: "registry.example.com/team/" + name + ":1.2.3",
			ImageID: fmt.Sprintf("registry.example.com/team/%s@sha256:%064x", name, 1), ContainerID: fmt.Sprintf("containerd://%064x", i), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(created)}}}
	}
	condition := func(c corev1.PodConditionType) corev1.PodCondition {
		return corev1.PodCondition{Type: c, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(created)}
	}
	return &corev1.Pod{
		ObjectMeta: meta,
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{container("web"), container("proxy")}, NodeName: fmt.Sprint("node-", i%500), ServiceAccountName: "web", DeprecatedServiceAccount: "web",
			RestartPolicy: corev1.RestartPolicyAlways, TerminationGracePeriodSeconds: new(int64(30)), DNSPolicy: corev1.DNSClusterFirst, SchedulerName: "default-scheduler",
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(true)}, EnableServiceLinks: new(true), Priority: new(int32(0)), PreemptionPolicy: new(corev1.PreemptLowerPriority),
			Tolerations: []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(300))}, {Key: "node.kubernetes.io/unreachable", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(300))}},
			Volumes: []corev1.Volume{
				{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "web"}, DefaultMode: new(int32(420))}}},
				{Name: "kube-api-access", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: new(int32(420)), Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: new(int64(3607))}}}}}},
			},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), HostIP: "192.0.2.1", QOSClass: corev1.PodQOSBurstable, StartTime: new(metav1.NewTime(created)),
			Conditions:        []corev1.PodCondition{condition("PodReadyToStartContainers"), condition(corev1.PodInitialized), condition(corev1.PodReady), condition(corev1.ContainersReady), condition(corev1.PodScheduled)},
			ContainerStatuses: []corev1.ContainerStatus{status("web"), status("proxy")},
		},
	}
}

func writePods(b *testing.B, to io.Writer, pods []*corev1.Pod) {
	b.Helper()
	w := snapshot.NewWriter(to, "v0.1.0", created)
	sink, err := w.Cluster(aCluster())
	if err != nil {
		b.Fatal(err)
	}
	for _, pod := range pods {
		if err := sink.Add(cluster.Object{APIVersion: "v1", Kind: "Pod", Typed: pod}); err != nil {
			b.Fatal(err)
		}
	}
	if err := sink.Finish(); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkWrite(b *testing.B) {
	pods := make([]*corev1.Pod, manyPods)
	for i := range pods {
		pods[i] = runningPod(i)
	}
	b.ReportAllocs()
	for b.Loop() {
		var file bytes.Buffer
		writePods(b, &file, pods)
		b.ReportMetric(float64(file.Len())/1e6, "MB/file")
	}
}

func BenchmarkLoad(b *testing.B) {
	var file bytes.Buffer
	pods := make([]*corev1.Pod, manyPods)
	for i := range pods {
		pods[i] = runningPod(i)
	}
	writePods(b, &file, pods)
	b.ReportAllocs()
	for b.Loop() {
		worlds, _, err := snapshot.Load(context.Background(), bytes.NewReader(file.Bytes()), snapshot.Options{})
		if err != nil || len(worlds[0].Workloads) == 0 {
			b.Fatal(err)
		}
	}
}
