package checks

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ResourceRequests reports containers that do not say what they need.
//
// Guide: Appendix G. Requests default to limits, and a LimitRange supplies both.
var ResourceRequests = &check.Check{
	ID:             "resource-requests",
	Title:          "no request for processor or memory",
	Doc:            resourceRequestsDoc,
	Recommendation: "RES-03",
	Severity:       guide.Low,
	Remedy:         "set resources.requests from measured use",
	Needs:          []evidence.Fact{evidence.Workloads, evidence.LimitRanges},
	Run:            resourceRun(judgeRequest),
}

const resourceRequestsDoc = `The scheduler places pods by what their containers request. One that requests
nothing lands anywhere, and is the first to be evicted when memory runs short.
A namespace with a quota refuses it.

Requests for cpu and memory are judged for every init and regular container.
They count as set when the container requests something, or has a limit, which
is its request then; when the pod does so for all its containers (spec.resources,
from Kubernetes 1.34 on); or when a LimitRange of the namespace, among what was
given, fills them in. Ephemeral containers cannot have any.

    resources:
      requests: {cpu: 100m, memory: 128Mi}
`

// ResourceLimits reports containers that may take all of a node.
//
// Guide: Appendix G. A LimitRange supplies limits where a container has none.
var ResourceLimits = &check.Check{
	ID:             "resource-limits",
	Title:          "no limit for processor or memory",
	Doc:            resourceLimitsDoc,
	Recommendation: "RES-03",
	Severity:       guide.Medium,
	Remedy:         "set resources.limits, memory a safe distance above the measured peak",
	Needs:          []evidence.Fact{evidence.Workloads, evidence.LimitRanges},
	Run:            resourceRun(judgeLimit),
}

const resourceLimitsDoc = `A container without limits can take all memory and processor time of its node, by
a leak, under load, or because an intruder mines coins in it, and its neighbours
starve. A namespace with a quota refuses it.

Limits for cpu and memory are judged for every init and regular container. They
count as set when the container has them, above 0; when the pod sets them for
all its containers (spec.resources, from Kubernetes 1.34 on); or when a
LimitRange of the namespace, among what was given, fills them in. A missing
memory limit is medium, a missing cpu limit low: without memory processes die,
without processor time they wait. Ephemeral containers cannot have any.

    resources:
      limits: {cpu: "1", memory: 256Mi}
`

// judged are the resources that the guide names.
var judged = [...]corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}

// resourceRun judges the containers that may have resources.
func resourceRun(judge func(corev1.ResourceName, containerResources) (check.Problem, bool)) func(*check.Run) {
	return func(r *check.Run) {
		defaults := limitRanges(r.Snapshot)
		for _, w := range r.Workloads {
			problems := judgeResources(r.Settings, w, defaults[w.Namespace], judge)
			if why := unseenDefaults(r, w); why != "" && len(problems) > 0 {
				r.Unknown("namespace "+w.Namespace, why)
				continue
			}
			settle(r, w, problems)
		}
	}
}

// unseenDefaults says why it is not known what a LimitRange of a live cluster gives
// to the pods of a template, "" if it is. What runs has been given it.
func unseenDefaults(r *check.Run, w *evidence.Workload) string {
	if r.Cluster == nil || w.Kind == "Pod" || w.Instance != "" {
		return ""
	}
	_, why := r.Complete(evidence.LimitRanges, w.Namespace)
	return why
}

func judgeResources(s check.Settings, w *evidence.Workload, filled corev1.ResourceRequirements,
	judge func(corev1.ResourceName, containerResources) (check.Problem, bool)) (problems []check.Problem) {
	var pod corev1.ResourceRequirements
	if w.Pod.Resources != nil && s.Version.AtLeast(34) {
		pod = *w.Pod.Resources
	}
	for c := range w.Containers() {
		if c.List == evidence.EphemeralContainers {
			continue
		}
		for _, name := range judged {
			p, found := judge(name, containerResources{c, pod, filled})
			if !found {
				continue
			}
			p.Container = c.Name
			problems = append(problems, p)
		}
	}
	return problems
}

// containerResources are the places a container's resources come from.
type containerResources struct {
	evidence.Container
	// pod is what the pod sets for all its containers, filled in what a
	// LimitRange gives to containers that set nothing.
	pod, filled corev1.ResourceRequirements
}

func judgeRequest(name corev1.ResourceName, c containerResources) (check.Problem, bool) {
	for _, list := range []corev1.ResourceList{
		c.Resources.Requests, c.Resources.Limits, c.pod.Requests, c.pod.Limits, c.filled.Requests,
	} {
		if positive(list, name) {
			return check.Problem{}, false
		}
	}
	return check.Problem{
		Path:           c.Path().Field("resources", "requests", string(name)),
		Value:          quantity(c.Resources.Requests, name),
		Message:        fmt.Sprintf("container %q requests no %s", c.Name, name),
		Severity:       guide.Low,
		SeverityReason: "a request only places the pod, a limit holds it",
	}, true
}

func judgeLimit(name corev1.ResourceName, c containerResources) (check.Problem, bool) {
	for _, list := range []corev1.ResourceList{c.Resources.Limits, c.pod.Limits, c.filled.Limits} {
		if positive(list, name) {
			return check.Problem{}, false
		}
	}
	p := check.Problem{
		Path:    c.Path().Field("resources", "limits", string(name)),
		Value:   quantity(c.Resources.Limits, name),
		Message: fmt.Sprintf("container %q has no %s limit", c.Name, name),
	}
	if name == corev1.ResourceCPU {
		p.Severity, p.SeverityReason = guide.Low, "neighbours wait for processor time, but keep what they requested"
	}
	return p, true
}

func positive(list corev1.ResourceList, name corev1.ResourceName) bool {
	q, ok := list[name]
	return ok && q.Sign() > 0
}

func quantity(list corev1.ResourceList, name corev1.ResourceName) string {
	if q, ok := list[name]; ok {
		return q.String()
	}
	return ""
}

// limitRanges are the requests and limits that the LimitRanges of each namespace
// fill in: what the API server derives from default, defaultRequest, max and min.
func limitRanges(s *evidence.Snapshot) map[string]corev1.ResourceRequirements {
	filled := map[string]corev1.ResourceRequirements{}
	for _, lr := range s.LimitRanges {
		r, ok := filled[lr.Namespace]
		if !ok {
			r = corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
			filled[lr.Namespace] = r
		}
		for _, item := range lr.Value.Spec.Limits {
			if item.Type != corev1.LimitTypeContainer {
				continue
			}
			supply(r.Limits, item.Default, item.Max)
			supply(r.Requests, item.DefaultRequest, item.Default, item.Max, item.Min)
		}
	}
	return filled
}

// supply puts the first value that there is of each resource into a list.
func supply(into corev1.ResourceList, from ...corev1.ResourceList) {
	for _, name := range judged {
		for _, list := range from {
			if positive(list, name) {
				into[name] = list[name]
				break
			}
		}
	}
}
