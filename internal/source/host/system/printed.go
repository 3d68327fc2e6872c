package system

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// What programs printed, put into the tree for Gabion where the kernel's own files are
// not there.
const (
	UnameText    = "/gabion/uname.txt"    // uname -a
	SysctlText   = "/gabion/sysctl.txt"   // sysctl -a
	MountText    = "/gabion/mount.txt"    // mount, or findmnt
	DfText       = "/gabion/df.txt"       // df -k
	RpmText      = "/gabion/rpm.txt"      // rpm -qa
	DpkgText     = "/gabion/dpkg.txt"     // dpkg -l
	VersionsText = "/gabion/versions.txt" // kubelet --version, containerd --version, crio --version
)

// The same in a sosreport.
const (
	sosKernel  = "/sos_commands/kernel"
	sosMounts  = "/sos_commands/filesys"
	sosRpm     = "/installed-rpms"
	sosDpkg    = "/installed-debs"
	sosUname   = sosKernel + "/uname_-a"
	sosSysctl  = sosKernel + "/sysctl_-a"
	sosMount   = sosMounts + "/mount_-l"
	sosFindmnt = sosMounts + "/findmnt"
)

// print returns the first of some texts that is there, with its file; "" for none.
func (r *reader) print(files ...string) (file string, data []byte) {
	for _, file := range files {
		if !r.is(file, evidence.Regular) {
			continue
		}
		if data, err := r.t.ReadFile(file, maxDump); err == nil && len(data) > 0 {
			return file, data
		}
	}
	return "", nil
}

// release matches that of a kernel: 6.1.0-18-amd64.
var release = regexp.MustCompile(`^[0-9]+\.[0-9]+[0-9A-Za-z._+~-]*$`)

// printedKernel is the release that uname -a or uname -r printed, "" for none.
func (r *reader) printedKernel() string {
	_, data := r.print(UnameText, sosUname)
	f := strings.Fields(string(data))
	switch {
	case len(f) > 2 && f[0] == "Linux" && release.MatchString(f[2]):
		return f[2]
	case len(f) == 1 && release.MatchString(f[0]):
		return f[0]
	}
	return ""
}

// printedSysctls are the settings that sysctl -a printed.
func (r *reader) printedSysctls() map[string]evidence.Setting {
	file, data := r.print(SysctlText, sosSysctl)
	found := map[string]evidence.Setting{}
	names := sysctlNames()
	for _, l := range lines(data, "#") {
		name, value, ok := strings.Cut(l.text, "=")
		name = strings.ReplaceAll(sysctlPath(strings.TrimSpace(name)), "/", ".")
		if ok && slices.Contains(names, name) {
			found[name] = evidence.Setting{Value: strings.TrimSpace(value), Place: evidence.Position{File: file, Line: l.number}}
		}
	}
	return found
}

// mountLine matches a line of mount: DEVICE on FOLDER type TYPE (OPTIONS).
var mountLine = regexp.MustCompile(`^(.+?) on (/.*) type (\S+) \(([^()]*)\)`)

// printedMounts reads what mount or findmnt printed, and reports whether it told of any
// file system.
func (r *reader) printedMounts(blocks map[string]string) bool {
	file, data := r.print(MountText, sosMount, sosFindmnt)
	told := false
	for _, l := range lines(data, "#") {
		if len(r.h.System.FileSystems) == maxFileSystems {
			r.miss(evidence.TheDisks, "%s: more than %d file systems", file, maxFileSystems)
			break
		}
		fields := []string{}
		if m := mountLine.FindStringSubmatch(l.text); m != nil {
			fields = m[1:]
		} else if f := strings.Fields(strings.TrimLeft(l.text, " │├└─|`-")); len(f) == 4 && strings.HasPrefix(f[0], "/") {
			fields = []string{strings.Split(f[1], "[")[0], f[0], f[2], f[3]}
		} else if len(f) >= 4 && strings.HasPrefix(f[1], "/") { // a copy of /proc/mounts
			fields = f[:4]
		}
		if len(fields) == 4 {
			told = true
			r.mount(fields, blocks)
		}
	}
	return told
}

