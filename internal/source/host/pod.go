package host

import (
	"cmp"
	"encoding/json"
	"path"
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	kjson "sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// staticPods reads the components among the pods that the kubelet starts from files:
// every file of the folder whose name does not begin with a dot, whatever it ends in.
func (r *reader) staticPods(folder string) (list []*candidate) {
	f := r.note(folder, false)
	switch f.Type {
	case evidence.Regular:
		return r.staticPod(folder)
	case evidence.Directory:
	default:
		r.list(folder) // which tells why it cannot be looked through
		return nil
	}
	const maxPods = 1000
	for i, name := range r.list(folder) {
		if i == maxPods {
			break
		}
		if file := path.Join(folder, name); !strings.HasPrefix(name, ".") && r.note(file, false).Type == evidence.Regular {
			list = append(list, r.staticPod(file)...)
		}
	}
	return list
}

// staticPod reads the components of one file. A file that cannot be read is taken
// for the component that its name tells.
func (r *reader) staticPod(file string) (list []*candidate) {
	unread := func(reason string) []*candidate {
		name, _, _ := strings.Cut(path.Base(file), ".")
		if !isProgram(name) {
			return nil
		}
		return []*candidate{{Component: &evidence.Component{
			Name: name, Way: evidence.FromFile, Place: evidence.Position{File: file}, UID: -1, Pod: true,
			Unread: file + ": " + reason,
		}}}
	}
	data, err := r.read(file)
	if err != nil {
		return unread(err.Error())
	}
	doc, problem := r.document(file, data)
	if problem != nil {
		r.broken(evidence.Issue{File: file, Line: problem.Line, Column: problem.Column, Reason: problem.Reason})
		return unread(problem.Error())
	}
	var pod corev1.Pod
	// Fields of another type than the API's leave the others as they are.
	if err := kjson.UnmarshalCaseSensitivePreserveInts(doc.JSON, &pod); err != nil {
		reason := "no pod as the API has it: " + strings.TrimPrefix(err.Error(), "json: ")
		r.broken(evidence.Issue{File: file, Line: doc.Line, Reason: reason})
		return unread(reason)
	}
	if doc.Kind != "Pod" {
		return nil
	}
	for i := range pod.Spec.Containers {
		p := evidence.NewPath("spec").Field("containers").Index(i, "")
		if c := podComponent(&pod, &pod.Spec.Containers[i], doc.Outline, p); c != nil {
			list = append(list, c)
		}
	}
	return list
}

// podComponent returns the component that a container runs, nil for none.
func podComponent(pod *corev1.Pod, c *corev1.Container, outline *evidence.Outline, p evidence.Path) *candidate {
	env := map[string]word{}
	var open []string // variables of etcd's that are not known
	for i, e := range c.Env {
		text, unknown := references(e.Value, env)
		if e.ValueFrom != nil || unknown != "" {
			delete(env, e.Name)
			if strings.HasPrefix(e.Name, "ETCD_") {
				open = append(open, e.Name)
			}
			continue
		}
		env[e.Name] = word{text: text, at: outline.Place(p.Field("env").Index(i, e.Name).Field("value"))}
	}
	var words []word
	for _, list := range []struct {
		field string
		texts []string
	}{{"command", c.Command}, {"args", c.Args}} {
		for i, text := range list.texts {
			text, unknown := references(text, env)
			words = append(words, word{text: text, at: outline.Place(p.Field(list.field).Index(i, "")), unknown: unknown})
		}
	}
	cmd, ok := parseCommand(words, env)
	if !ok && len(c.Command) == 0 && isProgram(c.Name) && len(c.Args) > 0 {
		// The image's own entry point gets the arguments.
		cmd, ok = command{component: c.Name, args: words}, true
	}
	if !ok && isProgram(c.Name) {
		cmd, ok = command{component: c.Name, unread: "which arguments it gets is not told by its manifest"}, true
	}
	if !ok {
		return nil
	}
	flags, unknown, in := cmd.knownFlags()
	found := &candidate{env: env, Component: &evidence.Component{
		Name: cmd.component, Way: evidence.FromFile, Place: outline.Place(p), UID: -1,
		Image: c.Image, Version: imageVersion(c.Image), Flags: flags, Unread: cmd.unread, Pod: true,
		Mounts: mounts(pod, c),
	}}
	if len(words) > 0 {
		found.Place = words[0].at
	}
	if found.Name == evidence.Etcd {
		unknown = append(unknown, open...)
	}
	if len(unknown) > 0 {
		known := found.Unread == "" && found.Name != evidence.Etcd // etcd reads variables as well
		leave(found.Component, "what its manifest does not tell: "+strings.Join(unknown, ", "))
		if known {
			found.UnreadIn = in
		}
	}
	if s := pod.Spec.SecurityContext; s != nil && s.RunAsUser != nil {
		found.UID = int(*s.RunAsUser)
	}
	if s := c.SecurityContext; s != nil && s.RunAsUser != nil {
		found.UID = int(*s.RunAsUser)
	}
	if len(c.EnvFrom) > 0 && found.Unread == "" && found.Name == evidence.Etcd {
		found.Unread = "it gets variables from objects that are not on the node"
	}
	return found
}

// reference matches $(NAME) and the escape $$.
var reference = regexp.MustCompile(`\$\$|\$\([-._A-Za-z0-9]+\)`)

// references replaces the variables of a container's command as the kubelet does. One
// that is not known here stays as it is, and is returned: it may be set by what is not
// on the node.
func references(text string, env map[string]word) (replaced, unknown string) {
	replaced = reference.ReplaceAllStringFunc(text, func(ref string) string {
		if ref == "$$" {
			return "$"
		}
		if value, known := env[ref[2:len(ref)-1]]; known {
			return value.text
		}
		unknown = cmp.Or(unknown, ref)
		return ref
	})
	return replaced, unknown
}

// mounts are the node's paths that a container sees.
func mounts(pod *corev1.Pod, c *corev1.Container) (list []evidence.Mount) {
	hostPaths := map[string]string{}
	for _, v := range pod.Spec.Volumes {
		if v.HostPath != nil {
			hostPaths[v.Name] = v.HostPath.Path
		}
	}
	for _, m := range c.VolumeMounts {
		if host, ok := hostPaths[m.Name]; ok && m.SubPathExpr == "" {
			list = append(list, evidence.Mount{Host: path.Join("/", host, m.SubPath), Container: path.Clean("/" + m.MountPath), ReadOnly: m.ReadOnly})
		}
	}
	return list
}

// imageTag matches the version in an image's tag; distributions put - where + may
// not be.
var imageTag = regexp.MustCompile(`:v?(\d+\.\d+\.\d+[-.+\w]*)(?:@.*)?$`)

func imageVersion(image string) string {
	if m := imageTag.FindStringSubmatch(image); m != nil {
		return "v" + m[1]
	}
	return ""
}

// asText is a value of JSON as a flag would have it: a list with commas, true.
func asText(raw json.RawMessage) string {
	var list []json.RawMessage
	var text string
	var number json.Number
	switch {
	case json.Unmarshal(raw, &text) == nil:
		return text
	case json.Unmarshal(raw, &list) == nil:
		var parts []string
		for _, item := range list {
			parts = append(parts, asText(item))
		}
		return strings.Join(parts, ",")
	case json.Unmarshal(raw, &number) == nil:
		if f, err := number.Float64(); err == nil && f == float64(int64(f)) {
			return strconv.FormatInt(int64(f), 10)
		}
		return number.String()
	}
	return string(raw)
}
