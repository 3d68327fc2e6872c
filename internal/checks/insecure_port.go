package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// InsecurePort passes API servers that no longer have a port without TLS and
// authentication: Kubernetes removed the flags in 1.24 (guide: Control plane
// hardening). Of older ones only the flags tell.
var InsecurePort = &check.Check{
	ID:             "insecure-port",
	Title:          "API server may serve a port without authentication",
	Recommendation: "CP-02",
	Severity:       guide.Critical,
	Remedy:         "set insecure-port to 0, or upgrade to 1.24 or later, which has no such port",
	Needs:          []evidence.Fact{evidence.Namespaces},
	Live:           "which version the API server is",
	Alone:          true,
	Doc: `On its insecure port an API server obeyed everyone who reached it, without TLS,
authentication or authorization.

Looked at is the version that the API server says of itself. Kubernetes 1.24 removed
the flags insecure-port and insecure-bind-address, so a later one has no such port.
An older one can be judged only by its command line.

    kubectl version
`,
	Run: insecurePort,
}

func insecurePort(r *check.Run) {
	v, err := evidence.ParseVersion(r.Cluster.Version)
	switch {
	case err != nil:
		r.Unknown("", "the API server does not say which release it runs")
	case v.AtLeast(24):
		judgeCluster(r)
	default:
		unlessSeen(r, fmt.Sprintf("whether the insecure port of the API server %s is off", v))
	}
}
