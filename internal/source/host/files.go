package host

import (
	"bytes"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// files records the files that recommendations are about, and reads those that hold
// certificates, keys or a kubeconfig.
func (r *reader) files() {
	for _, file := range slices.Concat(r.layout.files, r.layout.sockets) {
		r.note(file, false)
	}
	const maxEntries = 2000
	for _, folder := range []string{"/etc/cni/net.d", "/opt/cni/bin"} {
		names := r.list(folder)
		for _, file := range names[:min(len(names), maxEntries)] {
			r.note(path.Join(folder, file), false)
		}
	}
	for _, c := range r.host.Components {
		r.namedFiles(c)
	}
	r.etcdData()
	for _, place := range r.layout.pki {
		if f := r.note(place, false); f.Type == evidence.Regular {
			r.keys(place)
			continue
		}
		r.keyFolder(place, 0)
	}
	for _, file := range r.kubeconfigFiles() {
		r.kubeconfig(file, isKubeconfig(file))
	}
}

// fileFlag reports whether a flag's value is a path: its name says so.
func fileFlag(name string) bool {
	if strings.Contains(name, "cgroup") {
		return false
	}
	for _, end := range []string{"file", "cert", "certificate", "key", "dir", "directory", "kubeconfig", "config", "conf", "manifest-path", "log-path", "endpoint", "socket"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// fileOptions are the fields of configurations that name files.
func fileOptions() []string {
	return []string{
		"authentication.x509.clientCAFile", "tlsCertFile", "tlsPrivateKeyFile", "staticPodPath", "resolvConf",
		"containerRuntimeEndpoint", "clientConnection.kubeconfig",
	}
}

// namedFiles records the files that a component is told to use.
func (r *reader) namedFiles(c *evidence.Component) {
	if c.Place.File != "" && !strings.HasPrefix(c.Place.File, "/proc/") {
		r.note(c.Place.File, false)
	}
	for _, f := range c.Flags {
		if fileFlag(f.Name) {
			for _, part := range strings.FieldsFunc(f.Value, func(c rune) bool { return c == ',' || c == ':' }) {
				r.namedFile(c, f.Name, strings.TrimPrefix(part, "//"))
			}
		}
	}
	for _, name := range fileOptions() {
		if o, ok := c.Options[name]; ok {
			r.namedFile(c, name, strings.TrimPrefix(asText(o.Value), "unix://"))
		}
	}
	for _, d := range c.Documents {
		if d.Error == "" {
			r.note(d.File, true)
		}
	}
	if c.Name == evidence.Kubelet {
		dir := "/var/lib/kubelet/pki"
		if f, ok := c.Flag("root-dir"); ok {
			dir = path.Join(f.Value, "pki")
		}
		if f, ok := c.Flag("cert-dir"); ok {
			dir = f.Value
		}
		r.keyFolder(dir, 0)
	}
}

// keyFlag matches the names of flags that name certificates or keys.
var keyFlag = regexp.MustCompile(`(?:cert|key|ca|certificate|tls-private-key)(?:-?file)?$`)

// namedFile records one file by the path that the component knows.
func (r *reader) namedFile(c *evidence.Component, flag, file string) {
	if !path.IsAbs(file) || strings.ContainsAny(file, " \t\n") {
		return
	}
	host, ok := c.HostPath(path.Clean(file))
	if !ok {
		return
	}
	f := r.note(host, true)
	r.note(path.Dir(host), false) // who may write there can put another file in its place
	kubeconfig := strings.HasSuffix(flag, "kubeconfig") || flag == "audit-webhook-config-file"
	switch {
	case kubeconfig:
		r.kubeconfig(f.Path, true)
	case f.Type != evidence.Regular:
	case holdsKeys(f.Path) || keyFlag.MatchString(flag):
		r.keys(f.Path)
	}
}

// holdsKeys reports whether a file's name is that of certificates or keys.
func holdsKeys(file string) bool {
	switch path.Ext(file) {
	case ".crt", ".pem", ".key", ".pub", ".cert", ".cer":
		return true
	}
	return false
}

// etcdData records etcd's folder and what in it holds the data.
func (r *reader) etcdData() {
	dir := r.layout.etcd
	if c := r.host.Component(evidence.Etcd); c != nil {
		if f, ok := c.Flag("data-dir"); ok {
			if host, ok := c.HostPath(f.Value); ok {
				dir = host
			}
		}
	}
	if dir == "" {
		return
	}
	for _, file := range []string{"", "member", "member/snap", "member/snap/db", "member/wal"} {
		r.note(path.Join(dir, file), false)
	}
	r.stored(dir)
}

// rotated matches what the kubelet leaves behind of the certificates that it had; a
// link named current leads to the one in use.
var rotated = regexp.MustCompile(`^kubelet-(?:client|server)-\d{4}-\d\d-\d\d-.*\.pem$`)

// keyFolder records all of a folder of certificates and keys, and reads them.
func (r *reader) keyFolder(dir string, depth int) {
	const maxDepth, maxEntries = 4, 2000
	names := r.list(dir)
	for _, name := range names[:min(len(names), maxEntries)] {
		file := path.Join(dir, name)
		f := r.note(file, false)
		switch {
		case f.Type == evidence.Directory && !r.isLink(file) && depth < maxDepth:
			r.keyFolder(file, depth+1)
		case f.Type == evidence.Regular && holdsKeys(file) && !rotated.MatchString(name):
			r.keys(file)
		}
	}
}

// keys reads the certificates and keys of a file.
func (r *reader) keys(file string) {
	if r.parsed[file] {
		return
	}
	r.parsed[file] = true
	data, err := r.read(file)
	if err != nil {
		return
	}
	r.parseKeys(file, data)
	clear(data)
}

// kubeconfigFiles are the kubeconfigs in the usual places: the layout's, and those of
// the users' homes.
func (r *reader) kubeconfigFiles() (files []string) {
	for _, place := range r.layout.kubeconfigs {
		if r.tree.Stat(place).Type != evidence.Directory || isKubeconfig(place) {
			files = append(files, place)
			continue
		}
		for _, name := range r.list(place) {
			if ext := path.Ext(name); ext == ".conf" || ext == ".kubeconfig" || name == "kubeconfig" {
				files = append(files, path.Join(place, name))
			}
		}
	}
	homes := []string{"/root"}
	if names, err := r.tree.ReadDir("/home"); err == nil {
		for _, name := range names {
			homes = append(homes, path.Join("/home", name))
		}
	}
	for _, u := range r.users() {
		if strings.HasPrefix(u.home, "/") && u.home != "/" {
			homes = append(homes, path.Clean(u.home))
		}
	}
	slices.Sort(homes)
	const maxHomes = 5000
	homes = slices.Compact(homes)
	for _, home := range homes[:min(len(homes), maxHomes)] {
		files = append(files, path.Join(home, ".kube/config"))
	}
	return files
}

// isKubeconfig reports whether a file of that name is a kubeconfig, whatever it holds.
func isKubeconfig(file string) bool {
	switch name := path.Base(file); name {
	case "admin.conf", "super-admin.conf", "kubelet.conf", "bootstrap-kubelet.conf", "controller-manager.conf", "scheduler.conf",
		"kubeconfig", "bootstrap-kubeconfig", "kubeconfig-kubelet":
		return true
	case "config":
		return path.Base(path.Dir(file)) == ".kube"
	default:
		return path.Ext(name) == ".kubeconfig"
	}
}

// kubeconfig reads a kubeconfig, and the files that it names. What is not there, or may
// not be looked at, is none; nor is, unless it is certain that one is meant, what does
// not look like one.
func (r *reader) kubeconfig(file string, certain bool) {
	f := r.note(file, false)
	if f.Type == evidence.Missing || f.Error == fs.ErrPermission.Error() || f.Type != evidence.Regular && !certain || r.parsed[f.Path] {
		return
	}
	r.parsed[f.Path] = true
	data, err := r.read(file)
	if err != nil {
		r.host.Kubeconfigs = append(r.host.Kubeconfigs, &evidence.Kubeconfig{Path: f.Path, Error: err.Error()})
		if f.Type == evidence.Directory {
			r.broken(evidence.Issue{File: f.Path, Reason: err.Error()})
		}
		return
	}
	if certain || bytes.Contains(data, []byte("clusters")) || bytes.Contains(data, []byte("users")) || bytes.Contains(data, []byte("Config")) {
		r.parseKubeconfig(f.Path, data)
	}
	clear(data)
}

// A user is a line of /etc/passwd.
type user struct {
	name, home string
	uid        int
}

// users are those of /etc/passwd.
func (r *reader) users() (list []user) {
	data, err := r.open("/etc/passwd")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) < 6 {
			continue
		}
		if uid, err := strconv.Atoi(fields[2]); err == nil {
			list = append(list, user{fields[0], fields[5], uid})
		}
	}
	return list
}
