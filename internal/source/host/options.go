package host

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

// A merging is a configuration that files and flags are laid over each other in.
type merging map[string]evidence.Option

// patch lays a document over what is there, as a JSON merge patch (RFC 7396) does:
// what is null goes, mappings are merged, all else is replaced.
func (m merging) patch(value json.RawMessage, o *evidence.Outline, at evidence.Path, dotted string) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(value, &fields) != nil || fields == nil {
		m.drop(dotted)
		if string(value) != "null" && dotted != "" {
			m[dotted] = evidence.Option{Value: value, Place: o.Place(at)}
		}
		return
	}
	delete(m, dotted)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if below := name; dotted == "" && (name == "apiVersion" || name == "kind") {
			continue
		} else {
			if dotted != "" {
				below = dotted + "." + name
			}
			m.patch(fields[name], o, at.Field(name), below)
		}
	}
}

// drop forgets a field and all below it.
func (m merging) drop(dotted string) {
	delete(m, dotted)
	for name := range m {
		if strings.HasPrefix(name, dotted+".") {
			delete(m, name)
		}
	}
}

// lay lays flags over the configuration, in their order.
func (m merging) lay(flags []evidence.Flag, fields map[string]field) {
	begun := map[string]bool{}
	for _, f := range flags {
		to, ok := fields[f.Name]
		if !ok {
			continue
		}
		first := !begun[f.Name]
		begun[f.Name] = true
		switch to.kind {
		case truth:
			if b, err := strconv.ParseBool(f.Value); err == nil {
				m.set(to.path, b, f.Place)
				continue
			}
			m.set(to.path, f.Value, f.Place)
		case number:
			if n := json.Number(f.Value); json.Valid([]byte(f.Value)) {
				m.set(to.path, n, f.Place)
				continue
			}
			m.set(to.path, f.Value, f.Place)
		case list:
			var all []string
			if !first {
				_ = json.Unmarshal(m[to.path].Value, &all)
			}
			m.set(to.path, append(all, commas(f.Value)...), f.Place)
		case pairs, less, gates:
			if first && to.kind != gates {
				m.drop(to.path)
			}
			sign := "="
			if to.kind == less {
				sign = "<"
			}
			for _, pair := range commas(f.Value) {
				name, value, _ := strings.Cut(pair, sign)
				if b, err := strconv.ParseBool(value); err == nil && to.kind == gates {
					m.set(to.path+"."+strings.TrimSpace(name), b, f.Place)
					continue
				}
				m.set(to.path+"."+strings.TrimSpace(name), value, f.Place)
			}
		case taints:
			m.set(to.path, parseTaints(f.Value), f.Place)
		case text:
			m.set(to.path, f.Value, f.Place)
		}
	}
}

func (m merging) set(path string, value any, at evidence.Position) {
	raw, err := json.Marshal(value)
	if err != nil {
		return
	}
	m.drop(path)
	m[path] = evidence.Option{Value: raw, Place: at}
}

// parseTaints reads key=value:effect, with commas between.
func parseTaints(text string) []map[string]string {
	list := []map[string]string{}
	for _, one := range commas(text) {
		key, effect, _ := strings.Cut(one, ":")
		key, value, _ := strings.Cut(key, "=")
		taint := map[string]string{"key": key, "effect": effect}
		if value != "" {
			taint["value"] = value
		}
		list = append(list, taint)
	}
	return list
}

