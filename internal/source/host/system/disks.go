package system

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

const maxFileSystems = 500

// disks reads which file systems are mounted, or are to be.
func (r *reader) disks() {
	blocks := r.mapped()
	tables := []string{"/proc/1/mounts", "/proc/mounts", "/etc/fstab"}
	if r.first(tables[:2]...) == "" && r.printedMounts(blocks) {
		tables = nil
	}
	for _, file := range tables {
		data, there, err := r.read(file)
		if !there || err != nil || len(data) == 0 {
			continue
		}
		for _, l := range lines(data, "#") {
			if len(r.h.System.FileSystems) == maxFileSystems {
				r.miss(evidence.TheDisks, "%s: more than %d file systems", file, maxFileSystems)
				break
			}
			r.mount(strings.Fields(l.text), blocks)
		}
		break
	}
	if len(r.h.System.FileSystems) == 0 {
		r.miss(evidence.TheDisks, "no file system is named in /proc/1/mounts, /proc/mounts, %s or /etc/fstab", MountText)
		return
	}
	r.printedSizes()
	for _, f := range r.h.System.FileSystems {
		if f.Path == "/" && f.Size == 0 {
			r.miss(evidence.TheDisks, "the sizes of file systems can be told on the running node only, or with what df prints in %s", DfText)
		}
	}
}

// mount reads a line of fstab(5): device, folder, type, options.
func (r *reader) mount(f []string, blocks map[string]string) {
	if len(f) < 4 {
		return
	}
	m := evidence.FileSystem{Device: unescape(f[0]), Path: unescape(f[1]), Type: f[2], Options: strings.Split(f[3], ",")}
	if !holdsFiles(m) {
		return
	}
	m.Encrypted = r.encrypted(m.Device, blocks)
	if size, free, ok := r.t.Space(m.Path); ok {
		m.Size, m.Free = size, free
	}
	// Of several mounts at one place the last one is seen.
	list := &r.h.System.FileSystems
	*list = slices.DeleteFunc(*list, func(o evidence.FileSystem) bool { return o.Path == m.Path })
	*list = append(*list, m)
}

// holdsFiles tells the file systems of disks from the kernel's own and from those
// that container runtimes and the kubelet mount for pods.
func holdsFiles(m evidence.FileSystem) bool {
	if !path.IsAbs(m.Path) || m.Type == "swap" {
		return false
	}
	for _, dir := range []string{"/proc", "/sys", "/dev", "/run", "/snap", "/var/lib/kubelet/pods", "/var/lib/kubelet/plugins",
		"/var/lib/containerd/", "/var/lib/docker/", "/var/lib/containers/storage/", "/var/lib/rancher/"} {
		if m.Path == dir || strings.HasPrefix(m.Path, strings.TrimSuffix(dir, "/")+"/") {
			return false
		}
	}
	switch m.Type {
	case "proc", "sysfs", "cgroup", "cgroup2", "devpts", "devtmpfs", "mqueue", "autofs", "binfmt_misc", "bpf", "configfs", "debugfs",
		"efivarfs", "fusectl", "hugetlbfs", "nsfs", "pstore", "ramfs", "rpc_pipefs", "securityfs", "selinuxfs", "tracefs", "squashfs":
		return false
	}
	return true
}

// unescape reads the octal escapes of blanks in mount tables: \040.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// encrypted reports whether dm-crypt makes a device, or all those that it lies on, as a
// volume of LVM does. Where the kernel's view is not there, crypttab(5) tells.
func (r *reader) encrypted(device string, blocks map[string]string) bool {
	if name, ok := strings.CutPrefix(device, "/dev/mapper/"); ok {
		if data, there, err := r.read("/etc/crypttab"); there && err == nil {
			for _, l := range lines(data, "#") {
				if strings.Fields(l.text)[0] == name {
					return true
				}
			}
		}
		block, known := blocks[name]
		return known && r.onCrypt(block, map[string]bool{})
	}
	if block, ok := strings.CutPrefix(device, "/dev/dm-"); ok {
		return r.onCrypt("dm-"+block, map[string]bool{})
	}
	return false
}

// mapped returns the block devices of the device mapper by the names it gives them.
func (r *reader) mapped() map[string]string {
	blocks := map[string]string{}
	names, _ := r.names("/sys/block")
	for _, block := range names {
		if strings.HasPrefix(block, "dm-") {
			blocks[r.word("/sys/block/"+block+"/dm/name")] = block
		}
	}
	return blocks
}

const maxLayered = 1000 // block devices below one

func (r *reader) onCrypt(block string, seen map[string]bool) bool {
	dir := path.Join("/sys/block", path.Base(block))
	if strings.HasPrefix(r.word(dir+"/dm/uuid"), "CRYPT-") {
		return true
	}
	if seen[block] || len(seen) == maxLayered {
		return false
	}
	seen[block] = true
	below, _ := r.names(dir + "/slaves")
	for _, b := range below {
		if !r.onCrypt(b, seen) {
			return false
		}
	}
	return len(below) > 0
}
