package cluster

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// owners puts pods, and what makes pods, to the object that a person wrote.
type owners struct {
	carriers []carried
	known    map[types.UID]bool
}

// A carried is one object that carries pods, not yet in the snapshot.
type carried struct {
	ref        *evidence.Ref
	controller types.UID
	list       []*evidence.Workload
}

func (w *owners) add(ref *evidence.Ref, o Object, list []*evidence.Workload) {
	c := carried{ref: ref, list: list}
	if o.Typed != nil {
		if w.known == nil {
			w.known = map[types.UID]bool{}
		}
		w.known[o.Typed.GetUID()] = true
		if owner := metav1.GetControllerOf(o.Typed); owner != nil {
			c.controller = owner.UID
		}
	}
	w.carriers = append(w.carriers, c)
}

// Finish adds the workloads. Nothing may be added after it.
func (b *Builder) Finish() {
	for _, c := range b.owners.carriers {
		if c.controller != "" && b.owners.known[c.controller] {
			continue
		}
		b.snap.Add(c.ref, c.list)
	}
	b.owners = owners{}
}
