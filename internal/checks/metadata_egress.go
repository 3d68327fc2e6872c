package checks

import (
	"fmt"
	"net/netip"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/reach"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// MetadataEgress reports pods that may reach the metadata service of the cloud
// (guide: Protecting sensitive cloud infrastructure).
var MetadataEgress = &check.Check{
	ID:             "metadata-egress",
	Title:          "pods may reach the cloud's metadata service",
	Recommendation: "CLD-01",
	Severity:       guide.High,
	Remedy:         "isolate egress and except 169.254.169.254/32 (fd00:ec2::254/128 with IPv6) from blocks that hold it; require session tokens with a hop limit of one from the provider",
	Needs:          []evidence.Fact{evidence.NetworkPolicies, evidence.Workloads, evidence.Namespaces},
	Leaves:         attempt,
	Doc:            metadataEgressDoc,
	Run:            metadataEgress,
}

const metadataEgressDoc = `On cloud machines 169.254.169.254 (with IPv6 on AWS, fd00:ec2::254) hands the node's
credentials to every process that asks.

Looked at are two things. Each workload: the policies, of whatever kind and in the
order in which they are asked, have to keep it from the address; a pod on the node's
network cannot be kept, policies of pods do not govern it. Each egress rule in
effect: it must not admit the address on TCP port 80, where the service listens, but
where other policies deny it first. The rule is reported at its block, or at the rule
when it names no peers. Selectors name pods and never admit the address.

Files that do not create the namespace cannot show that no policy isolates a pod, nor
that no other one lets it through. Files cannot show what the provider's own setting
(session tokens, hop limit) prevents, either: where that is in force, state it as an
exception. Alibaba Cloud uses 100.100.100.200 and Google Cloud fd20:ce::254 as well;
except them there. The parts of the cluster in kube-system that run on the node's
network are left out.

    egress:
      - to:
          - ipBlock:
              cidr: 0.0.0.0/0
              except: [169.254.169.254/32]
`

// metadataAddresses of AWS, Azure, Google Cloud, Oracle, OpenStack and others, and
// of AWS by IPv6. Addresses that only one other provider uses are not asked for:
// objects do not show the provider.
var metadataAddresses = [...]netip.Prefix{
	netip.MustParsePrefix("169.254.169.254/32"),
	netip.MustParsePrefix("fd00:ec2::254/128"),
}

const metadataPort = 80

func metadataEgress(r *check.Run) {
	g := r.Reach()
	targets := holding(g, metadataAddresses[:])
	asked := ports.Of(ports.TCP, metadataPort, metadataPort)
	for _, found := range egressRules(g, targets, asked, func(*netpol.Policy) bool { return true }) {
		r.Judge(found.policy.Ref, []check.Problem{metadataRule(r, found)})
	}
	notEnforced(r)
	for _, ns := range spaces(r.Scan) {
		judgeEgress(r, ns, func(w *evidence.Workload) []check.Problem {
			return []check.Problem{{
				Path:    w.MetaPath.Field("labels"),
				Message: nothingIsolates(w, "the cloud's metadata service"),
			}}
		}, targets, asked)
	}
}

// judgeEgress goes through the workloads of a namespace. Those on the node's
// network, and those that nothing keeps from a target, have the problem; those that a
// rule lets through do not: the rule has one. Where nobody can know, it says so.
func judgeEgress(r *check.Run, ns *space, problem func(*evidence.Workload) []check.Problem, targets []*reach.Endpoint, asked ports.Set) {
	complete, why := r.Complete(evidence.NetworkPolicies, ns.name)
	doubt := ""
	for _, w := range ns.workloads {
		e := r.Reach().Of(w)
		switch {
		case w.Pod.HostNetwork && isSystemNamespace(ns.name) && isSystemPart(w):
		case w.Pod.HostNetwork:
			problems := problem(w)
			for i := range problems {
				problems[i].Path, problems[i].Value = w.PodPath.Field("hostNetwork"), "true"
				problems[i].Remedy = "take the pods off the node's network: no network policy of pods governs them there"
			}
			r.JudgeWorkload(w, problems)
		case e == nil:
		default:
			switch a := answer(r.Reach(), e, targets, asked); {
			case a.kept && complete:
				r.Judge(w.Ref, nil)
			case a.kept: // by the policies that were read
				doubt = why
			case a.by != nil: // reported at the rule
			case w.Partial != "" && w.Running > 0: // those that run are judged
			case w.Partial != "":
				r.Unknown(w.Ref.String(), "the labels of its pods are not all known: "+w.Partial)
			case a.unknown != "":
				r.Unknown(w.Ref.String(), a.unknown)
			case complete:
				r.JudgeWorkload(w, problem(w))
			default:
				doubt = why
			}
		}
	}
	if doubt != "" && len(ns.workloads) > 0 {
		r.Unknown(ns.scope(), doubt)
	}
}

// An egressAnswer is whether pods are kept from all of some targets, by the policies that
// were read.
type egressAnswer struct {
	kept    bool
	by      *opening // a rule that lets them through
	unknown string
}

func answer(g *reach.Graph, e *reach.Endpoint, targets []*reach.Endpoint, asked ports.Set) egressAnswer {
	if len(targets) == 0 {
		return egressAnswer{unknown: "all addresses are said to be the cluster's own: there is none outside to ask about"}
	}
	a := egressAnswer{kept: true}
	for _, t := range targets {
		by, open, unknown := mayReach(g, e, t, asked)
		switch {
		case by != nil:
			return egressAnswer{by: by}
		case open:
			a = egressAnswer{}
		case unknown != "" && a.kept:
			a = egressAnswer{unknown: unknown}
		}
	}
	return a
}

// metadataAddress is the first address of the service among those of an endpoint, which
// may have several that no policy tells apart.
func metadataAddress(e *reach.Endpoint) netip.Addr {
	for _, a := range metadataAddresses {
		if e.Addresses.Contains(a.Addr()) {
			return a.Addr()
		}
	}
	return e.Addresses.Any()
}

func metadataRule(r *check.Run, found reached) check.Problem {
	address := metadataAddress(found.target)
	p := check.Problem{
		Path:    found.rule.Path,
		Message: fmt.Sprintf("%s %q lets pods reach the cloud's metadata service at %s", found.policy.Kind, found.policy.Name, address),
	}
	if everyone, ok := found.rule.Peers.(netpol.Every); ok && len(everyone) == 0 {
		p.Message += ": the rule names no peers"
	}
	for _, b := range blocksOf(r.Scan, found.opening) {
		if !b.set.Contains(address) {
			continue
		}
		p.Path, p.Value = b.path.Field("cidr"), b.cidr.String()
		p.Message = fmt.Sprintf("NetworkPolicy %q lets pods reach the cloud's metadata service: %s holds %s", found.policy.Name, b.cidr, address)
		if !b.cidr.IsSingleIP() && !b.excepts {
			p.Fix = &check.Fix{Path: b.path.Field("except"), Value: "[" + netip.PrefixFrom(address, address.BitLen()).String() + "]", Breaks: "an application that asks the cloud's metadata service"}
		}
		return p
	}
	return p
}
