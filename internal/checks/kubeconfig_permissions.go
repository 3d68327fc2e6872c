package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// KubeconfigPermissions reports kubeconfigs that others can read or change (guide:
// Kubeconfig files).
var KubeconfigPermissions = &check.Check{
	ID:             "kubeconfig-permissions",
	Title:          "kubeconfig can be read or changed by others",
	Recommendation: "KCF-01",
	Severity:       guide.High,
	Remedy:         "chmod 600 the file and chown it to root, or to the user in whose home it lies; replace credentials that others could read",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "who may read kubeconfigs",
	Doc: `A kubeconfig with a key, token or password is the right to do all that its user may: with
admin.conf, to do everything. Who can change one leads its user to another server, or has a program
of theirs run by way of an exec plugin.

Looked at are mode and owner of the kubeconfigs in /etc/kubernetes, of the kubelet, of root and in
the users' homes: the mode must be 600 or stricter, the owner root, the user that a component runs
as, or the user in whose home the file is. Where it has no credential itself and is only
readable, the finding is low.

    chown root:root /etc/kubernetes/admin.conf
    chmod 600 /etc/kubernetes/admin.conf
`,
	Run: eachHost(kubeconfigPermissions),
}

func kubeconfigPermissions(n *node) {
	n.sees(evidence.TheFiles)
	any := false
	for _, k := range n.Kubeconfigs {
		if n.otherName(k.Path) {
			continue
		}
		f := n.stat(k.Path)
		if f == nil {
			continue
		}
		any = true
		if f.Type != evidence.Regular {
			n.cannot("%s is no regular file: whose kubeconfig is used in its place is not known", f.Path)
			continue
		}
		switch {
		case f.Mode&0o022 != 0:
			n.sayFile(f, "mode", octal(f.Mode), "the kubeconfig %s has mode %s: others than its owner may change it", f.Path, octal(f.Mode))
		case f.Mode&0o077 != 0 && k.Error == "" && !holdsCredential(k):
			p := n.sayFile(f, "mode", octal(f.Mode), "the kubeconfig %s has mode %s: others than its owner may read it", f.Path, octal(f.Mode))
			p.Severity, p.SeverityReason = guide.Low, "it holds no credential itself"
		case f.Mode&0o077 != 0:
			n.sayFile(f, "mode", octal(f.Mode), "the kubeconfig %s has mode %s: others than its owner may read its credentials", f.Path, octal(f.Mode))
		}
		if !n.ownerAllowed(f) {
			n.sayFile(f, "owner", "", "the kubeconfig %s belongs to user %d, who is neither root nor at home there", f.Path, f.UID)
		}
	}
	if !any {
		n.leaveOut()
	}
	n.hasKubeconfigs()
}

// holdsCredential reports whether a key, token or password stands in a kubeconfig.
func holdsCredential(k *evidence.Kubeconfig) bool {
	for _, u := range k.Users {
		if u.Key || u.Token || u.Password {
			return true
		}
	}
	return false
}
