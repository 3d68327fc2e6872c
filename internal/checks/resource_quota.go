package checks

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ResourceQuota reports user namespaces without a ResourceQuota, or whose quotas
// leave requests or limits of cpu or memory open (guide: Resource policies and
// Appendix G).
var ResourceQuota = &check.Check{
	ID:             "resource-quota",
	Title:          "namespace does not bound what it may use in all",
	Recommendation: "RES-02",
	Severity:       guide.Medium,
	Remedy:         "add a ResourceQuota with requests.cpu, requests.memory, limits.cpu and limits.memory",
	Needs:          []evidence.Fact{evidence.Quotas, evidence.Namespaces, evidence.Workloads},
	Doc:            resourceQuotaDoc,
	Run:            resourceQuota,
}

const resourceQuotaDoc = `Without a quota one namespace may take all of the cluster, by mistake or on
purpose: limits of single containers do not help against many of them.

Looked at is each namespace that is not the platform's. Its quotas taken together
have to bound requests and limits of cpu and memory; cpu and memory are other names
of requests.cpu and requests.memory. A quota with scopes counts only the pods in
its scope, so it is not counted here. Files that do not create the namespace cannot
show that it has no quota.

Once there is a quota, pods that do not set what it counts are refused: add a
LimitRange with defaults first.

    apiVersion: v1
    kind: ResourceQuota
    metadata: {name: compute, namespace: shop}
    spec:
      hard: {requests.cpu: "4", requests.memory: 8Gi, limits.cpu: "8", limits.memory: 16Gi}
`

func resourceQuota(r *check.Run) {
	quotas := byNamespace(r.ResourceQuotas)
	for _, ns := range inUse(r.Scan, userSpaces(r.Scan)) {
		if len(quotas[ns.name]) == 0 {
			ns.absent(r, evidence.Quotas, check.Problem{
				Path:    evidence.NewPath("metadata", "name"),
				Value:   ns.name,
				Message: fmt.Sprintf("namespace %q has no ResourceQuota", ns.name),
			})
		}
	}
	for _, o := range r.ResourceQuotas {
		if isUserNamespace(r.Scan, o.Namespace) && quotas[o.Namespace][0] == o {
			r.Judge(o.Ref, unbounded(quotas[o.Namespace]))
		}
	}
}

// quotaNames are the resources that have to be bounded, each with its other name.
var quotaNames = [...][2]corev1.ResourceName{
	{corev1.ResourceRequestsCPU, corev1.ResourceCPU},
	{corev1.ResourceRequestsMemory, corev1.ResourceMemory},
	{corev1.ResourceLimitsCPU, corev1.ResourceLimitsCPU},
	{corev1.ResourceLimitsMemory, corev1.ResourceLimitsMemory},
}

// unbounded says what the quotas of one namespace leave open, at the first of them.
func unbounded(quotas []*evidence.Object[corev1.ResourceQuota]) []check.Problem {
	var missing []string
	for _, names := range quotaNames {
		if !bounded(quotas, names) {
			missing = append(missing, string(names[0]))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	first := quotas[0]
	p := check.Problem{
		Path:    evidence.NewPath("spec", "hard"),
		Message: fmt.Sprintf("ResourceQuota %q does not bound %s", first.Name, listed(missing)),
	}
	if scoped(first) {
		p.Path = evidence.NewPath("spec")
		p.Message += " for all pods: it has scopes"
	}
	return []check.Problem{p}
}

func bounded(quotas []*evidence.Object[corev1.ResourceQuota], names [2]corev1.ResourceName) bool {
	for _, q := range quotas {
		_, one := q.Value.Spec.Hard[names[0]]
		_, other := q.Value.Spec.Hard[names[1]]
		if (one || other) && !scoped(q) {
			return true
		}
	}
	return false
}

func scoped(q *evidence.Object[corev1.ResourceQuota]) bool {
	return len(q.Value.Spec.Scopes) > 0 || q.Value.Spec.ScopeSelector != nil
}
