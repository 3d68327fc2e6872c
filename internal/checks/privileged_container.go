package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// PrivilegedContainer reports containers that run privileged.
//
// Guide: Table I, privileged. Pod Security Standards, baseline: privileged (1.0).
var PrivilegedContainer = &check.Check{
	ID:             "privileged-container",
	Title:          "container runs privileged",
	Doc:            privilegedContainerDoc,
	Recommendation: "POD-05",
	Severity:       guide.Critical,
	Remedy:         "set privileged to false and grant only the capability or device that is needed",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            containers(everyPod, privilegedContainer),
}

const privilegedContainerDoc = `A privileged container has every capability and every device of the node, and
neither seccomp, AppArmor nor SELinux confines it. Whoever takes it over has the
node.

The field privileged of every container is judged, init and ephemeral ones too;
left out it is false. There is no such field at pod level.

    securityContext:
      privileged: false

What really needs the node, such as a network or storage driver, belongs in a
namespace of its own with a written exception. Many others need one capability,
one device plugin or one read-only mount instead.
`

func privilegedContainer(_ *check.Scan, _ *evidence.Workload, c evidence.Container) []check.Problem {
	if !is(ownContext(c).Privileged, true) {
		return nil
	}
	at := ownField(c, "privileged")
	return []check.Problem{{
		Path:    at,
		Value:   "true",
		Message: fmt.Sprintf("container %q runs privileged", c.Name),
	}}
}
