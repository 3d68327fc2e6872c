package carrier

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

// What the pieces of a pod add up to, where more than names is at stake.
func TestPieces(t *testing.T) {
	yes, uid := true, int64(7)
	limits := corev1.ResourceRequirements{Limits: corev1.ResourceList{"memory": resource.MustParse("1Gi")}}
	tests := []struct {
		name, group, kind, yaml string
		want                    corev1.PodSpec
	}{
		{
			"Argo: a template goes before the defaults, and these before the workflow", "argoproj.io", "Workflow",
			`spec:
  serviceAccountName: workflow
  schedulerName: workflow
  priorityClassName: workflow
  templateDefaults:
    serviceAccountName: defaults
    schedulerName: defaults
    container: {securityContext: {privileged: true, runAsUser: 1}, env: [{name: B, value: b}], args: [b]}
  templates:
  - name: one
    serviceAccountName: template
    container: {image: a, securityContext: {runAsUser: 7}, env: [{name: A, value: a}], args: [a]}`,
			corev1.PodSpec{
				ServiceAccountName: "template", SchedulerName: "defaults", PriorityClassName: "workflow",
				Containers: []corev1.Container{{
					Name: "main", Image: "a", Args: []string{"a"},
					Env:             []corev1.EnvVar{{Name: "A", Value: "a"}, {Name: "B", Value: "b"}},
					SecurityContext: &corev1.SecurityContext{Privileged: &yes, RunAsUser: &uid},
				}},
			},
		},
		{
			"Tekton: resources under the new name, and the step template below", "tekton.dev", "Task",
			`spec:
  stepTemplate: {securityContext: {privileged: true}, computeResources: {limits: {memory: 2Gi}}, workingDir: /w}
  steps: [{name: a, image: a, computeResources: {limits: {memory: 1Gi}}, securityContext: {runAsUser: 7}}]`,
			corev1.PodSpec{Containers: []corev1.Container{{
				Name: "a", Image: "a", WorkingDir: "/w", Resources: limits,
				SecurityContext: &corev1.SecurityContext{Privileged: &yes, RunAsUser: &uid},
			}}},
		},
		{
			"Tekton: resources under the old name", "tekton.dev", "Task",
			`spec: {steps: [{name: a, image: a, resources: {limits: {memory: 1Gi}}}]}`,
			corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a", Resources: limits}}},
		},
		{
			"KubeVirt: a disk on the node is a host path", "kubevirt.io", "VirtualMachineInstance",
			`spec: {volumes: [{name: a, hostDisk: {path: /srv/a.img}}, {name: b, containerDisk: {image: b}}]}`,
			corev1.PodSpec{Volumes: []corev1.Volume{
				{Name: "a", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/srv/a.img"}}},
				{Name: "b"},
			}},
		},
		{
			"Spark: the image of the application where the driver has none", "sparkoperator.k8s.io", "SparkApplication",
			`spec: {image: a, imagePullPolicy: Always, restartPolicy: {type: Never}, driver: {securityContext: {runAsUser: 7}}}`,
			corev1.PodSpec{Containers: []corev1.Container{{
				Name: "spark-kubernetes-driver", Image: "a", ImagePullPolicy: "Always",
				SecurityContext: &corev1.SecurityContext{RunAsUser: &uid},
			}}},
		},
		{
			"Prometheus: the resources of a container are not those of the pod", "monitoring.coreos.com", "Prometheus",
			`spec: {resources: {limits: {memory: 1Gi}}, hostNetwork: true}`,
			corev1.PodSpec{HostNetwork: true},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			data, err := yaml.YAMLToJSONStrict([]byte(test.yaml))
			if err != nil {
				t.Fatal(err)
			}
			found, errs := Find(test.group, test.kind, data)
			if len(found) != 1 || len(errs) > 0 {
				t.Fatalf("%d templates, errors %v", len(found), errs)
			}
			if diff := cmp.Diff(test.want, *found[0].Pod); diff != "" {
				t.Errorf("pod (-want +got):\n%s", diff)
			}
		})
	}
}
