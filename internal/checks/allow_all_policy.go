package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
)

// AllowAllPolicy reports rules of network policies that allow everything: such a policy
// selects pods without limiting them (guide: Network policies).
var AllowAllPolicy = &check.Check{
	ID:             "allow-all-policy",
	Title:          "network policy rule allows everything",
	Recommendation: "NET-03",
	Severity:       guide.Medium,
	Remedy:         "name the peers by pod and namespace selectors, and the ports",
	Needs:          []evidence.Fact{evidence.NetworkPolicies},
	Doc:            allowAllPolicyDoc,
	Run:            allowAllPolicy,
}

const allowAllPolicyDoc = `A rule with neither peers nor ports (- {}) allows all traffic of its direction,
and since rules only add, it makes every other policy for the same pods pointless.
Many scanners count such a policy as segmentation.

Looked at is each rule of a direction that the policy isolates. Missing and empty
from, to and ports mean everything. A block of all IPv4 or all IPv6 addresses
without exceptions counts as everyone; a rule that is limited to ports does not
count as allowing everything.

    spec:
      podSelector: {matchLabels: {app: web}}
      ingress:
        - from: [{podSelector: {matchLabels: {app: gateway}}}]   # not: - {}
          ports: [{port: 8080}]
`

func allowAllPolicy(r *check.Run) {
	for _, p := range r.Reach().Policies() {
		if p.Tier.Layer != netpol.Network {
			continue
		}
		if problems, unknown := openRules(p), unreadRules(p); len(problems) > 0 || unknown == "" {
			r.Judge(p.Ref, problems)
		} else {
			r.Unknown(p.String(), unknown)
		}
	}
	notEnforced(r)
}

// unreadRules is why it is not known what a policy, or a rule of it, allows; "" where it is.
func unreadRules(p *netpol.Policy) string {
	for _, d := range directions {
		side := p.Side(d)
		switch {
		case side == nil:
		case side.Unknown != "":
			return side.Unknown
		default:
			for _, rule := range side.List {
				if rule.Action == netpol.Allow && rule.Unknown != "" {
					return rule.Unknown
				}
			}
		}
	}
	return ""
}

func openRules(p *netpol.Policy) (problems []check.Problem) {
	for _, d := range directions {
		side := p.Side(d)
		if side == nil {
			continue
		}
		for i := range side.List {
			if rule := &side.List[i]; rule.Open() {
				problems = append(problems, check.Problem{
					Path:    rule.Path,
					Message: fmt.Sprintf("%s %q allows all %s of the pods it selects", p.Kind, p.Name, d),
				})
			}
		}
	}
	return problems
}
