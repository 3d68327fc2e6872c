package limits

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// computed are the amounts that a quota bounds, and what of a pod each is.
var computed = [...]struct {
	hard, of corev1.ResourceName
	limits   bool
}{
	{corev1.ResourceRequestsCPU, corev1.ResourceCPU, false},
	{corev1.ResourceRequestsMemory, corev1.ResourceMemory, false},
	{corev1.ResourceLimitsCPU, corev1.ResourceCPU, true},
	{corev1.ResourceLimitsMemory, corev1.ResourceMemory, true},
}

const (
	// emptyPods is how many pods of the default size a namespace has room for in which
	// nothing is.
	emptyPods = 5
	// spare is how many more objects of a kind there may be at least, and spareSecrets of
	// Secrets: Helm keeps ten revisions of each release in them.
	spare        = 2
	spareSecrets = 10
)

// quota makes the ResourceQuota of a namespace.
func (n *Namespace) quota(snap *evidence.Snapshot, headroom int) {
	n.Quota = &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: objectName, Namespace: n.Name}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{}}}
	n.succeeds(snap)
	sums := make([]int64, len(computed))
	pods := int64(0)
	for _, w := range n.workloads {
		pods = plus(pods, w.pods)
		each := n.needs(w)
		line := make([]string, len(computed))
		for i, c := range computed {
			sums[i] = plus(sums[i], times(each[i], w.pods))
			line[i] = fmt.Sprintf("%s %s", c.hard, show(each[i], c.of))
		}
		n.quotaNotes = append(n.quotaNotes, fmt.Sprintf("%s: %s, each %s.", w.Ref, w.why, strings.Join(line, ", ")))
	}
	if pods == 0 {
		pods = emptyPods
		for i, c := range computed {
			item := n.LimitRange.Spec.Limits[0]
			list := item.DefaultRequest
			if c.limits {
				list = item.Default
			}
			sums[i] = times(number(list[c.of], c.of), emptyPods)
		}
		n.quotaNotes = append(n.quotaNotes, fmt.Sprintf("No pod is there: counted are %d of the default size.", emptyPods))
	}
	for i, c := range computed {
		n.Quota.Spec.Hard[c.hard] = quantity(percent(sums[i], 100+headroom, c.of), c.of)
		n.quotaNotes = append(n.quotaNotes, fmt.Sprintf("%s %s: %s in all, plus %d%%.", c.hard, shown(n.Quota.Spec.Hard, c.hard), show(sums[i], c.of), headroom))
	}
	n.atMost(corev1.ResourcePods, pods, headroom, "at once, rollouts included")
	n.objects(snap, headroom)
	n.left()
}

// needs is what one pod of a workload counts, at the most: as it is written or as it
// runs, with the defaults of the LimitRange.
func (n *Namespace) needs(w *load) []int64 {
	each := make([]int64, len(computed))
	for _, pod := range w.all() {
		full, _ := Admit(n.LimitRange, pod.Pod)
		for i, c := range computed {
			sum := total(full, c.limits, true)
			each[i] = max(each[i], number(sum[c.of], c.of))
		}
	}
	return each
}

// succeeds gives the quota the name of the only one that is there: it takes its place.
func (n *Namespace) succeeds(snap *evidence.Snapshot) {
	var have []*evidence.Object[corev1.ResourceQuota]
	for _, q := range snap.ResourceQuotas {
		if q.Namespace == n.Name {
			have = append(have, q)
		}
	}
	for _, q := range have {
		scoped := len(q.Value.Spec.Scopes) > 0 || q.Value.Spec.ScopeSelector != nil
		switch {
		case len(have) == 1 && !scoped:
			n.Quota.Name = q.Name
			n.quotaNotes = append(n.quotaNotes, fmt.Sprintf("It takes the place of ResourceQuota %s, and keeps what else that bounds.", q.Name))
			for name, hard := range q.Value.Spec.Hard {
				if !bounds(name) {
					n.Quota.Spec.Hard[name] = hard.DeepCopy()
				}
			}
		default:
			n.quotaNotes = append(n.quotaNotes, fmt.Sprintf("ResourceQuota %s is there already, and holds as well.", q.Name))
		}
	}
}

// bounds reports whether a quota of ours sets the name, under this or its other name.
func bounds(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory, corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory,
		corev1.ResourcePods, corev1.ResourceServices, corev1.ResourceServicesLoadBalancers, corev1.ResourcePersistentVolumeClaims, corev1.ResourceConfigMaps, corev1.ResourceSecrets:
		return true
	}
	return false
}

// atMost bounds how many objects of a kind there may be.
func (n *Namespace) atMost(name corev1.ResourceName, have int64, headroom int, what string) {
	count := max(times(have, int64(100+headroom)), 0)
	count = (count + 99) / 100
	switch name {
	case corev1.ResourceServicesLoadBalancers: // each has an address of its own, and a price
	case corev1.ResourceSecrets:
		count = max(count, plus(have, spareSecrets))
	default:
		count = max(count, plus(have, spare))
	}
	n.Quota.Spec.Hard[name] = *resourceCount(count)
	n.quotaNotes = append(n.quotaNotes, fmt.Sprintf("%s %d: %d %s, plus %d%%.", name, count, have, what, headroom))
}

