package admission

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// An apiServer holds one webhook configuration and changes it by JSON patch, with the
// tests that a patch has.
type apiServer struct {
	mutex   sync.Mutex
	version int
	bundle  []byte
	down    int // status to answer with instead
	// checked is told of every change.
	checked func(before, now []byte)
}

func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if a.down != 0 {
		http.Error(w, "down", a.down)
		return
	}
	if r.URL.Path != "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/ours" {
		http.Error(w, "another object", http.StatusForbidden)
		return
	}
	if r.Method == http.MethodPatch {
		var list []struct {
			Op, Path string
			Value    json.RawMessage
		}
		if err := json.NewDecoder(r.Body).Decode(&list); err != nil || len(list) != 2 || list[0].Op != "test" ||
			list[1].Path != "/webhooks/0/clientConfig/caBundle" || r.Header.Get("Content-Type") != "application/json-patch+json" {
			http.Error(w, "not such a patch", http.StatusBadRequest)
			return
		}
		var bundle []byte
		if string(list[0].Value) != fmt.Sprintf("%q", fmt.Sprint(a.version)) || json.Unmarshal(list[1].Value, &bundle) != nil {
			http.Error(w, "somebody was first", http.StatusUnprocessableEntity)
			return
		}
		if a.checked != nil {
			a.checked(a.bundle, bundle)
		}
		a.bundle = bundle
		a.version++
	}
	json.NewEncoder(w).Encode(map[string]any{
		"metadata": map[string]any{"resourceVersion": fmt.Sprint(a.version)},
		"webhooks": []any{map[string]any{"clientConfig": map[string]any{"caBundle": a.bundle}}},
	})
}

func (a *apiServer) set(change func()) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	change()
}

func (a *apiServer) trusts(leaf *x509.Certificate) error {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(a.bundle)
	_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "web.shop.svc"})
	return err
}

func (a *apiServer) registration(t *testing.T) *Registration {
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return NewRegistration(server.Client(), u, "ours")
}

func keep(t *testing.T, c *Certificates) {
	c.Names, c.Log = []string{"web.shop.svc"}, slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.Keep(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}

// At no moment does a replica that is ready serve with what API servers do not trust,
// while two replicas renew their certificates and write the same object.
func TestRotation(t *testing.T) {
	t.Parallel()
	a := &apiServer{bundle: []byte("not a certificate")}
	registration := a.registration(t)
	replicas := []*Certificates{{Lifetime: 2 * time.Second, Registration: registration}, {Lifetime: 2 * time.Second, Registration: registration}}
	for _, c := range replicas {
		if c.Ready() == nil {
			t.Fatal("ready without a certificate")
		}
		keep(t, c)
	}
	serials := map[string]bool{}
	await(t, "three certificates of each", func() bool {
		for _, c := range replicas {
			cert, err := c.get(nil)
			if c.Ready() != nil || err != nil {
				continue
			}
			if err := a.trusts(cert.Leaf); err != nil && c.Ready() == nil {
				t.Errorf("ready, and not trusted: %v", err)
			}
			serials[cert.Leaf.SerialNumber.String()] = true
		}
		return len(serials) >= 6
	})
	a.set(func() {
		if n := len(parsePEM(a.bundle)); n > 8 {
			t.Errorf("%d authorities are left in the bundle", n)
		}
	})
}

// Readiness follows what is in the cluster, and stays what it was while nobody can
// tell.
func TestReadiness(t *testing.T) {
	a := &apiServer{down: http.StatusNotFound}
	c := &Certificates{Lifetime: time.Hour, Registration: a.registration(t)}
	c.Log, c.Names = slog.New(slog.DiscardHandler), []string{"web.shop.svc"}
	step := func() error { return c.step(t.Context()) }
	if err := step(); err == nil || c.Ready() == nil || !strings.Contains(c.Ready().Error(), "does not exist") {
		t.Fatalf("without a webhook configuration: %v, %v", err, c.Ready())
	}
	a.set(func() { a.down = http.StatusForbidden })
	if step(); c.Ready() == nil {
		t.Fatal("ready without rights")
	}
	a.set(func() { a.down = 0 })
	if err := step(); err != nil || c.Ready() != nil {
		t.Fatal(err, c.Ready())
	}
	a.set(func() { a.down = http.StatusInternalServerError })
	if err := step(); err == nil || c.Ready() != nil {
		t.Fatalf("an API server that is down: %v, %v", err, c.Ready())
	}
	// Somebody applies the manifest again.
	a.set(func() { a.down, a.bundle = 0, nil })
	other, err := makePair([]string{"x"}, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	a.set(func() {
		a.bundle = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.authorities[0].Raw})
	})
	if err := step(); err != nil || c.Ready() != nil {
		t.Fatal(err, c.Ready())
	}
	if cert, _ := c.get(nil); a.trusts(cert.Leaf) != nil || len(parsePEM(a.bundle)) != 2 {
		t.Error("the authority is not back, or that of another replica is gone")
	}
	a.set(func() { a.down = http.StatusNotFound })
	if step(); c.Ready() == nil {
		t.Error("ready, and the webhook configuration is gone")
	}
}

