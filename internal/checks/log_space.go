package checks

import (
	"path"
	"strconv"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// LogSpace reports log limits that the disk does not hold (guide: Fault tolerance).
var LogSpace = &check.Check{
	ID:             "log-space",
	Title:          "logs may grow beyond the disk",
	Recommendation: "FT-01",
	Severity:       guide.Low,
	Remedy:         "choose --audit-log-maxbackup times --audit-log-maxsize, and journald's SystemMaxUse, below the free space",
	Needs:          []evidence.Fact{evidence.Hosts, evidence.ControlPlanes},
	Node:           "whether the limits of logs fit the disk",
	Doc: `A disk that is full of logs stops them, and often the node. Limits let the oldest entries go
first, provided that the disk holds as much as they allow.

Looked at is the audit log of API servers that write to a file: its files (` + "`--audit-log-maxbackup`" + `
and the present one) times their size (` + "`--audit-log-maxsize`" + `), without what is there
already, must be below the free space of the file system that holds them. Of journald: SystemMaxUse
must be below the size of its file system. Without it journald stops by itself at a tenth of the
disk, and leaves 15 % free (SystemKeepFree); switching that off without a maximum is reported.
Where the sizes of file systems are not known, as on a node that was copied, the row stays
open.

    - --audit-log-maxbackup=20
    - --audit-log-maxsize=100    # together about 2 GB
`,
	Run: eachHost(logSpace),
}

func logSpace(n *node) {
	any := false
	if c := n.Component(evidence.APIServer); c != nil {
		if f, ok := auditLog(c); ok {
			any = true
			auditSpace(n, c, f)
		}
	}
	if n.sees(evidence.TheLogging) && n.Logging.Journald != nil {
		any = true
		journalSpace(n)
	}
	if !any && !n.open {
		n.inapplicable("neither an audit log nor a journal is kept on it")
	}
}

func auditSpace(n *node, c *evidence.Component, f evidence.Flag) {
	file, mounted := c.HostPath(f.Value)
	l, known := n.auditLimits(c)
	if !known || !mounted { // audit-log-mounts says so
		n.leaveOut()
		return
	}
	if l.size.value == 0 || l.backups.value == 0 {
		of := l.backups
		if l.size.value == 0 {
			of = l.size
		}
		n.say(of.at, flagPath(c, of.flag), "", "the audit log has no limit to its size (--%s): it fills the disk", of.flag)
		return
	}
	disk, ok := n.disk(file)
	if !ok {
		n.cannot("the free space for %s is not known", file)
		return
	}
	const megabyte = 1 << 20
	most := (int64(l.backups.value) + 1) * int64(l.size.value) * megabyte
	if more := most - n.written(file); more > disk.Free {
		of := l.backups
		if !of.given && l.size.given {
			of = l.size
		}
		n.say(of.at, flagPath(c, of.flag), strconv.Itoa(of.value), "the audit log may take %s (%d files of %d MB and the present one), but %s has %s free",
			bytesText(most), l.backups.value, l.size.value, disk.Path, bytesText(disk.Free))
	}
}

// written is the size of an audit log and of its rotated files, as far as they are known.
func (n *node) written(file string) (sum int64) {
	stem := strings.TrimSuffix(file, path.Ext(file)) + "-"
	for _, f := range n.Files {
		if f.Path == file || strings.HasPrefix(f.Path, stem) {
			sum += f.Size
		}
	}
	return sum
}

// disk is the file system that holds a path; false when its size is not known.
func (n *node) disk(file string) (best evidence.FileSystem, known bool) {
	if f := n.Files[file]; f != nil && f.Link != "" {
		file = f.Link
	}
	for _, fs := range n.System.FileSystems {
		if (file == fs.Path || strings.HasPrefix(file, strings.TrimSuffix(fs.Path, "/")+"/")) && len(fs.Path) >= len(best.Path) {
			best = fs
		}
	}
	return best, best.Size > 0
}

func journalSpace(n *node) {
	most := n.Logging.Journald["SystemMaxUse"]
	keep := n.Logging.Journald["SystemKeepFree"]
	if most.Value == "" {
		if free, ok := systemdBytes(keep.Value); ok && free == 0 {
			n.say(keep.Place, evidence.NewPath("journald", "SystemKeepFree"), keep.Value, "the journal leaves no space free, and has no SystemMaxUse")
		}
		return
	}
	bytes, ok := systemdBytes(most.Value)
	if !ok {
		n.cannot("journald: SystemMaxUse=%s is no size", most.Value)
		return
	}
	disk, known := n.disk("/var/log/journal")
	switch {
	case !known:
		n.cannot("the size of the file system of /var/log/journal is not known")
	case bytes > disk.Size:
		n.say(most.Place, evidence.NewPath("journald", "SystemMaxUse"), most.Value, "the journal may take %s, but %s has %s in all", bytesText(bytes), disk.Path, bytesText(disk.Size))
	}
}

// systemdBytes reads a size as systemd writes it: 500M, in units of 1024.
func systemdBytes(text string) (int64, bool) {
	number := strings.TrimRight(text, "KMGTB")
	value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || value < 0 || value > 1<<40 {
		return 0, false
	}
	unit, ok := map[string]float64{"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}[text[len(number):]]
	if !ok || value*unit > 1<<60 {
		return 0, false
	}
	return int64(value * unit), true
}

// bytesText writes a size for people.
func bytesText(n int64) string {
	if n >= 10<<30 {
		return strconv.FormatInt(n>>30, 10) + " GiB"
	}
	return strconv.FormatInt(n>>20, 10) + " MiB"
}
