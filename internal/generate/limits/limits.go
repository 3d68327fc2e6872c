// Package limits writes for each namespace a LimitRange that admits all that is there,
// and a ResourceQuota that holds it with rollouts and headroom. Each number comes with
// what it is derived from: requests and limits as they are written or run, replicas and
// the maxima of autoscalers, measured use, or a stated default.
//
// Before they are returned both are tried on every pod, as the API server's LimitRanger
// and its quota would; what would be refused is said. It reads nothing but evidence. What
// no object shows, such as what is created next week, is not guessed: that is what the
// headroom is for.
package limits

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// Options say what to write.
type Options struct {
	// Namespaces are those to write for; none means all that are not Kubernetes' own.
	Namespaces []string
	// Headroom is what is added to what is there, in percent of it.
	Headroom int
}

// DefaultHeadroom is the headroom where the user says none.
const DefaultHeadroom = 50

// A Result is what was found and made.
type Result struct {
	Namespaces []*Namespace // by name
	headroom   int
	live       bool
}

// A Namespace is what was found about one, and what is proposed for it.
type Namespace struct {
	Name string
	// LimitRange and Quota are nil where nothing can be proposed.
	LimitRange *corev1.LimitRange
	Quota      *corev1.ResourceQuota
	// Doubts are why there may be more than was seen.
	Doubts []string
	// Refused are pods that the LimitRange or the quota would refuse all the same, and why.
	Refused []string
	// Bare are containers that leave out a request or a limit: the LimitRange fills it in.
	Bare []string

	workloads  []*load
	object     bool // the Namespace itself was seen
	limitNotes []string
	quotaNotes []string
}

// A load is a workload with the pods that there may be of it at once.
type load struct {
	*evidence.Workload
	// others are what runs instead of it, with what was injected.
	others []*evidence.Workload
	pods   int64
	// why says how many pods were counted, in words.
	why string
}

// system are the namespaces that Kubernetes makes for its own parts: a bound there stops
// the control plane or an upgrade.
var system = [...]string{"kube-system", "kube-public", "kube-node-lease"}

// Generate makes a LimitRange and a ResourceQuota for each namespace that is created or
// that workloads stand in. The snapshot has to be read with the objects' JSON.
func Generate(snap *evidence.Snapshot, o Options) (*Result, error) {
	r := &Result{headroom: o.Headroom, live: snap.Cluster != nil}
	if o.Headroom < 0 || o.Headroom > 1000 {
		return nil, fmt.Errorf("headroom %d: want a percentage of 0 to 1000", o.Headroom)
	}
	for _, name := range o.Namespaces {
		if slices.Contains(system[:], name) {
			return nil, fmt.Errorf("namespace %s: Kubernetes' own parts are in it, and bounds there could stop the control plane", name)
		}
	}
	scale := scalers(snap)
	for _, n := range namespaces(snap) {
		if slices.Contains(system[:], n.Name) || len(o.Namespaces) > 0 && !slices.Contains(o.Namespaces, n.Name) {
			continue
		}
		n.doubt(snap)
		if s, unread := scale[target{namespace: n.Name}]; unread {
			n.say("%s was not read whole: what it scales, and how far, is not known", s.ref)
		}
		for _, w := range n.workloads {
			w.pods, w.why = w.count(snap, scale, n)
		}
		slices.Sort(n.Doubts)
		n.Doubts = slices.Compact(n.Doubts)
		if !n.unseen() {
			n.limit(snap, o.Headroom)
			n.quota(snap, o.Headroom)
		}
		r.Namespaces = append(r.Namespaces, n)
	}
	if len(r.Namespaces) == 0 {
		return nil, fmt.Errorf("no namespace %sto write for: none is created, and no workload names one", strings.Join(append(o.Namespaces, ""), " "))
	}
	return r, nil
}

// unseen reports whether nothing was seen there, and not all was looked at.
func (n *Namespace) unseen() bool { return len(n.Doubts) > 0 && len(n.workloads) == 0 }

// namespaces are those that are created or that workloads stand in, by name.
func namespaces(snap *evidence.Snapshot) []*Namespace {
	byName := map[string]*Namespace{}
	of := func(name string) *Namespace {
		if byName[name] == nil {
			byName[name] = &Namespace{Name: name}
		}
		return byName[name]
	}
	for _, ns := range snap.Namespaces {
		if snap.Cluster == nil || snap.Cluster.Sees(ns.Name) {
			of(ns.Name).object = true
		}
	}
	loads := map[*evidence.Workload]*load{}
	for _, w := range snap.Workloads {
		if w.Namespace == "" || w.Template != nil {
			continue
		}
		loads[w] = &load{Workload: w}
		n := of(w.Namespace)
		n.workloads = append(n.workloads, loads[w])
	}
	for _, w := range snap.Workloads {
		if l := loads[w.Template]; l != nil {
			l.others = append(l.others, w)
		}
	}
	list := slices.SortedFunc(maps.Values(byName), func(a, b *Namespace) int { return cmp.Compare(a.Name, b.Name) })
	for _, n := range list {
		slices.SortStableFunc(n.workloads, func(a, b *load) int {
			return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Instance, b.Instance))
		})
	}
	return list
}

// doubt collects why not everything in the namespace is known.
func (n *Namespace) doubt(snap *evidence.Snapshot) {
	if whole, why := snap.Complete(evidence.Workloads, n.Name); !whole {
		n.say("%s", why)
	}
	for _, w := range n.workloads {
		switch {
		case w.Partial != "" && w.Running == 0:
			n.say("%s does not hold the whole pod: %s", w.Ref, w.Partial)
		case w.ByShape:
			n.say("%s is of a kind that is not known: its pod was found by its shape", w.Ref)
		}
		if w.NamespaceAssumed {
			n.say("%s names no namespace: the one it gets is chosen when it is applied (-n)", w.Ref)
		}
	}
}

func (n *Namespace) say(format string, args ...any) {
	n.Doubts = append(n.Doubts, fmt.Sprintf(format, args...))
}

// all are the pods of a workload: as it is written, and as they run.
func (l *load) all() []*evidence.Workload {
	return append([]*evidence.Workload{l.Workload}, l.others...)
}
