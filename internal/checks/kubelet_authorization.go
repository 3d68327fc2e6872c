package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// KubeletAuthorization reports kubelets whose requests RBAC does not decide about
// (guide: Role-based access control).
var KubeletAuthorization = &check.Check{
	ID:             "kubelet-authorization",
	Title:          "kubelet does not ask whether a request is allowed",
	Recommendation: "RBAC-01",
	Severity:       guide.Critical,
	Remedy:         "set authorization.mode to Webhook in the kubelet's configuration",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "how the kubelets authorize",
	Doc: `Roles say who may run commands in containers, but the kubelet has to ask. With the mode
AlwaysAllow everyone whom it authenticates, and that is every service account where tokens
are accepted, has all of its API.

Looked at is authorization.mode in force, after file, drop-ins and flags. Not set, it is
Webhook for a kubelet with a configuration file and AlwaysAllow for one that only has
flags. kubelet-api-access judges the same field for the port's own row of the guide.

    apiVersion: kubelet.config.k8s.io/v1beta1
    kind: KubeletConfiguration
    authorization: {mode: Webhook}
`,
	Run: eachKubelet(func(n *node, c *evidence.Component) { n.kubeletAuthorization(c) }),
}
