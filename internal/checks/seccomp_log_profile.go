package checks

import (
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// SeccompLogProfile looks for files on the nodes with seccomp profiles that record
// system calls (guide: Seccomp: audit mode). It finds them or does not know.
var SeccompLogProfile = &check.Check{
	ID:             "seccomp-log-profile",
	Title:          "node has no seccomp profile that records system calls",
	Recommendation: "SCMP-01",
	Severity:       guide.Low,
	Remedy:         "put a profile with the default action SCMP_ACT_LOG below /var/lib/kubelet/seccomp of a node for tests",
	Needs:          []evidence.Fact{evidence.Hosts},
	Leaves:         check.Rest{What: "whether the kernel's audit has lines that come from it", To: []guide.Evidence{guide.AuditLog}},
	Node:           "whether the nodes hold a seccomp profile that logs",
	Doc: `A profile that logs system calls instead of blocking them shows which ones a workload
makes. From that a profile can be written that blocks the others.

Looked at are the files below the folder seccomp of the kubelet's own: one of them on some node
has to have the default action SCMP_ACT_LOG. It need not be on all nodes: what is learnt on one
for tests serves the others. Profiles may as well be gone again once everything is learnt, so
where there is none nothing is said.

    # cat /var/lib/kubelet/seccomp/profiles/audit.json
    {"defaultAction": "SCMP_ACT_LOG"}
`,
	Run: seccompLogProfile,
}

func seccompLogProfile(r *check.Run) {
	found := false
	for _, h := range r.Hosts {
		if logsSystemCalls(h) {
			found = true
			r.Judge(h.Ref, nil)
		}
	}
	if !found {
		r.Unknown("", "no seccomp profile that logs was found on the nodes")
	}
}

// logsSystemCalls reports whether a host has a seccomp profile that logs.
func logsSystemCalls(h *evidence.Host) bool {
	return slices.ContainsFunc(h.System.SeccompProfiles, func(p evidence.SeccompProfile) bool { return p.DefaultAction == "SCMP_ACT_LOG" })
}
