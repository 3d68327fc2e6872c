package cluster

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// What the API tells of nodes: the control plane's static pods are shown there as
// mirror pods, with their flags, and a kubelet may be asked for its configuration.

// KubeletConfigVersion and KubeletConfigKind are what a kubelet's own account of its
// configuration (configz) is handed to a Sink as: an object named like its Node.
const (
	KubeletConfigVersion = "kubelet.config.k8s.io/v1beta1"
	KubeletConfigKind    = "KubeletConfiguration"
)

// controlPlane are the components that nodes run as static pods.
var controlPlane = []string{
	evidence.APIServer, evidence.ControllerManager, evidence.Scheduler, evidence.CloudControllerManager, evidence.Etcd,
}

// mirrored takes from a mirror pod what it tells of its node. Only those of the
// system's namespace are believed: nobody else may write there.
func (b *Builder) mirrored(pod *corev1.Pod) {
	_, mirror := pod.Annotations["kubernetes.io/config.mirror"]
	if !mirror || pod.Namespace != "kube-system" || pod.Spec.NodeName == "" {
		return
	}
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		args := slices.Concat(c.Command, c.Args)
		at := slices.IndexFunc(args, func(a string) bool { return slices.Contains(controlPlane, path.Base(a)) })
		if at < 0 {
			continue
		}
		flags, whole := flagsOf(args[at+1:])
		component := &evidence.Component{
			Name: path.Base(args[at]), Way: evidence.FromAPI, Image: c.Image, Version: versionOf(c.Image), UID: -1,
			Pod: true, Flags: flags, Mounts: mountsOf(pod, c),
		}
		if !whole || at > 0 && strings.ContainsAny(strings.Join(args[:at], " "), "|;&$`") {
			component.Unread = fmt.Sprintf("pod %s starts it in a way whose flags cannot all be told", pod.Name)
		}
		h := b.host(pod.Spec.NodeName)
		if known := h.Component(component.Name); known != nil {
			known.Unread = "several pods of node " + h.Node + " run it"
			continue
		}
		h.Components = append(h.Components, component)
		role := evidence.ControlPlane
		if component.Name == evidence.Etcd {
			role = evidence.EtcdMember
		}
		if !h.Has(role) {
			h.Roles = append(h.Roles, role)
		}
	}
}

// host is what the API tells of a node.
func (b *Builder) host(node string) *evidence.Host {
	if h, known := b.hosts[node]; known {
		return h
	}
	if b.hosts == nil {
		b.hosts = map[string]*evidence.Host{}
	}
	h := &evidence.Host{Node: node, ReadAt: b.snap.Cluster.CollectedAt, Unseen: map[evidence.Aspect]string{}}
	for _, a := range evidence.Aspects() {
		h.Unseen[a] = fmt.Sprintf("the API does not tell the %s of a node (--host-root there, or gabion snapshot --host-root)", a)
	}
	b.hosts[node] = h
	return h
}

// addHosts adds the nodes that the API told of.
func (b *Builder) addHosts() {
	for _, name := range slices.Sorted(maps.Keys(b.hosts)) {
		h := b.hosts[name]
		slices.Sort(h.Roles)
		slices.SortFunc(h.Components, func(x, y *evidence.Component) int { return cmp.Compare(x.Name, y.Name) })
		b.snap.AddHost(h, b.source)
	}
	b.hosts = nil
}

// configured takes a kubelet's account of its configuration.
func (b *Builder) configured(node string, text []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	for _, name := range []string{"apiVersion", "kind", "metadata", "staticPodURLHeader"} { // the last may hold a token
		delete(fields, name)
	}
	c := &evidence.Component{Name: evidence.Kubelet, Way: evidence.FromAPI, UID: -1, Options: map[string]evidence.Option{}}
	flatten(c.Options, "", fields, maxConfigDepth)
	h := b.host(node)
	if h.Component(evidence.Kubelet) == nil {
		h.Components = append(h.Components, c)
	}
	return nil
}

// maxConfigDepth is how deep a kubelet's configuration is taken apart.
const maxConfigDepth = 20

// flatten puts the fields of an object under their dotted paths.
func flatten(into map[string]evidence.Option, above string, fields map[string]json.RawMessage, depth int) {
	for name, value := range fields {
		var below map[string]json.RawMessage
		if depth > 0 && json.Unmarshal(value, &below) == nil && len(below) > 0 {
			flatten(into, above+name+".", below, depth-1)
			continue
		}
		into[above+name] = evidence.Option{Value: json.RawMessage(evidence.WithoutPassword(string(value)))}
	}
}

// flagsOf reads a command line without the program. whole is false when something in
// it is no flag.
func flagsOf(args []string) (flags []evidence.Flag, whole bool) {
	whole = true
	for i := 0; i < len(args); i++ {
		name, ok := strings.CutPrefix(args[i], "-")
		if !ok || strings.Contains(args[i], "$(") {
			whole = false
			continue
		}
		name, value, given := strings.Cut(strings.TrimPrefix(name, "-"), "=")
		switch {
		case given:
		case i+1 < len(args) && isValue(args[i+1]):
			i++
			value = args[i]
		default:
			value = "true"
		}
		flags = append(flags, evidence.NewFlag(name, value, evidence.Position{}))
	}
	return flags, whole
}

// isValue reports whether a word is the value of the flag before it, and no flag.
func isValue(word string) bool {
	return !strings.HasPrefix(word, "-") || len(word) > 1 && word[1] >= '0' && word[1] <= '9'
}

// versionOf is the release that an image's tag names.
func versionOf(image string) string {
	_, tag, ok := strings.Cut(image[strings.LastIndexByte(image, '/')+1:], ":")
	if tag, _, _ = strings.Cut(tag, "@"); !ok || !strings.HasPrefix(tag, "v") {
		return ""
	}
	return tag
}

// mountsOf are the folders and files of the node that a container sees.
func mountsOf(pod *corev1.Pod, c *corev1.Container) (mounts []evidence.Mount) {
	paths := map[string]string{}
	for _, v := range pod.Spec.Volumes {
		if v.HostPath != nil {
			paths[v.Name] = v.HostPath.Path
		}
	}
	for _, m := range c.VolumeMounts {
		if host, ok := paths[m.Name]; ok {
			mounts = append(mounts, evidence.Mount{Host: path.Join(host, m.SubPath), Container: m.MountPath, ReadOnly: m.ReadOnly})
		}
	}
	return mounts
}
