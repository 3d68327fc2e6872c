package checks

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// AddedCapabilities reports containers that ask for capabilities.
//
// Guide: Appendix C. Pod Security Standards: only NET_BIND_SERVICE may be added
// (restricted, capabilities_restricted, from 1.22, without Windows pods from
// 1.25), before that only what runtimes give anyway (baseline).
var AddedCapabilities = &check.Check{
	ID:             "added-capabilities",
	Title:          "container adds capabilities",
	Doc:            addedCapabilitiesDoc,
	Recommendation: "POD-10",
	Severity:       guide.Medium,
	Remedy:         "remove the capability; only NET_BIND_SERVICE may be added",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            containers(linuxPods, addedCapabilities),
}

const addedCapabilitiesDoc = `A capability that a container adds is a power of root that it would not have
otherwise. Some are root by another name: SYS_ADMIN mounts file systems,
SYS_MODULE loads kernel modules, SYS_PTRACE reads other processes, NET_ADMIN and
NET_RAW rewrite and forge traffic. These are of high severity.

Each entry of capabilities.add is judged in every container, init and ephemeral
ones too. Only NET_BIND_SERVICE may be added. Judging as a release before 1.22,
when the restricted Pod Security Standard did not ask for that yet, those that
runtimes give by default may be added too. Windows has no capabilities.

    securityContext:
      capabilities:
        drop: [ALL]
        add: [NET_BIND_SERVICE]
`

// rootByAnotherName are the capabilities with which the way to the node is short.
var rootByAnotherName = map[string]string{
	"ALL":             "it is every power of root",
	"SYS_ADMIN":       "it mounts file systems and much more, and is root in all but name",
	"SYS_MODULE":      "it loads code into the node's kernel",
	"SYS_PTRACE":      "it reads and changes other processes",
	"SYS_RAWIO":       "it reads and writes the node's memory and devices",
	"SYS_BOOT":        "it restarts the node or loads another kernel",
	"DAC_READ_SEARCH": "it opens files of the node by their handles",
	"BPF":             "it loads programs into the node's kernel",
	"NET_ADMIN":       "it changes routes, addresses and firewall rules",
	"NET_RAW":         "it forges packets in the network of the pods",
}

func addedCapabilities(s *check.Scan, _ *evidence.Workload, c evidence.Container) (problems []check.Problem) {
	caps := ownContext(c).Capabilities
	if caps == nil {
		return nil
	}
	for i, name := range caps.Add {
		if mayBeAdded(s.Settings.Version, name) {
			continue
		}
		p := check.Problem{
			Path:    ownField(c, "capabilities", "add").Index(i, string(name)),
			Value:   string(name),
			Message: fmt.Sprintf("container %q adds the capability %s", c.Name, name),
		}
		if why, ok := rootByAnotherName[strings.TrimPrefix(strings.ToUpper(string(name)), "CAP_")]; ok {
			p.Severity, p.SeverityReason = guide.High, why
		}
		problems = append(problems, p)
	}
	return problems
}

func mayBeAdded(v evidence.Version, name corev1.Capability) bool {
	switch name {
	case "NET_BIND_SERVICE":
		return true
	case "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "SETFCAP", "SETGID", "SETPCAP",
		"SETUID", "SYS_CHROOT":
		return !v.AtLeast(22)
	}
	return false
}
