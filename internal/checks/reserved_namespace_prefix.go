package checks

import (
	"fmt"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ReservedNamespacePrefix reports namespaces whose name begins with kube- and
// that Kubernetes does not make itself (guide: Appendix D).
var ReservedNamespacePrefix = &check.Check{
	ID:             "reserved-namespace-prefix",
	Title:          "namespace name uses the reserved prefix kube-",
	Recommendation: "NS-03",
	Severity:       guide.Info,
	Remedy:         "choose a name that does not begin with kube-",
	Needs:          []evidence.Fact{evidence.Namespaces},
	Doc:            reservedNamespacePrefixDoc,
	Run:            reservedNamespacePrefix,
}

const reservedNamespacePrefixDoc = `The prefix kube- is reserved for namespaces of Kubernetes. A later release
may make a namespace of that name, and policies that leave out the system's
namespaces by prefix leave out this one too.

Looked at are Namespace objects, and the namespaces that other objects name.
kube-system, kube-public and kube-node-lease are Kubernetes' own, and kube-flannel
is that of a network plugin. A namespace cannot be renamed: make one with another name
and move its objects.

    apiVersion: v1
    kind: Namespace
    metadata:
      name: monitoring   # not kube-monitoring
`

func reservedNamespacePrefix(r *check.Run) {
	for _, ns := range r.Namespaces {
		r.Judge(ns.Ref, reservedName(ns.Name, evidence.NewPath("metadata", "name")))
	}
	if r.Cluster != nil {
		return // it has no other namespaces
	}
	for _, g := range r.Gaps {
		if !g.Touches(evidence.Namespaces, "") {
			r.Unknown("", "what was not read may name other namespaces: "+g.Reason)
		}
	}
	told := map[string]bool{}
	for _, o := range r.Objects {
		if o.Namespace == "" || o.NamespaceAssumed || told[o.Namespace] || r.Namespace(o.Namespace) != nil {
			continue
		}
		told[o.Namespace] = true
		r.Judge(o, reservedName(o.Namespace, evidence.NewPath("metadata", "namespace")))
	}
}

func reservedName(name string, at evidence.Path) []check.Problem {
	if !strings.HasPrefix(name, "kube-") || isSystemNamespace(name) || name == flannelNamespace {
		return nil
	}
	return []check.Problem{{
		Path:    at,
		Value:   name,
		Message: fmt.Sprintf("namespace %q uses the prefix that is reserved for Kubernetes", name),
	}}
}

// flannelNamespace is where the network plugin Flannel installs itself.
const flannelNamespace = "kube-flannel"
