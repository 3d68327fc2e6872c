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

// spaces returns the namespaces that are created or that workloads run in, by name:
// of a live cluster those that were asked for. One that is being deleted, with nothing
// left in it that runs, lets nothing in any more.
func spaces(s *check.Scan) []*space {
	byName := make(map[string]*space, len(s.Namespaces))
	of := func(name string) *space {
		if byName[name] == nil {
			byName[name] = &space{name: name}
		}
		return byName[name]
	}
	for _, n := range s.Namespaces {
		if s.Cluster == nil || s.Cluster.Sees(n.Name) {
			of(n.Name).object = n
		}
	}
	for _, w := range s.Workloads {
		if w.Namespace != "" {
			sp := of(w.Namespace)
			sp.workloads = append(sp.workloads, w)
		}
	}
	var list []*space
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		if sp := byName[name]; s.Cluster == nil || !sp.leaving(s) {
			list = append(list, sp)
		}
	}
	return list
}

func (s *space) leaving(scan *check.Scan) bool {
	if s.object == nil || s.object.Value.DeletionTimestamp == nil || len(s.workloads) > 0 {
		return false
	}
	ok, _ := scan.Complete(evidence.Workloads, s.name)
	return ok
}

// unseen says why the Namespace itself is not known.
func (s *space) unseen(r *check.Run) string {
	if r.Cluster != nil {
		return "the Namespace itself was not read"
	}
	return "the files do not create it"
}

// absent records that the namespace lacks something. Where not all of it was seen,
// nobody knows.
func (s *space) absent(r *check.Run, f evidence.Fact, p check.Problem) {
	if ok, why := r.Complete(f, s.name); !ok {
		r.Unknown(s.scope(), why)
		return
	}
	if s.object == nil {
		r.Unknown(s.scope(), s.unseen(r))
		return
	}
	r.Judge(s.object.Ref, []check.Problem{p})
}

// inUse leaves out the namespace default of a live cluster while nothing runs in
// it: Kubernetes makes it, and nobody has to dress it up.
func inUse(s *check.Scan, list []*space) []*space {
	return slices.DeleteFunc(list, func(sp *space) bool { return idleDefault(s, sp) })
}

func idleDefault(s *check.Scan, sp *space) bool {
	return s.Cluster != nil && sp.name == corev1.NamespaceDefault && len(sp.workloads) == 0
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
