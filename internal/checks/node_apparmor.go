package checks

import (
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// NodeAppArmor reports nodes on which AppArmor confines no container (guide: Table I).
//
// It needs no hosts: the kubelet starts a pod that names a profile only where AppArmor
// is on, so that pods which do answer the row by themselves.
var NodeAppArmor = &check.Check{
	ID:             "node-apparmor",
	Title:          "node confines no container by AppArmor",
	Recommendation: "POD-12",
	Severity:       guide.Medium,
	Remedy:         "start the node's kernel with AppArmor, and leave it on in the container runtime",
	Node:           "whether AppArmor confines the containers of the nodes",
	Doc: `On a node with AppArmor the container runtime gives every container its default profile, which
keeps it from writing to sensitive files of the kernel.

Looked at are whether the kernel has AppArmor on, whether the runtime uses it
(disable_apparmor of containerd, apparmor_profile of CRI-O), and whether the runtime's
profile, where it is loaded, is enforced rather than in complain mode. A runtime loads it with
the first container: where it is not loaded nothing is said. A node with SELinux instead is left
out; one whose kernel has neither is reported here and under SELinux.

    # cat /sys/module/apparmor/parameters/enabled
    # grep -E 'cri-containerd|crio-default' /sys/kernel/security/apparmor/profiles
`,
	Run: belowPods(eachHost(nodeAppArmor)),
}

func nodeAppArmor(n *node) {
	s := &n.System
	switch {
	case s.AppArmor != nil && *s.AppArmor:
		n.appArmorInUse()
	case s.SELinux == enforcing, s.SELinux == "permissive":
		n.leaveOut()
	case s.AppArmor != nil:
		n.say(evidence.Position{}, evidence.NewPath("system", "apparmor"), "", noModule)
	default:
		n.moduleUnknown()
	}
}

// appArmorInUse judges what the container runtimes make of AppArmor.
func (n *node) appArmorInUse() {
	if off, option, at, known := n.criSwitch("disable_apparmor"); known && off {
		n.say(at, evidence.NewPath(evidence.Containerd, option), "true", "containerd does not use AppArmor: disable_apparmor is true")
	}
	if c := n.runtime(evidence.CRIO); c != nil {
		const option = "crio.runtime.apparmor_profile"
		var profile string
		if at, known := n.option(c, option, &profile); known && profile == "unconfined" {
			n.say(at, flagPath(c, option), profile, "CRI-O confines no container that does not ask for it: apparmor_profile is unconfined")
		}
	}
	if len(n.problems) > 0 {
		return
	}
	loaded := false
	for _, line := range n.System.AppArmorProfiles {
		name, mode, _ := strings.Cut(strings.TrimSuffix(line, ")"), " (")
		if !runtimeProfile(name) {
			continue
		}
		loaded = true
		if mode != "enforce" && mode != "kill" {
			n.say(evidence.Position{File: loadedProfiles}, evidence.NewPath("system", "apparmor", name), mode, "the AppArmor profile %q of the container runtime is in %s mode: it refuses nothing", name, mode)
		}
	}
	if !loaded && n.sees(evidence.TheKernel) {
		n.cannot("the container runtime has no AppArmor profile loaded: it does so with the first container")
	}
}

const loadedProfiles = "/sys/kernel/security/apparmor/profiles"

// runtimeProfile reports whether a profile is the default one of a container runtime.
func runtimeProfile(name string) bool {
	return strings.HasPrefix(name, "cri-containerd") || strings.HasPrefix(name, "crio-default") || strings.HasPrefix(name, "docker-default") || strings.HasPrefix(name, "containers-default")
}
