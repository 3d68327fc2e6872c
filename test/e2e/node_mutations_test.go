//go:build cluster

package e2e

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/report"
)

// A mutation is one change of a node, and the findings that come and go by it.
type mutation struct {
	name       string
	change     func(t *testing.T, root string)
	come, gone []string
}

const (
	apiServerPod = "etc/kubernetes/manifests/kube-apiserver.yaml"
	managerPod   = "etc/kubernetes/manifests/kube-controller-manager.yaml"
	etcdPod      = "etc/kubernetes/manifests/etcd.yaml"
	schedulerPod = "etc/kubernetes/manifests/kube-scheduler.yaml"
	kubeletYAML  = "var/lib/kubelet/config.yaml"
	kubeletEnv   = "var/lib/kubelet/kubeadm-flags.env"
	dropInYAML   = "etc/kubernetes/kubelet.conf.d/10-gabion.conf"
	gabionDir    = "etc/kubernetes/gabion/"
	auditDir     = "var/log/kubernetes/audit"
	pkiDir       = "etc/kubernetes/pki/"
)

// eachMutation puts one change after the other into a copy of a node. Findings come and
// go as they should, and no recommendation is answered otherwise than before but those
// that they are about; only an answer may be lost with the file that it came from.
func eachMutation(t *testing.T, root string, before *report.Report, mutations []mutation) {
	base, was := ofNode(t, before), rows(before)
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			changed := copyTree(t, root)
			m.change(t, changed)
			after := scan(t, "--host-root", changed)
			now := ofNode(t, after)
			come, gone := notIn(now, base), notIn(base, now)
			if got := places(come); !slices.Equal(got, m.come) {
				t.Errorf("came %q, want %q", got, m.come)
			}
			if got := places(gone); !slices.Equal(got, m.gone) {
				t.Errorf("went %q, want %q", got, m.gone)
			}
			for id, row := range rows(after) {
				about := func(f report.Finding) bool { return f.Recommendation == id }
				if slices.ContainsFunc(come, about) && row.Status != report.Fail {
					t.Errorf("%s is %s", id, row.Status)
				}
				answered := row.Status == report.Pass || row.Status == report.Fail || len(come)+len(gone) == 0
				if row.Status != was[id].Status && answered && !slices.ContainsFunc(slices.Concat(come, gone), about) {
					t.Errorf("%s was %s and is %s: %s", id, was[id].Status, row.Status, row.Reason)
				}
			}
		})
	}
}

func copyTree(t *testing.T, root string) string {
	t.Helper()
	changed := t.TempDir()
	if out, err := exec.Command("cp", "-a", root+"/.", changed).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return changed
}

