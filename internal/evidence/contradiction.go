package evidence

import (
	"fmt"
	"reflect"
	"strings"
)

// Contradictions are objects that are written several times under one name and
// not alike, as a gap for each: only one of them can be in force, and nobody
// knows which. Asked are the kinds by which other objects are judged; of the
// others every writing is judged by itself.
func (s *Snapshot) Contradictions() []Gap {
	var gaps []Gap
	add := func(f Fact, scope string, first, other *Ref) {
		gaps = append(gaps, Gap{Fact: f, Scope: scope, Reason: fmt.Sprintf("%s is written at %s and otherwise at %s: which of them is in force is not known",
			first, first.place(), other.place())})
	}
	contradict(s.Namespaces, func(a, b *Ref) { add(Namespaces, a.Name, a, b) })
	contradict(s.ServiceAccounts, func(a, b *Ref) { add(ServiceAccounts, a.Namespace, a, b) })
	contradict(s.NetworkPolicies, func(a, b *Ref) { add(NetworkPolicies, a.Namespace, a, b) })
	contradict(s.LimitRanges, func(a, b *Ref) { add(LimitRanges, a.Namespace, a, b) })
	contradict(s.ResourceQuotas, func(a, b *Ref) { add(Quotas, a.Namespace, a, b) })
	contradict(s.RuntimeClasses, func(a, b *Ref) { add(RuntimeClasses, "", a, b) })
	contradict(s.AdmissionPolicies, func(a, b *Ref) { add(Admission, "", a, b) })
	contradict(s.AdmissionPolicyBindings, func(a, b *Ref) { add(Admission, "", a, b) })
	return gaps
}

func contradict[T any](objects []*Object[T], found func(first, other *Ref)) {
	type key struct{ namespace, name string }
	first := make(map[key]*Object[T], len(objects))
	for _, o := range objects {
		if strings.HasSuffix(o.Name, "-") {
			continue // a generateName: each gets a name of its own
		}
		k := key{o.Namespace, o.Name}
		switch same := first[k]; {
		case same == nil:
			first[k] = o
		case !reflect.DeepEqual(same.Value, o.Value):
			found(same.Ref, o.Ref)
		}
	}
}

// place is where the object begins, as readers of a report look for it.
func (r *Ref) place() string {
	at := r.Position(Path{})
	return fmt.Sprintf("%s:%d", at.File, at.Line)
}
