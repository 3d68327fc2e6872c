package cluster

import (
	"cmp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// owners puts pods, and what makes pods, to the object that a person wrote. An
// owner reference is what the object itself says: it names an owner only when that
// one was listed, and in the same namespace.
type owners struct {
	makers []*maker
	byUID  map[types.UID]*maker
	// above are the controllers of custom objects that carry no pods, but may have
	// made what does.
	above map[types.UID]*metav1.OwnerReference
	// crowds are pods whose maker is not known, or not yet.
	crowds map[crowdKey]*crowd
	order  []*crowd
}

// A maker is an object that carries a template of pods.
type maker struct {
	ref        *evidence.Ref
	controller *metav1.OwnerReference
	// generated is the beginning of a name that the API server completed.
	generated string
	templates []*template
	custom    bool
	// revisionLabel is the label of its pods that says which revision of the template
	// they are of, and revision the present one; "" when neither is known.
	revisionLabel, revision string
	// claims are the names of the volumes that a StatefulSet's controller adds.
	claims []string
	// finished is set for a Job that runs no more.
	finished bool
	// below are the makers that it is the top of, in the order they came.
	below []*maker
}

// longestChain is how many owners there may be one above the other. Knative's
// Services are four above their pods; more than this is a circle or a prank.
const longestChain = 12

// follow adds an object without pods that others may be owned by.
func (o *owners) follow(meta metav1.Object) {
	if c := metav1.GetControllerOf(meta); c != nil && meta.GetUID() != "" {
		if o.above == nil {
			o.above = map[types.UID]*metav1.OwnerReference{}
		}
		o.above[meta.GetUID()] = c
	}
}

// add adds an object that carries pods; typed is nil for one of a custom kind.
func (o *owners) add(ref *evidence.Ref, meta metav1.Object, typed any, list []*evidence.Workload) {
	m := &maker{ref: ref, controller: metav1.GetControllerOf(meta), generated: generatedName(meta), custom: typed == nil}
	for _, w := range list {
		m.templates = append(m.templates, &template{Workload: w})
	}
	m.describe(typed)
	o.makers = append(o.makers, m)
	if uid := meta.GetUID(); uid != "" {
		if o.byUID == nil {
			o.byUID = map[types.UID]*maker{}
		}
		o.byUID[uid] = m
	}
}

// describe reads what a controller does to the template besides copying it.
func (m *maker) describe(typed any) {
	switch v := typed.(type) {
	case *appsv1.StatefulSet:
		m.revisionLabel, m.revision = appsv1.StatefulSetRevisionLabel, v.Status.UpdateRevision
		for i := range v.Spec.VolumeClaimTemplates {
			m.claims = append(m.claims, v.Spec.VolumeClaimTemplates[i].Name)
		}
	case *appsv1.DaemonSet:
		m.revisionLabel, m.revision = "pod-template-generation", v.Annotations[appsv1.DeprecatedTemplateGeneration]
	case *batchv1.Job:
		m.finished = slices.ContainsFunc(v.Status.Conditions, func(c batchv1.JobCondition) bool {
			return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
		})
	}
}

// owner is the listed object that a reference from a namespace names, nil when
// there is none.
func (o *owners) owner(r *metav1.OwnerReference, namespace string) *maker {
	if r == nil {
		return nil
	}
	m := o.byUID[r.UID]
	if m == nil || m.ref.Namespace != "" && m.ref.Namespace != namespace {
		return nil
	}
	return m
}

// top is the highest listed object above a maker, or itself.
func (o *owners) top(m *maker) *maker {
	top, up := m, m.controller
	for range longestChain {
		if up == nil {
			return top
		}
		next := o.owner(up, m.ref.Namespace)
		if next == nil {
			up = o.above[up.UID]
			continue
		}
		top, up = next, next.controller
	}
	return m
}

// Finish adds the workloads. Nothing may be added after it.
func (b *Builder) Finish() {
	o := &b.owners
	var crowds []*crowd
	for _, c := range o.order {
		m := o.owner(c.controller, c.namespace)
		if m == nil {
			crowds = append(crowds, c)
			continue
		}
		for _, s := range c.sorted() {
			m.take(s)
		}
	}
	b.spend()
	for _, m := range o.tops() {
		if !m.superseded() {
			b.snap.Add(m.ref, m.workloads())
		}
	}
	for _, c := range together(crowds) {
		ref, list := c.workloads()
		b.snap.Add(ref, list)
	}
	b.owners = owners{}
	b.addHosts()
}

// tops are the makers that nobody made who was listed, with those below them.
func (o *owners) tops() []*maker {
	var tops []*maker
	alike := map[crowdKey][]*maker{}
	for _, m := range o.makers {
		if top := o.top(m); top != m {
			top.below = append(top.below, m)
			continue
		}
		if m.controller != nil {
			m.ref.Owner = m.controller.Kind + " " + m.controller.Name
		}
		if m.ref.Kind == "Job" && (m.controller != nil || m.generated != "") {
			k := crowdOf(m.ref.Namespace, m.generated, m.controller)
			alike[k] = append(alike[k], m)
			if len(alike[k]) > 1 {
				continue
			}
		}
		tops = append(tops, m)
	}
	for i, m := range tops {
		if jobs := alike[crowdOf(m.ref.Namespace, m.generated, m.controller)]; m.ref.Kind == "Job" && len(jobs) > 0 {
			tops[i] = newest(jobs)
		}
	}
	return tops
}

// newest puts Jobs, made by the same unlisted owner or under the same generated
// name, to the youngest of them.
func newest(jobs []*maker) *maker {
	slices.SortFunc(jobs, func(a, b *maker) int {
		return cmp.Or(b.ref.Created.Compare(a.ref.Created), strings.Compare(a.ref.Name, b.ref.Name))
	})
	top := jobs[0]
	for _, m := range jobs[1:] {
		top.below = append(append(top.below, m), m.below...)
	}
	if top.generated != "" {
		for _, t := range top.templates {
			t.Instance = top.ref.Name
		}
		top.ref.Name = top.generated
	}
	return top
}

// superseded reports whether a maker is a ReplicaSet that a rollout left behind:
// nothing runs, and whoever made it makes no more of it.
func (m *maker) superseded() bool {
	t := m.templates[0]
	return m.ref.Kind == "ReplicaSet" && m.controller != nil && t.Replicas != nil && *t.Replicas == 0 && t.running() == 0
}

// retired reports whether a maker below m makes no more pods: a Job that has finished, a
// ReplicaSet that was left behind, what an operator has scaled to nothing, as Knative
// does with each revision.
func (m *maker) retired(below *maker) bool {
	replicas := below.templates[0].Replicas
	return below.finished || below.superseded() || m.custom && replicas != nil && *replicas == 0
}

// workloads are what is written in a top maker, each with what runs instead.
func (m *maker) workloads() []*evidence.Workload {
	runs := make([][]*evidence.Workload, len(m.templates))
	for _, maker := range slices.Concat([]*maker{m}, m.below) {
		for _, t := range maker.templates {
			if t.running() == 0 && (maker == m || m.retired(maker)) {
				continue
			}
			i, same := m.match(t)
			w := m.templates[i].Workload
			if t.running() == 0 && !same {
				t.prepare()
				runs[i] = append(runs[i], t.variant(w, maker.ref.Kind+" "+maker.ref.Name))
			}
			w.Running += t.running()
			w.Tokens += t.tokens()
			if t.same.n > 0 && same {
				w.Partial = "" // it is what runs
			}
			if t.same.n > 0 && !same {
				runs[i] = append(runs[i], t.variant(w, t.same.name))
			}
			for _, s := range t.others() {
				v := variant(w, s)
				v.Differs = maker.explain(w, t, s)
				runs[i] = append(runs[i], v)
			}
		}
	}
	var list []*evidence.Workload
	for i, t := range m.templates {
		slices.SortStableFunc(runs[i], func(a, b *evidence.Workload) int { return strings.Compare(a.Instance, b.Instance) })
		list = append(append(list, t.Workload), runs[i]...)
	}
	return list
}

// variant is what runs instead of a workload as it is written, or will run by what
// belongs to its object and has no pods now.
func variant(w *evidence.Workload, s *shape) *evidence.Workload {
	return &evidence.Workload{
		PodPath: w.PodPath, MetaPath: w.MetaPath,
		Pod: s.pod, PodLabels: s.labels, PodAnnotations: w.PodAnnotations,
		Running: s.n, Tokens: s.tokens, Instance: s.name, Template: w,
	}
}

// variant is a template below a workload that is not as it.
func (t *template) variant(w *evidence.Workload, instance string) *evidence.Workload {
	v := variant(w, &shape{name: instance, n: t.same.n, tokens: t.same.tokens, pod: t.Pod, labels: t.labels})
	v.PodAnnotations = t.PodAnnotations
	return v
}

// explain says what of a pod is not as a template of its maker, in a workload that
// the template may come from. Only the controllers of Kubernetes copy a template as
// it is, and only of its present revision the template is known.
func (m *maker) explain(w *evidence.Workload, t *template, s *shape) []evidence.Difference {
	if m.custom || s.old {
		return nil
	}
	return slices.Concat(differences(w, t.Pod, s.pod), labelDifferences(w, t.labels, s.labels))
}
