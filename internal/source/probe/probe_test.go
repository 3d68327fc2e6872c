package probe_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/probe"
)

// answers is a server of a component that tells everybody everything.
var answers = map[string]string{
	"GET /api":                       `{"kind": "APIVersions", "versions": ["v1"]}`,
	"GET /version":                   `{"etcdserver": "3.6.0", "etcdcluster": "3.6.0"}`,
	"GET /api/v1/namespaces?limit=1": `{"apiVersion": "v1", "metadata": {"a": [1, {"kind": 2}]}, "kind": "NamespaceList", "items": []}`,
	"GET /pods":                      `{"kind": "PodList", "items": [` + strings.Repeat(`{"a": "b"},`, 20000) + `{}]}`,
	"GET /metrics":                   "# HELP a b\n# TYPE a counter\na 1\n",
	`POST /v3/kv/range`:              `{"header": {"revision": "1"}}`,
}

func tellAll(w http.ResponseWriter, r *http.Request) {
	text, ok := answers[r.Method+" "+r.URL.String()]
	if !ok {
		http.Error(w, "no such thing", http.StatusNotFound)
		return
	}
	io.WriteString(w, text)
}

func refuse(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Error(w, text, status) }
}

// serve starts a server; config nil is one without TLS.
func serve(t *testing.T, h http.Handler, config *tls.Config) netip.AddrPort {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if config == nil {
		s.Start()
	} else {
		s.TLS = config
		s.StartTLS()
	}
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}

// listen accepts connections and leaves them to a function.
func listen(t *testing.T, talk func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go talk(c)
		}
	}()
	return netip.MustParseAddrPort(l.Addr().String())
}

// closedPort is a port on which nobody listens, and nobody will until the test ends:
// it is the near end of a connection.
func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	c, err := net.Dial("tcp", listen(t, func(c net.Conn) { io.Copy(io.Discard, c) }).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return netip.MustParseAddrPort(c.LocalAddr().String())
}

var quick = probe.Options{Attempt: 300 * time.Millisecond}

func look(t *testing.T, component string, address netip.AddrPort) *evidence.Probed {
	t.Helper()
	list := probe.Probe(t.Context(), []probe.Target{{Node: "n", Component: component, Address: address}}, quick)
	if len(list) != 1 {
		t.Fatalf("%d results for one target", len(list))
	}
	return list[0]
}

func weak(ids ...uint16) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS10, CipherSuites: ids}
}

const (
	rsaCBC = tls.TLS_RSA_WITH_AES_128_CBC_SHA
	rc4    = tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA
	strong = tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
)

