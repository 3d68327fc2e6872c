package limits

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// judged are the resources that are bounded.
var judged = [...]corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}

// served is a pod as the API server completes it before admission: what has a limit and
// no request requests its limit, and a pod with limits of its own requests what its
// containers do together, or else its limits.
func served(pod *corev1.PodSpec) *corev1.PodSpec {
	pod = pod.DeepCopy()
	for _, list := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range list {
			r := &list[i].Resources
			for name, q := range r.Limits {
				if _, ok := r.Requests[name]; !ok {
					put(&r.Requests, name, q)
				}
			}
		}
	}
	if pod.Resources == nil || len(pod.Resources.Limits) == 0 {
		return pod
	}
	bare := *pod
	bare.Resources = nil
	for _, list := range []corev1.ResourceList{total(&bare, false, false), pod.Resources.Limits} {
		for _, name := range judged {
			_, set := pod.Resources.Requests[name]
			if q, ok := list[name]; ok && !set {
				put(&pod.Resources.Requests, name, q)
			}
		}
	}
	return pod
}

func put(list *corev1.ResourceList, name corev1.ResourceName, q resource.Quantity) {
	if *list == nil {
		*list = corev1.ResourceList{}
	}
	(*list)[name] = q.DeepCopy()
}

// Admit is what the API server's LimitRanger, and the validation after it, do with a pod
// in a namespace with one LimitRange: the pod with the defaults filled in, and why it is
// refused; no reason means that it is admitted.
func Admit(lr *corev1.LimitRange, pod *corev1.PodSpec) (*corev1.PodSpec, []string) {
	pod = served(pod)
	for _, list := range [][]corev1.Container{pod.Containers, pod.InitContainers} {
		for i := range list {
			fill(&list[i].Resources, lr.Spec.Limits)
		}
	}
	refused := invalid(pod)
	for i := range lr.Spec.Limits {
		item := &lr.Spec.Limits[i]
		switch item.Type {
		case corev1.LimitTypeContainer:
			for _, list := range [][]corev1.Container{pod.Containers, pod.InitContainers} {
				for _, c := range list {
					refused = append(refused, breaks(item, fmt.Sprintf("container %q", c.Name), c.Resources)...)
				}
			}
		case corev1.LimitTypePod:
			// LimitRanger does not count the overhead of a runtime class.
			refused = append(refused, breaks(item, "the pod", corev1.ResourceRequirements{Requests: total(pod, false, false), Limits: total(pod, true, false)})...)
		}
	}
	return pod, refused
}

func fill(r *corev1.ResourceRequirements, items []corev1.LimitRangeItem) {
	for _, item := range items {
		if item.Type != corev1.LimitTypeContainer {
			continue
		}
		for name, q := range item.Default {
			if _, ok := r.Limits[name]; !ok {
				put(&r.Limits, name, q)
			}
		}
		for name, q := range item.DefaultRequest {
			if _, ok := r.Requests[name]; !ok {
				put(&r.Requests, name, q)
			}
		}
	}
}

// invalid is what validation says of a pod's resources: a limit below its request, of a
// container or of the pod, and containers that do not fit into what the pod sets for all.
func invalid(pod *corev1.PodSpec) (why []string) {
	var whole corev1.ResourceRequirements
	if pod.Resources != nil {
		whole = *pod.Resources
	}
	for _, list := range [][]corev1.Container{pod.Containers, pod.InitContainers} {
		for _, c := range list {
			for _, name := range judged {
				request, requested := c.Resources.Requests[name]
				limit, limited := c.Resources.Limits[name]
				if requested && limited && limit.Cmp(request) < 0 {
					why = append(why, fmt.Sprintf("container %q requests %s of %s, more than its limit of %s", c.Name, request.String(), name, limit.String()))
				}
				if most, ok := whole.Limits[name]; ok && limited && limit.Cmp(most) > 0 {
					why = append(why, fmt.Sprintf("the %s limit of container %q, %s, is above that of the pod, %s", name, c.Name, limit.String(), most.String()))
				}
			}
		}
	}
	if pod.Resources == nil {
		return why
	}
	bare := *pod
	bare.Resources = nil
	sum := total(&bare, false, false)
	for _, name := range judged {
		if q, ok := whole.Requests[name]; ok {
			if of := sum[name]; of.Cmp(q) > 0 {
				why = append(why, fmt.Sprintf("its containers request %s of %s together, more than the pod does, %s", of.String(), name, q.String()))
			}
			if most, limited := whole.Limits[name]; limited && q.Cmp(most) > 0 {
				why = append(why, fmt.Sprintf("the pod requests %s of %s, more than its limit of %s", q.String(), name, most.String()))
			}
		}
	}
	return why
}

