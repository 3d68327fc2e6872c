package system

import (
	"bytes"
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

const maxPackages = 5000 // that are kept

// packages reads what is installed, of that which a node's part in a cluster hangs on.
func (r *reader) packages() {
	read := r.database("/var/lib/dpkg/status", dpkg)
	if names, _ := r.names("/var/lib/dpkg/status.d"); !read && len(names) > 0 { // images without dpkg
		if len(names) > maxIncluded {
			r.miss(evidence.ThePackages, "/var/lib/dpkg/status.d: more than %d files", maxIncluded)
			names = names[:maxIncluded]
		}
		for _, name := range names {
			if !strings.HasSuffix(name, ".md5sums") {
				read = r.database(path.Join("/var/lib/dpkg/status.d", name), func(data []byte, found func(name, version string)) {
					dpkg(append([]byte("Status: install ok installed\n"), data...), found)
				}) || read
			}
		}
	}
	for _, file := range []string{"/lib/apk/db/installed", "/usr/lib/apk/db/installed"} {
		read = r.database(file, apk) || read
	}
	read = r.printedPackages(read) || read
	for _, dir := range []string{"/var/lib/rpm", "/usr/lib/sysimage/rpm", "/usr/share/rpm"} {
		if read {
			break
		}
		if file := r.first(dir+"/rpmdb.sqlite", dir+"/Packages.db", dir+"/Packages"); file != "" {
			r.miss(evidence.ThePackages, "%s: RPM's database is not read, but %s is (rpm -qa)", file, RpmText)
		}
	}
	if !read {
		r.miss(evidence.ThePackages, "no database of packages is at /var/lib/dpkg/status or /lib/apk/db/installed, and neither %s nor %s is there", DpkgText, RpmText)
	}
	slices.SortFunc(r.h.System.Packages, func(a, b evidence.Package) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	r.h.System.Packages = slices.Compact(r.h.System.Packages)
}

// database reads a database of packages, and reports whether it is there.
func (r *reader) database(file string, parse func([]byte, func(name, version string))) bool {
	if !r.is(file, evidence.Regular) {
		return false
	}
	data, err := r.t.ReadFile(file, maxDatabase)
	if err != nil {
		r.miss(evidence.ThePackages, "%s: %v", file, err)
		return true
	}
	parse(data, func(name, version string) {
		if matters(name) && len(r.h.System.Packages) < maxPackages {
			r.h.System.Packages = append(r.h.System.Packages, evidence.Package{Name: name, Version: version})
		}
	})
	return true
}

// dpkg reads deb822 stanzas.
func dpkg(data []byte, found func(name, version string)) {
	var name, version string
	installed := false
	end := func() {
		if installed && name != "" {
			found(name, version)
		}
		name, version, installed = "", "", false
	}
	for raw := range bytes.Lines(data) {
		text := bytes.TrimRight(raw, "\r\n")
		if len(text) == 0 {
			end()
			continue
		}
		key, value, _ := bytes.Cut(text, []byte(":"))
		switch string(key) {
		case "Package":
			name = string(bytes.TrimSpace(value))
		case "Version":
			version = string(bytes.TrimSpace(value))
		case "Status":
			installed = bytes.HasSuffix(bytes.TrimSpace(value), []byte(" installed"))
		}
	}
	end()
}

// apk reads Alpine's database.
func apk(data []byte, found func(name, version string)) {
	var name, version string
	end := func() {
		if name != "" {
			found(name, version)
		}
		name, version = "", ""
	}
	for raw := range bytes.Lines(data) {
		text := strings.TrimSpace(string(raw[:min(len(raw), 300)]))
		switch {
		case text == "":
			end()
		case strings.HasPrefix(text, "P:"):
			name = text[2:]
		case strings.HasPrefix(text, "V:"):
			version = text[2:]
		}
	}
	end()
}

// matters reports whether a package is one that a node's part in a cluster hangs on:
// Kubernetes, runtimes, network plugins, the kernel, what speaks TLS or lets people
// in, and log daemons.
func matters(name string) bool {
	for _, prefix := range []string{"linux-image-", "linux-lts", "linux-virt", "libssl", "libgnutls", "containerd", "docker", "cri-", "openssl", "rsyslog", "syslog-ng", "fluent", "td-agent"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return slices.Contains([]string{
		"kubelet", "kubeadm", "kubectl", "kubernetes-cni", "containernetworking-plugins", "cni-plugins", "etcd", "etcd-server", "etcd-client", "k3s", "k0s",
		"runc", "crun", "podman", "moby-engine", "moby-containerd", "moby-runc", "gvisor", "runsc", "kata-containers", "nvidia-container-toolkit",
		"systemd", "libsystemd0", "openssh-server", "openssh-client", "openssh", "sudo", "libc6", "glibc", "musl", "bash", "curl", "libcurl4",
		"iptables", "nftables", "apparmor", "audit", "auditd", "audispd-plugins", "systemd-journal-remote",
		"vector", "filebeat", "promtail", "alloy", "kernel", "snapd",
	}, name)
}
