//go:build cluster

package e2e

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/report"
)

// kubeadmConfig is what kubeadm is told: all but the addresses is its default.
const kubeadmConfig = `apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
nodeRegistration: {name: cp1, criSocket: "unix:///run/containerd/containerd.sock"}
localAPIEndpoint: {advertiseAddress: 10.99.0.1}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: VERSION
`

// kubeletUnit and its drop-in start the kubelet as the packages that kubeadm is shipped
// with do.
const (
	kubeletUnit = `[Unit]
Description=kubelet
After=network-online.target

[Service]
ExecStart=/usr/bin/kubelet
Restart=always

[Install]
WantedBy=multi-user.target
`
	kubeletDropIn = `[Service]
Environment=ACCESS="--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment=CONFIG=--config=/var/lib/kubelet/config.yaml
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
ExecStart=
ExecStart=/usr/bin/kubelet $ACCESS $CONFIG $KUBELET_KUBEADM_ARGS
`
)

// asRoot is for tests that change into other roots or namespaces.
func asRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("only root may do this, and nothing may be left out here")
	}
	t.Skip("only root may do this")
}

// kubeadmNode is the root of a control plane node as kubeadm init sets it up, but for
// what is only there when it runs. All is written by kubeadm, except the kubelet's unit.
func kubeadmNode(t *testing.T) string {
	t.Helper()
	root := kubeadmFiles(t)
	for _, phase := range []string{"certs all", "kubeconfig all", "control-plane all", "etcd local", "kubelet-start"} {
		args := append([]string{"init", "phase"}, strings.Fields(phase)...)
		cmd := exec.CommandContext(t.Context(), filepath.Join(kubeBinaries(t), "kubeadm"), append(args, "--config", "/kubeadm.yaml", "--rootfs", root)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("kubeadm %v: %v: %s", args, err, out)
		}
	}
	return root
}

// kubeadmFiles is the root of a node before kubeadm init.
func kubeadmFiles(t *testing.T) string {
	t.Helper()
	asRoot(t)
	root := t.TempDir()
	for file, text := range map[string]string{
		"kubeadm.yaml":                                               strings.ReplaceAll(kubeadmConfig, "VERSION", kubeVersion(t)),
		"etc/systemd/system/kubelet.service":                         kubeletUnit,
		"etc/systemd/system/kubelet.service.d/10-kubeadm.conf":       kubeletDropIn,
		"etc/systemd/system/multi-user.target.wants/kubelet.service": "-> ../kubelet.service",
	} {
		put(t, root, file, text)
	}
	return root
}

// kubeVersion is the release of the components.
func kubeVersion(t *testing.T) string {
	t.Helper()
	version, err := exec.Command(filepath.Join(kubeBinaries(t), "kubeadm"), "version", "-o", "short").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(version))
}

