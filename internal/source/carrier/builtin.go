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
		return Template{Path: barePod.spec, MetaPath: barePod.meta, Meta: &o.ObjectMeta, Pod: &o.Spec}, true
	case *corev1.PodTemplate:
		return of(&o.Template, nil, podTemplate), true
	case *corev1.ReplicationController:
		if o.Spec.Template == nil {
			return Template{}, false
		}
		return of(o.Spec.Template, o.Spec.Replicas, inSpec), true
	case *appsv1.Deployment:
		return of(&o.Spec.Template, o.Spec.Replicas, inSpec), true
	case *appsv1.ReplicaSet:
		return of(&o.Spec.Template, o.Spec.Replicas, inSpec), true
	case *appsv1.StatefulSet:
		return of(&o.Spec.Template, o.Spec.Replicas, inSpec), true
	case *appsv1.DaemonSet:
		return of(&o.Spec.Template, nil, inSpec), true
	case *batchv1.Job:
		return of(&o.Spec.Template, nil, inSpec), true
	case *batchv1.CronJob:
		return of(&o.Spec.JobTemplate.Spec.Template, nil, inJobTemplate), true
	case *appsv1beta1.Deployment:
		return of(&o.Spec.Template, o.Spec.Replicas, inSpec), true
	case *appsv1beta1.StatefulSet:
		return of(&o.Spec.Template, o.Spec.Replicas, inSpec), true
	case *appsv1beta2.Deployment:
		return of(&o.Spec.Template, o.Spec.Replicas, inSpec), true
	case *appsv1beta2.ReplicaSet:
		return of(&o.Spec.Template, o.Spec.Replicas, inSpec), true
	case *appsv1beta2.StatefulSet:
		return of(&o.Spec.Template, o.Spec.Replicas, inSpec), true
	case *appsv1beta2.DaemonSet:
		return of(&o.Spec.Template, nil, inSpec), true
	case *extensionsv1beta1.Deployment:
		return of(&o.Spec.Template, o.Spec.Replicas, inSpec), true
	case *extensionsv1beta1.ReplicaSet:
		return of(&o.Spec.Template, o.Spec.Replicas, inSpec), true
	case *extensionsv1beta1.DaemonSet:
		return of(&o.Spec.Template, nil, inSpec), true
	case *batchv1beta1.CronJob:
		return of(&o.Spec.JobTemplate.Spec.Template, nil, inJobTemplate), true
	}
	return Template{}, false
}

// The places of the templates of built-in kinds.
var (
	barePod       = templatePlace{evidence.NewPath("spec").Rooted(""), evidence.NewPath("metadata")}
	podTemplate   = templateAt("template")
	inSpec        = templateAt("spec", "template")
	inJobTemplate = templateAt("spec", "jobTemplate", "spec", "template")
)

// A templatePlace is where the spec and the metadata of a template stand.
type templatePlace struct{ spec, meta evidence.Path }

func templateAt(fields ...string) templatePlace {
	at := evidence.NewPath(fields...)
	return templatePlace{at.Field("spec").Rooted(""), at.Field("metadata").Rooted("template.metadata")}
}

func of(t *corev1.PodTemplateSpec, replicas *int32, at templatePlace) Template {
	return Template{Path: at.spec, MetaPath: at.meta, Meta: &t.ObjectMeta, Pod: &t.Spec, Replicas: replicas}
}
