package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// EtcdDisk tells whether the disk below etcd's data is one that the node encrypts
// (guide: summary, since 1.1).
var EtcdDisk = &check.Check{
	ID:             "etcd-disk",
	Title:          "etcd's data lies on a disk that is not encrypted",
	Recommendation: "ETCD-07",
	Severity:       guide.Medium,
	Remedy:         "put etcd's data on a volume that dm-crypt, or the storage below the node, encrypts",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "whether the disk below etcd's data is encrypted",
	Doc: `Who takes a disk away, or a copy of it, reads what is on it, whatever the modes of files say.

Looked at is the file system that holds etcd's ` + "`--data-dir`" + `: it passes when its device is one that
dm-crypt makes. Another device may be encrypted below the node all the same, by the disk itself,
the hypervisor or the provider of the volume, which no node can see. So such a node is not
found fault with; the question stays open.

    cryptsetup luksFormat /dev/sdb && cryptsetup open /dev/sdb etcd
    mkfs.ext4 /dev/mapper/etcd && mount /dev/mapper/etcd /var/lib/etcd
`,
	Run: eachComponent(etcdDisk, evidence.Etcd),
}

func etcdDisk(n *node, c *evidence.Component) {
	folders := etcdFolders(c)
	if len(folders) == 0 {
		n.cannot("etcd: where its data is on the node is not known")
	}
	for _, folder := range folders {
		fs, found := n.fileSystem(n.real(folder))
		switch {
		case !found:
			_, why := n.Saw(evidence.TheDisks)
			n.cannot("etcd: which file system holds %s is not known: %s", folder, why)
		case !fs.Encrypted:
			n.cannot("etcd: the node does not encrypt %s, which holds %s; whether the storage below does, it cannot tell", fs.Device, folder)
		}
	}
}

// fileSystem is the one that holds a file.
func (n *node) fileSystem(file string) (best evidence.FileSystem, found bool) {
	for _, fs := range n.System.FileSystems {
		if fs.Path != "/" && fs.Path != file && !inFolder(file, fs.Path) {
			continue
		}
		if !found || len(fs.Path) >= len(best.Path) {
			best, found = fs, true
		}
	}
	return best, found
}
