package checks

import (
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// SeccompLearning looks for seccomp profiles that record system calls (guide:
// Seccomp: audit mode). It finds them or does not know.
var SeccompLearning = &check.Check{
	ID:             "seccomp-learning",
	Title:          "no seccomp profile records which system calls are normal",
	Recommendation: "SCMP-01",
	Severity:       guide.Low,
	Remedy:         "record the system calls of the workload with a profile whose default action is SCMP_ACT_LOG",
	Needs:          []evidence.Fact{evidence.Profiles},
	Leaves:         check.Rest{What: "whether the nodes hold the profile, and log by it", To: []guide.Evidence{guide.Host, guide.AuditLog}},
	Doc:            seccompLearningDoc,
	Run:            seccompLearning,
}

const seccompLearningDoc = `A profile that logs system calls instead of blocking them shows which ones a workload
makes. From that a profile can be written that blocks the others.

Looked at are the objects of the Security Profiles Operator: a SeccompProfile with
the default action SCMP_ACT_LOG, or a ProfileRecording of seccomp profiles. Profiles
may as well be files on the nodes, which seccomp-log-profile looks for, so where there is
no such object nothing is said.

    apiVersion: security-profiles-operator.x-k8s.io/v1beta1
    kind: SeccompProfile
    metadata: {name: learn, namespace: shop}
    spec:
      defaultAction: SCMP_ACT_LOG
`

const profilesGroup = "security-profiles-operator.x-k8s.io"

type seccompObject struct {
	Spec struct {
		DefaultAction string `json:"defaultAction"`
		Kind          string `json:"kind"` // of a ProfileRecording
	} `json:"spec"`
}

func seccompLearning(r *check.Run) {
	found := false
	for ref, p := range customs[seccompObject](r, profilesGroup, "SeccompProfile") {
		if p.Spec.DefaultAction == "SCMP_ACT_LOG" {
			found = true
			r.Judge(ref, nil)
		}
	}
	for ref, p := range customs[seccompObject](r, profilesGroup, "ProfileRecording") {
		if p.Spec.Kind == "SeccompProfile" {
			found = true
			r.Judge(ref, nil)
		}
	}
	if !found && !slices.ContainsFunc(r.Hosts, logsSystemCalls) {
		r.Unknown("", "no SeccompProfile that logs was seen: profiles may be files on the nodes")
	}
}
