package checks

import (
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// UnenforcedPodFields reports what neither the Pod Security Standards nor any
// policy in the cluster asks of pods (guide: Table I and Appendix C compared with
// Pod Security Admission).
var UnenforcedPodFields = &check.Check{
	ID:             "unenforced-pod-fields",
	Title:          "nothing enforces what the standard levels leave out",
	Recommendation: "ENF-02",
	Severity:       guide.Medium,
	Remedy:         "add a ValidatingAdmissionPolicy for what is missing, with a binding that audits first and denies later",
	Needs:          []evidence.Fact{evidence.Admission, evidence.Namespaces},
	Live:           "what no policy of the cluster enforces",
	Doc: `The level restricted leaves open: a read-only root file system, non-root groups, a
mandatory AppArmor or SELinux profile, the mount of the token, resource limits, user
namespaces and where images come from.

Looked at are the policies of the cluster that match pods and deny
(ValidatingAdmissionPolicies with their bindings, Kyverno's policies, Gatekeeper's
constraints): each of the seven has to be mentioned by one of them. The finding stands
at the Namespace kube-system, which stands for the cluster. Where another validating
webhook looks at pods, it may do the same, and nothing is said. That an expression
demands what it mentions is not proved.

    kubectl get validatingadmissionpolicies,validatingadmissionpolicybindings
`,
	Run: unenforcedPodFields,
}

func unenforcedPodFields(r *check.Run) {
	missing := notCovered(controls(r.Scan))
	if len(missing) == 0 {
		judgeCluster(r)
		return
	}
	if hook := otherPodWebhook(r.Snapshot); hook != "" {
		r.Unknown("", "no policy that was read is in force for "+listed(missing)+"; what "+hook+" asks of pods is not known")
		return
	}
	absentFromCluster(r, evidence.Admission, check.Problem{
		Value:   strings.Join(missing, ", "),
		Message: "no policy in force asks for " + listed(missing),
	})
}

// notCovered are the things of beyond that no control in force mentions.
func notCovered(list []control) (missing []string) {
	for _, item := range beyond {
		covered := false
		for _, c := range list {
			covered = covered || c.enforced() && item.mentions.MatchString(c.text)
		}
		if !covered {
			missing = append(missing, item.what)
		}
	}
	return missing
}

// otherPodWebhook names a validating webhook that looks at pods and belongs to no
// policy engine whose policies are read.
func otherPodWebhook(s *evidence.Snapshot) string {
	for _, o := range s.ValidatingWebhooks {
		for i := range o.Value.Webhooks {
			h := &o.Value.Webhooks[i]
			if strings.Contains(h.Name, "kyverno") || strings.Contains(h.Name, "gatekeeper.sh") {
				continue
			}
			for _, rule := range h.Rules {
				if ruleMatchesPods(rule) {
					return o.Ref.String()
				}
			}
		}
	}
	return ""
}