// unit matches the column of df that tells the unit of the others.
var unit = regexp.MustCompile(`\b(1K|1k|1024|1M|1048576|1B|1|512)B?-blocks\b`)

// printedSizes fills in the sizes of file systems that df printed in whole blocks.
func (r *reader) printedSizes() {
	names, _ := r.names(sosMounts)
	files := []string{DfText}
	for _, name := range names {
		if strings.HasPrefix(name, "df_-al") && !strings.HasPrefix(name, "df_-ali") {
			files = append(files, path.Join(sosMounts, name))
		}
	}
	_, data := r.print(files...)
	block := int64(0)
	for _, l := range lines(data, "") {
		if m := unit.FindStringSubmatch(l.text); m != nil {
			block = map[string]int64{"1K": 1 << 10, "1k": 1 << 10, "1024": 1 << 10, "1M": 1 << 20, "1048576": 1 << 20, "1B": 1, "1": 1, "512": 512}[m[1]]
			continue
		}
		f := strings.Fields(l.text)
		if block == 0 || len(f) < 6 {
			continue
		}
		n := len(f) - 6 // a device's name may have blanks
		size, err1 := strconv.ParseInt(f[n+1], 10, 64)
		free, err2 := strconv.ParseInt(f[n+3], 10, 64)
		const most = 1 << 50 // blocks
		if err1 != nil || err2 != nil || size < 0 || free < 0 || size > most || free > most {
			continue
		}
		for i := range r.h.System.FileSystems {
			if fs := &r.h.System.FileSystems[i]; fs.Path == f[n+5] && fs.Size == 0 {
				fs.Size, fs.Free = size*block, free*block
			}
		}
	}
}

// nevra matches a package as rpm -qa prints it: NAME-VERSION-RELEASE.ARCHITECTURE.
var nevra = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._+-]*)-([0-9][^-\s]*)-([^-\s]+)\.([a-z0-9_]+)$`)

// printedPackages reads what rpm -qa or dpkg -l printed, where no database tells, and
// reports whether it told of any package.
func (r *reader) printedPackages(known bool) (told bool) {
	if known {
		return false
	}
	keep := func(name, version string) {
		told = true
		if matters(name) && len(r.h.System.Packages) < maxPackages {
			r.h.System.Packages = append(r.h.System.Packages, evidence.Package{Name: name, Version: version})
		}
	}
	_, data := r.print(RpmText, sosRpm)
	for _, l := range lines(data, "#") {
		if m := nevra.FindStringSubmatch(strings.Fields(l.text)[0]); m != nil {
			keep(m[1], m[2]+"-"+m[3])
		}
	}
	_, data = r.print(DpkgText, sosDpkg)
	for _, l := range lines(data, "#") {
		if f := strings.Fields(l.text); len(f) > 3 && f[0] == "ii" {
			name, _, _ := strings.Cut(f[1], ":")
			keep(name, f[2])
		}
	}
	return told
}

// versionLine matches what programs print of their versions: Kubernetes v1.36.3,
// containerd github.com/containerd/containerd v1.7.24 88bf19b, crio version 1.34.1.
var versionLine = regexp.MustCompile(`^(Kubernetes|containerd|crio)\b.*?\s(v?[0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+~-]*)(?:\s|$)`)

// versions fills in the versions of components that they printed. What was once written
// on a node that runs here may be old.
func (r *reader) versions() {
	if r.t.Running() {
		return
	}
	_, data := r.print(VersionsText)
	names := map[string]string{"Kubernetes": evidence.Kubelet, "containerd": evidence.Containerd, "crio": evidence.CRIO}
	for _, l := range lines(data, "#") {
		m := versionLine.FindStringSubmatch(l.text)
		if m == nil {
			continue
		}
		if c := r.h.Component(names[m[1]]); c != nil && c.Version == "" {
			c.Version = "v" + strings.TrimPrefix(m[2], "v")
		}
	}
}
