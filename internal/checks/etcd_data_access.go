package checks

import (
	"path"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// EtcdDataAccess reports etcd's data, or copies of it, that others than etcd can read
// (guide: summary, since 1.1).
var EtcdDataAccess = &check.Check{
	ID:             "etcd-data-access",
	Title:          "etcd's data can be read by others",
	Recommendation: "ETCD-07",
	Severity:       guide.High,
	Remedy:         "chown the folder to etcd's user, or root, and chmod 700 it; chmod 600 backups",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "who may read etcd's data",
	Doc: `etcd's database holds every object, and what is not encrypted at rest can be read from it with
any editor.

Looked at are mode and owner of ` + "`--data-dir`" + ` and ` + "`--wal-dir`" + ` where they are on the node: the folder
must belong to root, or to the user that etcd runs as, with mode 700 or stricter. Of backups,
as far as they lie where the node was looked at (files of etcd outside of these folders
that are named like a snapshot), nobody but the owner may have rights to the file.

    chown -R etcd:etcd /var/lib/etcd
    chmod 700 /var/lib/etcd
`,
	Leaves: check.Rest{What: "where backups of etcd are kept, and who may read them there", To: []guide.Evidence{guide.Attestation}},
	Run:    eachComponent(etcdDataAccess, evidence.Etcd),
}

func etcdDataAccess(n *node, c *evidence.Component) {
	folders := etcdFolders(c)
	if _, _, known := n.flag(c, "data-dir", ""); known && len(folders) == 0 {
		n.cannot("etcd: where its data is on the node is not known")
	}
	for _, folder := range folders {
		f := n.stat(folder)
		if f == nil {
			if known := n.Files[folder]; known != nil && known.Type == evidence.Missing {
				n.cannot("etcd: its data is not at %s, or that was not copied", folder)
			}
			continue
		}
		if f.Mode&0o077 != 0 {
			n.sayFile(f, "mode", octal(f.Mode), "etcd's data in %s has mode %s: others than its owner may look into the folder", folder, octal(f.Mode))
		}
		if !n.ownerAllowed(f) {
			n.sayFile(f, "owner", "", "etcd's data in %s belongs to user %d, neither root nor etcd", folder, f.UID)
		}
	}
	for _, file := range n.paths() {
		f := n.Files[file]
		if f.Type == evidence.Regular && etcdBackup(c, file) && f.Mode&0o077 != 0 {
			n.sayFile(f, "mode", octal(f.Mode), "the copy of etcd's data in %s has mode %s: others than its owner may read it", file, octal(f.Mode))
		}
	}
}

// etcdFolders are the folders on the node in which etcd keeps its data.
func etcdFolders(c *evidence.Component) (folders []string) {
	for _, flag := range []string{"data-dir", "wal-dir"} {
		if f, given := c.Flag(flag); given && f.Value != "" {
			if folder, ok := c.HostPath(f.Value); ok {
				folders = append(folders, path.Clean(folder))
			}
		}
	}
	return folders
}

// etcdBackup reports whether a file outside of etcd's folders is named like a copy of
// its data.
func etcdBackup(c *evidence.Component, file string) bool {
	for _, folder := range etcdFolders(c) {
		if inFolder(file, folder) {
			return false
		}
	}
	name := strings.ToLower(path.Base(file))
	if !strings.Contains(name, "snap") && !strings.Contains(name, "backup") && !strings.Contains(name, "etcd") {
		return false
	}
	for _, end := range []string{".db", ".snap", ".snapshot", ".bak", ".gz", ".tar", ".zip", ".zst"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}
