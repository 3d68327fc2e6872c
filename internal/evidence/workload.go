package evidence

import (
	"iter"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Workload is one pod template inside an object, or a bare pod. An object with
// several templates, such as a RayCluster, gives several workloads with one Ref.
type Workload struct {
	*Ref
	// PodPath is where the pod spec stands in the object. It is rooted: a pod
	// field has the same fingerprint key in every kind that carries pods.
	PodPath Path
	// MetaPath is where the template's metadata stand ("metadata" for a Pod).
	MetaPath Path
	// Moved are the parts of the pod that do not stand under their own name below
	// PodPath, and where each stands: a field ("securityContext"), a container
	// ("containers[0]"), or a field of one. Nil for most kinds.
	Moved map[string]Path
	Pod   *corev1.PodSpec
	// PodLabels and PodAnnotations are the template's own.
	PodLabels      map[string]string
	PodAnnotations map[string]string
	// Replicas is how many pods are wanted; nil when the object does not say.
	Replicas *int32
	// Partial is set when an operator completes the pod, and says with what: what
	// is missing here may be there in the running pod.
	Partial string
	// ByShape is set when the kind is unknown and the pod was found by its shape.
	ByShape bool
	// Running is how many pods of it a live cluster has that have not ended; zero for
	// files.
	Running int
	// Tokens is how many of those have the token of their ServiceAccount mounted, as
	// they were made. Its volume is not in Pod.
	Tokens int
	// Ready is how many of a DaemonSet's pods a live cluster says are ready; nil for
	// files and other kinds.
	Ready *int32
	// Instance names one pod (or Job) that really runs like this, where the object's
	// own name does not: pods whose maker was not listed are judged once for all
	// that are alike, and so are pods that are not what their object says. With a
	// Template and nothing running it is the kind and name of what belongs to the
	// object and will run like this: CronJob backup.
	Instance string
	// Template is the workload as it is written, where this is what really runs
	// instead: a Ref has first what is written and then what runs. Both are judged,
	// and of what runs only what is not written is reported.
	Template *Workload
	// Differs is what of the running pod is not as the controllers of Kubernetes would
	// have made it from the template. It is empty where the template itself is not
	// what is written, as during a rollout or for an operator's pods.
	Differs []Difference
	// Usage is what its containers used, by name, as far as metrics were asked for and
	// told; nil for files.
	Usage map[string]Use
}

// NewWorkload returns the workload of a template at path.
func NewWorkload(path, metaPath Path, meta *metav1.ObjectMeta, pod *corev1.PodSpec) *Workload {
	w := &Workload{PodPath: path, MetaPath: metaPath, Pod: pod}
	if meta != nil {
		w.PodLabels, w.PodAnnotations = meta.Labels, meta.Annotations
	}
	return w
}

// ServiceAccountName is the ServiceAccount the pod runs as, with the API
// server's default.
func (w *Workload) ServiceAccountName() string {
	switch {
	case w.Pod.ServiceAccountName != "":
		return w.Pod.ServiceAccountName
	case w.Pod.DeprecatedServiceAccount != "":
		return w.Pod.DeprecatedServiceAccount
	}
	return "default"
}

// Windows reports whether the pod says that it runs on Windows nodes, in the
// way the API server reads it (spec.os.name).
func (w *Workload) Windows() bool {
	return w.Pod.OS != nil && w.Pod.OS.Name == corev1.Windows
}

// The lists of a pod spec that hold containers.
const (
	InitContainers      = "initContainers"
	Containers          = "containers"
	EphemeralContainers = "ephemeralContainers"
)

// A Container is one container of a workload, of whatever list.
type Container struct {
	*corev1.Container
	// List is the field of the pod spec it stands in, Index its place there.
	List  string
	Index int

	workload *Workload
}

// Path returns where the container stands in the object.
func (c Container) Path() Path {
	return c.workload.PodPath.Field(c.List).Index(c.Index, c.Name)
}

// Sidecar reports whether the container is an init container that keeps running
// (KEP-753).
func (c Container) Sidecar() bool {
	return c.List == InitContainers && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// Containers yields every container that can run in the pod: init, regular and
// ephemeral ones, in this order.
func (w *Workload) Containers() iter.Seq[Container] {
	return func(yield func(Container) bool) {
		for i := range w.Pod.InitContainers {
			if !yield(Container{&w.Pod.InitContainers[i], InitContainers, i, w}) {
				return
			}
		}
		for i := range w.Pod.Containers {
			if !yield(Container{&w.Pod.Containers[i], Containers, i, w}) {
				return
			}
		}
		for i := range w.Pod.EphemeralContainers {
			c := (*corev1.Container)(&w.Pod.EphemeralContainers[i].EphemeralContainerCommon)
			if !yield(Container{c, EphemeralContainers, i, w}) {
				return
			}
		}
	}
}

// Resolve returns where a part of the pod really stands in the object, for kinds
// whose pods are scattered (Moved); other paths are returned as they are.
func (w *Workload) Resolve(p Path) Path {
	if len(w.Moved) == 0 {
		return p
	}
	root, steps := len(w.PodPath.steps(nil)), p.steps(nil)
	for end := len(steps); end > root; end-- {
		to, ok := w.Moved[relative(steps[root:end]).String()]
		if !ok {
			continue
		}
		for _, s := range steps[end:] {
			to.last = &step{to.last, s.name, s.index}
		}
		return to
	}
	return p
}

// relative is a path made of steps alone.
func relative(steps []*step) (p Path) {
	for _, s := range steps {
		p.last = &step{p.last, s.name, s.index}
	}
	return p
}
