package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// PrivateKeyFile reports private keys that others than their owner can read or change
// (guide: Control plane hardening).
var PrivateKeyFile = &check.Check{
	ID:             "private-key-file",
	Title:          "private key can be read by others than its owner",
	Recommendation: "CP-08",
	Severity:       guide.High,
	Remedy:         "chown root:root and chmod 600 the key; if others could read it, replace key and certificate",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "who may read the private keys",
	Doc: `Who holds a private key is who the certificate names: the API server, an administrator, or,
with the key of an authority, anybody.

Looked at are mode and owner of every file with a private key among those of Kubernetes. Only
its owner may have rights to it, and that is root, or the user that the component runs as,
or the user in whose home it lies. Keys that a passphrase protects are left out; those
of clients of etcd belong to the check etcd-client-certificates.

    chown root:root /etc/kubernetes/pki/ca.key
    chmod 600 /etc/kubernetes/pki/ca.key
`,
	Run: eachHost(privateKeyFile),
}

func privateKeyFile(n *node) {
	n.sees(evidence.TheFiles)
	clients := map[string]bool{}
	for _, c := range n.etcdClients() {
		clients[c.PublicKey] = true
	}
	any := false
	for _, k := range n.Keys {
		if k.Encrypted || clients[k.PublicKey] && k.PublicKey != "" || n.otherName(k.Place.File) {
			continue
		}
		any = true
		n.readableKey(k, "")
	}
	if !any {
		n.leaveOut()
	}
}

// otherName reports whether a path is a link to a file that is looked at by its own name
// as well.
func (n *node) otherName(path string) bool {
	f := n.Files[path]
	if f == nil || f.Link == "" {
		return false
	}
	for _, k := range n.Keys {
		if k.Place.File == f.Link {
			return true
		}
	}
	for _, k := range n.Kubeconfigs {
		if k.Path == f.Link {
			return true
		}
	}
	return len(n.inFile(f.Link)) > 0
}

// readableKey judges mode and owner of a private key.
func (n *node) readableKey(k *evidence.PrivateKey, whose string) {
	f := n.stat(k.Place.File)
	if f == nil {
		return
	}
	switch others, group := f.Mode&0o007, f.Mode&0o070; {
	case others != 0:
		n.sayFile(f, "mode", octal(f.Mode), "the private key %s%s has mode %s: every user of the node may use it", f.Path, whose, octal(f.Mode))
	case group != 0:
		p := n.sayFile(f, "mode", octal(f.Mode), "the private key %s%s has mode %s: the group %d may use it", f.Path, whose, octal(f.Mode), f.GID)
		p.Severity, p.SeverityReason = guide.Medium, "only a group may, not everybody"
	}
	if !n.ownerAllowed(f) {
		n.sayFile(f, "owner", "", "the private key %s%s belongs to user %d, not to root", f.Path, whose, f.UID)
	}
}
