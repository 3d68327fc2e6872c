package evidence

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Cluster is a live cluster that was looked at.
type Cluster struct {
	// Name is what its user calls it: the kubeconfig's context.
	Name string `json:"name"`
	// Server is the address of its API server.
	Server string `json:"server"`
	// UID is the UID of the Namespace kube-system, which no two clusters share;
	// "" when that could not be read.
	UID string `json:"uid,omitempty"`
	// Version is what the API server says of itself: v1.36.3+k3s1; "" when it did
	// not say.
	Version string `json:"version"`
	// User is who looked, as far as the credentials say, and whom they acted as.
	User string `json:"user,omitempty"`
	// Namespaces are those that were asked for; none means all. Objects that live
	// in no namespace were asked for in either case.
	Namespaces []string `json:"namespaces,omitempty"`
	// CollectedAt is when the looking began.
	CollectedAt time.Time `json:"collectedAt"`
	// Lists is what was listed.
	Lists []Listing `json:"lists"`
}

// A Listing is one resource that was listed, or asked for.
type Listing struct {
	// Resource is the resource and its group: deployments.apps.
	Resource string `json:"resource"`
	// Namespace is where, "" for everywhere.
	Namespace string `json:"namespace,omitempty"`
	Objects   int    `json:"objects"`
	// Error is why there is nothing or not everything, "" when all was read.
	Error string `json:"error,omitempty"`
}

// Sees reports whether a namespace is among those that were asked for; "" stands
// for all namespaces.
func (c *Cluster) Sees(namespace string) bool {
	return len(c.Namespaces) == 0 || slices.Contains(c.Namespaces, namespace)
}

// clusterWide are the facts whose objects live in no namespace and are listed whatever
// namespaces were asked for.
var clusterWide = []Fact{Admission, RuntimeClasses, Nodes, Volumes, Extensions}

// covers reports whether what was asked for holds all of a fact in a namespace.
func (c *Cluster) covers(f Fact, namespace string) (bool, string) {
	if c.Sees(namespace) || slices.Contains(clusterWide, f) {
		return true, ""
	}
	return false, fmt.Sprintf("only namespace %s was looked at (-n)", strings.Join(c.Namespaces, ", "))
}
