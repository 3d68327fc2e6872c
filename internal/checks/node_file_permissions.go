package checks

import (
	"path"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// NodeFilePermissions reports files of Kubernetes on a node that others than root can
// change (guide: Control plane hardening).
var NodeFilePermissions = &check.Check{
	ID:             "node-file-permissions",
	Title:          "file of the node can be changed by others than root",
	Recommendation: "CP-08",
	Severity:       guide.High,
	Remedy:         "chown root:root the file or folder and take the right to write from group and others: chmod go-w",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "who may change the files of Kubernetes",
	Doc: `Who may write to the folder of static pods runs what they like as root on the node; who may
change a certificate authority, a kubelet's configuration, a unit or a network plugin gets
there as well.

Looked at are the manifests, configuration files, certificates, units, network plugins and
their folders, each by mode and owner. It must belong to root, or to the user that the
component runs as, and neither group nor others may write to it. Reading is another matter:
a certificate or a kubelet's configuration is no secret, so the mode 0644 that kubeadm gives
them is fine. Private keys, kubeconfigs and etcd's data have checks of their own. A symbolic
link is judged as what it leads to. The socket of the container runtime is found fault
with when everybody may use it.

    chown root:root /etc/kubernetes/manifests/kube-apiserver.yaml
    chmod 600 /etc/kubernetes/manifests/kube-apiserver.yaml
`,
	Run: eachHost(nodeFilePermissions),
}

func nodeFilePermissions(n *node) {
	n.sees(evidence.TheFiles)
	judged := n.judgedElsewhere()
	any := false
	for _, file := range n.paths() {
		if judged(file) {
			continue
		}
		f := n.stat(file)
		if f == nil {
			continue
		}
		any = true
		n.writable(f)
	}
	if !any {
		n.leaveOut()
	}
}

func (n *node) writable(f *evidence.File) {
	what := "file"
	switch f.Type {
	case evidence.Directory:
		what = "folder"
	case evidence.SocketFile:
		if f.Mode&0o002 != 0 {
			n.sayFile(f, "mode", octal(f.Mode), "everybody may use the socket %s (mode %s)", f.Path, octal(f.Mode))
		}
		return
	case evidence.OtherFile:
		return
	}
	if f.Mode&0o022 != 0 {
		n.sayFile(f, "mode", octal(f.Mode), "the %s %s has mode %s: others than its owner may change it", what, f.Path, octal(f.Mode))
	}
	if !n.ownerAllowed(f) {
		n.sayFile(f, "owner", "", "the %s %s belongs to user %d, not to root", what, f.Path, f.UID)
	}
}

// judgedElsewhere tells the files that other checks are about.
func (n *node) judgedElsewhere() func(file string) bool {
	files := map[string]bool{}
	for _, k := range n.Keys {
		files[k.Place.File] = true
	}
	for _, k := range n.Kubeconfigs {
		files[k.Path] = true
	}
	folders := []string{"/var/log", "/root", "/home"}
	for _, c := range n.Components {
		for _, flag := range []string{encryptionFlag, "audit-log-path"} {
			if f, given := c.Flag(flag); given {
				file, _ := c.HostPath(f.Value)
				files[file] = true
				if folder := path.Dir(file); flag == encryptionFlag && folder != "/etc/kubernetes" {
					files[folder] = true
				}
			}
		}
	}
	if c := n.Component(evidence.Etcd); c != nil {
		for _, folder := range etcdFolders(c) {
			files[folder] = true
			folders = append(folders, folder)
		}
	}
	return func(file string) bool {
		if files[file] {
			return true
		}
		for _, folder := range folders {
			if inFolder(file, folder) {
				return true
			}
		}
		return false
	}
}
