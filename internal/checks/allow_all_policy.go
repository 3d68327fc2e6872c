package checks

import (
	"fmt"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/reach"
)

// AllowAllPolicy reports NetworkPolicy rules that allow everything: such a policy
// selects pods without limiting them (guide: Network policies).
var AllowAllPolicy = &check.Check{
	ID:             "allow-all-policy",
	Title:          "network policy rule allows everything",
	Recommendation: "NET-03",
	Severity:       guide.Medium,
	Remedy:         "name the peers by pod and namespace selectors, and the ports",
	Needs:          []evidence.Fact{evidence.NetworkPolicies},
	Doc:            allowAllPolicyDoc,
	Run:            eachPolicy(allowAllPolicy),
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

func allowAllPolicy(_ *check.Scan, p *reach.Policy) (problems []check.Problem) {
	for _, d := range directions {
		rules := p.Rules(d)
		for i := range rules {
			if rules[i].Open() {
				problems = append(problems, check.Problem{
					Path:    rules[i].Path(),
					Message: fmt.Sprintf("NetworkPolicy %q allows all %s of the pods it selects", p.Name, strings.ToLower(string(d))),
				})
			}
		}
	}
	return problems
}

// eachPolicy lifts a judgement about one NetworkPolicy to a whole scan. One that
// the API server would refuse is recorded as not judged.
func eachPolicy(judge func(*check.Scan, *reach.Policy) []check.Problem) func(*check.Run) {
	return func(r *check.Run) {
		policies, invalid := r.Reach().All()
		for _, p := range policies {
			r.Judge(p.Ref, judge(r.Scan, p))
		}
		for _, p := range invalid {
			r.Unknown(p.String(), "it is not valid: "+p.Err.Error())
		}
	}
}
