package cluster

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A comparison gathers what of a running pod is not as written.
type comparison struct {
	w     *evidence.Workload
	found []evidence.Difference
}

// differences says what of a running pod, likened to its template, is not as the
// template says. The paths are those of w. Values that may be credentials are left
// out: variables, commands and their arguments.
func differences(w *evidence.Workload, written, running *corev1.PodSpec) []evidence.Difference {
	c := &comparison{w: w}
	was, is := &evidence.Workload{Pod: written, PodPath: w.PodPath}, &evidence.Workload{Pod: running, PodPath: w.PodPath}
	for now := range is.Containers() {
		before, ok := containerIn(was, now.List, now.Name)
		if !ok {
			c.add(evidence.Difference{Path: now.Path(), Container: now.Name, Field: now.List, Text: added(now, running)})
			continue
		}
		c.container(now, before)
	}
	for before := range was.Containers() {
		if _, ok := containerIn(is, before.List, before.Name); !ok {
			c.add(evidence.Difference{
				Path: before.Path(), Container: before.Name, Field: before.List,
				Text: fmt.Sprintf("container %q of the template is not there", before.Name),
			})
		}
	}
	c.volumes(written.Volumes, running.Volumes)
	for name, v := range fields(written) {
		if !slices.Contains([]string{evidence.InitContainers, evidence.Containers, evidence.EphemeralContainers, "volumes", "serviceAccount"}, name) {
			c.field(place{path: w.PodPath}, name, v, fieldOf(running, name))
		}
	}
	return c.found
}

// labelDifferences says which labels of the template the running pod has lost or
// has with another value. More labels are what programs give themselves and each
// other.
func labelDifferences(w *evidence.Workload, written, running map[string]string) (found []evidence.Difference) {
	for _, key := range slices.Sorted(maps.Keys(written)) {
		value, ok := running[key]
		if ok && value == written[key] {
			continue
		}
		text := fmt.Sprintf("label %q has another value than in the template", key)
		if !ok {
			text = fmt.Sprintf("label %q of the template is not there", key)
		}
		found = append(found, evidence.Difference{Path: w.MetaPath.Field("labels", key), Field: "labels", Text: text})
	}
	return found
}

func (c *comparison) add(d evidence.Difference) { c.found = append(c.found, d) }

func containerIn(w *evidence.Workload, list, name string) (evidence.Container, bool) {
	for c := range w.Containers() {
		if c.List == list && c.Name == name {
			return c, true
		}
	}
	return evidence.Container{}, false
}

// added says that a container was added.
func added(c evidence.Container, pod *corev1.PodSpec) string {
	switch {
	case c.List == evidence.EphemeralContainers:
		text := fmt.Sprintf("an ephemeral container %q was added (kubectl debug), with the image %s", c.Name, c.Image)
		if target := pod.EphemeralContainers[c.Index].TargetContainerName; target != "" {
			text += fmt.Sprintf(", into container %q", target)
		}
		return text
	case c.Sidecar():
		return fmt.Sprintf("sidecar container %q was added, with the image %s", c.Name, c.Image)
	case c.List == evidence.InitContainers:
		return fmt.Sprintf("init container %q was added, with the image %s", c.Name, c.Image)
	}
	return fmt.Sprintf("container %q was added, with the image %s", c.Name, c.Image)
}

// A place is the pod or the container that is compared.
type place struct {
	path      evidence.Path
	container string
	// subject begins a sentence: container "web": .
	subject string
}

func (c *comparison) container(now, before evidence.Container) {
	at := place{now.Path(), now.Name, fmt.Sprintf("container %q: ", now.Name)}
	for name, was := range fields(before.Container) {
		is := fieldOf(now.Container, name)
		switch name {
		case "env", "volumeMounts", "volumeDevices", "ports":
			c.elements(at, name, was, is)
		default:
			c.field(at, name, was, is)
		}
	}
}

