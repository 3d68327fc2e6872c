package cluster

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A template is one workload of a maker, with the pods that run of it.
type template struct {
	*evidence.Workload
	id     id
	labels map[string]string // without those that controllers add
	// same are the pods that are as the template says, shapes the others.
	same   shape
	shapes map[id]*shape
}

// A shape is what any number of running pods have in common. Clusters have many
// pods and few shapes: of a pod nothing is kept that another one has too.
type shape struct {
	// name is the first of the pods' names, so that it does not depend on the order
	// in which they are read.
	name string
	n    int
	// tokens are how many of them have the token of their ServiceAccount.
	tokens int
	pod    *corev1.PodSpec
	labels map[string]string
	// old is set when all of them are of an earlier revision of the template.
	old bool
	// workload is the first of the pods, of those that nobody made who was listed.
	workload *evidence.Workload
}

// join adds pods of the same shape.
func (s *shape) join(other *shape) {
	if s.name == "" || other.name < s.name {
		s.name = other.name
	}
	s.old = other.old && (s.old || s.n == 0)
	s.n += other.n
	s.tokens += other.tokens
}

// An id is the same for two pods when they differ in nothing that is looked at.
type id [sha256.Size]byte

// identify gives the id of a pod.
func identify(pod *corev1.PodSpec, labels map[string]string) id {
	text, err := (&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: *pod}).Marshal()
	if err != nil {
		return sha256.Sum256(fmt.Appendf(nil, "%p", pod)) // like no other
	}
	return sha256.Sum256(text)
}

// identifyNameless gives the id of a pod that speaks of itself by name as others do:
// as its host, in claims, in labels, and in variables that its template has not.
func identifyNameless(pod *corev1.PodSpec, labels map[string]string, name string, written *corev1.PodSpec) id {
	blank := func(s string) string { return strings.ReplaceAll(s, name, "*") }
	whole := pod
	own := func() *corev1.PodSpec {
		if pod == whole {
			pod = pod.DeepCopy()
		}
		return pod
	}
	if whole.Hostname == name {
		own().Hostname = ""
	}
	for i := range whole.Volumes {
		if c := whole.Volumes[i].PersistentVolumeClaim; c != nil && strings.Contains(c.ClaimName, name) {
			own().Volumes[i].PersistentVolumeClaim.ClaimName = blank(c.ClaimName)
		}
	}
	for i := range whole.Containers {
		for j, e := range whole.Containers[i].Env {
			if strings.Contains(e.Value, name) && !slices.Contains(variables(written, whole.Containers[i].Name), e) {
				own().Containers[i].Env[j].Value = blank(e.Value)
			}
		}
	}
	for key, value := range labels {
		if strings.Contains(value, name) {
			labels = maps.Clone(labels)
			labels[key] = blank(value)
		}
	}
	return identify(pod, labels)
}

// variables are those of a container of a pod.
func variables(pod *corev1.PodSpec, container string) []corev1.EnvVar {
	for i := range pod.Containers {
		if pod.Containers[i].Name == container {
			return pod.Containers[i].Env
		}
	}
	return nil
}

// running is how many pods run of a template.
func (t *template) running() int {
	n := t.same.n
	for _, s := range t.shapes {
		n += s.n
	}
	return n
}

// tokens is how many of them have the token of their ServiceAccount.
func (t *template) tokens() int {
	n := t.same.tokens
	for _, s := range t.shapes {
		n += s.tokens
	}
	return n
}

// others are the shapes of pods that are not as the template says, by name.
func (t *template) others() []*shape { return byName(t.shapes) }

func byName(shapes map[id]*shape) []*shape {
	return slices.SortedFunc(maps.Values(shapes), func(a, b *shape) int { return strings.Compare(a.name, b.name) })
}

// prepare computes what pods are compared with.
func (t *template) prepare() {
	if t.labels == nil {
		t.labels = withoutAdded(maps.Clone(t.PodLabels))
		t.id = identify(t.Pod, t.labels)
	}
}

// made reports whether a pod needs no more looking at: it has ended, or has been put
// to the object that made it.
func (o *owners) made(pod *corev1.Pod) bool {
	controller := controllerOf(pod)
	if controller == nil {
		return false
	}
	if ended(pod) {
		return true
	}
	m := o.owner(controller, pod.Namespace)
	if m == nil {
		return false
	}
	spec := pod.Spec // a pointer into the Pod would keep all of it
	m.take(&shape{name: pod.Name, n: 1, pod: &spec, labels: pod.Labels})
	return true
}

// controllerOf is what made a pod and looks after it. A static pod was written by a
// person, into a file of its node: the kubelet shows it under its node's name.
func controllerOf(pod *corev1.Pod) *metav1.OwnerReference {
	if _, static := pod.Annotations[corev1.MirrorPodAnnotationKey]; static {
		return nil
	}
	return metav1.GetControllerOf(pod)
}

// longestGrace is the grace, in seconds, within which a pod that is being deleted is
// about to stop. Who deletes a pod may give it years.
const longestGrace = 3600

