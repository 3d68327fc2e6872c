package checks

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A scope says which pods a check applies to. A pod out of scope is neither a
// pass nor a failure.
type scope func(check.Settings, *evidence.Workload) bool

// everyPod is every pod, of whatever operating system.
func everyPod(check.Settings, *evidence.Workload) bool { return true }

// withAccount are the pods that run as a ServiceAccount: all but static pods, which
// a live cluster shows as mirrors that the kubelet made.
func withAccount(_ check.Settings, w *evidence.Workload) bool {
	return w.Annotations[corev1.MirrorPodAnnotationKey] == ""
}

// linuxPods are the pods that fields of the Linux kernel apply to. From
// Kubernetes 1.25 on the API server knows Windows pods by spec.os.name and
// refuses such fields there; before, the Pod Security Standards asked for them
// everywhere.
func linuxPods(s check.Settings, w *evidence.Workload) bool {
	return !w.Windows() || !s.Version.AtLeast(25)
}

// since narrows a scope to Kubernetes 1.minor and newer, where the field exists
// or the standard asks for it.
func since(minor int, in scope) scope {
	return func(s check.Settings, w *evidence.Workload) bool { return s.Version.AtLeast(minor) && in(s, w) }
}

// pods lifts a judgement about one pod to the pods of a scan that are in scope.
func pods(in scope, judge func(*check.Scan, *evidence.Workload) []check.Problem) func(*check.Run) {
	return func(r *check.Run) {
		for _, w := range r.Workloads {
			if in(r.Settings, w) {
				settle(r, w, judge(r.Scan, w))
			}
		}
	}
}

// containers lifts a judgement about one container, of whatever list, to the
// pods of a scan that are in scope.
func containers(in scope, judge func(*check.Scan, *evidence.Workload, evidence.Container) []check.Problem) func(*check.Run) {
	return pods(in, func(s *check.Scan, w *evidence.Workload) []check.Problem {
		return eachContainer(s, w, judge)
	})
}

func eachContainer(s *check.Scan, w *evidence.Workload,
	judge func(*check.Scan, *evidence.Workload, evidence.Container) []check.Problem) (problems []check.Problem) {
	for c := range w.Containers() {
		found := judge(s, w, c)
		for i := range found {
			found[i].Container = c.Name
		}
		if problems == nil {
			problems = found
			continue
		}
		problems = append(problems, found...)
	}
	return problems
}

// settle records what is wrong with a pod. Where an operator completes the pod,
// what is missing here may be there in the end, and what is good here may not be
// all: such a pod fails by what is written, and never passes. Where pods of it run,
// they are the whole, and are judged as well.
func settle(r *check.Run, w *evidence.Workload, problems []check.Problem) {
	if w.Partial == "" {
		r.JudgeWorkload(w, problems)
		return
	}
	if w.Running == 0 {
		r.Unknown(w.Ref.String(), "the object does not hold the whole pod: "+w.Partial)
	}
	var faults []check.Problem
	for _, p := range problems {
		if p.Value != "" {
			faults = append(faults, p)
		}
	}
	if len(faults) > 0 {
		r.JudgeWorkload(w, faults)
	}
}

// podContext is the pod's security context, an empty one where it has none.
func podContext(w *evidence.Workload) corev1.PodSecurityContext {
	if w.Pod.SecurityContext == nil {
		return corev1.PodSecurityContext{}
	}
	return *w.Pod.SecurityContext
}

// ownContext is the container's own security context, an empty one where it has
// none. Its fields go over those of the pod.
func ownContext(c evidence.Container) corev1.SecurityContext {
	if c.SecurityContext == nil {
		return corev1.SecurityContext{}
	}
	return *c.SecurityContext
}

// podField is the path of a field of the pod's security context.
func podField(w *evidence.Workload, names ...string) evidence.Path {
	return w.PodPath.Field("securityContext").Field(names...)
}

// ownField is the path of a field of the container's security context.
func ownField(c evidence.Container, names ...string) evidence.Path {
	return c.Path().Field("securityContext").Field(names...)
}

// or is a container's own setting, or what it inherits.
func or[T any](own, inherited *T) *T {
	if own != nil {
		return own
	}
	return inherited
}

// is reports whether an optional field is there and has the value.
func is[T comparable](field *T, value T) bool { return field != nil && *field == value }

// written is the value of an optional field as YAML text, "" where it is missing.
func written[T any](field *T) string {
	if field == nil {
		return ""
	}
	return fmt.Sprint(*field)
}