// breaks are the bounds of an item that requirements break.
func breaks(item *corev1.LimitRangeItem, what string, r corev1.ResourceRequirements) (why []string) {
	for _, name := range names(item.Min) {
		least, request, limit := item.Min[name], r.Requests[name], r.Limits[name]
		_, limited := r.Limits[name]
		if _, ok := r.Requests[name]; !ok || request.Cmp(least) < 0 || limited && limit.Cmp(least) < 0 {
			why = append(why, fmt.Sprintf("min %s is %s, and %s requests %s, limit %s", name, least.String(), what, shown(r.Requests, name), shown(r.Limits, name)))
		}
	}
	for _, name := range names(item.Max) {
		most, request, limit := item.Max[name], r.Requests[name], r.Limits[name]
		if _, ok := r.Limits[name]; !ok || limit.Cmp(most) > 0 || request.Cmp(most) > 0 {
			why = append(why, fmt.Sprintf("max %s is %s, and %s requests %s, limit %s", name, most.String(), what, shown(r.Requests, name), shown(r.Limits, name)))
		}
	}
	for _, name := range names(item.MaxLimitRequestRatio) {
		ratio, request, limit := item.MaxLimitRequestRatio[name], r.Requests[name], r.Limits[name]
		if request.Sign() <= 0 || limit.Sign() <= 0 || limit.AsApproximateFloat64()/request.AsApproximateFloat64() > ratio.AsApproximateFloat64() {
			why = append(why, fmt.Sprintf("the limit of %s may be %s times the request, and %s requests %s, limit %s", name, ratio.String(), what, shown(r.Requests, name), shown(r.Limits, name)))
		}
	}
	return why
}

func names(list corev1.ResourceList) (sorted []corev1.ResourceName) {
	for name := range list {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	return sorted
}

func shown(list corev1.ResourceList, name corev1.ResourceName) string {
	if q, ok := list[name]; ok {
		return q.String()
	}
	return "none"
}

// total is what a pod requests, or is limited to, as the scheduler and quotas count it:
// its containers and sidecars together, or an init container with the sidecars before it
// where that is more; what the pod sets for all of them instead; and the overhead of its
// runtime class.
func total(pod *corev1.PodSpec, limits, overhead bool) corev1.ResourceList {
	sum, sidecars, highest := corev1.ResourceList{}, corev1.ResourceList{}, corev1.ResourceList{}
	of := func(r corev1.ResourceRequirements) corev1.ResourceList {
		if limits {
			return r.Limits
		}
		return r.Requests
	}
	for _, c := range pod.Containers {
		add(sum, of(c.Resources))
	}
	for _, c := range pod.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			add(sum, of(c.Resources))
			add(sidecars, of(c.Resources))
			raise(highest, sidecars)
			continue
		}
		step := sidecars.DeepCopy()
		add(step, of(c.Resources))
		raise(highest, step)
	}
	raise(sum, highest)
	if pod.Resources != nil {
		for _, name := range judged {
			if q, ok := of(*pod.Resources)[name]; ok {
				sum[name] = q.DeepCopy()
			}
		}
	}
	for name, q := range pod.Overhead {
		have, limited := sum[name]
		if overhead && (!limits || limited && have.Sign() > 0) {
			have.Add(q)
			sum[name] = have
		}
	}
	return sum
}

func add(to, list corev1.ResourceList) {
	for name, q := range list {
		have := to[name].DeepCopy()
		have.Add(q)
		to[name] = have
	}
}

// raise makes each amount at least that of another list.
func raise(to, list corev1.ResourceList) {
	for name, q := range list {
		if have, ok := to[name]; !ok || have.Cmp(q) < 0 {
			to[name] = q.DeepCopy()
		}
	}
}
