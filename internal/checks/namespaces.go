package checks

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A space is a namespace with what stands in it.
type space struct {
	name string
	// object is nil when the Namespace itself was not seen.
	object    *evidence.Object[corev1.Namespace]
	workloads []*evidence.Workload
}

// scope names the namespace in an Unknown.
func (s *space) scope() string { return "namespace " + s.name }

// ref is the Namespace, nil when it was not seen.
func (s *space) ref() *evidence.Ref {
	if s.object == nil {
		return nil
	}
	return s.object.Ref
}

// spaces returns the namespaces that are created or that workloads run in, by name.
func spaces(s *check.Scan) []*space {
	byName := make(map[string]*space, len(s.Namespaces))
	of := func(name string) *space {
		if byName[name] == nil {
			byName[name] = &space{name: name}
		}
		return byName[name]
	}
	for _, n := range s.Namespaces {
		of(n.Name).object = n
	}
	for _, w := range s.Workloads {
		if w.Namespace != "" {
			sp := of(w.Namespace)
			sp.workloads = append(sp.workloads, w)
		}
	}
	names := slices.Sorted(maps.Keys(byName))
	list := make([]*space, len(names))
	for i, name := range names {
		list[i] = byName[name]
	}
	return list
}

// userSpaces leaves out the namespaces of the platform: Kubernetes' own and those
// that the user says belong to it. The prefix kube- alone makes none of them.
func userSpaces(s *check.Scan) []*space {
	return slices.DeleteFunc(spaces(s), func(sp *space) bool { return !isUserNamespace(s, sp.name) })
}

func isUserNamespace(s *check.Scan, name string) bool {
	return !isSystemNamespace(name) && !slices.Contains(s.Settings.SystemNamespaces, name)
}

// isSystemNamespace reports whether Kubernetes itself makes the namespace for its
// own parts. The fourth that it makes, default, is for users.
func isSystemNamespace(name string) bool {
	return name == "kube-system" || name == "kube-public" || name == "kube-node-lease"
}

// listed writes names as a sentence does: a, b and c.
func listed(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
