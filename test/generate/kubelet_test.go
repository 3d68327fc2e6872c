//go:build cluster

package generate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/generate"
	"github.com/gabion-k8s/gabion/test/cluster"
)

// What a node has of its own. It has no container runtime, so that the kubelet
// ends when it has read and judged its configuration, before it touches the host.
const kubeletBase = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
clusterDomain: cluster.example
containerRuntimeEndpoint: unix://%DIR%/none.sock
failSwapOn: false
failCgroupV1: false
enforceNodeAllocatable: [pods]
evictionHard: {memory.available: 300Mi, nodefs.available: 7%}
evictionMinimumReclaim: {memory.available: 10Mi}
tlsCipherSuites: [TLS_RSA_WITH_AES_128_CBC_SHA]
authentication: {webhook: {cacheTTL: 7m0s}}
`

// The kubelet takes the drop-in over a configuration of its own, judges the whole
// valid, and has of it what is meant.
func TestKubeletConfig(t *testing.T) {
	c := cluster.Start(t, cluster.Options{NoControllers: true, NoScheduler: true})
	ca := value(t, flagsOf(t, c, "kube-apiserver"), "client-ca-file")
	text, err := generate.KubeletConfig(generate.Kubelet{Version: evidence.Newest(), ClientCA: ca})
	if err != nil {
		t.Fatal(err)
	}
	log := runKubelet(t, c, text)
	_, dump, _ := strings.Cut(log, "\"KubeletConfiguration\" configuration=<\n")
	dump, _, ok := strings.Cut(dump, "\n >")
	var got map[string]json.RawMessage
	if err := json.Unmarshal([]byte(dump), &got); !ok || err != nil {
		t.Fatalf("no configuration in the log: %v\n%s", err, log)
	}
	for field, want := range map[string]string{
		"Authentication":         `{"X509":{"ClientCAFile":"` + ca + `"},"Webhook":{"Enabled":true,"CacheTTL":"7m0s"},"Anonymous":{"Enabled":false}}`,
		"Authorization":          `{"Mode":"Webhook","Webhook":{"CacheAuthorizedTTL":"5m0s","CacheUnauthorizedTTL":"30s"}}`,
		"ReadOnlyPort":           "0",
		"RotateCertificates":     "true",
		"ServerTLSBootstrap":     "true",
		"TLSMinVersion":          `"VersionTLS12"`,
		"SeccompDefault":         "true",
		"ProtectKernelDefaults":  "true",
		"PodPidsLimit":           "4096",
		"SystemReserved":         `{"pid":"1000"}`,
		"KubeReserved":           `{"pid":"1000"}`,
		"EvictionHard":           `{"imagefs.available":"15%","imagefs.inodesFree":"5%","memory.available":"100Mi","nodefs.available":"10%","nodefs.inodesFree":"5%","pid.available":"10%"}`,
		"ContainerLogMaxSize":    `"10Mi"`,
		"ContainerLogMaxFiles":   "5",
		"ClusterDomain":          `"cluster.example"`, // the node's own stays
		"EvictionMinimumReclaim": `{"memory.available":"10Mi"}`,
		"MaxPods":                "110",
	} {
		var compact bytes.Buffer
		if err := json.Compact(&compact, got[field]); err != nil || compact.String() != want {
			t.Errorf("%s: %s, want %s", field, compact.String(), want)
		}
	}
	if suites := string(got["TLSCipherSuites"]); strings.Contains(suites, "CBC") || strings.Count(suites, "TLS_ECDHE_") != 6 {
		t.Errorf("cipher suites %s", suites)
	}
	if !strings.Contains(log, "none.sock") {
		t.Errorf("the kubelet did not get as far as its container runtime:\n%s", log)
	}
	// What is wrong is refused, and not found out about later.
	for old, wrong := range map[string]string{
		"containerLogMaxFiles: 5": "containerLogMaxFiles: 1", "tlsMinVersion: VersionTLS12": "tlsMinVersion: VersionTLS22",
		"mode: Webhook": "mode: Perhaps", "seccompDefault: true": "seccompDefault: often",
	} {
		log := runKubelet(t, c, strings.Replace(text, old, wrong, 1))
		if !strings.Contains(text, old) || strings.Contains(log, "failed to run Kubelet: validate service connection") {
			t.Errorf("%s is not refused:\n%s", wrong, log[max(0, len(log)-500):])
		}
	}
}

// runKubelet gives the log of a kubelet that found no container runtime.
func runKubelet(t *testing.T, c *cluster.Cluster, dropIn string) string {
	t.Helper()
	dir := t.TempDir()
	writeFile(t, dir+"/config.yaml", strings.ReplaceAll(kubeletBase, "%DIR%", dir))
	writeFile(t, filepath.Join(dir, "conf.d", "10-gabion.conf"), dropIn)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(t, c, "kubelet"), "--config="+dir+"/config.yaml", "--config-dir="+dir+"/conf.d",
		"--kubeconfig="+c.Kubeconfig, "--root-dir="+dir+"/kubelet", "--cert-dir="+dir+"/pki", "--hostname-override=n1", "-v=5")
	cmd.Env = append(os.Environ(), "HOME="+dir)
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("the kubelet ends well without a container runtime:\n%s", out)
	}
	return string(out)
}