// objects bounds the kinds of objects that were seen.
func (n *Namespace) objects(snap *evidence.Snapshot, headroom int) {
	services, balancers := int64(0), int64(0)
	for _, s := range snap.Services {
		if s.Namespace == n.Name {
			services++
			if s.Value.Spec.Type == corev1.ServiceTypeLoadBalancer {
				balancers++
			}
		}
	}
	claims, configs, secrets := map[string]bool{}, map[string]bool{rootCertificates: true}, map[string]bool{}
	for _, ref := range snap.Objects {
		if ref.Namespace != n.Name || ref.Group() != "" {
			continue
		}
		switch ref.Kind {
		case "PersistentVolumeClaim":
			claims[ref.Name] = true
		case "ConfigMap":
			configs[ref.Name] = true
		case "Secret":
			secrets[ref.Name] = true
		}
	}
	of := func(fact evidence.Fact, name corev1.ResourceName, have int64, what string) {
		if whole, why := snap.Complete(fact, n.Name); !whole && snap.Cluster != nil {
			n.quotaNotes = append(n.quotaNotes, fmt.Sprintf("%s: not bounded, as not all were seen: %s.", name, why))
			return
		}
		n.atMost(name, have, headroom, what)
	}
	of(evidence.Exposure, corev1.ResourceServices, services, "there")
	of(evidence.Exposure, corev1.ResourceServicesLoadBalancers, balancers, "there")
	of(evidence.Others, corev1.ResourcePersistentVolumeClaims, n.claims(claims), "there, those of templates included")
	for _, w := range n.workloads {
		named(w.Pod, configs, secrets)
	}
	of(evidence.ConfigMaps, corev1.ResourceConfigMaps, int64(len(configs)), "there or named by pods, "+rootCertificates+" included")
	if snap.Cluster != nil {
		n.quotaNotes = append(n.quotaNotes, "secrets: not bounded, as only the Secrets of few types were asked for.")
		return
	}
	of(evidence.Secrets, corev1.ResourceSecrets, int64(len(secrets)), fmt.Sprintf("there or named by pods, and at least %d more for Helm's releases", spareSecrets))
}

// rootCertificates is the ConfigMap that Kubernetes makes in every namespace.
const rootCertificates = "kube-root-ca.crt"

// named adds the ConfigMaps and Secrets that a pod names: they have to be there when it
// runs, whoever makes them.
func named(pod *corev1.PodSpec, configs, secrets map[string]bool) {
	put := func(to map[string]bool, name string) {
		if name != "" {
			to[name] = true
		}
	}
	for _, s := range pod.ImagePullSecrets {
		put(secrets, s.Name)
	}
	for _, list := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for _, c := range list {
			for _, e := range c.EnvFrom {
				if e.ConfigMapRef != nil {
					put(configs, e.ConfigMapRef.Name)
				}
				if e.SecretRef != nil {
					put(secrets, e.SecretRef.Name)
				}
			}
			for _, e := range c.Env {
				if e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil {
					put(configs, e.ValueFrom.ConfigMapKeyRef.Name)
				}
				if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
					put(secrets, e.ValueFrom.SecretKeyRef.Name)
				}
			}
		}
	}
	for _, v := range pod.Volumes {
		if v.ConfigMap != nil {
			put(configs, v.ConfigMap.Name)
		}
		if v.Secret != nil {
			put(secrets, v.Secret.SecretName)
		}
		if v.Projected != nil {
			for _, s := range v.Projected.Sources {
				if s.ConfigMap != nil {
					put(configs, s.ConfigMap.Name)
				}
				if s.Secret != nil {
					put(secrets, s.Secret.Name)
				}
			}
		}
	}
}

// mostClaims bounds the claims whose names are made up.
const mostClaims = 10_000

// claims counts the claims that are there, and those that StatefulSets and pods make.
func (n *Namespace) claims(have map[string]bool) int64 {
	more := int64(0)
	for _, w := range n.workloads {
		if w.Kind == "StatefulSet" {
			c, _ := read[controller](w.Ref)
			for _, t := range c.Spec.VolumeClaimTemplates {
				more = plus(more, max(w.pods-mostClaims, 0))
				for i := range min(w.pods, mostClaims) {
					have[fmt.Sprintf("%s-%s-%d", t.Metadata.Name, w.Name, i)] = true
				}
			}
		}
		for i := range w.Pod.Volumes {
			// A pod makes them, so that those that are there are of pods that go.
			if w.Pod.Volumes[i].Ephemeral != nil {
				more = plus(more, w.pods)
			}
		}
	}
	return plus(more, int64(len(have)))
}

// left collects the containers that leave numbers out.
func (n *Namespace) left() {
	for _, w := range n.workloads {
		full := served(w.Pod)
		for _, list := range [][]corev1.Container{full.InitContainers, full.Containers} {
			for _, c := range list {
				var out []string
				for _, name := range judged {
					if _, ok := c.Resources.Requests[name]; !ok {
						out = append(out, fmt.Sprintf("%s request", name))
					}
					if _, ok := c.Resources.Limits[name]; !ok {
						out = append(out, fmt.Sprintf("%s limit", name))
					}
				}
				if len(out) > 0 {
					n.Bare = append(n.Bare, fmt.Sprintf("%s, container %q: no %s", w.Ref, c.Name, strings.Join(out, ", ")))
				}
			}
		}
	}
}

func plus(a, b int64) int64 { return min(a+b, most) }

// times is a product that does not run over.
func times(a, b int64) int64 {
	if a > 0 && b > most/a {
		return most
	}
	return a * b
}
