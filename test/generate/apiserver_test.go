//go:build cluster

package generate_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/generate"
	"github.com/gabion-k8s/gabion/test/cluster"
)

const kubeadmConfig = `apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: 198.51.100.1, bindPort: %[2]d}
nodeRegistration: {name: cp1, criSocket: unix:///none.sock}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.36.3
certificatesDir: %[1]s/pki
networking: {serviceSubnet: 10.96.0.0/12}
apiServer: {certSANs: [127.0.0.1]}
etcd: {external: {endpoints: [%[3]q], caFile: %[4]s, certFile: %[5]s, keyFile: %[6]s}}
`

// The manifest that kubeadm writes, patched, has flags and files with which the
// API server starts and does what they say, and every file that a flag names is
// mounted.
func TestAPIServerFlags(t *testing.T) {
	c := cluster.Start(t, cluster.Options{NoControllers: true, NoScheduler: true})
	running := flagsOf(t, c, "kube-apiserver")
	dir, port := t.TempDir(), freePort(t)
	config := writeFile(t, dir+"/kubeadm.yaml", fmt.Sprintf(kubeadmConfig, dir, port,
		value(t, running, "etcd-servers"), value(t, running, "etcd-cafile"), value(t, running, "etcd-certfile"), value(t, running, "etcd-keyfile")))
	for _, phase := range []string{"certs all", "kubeconfig super-admin --kubeconfig-dir " + dir, "control-plane apiserver --dry-run"} {
		cmd := exec.CommandContext(t.Context(), binary(t, c, "kubeadm"), append([]string{"init", "phase"}, strings.Fields(phase+" --config "+config)...)...)
		// A dry run writes the manifest there, and not where a kubelet would find it.
		cmd.Env = append(os.Environ(), "KUBEADM_INIT_DRYRUN_DIR="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("kubeadm %s: %v\n%s", phase, err, out)
		}
	}
	written, err := os.ReadFile(dir + "/kube-apiserver.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// The kubelets' CA is the cluster's: there is no kubelet to object.
	o := generate.APIServer{Folder: dir + "/gabion", AuditLog: dir + "/log/audit.log", KubeletCA: dir + "/pki/ca.crt"}
	patched, err := generate.PatchAPIServer(written, "kube-apiserver.yaml", o)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := generate.PatchAPIServer([]byte(patched.Text), "", o); err != nil || again.Diff != "" || again.Text != patched.Text {
		t.Errorf("applied twice: %v\n%s", err, again.Diff)
	}
	layDown(t, o.Folder)

	var pod corev1.Pod
	if err := yaml.UnmarshalStrict([]byte(patched.Text), &pod); err != nil {
		t.Fatal(err)
	}
	flags := pod.Spec.Containers[0].Command[1:]
	for _, name := range []string{"audit-policy-file", "audit-log-path", "encryption-provider-config", "authentication-config", "kubelet-certificate-authority", "tls-cert-file"} {
		if file := value(t, flags, name); !slices.ContainsFunc(pod.Spec.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return strings.HasPrefix(file, m.MountPath+"/") }) {
			t.Errorf("--%s=%s is not mounted", name, file)
		}
	}
	for _, v := range pod.Spec.Volumes { // as the kubelet would
		switch info, err := os.Stat(v.HostPath.Path); {
		case *v.HostPath.Type == corev1.HostPathDirectory && (err != nil || !info.IsDir()):
			t.Errorf("volume %s: no folder %s", v.Name, v.HostPath.Path)
		case *v.HostPath.Type == corev1.HostPathDirectoryOrCreate && err != nil:
			if err := os.MkdirAll(v.HostPath.Path, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	start(t, binary(t, c, "kube-apiserver"), flags...)
	ca, err := os.ReadFile(dir + "/pki/ca.crt")
	if err != nil {
		t.Fatal(err)
	}
	url := fmt.Sprintf("https://127.0.0.1:%d", port)
	eventually(t, "the API server to be ready", func() error { return ready(ca, url) })

	if code, err := anonymous(ca, url+"/api"); err != nil || code != http.StatusUnauthorized {
		t.Errorf("/api answers nobody with status %d, %v", code, err)
	}
	kubectl := func(args ...string) string {
		cmd := c.Command(t.Context(), append(args, "--kubeconfig", dir+"/super-admin.conf", "--server", url)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("kubectl %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	kubectl("create", "secret", "generic", "patched", "--from-literal=a=hunter2")
	if v := stored(t, c, "/registry/secrets/default/patched")["/registry/secrets/default/patched"]; !bytes.HasPrefix(v, []byte("k8s:enc:secretbox:v1:")) {
		t.Errorf("the Secret is stored as %q", v)
	}
	kubectl("delete", "secret", "patched")
	eventually(t, "the audit log", func() error {
		log, err := os.ReadFile(o.AuditLog)
		if err == nil && !bytes.Contains(log, []byte(`"verb":"delete","user":{"username":"kubernetes-super-admin"`)) {
			err = errors.New("nothing of the Secret")
		}
		return err
	})
	weak := client(ca, nil)
	weak.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS11
	if _, err := get(weak, url+"/livez"); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	old := client(ca, nil)
	old.Transport.(*http.Transport).TLSClientConfig.MaxVersion = tls.VersionTLS12
	old.Transport.(*http.Transport).TLSClientConfig.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}
	if _, err := get(old, url+"/livez"); err == nil {
		t.Error("weak suites are spoken")
	}
	if out, err := c.Command(t.Context(), "get", "--raw", "/debug/pprof/", "--kubeconfig", dir+"/super-admin.conf", "--server", url).CombinedOutput(); err == nil {
		t.Errorf("the profiler answers: %.100s", out)
	}
}

// layDown writes the files that the patched manifest needs.
func layDown(t *testing.T, folder string) {
	t.Helper()
	encryption, err := generate.EncryptionConfig(generate.Encryption{Version: evidence.Newest(), Resources: []string{"secrets"}, Made: time.Now(), Key: [32]byte{7}, Migrate: true})
	if err != nil {
		t.Fatal(err)
	}
	authentication, err := generate.AuthenticationConfig(generate.Authentication{Version: evidence.Newest()})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"encryption.yaml": encryption, "authentication.yaml": authentication, "audit-policy.yaml": generate.AuditPolicy()} {
		writeFile(t, filepath.Join(folder, name), text)
	}
}
