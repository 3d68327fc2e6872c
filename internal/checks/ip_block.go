package checks

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/reach/cidr"
)

// IPBlock notes NetworkPolicy rules whose ipBlock covers addresses that pods and
// nodes have (guide: Network policies, on address rewriting).
var IPBlock = &check.Check{
	ID:             "ip-block",
	Title:          "ipBlock covers addresses of pods or nodes",
	Recommendation: "NET-06",
	Severity:       guide.Info,
	Remedy:         "name pods by selectors, and except the private ranges from blocks that are meant for the outside",
	Needs:          []evidence.Fact{evidence.NetworkPolicies},
	Doc:            ipBlockDoc,
	Run:            ipBlock,
}

const ipBlockDoc = `An ipBlock is meant for addresses outside the cluster. Network plugins and cloud
load balancers rewrite addresses on the way, and whether a policy sees the address
before or after that differs between them: a block that holds pod or node addresses
may let through more, or less, than it says.

Looked at is each ipBlock of a rule in effect. One that still holds private
addresses (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, fc00::/7) after
its exceptions is noted; one of all addresses without exceptions ranks as low.
A single address is not noted.

    - ipBlock:
        cidr: 0.0.0.0/0
        except: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, 169.254.0.0/16]
`

// privateRanges are those of RFC 1918, RFC 6598 and RFC 4193, which pods and nodes
// usually have their addresses from.
var privateRanges = [...]netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("fc00::/7"),
}

func ipBlock(r *check.Run) {
	invalid := map[*evidence.Ref]bool{}
	for _, p := range r.Reach().Invalid() {
		invalid[p.Ref] = true
		if p.Kind == "NetworkPolicy" && p.Group() == networkingv1.GroupName {
			r.Unknown(p.String(), "it is not valid: "+p.Err.Error())
		}
	}
	for _, o := range r.NetworkPolicies {
		if invalid[o.Ref] {
			continue
		}
		var problems []check.Problem
		for _, b := range blocks(o) {
			if problem, bad := judgeBlock(b); bad {
				problems = append(problems, problem)
			}
		}
		r.Judge(o.Ref, problems)
	}
}

// A block is an ipBlock of a NetworkPolicy's rule in effect.
type block struct {
	path    evidence.Path
	cidr    netip.Prefix
	excepts bool
	// set is the block without its exceptions.
	set cidr.Set
}

// blocks are the ipBlocks of a valid NetworkPolicy, in the directions that it is about.
func blocks(o *evidence.Object[networkingv1.NetworkPolicy]) (list []block) {
	spec := &o.Value.Spec
	root := evidence.NewPath("spec")
	if len(spec.PolicyTypes) == 0 || slices.Contains(spec.PolicyTypes, networkingv1.PolicyTypeIngress) {
		for i, rule := range spec.Ingress {
			list = append(list, peerBlocks(rule.From, root.Field("ingress").Index(i, "").Field("from"))...)
		}
	}
	if len(spec.PolicyTypes) == 0 || slices.Contains(spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
		for i, rule := range spec.Egress {
			list = append(list, peerBlocks(rule.To, root.Field("egress").Index(i, "").Field("to"))...)
		}
	}
	return list
}

func peerBlocks(peers []networkingv1.NetworkPolicyPeer, path evidence.Path) (list []block) {
	for i, peer := range peers {
		if peer.IPBlock == nil {
			continue
		}
		whole, err := netip.ParsePrefix(peer.IPBlock.CIDR)
		if err != nil {
			continue
		}
		except, err := cidr.Parse(peer.IPBlock.Except...)
		if err != nil {
			continue
		}
		list = append(list, block{
			path: path.Index(i, "").Field("ipBlock"), cidr: whole.Masked(), excepts: len(peer.IPBlock.Except) > 0,
			set: cidr.Of(whole).Minus(except),
		})
	}
	return list
}

// blocksOf are the ipBlocks of one rule; none for policies of other kinds.
func blocksOf(s *check.Scan, rule opening) (list []block) {
	for _, o := range s.NetworkPolicies {
		if o.Ref != rule.policy.Ref {
			continue
		}
		for _, b := range blocks(o) {
			if strings.HasPrefix(b.path.String(), rule.rule.Path.String()+".") {
				list = append(list, b)
			}
		}
	}
	return list
}

func judgeBlock(b block) (check.Problem, bool) {
	problem := check.Problem{
		Path:           b.path.Field("cidr"),
		Value:          b.cidr.String(),
		Severity:       guide.Info,
		SeverityReason: "whether the block lets through what it says depends on the network",
	}
	if b.cidr.Bits() == 0 && !b.excepts {
		problem.Message = fmt.Sprintf("ipBlock %s covers every address, those of pods and nodes too", b.cidr)
		problem.Severity, problem.SeverityReason = guide.Low, "the block covers every address"
		return problem, true
	}
	if b.cidr.IsSingleIP() {
		return problem, false
	}
	for _, private := range privateRanges {
		if b.set.Overlaps(cidr.Of(private)) {
			problem.Message = fmt.Sprintf("ipBlock %s covers private addresses of %s, which pods and nodes may have", b.cidr, private)
			return problem, true
		}
	}
	return problem, false
}