// elements compares lists whose elements have names.
func (c *comparison) elements(at place, name string, was, is reflect.Value) {
	if same(was, is) {
		return
	}
	before, after := byElement(was), byElement(is)
	var changed []string
	for _, key := range slices.Sorted(maps.Keys(after)) {
		if v, ok := before[key]; !ok || !same(v, after[key]) {
			changed = append(changed, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if _, ok := after[key]; !ok {
			changed = append(changed, key)
		}
	}
	if len(changed) == 0 {
		return // another order
	}
	c.add(evidence.Difference{
		Path: at.path.Field(name), Container: at.container, Field: name,
		Text: fmt.Sprintf("%s%s is not as in the template: %s", at.subject, name, few(changed)),
	})
}

// few joins names, the first of them.
func few(names []string) string {
	const shown = 5
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}

// byElement puts the elements of a list to what tells them apart: their name, and
// which of that name.
func byElement(list reflect.Value) map[string]reflect.Value {
	elements, seen := map[string]reflect.Value{}, map[string]int{}
	for i := range list.Len() {
		name := elementName(list.Index(i))
		if seen[name]++; seen[name] > 1 {
			name = fmt.Sprintf("%s (%d)", name, seen[name])
		}
		elements[name] = list.Index(i)
	}
	return elements
}

func elementName(v reflect.Value) string {
	switch e := v.Interface().(type) {
	case corev1.EnvVar:
		return e.Name
	case corev1.VolumeMount:
		return e.MountPath
	case corev1.VolumeDevice:
		return e.DevicePath
	case corev1.ContainerPort:
		return fmt.Sprintf("%d/%s", e.ContainerPort, e.Protocol)
	}
	return fmt.Sprint(v.Interface())
}

func (c *comparison) volumes(written, running []corev1.Volume) {
	find := func(list []corev1.Volume, name string) *corev1.Volume {
		if i := slices.IndexFunc(list, func(v corev1.Volume) bool { return v.Name == name }); i >= 0 {
			return &list[i]
		}
		return nil
	}
	tell := func(i int, v *corev1.Volume, text string) {
		d := evidence.Difference{
			Path:  c.w.PodPath.Field("volumes").Index(i, v.Name),
			Field: "volumes",
			Text:  fmt.Sprintf("volume %q %s", v.Name, text),
		}
		c.add(d)
	}
	for i := range running {
		v := &running[i]
		switch before := find(written, v.Name); {
		case before == nil:
			tell(i, v, "was added ("+sourceOf(v)+")")
		case !equality.Semantic.DeepEqual(before, v):
			tell(i, v, "is not as in the template ("+sourceOf(v)+")")
		}
	}
	for i := range written {
		if find(running, written[i].Name) == nil {
			tell(i, &written[i], "of the template is not there")
		}
	}
}

// sourceOf says what a volume is.
func sourceOf(v *corev1.Volume) string {
	if v.HostPath != nil {
		return "hostPath " + v.HostPath.Path
	}
	for name, source := range fields(&v.VolumeSource) {
		if source.Kind() == reflect.Pointer && !source.IsNil() {
			return name
		}
	}
	return "emptyDir"
}

// field compares one field: those of security contexts one by one, others as a whole.
func (c *comparison) field(at place, name string, was, is reflect.Value) {
	if same(was, is) {
		return
	}
	if name == "securityContext" {
		c.nested(at, name, was, is)
		return
	}
	d := evidence.Difference{Path: at.path.Field(strings.Split(name, ".")...), Container: at.container, Field: name}
	before, plain := plainText(was)
	now, _ := plainText(is)
	switch {
	case !plain || name == "command" || name == "args":
		d.Text = fmt.Sprintf("%s%s is not that of the template", at.subject, name)
	case now == "":
		d.Written = before
		d.Text = fmt.Sprintf("%s%s is not set, the template has %s", at.subject, name, before)
	case before == "":
		d.Value = now
		d.Text = fmt.Sprintf("%s%s is %s, the template does not set it", at.subject, name, now)
	default:
		d.Value, d.Written = now, before
		d.Text = fmt.Sprintf("%s%s is %s, the template has %s", at.subject, name, now, before)
	}
	c.add(d)
}

// nested compares the fields of two structures, of which one may be nil.
func (c *comparison) nested(at place, name string, was, is reflect.Value) {
	if was.Type().Kind() != reflect.Pointer || was.Type().Elem().Kind() != reflect.Struct {
		c.field(at, name, was, is)
		return
	}
	before, now := orZero(was), orZero(is)
	for below, v := range fields(before.Interface()) {
		if other := fieldOf(now.Interface(), below); !same(v, other) {
			c.nested(at, name+"."+below, v, other)
		}
	}
}

func orZero(v reflect.Value) reflect.Value {
	if v.IsNil() {
		return reflect.New(v.Type().Elem())
	}
	return v
}

// same reports whether two values mean the same: an empty list is no list.
func same(a, b reflect.Value) bool { return equality.Semantic.DeepEqual(a.Interface(), b.Interface()) }

// plainText writes a value that is a word, a number or a list of such, "" where it is
// not set. It is false for values of other kinds.
func plainText(v reflect.Value) (text string, ok bool) {
	t := v.Type()
	if k := v.Kind(); k == reflect.Pointer || k == reflect.Slice {
		t = t.Elem()
	}
	if k := t.Kind(); k != reflect.Bool && k != reflect.String && (k < reflect.Int || k > reflect.Int64) {
		return "", false
	}
	switch {
	case v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0:
		return "", true
	case v.Kind() == reflect.Pointer:
		return fmt.Sprint(v.Elem().Interface()), true
	}
	return fmt.Sprint(v.Interface()), true
}

// fields yields the fields of a structure, given as pointer, by their JSON names.
func fields(structure any) func(func(string, reflect.Value) bool) {
	v := reflect.ValueOf(structure).Elem()
	return func(yield func(string, reflect.Value) bool) {
		for i := range v.NumField() {
			if name := jsonName(v.Type().Field(i)); name != "" && !yield(name, v.Field(i)) {
				return
			}
		}
	}
}

// fieldOf is the field of that JSON name.
func fieldOf(structure any, name string) reflect.Value {
	for n, v := range fields(structure) {
		if n == name {
			return v
		}
	}
	return reflect.Value{}
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}
