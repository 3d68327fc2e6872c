//go:build cluster

package probe_test

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/probe"
	"github.com/gabion-k8s/gabion/test/cluster"
)

// A program is a process of the cluster.
type program struct {
	path string
	args []string
}

func (p program) flag(name string) string {
	for _, a := range p.args {
		if value, ok := strings.CutPrefix(a, "--"+name+"="); ok {
			return value
		}
	}
	return ""
}

// running finds the cluster's process by its program's name.
func running(t *testing.T, c *cluster.Cluster, name string) program {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, _ := os.ReadFile(f) // of one that is gone by now
		args := strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
		if filepath.Base(args[0]) == name && strings.Contains(string(text), c.Dir) {
			return program{args[0], args[1:]}
		}
	}
	t.Fatalf("no %s of the cluster runs", name)
	return program{}
}

func addressOf(t *testing.T, text string) netip.AddrPort {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return netip.MustParseAddrPort(u.Host)
}

// What real components say, as they are set up by default and as they should not be.
func TestRealComponents(t *testing.T) {
	modern := []string{"TLS 1.2", "TLS 1.3"}
	denied := func(request string) evidence.ProbedRequest {
		return evidence.ProbedRequest{Request: request, Status: 403, User: "system:anonymous"}
	}
	plainEtcd := "http://127.0.0.1:" + freePort(t)
	good := cluster.Start(t, cluster.Options{})
	etcd := running(t, good, "etcd")
	startEtcd(t, etcd.path, plainEtcd)
	bad := cluster.Start(t, cluster.Options{NoControllers: true, NoScheduler: true, APIServer: []string{
		"--tls-min-version=VersionTLS10", "--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_RC4_128_SHA,TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
	}})
	bad.Kubectl(t, "create", "clusterrolebinding", "everybody", "--clusterrole=cluster-admin", "--user=system:anonymous")
	closed := cluster.Start(t, cluster.Options{NoControllers: true, NoScheduler: true, APIServer: []string{"--anonymous-auth=false"}})
	port := func(name string) netip.AddrPort {
		p := running(t, good, name)
		return netip.MustParseAddrPort("127.0.0.1:" + p.flag("secure-port"))
	}
	for name, test := range map[string]struct {
		component string
		address   netip.AddrPort
		want      evidence.Probed
	}{
		"API server": {evidence.APIServer, addressOf(t, good.URL), evidence.Probed{
			Versions:  modern,
			Anonymous: []evidence.ProbedRequest{denied("GET /api"), {Request: "GET /version", Status: 200}, denied("GET /api/v1/namespaces?limit=1")},
		}},
		"API server that lets anybody in": {evidence.APIServer, addressOf(t, bad.URL), evidence.Probed{
			Versions: []string{"TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3"},
			Anonymous: []evidence.ProbedRequest{{Request: "GET /api", Status: 200, Answered: true}, {Request: "GET /version", Status: 200},
				{Request: "GET /api/v1/namespaces?limit=1", Status: 200, Answered: true}},
		}},
		"API server that knows no anonymous": {evidence.APIServer, addressOf(t, closed.URL), evidence.Probed{
			Versions:  modern,
			Anonymous: []evidence.ProbedRequest{{Request: "GET /api", Status: 401}, {Request: "GET /version", Status: 401}, {Request: "GET /api/v1/namespaces?limit=1", Status: 401}},
		}},
		"scheduler":          {evidence.Scheduler, port("kube-scheduler"), evidence.Probed{Versions: modern, Anonymous: []evidence.ProbedRequest{denied("GET /metrics")}}},
		"controller manager": {evidence.ControllerManager, port("kube-controller-manager"), evidence.Probed{Versions: modern, Anonymous: []evidence.ProbedRequest{denied("GET /metrics")}}},
		"etcd": {evidence.Etcd, addressOf(t, etcd.flag("listen-client-urls")), evidence.Probed{
			Versions: modern, ClientCertificate: true,
			Anonymous: []evidence.ProbedRequest{{Request: "GET /version", Error: "remote error: tls: certificate required"}, {Request: "POST /v3/kv/range", Error: "remote error: tls: certificate required"}},
		}},
		"etcd without TLS": {evidence.Etcd, addressOf(t, plainEtcd), evidence.Probed{
			Anonymous: []evidence.ProbedRequest{{Request: "GET /version", Status: 200, Answered: true}, {Request: "POST /v3/kv/range", Status: 200, Answered: true}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got := probe.Probe(t.Context(), []probe.Target{{Component: test.component, Address: test.address}}, probe.Options{Attempt: 10 * time.Second})[0]
			test.want.Component, test.want.Address, test.want.Open, test.want.TLS = test.component, test.address, true, len(test.want.Versions) > 0
			if test.want.TLS && len(got.Chain) == 0 || slices.ContainsFunc(got.Chain, func(c *evidence.Certificate) bool { return c.Error != "" }) {
				t.Errorf("served chain: %+v", got.Chain)
			}
			if weak := name == "API server that lets anybody in"; weak != (len(got.Ciphers) > 0) ||
				slices.ContainsFunc(got.Ciphers, func(s string) bool { return !strings.HasSuffix(s, "_WITH_RC4_128_SHA") }) {
				t.Errorf("weak suites: %v", got.Ciphers)
			}
			test.want.At, test.want.From, test.want.Chain, test.want.Ciphers = got.At, got.From, got.Chain, got.Ciphers
			if diff := cmp.Diff(test.want, *got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// freePort is a port for a server that starts at once.
func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// startEtcd starts an etcd without TLS.
func startEtcd(t *testing.T, path, client string) {
	t.Helper()
	peer := "http://127.0.0.1:" + freePort(t)
	cmd := exec.CommandContext(t.Context(), path, "--name=plain", "--data-dir="+t.TempDir(), "--log-level=error",
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=plain="+peer)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for range 100 {
		if res, err := http.Get(client + "/health"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("etcd is not healthy")
}
