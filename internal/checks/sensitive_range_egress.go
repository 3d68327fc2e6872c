package checks

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// SensitiveRangeEgress reports workloads that may reach a network which the user
// declared as sensitive (guide: Worker node segmentation).
var SensitiveRangeEgress = &check.Check{
	ID:             "sensitive-range-egress",
	Title:          "pods may reach a sensitive network outside the cluster",
	Recommendation: "WRK-03",
	Severity:       guide.Medium,
	Remedy:         "isolate the egress of the pods, and except the range from blocks that hold it",
	Needs:          []evidence.Fact{evidence.NetworkPolicies, evidence.Workloads, evidence.Namespaces},
	Leaves:         attempt,
	Doc:            sensitiveRangeEgressDoc,
	Run:            sensitiveRangeEgress,
}

const sensitiveRangeEgressDoc = `A database or an internal service beside the cluster often trusts the cluster's
addresses. Then every pod that can connect to it is a way to it.

Which networks are sensitive nobody can tell from objects: declare them, with a
name, as network.sensitive in the configuration. Looked at is each workload: it must
not be able to open a connection to any address of a range. It can when no policy
isolates its egress, when it is on the node's network, or when a rule admits an
address of the range: through a block that holds it after the exceptions, or by
naming no peers. A rule that is limited to port 53 ranks as low: it is there for
name resolution. A workload that needs the network gets an exception.

    egress:
      - to:
          - ipBlock: {cidr: 0.0.0.0/0, except: [10.20.0.0/16]}
`

func sensitiveRangeEgress(r *check.Run) {
	if len(r.Settings.SensitiveRanges) == 0 {
		r.Unknown("", "no sensitive networks are declared (network.sensitive in .gabion.yaml)")
		return
	}
	ranges := map[string]netip.Prefix{}
	for _, name := range slices.Sorted(maps.Keys(r.Settings.SensitiveRanges)) {
		text := r.Settings.SensitiveRanges[name]
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			r.Unknown("", fmt.Sprintf("sensitive range %q: %q is no CIDR", name, text))
			continue
		}
		ranges[name] = prefix
	}
	if len(ranges) == 0 {
		return
	}
	names := slices.Sorted(maps.Keys(ranges))
	for _, ns := range spaces(r.Scan) {
		judgeEgress(r, ns, func(w *evidence.Workload) []check.Problem {
			return []check.Problem{{
				Path:    w.MetaPath.Field("labels"),
				Message: fmt.Sprintf("nothing keeps the pods of %s %q from %s: no NetworkPolicy isolates their egress", w.Kind, w.Name, listed(names)),
			}}
		}, func(w *evidence.Workload) {
			r.JudgeWorkload(w, reachedRanges(r, w, names, ranges))
		})
	}
}

// reachedRanges says which ranges an isolated workload may reach, in one problem:
// the field is the same for all of them.
func reachedRanges(r *check.Run, w *evidence.Workload, names []string, ranges map[string]netip.Prefix) []check.Problem {
	var reached []string
	resolutionOnly := true
	for _, name := range names {
		e := r.Reach().Egress(w, ranges[name], 0)
		if e.Allowed {
			reached = append(reached, fmt.Sprintf("%s (%s) by %s", name, ranges[name], e.By))
			resolutionOnly = resolutionOnly && e.By.OnlyDNS()
		}
	}
	if len(reached) == 0 {
		return nil
	}
	p := check.Problem{
		Path:    w.MetaPath.Field("labels"),
		Message: fmt.Sprintf("the pods of %s %q may reach %s", w.Kind, w.Name, listed(reached)),
	}
	if resolutionOnly {
		p.Severity, p.SeverityReason = guide.Low, "only port 53 is open, for name resolution"
	}
	return []check.Problem{p}
}
