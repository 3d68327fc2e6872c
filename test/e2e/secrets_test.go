//go:build cluster

package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/gabion-k8s/gabion/internal/cli"
	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/test/cluster"
)

// secrets are of the types that there are, applied, so that kubectl writes their
// values into an annotation as well. What stands in the ConfigMap may be read.
const secrets = `
apiVersion: v1
kind: Namespace
metadata: {name: vault, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot, namespace: vault}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: open, namespace: vault}
data: {note: plainly-visible-0000}
---
apiVersion: v1
kind: Secret
metadata: {name: opaque, namespace: vault, labels: {app: vault}}
stringData: {password: canary-opaque-4711, long: "canary-long-4711 canary-long-4711 canary-long-4711"}
---
apiVersion: v1
kind: Secret
metadata: {name: fixed, namespace: vault}
immutable: true
data: {key: Y2FuYXJ5LWltbXV0YWJsZS00NzEx}
---
apiVersion: v1
kind: Secret
metadata: {name: tls, namespace: vault}
type: kubernetes.io/tls
stringData: {tls.crt: canary-certificate-4711, tls.key: canary-private-key-4711}
---
apiVersion: v1
kind: Secret
metadata: {name: registry, namespace: vault}
type: kubernetes.io/dockerconfigjson
stringData: {.dockerconfigjson: '{"auths":{"registry.example.com":{"username":"robot","password":"canary-registry-4711","auth":"cm9ib3Q6Y2FuYXJ5LXJlZ2lzdHJ5LTQ3MTE="}}}'}
---
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: vault}
type: kubernetes.io/basic-auth
stringData: {username: robot, password: canary-basic-4711}
---
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: vault, annotations: {kubernetes.io/service-account.name: robot}}
type: kubernetes.io/service-account-token
stringData: {extra: canary-token-4711}
---
apiVersion: v1
kind: Secret
metadata: {name: bootstrap-token-abcdef, namespace: kube-system}
type: bootstrap.kubernetes.io/token
stringData: {token-id: abcdef, token-secret: canary4711471100, usage-bootstrap-authentication: "true", description: canary-bootstrap-4711}
`

// No value of a Secret leaves the API server, and so none is in anything that the
// program says, writes or holds in memory.
func TestNoSecretValues(t *testing.T) {
	c := cluster.Start(t, cluster.Options{})
	applyText(t, c, secrets)
	values := secretValues(t, c)
	const user = "scanner"
	a := c.User(t, user)
	applyText(t, c, run(t, "rbac", "own-role", "--name", user, "--subject", user).out)
	eventually(t, "the rights", func() error {
		if r := try(t, "rbac", "own-role", "--check", "--kubeconfig", a.Kubeconfig); r.code != 0 {
			return fmt.Errorf("exit code %d: %s", r.code, r.out)
		}
		return nil
	})
	said := map[string][]byte{}
	dir := t.TempDir()
	args := []string{"scan", "-v", "--kubeconfig", a.Kubeconfig}
	for _, format := range report.Names() {
		args = append(args, "-o", format+"="+filepath.Join(dir, format))
	}
	scanned := run(t, args...)
	said["standard error of scan -v"] = []byte(scanned.errors)
	snap := filepath.Join(t.TempDir(), "c.snap")
	said["standard error of snapshot -v"] = []byte(run(t, "snapshot", "-v", "--kubeconfig", a.Kubeconfig, "--output-file", snap).errors)
	said["the snapshot"] = unzip(t, snap)
	said["paths"] = []byte(run(t, "rbac", "paths", "--kubeconfig", a.Kubeconfig, "-o", "json").out)
	refused := try(t, "scan", "-v", "--kubeconfig", c.User(t, "nobody").Kubeconfig)
	said["what one says who may read nothing"] = []byte(refused.out + refused.errors)
	for _, format := range report.Names() {
		text, err := os.ReadFile(filepath.Join(dir, format))
		if err != nil || len(text) == 0 {
			t.Fatal(format, err)
		}
		said["the report as "+format] = text
	}
	asked := 0
	for _, e := range requests(t, c, user) {
		if e.ObjectRef == nil || e.ObjectRef.Resource != "secrets" || e.Stage != "ResponseComplete" {
			continue
		}
		if e.ResponseObject == nil {
			t.Fatalf("the audit log does not have the answer to %s", e.RequestURI)
		}
		asked++
		said["the answer to "+e.RequestURI] = unapplied(t, e.ResponseObject.Raw)
	}
	if asked < 3 || !bytes.Contains(said["the report as json"], []byte(`"token-secret"`)) || !bytes.Contains(said["the snapshot"], []byte("bootstrap-token-abcdef")) {
		t.Errorf("%d requests for Secrets, or nothing about those that were asked for", asked)
	}
	if !bytes.Contains(said["the snapshot"], []byte(visible())) {
		t.Error("what is in the ConfigMap is not in the snapshot: what is looked for might not be found")
	}
	for where, text := range said {
		for _, v := range values {
			if bytes.Contains(text, v.value) {
				t.Errorf("the value of %s is in %s", v.of, where)
			}
		}
	}
	searchMemory(t, a, values)
}

