package checks

import (
	"fmt"
	"net/netip"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/reach"
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

Looked at are two things. Each workload: its egress has to be isolated by some
policy; a pod on the node's network cannot be, policies do not govern it. Each
egress rule in effect: it must not admit the address on TCP port 80, where the
service listens. The rule is reported at its block, or at the rule when it names
no peers. Selectors name pods and never admit the address.

Files that do not create the namespace cannot show that no policy isolates a pod,
and files cannot show what the provider's own setting (session tokens, hop limit)
prevents: where that is in force, state it as an exception. Alibaba Cloud uses
100.100.100.200 and Google Cloud fd20:ce::254 as well; except them there. The parts
of the cluster in kube-system that run on the node's network are left out.

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
	policies, invalid := r.Reach().All()
	for _, p := range policies {
		if problems := metadataRules(p); len(problems) > 0 && r.Reach().Unread(p.Namespace) == "" {
			r.Judge(p.Ref, problems)
		}
	}
	for _, p := range invalid {
		r.Unknown(p.String(), "it is not valid: "+p.Err.Error())
	}
	for _, ns := range spaces(r.Scan) {
		judgeEgress(r, ns, func(w *evidence.Workload) []check.Problem {
			return []check.Problem{{
				Path:    w.MetaPath.Field("labels"),
				Message: fmt.Sprintf("nothing keeps the pods of %s %q from the cloud's metadata service: no NetworkPolicy isolates their egress", w.Kind, w.Name),
			}}
		}, func(w *evidence.Workload) {
			for _, a := range metadataAddresses {
				if r.Reach().Egress(w, a, metadataPort).Allowed {
					return // reported at the rule
				}
			}
			r.Judge(w.Ref, nil)
		})
	}
}

// judgeEgress goes through the workloads of a namespace. Those on the node's
// network, and those whose egress no policy isolates, have the problem; the others
// are handed to isolated. Where nobody can know, it says so once.
func judgeEgress(r *check.Run, ns *space, problem func(*evidence.Workload) []check.Problem, isolated func(*evidence.Workload)) {
	x := r.Reach()
	doubt := x.Unread(ns.name)
	complete, why := r.Complete(evidence.NetworkPolicies, ns.name)
	for _, w := range ns.workloads {
		switch {
		case x.Unread(ns.name) != "":
		case w.Pod.HostNetwork && isSystemNamespace(ns.name) && isSystemPart(w):
		case w.Pod.HostNetwork:
			problems := problem(w)
			for i := range problems {
				problems[i].Path, problems[i].Value = w.PodPath.Field("hostNetwork"), "true"
				problems[i].Remedy = "take the pods off the node's network: no NetworkPolicy governs them there"
			}
			r.JudgeWorkload(w, problems)
		case isolation(x, w, networkingv1.PolicyTypeEgress).Isolated:
			isolated(w)
		case w.Partial != "" && w.Running > 0: // those that run are judged
		case w.Partial != "":
			r.Unknown(w.Ref.String(), "the labels of its pods are not all known: "+w.Partial)
		case complete:
			r.JudgeWorkload(w, problem(w))
		default:
			doubt = why
		}
	}
	if doubt != "" && len(ns.workloads) > 0 {
		r.Unknown(ns.scope(), doubt)
	}
}

// metadataRules finds the egress rules of a policy that admit an address of the
// metadata service.
func metadataRules(p *reach.Policy) (problems []check.Problem) {
	rules := p.Rules(networkingv1.PolicyTypeEgress)
	for i := range rules {
		for _, a := range metadataAddresses {
			if rules[i].Reaches(a, metadataPort) {
				problems = append(problems, metadataRule(&rules[i], a))
				break
			}
		}
	}
	return problems
}

func metadataRule(rule *reach.Rule, a netip.Prefix) check.Problem {
	p := check.Problem{
		Path:    rule.Path(),
		Message: fmt.Sprintf("NetworkPolicy %q lets pods reach the cloud's metadata service at %s: the rule names no peers", rule.Policy.Name, a.Addr()),
	}
	for _, b := range rule.Blocks {
		if !b.Overlaps(a) {
			continue
		}
		block := rule.PeerPath(b.Peer).Field("ipBlock")
		p.Path, p.Value = block.Field("cidr"), b.CIDR.String()
		p.Message = fmt.Sprintf("NetworkPolicy %q lets pods reach the cloud's metadata service: %s holds %s", rule.Policy.Name, b.CIDR, a.Addr())
		if b.CIDR != a && len(b.Except) == 0 {
			p.Fix = &check.Fix{Path: block.Field("except"), Value: "[" + a.String() + "]"}
		}
		return p
	}
	return p
}
