package carrier

import (
	"reflect"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	appsv1beta1 "k8s.io/api/apps/v1beta1"
	appsv1beta2 "k8s.io/api/apps/v1beta2"
	batchv1 "k8s.io/api/batch/v1"
	batchv1beta1 "k8s.io/api/batch/v1beta1"
	corev1 "k8s.io/api/core/v1"
	extensionsv1beta1 "k8s.io/api/extensions/v1beta1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

func TestBuiltin(t *testing.T) {
	const template, cron = "spec.template.spec", "spec.jobTemplate.spec.template.spec"
	tests := []struct {
		obj      any
		path     string
		replicas bool
	}{
		{&corev1.Pod{}, "spec", false},
		{&corev1.PodTemplate{}, "template.spec", false},
		{&corev1.ReplicationController{}, template, true},
		{&appsv1.Deployment{}, template, true},
		{&appsv1.ReplicaSet{}, template, true},
		{&appsv1.StatefulSet{}, template, true},
		{&appsv1.DaemonSet{}, template, false},
		{&batchv1.Job{}, template, false},
		{&batchv1.CronJob{}, cron, false},
		{&appsv1beta1.Deployment{}, template, true},
		{&appsv1beta1.StatefulSet{}, template, true},
		{&appsv1beta2.Deployment{}, template, true},
		{&appsv1beta2.ReplicaSet{}, template, true},
		{&appsv1beta2.StatefulSet{}, template, true},
		{&appsv1beta2.DaemonSet{}, template, false},
		{&extensionsv1beta1.Deployment{}, template, true},
		{&extensionsv1beta1.ReplicaSet{}, template, true},
		{&extensionsv1beta1.DaemonSet{}, template, false},
		{&batchv1beta1.CronJob{}, cron, false},
	}
	// What JSON says at the path is what the template holds.
	for _, test := range tests {
		t.Run(reflect.TypeOf(test.obj).String(), func(t *testing.T) {
			pod := `{"initContainers":[{"name":"a"}],"containers":[{"name":"b"}],"ephemeralContainers":[{"name":"c"}]}`
			metadata := `{"labels":{"where":"here"}}`
			data := map[string]string{
				"spec":          `{"metadata":` + metadata + `,"spec":` + pod + `}`,
				"template.spec": `{"template":{"metadata":` + metadata + `,"spec":` + pod + `}}`,
				template:        `{"spec":{"replicas":7,"template":{"metadata":` + metadata + `,"spec":` + pod + `}}}`,
				cron:            `{"spec":{"jobTemplate":{"spec":{"template":{"metadata":` + metadata + `,"spec":` + pod + `}}}}}`,
			}[test.path]
			if err := Decode([]byte(data), test.obj, evidence.Path{}); err != nil {
				t.Fatal(err)
			}
			got, ok := Builtin(test.obj)
			if !ok {
				t.Fatal("no template")
			}
			if got.Path.String() != test.path || got.Path.Key() != "" {
				t.Errorf("path %s, key %q", got.Path, got.Path.Key())
			}
			if len(got.Pod.InitContainers) != 1 || len(got.Pod.Containers) != 1 || len(got.Pod.EphemeralContainers) != 1 {
				t.Errorf("containers lost: %+v", got.Pod)
			}
			if got.Meta.Labels["where"] != "here" {
				t.Errorf("labels %v", got.Meta.Labels)
			}
			if (got.Replicas != nil && *got.Replicas == 7) != test.replicas {
				t.Errorf("replicas %v", got.Replicas)
			}
		})
	}
	for _, obj := range []any{nil, &corev1.Service{}, &corev1.ReplicationController{}, corev1.Pod{}} {
		if _, ok := Builtin(obj); ok {
			t.Errorf("%T has a template", obj)
		}
	}
}
