//go:build cluster

package generate_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/generate"
	"github.com/gabion-k8s/gabion/test/cluster"
)

const plaintext = `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - identity: {}
`

// A cluster with two API servers is led from plaintext to encryption by the steps
// that the generated file prints, and by nothing else.
func TestEncryption(t *testing.T) {
	dir := t.TempDir()
	c := cluster.Start(t, cluster.Options{NoScheduler: true,
		APIServer: []string{"--encryption-provider-config=" + writeFile(t, dir+"/plain.yaml", plaintext)}})
	clientset := kubernetes.NewForConfigOrDie(c.Config())
	want := map[string]string{}
	for _, namespace := range []string{"one", "two", "empty"} {
		c.Kubectl(t, "create", "namespace", namespace)
		for i := range map[string]int{"one": 55, "two": 3}[namespace] {
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("s-%d", i)}, Data: map[string][]byte{"value": []byte("hidden-" + rand.Text())}}
			if _, err := clientset.CoreV1().Secrets(namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			want[namespace+"/"+secret.Name] = string(secret.Data["value"])
		}
	}
	for key, v := range stored(t, c, "/registry/secrets/") {
		if bytes.HasPrefix(v, []byte("k8s:enc:")) {
			t.Fatalf("%s is encrypted already", key)
		}
	}

	o := generate.Encryption{Version: evidence.Newest(), Resources: []string{"secrets"}, Made: time.Now(), Migrate: true}
	if _, err := rand.Read(o.Key[:]); err != nil {
		t.Fatal(err)
	}
	text, err := generate.EncryptionConfig(o)
	if err != nil {
		t.Fatal(err)
	}
	// Step 2: every server can read before one writes.
	i, j := strings.Index(text, "      - secretbox:"), strings.Index(text, "      # Reads what is not")
	reading := text[:i] + text[j:] + text[i:j]
	reader := anotherServer(t, c, "--encryption-provider-config="+writeFile(t, dir+"/reading.yaml", reading))
	// Step 3.
	writer := anotherServer(t, c, "--encryption-provider-config="+writeFile(t, dir+"/encryption.yaml", text))
	// Step 4, as it is printed.
	out := rewrite(t, c, writer, text)
	for name, v := range want {
		if strings.Contains(out, v) || strings.Contains(out, base64Of(v)) {
			t.Fatalf("the rewrite prints the value of %s", name)
		}
	}
	if n := strings.Count(out, "secret/s-"); n != len(want) {
		t.Errorf("%d Secrets rewritten, want %d:\n%s", n, len(want), out)
	}
	prefix := []byte("k8s:enc:secretbox:v1:key-" + o.Made.UTC().Format("20060102-150405") + ":")
	for key, v := range stored(t, c, "/registry/secrets/") {
		if !bytes.HasPrefix(v, prefix) {
			t.Errorf("%s begins with %q", key, v[:min(len(v), 30)])
		}
	}
	if !strings.Contains(text, "head -c 21") || len("k8s:enc:secretbox:v1:") != 21 {
		t.Error("step 5 would show more of a value than its prefix, or less")
	}
	// Step 6. What is left can read everything, and so can the server of step 2.
	final, n := text, 0
	for _, line := range []string{"      # Reads what is not encrypted yet; to go when all is rewritten.\n", "      - identity: {}\n"} {
		n += strings.Count(final, line)
		final = strings.Replace(final, line, "", 1)
	}
	if n != 2 {
		t.Fatalf("%d lines are to go, not two:\n%s", n, text)
	}
	last := anotherServer(t, c, "--encryption-provider-config="+writeFile(t, dir+"/final.yaml", final))
	for _, url := range []string{reader, last} {
		if diff := cmp.Diff(want, values(t, c, url)); diff != "" {
			t.Errorf("%s: -want +got\n%s", url, diff)
		}
	}
	// Another run finds nothing to write.
	before := stored(t, c, "/registry/secrets/")
	rewrite(t, c, last, text)
	if diff := cmp.Diff(before, stored(t, c, "/registry/secrets/")); diff != "" {
		t.Errorf("a patch that changes nothing, of what is encrypted, was written: -before +after\n%s", diff)
	}
}

// A server with a fresh key and nothing else to read keeps Secrets from the start.
func TestEncryptionFresh(t *testing.T) {
	o := generate.Encryption{Version: evidence.Newest(), Resources: []string{"secrets", "configmaps"}, Made: time.Now(), Key: [32]byte{1, 2, 3}}
	text, err := generate.EncryptionConfig(o)
	if err != nil {
		t.Fatal(err)
	}
	c := cluster.Start(t, cluster.Options{NoScheduler: true, APIServer: []string{"--encryption-provider-config=" + writeFile(t, t.TempDir()+"/e.yaml", text)}})
	c.Kubectl(t, "create", "secret", "generic", "s", "--from-literal=a=b")
	for _, resource := range []string{"secrets", "configmaps"} {
		for key, v := range stored(t, c, "/registry/"+resource+"/") {
			if !bytes.HasPrefix(v, []byte("k8s:enc:secretbox:v1:")) {
				t.Errorf("%s begins with %q", key, v[:min(len(v), 30)])
			}
		}
	}
}

// rewrite runs the commands of step 4 against one API server.
func rewrite(t *testing.T, c *cluster.Cluster, url, text string) string {
	t.Helper()
	var script strings.Builder
	within := false
	for line := range strings.Lines(text) {
		command, indented := strings.CutPrefix(line, "#        ")
		within = indented && (within || strings.HasPrefix(command, "set -o pipefail"))
		if within {
			script.WriteString(command)
		}
	}
	if !strings.Contains(script.String(), "kubectl patch secrets") {
		t.Fatalf("no commands in\n%s", text)
	}
	kubeconfig, err := os.ReadFile(c.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	access := writeFile(t, filepath.Join(t.TempDir(), "kubeconfig"), strings.Replace(string(kubeconfig), c.URL, url, 1))
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	cmd.Env = append(c.Command(t.Context()).Env, "KUBECONFIG="+access, "PATH="+filepath.Dir(binary(t, c, "kubectl"))+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "again:") {
		t.Fatalf("rewrite: %v\n%s", err, out)
	}
	return string(out)
}

func values(t *testing.T, c *cluster.Cluster, url string) map[string]string {
	t.Helper()
	config := rest.CopyConfig(c.Config())
	config.Host = url
	list, err := kubernetes.NewForConfigOrDie(config).CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, s := range list.Items {
		if strings.HasPrefix(s.Name, "s-") {
			values[s.Namespace+"/"+s.Name] = string(s.Data["value"])
		}
	}
	return values
}
