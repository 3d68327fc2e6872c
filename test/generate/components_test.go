//go:build cluster

// Package generate_test starts the real components with what gabion generate
// prints: the API server and the kubelet must take it, and then do what it says.
package generate_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-k8s/gabion/test/cluster"
)

// binary is a component of the cluster's own build.
func binary(t *testing.T, c *cluster.Cluster, name string) string {
	t.Helper()
	return filepath.Join(filepath.Dir(c.Command(t.Context()).Path), name)
}

// flagsOf are the flags of a component of the cluster, as it runs.
func flagsOf(t *testing.T, c *cluster.Cluster, name string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, _ := os.ReadFile(f) // it may have ended
		args := strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
		if filepath.Base(args[0]) == name && strings.Contains(string(text), c.Dir+"/") {
			return args[1:]
		}
	}
	t.Fatalf("%s does not run", name)
	return nil
}

func value(t *testing.T, flags []string, name string) string {
	t.Helper()
	for _, f := range flags {
		if v, ok := strings.CutPrefix(f, "--"+name+"="); ok {
			return v
		}
	}
	t.Fatalf("no --%s in %q", name, flags)
	return ""
}

// start runs a component until the test is over. It returns where its log is.
func start(t *testing.T, path string, args ...string) (log string, ended <-chan error) {
	t.Helper()
	log = filepath.Join(t.TempDir(), filepath.Base(path)+".log")
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started, done := make(chan error), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the signal comes when the thread ends
		err := cmd.Start()
		started <- err
		if err == nil {
			done <- cmd.Wait()
		}
		out.Close()
		close(done)
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		for range done {
		}
		if t.Failed() {
			t.Logf("%s:\n%s", path, tail(log))
		}
	})
	return log, done
}

func tail(file string) []byte {
	text, _ := os.ReadFile(file)
	return text[max(0, len(text)-6000):]
}

// eventually polls for a minute.
func eventually(t *testing.T, what string, ready func() error) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		err := ready()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// anotherServer starts one more API server of the cluster, on the same etcd, with
// further flags, and returns its URL when it is ready.
func anotherServer(t *testing.T, c *cluster.Cluster, flags ...string) string {
	t.Helper()
	port := freePort(t)
	args := slices.Concat(flagsOf(t, c, "kube-apiserver"), []string{
		fmt.Sprintf("--secure-port=%d", port), "--endpoint-reconciler-type=none",
		"--audit-log-path=" + filepath.Join(t.TempDir(), "audit.log")}, flags)
	start(t, binary(t, c, "kube-apiserver"), args...)
	url := fmt.Sprintf("https://127.0.0.1:%d", port)
	eventually(t, "the API server to be ready", func() error { return ready(c.CA, url) })
	return url
}

func ready(ca []byte, url string) error {
	code, err := anonymous(ca, url+"/readyz")
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("status %d", code)
	}
	return err
}

// anonymous asks without saying who asks.
func anonymous(ca []byte, url string) (code int, err error) {
	return get(client(ca, nil), url)
}

func client(ca []byte, certificates []tls.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: certificates}, DisableKeepAlives: true}}
}

func get(c *http.Client, url string) (int, error) {
	answer, err := c.Get(url)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, err
}

// stored are the values that etcd holds below a key, by key.
func stored(t *testing.T, c *cluster.Cluster, prefix string) map[string][]byte {
	t.Helper()
	flags := flagsOf(t, c, "kube-apiserver")
	pair, err := tls.LoadX509KeyPair(value(t, flags, "etcd-certfile"), value(t, flags, "etcd-keyfile"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(value(t, flags, "etcd-cafile"))
	if err != nil {
		t.Fatal(err)
	}
	end := []byte(prefix)
	end[len(end)-1]++
	body, err := json.Marshal(map[string][]byte{"key": []byte(prefix), "range_end": end})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client(ca, []tls.Certificate{pair}).Post(value(t, flags, "etcd-servers")+"/v3/kv/range", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var got struct {
		KVs []struct{ Key, Value []byte }
	}
	if err := json.NewDecoder(answer.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	values := map[string][]byte{}
	for _, kv := range got.KVs {
		values[string(kv.Key)] = kv.Value
	}
	if len(values) == 0 {
		t.Fatalf("etcd holds nothing below %s", prefix)
	}
	return values
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
