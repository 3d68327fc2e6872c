package checks

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// DropCapabilities reports containers that keep the runtime's default
// capabilities.
//
// Guide: Appendix C, requiredDropCapabilities. Pod Security Standards,
// restricted: capabilities_restricted (1.22, without Windows pods from 1.25).
var DropCapabilities = &check.Check{
	ID:             "drop-capabilities",
	Title:          "container keeps default capabilities",
	Doc:            dropCapabilitiesDoc,
	Recommendation: "POD-10",
	Severity:       guide.Medium,
	Remedy:         "drop ALL capabilities, and add NET_BIND_SERVICE only where a port below 1024 is needed",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            containers(since(22, linuxPods), dropCapabilities),
}

const dropCapabilitiesDoc = `Capabilities are root's powers cut into pieces. A container gets more than a dozen
of them unless it gives them up, among them forging packets and passing file
permissions by, and hardly any application needs one.

Every container is judged, init and ephemeral ones too: its capabilities.drop has
to hold ALL, in capitals. There is no such field at pod level. The rule follows
the restricted Pod Security Standard, which asks for it since Kubernetes 1.22.
Windows has no capabilities.

    securityContext:
      capabilities:
        drop: [ALL]

An application that must listen on a port below 1024 may add NET_BIND_SERVICE;
one that listens above needs nothing.
`

func dropCapabilities(_ *check.Scan, w *evidence.Workload, c evidence.Container) []check.Problem {
	var drop []corev1.Capability
	if caps := ownContext(c).Capabilities; caps != nil {
		drop = caps.Drop
	}
	if slices.Contains(drop, "ALL") {
		return nil
	}
	at := ownField(c, "capabilities", "drop")
	p := check.Problem{
		Path:    at,
		Message: fmt.Sprintf("container %q keeps the runtime's default capabilities: it does not drop ALL", c.Name),
		Fix:     &check.Fix{Path: at, Value: "[ALL]"},
	}
	if !withoutCapabilities(w, c) {
		p.Fix.Breaks = "an application that uses one of the default capabilities, such as chown, binding a low port as root or changing its user"
	}
	if len(drop) > 0 {
		p.Value = flow(drop)
		p.Message = fmt.Sprintf("container %q drops %s but not ALL, and keeps the rest", c.Name, p.Value)
	}
	return []check.Problem{p}
}

// withoutCapabilities reports whether no process of a container has any capability, nor
// can get one, so that none is missed when they are dropped. The kernel takes them from
// a process that turns into another user than root, and with no_new_privs no program
// that it starts brings them back (capabilities(7), execve(2)). What an operator adds to
// the pod is not known.
func withoutCapabilities(w *evidence.Workload, c evidence.Container) bool {
	own := ownContext(c)
	return !w.Windows() && w.Partial == "" && neverRoot(w, c) && is(own.AllowPrivilegeEscalation, false) &&
		!is(own.Privileged, true) && (own.Capabilities == nil || len(own.Capabilities.Add) == 0)
}

// neverRoot reports whether the kubelet starts a container as another user than root, or
// not at all.
func neverRoot(w *evidence.Workload, c evidence.Container) bool {
	own, pod := ownContext(c), podContext(w)
	if uid := or(own.RunAsUser, pod.RunAsUser); uid != nil {
		return *uid > 0
	}
	return is(or(own.RunAsNonRoot, pod.RunAsNonRoot), true)
}

// flow writes a list as YAML in one line.
func flow(list []corev1.Capability) string {
	var b strings.Builder
	for i, item := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(item))
	}
	return "[" + b.String() + "]"
}
