package checks

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// NodeUserNamespaces reports nodes on which pods can have no user namespace of
// their own (guide: Rootless container engines; KEP-127).
var NodeUserNamespaces = &check.Check{
	ID:             "node-user-namespaces",
	Title:          "node's runtime does not support user namespaces",
	Recommendation: "POD-04",
	Severity:       guide.Low,
	Remedy:         "upgrade the node's kernel and container runtime to releases that support user namespaces",
	Needs:          []evidence.Fact{evidence.Nodes},
	Live:           "whether the nodes' runtimes support user namespaces",
	Doc: `A pod with hostUsers: false starts only where the container runtime and the kernel can
give it a user namespace of its own.

Looked at are the runtime handlers that each node reports in its status, from
Kubernetes 1.30 on: at least one of them has to name the feature userNamespaces. A node
that reports no handlers is not judged, and Windows nodes are left out. The finding is
low: it keeps pods from being hardened, but harms none by itself.

    kubectl get node worker-1 -o jsonpath='{.status.runtimeHandlers}'
`,
	Run: nodeUserNamespaces,
}

func nodeUserNamespaces(r *check.Run) {
	for _, n := range r.Nodes {
		handlers := n.Value.Status.RuntimeHandlers
		switch {
		case n.Value.Status.NodeInfo.OperatingSystem == string(corev1.Windows):
		case len(handlers) == 0:
			r.Unknown(n.String(), "it does not report what its runtime supports")
		case slices.ContainsFunc(handlers, givesUserNamespaces):
			r.Judge(n.Ref, nil)
		default:
			r.Judge(n.Ref, []check.Problem{{
				Path:           evidence.NewPath("status", "runtimeHandlers"),
				Message:        fmt.Sprintf("no runtime handler of node %q supports user namespaces", n.Name),
				Severity:       guide.Low,
				SeverityReason: "it keeps pods from having a user namespace, but harms none by itself",
			}})
		}
	}
}

func givesUserNamespaces(h corev1.NodeRuntimeHandler) bool {
	return h.Features != nil && h.Features.UserNamespaces != nil && *h.Features.UserNamespaces
}
