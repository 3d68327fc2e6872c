package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// SystemNamespace reports user workloads in the namespaces that Kubernetes made
// for itself (guide: Namespaces).
var SystemNamespace = &check.Check{
	ID:             "system-namespace",
	Title:          "user workload in a system namespace",
	Recommendation: "NS-02",
	Severity:       guide.Medium,
	Remedy:         "move the workload into a namespace of its own",
	Needs:          []evidence.Fact{evidence.Workloads},
	Doc:            systemNamespaceDoc,
	Run:            systemNamespace,
}

const systemNamespaceDoc = `kube-system, kube-public and kube-node-lease are for the parts of the
cluster. Rights there are wide and admission policies often leave these
namespaces out, so a workload in them runs with less control and beside
credentials that it has no business with.

Looked at are workloads in these three namespaces. The parts of Kubernetes and
the add-ons that their makers install there are known and pass: control plane,
kube-proxy, DNS, network plugins, storage drivers, metrics-server, cloud
controllers, device plugins, node and log agents. They are told by the labels of
the addon manager, by name and by image name. Another add-on that belongs there
needs an exception.

    metadata:
      name: report
      namespace: reporting   # not kube-system
`

func systemNamespace(r *check.Run) {
	assumed := 0
	for _, w := range r.Workloads {
		switch {
		case w.Template != nil: // it is the same object
		case w.NamespaceAssumed:
			assumed++
		case !isSystemNamespace(w.Namespace) || isSystemPart(w):
			r.Judge(w.Ref, nil)
		default:
			r.Judge(w.Ref, []check.Problem{{
				Path:    evidence.NewPath("metadata", "namespace"),
				Value:   w.Namespace,
				Message: fmt.Sprintf("%s %q runs in the system namespace %s and is no known part of the cluster", w.Kind, w.Name, w.Namespace),
			}})
		}
	}
	if assumed > 0 {
		r.Unknown("", fmt.Sprintf("%d workloads name no namespace: the one they get is chosen when they are applied (--namespace)", assumed))
	}
}
