package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// UserNamespace reports pods whose users are the node's users.
//
// Guide: rootless container engines, "once stable". KEP-127: hostUsers is on by
// default since 1.33; before, it does nothing unless a feature gate is set.
var UserNamespace = &check.Check{
	ID:             "user-namespace",
	Title:          "pod shares the node's user namespace",
	Doc:            userNamespaceDoc,
	Recommendation: "POD-04",
	Severity:       guide.Medium,
	Remedy:         "set hostUsers to false on nodes whose runtime supports user namespaces",
	Needs:          []evidence.Fact{evidence.Workloads},
	Alone:          true, // a live cluster tells of its nodes what their files would
	Leaves:         check.Rest{What: "whether the nodes' runtimes support user namespaces", To: []guide.Evidence{guide.Cluster}},
	Run:            userNamespaces,
}

const userNamespaceDoc = `In a user namespace of its own, user 0 of the pod is an ordinary user of the node.
A process that breaks out arrives without rights worth having, and several flaws
of container runtimes could not be used at all.

The pod's hostUsers is judged; left out, it means the node's user namespace. The
finding is of medium severity where a container may be root, and low where none
can. Before Kubernetes 1.33 the field is off by default: a pod that does not set
it is then not judged. Whether the nodes support user namespaces is not written
in any manifest, so that files alone never prove this row. Windows has no user
namespaces.

    spec:
      hostUsers: false

It cannot be combined with hostPID or hostIPC, and its volumes must support
id-mapped mounts: try it on one replica first.
`

func userNamespaces(r *check.Run) {
	for _, w := range r.Workloads {
		if !linuxPods(r.Settings, w) {
			continue
		}
		if w.Pod.HostUsers == nil && !r.Settings.Version.AtLeast(33) {
			r.Unknown("", "user namespaces are off by default before Kubernetes 1.33")
			continue
		}
		settle(r, w, userNamespace(w))
	}
}

func userNamespace(w *evidence.Workload) []check.Problem {
	if is(w.Pod.HostUsers, false) {
		return nil
	}
	p := check.Problem{
		Path:    w.PodPath.Field("hostUsers"),
		Value:   written(w.Pod.HostUsers),
		Message: "the pod shares the node's user namespace: hostUsers is not false",
	}
	if !mayRunAsRoot(w) {
		p.Severity, p.SeverityReason = guide.Low, "none of its containers may run as root"
	}
	if !w.Pod.HostPID && !w.Pod.HostIPC && !w.Pod.HostNetwork {
		p.Fix = &check.Fix{Path: p.Path, Value: "false", Breaks: "a pod with volumes that cannot map users, or on a node that is too old for user namespaces"}
	}
	return []check.Problem{p}
}
