package carrier

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	sigsjson "sigs.k8s.io/json"
)

// maxDepth is how deep below its object a pod is looked for.
const maxDepth = 32

// groupsWithoutPods are API groups whose objects are not searched by shape: the
// built-in ones, which are read with their types, and policies, whose patterns
// look like pods and are none.
var groupsWithoutPods = []string{
	"", "apps", "autoscaling", "batch", "extensions", "policy",
	"admissionregistration.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "audit.k8s.io",
	"authentication.k8s.io", "authorization.k8s.io", "certificates.k8s.io", "coordination.k8s.io",
	"discovery.k8s.io", "events.k8s.io", "flowcontrol.apiserver.k8s.io", "imagepolicy.k8s.io",
	"internal.apiserver.k8s.io", "networking.k8s.io", "node.k8s.io", "rbac.authorization.k8s.io",
	"resource.k8s.io", "scheduling.k8s.io", "settings.k8s.io", "storage.k8s.io", "storagemigration.k8s.io",
	"kyverno.io", "policies.kyverno.io", "constraints.gatekeeper.sh", "mutations.gatekeeper.sh",
	"templates.gatekeeper.sh", "expansion.gatekeeper.sh", "wgpolicyk8s.io", "kustomize.config.k8s.io",
}

func withoutPods(group string) bool { return slices.Contains(groupsWithoutPods, group) }

// fieldsWithoutPods are fields whose content is not what the object asks for:
// a schema, what was observed, the values of a chart, a pattern or a patch.
var fieldsWithoutPods = []string{
	"metadata", "status", "openAPIV3Schema", "values", "valuesObject", "pattern", "anyPattern",
	"patchStrategicMerge", "patches",
}

// podFields are fields that only a pod spec has beside its containers.
var podFields = []string{
	"initContainers", "ephemeralContainers", "restartPolicy", "serviceAccountName", "securityContext", "volumes",
	"hostNetwork", "hostPID", "hostIPC", "hostUsers", "automountServiceAccountToken", "nodeSelector", "tolerations",
	"imagePullSecrets", "terminationGracePeriodSeconds", "dnsPolicy",
}

var containersField = []byte(`"containers"`)

// search adds every pod that is found by its shape.
func (f *finder) search(root node) {
	if bytes.Contains(root.raw, containersField) {
		f.below(root, false, 0)
	}
}

// below looks for pods in n and what is inside it. specified says that n is
// part of what the object asks for: below a field spec or template.
func (f *finder) below(n node, specified bool, depth int) {
	if !bytes.Contains(n.raw, containersField) {
		return
	}
	if depth > maxDepth {
		f.fail(n.path, fmt.Errorf("nested deeper than %d levels: not searched for pods", maxDepth))
		return
	}
	if !f.room() {
		return
	}
	switch bytes.TrimLeft(n.raw, " \t\r\n")[0] {
	case '[':
		elements, err := n.elements("name")
		if err != nil {
			f.fail(n.path, err)
		}
		for _, e := range elements {
			f.below(e, specified, depth+1)
		}
	case '{':
		fields, err := object(n.raw)
		if err != nil {
			f.fail(n.path, err)
		}
		if specified && isPod(fields) {
			f.found(n)
			return
		}
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if !slices.Contains(fieldsWithoutPods, name) {
				next := node{raw: fields[name], path: n.path.Field(name), field: name, parent: &n}
				f.below(next, specified || specifies(name), depth+1)
			}
		}
	}
}

func specifies(field string) bool {
	field = strings.ToLower(field)
	return strings.HasSuffix(field, "spec") || strings.HasSuffix(field, "template")
}

// isPod reports whether an object with these fields looks like a pod spec: a
// list of named containers, with an image or beside a field of pods.
func isPod(fields map[string]json.RawMessage) bool {
	var containers []struct {
		Name  string `json:"name"`
		Image string `json:"image"`
	}
	if sigsjson.UnmarshalCaseSensitivePreserveInts(fields["containers"], &containers) != nil || len(containers) == 0 {
		return false
	}
	image := false
	for _, c := range containers {
		if c.Name == "" {
			return false
		}
		image = image || c.Image != ""
	}
	return image || slices.ContainsFunc(podFields, func(name string) bool { return !isNull(fields[name]) })
}

// found adds the pod spec at n.
func (f *finder) found(n node) {
	key := n.path.Key()
	if n.path.String() == "spec.template.spec" {
		key = "" // as the table would have it
	}
	t := Template{Path: n.path.Rooted(f.unique(key, n.path)), Pod: &corev1.PodSpec{}, ByShape: true}
	if err := Decode(n.raw, t.Pod, n.path); err != nil {
		f.fail(n.path, err)
		return
	}
	// A spec inside another object has its metadata beside it. That of the object
	// itself is not the pod's.
	if holder := n.parent; n.field == "spec" && holder.parent != nil {
		t.MetaPath = holder.path.Field("metadata").Rooted(join(key, "template.metadata"))
		f.meta(&t, *holder, "metadata")
		f.replicas(&t, *holder, "^replicas")
	}
	f.templates = append(f.templates, t)
}

// meta reads the template's metadata.
func (f *finder) meta(t *Template, n node, reference string) {
	found, err := n.at(reference)
	if err != nil {
		f.fail(n.path, err)
	}
	if len(found) == 0 {
		return
	}
	meta := &metav1.ObjectMeta{}
	if err := Decode(found[0].raw, meta, found[0].path); err != nil {
		f.fail(found[0].path, err)
		return
	}
	t.Meta = meta
}

// replicas reads how many pods are wanted.
func (f *finder) replicas(t *Template, n node, reference string) {
	found, err := n.at(reference)
	if err != nil {
		f.fail(n.path, err)
	}
	if len(found) == 0 {
		return
	}
	var count int32
	if err := Decode(found[0].raw, &count, found[0].path); err != nil {
		f.fail(found[0].path, err)
		return
	}
	t.Replicas = &count
}
