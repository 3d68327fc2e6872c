package checks

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// SeccompPerWorkload reports Localhost profiles that do not block what they do not
// name (guide: Table I and Seccomp).
var SeccompPerWorkload = &check.Check{
	ID:             "seccomp-per-workload",
	Title:          "seccomp profile of the workload does not block the other system calls",
	Recommendation: "SCMP-02",
	Severity:       guide.Low,
	Remedy:         "give the profile the default action SCMP_ACT_ERRNO and allow the recorded system calls by name",
	Needs:          []evidence.Fact{evidence.Workloads, evidence.Profiles},
	Leaves:         check.Rest{What: "whether the profiles lie on every node, and allow what the applications need", To: []guide.Evidence{guide.Host, guide.AuditLog}},
	Doc:            seccompPerWorkloadDoc,
	Run:            seccompPerWorkload,
}

const seccompPerWorkloadDoc = `The runtime's default profile blocks what hardly anyone needs. A profile made for one
workload blocks all that this one does not need.

Looked at are containers whose effective seccompProfile, their own or their pod's,
has the type Localhost and names a SeccompProfile of the Security Profiles Operator
that was seen too (operator/NAMESPACE/NAME.json or operator/NAME.json). Its default
action has to refuse: SCMP_ACT_ERRNO, SCMP_ACT_TRAP or one of SCMP_ACT_KILL. With
SCMP_ACT_LOG or SCMP_ACT_ALLOW everything that is not named is let through. A
profile that is a file on the nodes cannot be seen, and a ProfileBinding gives a
profile to pods that do not name it: of those nothing is said.

    securityContext:
      seccompProfile:
        type: Localhost
        localhostProfile: operator/shop/web.json
`

func seccompPerWorkload(r *check.Run) {
	actions := map[string]string{} // default action by localhostProfile
	for ref, p := range customs[seccompObject](r, profilesGroup, "SeccompProfile") {
		actions["operator/"+ref.Namespace+"/"+ref.Name+".json"] = p.Spec.DefaultAction
		actions["operator/"+ref.Name+".json"] = p.Spec.DefaultAction
	}
	without := 0
	for _, w := range r.Workloads {
		problems, known := profileProblems(w, actions)
		if known || len(problems) > 0 {
			r.JudgeWorkload(w, problems)
		} else if w.Template == nil {
			without++
		}
	}
	if without > 0 {
		r.Unknown("", fmt.Sprintf("no profile of their own was seen for %d workloads: it may be a file on the nodes, or bound by a ProfileBinding", without))
	}
}

// profileProblems judges the profiles of a workload's containers; known is false
// when one of them has none that was seen.
func profileProblems(w *evidence.Workload, actions map[string]string) (problems []check.Problem, known bool) {
	known = w.Partial == ""
	for c := range w.Containers() {
		own := ownContext(c).SeccompProfile
		profile := or(own, podContext(w).SeccompProfile)
		if profile == nil || profile.Type != corev1.SeccompProfileTypeLocalhost || profile.LocalhostProfile == nil {
			known = false
			continue
		}
		action, ok := actions[*profile.LocalhostProfile]
		known = known && ok
		if ok && !refuses(action) {
			path := podField(w, "seccompProfile", "localhostProfile")
			if own != nil {
				path = ownField(c, "seccompProfile", "localhostProfile")
			}
			problems = append(problems, check.Problem{
				Path:           path,
				Value:          *profile.LocalhostProfile,
				Container:      c.Name,
				Message:        fmt.Sprintf("the seccomp profile of container %q blocks nothing that it does not name: its default action is %s", c.Name, action),
				Severity:       guide.Low,
				SeverityReason: "the container is to be confined further than Table I asks",
			})
		}
	}
	return problems, known
}

func refuses(action string) bool {
	return action == "SCMP_ACT_ERRNO" || action == "SCMP_ACT_TRAP" || strings.HasPrefix(action, "SCMP_ACT_KILL")
}
