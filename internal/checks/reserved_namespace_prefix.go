package checks

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

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
	Run:            check.Each(func(s *evidence.Snapshot) []*evidence.Object[corev1.Namespace] { return s.Namespaces }, reservedNamespacePrefix),
}

const reservedNamespacePrefixDoc = `The prefix kube- is reserved for namespaces of Kubernetes. A later release
may make a namespace of that name, and policies that leave out the system's
namespaces by prefix leave out this one too.

Looked at are Namespace objects. kube-system, kube-public and kube-node-lease
are Kubernetes' own. A namespace cannot be renamed: make one with another name
and move its objects.

    apiVersion: v1
    kind: Namespace
    metadata:
      name: monitoring   # not kube-monitoring
`

func reservedNamespacePrefix(_ *check.Scan, ns *evidence.Object[corev1.Namespace]) []check.Problem {
	if !strings.HasPrefix(ns.Name, "kube-") || isSystemNamespace(ns.Name) {
		return nil
	}
	return []check.Problem{{
		Path:    evidence.NewPath("metadata", "name"),
		Value:   ns.Name,
		Message: fmt.Sprintf("namespace %q uses the prefix that is reserved for Kubernetes", ns.Name),
	}}
}
