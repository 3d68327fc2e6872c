package carrier

import (
	appsv1 "k8s.io/api/apps/v1"
	appsv1beta1 "k8s.io/api/apps/v1beta1"
	appsv1beta2 "k8s.io/api/apps/v1beta2"
	batchv1 "k8s.io/api/batch/v1"
	batchv1beta1 "k8s.io/api/batch/v1beta1"
	corev1 "k8s.io/api/core/v1"
	extensionsv1beta1 "k8s.io/api/extensions/v1beta1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// Builtin returns the pod template of an object of a built-in type, given as
// pointer; false when the type carries none, or this object has none. The
// template shares the object's memory.
func Builtin(obj any) (Template, bool) {
	switch o := obj.(type) {
	case *corev1.Pod:
		return Template{
			Path: evidence.NewPath("spec").Rooted(""), MetaPath: evidence.NewPath("metadata"),
			Meta: &o.ObjectMeta, Pod: &o.Spec,
		}, true
	case *corev1.PodTemplate:
		return of(&o.Template, nil, "template"), true
	case *corev1.ReplicationController:
		if o.Spec.Template == nil {
			return Template{}, false
		}
		return of(o.Spec.Template, o.Spec.Replicas, "spec", "template"), true
	case *appsv1.Deployment:
		return of(&o.Spec.Template, o.Spec.Replicas, "spec", "template"), true
	case *appsv1.ReplicaSet:
		return of(&o.Spec.Template, o.Spec.Replicas, "spec", "template"), true
	case *appsv1.StatefulSet:
		return of(&o.Spec.Template, o.Spec.Replicas, "spec", "template"), true
	case *appsv1.DaemonSet:
		return of(&o.Spec.Template, nil, "spec", "template"), true
	case *batchv1.Job:
		return of(&o.Spec.Template, nil, "spec", "template"), true
	case *batchv1.CronJob:
		return of(&o.Spec.JobTemplate.Spec.Template, nil, "spec", "jobTemplate", "spec", "template"), true
	case *appsv1beta1.Deployment:
		return of(&o.Spec.Template, o.Spec.Replicas, "spec", "template"), true
	case *appsv1beta1.StatefulSet:
		return of(&o.Spec.Template, o.Spec.Replicas, "spec", "template"), true
	case *appsv1beta2.Deployment:
		return of(&o.Spec.Template, o.Spec.Replicas, "spec", "template"), true
	case *appsv1beta2.ReplicaSet:
		return of(&o.Spec.Template, o.Spec.Replicas, "spec", "template"), true
	case *appsv1beta2.StatefulSet:
		return of(&o.Spec.Template, o.Spec.Replicas, "spec", "template"), true
	case *appsv1beta2.DaemonSet:
		return of(&o.Spec.Template, nil, "spec", "template"), true
	case *extensionsv1beta1.Deployment:
		return of(&o.Spec.Template, o.Spec.Replicas, "spec", "template"), true
	case *extensionsv1beta1.ReplicaSet:
		return of(&o.Spec.Template, o.Spec.Replicas, "spec", "template"), true
	case *extensionsv1beta1.DaemonSet:
		return of(&o.Spec.Template, nil, "spec", "template"), true
	case *batchv1beta1.CronJob:
		return of(&o.Spec.JobTemplate.Spec.Template, nil, "spec", "jobTemplate", "spec", "template"), true
	}
	return Template{}, false
}

func of(t *corev1.PodTemplateSpec, replicas *int32, fields ...string) Template {
	at := evidence.NewPath(fields...)
	return Template{
		Path: at.Field("spec").Rooted(""), MetaPath: at.Field("metadata").Rooted("template.metadata"),
		Meta: &t.ObjectMeta, Pod: &t.Spec, Replicas: replicas,
	}
}