var kubeadmMutations = []mutation{
	{"kubeconfig for all", chmod("etc/kubernetes/admin.conf", 0o644), []string{`kubeconfig-permissions files["/etc/kubernetes/admin.conf"].mode`}, nil},
	{"key for all", chmod(pkiDir+"ca.key", 0o644), []string{`private-key-file files["/etc/kubernetes/pki/ca.key"].mode`}, nil},
	{"manifest of a user", chown(managerPod, 1000), []string{`node-file-permissions files["/etc/kubernetes/manifests/kube-controller-manager.yaml"].owner`}, nil},
	{"etcd's data for all", chmod("var/lib/etcd", 0o755), []string{"etcd-data-access files./var/lib/etcd.mode"}, nil},
	{"kubelet's configuration for all to write", chmod(kubeletYAML, 0o666), []string{`node-file-permissions files["/var/lib/kubelet/config.yaml"].mode`}, nil},
	{"everything allowed", replace(apiServerPod, "=Node,RBAC", "=AlwaysAllow"), []string{"authorization-mode kube-apiserver.authorization-mode.AlwaysAllow"}, nil},
	{"kubelets unrestricted", replace(apiServerPod, "--enable-admission-plugins=NodeRestriction", "--enable-admission-plugins=AlwaysPullImages"), []string{"node-restriction kube-apiserver.enable-admission-plugins.NodeRestriction"}, nil},
	{"etcd for all", replace(etcdPod, "--client-cert-auth=true", "--client-cert-auth=false"), []string{"etcd-client-auth etcd.client-cert-auth"}, nil},
	{"etcd's peers are anybody", replace(etcdPod, "--peer-client-cert-auth=true", "--peer-client-cert-auth=false"), []string{"etcd-peer-tls etcd.peer-client-cert-auth"}, nil},
	{"etcd trusts the cluster's authority", swapCertificate("etcd/ca", "ca"), []string{
		`certificate-issuer files["/etc/kubernetes/pki/apiserver-etcd-client.crt"].issuer`,
		`certificate-issuer files["/etc/kubernetes/pki/etcd/peer.crt"].issuer`,
		`certificate-issuer files["/etc/kubernetes/pki/etcd/server.crt"].issuer`,
		"etcd-separate-ca etcd.trusted-ca-file",
	}, nil},
	{"front proxy by the cluster's authority", swapCertificate("front-proxy-ca", "ca"), []string{
		`certificate-issuer files["/etc/kubernetes/pki/front-proxy-client.crt"].issuer`,
		"front-proxy-ca kube-apiserver.requestheader-client-ca-file",
	}, nil},
	{"another's certificate", swapCertificate("apiserver", "etcd/server"), []string{
		`certificate-issuer files["/etc/kubernetes/pki/apiserver.crt"].issuer`,
		`certificate-names files["/etc/kubernetes/pki/apiserver.crt"].names`,
		`etcd-client-certificates files["/etc/kubernetes/pki/apiserver.crt"].certificate`,
	}, nil},
	{"TLS 1.1", withFlag(apiServerPod, "kube-apiserver", "--tls-min-version=VersionTLS11"), []string{"tls-version kube-apiserver.tls-min-version"}, nil},
	{"weak cipher", withFlag(apiServerPod, "kube-apiserver", "--tls-cipher-suites=TLS_RSA_WITH_AES_128_CBC_SHA"), []string{"tls-cipher-suites kube-apiserver.tls-cipher-suites.TLS_RSA_WITH_AES_128_CBC_SHA"}, nil},
	{"deleted accounts", withFlag(apiServerPod, "kube-apiserver", "--service-account-lookup=false"), []string{"authentication-methods kube-apiserver.service-account-lookup"}, nil},
	{"manager for all addresses", replace(managerPod, "--bind-address=127.0.0.1", "--bind-address=0.0.0.0"), []string{"control-plane-bind-address kube-controller-manager.bind-address"}, nil},
	{"pods without the root authority", replace(managerPod, "    - --root-ca-file=/etc/kubernetes/pki/ca.crt\n", ""), []string{"controller-manager-root-ca kube-controller-manager.root-ca-file"}, nil},
	{"anonymous users of the kubelet", replace(kubeletYAML, "anonymous:\n    enabled: false", "anonymous:\n    enabled: true"), []string{"kubelet-api-access kubelet.authentication.anonymous.enabled"}, nil},
	{"everything allowed by the kubelet", replace(kubeletYAML, "mode: Webhook", "mode: AlwaysAllow"), []string{
		"kubelet-api-access kubelet.authorization.mode",
		"kubelet-authorization kubelet.authorization.mode",
	}, nil},
	{"kubelet's plain port", replace(kubeletYAML, "kind: KubeletConfiguration", "kind: KubeletConfiguration\nreadOnlyPort: 10255"), []string{"kubelet-read-only-port kubelet.readOnlyPort"}, nil},
	{"server not verified", replace("etc/kubernetes/kubelet.conf", "    server: ", "    insecure-skip-tls-verify: true\n    server: "), []string{`kubeconfig-content files["/etc/kubernetes/kubelet.conf"].clusters.kubernetes.insecure-skip-tls-verify`}, nil},
	{"no anonymous requests", withFlag(apiServerPod, "kube-apiserver", "--anonymous-auth=false"), nil, []string{"anonymous-requests kube-apiserver.anonymous-auth"}},
	{"kubelet filters system calls", replace(kubeletYAML, "kind: KubeletConfiguration", "kind: KubeletConfiguration\nseccompDefault: true"), nil, []string{"kubelet-seccomp-default kubelet.seccompDefault"}},
	{"kubelet's flag wins", replace("var/lib/kubelet/kubeadm-flags.env", `="`, `="--pod-max-pids=4096 `), nil, []string{"pod-pids-limit kubelet.podPidsLimit"}},
	{"no super administrator", remove("etc/kubernetes/super-admin.conf"), nil, []string{
		`kubeconfig-content files["/etc/kubernetes/super-admin.conf"].users.kubernetes-super-admin.client-certificate-data`,
	}},

	{"API server believes any token", withFlag(apiServerPod, "kube-apiserver", "--token-auth-file=/etc/kubernetes/tokens.csv"), []string{"static-credentials kube-apiserver.token-auth-file"}, nil},
	{"nobody asked about rights", replace(apiServerPod, "    - --authorization-mode=Node,RBAC\n", ""), []string{
		"authorization-mode kube-apiserver.authorization-mode",
	}, nil},
	{"attributes beside roles", replace(apiServerPod, "=Node,RBAC", "=Node,RBAC,ABAC"), []string{"authorization-mode kube-apiserver.authorization-mode.ABAC"}, nil},
	{"no roles", replace(apiServerPod, "=Node,RBAC", "=Node"), []string{"authorization-mode kube-apiserver.authorization-mode.RBAC"}, nil},
	{"kubelets without their own authorizer", replace(apiServerPod, "=Node,RBAC", "=RBAC"), []string{"authorization-mode kube-apiserver.authorization-mode.Node"}, nil},
	{"no plugin for kubelets at all", replace(apiServerPod, "--enable-admission-plugins=", "--disable-admission-plugins="), []string{"node-restriction kube-apiserver.enable-admission-plugins.NodeRestriction"}, nil},
	{"no clients' authority", replace(apiServerPod, "    - --client-ca-file=/etc/kubernetes/pki/ca.crt\n", ""), []string{
		"api-server-certificates kube-apiserver.client-ca-file",
	}, nil},
	{"no certificate for kubelets", replace(apiServerPod, "    - --kubelet-client-certificate=/etc/kubernetes/pki/apiserver-kubelet-client.crt\n", ""), []string{"api-server-certificates kube-apiserver.kubelet-client-certificate"}, nil},
	{"no key for kubelets", replace(apiServerPod, "    - --kubelet-client-key=/etc/kubernetes/pki/apiserver-kubelet-client.key\n", ""), []string{"api-server-certificates kube-apiserver.kubelet-client-key"}, nil},
	{"no serving certificate", replace(apiServerPod, "    - --tls-cert-file=/etc/kubernetes/pki/apiserver.crt\n", ""), []string{"api-server-certificates kube-apiserver.tls-cert-file"}, nil},
	{"etcd is not verified", replace(apiServerPod, "    - --etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt\n", ""), []string{"api-server-etcd-tls kube-apiserver.etcd-cafile"}, nil},
	{"no certificate for etcd", replace(apiServerPod, "    - --etcd-certfile=/etc/kubernetes/pki/apiserver-etcd-client.crt\n", ""), []string{"api-server-etcd-tls kube-apiserver.etcd-certfile"}, nil},
	{"etcd in plain text", replace(apiServerPod, "--etcd-servers=https://", "--etcd-servers=http://"), []string{"api-server-etcd-tls kube-apiserver.etcd-servers"}, nil},
	{"front proxy's authority is that of clients", replace(apiServerPod, "--requestheader-client-ca-file=/etc/kubernetes/pki/front-proxy-ca.crt", "--requestheader-client-ca-file=/etc/kubernetes/pki/ca.crt"), []string{
		`certificate-issuer files["/etc/kubernetes/pki/front-proxy-client.crt"].issuer`,
		"front-proxy-ca kube-apiserver.requestheader-client-ca-file",
	}, nil},
	{"no standards for pods", withFlag(apiServerPod, "kube-apiserver", "--disable-admission-plugins=PodSecurity"), []string{"pod-security-admission kube-apiserver.disable-admission-plugins.PodSecurity"}, []string{"pod-security-admission kube-apiserver.admission-control-config-file"}},
	{"no bootstrap tokens", replace(apiServerPod, "    - --enable-bootstrap-token-auth=true\n", ""), nil, []string{"authentication-methods kube-apiserver.enable-bootstrap-token-auth"}},
	{"tokens for an hour", withFlag(apiServerPod, "kube-apiserver", "--service-account-max-token-expiration=1h"), nil, []string{"token-lifetime kube-apiserver.service-account-max-token-expiration"}},
	{"tokens as asked for", withFlag(apiServerPod, "kube-apiserver", "--service-account-extend-token-expiration=false"), nil, []string{"token-lifetime kube-apiserver.service-account-extend-token-expiration"}},
	{"kubelets verified", withFlag(apiServerPod, "kube-apiserver", "--kubelet-certificate-authority=/etc/kubernetes/pki/ca.crt"), nil, []string{"api-server-certificates kube-apiserver.kubelet-certificate-authority"}},
	{"old API server", replace(apiServerPod, "kube-apiserver:v1.36", "kube-apiserver:v1.33"), []string{"unsupported-component kube-apiserver.version", "unsupported-node-release kube-apiserver.version"}, nil},

	{"manager's TLS 1.0", withFlag(managerPod, "kube-controller-manager", "--tls-min-version=VersionTLS10"), []string{"tls-version kube-controller-manager.tls-min-version"}, nil},
	{"manager's weak cipher", withFlag(managerPod, "kube-controller-manager", "--tls-cipher-suites=TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA"), []string{"tls-cipher-suites kube-controller-manager.tls-cipher-suites.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA"}, nil},
	{"scheduler for all addresses", replace(schedulerPod, "    - --bind-address=127.0.0.1\n", ""), []string{"control-plane-bind-address kube-scheduler.bind-address"}, nil},
	{"scheduler's TLS 1.1", withFlag(schedulerPod, "kube-scheduler", "--tls-min-version=VersionTLS11"), []string{"tls-version kube-scheduler.tls-min-version"}, nil},
	{"old scheduler", replace(schedulerPod, "kube-scheduler:v1.36", "kube-scheduler:v1.32"), []string{"unsupported-component kube-scheduler.version", "unsupported-node-release kube-scheduler.version"}, nil},

	{"etcd asks nobody who it is", replace(etcdPod, "    - --client-cert-auth=true\n", ""), []string{"etcd-client-auth etcd.client-cert-auth"}, nil},
	{"etcd's clients in plain text", replace(etcdPod, "listen-client-urls=https://127.0.0.1:2379,https://", "listen-client-urls=https://127.0.0.1:2379,http://"), []string{"etcd-client-tls etcd.listen-client-urls"}, nil},
	{"etcd makes its own certificate", withFlag(etcdPod, "etcd", "--auto-tls"), []string{"etcd-client-tls etcd.auto-tls"}, nil},
	{"etcd without a certificate", replace(etcdPod, "    - --cert-file=/etc/kubernetes/pki/etcd/server.crt\n", ""), []string{"etcd-client-tls etcd.cert-file"}, nil},
	{"etcd's peers make their own certificates", withFlag(etcdPod, "etcd", "--peer-auto-tls"), []string{"etcd-peer-tls etcd.peer-auto-tls"}, nil},
	{"etcd's peers in plain text", replace(etcdPod, "--listen-peer-urls=https://", "--listen-peer-urls=http://"), []string{"etcd-peer-tls etcd.listen-peer-urls"}, nil},
	{"etcd's weak cipher", withFlag(etcdPod, "etcd", "--cipher-suites=TLS_ECDHE_RSA_WITH_RC4_128_SHA"), []string{"tls-cipher-suites etcd.cipher-suites.TLS_ECDHE_RSA_WITH_RC4_128_SHA"}, nil},

	{"kubelet without clients' authority", replace(kubeletYAML, "    clientCAFile: /etc/kubernetes/pki/ca.crt\n", "    clientCAFile: \"\"\n"), []string{"kubelet-api-access kubelet.authentication.x509.clientCAFile"}, nil},
	{"kubelet keeps its certificate", replace(kubeletYAML, "rotateCertificates: true", "rotateCertificates: false"), []string{"kubelet-client-rotation kubelet.rotateCertificates"}, nil},
	{"kubelet's TLS 1.0", replace(kubeletYAML, "kind: KubeletConfiguration", "kind: KubeletConfiguration\ntlsMinVersion: VersionTLS10"), []string{"tls-version kubelet.tlsMinVersion"}, nil},
	{"kubelet's weak cipher", replace(kubeletYAML, "kind: KubeletConfiguration", "kind: KubeletConfiguration\ntlsCipherSuites: [TLS_RSA_WITH_AES_128_CBC_SHA]"), []string{"tls-cipher-suites kubelet.tlsCipherSuites.TLS_RSA_WITH_AES_128_CBC_SHA"}, nil},
	{"kubelet asks the cluster for its certificate", replace(kubeletYAML, "kind: KubeletConfiguration", "kind: KubeletConfiguration\nserverTLSBootstrap: true"), nil, []string{"kubelet-serving-certificate kubelet.serverTLSBootstrap"}},
	{"plain port by a flag", replace(kubeletEnv, `="`, `="--read-only-port=10255 `), []string{"kubelet-read-only-port kubelet.readOnlyPort"}, nil},
	{"anonymous users by a flag", replace(kubeletEnv, `="`, `="--anonymous-auth=true `), []string{"kubelet-api-access kubelet.authentication.anonymous.enabled"}, nil},
	{"plain port by the unit", replace("etc/systemd/system/kubelet.service.d/10-kubeadm.conf", "kubelet $ACCESS", "kubelet --read-only-port=10255 $ACCESS"), []string{"kubelet-read-only-port kubelet.readOnlyPort"}, nil},

	{"unit for all to write", chmod("etc/systemd/system/kubelet.service", 0o666), []string{`node-file-permissions files["/etc/systemd/system/kubelet.service"].mode`}, nil},
	{"unit's drop-in of a user", chown("etc/systemd/system/kubelet.service.d/10-kubeadm.conf", 1000), []string{`node-file-permissions files["/etc/systemd/system/kubelet.service.d/10-kubeadm.conf"].owner`}, nil},
	{"kubelet's flags for all to write", chmod(kubeletEnv, 0o646), []string{`node-file-permissions files["/var/lib/kubelet/kubeadm-flags.env"].mode`}, nil},
	{"manifests' folder for a group to write", chmod("etc/kubernetes/manifests", 0o770), []string{`node-file-permissions files./etc/kubernetes/manifests.mode`}, nil},
	{"manifest for a group to write", chmod(schedulerPod, 0o620), []string{`node-file-permissions files["/etc/kubernetes/manifests/kube-scheduler.yaml"].mode`}, nil},
	{"authority for all to write", chmod(pkiDir+"ca.crt", 0o666), []string{`node-file-permissions files["/etc/kubernetes/pki/ca.crt"].mode`}, nil},
	{"service accounts' key of a user", chown(pkiDir+"sa.pub", 1000), []string{`node-file-permissions files["/etc/kubernetes/pki/sa.pub"].owner`}, nil},
	{"kubeconfig of a user", chown("etc/kubernetes/scheduler.conf", 1000), []string{`kubeconfig-permissions files["/etc/kubernetes/scheduler.conf"].owner`}, nil},
	{"kubelet's kubeconfig for a group", chmod("etc/kubernetes/kubelet.conf", 0o640), []string{`kubeconfig-permissions files["/etc/kubernetes/kubelet.conf"].mode`}, nil},
	{"key of a user", chown(pkiDir+"sa.key", 1000), []string{`private-key-file files["/etc/kubernetes/pki/sa.key"].owner`}, nil},
	{"etcd's key for a group", chmod(pkiDir+"etcd/server.key", 0o640), []string{`etcd-client-certificates files["/etc/kubernetes/pki/etcd/server.key"].mode`}, nil},
	{"etcd client's key for all", chmod(pkiDir+"apiserver-etcd-client.key", 0o644), []string{`etcd-client-certificates files["/etc/kubernetes/pki/apiserver-etcd-client.key"].mode`}, nil},
	{"etcd's data of a user", chown("var/lib/etcd", 1000), []string{`etcd-data-access files./var/lib/etcd.owner`}, nil},

	{"plain text to the API server", replace("etc/kubernetes/controller-manager.conf", "server: https://", "server: http://"), []string{`kubeconfig-content files["/etc/kubernetes/controller-manager.conf"].clusters.kubernetes.server`}, nil},
	{"any authority", without("etc/kubernetes/scheduler.conf", "certificate-authority-data: "), []string{`kubeconfig-content files["/etc/kubernetes/scheduler.conf"].clusters.kubernetes.certificate-authority-data`}, nil},
	{"token that never ends", replace("etc/kubernetes/admin.conf", "- name: kubernetes-admin\n  user:\n", "- name: kubernetes-admin\n  user:\n    token: abcdef.0123456789abcdef\n"), []string{`kubeconfig-content files["/etc/kubernetes/admin.conf"].users.kubernetes-admin.token`}, nil},

	{"certificate renewed", reissue("apiserver", "ca", nil, nil), nil, nil},
	{"certificate ends soon", reissue("apiserver", "ca", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = c.NotBefore.AddDate(-1, 0, 0), time.Now().Add(5*24*time.Hour)
	}, nil), []string{`certificate-validity files["/etc/kubernetes/pki/apiserver.crt"].validity`}, nil},
	{"certificate has ended", reissue("front-proxy-client", "front-proxy-ca", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = c.NotBefore.AddDate(-1, 0, 0), time.Now().Add(-time.Hour)
	}, nil), []string{`certificate-validity files["/etc/kubernetes/pki/front-proxy-client.crt"].validity`}, nil},
	{"certificate is not valid yet", reissue("apiserver-kubelet-client", "ca", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(24 * time.Hour) }, nil), []string{`certificate-validity files["/etc/kubernetes/pki/apiserver-kubelet-client.crt"].validity`}, nil},
	{"wrong authority", reissue("apiserver-kubelet-client", "front-proxy-ca", nil, nil), []string{`certificate-issuer files["/etc/kubernetes/pki/apiserver-kubelet-client.crt"].issuer`}, nil},
	{"etcd's certificate by the cluster's authority", reissue("etcd/server", "ca", nil, nil), []string{`certificate-issuer files["/etc/kubernetes/pki/etcd/server.crt"].issuer`}, nil},
	{"weak key", reissue("apiserver", "ca", nil, newRSA(1024)), []string{`certificate-strength files["/etc/kubernetes/pki/apiserver.crt"].key`}, nil},
	{"weak signature", reissue("etcd/peer", "etcd/ca", func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA1WithRSA }, nil), []string{`certificate-strength files["/etc/kubernetes/pki/etcd/peer.crt"].signature`}, nil},
	{"certificate lacks a name", reissue("apiserver", "ca", func(c *x509.Certificate) {
		c.DNSNames = slices.DeleteFunc(c.DNSNames, func(n string) bool { return n == "kubernetes.default.svc" })
	}, nil), []string{`certificate-names files["/etc/kubernetes/pki/apiserver.crt"].names`}, nil},
	{"certificate lacks the address", reissue("etcd/peer", "etcd/ca", func(c *x509.Certificate) { c.IPAddresses = c.IPAddresses[1:] }, nil), []string{`certificate-names files["/etc/kubernetes/pki/etcd/peer.crt"].names`}, nil},
	{"another key", copyOver(pkiDir+"apiserver.key", pkiDir+"front-proxy-client.key"), []string{"certificate-key kube-apiserver.tls-cert-file"}, nil},
	{"no key", remove(pkiDir + "apiserver-kubelet-client.key"), []string{"certificate-key kube-apiserver.kubelet-client-certificate"}, nil},
	{"another client of etcd", reissueAs("etcd/backup", "etcd/healthcheck-client", "etcd/ca", func(c *x509.Certificate) { c.Subject.CommonName = "backup" }, nil), []string{`etcd-client-certificates files["/etc/kubernetes/pki/etcd/backup.crt"].certificate`}, nil},
}

