package checks

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
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
	targets := map[string][]*reach.Endpoint{}
	for _, name := range names {
		targets[name] = holding(r.Reach(), []netip.Prefix{ranges[name]})
	}
	for _, ns := range spaces(r.Scan) {
		judgeSensitive(r, ns, names, ranges, targets)
	}
}

func judgeSensitive(r *check.Run, ns *space, names []string, ranges map[string]netip.Prefix, targets map[string][]*reach.Endpoint) {
	complete, why := r.Complete(evidence.NetworkPolicies, ns.name)
	doubt := ""
	for _, w := range ns.workloads {
		e := r.Reach().Of(w)
		switch {
		case w.Pod.HostNetwork && isSystemNamespace(ns.name) && isSystemPart(w), e == nil && !w.Pod.HostNetwork:
			continue
		case w.Pod.HostNetwork:
			r.JudgeWorkload(w, []check.Problem{{
				Path: w.PodPath.Field("hostNetwork"), Value: "true",
				Message: nothingIsolates(w, listed(names)),
				Remedy:  "take the pods off the node's network: no network policy of pods governs them there",
			}})
			continue
		}
		found := reachedRanges(r.Reach(), e, names, ranges, targets)
		switch {
		case len(found.free) > 0 && w.Partial != "" && w.Running > 0: // those that run are judged
		case len(found.free) > 0 && w.Partial != "":
			r.Unknown(w.Ref.String(), "the labels of its pods are not all known: "+w.Partial)
		case len(found.free) > 0 && complete:
			r.JudgeWorkload(w, []check.Problem{{Path: w.MetaPath.Field("labels"), Message: nothingIsolates(w, listed(names))}})
		case len(found.free) > 0:
			doubt = why
		case len(found.byRule) > 0:
			r.JudgeWorkload(w, []check.Problem{rangeProblem(w, found)})
		case found.unknown != "":
			r.Unknown(w.Ref.String(), found.unknown)
		case complete:
			r.Judge(w.Ref, nil)
		default: // kept by the policies that were read
			doubt = why
		}
	}
	if doubt != "" && len(ns.workloads) > 0 {
		r.Unknown(ns.scope(), doubt)
	}
}

// rangesReached are the sensitive ranges that pods may reach.
type rangesReached struct {
	free    []string // that nothing keeps them from
	byRule  []string // by a rule, in words
	unknown string
	// resolutionOnly is set when no rule opens more than port 53.
	resolutionOnly bool
}

func reachedRanges(g *reach.Graph, e *reach.Endpoint, names []string, ranges map[string]netip.Prefix, targets map[string][]*reach.Endpoint) rangesReached {
	found := rangesReached{resolutionOnly: true}
	for _, name := range names {
		asked := ports.All()
		a := answer(g, e, targets[name], asked)
		switch {
		case a.by != nil:
			found.byRule = append(found.byRule, fmt.Sprintf("%s (%s) by %s", name, ranges[name], a.by))
			found.resolutionOnly = found.resolutionOnly && answer(g, e, targets[name], asked.Minus(resolution())).kept
		case a.unknown != "":
			found.unknown = a.unknown
		case !a.kept:
			found.free = append(found.free, name)
		}
	}
	return found
}

func rangeProblem(w *evidence.Workload, found rangesReached) check.Problem {
	p := check.Problem{
		Path:    w.MetaPath.Field("labels"),
		Message: fmt.Sprintf("the pods of %s %q may reach %s", w.Kind, w.Name, listed(found.byRule)),
	}
	if found.resolutionOnly {
		p.Severity, p.SeverityReason = guide.Low, "only port 53 is open, for name resolution"
	}
	return p
}
