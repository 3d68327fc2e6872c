package system

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// runtimes reads the configuration of container runtimes.
func (r *reader) runtimes() {
	containerd := []string{"/etc/containerd/config.toml"}
	for _, file := range []string{
		"/var/lib/rancher/k3s/agent/etc/containerd/config.toml", "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
		"/var/snap/microk8s/current/args/containerd.toml", "/etc/k0s/containerd.toml", "/etc/cri/containerd.toml",
	} {
		if r.is(file, evidence.Regular) { // a distribution's own runtime is the one that its kubelet uses
			containerd = []string{file}
			break
		}
	}
	r.runtime(evidence.Containerd, r.configured(evidence.Containerd, containerd[0], "config", "c"), (*runtimeReader).containerd)
	r.runtime(evidence.CRIO, r.configured(evidence.CRIO, "/etc/crio/crio.conf", "config", "c"), (*runtimeReader).crio)
}

// configured is the configuration file that a component's flags name.
func (r *reader) configured(component, byDefault string, flags ...string) string {
	if c := r.h.Component(component); c != nil {
		for _, name := range flags {
			if f, given := c.Flag(name); given && path.IsAbs(f.Value) {
				return f.Value
			}
		}
	}
	return byDefault
}

// A runtimeReader puts together the configuration of one container runtime.
type runtimeReader struct {
	*reader
	file    string
	options map[string]evidence.Option
	errs    []string
	seen    map[string]bool
}

func (r *reader) runtime(name, file string, read func(*runtimeReader)) {
	rr := &runtimeReader{reader: r, file: file, options: map[string]evidence.Option{}, seen: map[string]bool{}}
	read(rr)
	if len(rr.seen) == 0 && len(rr.errs) == 0 {
		return
	}
	c := r.h.Component(name)
	if c == nil {
		c = &evidence.Component{Name: name, Way: evidence.FromFile, Place: evidence.Position{File: file}, UID: -1}
		r.h.Components = append(r.h.Components, c)
	}
	if c.Options == nil {
		c.Options = map[string]evidence.Option{}
	}
	maps.Copy(c.Options, rr.options)
	if len(rr.errs) > 0 && c.Unread == "" {
		c.Unread = strings.Join(rr.errs, "; ")
	}
}

func (rr *runtimeReader) fail(format string, args ...any) {
	rr.errs = append(rr.errs, fmt.Sprintf(format, args...))
}

// load reads one file, nil when it is not there, was read already, or is broken.
func (rr *runtimeReader) load(file string) map[string]any {
	if rr.seen[file] {
		return nil
	}
	if len(rr.seen) == maxIncluded {
		rr.fail("%s: more than %d files", file, maxIncluded)
		return nil
	}
	data, there, err := rr.read(file)
	if !there {
		return nil
	}
	rr.seen[file] = true
	if err != nil {
		rr.fail("%v", err)
		return nil
	}
	config, err := decodeTOML(data)
	if err != nil {
		rr.fail("%s: %v", file, err)
	}
	return config
}

// containerd reads the configuration file and those that it imports, in the order in
// which they were named; an imported file replaces whole sections of plugins, and
// otherwise single fields (containerd's cmd/containerd/server/config).
func (rr *runtimeReader) containerd() {
	sections := map[string]map[string]evidence.Option{}
	for waiting := []string{rr.file}; len(waiting) > 0; waiting = waiting[1:] {
		config := rr.load(waiting[0])
		place := evidence.Position{File: waiting[0]}
		for name, v := range config {
			table, ok := v.(map[string]any)
			if !ok || !replaced(name) {
				flatten(rr.options, nil, map[string]any{name: v}, place)
				continue
			}
			for part, v := range table {
				options := map[string]evidence.Option{}
				flatten(options, toml.Key{name}, map[string]any{part: v}, place)
				sections[toml.Key{name, part}.String()] = options
			}
		}
		imports, _ := config["imports"].([]any)
		for _, pattern := range imports {
			if p, ok := pattern.(string); ok && p != "" {
				if !path.IsAbs(p) {
					p = path.Join(path.Dir(waiting[0]), p)
				}
				files, err := rr.glob(p)
				if err != nil {
					rr.fail("%v", err)
				}
				waiting = append(waiting, files...)
			}
		}
	}
	for _, options := range sections {
		maps.Copy(rr.options, options)
	}
}

// replaced reports whether an imported file replaces what is below a table, part by
// part.
func replaced(table string) bool {
	switch table {
	case "plugins", "proxy_plugins", "stream_processors", "timeouts":
		return true
	}
	return false
}

// crio reads crio.conf and then its drop-ins by name; each field counts for itself
// (crio.conf.d(5)).
func (rr *runtimeReader) crio() {
	dir := rr.file + ".d"
	names, err := rr.names(dir)
	if err != nil {
		rr.fail("%v", err)
	}
	files := []string{rr.file}
	for _, name := range names {
		files = append(files, path.Join(dir, name))
	}
	for _, file := range files {
		if rr.is(file, evidence.Regular) {
			flatten(rr.options, nil, rr.load(file), evidence.Position{File: file})
		}
	}
}

const maxCNI = 100

// cni reads the network plugins' configuration, in the order in which runtimes choose:
// by name, and the first is in force.
func (r *reader) cni() {
	dir := "/etc/cni/net.d"
	for _, d := range []string{"/var/lib/rancher/k3s/agent/etc/cni/net.d", "/var/snap/microk8s/current/args/cni-network"} {
		if r.is(d, evidence.Directory) {
			dir = d
		}
	}
	for _, option := range []struct{ component, name string }{
		{evidence.CRIO, "crio.network.network_dir"},
		{evidence.Containerd, `plugins."io.containerd.grpc.v1.cri".cni.conf_dir`},
		{evidence.Containerd, `plugins."io.containerd.cri.v1.runtime".cni.conf_dir`},
	} {
		if c := r.h.Component(option.component); c != nil {
			var set string
			if json.Unmarshal(c.Options[option.name].Value, &set) == nil && path.IsAbs(set) {
				dir = set
			}
		}
	}
	names, _ := r.names(dir)
	for _, name := range names {
		switch path.Ext(name) {
		case ".conf", ".conflist", ".json":
			if len(r.h.System.CNI) < maxCNI {
				r.h.System.CNI = append(r.h.System.CNI, r.network(path.Join(dir, name)))
			}
		}
	}
}

// network reads one configuration file of network plugins.
func (r *reader) network(file string) *evidence.Document {
	d := &evidence.Document{File: file}
	data, there, err := r.read(file)
	if !there {
		d.Error = "it is not there"
		return d
	}
	if err != nil {
		d.Error = strings.TrimPrefix(err.Error(), file+": ")
		return d
	}
	config, outline, err := decodeYAML(file, data)
	if err != nil {
		d.Error = err.Error()
		return d
	}
	d.Outline = outline
	if d.JSON, err = json.Marshal(redact("", config)); err != nil {
		d.JSON, d.Error = nil, "not JSON"
	}
	return d
}
