package checks

import (
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ReservedPIDs reports kubelets that keep no process ids for the node itself (guide:
// Resource policies, since 1.1).
var ReservedPIDs = &check.Check{
	ID:             "reserved-pids",
	Title:          "no process ids are kept for the node",
	Recommendation: "RES-05",
	Severity:       guide.Low,
	Remedy:         "set pid under systemReserved and kubeReserved, and pid.available under evictionHard in the kubelet's configuration",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "whether process ids are kept for the node",
	Doc: `Limits for each Pod do not help when many Pods together use up the process ids. What is
reserved stays for the system's daemons and for those of Kubernetes; eviction removes Pods
when few are left. Eviction comes late, so it is no substitute for a reservation.

Looked at are systemReserved.pid, kubeReserved.pid and evictionHard["pid.available"] of the
kubelet's configuration in force: each has to be there and above 0. None has a default.
A threshold of 0% or 100% is the same as none. What is reserved is only withheld from Pods
where enforceNodeAllocatable has pods, which it has unless it is set.

    apiVersion: kubelet.config.k8s.io/v1beta1
    kind: KubeletConfiguration
    systemReserved: {pid: "1000"}
    kubeReserved: {pid: "1000"}
    evictionHard: {pid.available: 10%}

A list under evictionHard replaces the defaults for memory and disk: name those too.
`,
	Run: eachKubelet(reservedPIDs),
}

func reservedPIDs(n *node, c *evidence.Component) {
	reserved := false
	for _, of := range []struct{ option, whom string }{{"systemReserved.pid", "the system's daemons"}, {"kubeReserved.pid", "the daemons of Kubernetes"}} {
		text, at, known := setting(n, c, of.option, "0")
		switch number, ok := count(text); {
		case !known:
		case !ok:
			n.cannot("kubelet: %s: %q is no quantity", of.option, text)
		case number <= 0:
			n.say(at, flagPath(c, of.option), optionText(c, of.option), "no process ids are reserved for %s (%s)", of.whom, of.option)
		default:
			reserved = true
		}
	}
	const enforce = "enforceNodeAllocatable"
	if list, at, known := setting(n, c, enforce, []string{"pods"}); known && reserved && !slices.Contains(list, "pods") {
		n.say(at, flagPath(c, enforce), optionText(c, enforce), "what is reserved is not withheld from pods: enforceNodeAllocatable does not have pods")
	}
	const eviction = "evictionHard.pid.available"
	text, at, known := setting(n, c, eviction, "0%")
	switch acts, ok := threshold(text); {
	case !known:
	case !ok:
		n.cannot("kubelet: %s: %q is no threshold", eviction, text)
	case !acts:
		n.say(at, flagPath(c, eviction), optionText(c, eviction), "no pod is evicted when few process ids are left (%s)", eviction)
	}
}

// count reads a number of process ids.
func count(text string) (int64, bool) {
	q, err := resource.ParseQuantity(text)
	return q.Value(), err == nil
}

// threshold reads a threshold for eviction, and reports whether it ever takes effect.
func threshold(text string) (acts, ok bool) {
	if percent, is := strings.CutSuffix(text, "%"); is {
		p, err := strconv.ParseFloat(percent, 64)
		return p > 0 && p < 100, err == nil
	}
	number, ok := count(text)
	return number > 0, ok
}