func TestProbe(t *testing.T) {
	everybody := http.HandlerFunc(tellAll)
	certified := func(min, max uint16) *tls.Config {
		return &tls.Config{MinVersion: min, MaxVersion: max, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool()}
	}
	got := func(request string) evidence.ProbedRequest {
		return evidence.ProbedRequest{Request: request, Status: 200, Answered: true}
	}
	namespaces, kv := "GET /api/v1/namespaces?limit=1", "POST /v3/kv/range"
	for name, test := range map[string]struct {
		component string
		address   netip.AddrPort
		want      evidence.Probed
	}{
		"modern, tells all": {evidence.APIServer, serve(t, everybody, &tls.Config{}), evidence.Probed{
			Open: true, TLS: true, Versions: []string{"TLS 1.2", "TLS 1.3"},
			Anonymous: []evidence.ProbedRequest{got("GET /api"), {Request: "GET /version", Status: 200}, got(namespaces)},
		}},
		"only 1.3": {evidence.Kubelet, serve(t, everybody, &tls.Config{MinVersion: tls.VersionTLS13}), evidence.Probed{
			Open: true, TLS: true, Versions: []string{"TLS 1.3"}, Anonymous: []evidence.ProbedRequest{got("GET /pods")},
		}},
		"only 1.0, and weak": {evidence.Kubelet, serve(t, everybody, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10, CipherSuites: []uint16{rsaCBC}}), evidence.Probed{
			Open: true, TLS: true, Versions: []string{"TLS 1.0"}, Ciphers: []string{"TLS_RSA_WITH_AES_128_CBC_SHA"},
			Anonymous: []evidence.ProbedRequest{got("GET /pods")},
		}},
		"old and new": {evidence.Scheduler, serve(t, everybody, weak(strong, rsaCBC, rc4)), evidence.Probed{
			Open: true, TLS: true, Versions: []string{"TLS 1.0", "TLS 1.1", "TLS 1.2", "TLS 1.3"},
			Ciphers:   []string{"TLS_ECDHE_RSA_WITH_RC4_128_SHA", "TLS_RSA_WITH_AES_128_CBC_SHA"},
			Anonymous: []evidence.ProbedRequest{got("GET /metrics")},
		}},
		"a client certificate is demanded": {evidence.Etcd, serve(t, everybody, certified(0, 0)), evidence.Probed{
			Open: true, TLS: true, Versions: []string{"TLS 1.2", "TLS 1.3"}, ClientCertificate: true,
			Anonymous: []evidence.ProbedRequest{{Request: "GET /version", Error: "remote error: tls: certificate required"}, {Request: kv, Error: "remote error: tls: certificate required"}},
		}},
		"demanded by one that only has 1.3": {evidence.Scheduler, serve(t, everybody, certified(tls.VersionTLS13, 0)), evidence.Probed{
			Open: true, TLS: true, Versions: []string{"TLS 1.3"}, ClientCertificate: true,
			Anonymous: []evidence.ProbedRequest{{Request: "GET /metrics", Error: "remote error: tls: certificate required"}},
		}},
		"demanded by one that has 1.0": {evidence.Scheduler, serve(t, everybody, certified(tls.VersionTLS10, tls.VersionTLS11)), evidence.Probed{
			Open: true, TLS: true, Versions: []string{"TLS 1.0", "TLS 1.1"}, ClientCertificate: true,
			Anonymous: []evidence.ProbedRequest{{Request: "GET /metrics", Error: "remote error: tls: handshake failure"}},
		}},
		"asked for and not demanded": {evidence.Kubelet, serve(t, refuse(401, "Unauthorized"), &tls.Config{ClientAuth: tls.RequestClientCert}), evidence.Probed{
			Open: true, TLS: true, Versions: []string{"TLS 1.2", "TLS 1.3"}, Anonymous: []evidence.ProbedRequest{{Request: "GET /pods", Status: 401}},
		}},
		"taken for anonymous": {evidence.Kubelet, serve(t, refuse(403, "Forbidden (user=system:anonymous, verb=get, resource=nodes, subresource=proxy)"), &tls.Config{}), evidence.Probed{
			Open: true, TLS: true, Versions: []string{"TLS 1.2", "TLS 1.3"},
			Anonymous: []evidence.ProbedRequest{{Request: "GET /pods", Status: 403, User: "system:anonymous"}},
		}},
		"something else answers 200": {evidence.APIServer, serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>kind: NamespaceList") }), &tls.Config{}), evidence.Probed{
			Open: true, TLS: true, Versions: []string{"TLS 1.2", "TLS 1.3"},
			Anonymous: []evidence.ProbedRequest{{Request: "GET /api", Status: 200}, {Request: "GET /version", Status: 200}, {Request: namespaces, Status: 200}},
		}},
		"the right body with the wrong status": {evidence.Kubelet, serve(t, refuse(404, `{"kind": "PodList"}`), &tls.Config{}), evidence.Probed{
			Open: true, TLS: true, Versions: []string{"TLS 1.2", "TLS 1.3"}, Anonymous: []evidence.ProbedRequest{{Request: "GET /pods", Status: 404}},
		}},
		"plain": {evidence.Etcd, serve(t, everybody, nil), evidence.Probed{
			Open: true, Anonymous: []evidence.ProbedRequest{got("GET /version"), got(kv)},
		}},
		"plain, and closes what is no request": {evidence.Etcd, plainOnly(t), evidence.Probed{
			Open: true, Anonymous: []evidence.ProbedRequest{got("GET /version"), {Request: kv, Status: 400}},
		}},
		"nothing": {evidence.Etcd, closedPort(t), evidence.Probed{Error: "connection refused"}},
		"tarpit":  {evidence.Etcd, listen(t, func(net.Conn) {}), evidence.Probed{Open: true, Error: "TLS 1.3: no answer in time"}},
		"resets": {evidence.Scheduler, listen(t, func(c net.Conn) { c.Read(make([]byte, 1)); c.(*net.TCPConn).SetLinger(0); c.Close() }), evidence.Probed{
			Open: true, Anonymous: []evidence.ProbedRequest{{Request: "GET /metrics", Error: "connection reset by peer"}},
		}},
		"closes": {evidence.Scheduler, listen(t, func(c net.Conn) {
			io.ReadFull(c, make([]byte, 5))
			c.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, c)
		}), evidence.Probed{
			Open: true, Anonymous: []evidence.ProbedRequest{{Request: "GET /metrics", Error: "the connection was closed"}},
		}},
		"drips": {evidence.Scheduler, serve(t, http.HandlerFunc(drip), &tls.Config{}), evidence.Probed{
			Open: true, TLS: true, Versions: []string{"TLS 1.2", "TLS 1.3"}, Error: "GET /metrics: no answer in time",
			Anonymous: []evidence.ProbedRequest{{Request: "GET /metrics", Status: 200, Error: "no answer in time"}},
		}},
		"what nobody asks": {"shop", serve(t, everybody, &tls.Config{}), evidence.Probed{Open: true, TLS: true, Versions: []string{"TLS 1.2", "TLS 1.3"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := look(t, test.component, test.address)
			if got.TLS && len(got.Versions) > 0 && (len(got.Chain) != 1 || got.Chain[0].SHA256 == "" || !got.Chain[0].IsCA) {
				t.Errorf("served chain: %+v", got.Chain)
			}
			if got.At.IsZero() || got.Open != (got.From == netip.MustParseAddr("127.0.0.1")) {
				t.Errorf("at %v, from %v", got.At, got.From)
			}
			test.want.Node, test.want.Component, test.want.Address = "n", test.component, test.address
			ignore := cmpopts.IgnoreFields(evidence.Probed{}, "At", "From", "Chain")
			if diff := cmp.Diff(&test.want, got, ignore, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// plainOnly closes, as etcd does, the connection of whom it does not understand.
func plainOnly(t *testing.T) netip.AddrPort {
	return listen(t, func(c net.Conn) {
		defer c.Close()
		for _, answer := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{\"etcdserver\": \"3\"}", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"} {
			first := make([]byte, 1)
			if _, err := c.Read(first); err != nil || first[0] < 'A' {
				return
			}
			c.Read(make([]byte, 4096))
			io.WriteString(c, answer)
		}
		io.Copy(io.Discard, c)
	})
}

// drip answers for ever.
func drip(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		io.WriteString(w, "#")
		w.(http.Flusher).Flush()
		time.Sleep(10 * time.Millisecond)
	}
}

// No redirection is followed, nothing is sent but what is listed, no credential is
// among it, and the environment's proxy is not asked.
func TestAsksNothingElse(t *testing.T) {
	elsewhere := listen(t, func(c net.Conn) { t.Error("another address was contacted"); c.Close() })
	t.Setenv("HTTPS_PROXY", "http://"+elsewhere.String())
	t.Setenv("HTTP_PROXY", "http://"+elsewhere.String())
	for component, want := range map[string][]string{
		evidence.APIServer:         {"GET /api", "GET /version", "GET /api/v1/namespaces?limit=1"},
		evidence.Kubelet:           {"GET /pods"},
		evidence.Etcd:              {"GET /version", `POST /v3/kv/range {"key":"AA==","count_only":true}`},
		evidence.Scheduler:         {"GET /metrics"},
		evidence.ControllerManager: {"GET /metrics"},
		evidence.KubeProxy:         nil,
	} {
		var asked []string
		server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			asked = append(asked, strings.TrimSpace(r.Method+" "+r.URL.String()+" "+string(body)))
			for name := range r.Header {
				if !slices.Contains([]string{"User-Agent", "Accept", "Content-Type", "Content-Length"}, name) {
					t.Errorf("%s: header %s: %s", component, name, r.Header.Get(name))
				}
			}
			http.Redirect(w, r, "https://"+elsewhere.String()+r.URL.Path, http.StatusTemporaryRedirect)
		}), &tls.Config{})
		got := look(t, component, server)
		if diff := cmp.Diff(want, asked); diff != "" {
			t.Errorf("%s was asked (-want +got)\n%s", component, diff)
		}
		for _, r := range got.Anonymous {
			if r.Status != http.StatusTemporaryRedirect || r.Answered {
				t.Errorf("%s: %+v", component, r)
			}
		}
	}
}