func commas(text string) (parts []string) {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// configure reads the configuration files of a component and lays its flags over
// them, by its own rules.
func (r *reader) configure(c *candidate) {
	switch c.Name {
	case evidence.Kubelet:
		r.configureKubelet(c.Component)
	case evidence.KubeProxy:
		r.configureByFile(c.Component, "KubeProxyConfiguration", kubeProxyFields())
	case evidence.Scheduler:
		r.configureByFile(c.Component, "KubeSchedulerConfiguration", schedulerFields())
	case evidence.Etcd:
		r.configureEtcd(c)
	}
	r.documents(c.Component)
}

// configureKubelet merges --config, the files of --config-dir, and the flags.
func (r *reader) configureKubelet(c *evidence.Component) {
	m := merging{}
	maps.Copy(m, c.Options) // where a distribution sets it up otherwise
	file := ""
	if f, ok := c.Flag("config"); ok {
		file = f.Value
	}
	if file != "" {
		r.layConfig(c, m, file, "KubeletConfiguration")
	} else if c.Way == evidence.FromFile {
		r.unnamedConfig(c)
	}
	if f, ok := c.Flag("config-dir"); ok && f.Value != "" {
		r.layFolder(c, m, f.Value, 0)
	}
	m.lay(c.Flags, kubeletFields())
	// This one flag is not laid over the file: either of them will do.
	if f, ok := c.Flag("seccomp-default"); ok && f.Value == "true" {
		m.set("seccompDefault", true, f.Place)
	}
	c.Options = m
}

// unnamedConfig doubts that a kubelet is started as its unit tells where files are there
// that nothing else reads: a drop-in that names them seems to be lost.
func (r *reader) unnamedConfig(c *evidence.Component) {
	for _, file := range append(slices.Clone(r.layout.kubeletConfigs), kubeadmFlags) {
		if r.tree.Stat(file).Type == evidence.Regular {
			leave(c, fmt.Sprintf("%s starts it without --config, though %s is there", c.Place.File, file))
			return
		}
	}
}

// kubeadmFlags are the variables that kubeadm writes for the kubelet's unit.
const kubeadmFlags = "/var/lib/kubelet/kubeadm-flags.env"

// layFolder lays the drop-ins of a folder and those below it over a configuration, in
// the order of their names.
func (r *reader) layFolder(c *evidence.Component, m merging, dir string, depth int) {
	const maxDepth = 8
	host, ok := c.HostPath(dir)
	if !ok {
		return
	}
	if depth > maxDepth {
		leave(c, host+": a folder too deep to be looked at")
		return
	}
	r.note(host, true)
	names, why := r.listing(host)
	if why != "" {
		leave(c, host+": "+why)
	}
	for _, name := range names {
		file := path.Join(dir, name)
		switch below := r.tree.Stat(path.Join(host, name)); {
		case below.Type == evidence.Directory && !r.isLink(below.Path):
			r.layFolder(c, m, file, depth+1)
		case strings.HasSuffix(name, ".conf"):
			r.layConfig(c, m, file, "KubeletConfiguration")
		}
	}
}

// leave says that not everything that a component is set up with is known.
func leave(c *evidence.Component, why string) {
	c.UnreadIn = nil
	if c.Unread == "" {
		c.Unread = why
	}
}

// layConfig lays one configuration file over what is there.
func (r *reader) layConfig(c *evidence.Component, m merging, file, kind string) {
	doc, ok := r.config(c, file)
	if !ok {
		return
	}
	known := map[string]string{
		"KubeletConfiguration":       "kubelet.config.k8s.io/v1beta1",
		"KubeProxyConfiguration":     "kubeproxy.config.k8s.io/v1alpha1",
		"KubeSchedulerConfiguration": "kubescheduler.config.k8s.io/v1",
	}
	if doc.Kind != kind || doc.APIVersion != known[kind] {
		leave(c, file+": of "+strings.TrimSpace(doc.APIVersion+" "+doc.Kind)+", which is not known here: what it means may differ")
	}
	m.patch(redact(doc.JSON), doc.Outline, evidence.Path{}, "")
}

// config reads a configuration file by the path that the component knows; without it
// not everything that the component is set up with is known.
func (r *reader) config(c *evidence.Component, file string) (yamldoc.Document, bool) {
	doc, _, why := r.configuration(c, file, false)
	if why != "" {
		leave(c, file+": "+why)
	}
	return doc, why == ""
}

// configuration reads a configuration file by the path that the component knows. It
// returns the path on the node, and why it could not be read, "" when it could. Of a
// file that holds credentials no word is repeated.
func (r *reader) configuration(c *evidence.Component, file string, secret bool) (doc yamldoc.Document, host, why string) {
	if !path.IsAbs(file) {
		return doc, file, "a path relative to a folder that is not known"
	}
	host, ok := c.HostPath(path.Clean(file))
	if !ok {
		return doc, file, "a file of its container: nothing of the node is mounted there"
	}
	r.note(host, true)
	data, err := r.read(host)
	if err != nil {
		return doc, host, err.Error()
	}
	doc, problem := r.document(host, data)
	if problem != nil {
		if secret {
			problem.Reason = "no document of YAML or JSON"
		}
		r.broken(evidence.Issue{File: host, Line: problem.Line, Column: problem.Column, Reason: problem.Reason})
		return doc, host, problem.Error()
	}
	return doc, host, ""
}

// configureByFile is for components that read either a file or their flags.
func (r *reader) configureByFile(c *evidence.Component, kind string, fields map[string]field) {
	m := merging{}
	if f, ok := c.Flag("config"); ok && f.Value != "" {
		r.layConfig(c, m, f.Value, kind)
	} else {
		m.lay(c.Flags, fields)
	}
	c.Options = m
}

// configureEtcd turns what etcd reads from variables and its file into the flags of
// the same meaning. A file makes etcd ignore all else; a flag wins over a variable.
func (r *reader) configureEtcd(c *candidate) {
	file, given := c.Flag("config-file")
	if v, ok := c.env["ETCD_CONFIG_FILE"]; ok && !given {
		file, given = evidence.Flag{Name: "config-file", Value: v.text, Place: v.at}, true
	}
	if given && file.Value != "" {
		c.Flags = []evidence.Flag{file}
		if doc, ok := r.config(c.Component, file.Value); ok {
			c.Flags = append(c.Flags, etcdFlags(doc)...)
		}
		return
	}
	for _, name := range slices.Sorted(maps.Keys(c.env)) {
		flag, ok := strings.CutPrefix(name, "ETCD_")
		if !ok {
			continue
		}
		flag = strings.ToLower(strings.ReplaceAll(flag, "_", "-"))
		if _, given := c.Flag(flag); !given && flag != "" {
			v := c.env[name]
			c.Flags = append(c.Flags, evidence.NewFlag(flag, v.text, v.at))
		}
	}
}

// etcdFlags are the fields of etcd's file as flags.
func etcdFlags(doc yamldoc.Document) (flags []evidence.Flag) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(doc.JSON, &fields) != nil {
		return nil
	}
	add := func(name string, value json.RawMessage, at evidence.Path) {
		if string(value) != "null" {
			flags = append(flags, evidence.NewFlag(name, asText(value), doc.Outline.Place(at)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		prefix, section := etcdSections()[name]
		if !section {
			add(name, fields[name], evidence.NewPath(name))
			continue
		}
		var below map[string]json.RawMessage
		if json.Unmarshal(fields[name], &below) != nil {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(below)) {
			add(prefix+key, below[key], evidence.NewPath(name, key))
		}
	}
	return flags
}

// configuredKubelet is a kubelet of which nothing tells how it is started, but whose
// configuration is there; nil when it is not.
func (r *reader) configuredKubelet() *candidate {
	for _, file := range r.layout.kubeletConfigs {
		if r.tree.Stat(file).Type != evidence.Regular {
			continue
		}
		at := evidence.Position{File: file}
		return &candidate{Component: &evidence.Component{
			Name: evidence.Kubelet, Way: evidence.FromFile, Place: at, UID: -1,
			Flags:  []evidence.Flag{{Name: "config", Value: file, Place: at}},
			Unread: "neither a process nor a unit tells how the kubelet is started",
		}}
	}
	return nil
}

// manifestFolder is where the kubelet has its static pods; where it names no folder,
// what lies in the usual one is shown all the same.
func (r *reader) manifestFolder(kubelet *evidence.Component, usual string) string {
	var folder string
	if o, ok := kubelet.Options["staticPodPath"]; ok && json.Unmarshal(o.Value, &folder) == nil && strings.HasPrefix(folder, "/") {
		return folder
	}
	return usual
}
