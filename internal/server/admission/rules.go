package admission

import (
	"slices"
	"sync"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// Rules are the checks that one object is enough to decide, in the order of the
// guide. The slice is the caller's own.
func Rules() []*check.Check { return slices.Clone(rules()) }

var rules = sync.OnceValue(func() []*check.Check {
	return slices.DeleteFunc(checks.All(), func(c *check.Check) bool { return len(about(c)) == 0 })
})

// alone are the facts of which objects can be judged one by one. What a role or a
// binding means depends on others, and objects that live in no namespace are left to
// the scan: no webhook stands in the way of what a cluster is repaired with.
var alone = []evidence.Fact{evidence.Workloads, evidence.Exposure, evidence.ConfigMaps, evidence.NetworkPolicies}

// about are the facts that a check judges objects of, each by itself; none for a check
// that one object does not decide. By rule that is one that needs no other fact.
func about(c *check.Check) []evidence.Fact {
	if c.Live+c.Written+c.Node+c.Probe != "" {
		return nil
	}
	switch c.ID {
	case "image-user", // reads images
		"scaled-to-zero", // an autoscaler may stand beside it
		"gateway-tls":    // the Secret and the routes do
		return nil
	case "default-namespace": // objects of several facts, each by itself
		return []evidence.Fact{evidence.Workloads, evidence.Exposure, evidence.ConfigMaps}
	case "resource-requests", "resource-limits", // LimitRanges fill in Pods before; of templates the check says that it does not know
		"sandbox-runtime",       // likewise of RuntimeClasses
		"service-account-token": // see decides
		return []evidence.Fact{evidence.Workloads}
	}
	if len(c.Needs) == 1 && slices.Contains(alone, c.Needs[0]) {
		return c.Needs
	}
	return nil
}

// decides reports whether the object shows all that a check takes to judge it. Whether
// a ServiceAccount has its token mounted is not seen in a template. Into a Pod it has
// been mounted by the time that a webhook is asked.
func decides(c *check.Check, snap *evidence.Snapshot) bool {
	return c.ID != "service-account-token" || !slices.ContainsFunc(snap.Workloads, func(w *evidence.Workload) bool {
		return w.Pod.AutomountServiceAccountToken == nil && w.Tokens == 0
	})
}
