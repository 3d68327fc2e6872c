//go:build cluster

package e2e

import (
	"bytes"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// A new user types what kubectl's plugins are called by, and gets a report.
func TestPlugin(t *testing.T) {
	c := shop(t)
	env := []string{"KUBECONFIG=" + c.Kubeconfig}
	for _, test := range []struct {
		args  []string
		wants []string
		not   string
	}{
		{[]string{"gabion", "scan"}, []string{"cluster test: ", "Kubernetes v1.", "as kubernetes-super-admin in system:masters",
			"Deployment tools/ci-runner", "Next: kubectl gabion explain "}, ""},
		{[]string{"gabion", "scan", "-n", "shop"}, []string{"only namespace shop", "Deployment shop/web"}, "ci-runner: container"},
		{[]string{"gabion", "scan", "--context", "test", "-o", "markdown"}, []string{"<code>test</code>: Kubernetes v1", "as kubernetes-super-admin"}, ""},
		{[]string{"gabion", "scan", "--request-timeout", "30", "-o", "html"}, []string{"Cluster <bdi>test</bdi>", "as kubernetes-super-admin"}, ""},
	} {
		got := runCommand(t, kubectl(t, env, test.args...))
		if got.code != 1 || got.errors != "" {
			t.Errorf("%v: exit code %d: %s", test.args, got.code, got.errors)
		}
		for _, want := range test.wants {
			if !strings.Contains(got.out, want) {
				t.Errorf("%v: nothing of %q in\n%s", test.args, want, got.out[:min(len(got.out), 2000)])
			}
		}
		if test.not != "" && strings.Contains(got.out, test.not) {
			t.Errorf("%v: %q is in it", test.args, test.not)
		}
	}
}

// dump is what programs print that were written for programmers.
var dump = regexp.MustCompile(`0x[0-9a-f]{6}|&\{|goroutine|panic|%!|\.go:|Go value|struct|map\[|<nil>|\[\]|\.\.\.|E\d{4} `)

// Whatever is wrong, a new user gets one line that says what to do.
func TestOneLine(t *testing.T) {
	c := shop(t)
	silent := listen(t, func(net.Conn) {})
	hangUp := listen(t, func(conn net.Conn) { conn.Close() })
	other := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	unlike := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(unlike.Close)
	otherCA := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Certificate().Raw})
	late := c.UserUntil(t, time.Now().Add(-time.Hour), "late").Kubeconfig

	to := func(change func(*clientcmdapi.Cluster)) []string {
		return []string{"--kubeconfig", kubeconfig(t, c.Kubeconfig, func(k *clientcmdapi.Config) { change(k.Clusters["test"]) })}
	}
	as := func(user clientcmdapi.AuthInfo) []string {
		return []string{"--kubeconfig", kubeconfig(t, c.Kubeconfig, func(k *clientcmdapi.Config) { *k.AuthInfos["test"] = user })}
	}
	file := func(text string) []string {
		name := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{"--kubeconfig", name}
	}
	program := func(name string, args ...string) clientcmdapi.AuthInfo {
		return clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{APIVersion: "client.authentication.k8s.io/v1", Command: name, Args: args,
			InteractiveMode: clientcmdapi.NeverExecInteractiveMode}}
	}
	server := func(url string) []string { return to(func(c *clientcmdapi.Cluster) { c.Server = url }) }
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"no kubeconfig", nil, `there is no kubeconfig .* name one with --kubeconfig$`},
		{"no such kubeconfig", []string{"--kubeconfig", "nowhere"}, `kubeconfig "nowhere" does not exist`},
		{"empty kubeconfig", file(""), `names no cluster`},
		{"a folder", []string{"--kubeconfig", "/"}, `is a directory`},
		{"not YAML", file("clusters: ["), `is not YAML: yaml: line 1`},
		{"text", file("my cluster is prod"), `is not a kubeconfig$`},
		{"a list", file("[1, 2]"), `is not a kubeconfig$`},
		{"another kind", file("{apiVersion: v1, kind: Pod}"), `is not a kubeconfig: it is of kind "Pod", not Config`},
		{"no kind", file("{clusters: 7}"), `is not a kubeconfig: it has no kind$`},
		{"wrong context", []string{"--kubeconfig", c.Kubeconfig, "--context", "prod"}, `context "prod" does not exist: the kubeconfig has "test"`},
		{"no context", []string{"--kubeconfig", kubeconfig(t, c.Kubeconfig, func(k *clientcmdapi.Config) { k.CurrentContext = "" })}, `choose one with --context: .* "test"`},
		{"no such namespace", []string{"--kubeconfig", c.Kubeconfig, "-n", "prod"}, `namespace "prod" does not exist in cluster "test"`},
		{"no name of a namespace", []string{"--kubeconfig", c.Kubeconfig, "-n", "Prod!"}, `"Prod!" cannot be the name of a namespace`},
		{"all and one", []string{"--kubeconfig", c.Kubeconfig, "-n", "shop", "-A"}, `give one of them`},
		{"expired certificate", []string{"--kubeconfig", late}, `client certificate of user "test" in context "test" expired on .*: get a new kubeconfig or renew`},
		{"missing CA file", to(func(c *clientcmdapi.Cluster) {
			c.CertificateAuthorityData, c.CertificateAuthority = nil, "/nowhere/ca.crt"
		}), `/nowhere/ca.crt: no such file`},
		{"no CA", to(func(c *clientcmdapi.Cluster) { c.CertificateAuthorityData = nil }), `certificate-authority is missing or of another cluster`},
		{"wrong CA", to(func(c *clientcmdapi.Cluster) { c.CertificateAuthorityData = otherCA }), `certificate-authority is missing or of another cluster`},
		{"another name", to(func(c *clientcmdapi.Cluster) { c.TLSServerName = "shop.example.com" }), `not for "shop.example.com"`},
		{"server down", server("https://127.0.0.1:1"), `refused the connection: is the cluster running`},
		{"unknown name", server("https://api.prod.invalid:6443"), `unknown name, "api.prod.invalid"|cannot ask the API server https://api.prod.invalid`},
		{"no address", server("::: :"), `is not an address`},
		{"plain HTTP", server("http" + strings.TrimPrefix(c.URL, "https")), `does not answer as an API server does`},
		{"a web server", server(unlike.URL), `does not answer as an API server does .404 Not Found`},
		{"hangs up", server("https://" + hangUp), `cannot ask the API server`},
		{"never answers", append(server("https://"+silent), "--request-timeout", "1s"), `did not answer within 1s: .*--request-timeout allows more`},
		{"proxy down", to(func(c *clientcmdapi.Cluster) { c.ProxyURL = "http://127.0.0.1:1" }), `through the proxy http://127.0.0.1:1: .*check proxy-url`},
		{"proxy of another kind", to(func(c *clientcmdapi.Cluster) { c.ProxyURL = "ftp://127.0.0.1" }), `proxy-url`},
		{"unknown token", as(clientcmdapi.AuthInfo{Token: "stale"}), `401 Unauthorized.: log in again`},
		{"no credentials", as(clientcmdapi.AuthInfo{}), `system:anonymous.: its user entry has no credentials: log in`},
		{"missing token file", as(clientcmdapi.AuthInfo{TokenFile: "/nowhere/token"}), `/nowhere/token: no such file`},
		{"missing login program", as(program("no-such-login")), `no-such-login not found: install it`},
		{"failing login program", as(program("false")), `by a program, and that failed: .*exit code 1`},
		{"removed login provider", as(clientcmdapi.AuthInfo{AuthProvider: &clientcmdapi.AuthProviderConfig{Name: "gcp"}}), `"gcp"`},
		{"may not act as", []string{"--kubeconfig", c.User(t, "modest").Kubeconfig, "--as", "admin"}, `may not be used --as somebody else`},
		{"no time", []string{"--request-timeout", "0"}, `want a time of more than 0`},
		{"a strange time", []string{"--request-timeout", "soon"}, `want a time of more than 0`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, command := range [][]string{{"gabion", "scan"}, {"gabion", "snapshot", "--output-file", "new.snap"}} {
				cmd := kubectl(t, nil, append(command, test.args...)...)
				began := time.Now()
				got := runCommand(t, cmd)
				line, rest, _ := strings.Cut(got.errors, "\n")
				text, ok := strings.CutPrefix(line, "kubectl gabion: error: ")
				t.Log(line)
				if !ok || rest != "" && !strings.HasPrefix(rest, "See 'kubectl gabion ") {
					t.Errorf("not one line: %s", got.errors)
				}
				if got.code != 2 || got.out != "" {
					t.Errorf("exit code %d, output %q", got.code, got.out)
				}
				if !regexp.MustCompile(test.want).MatchString(text) {
					t.Errorf("%q does not say %s", text, test.want)
				}
				if dump.MatchString(text) || len(text) > 400 {
					t.Errorf("not for people: %s", text)
				}
				if took := time.Since(began); took > 20*time.Second {
					t.Errorf("took %s", took)
				}
				if left, err := os.ReadDir(cmd.Dir); err != nil || len(left) > 0 && command[1] == "snapshot" && left[0].Name() != ".kube" {
					t.Errorf("left behind: %v (%v)", left, err)
				}
			}
		})
	}
}