// unapplied is an answer without kubectl's copies of the objects, which metadata
// hold: the names of the accounts that tokens are of cannot be had without. Nobody
// keeps them.
func unapplied(t *testing.T, answer []byte) []byte {
	t.Helper()
	var list metav1.PartialObjectMetadataList
	if err := json.Unmarshal(answer, &list); err != nil {
		t.Fatal(err)
	}
	if list.Kind != "PartialObjectMetadataList" {
		return answer
	}
	for i := range list.Items {
		delete(list.Items[i].Annotations, corev1.LastAppliedConfigAnnotation)
	}
	answer, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// visible is what is in the ConfigMap.
func visible() string { return "plainly-visible" + "-0000" }

type secretValue struct {
	of    string
	value []byte
}

// secretValues are the values of all Secrets, as they are and in base64, whatever
// controllers have added to them; and parts of them, should they be broken in two.
func secretValues(t *testing.T, c *cluster.Cluster) (values []secretValue) {
	t.Helper()
	client := kubernetes.NewForConfigOrDie(c.Config())
	var list *corev1.SecretList
	eventually(t, "the token of the ServiceAccount", func() (err error) {
		list, err = client.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{})
		for _, s := range list.Items {
			if s.Name == "token" && len(s.Data["token"]) == 0 {
				err = fmt.Errorf("not there")
			}
		}
		return err
	})
	for _, s := range list.Items {
		if s.Annotations[corev1.LastAppliedConfigAnnotation] == "" {
			t.Errorf("no values in the annotations of %s", s.Name)
		}
		for key, value := range s.Data {
			if len(value) < 12 || key == "namespace" || key == "ca.crt" {
				continue // not to be told from other text, or public
			}
			of := s.Name + ", " + key
			values = append(values, secretValue{of, value}, secretValue{of + " in base64", []byte(base64.StdEncoding.EncodeToString(value))})
			if len(value) > 40 {
				values = append(values, secretValue{"a part of " + of, value[len(value)/2 : len(value)/2+20]})
			}
		}
	}
	if len(list.Items) != 7 || len(values) < 20 {
		t.Fatalf("%d Secrets, %d values", len(list.Items), len(values))
	}
	return values
}

func unzip(t *testing.T, file string) []byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// dumpFile names the environment variable with which this test runs itself as the
// program, and the file that it writes its memory to.
const dumpFile = "GABION_E2E_DUMP"

// searchMemory scans in a process of its own, which has never seen the values, and
// looks for them in its memory while it holds what it has read, and at the end.
func searchMemory(t *testing.T, a cluster.Access, values []secretValue) {
	t.Helper()
	for _, when := range []string{"reading", "end"} {
		file := filepath.Join(t.TempDir(), "heap")
		cmd := exec.Command(os.Args[0], "scan", "-v", "--kubeconfig", a.Kubeconfig, "-o", "json")
		cmd.Env = append(os.Environ(), dumpFile+"="+when+":"+file)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if err := cmd.Run(); cmd.ProcessState.ExitCode() != cli.ExitFindings {
			t.Fatalf("%v: %s", err, errs.String())
		}
		memory, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(memory) < 1<<20 || when == "reading" && !bytes.Contains(memory, []byte(visible())) {
			t.Errorf("%s: %d bytes of memory without what is in the ConfigMap: nothing would be found", when, len(memory))
		}
		for _, v := range values {
			if bytes.Contains(memory, v.value) {
				t.Errorf("%s: the value of %s is in memory", when, v.of)
			}
		}
	}
}

// scanAndDump is the program; it writes its memory to a file when the first pods
// are read, or at the end.
func scanAndDump(dump string, args []string) int {
	when, file, _ := strings.Cut(dump, ":")
	write := sync.OnceFunc(func() {
		f, err := os.Create(file)
		if err != nil {
			panic(err)
		}
		runtime.GC()
		debug.WriteHeapDump(f.Fd())
		if err := f.Close(); err != nil {
			panic(err)
		}
	})
	env := cli.System()
	env.Stdout = io.Discard
	lines, stderr := io.Pipe()
	env.Stderr = stderr
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := bufio.NewScanner(lines); s.Scan(); {
			if when == "reading" && strings.HasPrefix(s.Text(), "reading pods") {
				write()
			}
		}
	}()
	code := cli.Main(context.Background(), append([]string{"gabion"}, args...), env)
	stderr.Close()
	<-done
	if when == "end" {
		write()
	}
	return code
}