// hardenedFaults are what is left in a node of kubeadm's that has got all that the
// project generates: what people decide, and the encryption's key beside what it encrypts.
var hardenedFaults = []string{
	"authentication-methods kube-apiserver.enable-bootstrap-token-auth",
	"encryption-key-service kube-apiserver.encryption-provider-config.resources[0].providers[0]",
	`kubeconfig-content files["/etc/kubernetes/super-admin.conf"].users.kubernetes-super-admin.client-certificate-data`,
	"token-lifetime kube-apiserver.service-account-extend-token-expiration",
	"token-lifetime kube-apiserver.service-account-max-token-expiration",
}

// podSecurity is what pods are held to where their namespace says nothing.
const podSecurity = `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {enforce: baseline, enforce-version: latest, audit: restricted, audit-version: latest, warn: restricted, warn-version: latest}
    exemptions:
      namespaces: [kube-system]
`

// hardenedNode is a node of kubeadm's with all that the project generates. The system
// below it, of which kubeadm writes nothing, is that of the examples' node.
func hardenedNode(t *testing.T, kubeadm string) string {
	t.Helper()
	root := copyTree(t, kubeadm)
	for file, args := range map[string]string{
		gabionDir + "audit-policy.yaml":   "audit-policy",
		gabionDir + "authentication.yaml": "authentication-config",
		gabionDir + "encryption.yaml":     "encryption-config",
		dropInYAML:                        "kubelet-config",
		apiServerPod:                      "apiserver-flags --admission-config /etc/kubernetes/gabion/admission.yaml --kubelet-ca /etc/kubernetes/pki/ca.crt " + filepath.Join(root, apiServerPod),
		"firewall.nft":                    "firewall --role control-plane --control-plane 10.99.0.0/28 --nodes 10.99.1.0/24 --pod-cidr 10.244.0.0/16 --admin 192.0.2.10 --default-drop",
	} {
		putPrivate(file, run(t, append([]string{"generate"}, strings.Fields(args)...)...).out)(t, root)
	}
	putPrivate(gabionDir+"admission.yaml", podSecurity)(t, root)
	putPrivate(auditDir+"/audit.log", "{}\n")(t, root)
	replace(kubeletEnv, `="`, `="--config-dir=/etc/kubernetes/kubelet.conf.d `)(t, root)

	// What nft itself says of the rules that it took.
	load := exec.CommandContext(t.Context(), "unshare", "-n", "sh", "-c", `nft -f "$0" && nft -j list ruleset`, filepath.Join(root, "firewall.nft"))
	rules, err := load.Output()
	if err != nil {
		t.Fatalf("nft: %v", err)
	}
	putPrivate("gabion/nft.json", string(rules))(t, root)

	example := checktest.BaseNode(t, "kubeadm").Tree(t)
	here := strings.NewReplacer("0B00000A", "0100630A", "cp-1", "cp1",
		"Version: 2.2.1-1", "Version: 2.3.1-1") // which is supported for longer
	for _, file := range systemFiles {
		data, err := example.ReadFile("/"+file, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		putPrivate(file, here.Replace(string(data)))(t, root)
	}
	for _, unit := range []string{"rsyslog", "auditd"} {
		put(t, root, "etc/systemd/system/multi-user.target.wants/"+unit+".service", "-> /usr/lib/systemd/system/"+unit+".service")
	}
	put(t, root, "var/log/journal/.keep", "")
	putPrivate("proc/700/cmdline", strings.Join([]string{
		"/usr/bin/kubelet", "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf", "--kubeconfig=/etc/kubernetes/kubelet.conf",
		"--config=/var/lib/kubelet/config.yaml", "--config-dir=/etc/kubernetes/kubelet.conf.d", "--hostname-override=cp1", "",
	}, "\x00"))(t, root)
	return root
}

// systemFiles are what the node has of a system.
var systemFiles = strings.Fields(`etc/os-release etc/passwd usr/bin/kubelet var/lib/dpkg/status
	etc/containerd/config.toml etc/cni/net.d/05-cilium.conflist
	etc/systemd/journald.conf etc/rsyslog.conf etc/rsyslog.d/10-forward.conf etc/ssl/certs/logs.crt etc/audit/auditd.conf
	usr/lib/systemd/systemd-journald usr/sbin/rsyslogd usr/sbin/auditd
	usr/lib/systemd/system/rsyslog.service usr/lib/systemd/system/auditd.service
	sys/module/apparmor/parameters/enabled sys/kernel/security/apparmor/profiles sys/block/dm-0/dm/uuid sys/block/dm-0/dm/name
	proc/version proc/sys/kernel/osrelease proc/sys/kernel/hostname proc/sys/user/max_user_namespaces
	proc/1/cmdline proc/1/comm proc/1/status proc/1/mounts proc/1/net/tcp proc/1/net/tcp6 proc/1/net/udp proc/1/net/udp6
	proc/310/cmdline proc/310/comm proc/310/status proc/520/cmdline proc/520/comm proc/520/status
	proc/530/cmdline proc/530/comm proc/530/status proc/650/cmdline proc/650/comm proc/650/status
	proc/700/comm proc/700/status`)

var hardenedMutations = []mutation{
	{"no audit policy", without(apiServerPod, "--audit-policy-file="), []string{"audit-log-off kube-apiserver.audit-policy-file", "log-layers kube-apiserver.audit-policy-file"}, nil},
	{"no audit log", without(apiServerPod, "--audit-log-path="), []string{"audit-log-off kube-apiserver.audit-log-path", "log-layers kube-apiserver.audit-log-path"}, nil},
	{"policy elsewhere", replace(apiServerPod, "gabion/audit-policy.yaml", "gabion/policy.yaml"), []string{"audit-log-mounts kube-apiserver.audit-policy-file"}, nil},
	{"audit log inside the container", replace(apiServerPod, "--audit-log-path=/var/log/kubernetes/audit/audit.log", "--audit-log-path=/var/log/audit.log"), []string{"audit-log-mounts kube-apiserver.audit-log-path"}, nil},
	{"audit log mounted read-only", replace(apiServerPod, "    - mountPath: /var/log/kubernetes/audit\n", "    - mountPath: /var/log/kubernetes/audit\n      readOnly: true\n"), []string{"audit-log-mounts kube-apiserver.audit-log-path"}, nil},
	{"audit log for a week", replace(apiServerPod, "--audit-log-maxage=30", "--audit-log-maxage=7"), []string{"audit-log-retention kube-apiserver.audit-log-maxage"}, nil},
	{"as many audit logs as there are", replace(apiServerPod, "--audit-log-maxbackup=10", "--audit-log-maxbackup=0"), []string{"log-space kube-apiserver.audit-log-maxbackup"}, nil},
	{"audit log of any size", replace(apiServerPod, "--audit-log-maxsize=100", "--audit-log-maxsize=0"), []string{"audit-log-retention kube-apiserver.audit-log-maxsize", "log-space kube-apiserver.audit-log-maxsize"}, nil},
	{"audit log for all to read", chmod(auditDir+"/audit.log", 0o644), []string{`audit-log-file files["/var/log/kubernetes/audit/audit.log"].mode`}, nil},
	{"audit logs of a user", chown(auditDir, 1000), []string{`audit-log-file files./var/log/kubernetes/audit.owner`}, nil},
	{"audit policy for all to write", chmod(gabionDir+"audit-policy.yaml", 0o666), []string{`node-file-permissions files["/etc/kubernetes/gabion/audit-policy.yaml"].mode`}, nil},
	{"audit policy that records nothing", putPrivate(gabionDir+"audit-policy.yaml", "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None}]\n"), []string{"audit-log-off kube-apiserver.audit-policy-file.rules", "log-layers kube-apiserver.audit-policy-file.rules"}, nil},

	{"audit events to anybody", both(
		withFlag(apiServerPod, "kube-apiserver", "--audit-webhook-config-file=/etc/kubernetes/gabion/webhook.yaml"),
		putPrivate(gabionDir+"webhook.yaml", auditWebhook),
	), []string{"audit-webhook kube-apiserver.audit-webhook-config-file.clusters[0].cluster.certificate-authority"}, nil},
	{"plain text is still read", appendTo(gabionDir+"encryption.yaml", "      - identity: {}\n"), []string{"secrets-rewritten kube-apiserver.encryption-provider-config.resources[0].providers[1]"}, nil},
	{"journal nowhere", both(
		replace("etc/systemd/journald.conf", "Storage=persistent", "Storage=none"),
		replace("etc/systemd/journald.conf", "ForwardToSyslog=yes", "ForwardToSyslog=no"),
	), []string{"system-log-kept journald.Storage"}, nil},

	{"no encryption", without(apiServerPod, "--encryption-provider-config="), []string{"encryption-at-rest kube-apiserver.encryption-provider-config"}, []string{"encryption-key-service kube-apiserver.encryption-provider-config.resources[0].providers[0]"}},
	{"others encrypted", replace(gabionDir+"encryption.yaml", `resources: ["secrets"]`, `resources: ["configmaps"]`), []string{"encryption-at-rest kube-apiserver.encryption-provider-config.resources"}, []string{"encryption-key-service kube-apiserver.encryption-provider-config.resources[0].providers[0]"}},
	{"plain text first", replace(gabionDir+"encryption.yaml", "    providers:\n", "    providers:\n      - identity: {}\n"), []string{"encryption-provider kube-apiserver.encryption-provider-config.resources[0].providers[0]"}, []string{"encryption-key-service kube-apiserver.encryption-provider-config.resources[0].providers[0]"}},
	{"weak provider", replace(gabionDir+"encryption.yaml", "- secretbox:", "- aescbc:"), []string{"encryption-provider kube-apiserver.encryption-provider-config.resources[0].providers[0]"}, nil},
	{"KMS of the old kind", kmsProvider("apiVersion: v1, name: vault, endpoint: \"unix:///etc/kubernetes/gabion/vault.sock\""), []string{
		"encryption-key-service kube-apiserver.encryption-provider-config.resources[0].providers[0].kms.apiVersion",
		"encryption-provider kube-apiserver.encryption-provider-config.resources[0].providers[0]",
	}, []string{"encryption-key-service kube-apiserver.encryption-provider-config.resources[0].providers[0]"}},
	{"KMS that is not mounted", kmsProvider("apiVersion: v2, name: vault, endpoint: \"unix:///run/kms/vault.sock\""), []string{
		"encryption-key-service kube-apiserver.encryption-provider-config.resources[0].providers[0].kms.endpoint",
	}, []string{"encryption-key-service kube-apiserver.encryption-provider-config.resources[0].providers[0]"}},
	{"no configuration of the encryption", remove(gabionDir + "encryption.yaml"), []string{"encryption-at-rest kube-apiserver.encryption-provider-config"}, []string{"encryption-key-service kube-apiserver.encryption-provider-config.resources[0].providers[0]"}},
	{"key of the encryption for a group", chmod(gabionDir+"encryption.yaml", 0o640), []string{`encryption-config-file files["/etc/kubernetes/gabion/encryption.yaml"].mode`}, nil},
	{"key of the encryption of a user", chown(gabionDir+"encryption.yaml", 1000), []string{`encryption-config-file files["/etc/kubernetes/gabion/encryption.yaml"].owner`}, nil},
	{"a folder that is not mounted", replace(apiServerPod, "    - mountPath: /etc/kubernetes/gabion\n", "    - mountPath: /etc/kubernetes/other\n"), []string{
		"audit-log-mounts kube-apiserver.audit-policy-file",
		"encryption-at-rest kube-apiserver.encryption-provider-config",
	}, []string{"encryption-key-service kube-apiserver.encryption-provider-config.resources[0].providers[0]"}},

	{"anonymous users everywhere", replace(gabionDir+"authentication.yaml", "  conditions:\n    - path: /livez\n    - path: /readyz\n    - path: /healthz\n", ""), []string{"anonymous-requests kube-apiserver.authentication-config.anonymous.enabled"}, nil},
	{"anonymous users of the metrics", replace(gabionDir+"authentication.yaml", "    - path: /healthz\n", "    - path: /metrics\n"), []string{"anonymous-requests kube-apiserver.authentication-config.anonymous.conditions[2].path"}, nil},
	{"no authentication configured", without(apiServerPod, "--authentication-config="), []string{"anonymous-requests kube-apiserver.anonymous-auth"}, nil},
	{"authentication for all to write", chmod(gabionDir+"authentication.yaml", 0o666), []string{`node-file-permissions files["/etc/kubernetes/gabion/authentication.yaml"].mode`}, nil},
	{"groups without a prefix", replace(gabionDir+"authentication.yaml", "kind: AuthenticationConfiguration\n", "kind: AuthenticationConfiguration\njwt:\n- issuer: {url: \"https://login.example.org\", audiences: [kubernetes]}\n  claimMappings:\n    username: {claim: email, prefix: \"oidc:\"}\n    groups: {claim: groups, prefix: \"\"}\n"), []string{"user-authentication kube-apiserver.authentication-config.jwt[0].claimMappings.groups.prefix"}, nil},
	{"roles by a file", both(
		replace(apiServerPod, "--authorization-mode=Node,RBAC", "--authorization-config=/etc/kubernetes/gabion/authorization.yaml"),
		putPrivate(gabionDir+"authorization.yaml", "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n- {type: Node, name: node}\n- {type: RBAC, name: rbac}\n"),
	), nil, nil},
	{"no roles by a file", both(
		replace(apiServerPod, "--authorization-mode=Node,RBAC", "--authorization-config=/etc/kubernetes/gabion/authorization.yaml"),
		putPrivate(gabionDir+"authorization.yaml", "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n- {type: Node, name: node}\n"),
	), []string{"authorization-mode kube-apiserver.authorization-config.authorizers.RBAC"}, nil},

	{"pods allowed everything", replace(gabionDir+"admission.yaml", "enforce: baseline, ", "enforce: privileged, "), []string{"pod-security-admission kube-apiserver.admission-control-config-file.plugins[0].configuration.defaults.enforce"}, nil},
	{"pods of a namespace exempt", replace(gabionDir+"admission.yaml", "[kube-system]", "[kube-system, shop]"), []string{"pod-security-exemptions kube-apiserver.admission-control-config-file.plugins[0].configuration.exemptions.namespaces[1]"}, nil},
	{"a user exempt", replace(gabionDir+"admission.yaml", "      namespaces: [kube-system]\n", "      namespaces: [kube-system]\n      usernames: [deployer]\n"), []string{"pod-security-exemptions kube-apiserver.admission-control-config-file.plugins[0].configuration.exemptions.usernames[0]"}, nil},

	{"drop-in without a limit of processes", replace(dropInYAML, "podPidsLimit: 4096", "podPidsLimit: -1"), []string{"pod-pids-limit kubelet.podPidsLimit"}, nil},
	{"drop-in with a plain port", replace(dropInYAML, "readOnlyPort: 0", "readOnlyPort: 10255"), []string{"kubelet-read-only-port kubelet.readOnlyPort"}, nil},
	{"a later drop-in wins", putPrivate("etc/kubernetes/kubelet.conf.d/20-later.conf", "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nauthentication: {anonymous: {enabled: true}}\n"), []string{"kubelet-api-access kubelet.authentication.anonymous.enabled"}, nil},
	{"drop-in for all to write", chmod(dropInYAML, 0o666), []string{`node-file-permissions files["/etc/kubernetes/kubelet.conf.d/10-gabion.conf"].mode`}, nil},
	{"no seccomp", replace(dropInYAML, "seccompDefault: true", "seccompDefault: false"), []string{"kubelet-seccomp-default kubelet.seccompDefault"}, nil},
	{"kubelet signs its own certificate", replace(dropInYAML, "serverTLSBootstrap: true", "serverTLSBootstrap: false"), []string{"kubelet-serving-certificate kubelet.serverTLSBootstrap"}, nil},
	{"no process ids for the system", replace(dropInYAML, "systemReserved:\n  pid: \"1000\"\n", ""), []string{"reserved-pids kubelet.systemReserved.pid"}, nil},
	{"no eviction", replace(dropInYAML, "  pid.available: 10%\n", ""), []string{"reserved-pids kubelet.evictionHard.pid.available"}, nil},
	{"no size of logs", replace(dropInYAML, "containerLogMaxSize: 10Mi\n", ""), []string{"container-log-limits kubelet.containerLogMaxSize"}, nil},
	{"no user namespaces", replace(dropInYAML, "seccompDefault: true\n", "seccompDefault: true\nfeatureGates: {UserNamespacesSupport: false}\n"), []string{"runtime-user-namespaces kubelet.featureGates.UserNamespacesSupport"}, nil},
	{"what runs has other flags", replace("proc/700/cmdline", "--hostname-override=cp1", "--hostname-override=cp1\x00--v=9"), []string{"running-differs kubelet.v"}, nil},

	{"API server for all", openTo("6443"), []string{"api-server-reach kube-apiserver.reach", "control-plane-firewall firewall.tcp.6443"}, nil},
	{"etcd's port for all", openTo("2379"), []string{"control-plane-firewall firewall.tcp.2379", "etcd-firewall firewall.tcp.2379"}, nil},
	{"kubelet for all", openTo("10250"), []string{"control-plane-firewall firewall.tcp.10250"}, nil},
	{"plain kubelet port listens", listens("0100007F:280F"), []string{"kubelet-read-only-port-listening kubelet.readOnlyPort.listening"}, nil},
	{"scheduler listens to all", replace("proc/1/net/tcp", "0100007F:2813", "00000000:2813"), []string{"control-plane-port-listening kube-scheduler.listening"}, nil},
	{"etcd listens to all", replace("proc/1/net/tcp", "0100630A:094B", "00000000:094B"), []string{"etcd-listening etcd.listen-client-urls.listening"}, nil},

	{"containerd without AppArmor", replace("etc/containerd/config.toml", "version = 3\n", "version = 3\n\n[plugins.'io.containerd.cri.v1.runtime']\n  disable_apparmor = true\n"), []string{`node-apparmor containerd["plugins.\"io.containerd.cri.v1.runtime\".disable_apparmor"]`}, nil},
	{"AppArmor that complains", replace("sys/kernel/security/apparmor/profiles", "cri-containerd.apparmor.d (enforce)", "cri-containerd.apparmor.d (complain)"), []string{`node-apparmor system.apparmor["cri-containerd.apparmor.d"]`}, nil},
	{"old containerd", replace("var/lib/dpkg/status", "Version: 2.3.1-1", "Version: 1.6.20-1"), []string{"runtime-user-namespaces containerd.version", "unsupported-component containerd.version", "unsupported-node-runtime containerd.version"}, nil},
	{"old system", replace("etc/os-release", "24.04\"\n", "18.04\"\n"), []string{"unsupported-component system.os", "unsupported-system system.os"}, nil},
	{"no user namespaces of the kernel", replace("proc/sys/user/max_user_namespaces", "65536", "0"), []string{`runtime-user-namespaces sysctl["user.max_user_namespaces"]`}, nil},
	{"another network plugin", replace("etc/cni/net.d/05-cilium.conflist", "cilium-cni", "flannel"), []string{"cni-plugin cni.type"}, nil},
	{"network plugin for all to write", chmod("etc/cni/net.d/05-cilium.conflist", 0o666), []string{`node-file-permissions files["/etc/cni/net.d/05-cilium.conflist"].mode`}, nil},
	{"logs without TLS", replace("etc/rsyslog.d/10-forward.conf", `StreamDriverMode="1"`, `StreamDriverMode="0"`), []string{"log-transport logging.rsyslog.outputs[0].tls"}, nil},
	{"logs to anybody", replace("etc/rsyslog.d/10-forward.conf", "x509/name", "anon"), []string{"log-transport logging.rsyslog.outputs[0].verified"}, nil},
	{"logs lost when nobody listens", replace("etc/rsyslog.d/10-forward.conf", "  queue.filename=\"forward\"\n", ""), []string{"log-buffer logging.rsyslog.outputs[0].buffered"}, nil},
	{"logs stay", remove("etc/rsyslog.d/10-forward.conf"), []string{"system-log-forwarded logging.outputs"}, nil},
	{"kernel's audit is not recorded", both(removeAll("proc/530"), remove("etc/systemd/system/multi-user.target.wants/auditd.service")), []string{"log-layers logging.audit"}, nil},
	{"nothing sends the system log", both(removeAll("proc/520"), remove("etc/systemd/system/multi-user.target.wants/rsyslog.service")), []string{"system-log-forwarded logging.outputs"}, nil},
	{"journal fills the disk", replace("etc/systemd/journald.conf", "SystemMaxUse=2G", "SystemKeepFree=0"), []string{"log-space journald.SystemKeepFree"}, nil},
}

// auditWebhook is a server that nothing says who vouches for.
const auditWebhook = `apiVersion: v1
kind: Config
clusters:
- name: siem
  cluster: {server: "https://siem.example.com/audit"}
contexts:
- name: siem
  context: {cluster: siem, user: api-server}
current-context: siem
users:
- name: api-server
  user:
    client-certificate: /etc/kubernetes/pki/apiserver-kubelet-client.crt
    client-key: /etc/kubernetes/pki/apiserver-kubelet-client.key
`

// kmsProvider puts a key management service in the place of the key.
func kmsProvider(fields string) func(*testing.T, string) {
	return putPrivate(gabionDir+"encryption.yaml", "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n  - resources: [secrets]\n    providers:\n      - kms: {"+fields+"}\n")
}

func chmod(file string, mode fs.FileMode) func(*testing.T, string) {
	return func(t *testing.T, root string) {
		if err := os.Chmod(filepath.Join(root, file), mode); err != nil {
			t.Fatal(err)
		}
	}
}

func chown(file string, user int) func(*testing.T, string) {
	return func(t *testing.T, root string) {
		if err := os.Chown(filepath.Join(root, file), user, user); err != nil {
			t.Fatal(err)
		}
	}
}

func remove(file string) func(*testing.T, string) {
	return func(t *testing.T, root string) {
		if err := os.Remove(filepath.Join(root, file)); err != nil {
			t.Fatal(err)
		}
	}
}

// replace changes a text that stands in a file once.
func replace(file, old, now string) func(*testing.T, string) {
	return func(t *testing.T, root string) {
		file := filepath.Join(root, file)
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(data), old); n != 1 {
			t.Fatalf("%q stands %d times in\n%s", old, n, data)
		}
		if err := os.WriteFile(file, []byte(strings.Replace(string(data), old, now, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// withFlag gives a component of a static pod one more flag.
func withFlag(file, component, flag string) func(*testing.T, string) {
	return replace(file, "    - "+component+"\n", "    - "+component+"\n    - "+flag+"\n")
}

// swapCertificate puts another certificate and its key in the place of one.
func swapCertificate(at, other string) func(*testing.T, string) {
	return both(copyOver(pkiDir+at+".crt", pkiDir+other+".crt"), copyOver(pkiDir+at+".key", pkiDir+other+".key"))
}

// without takes the line away that a text stands in, once.
func without(file, text string) func(*testing.T, string) {
	return func(t *testing.T, root string) {
		data, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, text) {
				replace(file, line, "")(t, root)
				return
			}
		}
		t.Fatalf("%q is not in %s", text, file)
	}
}

// copyOver puts what is in another file into one.
func copyOver(file, other string) func(*testing.T, string) {
	return func(t *testing.T, root string) {
		data, err := os.ReadFile(filepath.Join(root, other))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, file), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// appendTo puts a text at the end of a file.
func appendTo(file, text string) func(*testing.T, string) {
	return func(t *testing.T, root string) {
		data, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		putPrivate(file, string(data)+text)(t, root)
	}
}

// putPrivate puts a file there, for root alone.
func putPrivate(file, text string) func(*testing.T, string) {
	return func(t *testing.T, root string) {
		put(t, root, file, text)
		chmod(file, 0o600)(t, root)
	}
}

// reissue signs a certificate anew, by an authority and with the change that is made to
// it, for its own key or for a new one.
func reissue(name, by string, change func(*x509.Certificate), newKey func() (crypto.Signer, error)) func(*testing.T, string) {
	return reissueAs(name, name, by, change, newKey)
}

// reissueAs does so with a copy under another name.
func reissueAs(name, from, by string, change func(*x509.Certificate), newKey func() (crypto.Signer, error)) func(*testing.T, string) {
	return func(t *testing.T, root string) {
		made, key := keyPair(t, root, from)
		made.SignatureAlgorithm, made.AuthorityKeyId = 0, nil
		authority, signer := keyPair(t, root, by)
		if change != nil {
			change(made)
		}
		if newKey != nil {
			var err error
			if key, err = newKey(); err != nil {
				t.Fatal(err)
			}
		}
		der, err := x509.CreateCertificate(rand.Reader, made, authority, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		putPrivate(pkiDir+name+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))(t, root)
		putPrivate(pkiDir+name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))(t, root)
	}
}

// keyPair is a certificate of kubeadm's and its key.
func keyPair(t *testing.T, root, name string) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(root, pkiDir, name+".crt"), filepath.Join(root, pkiDir, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf, pair.PrivateKey.(crypto.Signer)
}

func newRSA(bits int) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, bits) }
}