// listen accepts connections and gives them to do; it returns its address.
func listen(t *testing.T, do func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		var kept []net.Conn // until the listener is closed
		for {
			conn, err := l.Accept()
			if err != nil {
				for _, c := range kept {
					c.Close()
				}
				return
			}
			kept = append(kept, conn)
			do(conn)
		}
	}()
	return l.Addr().String()
}

// Whoever interrupts a scan gets the terminal back at once, with one line.
func TestInterrupt(t *testing.T) {
	c := shop(t)
	asked := make(chan struct{}, 100)
	silent := listen(t, func(net.Conn) { asked <- struct{}{} })
	config := kubeconfig(t, c.Kubeconfig, func(k *clientcmdapi.Config) { k.Clusters["test"].Server = "https://" + silent })
	for _, args := range [][]string{
		{"gabion", "scan", "--kubeconfig", config},
		{"gabion", "snapshot", "--kubeconfig", config, "--output-file", "new.snap"},
		{"gabion", "rbac", "paths", "--kubeconfig", config},
		{"gabion", "rbac", "own-role", "--check", "--kubeconfig", config},
	} {
		cmd := kubectl(t, nil, args...)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a shell does
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-asked
		began := time.Now()
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if _, ok := cmd.Wait().(*exec.ExitError); !ok {
			t.Errorf("%v: no failure", args)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%v: took %s", args, took)
		}
		if errs.String() != "kubectl gabion: interrupted\n" {
			t.Errorf("%v: %q", args, errs.String())
		}
		if left, err := os.ReadDir(cmd.Dir); err != nil || len(left) > 0 {
			t.Errorf("%v: left behind: %v (%v)", args, left, err)
		}
	}
}
