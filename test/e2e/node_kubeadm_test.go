//go:build cluster

package e2e

import (
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
// gives its own finding. Hardened by what the project generates it has those that are left
// to people.
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

	eachMutation(t, root, r, kubeadmMutations)

	hardened := hardenedNode(t, root)
	r = scan(t, "--host-root", hardened)
	base = ofNode(t, r)
	if got := places(slices.Collect(maps.Values(base))); !slices.Equal(got, hardenedFaults) {
		t.Errorf("hardened: found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(hardenedFaults, "\n"))
	}
	eachMutation(t, hardened, r, hardenedMutations)
}
