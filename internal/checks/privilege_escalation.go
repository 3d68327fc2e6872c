package checks

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// PrivilegeEscalation reports containers whose processes may gain rights.
//
// Guide: Table I, allowPrivilegeEscalation. Pod Security Standards, restricted:
// allowPrivilegeEscalation (1.8, without Windows pods from 1.25).
var PrivilegeEscalation = &check.Check{
	ID:             "privilege-escalation",
	Title:          "container may gain privileges",
	Doc:            privilegeEscalationDoc,
	Recommendation: "POD-09",
	Severity:       guide.High,
	Remedy:         "set allowPrivilegeEscalation to false",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            containers(since(8, linuxPods), privilegeEscalation),
}

const privilegeEscalationDoc = `One setuid program in the image is enough to make an ordinary user root again.
allowPrivilegeEscalation: false sets the kernel's no_new_privs, with which no
process gets more rights than its parent.

The field of every container is judged, init and ephemeral ones too. Left out it
counts as true, and there is none at pod level. The API server refuses false
beside privileged: true or an added SYS_ADMIN, so that those must go first.
Windows pods have no such mechanism.

    securityContext:
      allowPrivilegeEscalation: false

Images that start as root and change to another user by sudo or su stop working;
set runAsUser instead.
`

func privilegeEscalation(_ *check.Scan, _ *evidence.Workload, c evidence.Container) []check.Problem {
	own := ownContext(c)
	if is(own.AllowPrivilegeEscalation, false) {
		return nil
	}
	p := check.Problem{
		Path:    ownField(c, "allowPrivilegeEscalation"),
		Value:   written(own.AllowPrivilegeEscalation),
		Message: fmt.Sprintf("container %q may gain privileges: allowPrivilegeEscalation is not set, which allows it", c.Name),
	}
	if p.Value != "" {
		p.Message = fmt.Sprintf("container %q may gain privileges: allowPrivilegeEscalation is true", c.Name)
	}
	if !is(own.Privileged, true) && !addsSysAdmin(own.Capabilities) {
		p.Fix = &check.Fix{Path: p.Path, Value: "false", Breaks: "an application that starts programs with the setuid bit or file capabilities, such as sudo"}
	}
	return []check.Problem{p}
}

func addsSysAdmin(c *corev1.Capabilities) bool {
	return c != nil && (slices.Contains(c.Add, "SYS_ADMIN") || slices.Contains(c.Add, "CAP_SYS_ADMIN"))
}