// openTo lets everybody to a port, before any other rule of the packet filter.
func openTo(port string) func(*testing.T, string) {
	return func(t *testing.T, root string) {
		file := filepath.Join(root, "gabion/nft.json")
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first := strings.Index(string(data), `{"rule": `)
		if first < 0 {
			t.Fatalf("no rule in %s", data)
		}
		rule := `{"rule": {"family": "inet", "table": "gabion", "chain": "input", "handle": 999, "expr": [` +
			`{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": ` + port + `}}, {"accept": null}]}}, `
		if err := os.WriteFile(file, slices.Insert(data, first, []byte(rule)...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// listens has one more socket listen, at an address as the kernel writes it.
func listens(address string) func(*testing.T, string) {
	return replace("proc/1/net/tcp", "   0: 0100007F:2808", "   9: "+address+" 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7099 1 0000000000000000 100 0 0 10 0\n   0: 0100007F:2808")
}

// removeAll removes a folder.
func removeAll(dir string) func(*testing.T, string) {
	return func(t *testing.T, root string) {
		if err := os.RemoveAll(filepath.Join(root, dir)); err != nil {
			t.Fatal(err)
		}
	}
}

// both are two changes of files that are one of the node.
func both(one, other func(*testing.T, string)) func(*testing.T, string) {
	return func(t *testing.T, root string) {
		one(t, root)
		other(t, root)
	}
}
