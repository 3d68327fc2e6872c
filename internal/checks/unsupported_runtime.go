package checks

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// UnsupportedRuntime reports nodes whose container runtime gets no fixes any more
// (guide: Upgrading and application security practices).
var UnsupportedRuntime = &check.Check{
	ID:             "unsupported-runtime",
	Title:          "container runtime is no longer supported",
	Recommendation: "UPG-02",
	Severity:       guide.Medium,
	Remedy:         "replace the node by one with a newer image, or upgrade its container runtime",
	Needs:          []evidence.Fact{evidence.Nodes},
	Leaves:         advisories,
	Live:           "which container runtimes the nodes run",
	Doc: `The runtime stands between a container and the node's kernel, and flaws in it have let
containers out more than once. A release that its makers no longer support does not
get the fix.

Looked at is the runtime that each node reports. Only releases of containerd have end
dates in this program, as of a day of their own; once they are older than half a year
the answer says so. CRI-O follows the releases of Kubernetes, which unsupported-release
judges; other runtimes are not judged. The finding ranks below the recommendation: a
distribution may still put fixes into a release that its makers gave up.

    kubectl get nodes -o wide
`,
	Run: unsupportedRuntime,
}

func unsupportedRuntime(r *check.Run) {
	sayAge(r)
	others := map[string]bool{}
	for _, n := range r.Nodes {
		text := n.Value.Status.NodeInfo.ContainerRuntimeVersion
		name, version, _ := strings.Cut(text, "://")
		v, err := evidence.ParseVersion(version)
		if name != "containerd" || err != nil {
			if !others[text] {
				others[text] = true
				r.Unknown(n.String(), fmt.Sprintf("how long its container runtime %q is supported is not known here", text))
			}
			continue
		}
		state, end := containerdSupport(v, r.Cluster.CollectedAt)
		if state == unknownSupport {
			r.Unknown(n.String(), fmt.Sprintf("containerd %s is not in the list of releases as of %s", v, releasesKnown.Format(time.DateOnly)))
			continue
		}
		r.Judge(n.Ref, runtimeProblems(n, state, end))
	}
}

func runtimeProblems(n *evidence.Object[corev1.Node], state support, end time.Time) []check.Problem {
	if state == supported {
		return nil
	}
	text := n.Value.Status.NodeInfo.ContainerRuntimeVersion
	return []check.Problem{{
		Path: evidence.NewPath("status", "nodeInfo", "containerRuntimeVersion"), Value: text,
		Message:        fmt.Sprintf("node %q runs %s, whose support ended on %s", n.Name, text, end.Format(time.DateOnly)),
		Severity:       guide.Medium,
		SeverityReason: "the node's distribution may still put fixes into the release",
	}}
}
