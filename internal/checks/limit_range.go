package checks

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// LimitRange reports user namespaces without a LimitRange, or with one that
// leaves out a default or a bound (guide: Resource policies and Appendix F).
var LimitRange = &check.Check{
	ID:             "limit-range",
	Title:          "namespace does not bound what one container may use",
	Recommendation: "RES-01",
	Severity:       guide.Medium,
	Remedy:         "add a LimitRange for containers with default, defaultRequest, max and min of cpu and memory",
	Needs:          []evidence.Fact{evidence.LimitRanges, evidence.Namespaces, evidence.Workloads},
	Doc:            limitRangeDoc,
	Run:            limitRange,
}

const limitRangeDoc = `A container without limits may use up its node and starve its neighbours. A
LimitRange gives those that set nothing a default, and refuses those that ask for
too much.

Looked at is each namespace that is not the platform's. Its LimitRanges taken
together have to give, for containers, a default limit, a default request, a max
and a min, of cpu and of memory. As the API server does, a missing default limit
is taken from max, and a missing default request from the default limit or from
min. Files that do not create the namespace cannot show that it has none.

The example in the guide's Appendix F is not valid YAML: start from this one.

    apiVersion: v1
    kind: LimitRange
    metadata: {name: containers, namespace: shop}
    spec:
      limits:
        - type: Container
          default: {cpu: 500m, memory: 512Mi}
          defaultRequest: {cpu: 100m, memory: 128Mi}
          max: {cpu: "2", memory: 2Gi}
          min: {cpu: 10m, memory: 16Mi}
`

func limitRange(r *check.Run) {
	ranges := byNamespace(r.LimitRanges)
	for _, ns := range inUse(r.Scan, userSpaces(r.Scan)) {
		if len(ranges[ns.name]) == 0 {
			ns.absent(r, evidence.LimitRanges, check.Problem{
				Path:    evidence.NewPath("metadata", "name"),
				Value:   ns.name,
				Message: fmt.Sprintf("namespace %q has no LimitRange", ns.name),
			})
		}
	}
	for _, o := range r.LimitRanges {
		if isUserNamespace(r.Scan, o.Namespace) && ranges[o.Namespace][0] == o {
			r.Judge(o.Ref, missingBounds(ranges[o.Namespace]))
		}
	}
}

func byNamespace[T any](objects []*evidence.Object[T]) map[string][]*evidence.Object[T] {
	names := make(map[string][]*evidence.Object[T], len(objects))
	for _, o := range objects {
		names[o.Namespace] = append(names[o.Namespace], o)
	}
	return names
}

// missingBounds says what the LimitRanges of one namespace leave out together, at
// the first of them.
func missingBounds(ranges []*evidence.Object[corev1.LimitRange]) (problems []check.Problem) {
	have := map[string]bool{}
	for _, o := range ranges {
		for i := range o.Value.Spec.Limits {
			addBounds(have, &o.Value.Spec.Limits[i])
		}
	}
	first := ranges[0]
	path := evidence.NewPath("spec", "limits")
	for i, item := range first.Value.Spec.Limits {
		if item.Type == corev1.LimitTypeContainer {
			path = path.Index(i, string(item.Type))
			break
		}
	}
	for _, field := range [...]string{"default", "defaultRequest", "max", "min"} {
		var missing []string
		for _, resource := range computeResources {
			if !have[field+" "+string(resource)] {
				missing = append(missing, string(resource))
			}
		}
		if len(missing) > 0 {
			problems = append(problems, check.Problem{
				Path:    path.Field(field),
				Message: fmt.Sprintf("LimitRange %q sets no %s of %s for containers", first.Name, field, listed(missing)),
			})
		}
	}
	return problems
}

var computeResources = [...]corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}

func addBounds(have map[string]bool, item *corev1.LimitRangeItem) {
	if item.Type != corev1.LimitTypeContainer {
		return
	}
	for _, resource := range computeResources {
		set := func(list corev1.ResourceList) bool { _, ok := list[resource]; return ok }
		add := func(field string, ok bool) {
			if ok {
				have[field+" "+string(resource)] = true
			}
		}
		add("max", set(item.Max))
		add("min", set(item.Min))
		add("default", set(item.Default) || set(item.Max))
		add("defaultRequest", set(item.DefaultRequest) || set(item.Default) || set(item.Max) || set(item.Min))
	}
}
