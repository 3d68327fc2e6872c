package checks

import (
	"path"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// EncryptionConfigFile reports an encryption configuration that others than root can
// read or change (guide: Appendix H).
var EncryptionConfigFile = &check.Check{
	ID:             "encryption-config-file",
	Title:          "encryption configuration is open to others than root",
	Recommendation: "SEC-04",
	Severity:       guide.High,
	Remedy:         "chown root:root and chmod 600 the file, and let only root write to its folder",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "who may read the file with the encryption keys",
	Doc: `The keys of the providers aescbc, aesgcm and secretbox stand in the configuration file itself:
whoever can read it can read all Secrets in a copy of etcd. Whoever can change it can switch
encryption off.

Looked at are mode and owner of the file that ` + "`--encryption-provider-config`" + ` names, where it is
on the node, and whether others may write to its folder. It must belong to root, or to the
user that the API server runs as, with mode 600 or stricter. A symbolic link is judged as
what it leads to.

    chown root:root /etc/kubernetes/enc/config.yaml
    chmod 600 /etc/kubernetes/enc/config.yaml
`,
	Run: eachComponent(encryptionConfigFile, evidence.APIServer),
}

func encryptionConfigFile(n *node, c *evidence.Component) {
	name, _, known := n.flag(c, encryptionFlag, "")
	host, mounted := c.HostPath(name)
	switch {
	case !known:
		return
	case name == "":
		n.inapplicable(encryptsNothing)
		return
	case !mounted:
		n.leaveOut() // encryption-at-rest says so
		return
	}
	f, _ := c.Flag(encryptionFlag)
	file := n.lookedAt(c, f, host)
	if file == nil {
		return
	}
	if file.Type == evidence.Missing {
		n.leaveOut() // encryption-at-rest says so
		return
	}
	if file.Mode&0o077 != 0 {
		n.sayFile(file, "mode", octal(file.Mode), "the encryption configuration %s has mode %s: others than its owner may use it", host, octal(file.Mode))
	}
	if !owned(file, c) {
		n.sayFile(file, "owner", "", "the encryption configuration %s belongs to user %d, not to root", host, file.UID)
	}
	n.folderOf(c, f, host, "the encryption configuration")
}

// folderOf judges the folder of a file: who may write to it can put another file there.
func (n *node) folderOf(c *evidence.Component, f evidence.Flag, file, what string) {
	folder := n.lookedAt(c, f, path.Dir(file))
	switch {
	case folder == nil:
	case folder.Mode&0o022 != 0:
		n.sayFile(folder, "mode", octal(folder.Mode), "the folder of %s, %s, has mode %s: others than its owner may put another file there", what, folder.Path, octal(folder.Mode))
	case !owned(folder, c):
		n.sayFile(folder, "owner", "", "the folder of %s, %s, belongs to user %d, not to root", what, folder.Path, folder.UID)
	}
}
