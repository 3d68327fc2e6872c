package checks

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

type nodeObject = evidence.Object[corev1.Node]

// object is the Node of a host, nil where none was read.
func (n *node) object() *nodeObject {
	i := slices.IndexFunc(n.Nodes, func(o *nodeObject) bool { return o.Name == n.Node })
	if i < 0 {
		return nil
	}
	return n.Nodes[i]
}

// packagesOf are the names of the packages that bring a component.
func packagesOf(component string) []string {
	switch component {
	case evidence.Containerd:
		return []string{"containerd.io", "containerd", "moby-containerd"}
	case evidence.CRIO:
		return []string{"cri-o"}
	case evidence.Kubelet:
		return []string{"kubelet"}
	}
	return nil
}

// releaseOf is the version of a component, as it says itself or as the package is that
// brought it.
func (n *node) releaseOf(c *evidence.Component) (text string, v evidence.Version, known bool) {
	if v, err := evidence.ParseVersion(c.Version); err == nil {
		return c.Version, v, true
	}
	for _, name := range packagesOf(c.Name) {
		for _, p := range n.System.Packages {
			upstream := p.Version[strings.IndexByte(p.Version, ':')+1:] // without the epoch
			if v, err := evidence.ParseVersion(upstream); p.Name == name && err == nil {
				return p.Version, v, true
			}
		}
	}
	return "", v, false
}

// sayAge says that a list of releases is old, once it was when the node was looked at.
func (n *node) sayAge(asOf time.Time) {
	if age := n.ReadAt.Sub(asOf); age > listsKeep {
		n.cannot("%s", listAge(asOf, age))
	}
}
