package checks

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// KubeconfigContent reports kubeconfigs that do not verify the server or carry
// credentials that last (guide: Kubeconfig files).
var KubeconfigContent = &check.Check{
	ID:             "kubeconfig-content",
	Title:          "kubeconfig does not verify the server or has a lasting credential",
	Recommendation: "KCF-02",
	Severity:       guide.Medium,
	Remedy:         "name the authority and an https server, and let users authenticate by a plugin or a short certificate",
	Needs:          []evidence.Fact{evidence.Hosts},
	Node:           "what kubeconfigs hold",
	Doc: `A kubeconfig decides whether its user finds out that somebody else answers in the API server's
place, and for how long a stolen copy is worth something.

Looked at are the kubeconfigs in /etc/kubernetes, of the kubelet, of root and in the users' homes. Findings
are: ` + "`insecure-skip-tls-verify`" + `, a server without https, no authority given (then any that the
system trusts will do); a password; a token in the file that never ends, or not within a day; a
credential plugin of the old kind (auth-provider); an exec plugin that is none of those that providers
and the well known projects ship; and a client certificate of the group system:masters that
lies in a file, such as kubeadm's super-admin.conf: nothing can take its rights away but a new
authority. Keep that one away from the node. The kubeconfigs of audit and image policy
webhooks have checks of their own.

    mv /etc/kubernetes/super-admin.conf /mnt/offline/
`,
	Run: eachHost(kubeconfigContent),
}

func kubeconfigContent(n *node) {
	n.sees(evidence.TheFiles)
	webhook := n.webhookKubeconfigs()
	for _, k := range n.Kubeconfigs {
		if n.otherName(k.Path) || webhook(k.Path) {
			continue
		}
		if k.Error != "" {
			n.cannot("%s: %s", k.Path, k.Error)
		}
		for _, c := range k.Clusters {
			n.kubeconfigCluster(k, c)
		}
		for _, u := range k.Users {
			n.kubeconfigUser(k, u)
		}
	}
	n.hasKubeconfigs()
}

// hasKubeconfigs records that a node has none among what was read: its kubelet has one
// at least.
func (n *node) hasKubeconfigs() {
	if ok, _ := n.Saw(evidence.TheFiles); ok && len(n.Kubeconfigs) == 0 {
		n.cannot("no kubeconfig is among its files, not even the kubelet's: what was read is not all of it (--host-root on the node itself)")
	}
}

// webhookKubeconfigs tells the kubeconfigs by which the API server reaches the webhooks
// that audit-webhook and image-policy-webhook are about.
func (n *node) webhookKubeconfigs() func(file string) bool {
	c := n.Component(evidence.APIServer)
	if c == nil {
		return func(string) bool { return false }
	}
	audit, _ := c.Flag("audit-webhook-config-file")
	admission := c.Documents["admission-control-config-file"]
	return func(file string) bool {
		of, ok := c.HostPath(audit.Value)
		return ok && audit.Value != "" && of == file || admission != nil && strings.Contains(string(admission.JSON), strconv.Quote(file))
	}
}

func (n *node) kubeconfigCluster(k *evidence.Kubeconfig, c evidence.KubeconfigCluster) {
	where := func(field string) evidence.Path { return filePath(k.Path, "clusters").Field(c.Name, field) }
	switch {
	case c.Server != "" && !strings.HasPrefix(strings.ToLower(c.Server), "https://"):
		n.say(c.Place, where("server"), c.Server, "%s reaches the cluster %q without TLS: %s", k.Path, c.Name, c.Server)
	case c.Insecure:
		n.say(c.Place, where("insecure-skip-tls-verify"), "true", "%s does not verify the server of the cluster %q", k.Path, c.Name)
	case !c.CA && c.Server != "":
		p := n.say(c.Place, where("certificate-authority-data"), "", "%s names no authority for the cluster %q: every one that the system trusts will do", k.Path, c.Name)
		p.Severity, p.SeverityReason = guide.Low, "the server is verified all the same"
	}
}

func (n *node) kubeconfigUser(k *evidence.Kubeconfig, u evidence.KubeconfigUser) {
	where := func(field string) evidence.Path { return filePath(k.Path, "users").Field(u.Name, field) }
	if u.Password {
		n.say(u.Place, where("password"), "", "%s has a password for the user %q", k.Path, u.Name).Sensitive = true
	}
	if u.Token {
		switch left := u.TokenExpires.Sub(n.ReadAt); {
		case u.TokenExpires.IsZero():
			n.say(u.Place, where("token"), "", "%s has a token for the user %q that does not expire, as far as it tells", k.Path, u.Name).Sensitive = true
		case left > oneDay:
			n.say(u.Place, where("token"), u.TokenExpires.UTC().Format(time.RFC3339), "%s has a token for the user %q that is valid for %s yet", k.Path, u.Name, days(left)).Sensitive = true
		}
	}
	if u.AuthProvider != "" {
		n.say(u.Place, where("auth-provider"), u.AuthProvider, "%s authenticates the user %q by the plugin %q of the old kind", k.Path, u.Name, u.AuthProvider)
	}
	if u.Exec != "" && !knownPlugin(u.Exec) {
		n.say(u.Place, where("exec"), u.Exec, "%s runs %q for the user %q, which is no credential plugin that is known", k.Path, u.Exec, u.Name)
	}
	if c := u.Certificate; c != nil && u.Key && slices.Contains(c.Organizations, "system:masters") && c.NotAfter.After(n.ReadAt) {
		p := n.say(u.Place, where("client-certificate-data"), "", "%s has a certificate of the group system:masters, %q, which is valid for %s yet: its rights cannot be taken away", k.Path, c.CommonName, days(c.NotAfter.Sub(n.ReadAt)))
		p.Severity, p.SeverityReason = guide.High, "no rule of the cluster holds for this group"
	}
}

// knownPlugin reports whether a command is one that providers and the well known
// plugins install.
func knownPlugin(command string) bool {
	return slices.Contains([]string{
		"aws", "aws-iam-authenticator", "gke-gcloud-auth-plugin", "gcloud", "kubelogin", "kubectl-oidc_login", "kubectl",
		"az", "doctl", "oci", "ibmcloud", "linode-cli", "exo", "scw", "tsh", "pinniped", "tkg", "tanzu",
		"rancher", "hcloud", "civo", "yc", "aliyun", "tke-auth", "client-keystone-auth",
	}, path.Base(command))
}