// Many are tried at a time, never more than was said, and all of it ends.
func TestBounds(t *testing.T) {
	var now, most atomic.Int32
	tarpit := listen(t, func(c net.Conn) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		io.Copy(io.Discard, c)
		now.Add(-1)
	})
	var targets []probe.Target
	for i := range 60 {
		targets = append(targets, probe.Target{Node: fmt.Sprint(i), Component: evidence.Etcd, Address: tarpit})
	}
	began := time.Now()
	list := probe.Probe(t.Context(), targets, probe.Options{Attempt: 100 * time.Millisecond, Total: 400 * time.Millisecond, Parallel: 4})
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	untried := 0
	for i, p := range list {
		if p.Node != fmt.Sprint(i) {
			t.Fatalf("result %d is that of %s", i, p.Node)
		}
		if p.Error == "" {
			t.Errorf("%d has nothing to say", i)
		}
		if strings.HasPrefix(p.Error, "not tried: ") {
			untried++
		}
	}
	if len(list) != 60 || untried == 0 || untried == 60 || most.Load() > 20 { // the server hears late that one is gone
		t.Errorf("%d results, %d not tried, %d at a time", len(list), untried, most.Load())
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	tarpit := listen(t, func(net.Conn) { cancel() })
	began := time.Now()
	list := probe.Probe(ctx, []probe.Target{{Component: evidence.Etcd, Address: tarpit}, {Component: evidence.Etcd, Address: tarpit}},
		probe.Options{Attempt: time.Minute, Parallel: 1})
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if len(list) != 2 || !strings.HasSuffix(list[0].Error, "interrupted") || list[1].Error != "not tried: interrupted" {
		t.Errorf("%+v\n%+v", list[0], list[1])
	}
}

// A server that is known by name only is looked up, and greeted by its name.
func TestName(t *testing.T) {
	var name atomic.Value
	address := serve(t, http.HandlerFunc(tellAll), &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		name.Store(h.ServerName)
		return nil, nil
	}})
	list := probe.Probe(t.Context(), []probe.Target{{Component: evidence.Kubelet, Name: "localhost", Address: netip.AddrPortFrom(netip.Addr{}, address.Port())}}, quick)
	if !slices.ContainsFunc(list, func(p *evidence.Probed) bool { return p.TLS && p.Address == address }) || name.Load() != "localhost" {
		t.Errorf("%+v, server name %v", list[0], name.Load())
	}
	list = probe.Probe(t.Context(), []probe.Target{{Component: evidence.Kubelet, Name: "no-such-host.invalid", Address: netip.AddrPortFrom(netip.Addr{}, 1)}}, quick)
	if len(list) != 1 || list[0].Error != "no-such-host.invalid: its address was not found" {
		t.Errorf("%+v", list)
	}
}
