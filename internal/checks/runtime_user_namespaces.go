package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// RuntimeUserNamespaces reports nodes that are set up so that pods can have no user
// namespace of their own (guide: Rootless container engines; KEP-127).
//
// It needs no hosts: of a live cluster's nodes node-user-namespaces tells the same.
var RuntimeUserNamespaces = &check.Check{
	ID:             "runtime-user-namespaces",
	Title:          "node has no user namespaces for pods",
	Recommendation: "POD-04",
	Severity:       guide.Low,
	Remedy:         "use a kernel from 6.3, containerd from 2.0 or CRI-O from 1.25, and leave user namespaces on",
	Node:           "whether the nodes can give pods a user namespace",
	Doc: `A pod with hostUsers: false starts only where kernel, container runtime and kubelet can give it
a user namespace of its own. A container engine that itself runs without root rights does as
much for all pods of its node.

Looked at are the user that containerd or CRI-O runs as: other than root, the node passes. Else
the kernel has to be 6.3 or newer, and user.max_user_namespaces not 0; of containerd the
installed package has to be 2.0 or newer, of CRI-O 1.25; and the kubelet's feature gate
UserNamespacesSupport has to be on, which it is from 1.33 unless it is switched off. A kernel
to which a distribution has added what is missing is judged by its number all the same. Where
the node's status is known that is taken instead: see node-user-namespaces. The finding is low:
it keeps pods from being hardened, but harms none by itself.

    # sysctl user.max_user_namespaces
    # containerd --version
`,
	Run: runtimeUserNamespaces,
}

func runtimeUserNamespaces(r *check.Run) {
	eachHost(userNamespacesOf)(r)
	if r.Cluster != nil {
		r.Unknowns = nil // node-user-namespaces asks
	}
}

func userNamespacesOf(n *node) {
	if o := n.object(); o != nil && len(o.Value.Status.RuntimeHandlers) > 0 {
		n.leaveOut()
		return
	}
	runtimes := n.runtimes()
	for _, c := range runtimes {
		if c.UID > 0 {
			return // rootless
		}
	}
	for _, c := range runtimes {
		n.givesUserNamespaces(c)
	}
	if len(runtimes) == 0 {
		n.cannot("no container runtime was seen")
	}
	n.kernelUserNamespaces()
	if c := n.Component(evidence.Kubelet); c != nil {
		n.gateUserNamespaces(c)
	}
}

// barred records why pods have no user namespace.
func (n *node) barred(at evidence.Position, path evidence.Path, value, format string, args ...any) {
	p := n.say(at, path, value, format, args...)
	p.Severity, p.SeverityReason = guide.Low, "it keeps pods from having a user namespace, but harms none by itself"
}

// givesUserNamespaces judges the release of a container runtime.
func (n *node) givesUserNamespaces(c *evidence.Component) {
	least := evidence.Version{Major: 2, Minor: 0}
	if c.Name == evidence.CRIO {
		least = evidence.Version{Major: 1, Minor: 25}
	}
	text, v, known := n.releaseOf(c)
	switch {
	case !known:
		n.cannot("%s: which release it is is not known", c.Name)
	case v.Major < least.Major || v.Major == least.Major && v.Minor < least.Minor:
		n.barred(c.Place, evidence.NewPath(c.Name, "version"), text, "%s %s gives pods no user namespace: it does from %s", c.Name, text, least)
	}
}

func (n *node) kernelUserNamespaces() {
	const sysctl = "user.max_user_namespaces"
	v, err := evidence.ParseVersion(n.System.Kernel)
	switch {
	case err != nil:
		n.cannot("which kernel it has is not known")
	case v.Major < 6 || v.Major == 6 && v.Minor < 3:
		n.barred(evidence.Position{}, evidence.NewPath("system", "kernel"), n.System.Kernel, "kernel %s has no id-mapped tmpfs, which the volumes of a pod with a user namespace need: it is there from 6.3", n.System.Kernel)
	}
	switch s, set := n.System.Sysctls[sysctl]; {
	case !set:
		n.cannot("%s is not known", sysctl)
	case s.Value == "0":
		n.barred(s.Place, evidence.NewPath("sysctl", sysctl), s.Value, "the kernel makes no user namespaces: %s is 0", sysctl)
	}
}

func (n *node) gateUserNamespaces(c *evidence.Component) {
	const gate = "featureGates.UserNamespacesSupport"
	_, v, known := n.releaseOf(c)
	if !known {
		v = n.Settings.Version
	}
	if on, at, known := setting(n, c, gate, v.AtLeast(33)); known && !on {
		n.barred(at, flagPath(c, gate), optionText(c, gate), "the kubelet gives pods no user namespace: the feature gate UserNamespacesSupport is off%s", unset(c, gate))
	}
}