// A bundle holds what is in force: first ours, then the youngest, and not too many.
func TestBundle(t *testing.T) {
	now := time.Now()
	var there []*x509.Certificate
	for i := range 2 * mostAuthorities {
		p, err := makePair([]string{"x"}, time.Hour, now.Add(-time.Duration(i)*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		there = append(there, p.authorities...)
	}
	ours := there[len(there)-1:]
	list := parsePEM(bundle(there, ours, nil, now.Add(-100*time.Minute)))
	if len(list) != mostAuthorities || !list[0].Equal(ours[0]) || !list[1].Equal(there[0]) {
		t.Errorf("%d authorities", len(list))
	}
	if list := parsePEM(bundle(there, there[:1], nil, now)); len(list) != 60 {
		t.Errorf("%d authorities are in force", len(list))
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	write := func(p *pair, key bool) {
		t.Helper()
		write := func(name, kind string, der []byte) {
			if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("tls.crt", "CERTIFICATE", p.serving.Certificate[0])
		write("ca.crt", "CERTIFICATE", p.authorities[0].Raw)
		if key {
			der, err := x509.MarshalPKCS8PrivateKey(p.serving.PrivateKey)
			if err != nil {
				t.Fatal(err)
			}
			write("tls.key", "PRIVATE KEY", der)
		}
	}
	made := func(name string, from time.Time) *pair {
		t.Helper()
		p, err := makePair([]string{name}, time.Hour, from)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	c := &Certificates{Dir: dir, Names: []string{"web.shop.svc"}, Log: slog.New(slog.DiscardHandler)}
	fails := func(why string) {
		t.Helper()
		if err := c.step(t.Context()); err == nil || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%v, want %q", err, why)
		}
	}
	fails("tls.crt: no such file")
	if c.Ready() == nil {
		t.Error("ready without a certificate")
	}
	write(made("web.shop.svc", time.Now().Add(-2*time.Hour)), true)
	fails("expired")
	write(made("api.shop.svc", time.Now()), true)
	fails("not for web.shop.svc")
	first := made("web.shop.svc", time.Now())
	write(first, true)
	if err := c.step(t.Context()); err != nil || c.Ready() != nil {
		t.Fatal(err, c.Ready())
	}
	second := made("web.shop.svc", time.Now())
	write(second, false) // halfway
	fails("not a certificate and its key")
	if cert, err := c.get(nil); err != nil || !cert.Leaf.Equal(first.serving.Leaf) || c.Ready() != nil {
		t.Error("the old certificate is not served with while the new one is incomplete", err, c.Ready())
	}
	write(second, true)
	if err := c.step(t.Context()); err != nil {
		t.Fatal(err)
	}
	if cert, _ := c.get(nil); !cert.Leaf.Equal(second.serving.Leaf) {
		t.Error("the new certificate is not served with")
	}
	// What is to be told of must be what vouches for it.
	c.Registration = (&apiServer{}).registration(t)
	third := made("web.shop.svc", time.Now())
	third.authorities = first.authorities
	write(third, true)
	if _, err := c.next(c.current); err == nil || !strings.Contains(err.Error(), "does not vouch") {
		t.Errorf("the authority of another certificate: %v", err)
	}
}

// A certificate that expires is not ready, whatever was known of it.
func TestExpiry(t *testing.T) {
	p, err := makePair([]string{"x"}, time.Minute, time.Now().Add(-2*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if c := (&Certificates{current: p}); c.Ready() == nil {
		t.Error("ready with an expired certificate")
	}
}

// When it is stopped it first says that it is not ready, goes on answering, and ends
// with nothing left unanswered.
func TestShutdown(t *testing.T) {
	t.Parallel()
	p, err := makePair([]string{"127.0.0.1"}, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(NewJudge(Options{}), &Certificates{current: p}, slog.New(slog.DiscardHandler))
	s.Drain = 300 * time.Millisecond
	l := listen(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	pool := x509.NewCertPool()
	pool.AddCert(p.authorities[0])
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	get := func(path string) int {
		t.Helper()
		answer, err := client.Get("https://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	if code := get("/readyz"); code != http.StatusOK {
		t.Errorf("readyz %d", code)
	}
	read, write := newPipe()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+l.Addr().String()+Path, read)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	slow := make(chan int, 1)
	go func() {
		answer, err := client.Do(request)
		if err != nil {
			slow <- 0
			return
		}
		answer.Body.Close()
		slow <- answer.StatusCode
	}()
	write.Write([]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview",`))
	stop()
	await(t, "not ready", func() bool { return get("/readyz") == http.StatusServiceUnavailable })
	if code := get("/livez"); code != http.StatusOK {
		t.Errorf("livez %d", code)
	}
	time.Sleep(400 * time.Millisecond) // beyond the delay
	write.Write([]byte(`"request":{"uid":"u","operation":"DELETE"}}`))
	write.Close()
	if code := <-slow; code != http.StatusOK {
		t.Errorf("a request on its way was answered %d", code)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
