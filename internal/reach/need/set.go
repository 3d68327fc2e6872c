package need

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A Set is the pods of workloads of a namespace that have the same lasting labels.
// A policy is about a set, for none can tell more.
type Set struct {
	Namespace, Name string
	// Workloads are in the order of names.
	Workloads []*evidence.Workload
	// labels are those that the pods keep from one release to the next.
	labels map[string]string
	// Selector means just these pods, among those that were read; nil where no
	// selector does, and then Why says it. Neither is set before ChooseSelectors.
	Selector *metav1.LabelSelector
	Why      string
}

// String names the workloads: Deployment shop/web.
func (s *Set) String() string {
	var list []string
	for _, w := range s.Workloads {
		if !slices.Contains(list, w.Ref.String()) {
			list = append(list, w.Ref.String())
		}
	}
	if len(list) > 3 {
		list = append(list[:3], fmt.Sprintf("%d more", len(list)-3))
	}
	return strings.Join(list, " and ")
}

// passing are labels that change with a release, a rollout or a pod.
func passing(key string) bool {
	switch key {
	case "pod-template-hash", "controller-revision-hash", "pod-template-generation", "statefulset.kubernetes.io/pod-name",
		"apps.kubernetes.io/pod-index", "job-name", "controller-uid", "app.kubernetes.io/version", "helm.sh/chart",
		"app.kubernetes.io/managed-by", "chart", "heritage", "helm-revision", "security.istio.io/tlsMode":
		return true
	}
	return strings.HasPrefix(key, "batch.kubernetes.io/") || strings.HasPrefix(key, "checksum/")
}

// Stable are the labels that pods of a workload keep from one release to the next.
func Stable(w *evidence.Workload) map[string]string {
	kept := map[string]string{}
	for key, value := range w.PodLabels {
		if !passing(key) {
			kept[key] = value
		}
	}
	return kept
}

// naming are the labels by which people name workloads, most telling first.
func naming() []string {
	return []string{"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component", "app", "k8s-app", "name", "component", "tier", "role"}
}

// choose finds the selector of the set: that of a Service where it means no other
// pods, else the labels by which workloads are named, else all that last, and last
// of all what others have and these do not.
func (s *Set) choose(neighbours []*Set, services []*evidence.Object[corev1.Service]) {
	var tries []map[string]string
	for _, o := range services {
		if o.Namespace == s.Namespace && len(o.Value.Spec.Selector) > 0 {
			tries = append(tries, o.Value.Spec.Selector)
		}
	}
	slices.SortFunc(tries, func(a, b map[string]string) int { return strings.Compare(labelText(a), labelText(b)) })
	named := map[string]string{}
	for _, key := range naming() {
		if value, ok := s.labels[key]; ok {
			named[key] = value
			tries = append(tries, maps.Clone(named))
		}
	}
	// Several versions may run side by side, and then it is their name.
	unversioned := maps.Clone(s.labels)
	delete(unversioned, "version")
	for _, try := range append(tries, unversioned, s.labels) {
		if selector := (&metav1.LabelSelector{MatchLabels: try}); len(try) > 0 && onlyLasting(try) && s.is(selector, neighbours) {
			s.Selector = selector
			return
		}
	}
	if selector := s.without(neighbours); s.is(selector, neighbours) {
		s.Selector = selector
		return
	}
	s.Why = "no label of its pods tells them from others of the namespace that last as long: give them one, such as app.kubernetes.io/name"
}

func onlyLasting(labels map[string]string) bool {
	for key := range labels {
		if passing(key) {
			return false
		}
	}
	return true
}

// without means the labels of the set, and none of the keys that only others have.
func (s *Set) without(neighbours []*Set) *metav1.LabelSelector {
	selector := &metav1.LabelSelector{MatchLabels: s.labels}
	keys := map[string]bool{}
	for _, n := range neighbours {
		for key := range n.labels {
			if _, mine := s.labels[key]; !mine {
				keys[key] = true
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		selector.MatchExpressions = append(selector.MatchExpressions, metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpDoesNotExist})
	}
	return selector
}

// is reports whether a selector means all pods of the set and no others.
func (s *Set) is(selector *metav1.LabelSelector, neighbours []*Set) bool {
	if len(selector.MatchLabels) == 0 {
		return false // what others have not would mean pods to come as well
	}
	compiled, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return false
	}
	for _, n := range neighbours {
		for _, w := range n.Workloads {
			if compiled.Matches(labels.Set(w.PodLabels)) != (n == s) {
				return false
			}
		}
	}
	return true
}

// compareSets orders sets of pods by what they are called.
func compareSets(a, b *Set) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
