package checks

import (
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A podFinder tells whether a selector finds pods in a namespace.
type podFinder struct {
	r           *check.Run
	byNamespace map[string][]*evidence.Workload
	// byLabel has the namespaces that were asked about.
	byLabel map[string]map[podLabel][]*evidence.Workload
	// obscure says, by namespace, why pods with other labels may run there.
	obscure map[string]string
}

type podLabel struct{ key, value string }

func newPodFinder(r *check.Run) *podFinder {
	f := &podFinder{r, map[string][]*evidence.Workload{}, map[string]map[podLabel][]*evidence.Workload{}, map[string]string{}}
	var carriers check.IDs
	for _, w := range r.Workloads {
		carriers.Add(w.Ref.ID)
		f.byNamespace[w.Namespace] = append(f.byNamespace[w.Namespace], w)
		if w.Running == 0 && (w.Partial != "" || w.ByShape) {
			f.obscure[w.Namespace] = "the labels of the pods of " + w.Ref.String() + " are not known"
		}
	}
	for _, o := range r.Objects {
		if o.Namespace != "" && !builtInGroup(o.Group()) && !carriers.Has(o.ID) && !podless(o.Group()) {
			f.obscure[o.Namespace] = o.String() + " may create pods"
		}
	}
	return f
}

// podless reports whether the custom resources of a group make no pods.
func podless(group string) bool {
	for _, suffix := range []string{"istio.io", "cilium.io", "projectcalico.org", "cert-manager.io", "linkerd.io", "kyverno.io", "external-secrets.io", "bitnami.com"} {
		if strings.HasSuffix(group, suffix) {
			return true
		}
	}
	return false
}

// finds reports whether pods match. When none does and that is not certain, it
// says why.
func (f *podFinder) finds(namespace string, equal map[string]string, selector labels.Selector) (found bool, unsure string) {
	for _, w := range f.candidates(namespace, equal) {
		if selector.Matches(labels.Set(w.PodLabels)) {
			return true, ""
		}
	}
	if ok, why := f.r.Complete(evidence.Workloads, namespace); !ok {
		return false, why
	}
	return false, f.obscure[namespace]
}

// candidates are the workloads that the selector's equalities leave, by the
// rarest of them.
func (f *podFinder) candidates(namespace string, equal map[string]string) []*evidence.Workload {
	list := f.byNamespace[namespace]
	if len(equal) == 0 {
		return list
	}
	labelled := f.labelled(namespace)
	for k, v := range equal {
		if narrower := labelled[podLabel{k, v}]; len(narrower) < len(list) {
			list = narrower
		}
	}
	return list
}

// labelled are the workloads of a namespace by the labels of their pods.
func (f *podFinder) labelled(namespace string) map[podLabel][]*evidence.Workload {
	if known := f.byLabel[namespace]; known != nil {
		return known
	}
	by := map[podLabel][]*evidence.Workload{}
	for _, w := range f.byNamespace[namespace] {
		for k, v := range w.PodLabels {
			by[podLabel{k, v}] = append(by[podLabel{k, v}], w)
		}
	}
	f.byLabel[namespace] = by
	return by
}
