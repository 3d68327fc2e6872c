package carrier

import (
	"errors"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

func TestDecodeErrors(t *testing.T) {
	tests := []struct {
		name string
		into any
		yaml string
		want string
	}{
		{"quoted port", &appsv1.Deployment{}, `spec: {template: {spec: {containers: [{name: web, ports: [{containerPort: "80"}]}]}}}`,
			`spec.template.spec.containers[0].ports[0].containerPort: want a number, got string "80"`},
		{"the second container", &corev1.Pod{}, `spec: {containers: [{name: a}, {name: b, stdin: "yes"}]}`,
			`spec.containers[1].stdin: want true or false, got string "yes"`},
		{"words for a number", &appsv1.Deployment{}, `spec: {replicas: three}`, `spec.replicas: want a number, got string "three"`},
		{"fraction", &appsv1.Deployment{}, `spec: {replicas: 1.5}`, `spec.replicas: want a whole number of at most 32 bits, got number 1.5`},
		{"too large", &appsv1.Deployment{}, `spec: {replicas: 99999999999}`, `spec.replicas: want a whole number of at most 32 bits, got number 99999999999`},
		{"list for an object", &corev1.Pod{}, `spec: {securityContext: []}`, `spec.securityContext: want an object, got a list`},
		{"object for a list", &corev1.Pod{}, `spec: {containers: {name: a}}`, `spec.containers: want a list, got an object`},
		{"string for an object", &corev1.Pod{}, `spec: "{{ .Values.spec }}"`, `spec: want an object, got string "{{ .Values.spec }}"`},
		{"quantity", &corev1.Pod{}, `spec: {containers: [{resources: {limits: {memory: much}}}]}`,
			`spec.containers[0].resources.limits.memory: want a quantity such as 500m or 1Gi, got string "much"`},
		{"number or string", &networkingv1.NetworkPolicy{}, `spec: {ingress: [{ports: [{port: {}}]}]}`,
			`spec.ingress[0].ports[0].port: want a number or a string, got an object`},
		{"time", &corev1.Pod{}, `metadata: {creationTimestamp: yesterday}`,
			`metadata.creationTimestamp: want a time such as 2006-01-02T15:04:05Z, got string "yesterday"`},
		{"embedded fields", &corev1.Pod{}, `spec: {volumes: [{name: a, persistentVolumeClaim: {claimName: [a]}}]}`,
			`spec.volumes[0].persistentVolumeClaim.claimName: want a string, got a list`},
		{"label with a dot", &corev1.Pod{}, `metadata: {labels: {a.b/c: true}}`, `metadata.labels["a.b/c"]: want a string, got true`},
		{"no value where free text is", &corev1.Pod{}, `spec: {containers: [{env: [{name: A, value: 123456}]}]}`,
			`spec.containers[0].env[0].value: want a string, got a number`},
		{"no value of a Secret", &corev1.Secret{}, `data: {a: 123456}`, `data.a: want a string in base64, got a number`},
		{"not even base64 of a Secret", &corev1.Secret{}, `data: {a: "hunter2!"}`, `data.a: want a string in base64, got a string`},
		{"long values", &appsv1.Deployment{}, `spec: {replicas: "` + strings.Repeat("9", 100) + `"}`, `spec.replicas: want a number, got a string`},
		{"not an object", &corev1.Pod{}, `[1]`, `want an object, got a list`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			data, err := yaml.YAMLToJSONStrict([]byte(test.yaml))
			if err != nil {
				t.Fatal(err)
			}
			err = Decode(data, test.into, evidence.Path{})
			if err == nil || err.Error() != test.want {
				t.Errorf("error %v\nwant  %s", err, test.want)
			}
			var located *FieldError
			if !errors.As(err, &located) {
				t.Errorf("error is a %T", err)
			}
		})
	}
}

func TestDecode(t *testing.T) {
	var pod corev1.Pod
	data := `{"spec":{"hostNetwork":true,"HostPID":true,"unheardOf":1},"metadata":null}`
	if err := Decode([]byte(data), &pod, evidence.Path{}); err != nil {
		t.Fatal(err)
	}
	if !pod.Spec.HostNetwork || pod.Spec.HostPID {
		t.Errorf("hostNetwork %v and HostPID %v, want true and, for its case, false", pod.Spec.HostNetwork, pod.Spec.HostPID)
	}
	if err := Decode([]byte(`{"spec":`), &pod, evidence.NewPath("items")); err == nil || !strings.HasPrefix(err.Error(), "items: not valid JSON") {
		t.Errorf("error %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"containers":[{"ports":[{"hostPort":"1"}]}]}}}}}}`))
	f.Add([]byte(`{"spec":{"startingDeadlineSeconds":1e400,"suspend":"a"},"metadata":{"ownerReferences":[[]]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var job batchv1.CronJob
		if err := Decode(data, &job, evidence.Path{}); err != nil && err.Error() == "" {
			t.Error("an error without text")
		}
	})
}
