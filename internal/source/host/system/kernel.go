package system

import (
	"encoding/json"
	"path"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// sysctlNames are the settings that hardening a node is about: those that the kubelet
// compares (protectKernelDefaults), those that keep processes from the kernel and from
// each other, and those of the network that pods go through.
func sysctlNames() []string {
	return []string{
		"fs.protected_fifos", "fs.protected_hardlinks", "fs.protected_regular", "fs.protected_symlinks", "fs.suid_dumpable",
		"kernel.apparmor_restrict_unprivileged_userns", "kernel.core_pattern", "kernel.dmesg_restrict", "kernel.kexec_load_disabled",
		"kernel.keys.root_maxbytes", "kernel.keys.root_maxkeys", "kernel.kptr_restrict", "kernel.modules_disabled",
		"kernel.panic", "kernel.panic_on_oops", "kernel.perf_event_paranoid", "kernel.pid_max", "kernel.randomize_va_space",
		"kernel.sysrq", "kernel.unprivileged_bpf_disabled", "kernel.unprivileged_userns_clone", "kernel.yama.ptrace_scope",
		"net.bridge.bridge-nf-call-ip6tables", "net.bridge.bridge-nf-call-iptables", "net.core.bpf_jit_harden",
		"net.ipv4.conf.all.accept_redirects", "net.ipv4.conf.all.accept_source_route", "net.ipv4.conf.all.route_localnet",
		"net.ipv4.conf.all.rp_filter", "net.ipv4.conf.all.send_redirects", "net.ipv4.conf.default.rp_filter",
		"net.ipv4.ip_forward", "net.ipv4.tcp_syncookies",
		"net.ipv6.conf.all.accept_redirects", "net.ipv6.conf.all.accept_source_route", "net.ipv6.conf.all.disable_ipv6", "net.ipv6.conf.all.forwarding",
		"user.max_user_namespaces", "vm.overcommit_memory", "vm.panic_on_oom",
	}
}

// sysctls reads the kernel's settings as they are, else as they are configured.
func (r *reader) sysctls() {
	running := map[string]evidence.Setting{}
	for _, name := range sysctlNames() {
		file := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
		if value := r.word(file); value != "" && !(strings.HasPrefix(name, "net.") && r.otherNetwork()) {
			running[name] = evidence.Setting{Value: value, Place: evidence.Position{File: file}}
		}
	}
	if len(running) < few {
		for name, s := range r.printedSysctls() {
			running[name] = s
		}
	}
	r.h.System.Sysctls = running
	switch {
	case len(running) < few:
		r.miss(evidence.TheKernel, "/proc/sys is not there, or not wholly: of the kernel's settings only those in sysctl.conf and sysctl.d are known")
	case r.otherNetwork():
		r.miss(evidence.TheKernel, "/proc/sys/net is that of the container in which this runs: of the network's settings only those in sysctl.conf and sysctl.d are known")
	default:
		return
	}
	for name, s := range r.configuredSysctls() {
		if _, known := running[name]; !known {
			running[name] = s
		}
	}
}

// few is less than what any kernel has of the settings that are read.
const few = 4

// otherNetwork reports whether this runs in a network namespace of its own, whose
// settings the kernel then shows instead of the node's.
func (r *reader) otherNetwork() bool {
	node, err := r.t.ReadLink("/proc/1/ns/net")
	if err != nil {
		return false
	}
	here, err := r.t.ReadLink("/proc/self/ns/net")
	return err == nil && here != node
}

// configuredSysctls applies sysctl.d as systemd-sysctl does. /etc/sysctl.conf is read
// first: systemd takes it only where a link in sysctl.d leads to it, others by itself.
func (r *reader) configuredSysctls() map[string]evidence.Setting {
	dropIns, err := r.dropIns(systemdFolders(), "sysctl.d")
	if err != nil {
		r.miss(evidence.TheKernel, "%v", err)
	}
	exact, excluded := map[string]evidence.Setting{}, map[string]bool{}
	type pattern struct {
		glob    string
		setting evidence.Setting
	}
	var patterns []pattern
	for _, file := range append([]string{"/etc/sysctl.conf"}, dropIns...) {
		data, _, err := r.read(file)
		if err != nil {
			r.miss(evidence.TheKernel, "%v", err)
			continue
		}
		for _, l := range lines(data, "#;") {
			key, value, ok := strings.Cut(l.text, "=")
			name, dash := strings.CutPrefix(strings.TrimSpace(key), "-")
			name = sysctlPath(name)
			s := evidence.Setting{Value: strings.TrimSpace(value), Place: evidence.Position{File: file, Line: l.number}}
			switch {
			case !ok && dash:
				excluded[name] = true
			case ok && strings.ContainsAny(name, "*?["):
				patterns = append(patterns, pattern{name, s})
			case ok:
				exact[name] = s
			}
		}
	}
	settings := map[string]evidence.Setting{}
	for _, name := range sysctlNames() {
		file := strings.ReplaceAll(name, ".", "/")
		if s, ok := exact[file]; ok {
			settings[name] = s
			continue
		}
		for _, p := range patterns {
			if ok, err := path.Match(p.glob, file); err == nil && ok && !excluded[file] {
				settings[name] = p.setting
			}
		}
	}
	return settings
}

// sysctlPath is the path below /proc/sys of a setting's name. Where its first
// separator is a dot, dots and slashes change places (sysctl.d(5)).
func sysctlPath(name string) string {
	if i := strings.IndexAny(name, "./"); i < 0 || name[i] == '/' {
		return name
	}
	return strings.Map(func(c rune) rune {
		switch c {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return c
	}, name)
}

const maxProfiles = 10000

func (r *reader) securityModules() {
	s := &r.h.System
	s.SELinux, s.SELinuxPlace = r.selinux()
	switch enabled := "/sys/module/apparmor/parameters/enabled"; {
	case r.word(enabled) != "":
		on := r.word(enabled) == "Y"
		s.AppArmor = &on
	case r.is("/sys/module", evidence.Directory) && !r.is("/sys/module/apparmor", evidence.Directory):
		s.AppArmor = new(bool)
	}
	if s.AppArmor == nil || !*s.AppArmor {
		return
	}
	file := "/sys/kernel/security/apparmor/profiles"
	data, there, err := r.read(file)
	switch {
	case err != nil:
		r.miss(evidence.TheKernel, "%v", err)
	case !there:
		r.miss(evidence.TheKernel, "%s is not there: securityfs is not mounted, or not in what was read", file)
	}
	for _, l := range lines(data, "") {
		if len(s.AppArmorProfiles) < maxProfiles {
			s.AppArmorProfiles = append(s.AppArmorProfiles, l.text)
		}
	}
}

// selinux tells what SELinux does: as running, else as it will from the next start.
func (r *reader) selinux() (string, evidence.Position) {
	config := "/etc/selinux/config"
	enforce := "/sys/fs/selinux/enforce"
	switch r.word(enforce) {
	case "1":
		return "enforcing", evidence.Position{File: enforce}
	case "0":
		return "permissive", evidence.Position{File: enforce}
	}
	data, there, err := r.read(config)
	if !there || err != nil {
		return "", evidence.Position{}
	}
	if r.is("/sys/fs", evidence.Directory) && r.is("/sys/kernel", evidence.Directory) {
		return "disabled", evidence.Position{File: config} // the running kernel has none, whatever is written
	}
	set := assignments(config, data)["SELINUX"]
	if mode := strings.ToLower(set.Value); slices.Contains([]string{"enforcing", "permissive", "disabled"}, mode) {
		return mode, set.Place
	}
	return "", evidence.Position{}
}

const (
	maxSeccompProfiles = 1000
	maxSeccompDepth    = 8
)

// seccompProfiles reads the profiles that pods may name (localhostProfile): those
// below the folder seccomp of the kubelet's own.
func (r *reader) seccompProfiles() {
	root := "/var/lib/kubelet"
	if kubelet := r.h.Component(evidence.Kubelet); kubelet != nil {
		if f, ok := kubelet.Flag("root-dir"); ok && path.IsAbs(f.Value) {
			root = f.Value
		}
	}
	r.seccompFolder(path.Join(root, "seccomp"), 0)
}

func (r *reader) seccompFolder(dir string, depth int) {
	names, err := r.names(dir)
	if err != nil {
		r.miss(evidence.TheKernel, "%v", err)
	}
	for _, name := range names {
		file := path.Join(dir, name)
		switch info := r.t.Stat(file); {
		case len(r.h.System.SeccompProfiles) == maxSeccompProfiles:
			r.miss(evidence.TheKernel, "%s: more than %d seccomp profiles", dir, maxSeccompProfiles)
			return
		case info.Type == evidence.Directory && info.Link == "" && depth < maxSeccompDepth:
			r.seccompFolder(file, depth+1)
		case info.Type == evidence.Regular:
			r.h.System.SeccompProfiles = append(r.h.System.SeccompProfiles, r.seccompProfile(file))
		}
	}
}

func (r *reader) seccompProfile(file string) evidence.SeccompProfile {
	p := evidence.SeccompProfile{Path: file}
	data, _, err := r.read(file)
	if err != nil {
		p.Error = strings.TrimPrefix(err.Error(), file+": ")
		return p
	}
	var profile struct {
		DefaultAction string `json:"defaultAction"`
	}
	if err := json.Unmarshal(data, &profile); err != nil {
		p.Error = "not a seccomp profile: " + err.Error()
		return p
	}
	if p.DefaultAction = profile.DefaultAction; p.DefaultAction == "" {
		p.Error = "not a seccomp profile: it has no defaultAction"
	}
	return p
}
