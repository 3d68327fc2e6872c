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

// UnsupportedRelease reports an API server and kubelets of Kubernetes releases
// that get no fixes any more (guide: Upgrading and application security practices).
var UnsupportedRelease = &check.Check{
	ID:             "unsupported-release",
	Title:          "Kubernetes release is no longer supported",
	Recommendation: "UPG-01",
	Severity:       guide.High,
	Remedy:         "upgrade one minor release at a time, the control plane first",
	Needs:          []evidence.Fact{evidence.Nodes, evidence.Namespaces},
	Leaves:         check.Rest{What: "whether these are the newest patches, and no advisory is open", To: []guide.Evidence{guide.Vulnerabilities}},
	Live:           "which releases the API server and the kubelets run",
	Doc: `A release of Kubernetes gets fixes for about fourteen months. Flaws that are found
later stay open in it, and are public.

Looked at are the version that the API server says of itself and the kubelet's of
every node, against the end dates that the Kubernetes project gave its releases, on
the day on which the cluster was looked at. These dates are part of this program and
as of a day of their own; once they are older than half a year the answer says so. A
release that is newer than the list is not judged. Where the version shows a build of
EKS or GKE the finding is medium: these providers support releases longer, for a
price. Whether the newest patch is installed is not looked at.

    kubectl version
    kubectl get nodes -o wide
`,
	Run: unsupportedRelease,
}

func unsupportedRelease(r *check.Run) {
	sayAge(r)
	if problems, known := releaseProblems(r, "", "the API server", r.Cluster.Version); known {
		judgeCluster(r, problems...)
	}
	for _, n := range r.Nodes {
		v := n.Value.Status.NodeInfo.KubeletVersion
		if problems, known := releaseProblems(r, n.String(), fmt.Sprintf("the kubelet of node %q", n.Name), v); known {
			for i := range problems {
				problems[i].Path = kubeletVersion
			}
			r.Judge(n.Ref, problems)
		}
	}
}

var kubeletVersion = evidence.NewPath("status", "nodeInfo", "kubeletVersion")

// releaseProblems judges one version; known is false when nothing can be said of it.
func releaseProblems(r *check.Run, scope, who, version string) (problems []check.Problem, known bool) {
	v, err := evidence.ParseVersion(version)
	if err != nil {
		r.Unknown(scope, who+" does not say which release it runs")
		return nil, false
	}
	state, end := kubernetesSupport(v, r.Cluster.CollectedAt)
	switch state {
	case supported:
		return nil, true
	case unknownSupport:
		r.Unknown(scope, fmt.Sprintf("Kubernetes %s is not in the list of releases as of %s", v, releasesKnown.Format(time.DateOnly)))
		return nil, false
	}
	p := check.Problem{
		Value:   version,
		Message: fmt.Sprintf("%s runs Kubernetes %s, whose support ended on %s", who, version, end.Format(time.DateOnly)),
	}
	if provider := extendedSupport(version); provider != "" {
		p.Severity, p.SeverityReason = guide.Medium, provider+" can support a release longer than the Kubernetes project does"
	}
	return []check.Problem{p}, true
}

// extendedSupport names the provider of a build that may be supported for longer.
func extendedSupport(version string) string {
	switch {
	case strings.Contains(version, "-eks-"):
		return "EKS"
	case strings.Contains(version, "-gke."):
		return "GKE"
	}
	return ""
}

// VersionSkew reports kubelets that are further from the API server than
// Kubernetes supports (version skew policy; guide: Upgrading and application
// security practices).
var VersionSkew = &check.Check{
	ID:             "version-skew",
	Title:          "kubelet is too far from the API server's version",
	Recommendation: "UPG-01",
	Severity:       guide.Medium,
	Remedy:         "bring the node's kubelet to the API server's minor release, or to one that is at most three older",
	Needs:          []evidence.Fact{evidence.Nodes},
	Live:           "how far the kubelets are from the API server",
	Doc: `Kubernetes is tested with kubelets that are not newer than the API server, and up to
three minor releases older; kubelets before 1.25 up to two. Outside of that a field
that the API server lets in may mean nothing to the kubelet: a security context that
an old kubelet does not know is not applied.

Looked at is the kubelet's version of every node, against the API server's. With
several API servers of different versions, only the one that answered is known.

    kubectl get nodes -o wide
`,
	Run: versionSkew,
}

func versionSkew(r *check.Run) {
	server, err := evidence.ParseVersion(r.Cluster.Version)
	if err != nil {
		r.Unknown("", "the API server does not say which release it runs")
		return
	}
	for _, n := range r.Nodes {
		text := n.Value.Status.NodeInfo.KubeletVersion
		kubelet, err := evidence.ParseVersion(text)
		if err != nil {
			r.Unknown(n.String(), "its kubelet does not say which release it runs")
			continue
		}
		r.Judge(n.Ref, skewProblems(n, server, kubelet))
	}
}

func skewProblems(n *evidence.Object[corev1.Node], server, kubelet evidence.Version) []check.Problem {
	p := check.Problem{Path: kubeletVersion, Value: n.Value.Status.NodeInfo.KubeletVersion}
	behind := server.Minor - kubelet.Minor
	allowed := 3
	if !kubelet.AtLeast(25) {
		allowed = 2
	}
	switch {
	case server.Major != kubelet.Major || behind > allowed:
		p.Message = fmt.Sprintf("the kubelet of node %q runs %s, more than %d minor releases behind the API server's %s", n.Name, kubelet, allowed, server)
	case behind < 0:
		p.Message = fmt.Sprintf("the kubelet of node %q runs %s and is newer than the API server's %s", n.Name, kubelet, server)
	default:
		return nil
	}
	return []check.Problem{p}
}
