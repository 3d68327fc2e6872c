package policy

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// generatedSuffix stands for the five characters that the API server ends a
// generated name with.
const generatedSuffix = "xxxxx"

// isPod reports whether a workload is a Pod itself, not the template of some.
func isPod(w *evidence.Workload) bool { return w.Kind == "Pod" && w.Group() == "" }

// podRequest is the request by which a controller would create a pod of a
// workload.
func (j *judgement) podRequest(w *evidence.Workload) *request {
	r := j.newRequest(&evidence.Ref{
		APIVersion: "v1", Kind: "Pod", Name: podName(w), Labels: w.PodLabels,
		Namespace: j.newRequest(w.Ref).GetNamespace(),
	})
	r.pods = w
	return r
}

// podName is the name of the first pod: only a StatefulSet gives one itself.
func podName(w *evidence.Workload) string {
	if w.Kind == "StatefulSet" && w.Group() == "apps" {
		return w.Name + "-0"
	}
	return ""
}

// pod is the Pod of such a request, before defaults.
func (r *request) pod() *corev1.Pod {
	w := r.pods
	return &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			Name: r.GetName(), GenerateName: w.Name + "-", Labels: w.PodLabels, Annotations: w.PodAnnotations,
			OwnerReferences: []metav1.OwnerReference{controller(w)},
		},
		Spec: *w.Pod.DeepCopy(),
	}
}

// controller is what creates the pods of a workload: of a Deployment and of a
// CronJob that is an object which they create.
func controller(w *evidence.Workload) metav1.OwnerReference {
	c := metav1.OwnerReference{APIVersion: w.APIVersion, Kind: w.Kind, Name: w.Name, Controller: new(true), BlockOwnerDeletion: new(true)}
	switch {
	case w.Kind == "Deployment" && (w.Group() == "apps" || w.Group() == "extensions"):
		c.APIVersion, c.Kind = "apps/v1", "ReplicaSet"
	case w.Kind == "CronJob" && w.Group() == "batch":
		c.APIVersion, c.Kind = "batch/v1", "Job"
	}
	return c
}

// incomplete says why the pods of a workload cannot be foreseen, if they cannot.
func (r *request) incomplete() string {
	switch {
	case r.pods == nil:
		return ""
	case r.pods.Partial != "":
		return "what is written is not the whole pod: " + r.pods.Partial
	case r.GetNamespace() == "":
		return "the namespace of its pods is not written"
	}
	return ""
}

// subject is the object that is written, and reported about.
func (r *request) subject() *evidence.Ref {
	if r.pods != nil {
		return r.pods.Ref
	}
	return r.ref
}

// String names what is judged.
func (r *request) String() string {
	if r.pods != nil {
		return "the pods of " + r.pods.String() + r.template()
	}
	return r.ref.String()
}

// template tells the template from the others of its object, where there may be
// others.
func (r *request) template() string {
	if key := r.pods.PodPath.Key(); key != "" {
		return fmt.Sprintf(" (%s)", key)
	}
	return ""
}

// tell is a message, in words about the object that is reported.
func (r *request) tell(message string) string {
	if r.pods != nil {
		return "the pods it creates" + r.template() + ": " + message
	}
	return message
}

// place is where a field of what is judged stands in the object that is written.
func (r *request) place(field []string) evidence.Path {
	w := r.pods
	switch {
	case w == nil:
		return evidence.NewPath(field...)
	case len(field) == 0:
		return w.PodPath
	case field[0] == "spec":
		return w.Resolve(w.PodPath.Field(field[1:]...))
	case len(field) > 1 && field[0] == "metadata" && slices.Contains([]string{"labels", "annotations"}, field[1]) && w.MetaPath.Len() > 0:
		return w.MetaPath.Field(field[1:]...)
	}
	return w.PodPath
}
