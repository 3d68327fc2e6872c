package cluster

import (
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// MetricsGroup and MetricsKind are the objects in which the metrics API tells what the
// containers of a pod use. A Sink is given them before the pods.
const (
	MetricsGroup = "metrics.k8s.io"
	MetricsKind  = "PodMetrics"
)

// uses are what pods were measured to use, and what of that is known by the UID of who
// made them.
type uses struct {
	pods   map[types.NamespacedName]map[string]evidence.Use
	makers map[types.UID]map[string]evidence.Use
}

// measured takes what a pod uses.
func (b *Builder) measured(o Object) error {
	var m struct {
		Metadata   metav1.ObjectMeta `json:"metadata"`
		Containers []struct {
			Name  string              `json:"name"`
			Usage corev1.ResourceList `json:"usage"`
		} `json:"containers"`
	}
	if err := json.Unmarshal(o.JSON, &m); err != nil {
		return fmt.Errorf("%s: %w", o.Kind, err)
	}
	b.source.Documents++
	b.source.Objects++
	if b.uses.pods == nil {
		b.uses.pods, b.uses.makers = map[types.NamespacedName]map[string]evidence.Use{}, map[types.UID]map[string]evidence.Use{}
	}
	use := make(map[string]evidence.Use, len(m.Containers))
	for _, c := range m.Containers {
		use[c.Name] = evidence.Use{CPU: c.Usage[corev1.ResourceCPU], Memory: c.Usage[corev1.ResourceMemory], Pods: 1}
	}
	b.uses.pods[types.NamespacedName{Namespace: m.Metadata.Namespace, Name: m.Metadata.Name}] = use
	return nil
}

// spent puts what a pod uses to whoever made it, and returns it.
func (b *Builder) spent(pod *corev1.Pod) map[string]evidence.Use {
	use := b.uses.pods[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}]
	if owner := metav1.GetControllerOf(pod); owner != nil && use != nil {
		b.uses.makers[owner.UID] = joined(b.uses.makers[owner.UID], use)
	}
	return use
}

// joined is what any of several pods used at the most.
func joined(use, other map[string]evidence.Use) map[string]evidence.Use {
	use = maps.Clone(use)
	if use == nil {
		use = map[string]evidence.Use{}
	}
	for name, u := range other {
		use[name] = use[name].Join(u)
	}
	return use
}

// spend gives the workloads of the objects that are listed what their pods use.
func (b *Builder) spend() {
	for uid, use := range b.uses.makers {
		m := b.owners.byUID[uid]
		if m == nil {
			continue
		}
		for _, t := range b.owners.top(m).templates {
			t.Usage = joined(t.Usage, use)
		}
	}
}