// ended reports whether a pod's containers run no more, or are about to stop.
func ended(pod *corev1.Pod) bool {
	leaving := pod.DeletionTimestamp != nil && (pod.DeletionGracePeriodSeconds == nil || *pod.DeletionGracePeriodSeconds <= longestGrace)
	return leaving || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// take counts pods that a maker made, and keeps their shape when they are not what
// its template says.
func (m *maker) take(s *shape) {
	t := m.nearest(s)
	if hasToken(s.pod) {
		s.tokens = s.n
	}
	s.old = m.revision != "" && s.labels[m.revisionLabel] != m.revision
	s.labels = withoutAdded(s.labels)
	m.liken(s.pod, t)
	if identify(s.pod, s.labels) == t.id {
		t.same.join(s)
		return
	}
	key := identifyNameless(s.pod, s.labels, s.name, t.Pod)
	if known := t.shapes[key]; known != nil {
		known.join(s)
		return
	}
	if maps.Equal(s.labels, t.labels) && len(differences(t.Workload, t.Pod, s.pod)) == 0 {
		t.same.join(s)
		return
	}
	if t.shapes == nil {
		t.shapes = map[id]*shape{}
	}
	t.shapes[key] = s
}

// nearest is the template that pods were made from, as far as can be told: the one
// that they are like, else the one that shares the most container names.
func (m *maker) nearest(s *shape) *template {
	for _, t := range m.templates {
		t.prepare()
	}
	if len(m.templates) == 1 {
		return m.templates[0]
	}
	best, most := m.templates[0], -1
	for _, t := range m.templates {
		if n := sharedContainers(t.Pod, s.pod); n > most {
			best, most = t, n
		}
		pod, labels := s.pod.DeepCopy(), withoutAdded(maps.Clone(s.labels))
		if m.liken(pod, t); identify(pod, labels) == t.id {
			return t
		}
	}
	return best
}

func sharedContainers(a, b *corev1.PodSpec) (n int) {
	for i := range a.Containers {
		if slices.ContainsFunc(b.Containers, func(c corev1.Container) bool { return c.Name == a.Containers[i].Name }) {
			n++
		}
	}
	return n
}

// match finds the template of a top maker that a template below it, or one of its
// own, comes from, and whether it is the same.
func (m *maker) match(t *template) (i int, same bool) {
	if i := slices.Index(m.templates, t); i >= 0 {
		return i, true
	}
	s := &shape{pod: t.Pod.DeepCopy(), labels: withoutAdded(maps.Clone(t.PodLabels))}
	near := m.nearest(s)
	m.liken(s.pod, near)
	same = identify(s.pod, s.labels) == near.id ||
		maps.Equal(s.labels, near.labels) && len(differences(near.Workload, near.Pod, s.pod)) == 0
	return slices.Index(m.templates, near), same
}

// A crowdKey tells crowds apart, by what they have instead of names.
type crowdKey struct {
	namespace, generated string
	controller           types.UID
}

// crowdOf is the crowd of objects that were created under one generated name or else
// by one controller.
func crowdOf(namespace, generated string, controller *metav1.OwnerReference) crowdKey {
	if generated != "" || controller == nil {
		return crowdKey{namespace: namespace, generated: generated}
	}
	return crowdKey{namespace: namespace, controller: controller.UID}
}

// generatedName is the beginning of a name that the API server completed: one that
// no object can have as its whole name.
func generatedName(o metav1.Object) string {
	if name := o.GetGenerateName(); strings.HasSuffix(name, "-") {
		return name
	}
	return ""
}

// A crowd is pods of one maker that was not listed, or pods that were created under
// a name to be completed. They come and go under random names: the findings about
// them are told by what is the same of all.
type crowd struct {
	controller           *metav1.OwnerReference
	namespace, generated string
	shapes               map[id]*shape
}

// gathers reports whether a pod is one of many that differ by name alone.
func gathers(pod *corev1.Pod) bool { return controllerOf(pod) != nil || generatedName(pod) != "" }

// gather adds a pod to its crowd.
func (o *owners) gather(ref *evidence.Ref, pod *corev1.Pod, w *evidence.Workload) {
	controller := controllerOf(pod)
	key := crowdKey{namespace: ref.Namespace, generated: generatedName(pod)}
	if controller != nil {
		key.controller = controller.UID // it may be listed yet
	}
	c := o.crowds[key]
	if c == nil {
		c = &crowd{controller, ref.Namespace, key.generated, map[id]*shape{}}
		if o.crowds == nil {
			o.crowds = map[crowdKey]*crowd{}
		}
		o.crowds[key] = c
		o.order = append(o.order, c)
	}
	w.Ref, w.Pod.NodeName = ref, ""
	s := &shape{name: ref.Name, n: w.Running, tokens: w.Tokens, pod: w.Pod, labels: w.PodLabels, workload: w}
	alike := identifyNameless(s.pod, withoutAdded(maps.Clone(s.labels)), s.name, &corev1.PodSpec{})
	c.add(alike, s)
}

func (c *crowd) add(alike id, s *shape) {
	if known := c.shapes[alike]; known != nil {
		known.join(s)
		return
	}
	c.shapes[alike] = s
}

// together puts the crowds that are reported under one name into one.
func together(crowds []*crowd) (list []*crowd) {
	byKey := map[crowdKey]*crowd{}
	for _, c := range crowds {
		key := crowdOf(c.namespace, c.generated, c.controller)
		into := byKey[key]
		if into == nil {
			byKey[key] = c
			list = append(list, c)
			continue
		}
		for alike, s := range c.shapes {
			into.add(alike, s)
		}
	}
	return list
}

func (c *crowd) sorted() []*shape { return byName(c.shapes) }

// workloads are the pods of a crowd, one for each shape, under one name: the
// beginning of their names where the API server completed it, else the first.
func (c *crowd) workloads() (*evidence.Ref, []*evidence.Workload) {
	shapes := c.sorted()
	ref := shapes[0].workload.Ref
	ref.Name = shapes[0].name
	if c.generated != "" {
		ref.Name = c.generated
	}
	if c.controller != nil {
		ref.Owner = c.controller.Kind + " " + c.controller.Name
	}
	var list []*evidence.Workload
	for _, s := range shapes {
		w := s.workload
		w.Running, w.Tokens = s.n, s.tokens
		if s.name != ref.Name {
			w.Instance = s.name
		}
		list = append(list, w)
	}
	return ref, list
}