// kubeBinaries is the folder of the components.
func kubeBinaries(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("GABION_KUBE"); dir != "" {
		return dir
	}
	out, err := exec.Command("../kube/build").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// put writes a file below a root, or a link, which begins with "-> ".
func put(t *testing.T, root, file, text string) {
	t.Helper()
	file = filepath.Join(root, file)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if target, ok := strings.CutPrefix(text, "-> "); ok {
		if err := os.Symlink(target, file); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// kubeadmFaults are what is to be found fault with in what kubeadm sets up by default:
// the rules, with the field, the flag or the file.
var kubeadmFaults = []string{
	"anonymous-requests kube-apiserver.anonymous-auth",
	"api-server-certificates kube-apiserver.kubelet-certificate-authority",
	"audit-log-off kube-apiserver.audit-policy-file",
	"authentication-methods kube-apiserver.enable-bootstrap-token-auth",
	"container-log-limits kubelet.containerLogMaxFiles",
	"container-log-limits kubelet.containerLogMaxSize",
	"encryption-at-rest kube-apiserver.encryption-provider-config",
	`kubeconfig-content files["/etc/kubernetes/super-admin.conf"].users.kubernetes-super-admin.client-certificate-data`,
	"kubelet-seccomp-default kubelet.seccompDefault",
	"kubelet-serving-certificate kubelet.serverTLSBootstrap",
	"log-layers kube-apiserver.audit-policy-file",
	"pod-pids-limit kubelet.podPidsLimit",
	"pod-security-admission kube-apiserver.admission-control-config-file",
	"reserved-pids kubelet.evictionHard.pid.available",
	"reserved-pids kubelet.kubeReserved.pid",
	"reserved-pids kubelet.systemReserved.pid",
	"token-lifetime kube-apiserver.service-account-extend-token-expiration",
	"token-lifetime kube-apiserver.service-account-max-token-expiration",
}

// nodeRows are the recommendations that nodes decide, or help to.
var nodeRows = strings.Fields(`CP-01 CP-02 CP-03 CP-04 CP-05 CP-06 CP-07 CP-08 ETCD-01 ETCD-02 ETCD-03 ETCD-04 ETCD-05 ETCD-06 ETCD-07
	KCF-01 KCF-02 WRK-01 WRK-02 WRK-03 ENC-01 ENC-02 ENC-03 SEC-03 SEC-04 SEC-05 SEC-06 AUTHN-01 AUTHN-03 AUTHN-04 AUTHN-05 RBAC-01
	RES-04 RES-05 POD-04 POD-11 POD-12 POD-13 AUD-01 AUD-04 AUD-05 AUD-06 LOG-01 LOG-05 NLOG-01 NLOG-02 SCMP-01 SYS-01 FT-01 FT-02
	NET-01 UPG-01 UPG-02 UPG-04 IMG-07`)

// What kubeadm sets up by default has these faults and no others, and each one put in
// gives its own finding.
func TestKubeadmNode(t *testing.T) {
	root := kubeadmNode(t)
	r := scan(t, "--host-root", root)
	base := ofNode(t, r)
	if len(base) != len(r.Findings) {
		t.Errorf("%d of %d findings are about the node", len(base), len(r.Findings))
	}
	if got := places(slices.Collect(maps.Values(base))); !slices.Equal(got, kubeadmFaults) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(kubeadmFaults, "\n"))
	}
	for _, f := range base {
		if f.Object.Name != "cp1" || !strings.HasPrefix(f.Location.File, root+"/") || f.Location.Line == 0 && strings.Contains(f.Location.File, "/manifests/") {
			t.Errorf("%s: of %s, at %+v", f.Rule, f.Object, f.Location)
		}
	}
	missing := regexp.MustCompile(`--[a-z]|\bneeds\b|/[a-z]|is not known|was looked at|was found`)
	for _, id := range nodeRows {
		row, ok := rows(r)[id]
		switch answered := row.Status == report.Pass || row.Status == report.Fail || row.Status == report.NotApplicable && row.Reason != ""; {
		case !ok:
			t.Errorf("there is no %s", id)
		case !answered && !missing.MatchString(row.Reason):
			t.Errorf("%s: %s, and what is missing is not said: %q", id, row.Status, row.Reason)
		}
	}
	for _, id := range []string{"KCF-01", "AUTHN-03", "AUTHN-04", "RBAC-01", "ETCD-04", "ETCD-05", "ETCD-06"} {
		if row := rows(r)[id]; row.Status != report.Pass {
			t.Errorf("%s: %s, %q", id, row.Status, row.Reason)
		}
	}

	for _, m := range kubeadmMutations {
		t.Run(m.name, func(t *testing.T) {
			changed := t.TempDir()
			if out, err := exec.Command("cp", "-a", root+"/.", changed).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			m.change(t, changed)
			now := ofNode(t, scan(t, "--host-root", changed))
			if got := places(notIn(now, base)); !slices.Equal(got, m.come) {
				t.Errorf("came %q, want %q", got, m.come)
			}
			if got := places(notIn(base, now)); !slices.Equal(got, m.gone) {
				t.Errorf("went %q, want %q", got, m.gone)
			}
		})
	}
}

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
	kubeletYAML  = "var/lib/kubelet/config.yaml"
	pkiDir       = "etc/kubernetes/pki/"
)

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
	return func(t *testing.T, root string) {
		for _, ext := range []string{".crt", ".key"} {
			data, err := os.ReadFile(filepath.Join(root, pkiDir, other+ext))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, pkiDir, at+ext), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
