package system

import (
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

func (r *reader) operatingSystem() {
	s := &r.h.System
	// In a container, the kernel tells the container's name.
	s.Hostname, _, _ = strings.Cut(r.word("/etc/hostname"), "\n")
	if s.Hostname == "" {
		s.Hostname = r.word("/proc/sys/kernel/hostname")
	}
	s.MachineID = r.word("/etc/machine-id")
	if file := r.osRelease(); file != "" {
		if data, _, err := r.read(file); err == nil {
			release := assignments(file, data)
			s.OS, s.OSVersion, s.OSName = release["ID"].Value, release["VERSION_ID"].Value, release["PRETTY_NAME"].Value
		}
	}
	s.Kernel = r.kernel()
}

func (r *reader) osRelease() string { return r.first("/etc/os-release", "/usr/lib/os-release") }

// kernel is the release of the kernel that runs, else the newest that is installed.
func (r *reader) kernel() string {
	if release := r.word("/proc/sys/kernel/osrelease"); release != "" {
		return release
	}
	if f := strings.Fields(r.word("/proc/version")); len(f) > 2 && f[0] == "Linux" && f[1] == "version" {
		return f[2]
	}
	if release := r.printedKernel(); release != "" {
		return release
	}
	newest := ""
	for _, dir := range []string{"/lib/modules", "/usr/lib/modules"} {
		names, _ := r.names(dir)
		for _, name := range names {
			if name != "" && name[0] >= '0' && name[0] <= '9' && (newest == "" || compare(name, newest) > 0) {
				newest = name
			}
		}
	}
	return newest
}

// compare orders releases: 5.9 before 5.10.
func compare(a, b string) int {
	for a != "" && b != "" {
		na, nb := digits(a), digits(b)
		if na > 0 && nb > 0 {
			x, y := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
			if len(x) != len(y) {
				return len(x) - len(y)
			}
			if c := strings.Compare(x, y); c != 0 {
				return c
			}
			a, b = a[na:], b[nb:]
			continue
		}
		if a[0] != b[0] {
			return int(a[0]) - int(b[0])
		}
		a, b = a[1:], b[1:]
	}
	return len(a) - len(b)
}

// digits is how many digits a text begins with.
func digits(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }

const maxUsers = 10000

func (r *reader) users() {
	data, _, err := r.read("/etc/passwd")
	if err != nil {
		return
	}
	for _, l := range lines(data, "#") {
		f := strings.Split(l.text, ":")
		if len(f) < 7 || len(r.h.System.Users) == maxUsers {
			continue
		}
		uid, err1 := strconv.Atoi(f[2])
		gid, err2 := strconv.Atoi(f[3])
		if err1 == nil && err2 == nil {
			r.h.System.Users = append(r.h.System.Users, evidence.User{Name: f[0], UID: uid, GID: gid, Home: f[5]})
		}
	}
}
