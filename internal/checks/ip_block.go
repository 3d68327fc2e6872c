package checks

import (
	"fmt"
	"net/netip"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/reach"
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
	Run:            eachPolicy(ipBlock),
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

func ipBlock(_ *check.Scan, p *reach.Policy) (problems []check.Problem) {
	for _, d := range directions {
		rules := p.Rules(d)
		for i := range rules {
			for _, b := range rules[i].Blocks {
				if problem, bad := judgeBlock(&rules[i], b); bad {
					problems = append(problems, problem)
				}
			}
		}
	}
	return problems
}

func judgeBlock(rule *reach.Rule, b reach.Block) (check.Problem, bool) {
	problem := check.Problem{
		Path:           rule.PeerPath(b.Peer).Field("ipBlock", "cidr"),
		Value:          b.CIDR.String(),
		Severity:       guide.Info,
		SeverityReason: "whether the block lets through what it says depends on the network",
	}
	if b.CIDR.Bits() == 0 && len(b.Except) == 0 {
		problem.Message = fmt.Sprintf("ipBlock %s covers every address, those of pods and nodes too", b.CIDR)
		problem.Severity, problem.SeverityReason = guide.Low, "the block covers every address"
		return problem, true
	}
	if b.CIDR.IsSingleIP() {
		return problem, false
	}
	for _, private := range privateRanges {
		if b.Overlaps(private) {
			problem.Message = fmt.Sprintf("ipBlock %s covers private addresses of %s, which pods and nodes may have", b.CIDR, private)
			return problem, true
		}
	}
	return problem, false
}
