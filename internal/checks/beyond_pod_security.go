package checks

import (
	"fmt"
	"regexp"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// BeyondPodSecurity reports admission policies that are meant to enforce what the
// Pod Security Standards leave out, and do not (guide: Table I and Appendix C
// compared with Pod Security Admission).
var BeyondPodSecurity = &check.Check{
	ID:             "beyond-pod-security",
	Title:          "policy for what the standard levels leave out refuses nothing",
	Recommendation: "ENF-02",
	Severity:       guide.Medium,
	Remedy:         "let the policy deny, once it reports nothing any more",
	Needs:          []evidence.Fact{evidence.Admission, evidence.Namespaces, evidence.Workloads},
	Leaves:         inForce,
	Doc: `The level restricted is not the guide's list. It leaves open: a read-only root file
system, non-root groups, a mandatory AppArmor or SELinux profile, the mount of the
token, resource limits, user namespaces and where images come from. Policies of one's
own have to close these gaps.

Looked at are ValidatingAdmissionPolicies with their bindings, Kyverno's policies and
Gatekeeper's constraints that match pods and whose expressions, patterns or parameters
mention one of the seven. One that does not deny is a problem, and so is one that
leaves out a namespace of users. What no policy mentions, and a policy without a
binding, is not judged from files: the rest may be in the cluster already. In a live
cluster a policy without a binding is a problem, too. That an expression demands what
it mentions is not proved.

` + "```yaml" + `
kind: ValidatingAdmissionPolicyBinding
spec:
  policyName: read-only-root
  validationActions: [Deny]   # not Warn, not Audit
` + "```",
	Run: beyondPodSecurity,
}

// beyond are the things that the level restricted does not ask for, and how
// policies call them, in lower case.
var beyond = []struct {
	what     string
	mentions *regexp.Regexp
}{
	{"a read-only root file system", regexp.MustCompile(`readonlyrootfilesystem`)},
	{"non-root groups", regexp.MustCompile(`runasgroup|supplementalgroups|fsgroup`)},
	{"an AppArmor or SELinux profile", regexp.MustCompile(`apparmor|selinux`)},
	{"the mount of the token", regexp.MustCompile(`automountserviceaccounttoken`)},
	{"resource limits", regexp.MustCompile(`limits`)},
	{"user namespaces", regexp.MustCompile(`hostusers`)},
	{"where images come from", imageWords},
}

func beyondPodSecurity(r *check.Run) {
	list := controls(r.Scan)
	for _, c := range list {
		for _, item := range beyond {
			if item.mentions.MatchString(c.text) {
				judgeControl(r, c)
				break
			}
		}
	}
	// Of a live cluster unenforced-pod-fields tells.
	if missing := notCovered(list); r.Cluster == nil && len(missing) > 0 {
		r.Unknown("", "no policy that was read is in force for "+listed(missing)+"; files cannot show all policies of a cluster")
	}
}

// judgeControl records what is wrong with a control, or that it is not known
// whether it is in force.
func judgeControl(r *check.Run, c control) {
	out, unsure := c.leftOut(r.Scan)
	switch {
	case c.unbound:
		if ok, _ := r.Complete(evidence.Admission, ""); !ok {
			r.Unknown(c.Ref.String(), "no binding that was read puts it in force")
			return
		}
		r.Judge(c.Ref, []check.Problem{{
			Path:    evidence.NewPath("metadata", "name"),
			Value:   c.Name,
			Message: fmt.Sprintf("%s %q refuses nothing: no binding puts it in force", c.Kind, c.Name),
		}})
		return
	case c.lax.reason != "":
		r.Judge(c.lax.ref, []check.Problem{c.lax.problem(c)})
		return
	case c.open.reason != "":
		r.Judge(c.open.ref, []check.Problem{c.open.problem(c)})
	case len(out) > 0:
		r.Judge(c.Ref, []check.Problem{{
			Path:    evidence.NewPath("spec"),
			Message: fmt.Sprintf("%s %q leaves out namespace %s", c.Kind, c.Name, listed(out)),
		}})
	case unsure == "" && c.unseen == "":
		r.Judge(c.Ref, nil)
	}
	for _, why := range []string{unsure, c.unseen} {
		if why != "" {
			r.Unknown(c.Ref.String(), why)
		}
	}
}
