package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// NodeSELinux reports nodes on which SELinux labels mean nothing (guide: Table I).
var NodeSELinux = &check.Check{
	ID:             "node-selinux",
	Title:          "node does not enforce SELinux",
	Recommendation: "POD-11",
	Severity:       guide.Medium,
	Remedy:         "set SELINUX=enforcing on the node after reading its denials, or use AppArmor there",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "whether the nodes enforce SELinux",
	Doc: `A label confines nothing unless the kernel enforces it. In permissive mode SELinux only logs
what it would have refused.

Looked at is /sys/fs/selinux/enforce, or, in files copied from a node, /etc/selinux/config; it
has to be enforcing. Then the runtime has to label containers: containerd does only with
enable_selinux = true, CRI-O unless selinux = false. A node with AppArmor instead is left out;
one whose kernel has neither is reported here and under apparmor.

    # setenforce 1
    # sed -i 's/^SELINUX=.*/SELINUX=enforcing/' /etc/selinux/config
`,
	Run: eachHost(nodeSELinux),
}

const (
	enforcing = "enforcing"
	noModule  = "the kernel confines nothing by SELinux or AppArmor"
)

func nodeSELinux(n *node) {
	s := &n.System
	path := evidence.NewPath("system", "selinux")
	switch {
	case s.SELinux == enforcing:
		n.labels()
	case s.AppArmor != nil && *s.AppArmor:
		n.leaveOut()
	case s.SELinux == "permissive":
		n.say(s.SELinuxPlace, path, s.SELinux, "SELinux is permissive: it refuses nothing")
	case s.AppArmor != nil:
		n.say(s.SELinuxPlace, path, s.SELinux, noModule)
	default:
		n.moduleUnknown()
	}
}

// moduleUnknown records that nobody knows whether the kernel confines containers.
func (n *node) moduleUnknown() {
	why := "/sys is not, or not wholly, among what was read"
	if n.Root == "" {
		_, why = n.Saw(evidence.TheKernel)
	}
	n.cannot("whether its kernel has SELinux or AppArmor is not known: %s", why)
}

// labels judges whether the container runtimes give containers a label.
func (n *node) labels() {
	if on, option, at, known := n.criSwitch("enable_selinux"); known && !on {
		n.say(at, evidence.NewPath(evidence.Containerd, option), "", "containerd gives containers no SELinux label: enable_selinux is not true")
	}
	if c := n.runtime(evidence.CRIO); c != nil {
		const option = "crio.runtime.selinux"
		on := true
		if at, known := n.option(c, option, &on); known && !on {
			n.say(at, flagPath(c, option), "false", "CRI-O gives containers no SELinux label: selinux is false")
		}
	}
	if len(n.runtimes()) == 0 {
		n.cannot("whether containers get an SELinux label is not known: no container runtime was seen")
	}
}
