package live

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// writeConfig writes a kubeconfig with one context, "shop".
func writeConfig(t *testing.T, cluster clientcmdapi.Cluster, user clientcmdapi.AuthInfo) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	config := clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"shop-cluster": &cluster},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"jane": &user},
		Contexts:       map[string]*clientcmdapi.Context{"shop": {Cluster: "shop-cluster", AuthInfo: "jane"}},
		CurrentContext: "shop",
	}
	if err := clientcmd.WriteToFile(config, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// noAccess hides the kubeconfig and the account of whoever runs the test.
func noAccess(t *testing.T) {
	t.Helper()
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
}

// certificate makes a certificate that is its own authority, with its key.
func certificate(t *testing.T, until time.Time, subject pkix.Name, hosts ...string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: subject, NotBefore: until.Add(-48 * time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, DNSNames: hosts,
	}
	if len(hosts) == 0 {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

// serve starts a server with a certificate and returns its address.
func serve(t *testing.T, cert, key []byte, handler http.HandlerFunc) string {
	t.Helper()
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.Config.ErrorLog = quiet
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

func refuse(code int, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status"}, Message: message, Code: int32(code)})
	}
}

// Each thing that goes wrong on the way to a cluster is one line that says what,
// where, and what to do.
func TestErrors(t *testing.T) {
	noAccess(t)
	now := time.Now()
	good, goodKey := certificate(t, now.Add(time.Hour), pkix.Name{CommonName: "server"})
	old, oldKey := certificate(t, now.Add(-24*time.Hour), pkix.Name{CommonName: "server"})
	named, namedKey := certificate(t, now.Add(time.Hour), pkix.Name{CommonName: "server"}, "elsewhere.example")
	other, otherKey := certificate(t, now.Add(time.Hour), pkix.Name{CommonName: "other"})
	expired, expiredKey := certificate(t, now.Add(-24*time.Hour), pkix.Name{CommonName: "jane"})
	ok := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"gitVersion":"v1.36.0"}`) }
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	trusting := func(url string) clientcmdapi.Cluster {
		return clientcmdapi.Cluster{Server: url, CertificateAuthorityData: good}
	}
	token := clientcmdapi.AuthInfo{Token: "opaque"}

	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "https://" + closed.Addr().String()
	closed.Close()

	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("clusters: {\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}

	for _, test := range []struct {
		name    string
		options Options
		cluster clientcmdapi.Cluster
		user    clientcmdapi.AuthInfo
		want    []string
	}{
		{"no kubeconfig", Options{}, clientcmdapi.Cluster{}, token,
			[]string{"there is no kubeconfig", os.Getenv("KUBECONFIG"), "--kubeconfig"}},
		{"a kubeconfig that does not exist", Options{Kubeconfig: "/no/such"}, clientcmdapi.Cluster{}, token,
			[]string{`kubeconfig "/no/such" does not exist`}},
		{"a broken kubeconfig", Options{Kubeconfig: broken}, clientcmdapi.Cluster{}, token, []string{broken}},
		{"an empty kubeconfig", Options{Kubeconfig: empty}, clientcmdapi.Cluster{}, token, []string{empty, "names no cluster"}},
		{"wrong context", Options{Context: "shpo"}, trusting(nobody), token, []string{`context "shpo" does not exist`, `"shop"`}},
		{"groups of nobody", Options{AsGroups: []string{"dev"}}, trusting(nobody), token, []string{"--as-group needs --as"}},
		{"no namespace", Options{Namespaces: []string{"a/b"}}, trusting(nobody), token, []string{`"a/b" cannot be the name of a namespace`}},
		{"nobody listens", Options{}, trusting(nobody), token, []string{nobody, "refused the connection", "is the cluster running", `"shop"`}},
		{"unknown name", Options{}, trusting("https://no.such.invalid"), token, []string{"https://no.such.invalid"}},
		{"wrong authority", Options{}, trusting(serve(t, other, otherKey, ok)), token, []string{"not signed by the authority", `"shop"`}},
		{"expired server", Options{}, clientcmdapi.Cluster{Server: serve(t, old, oldKey, ok), CertificateAuthorityData: old}, token,
			[]string{"is valid from", day(now.Add(-24 * time.Hour)), "renew it"}},
		{"wrong name", Options{}, clientcmdapi.Cluster{Server: serve(t, named, namedKey, ok), CertificateAuthorityData: named}, token,
			[]string{`not for "127.0.0.1"`, "tls-server-name"}},
		{"expired client", Options{}, trusting(serve(t, good, goodKey, refuse(401, "Unauthorized"))),
			clientcmdapi.AuthInfo{ClientCertificateData: expired, ClientKeyData: expiredKey},
			[]string{`the client certificate of user "jane"`, "expired on " + day(now.Add(-24*time.Hour)), "renew"}},
		{"not let in", Options{}, trusting(serve(t, good, goodKey, refuse(401, "Unauthorized"))), token,
			[]string{"does not accept the credentials", "401", "log in"}},
		{"nobody in particular", Options{}, trusting(serve(t, good, goodKey, refuse(403, `namespaces is forbidden: User "system:anonymous" cannot list`))),
			clientcmdapi.AuthInfo{}, []string{"system:anonymous", "log in"}},
		{"no impersonation", Options{As: "root"}, trusting(serve(t, good, goodKey, refuse(403, `users "root" is forbidden: User "jane" cannot impersonate resource "users"`))), token,
			[]string{"--as", `User "jane" cannot impersonate`}},
		{"hanging", Options{RequestTimeout: 50 * time.Millisecond}, trusting(serve(t, good, goodKey, hang)), token,
			[]string{"did not answer within 50ms", "--request-timeout"}},
		{"not ready", Options{}, trusting(serve(t, good, goodKey, refuse(503, "etcd\nis\tdown\x1b[31m"))), token,
			[]string{"not ready", "503", `etcd is down\x1b[31m`}},
		{"a web page", Options{}, trusting(serve(t, good, goodKey, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") })), token,
			[]string{"does not answer as an API server does", "not JSON"}},
		{"another program", Options{}, trusting(serve(t, good, goodKey, http.NotFound)), token, []string{"does not answer as an API server does", "404"}},
		{"a redirection", Options{}, trusting(serve(t, good, goodKey, http.RedirectHandler("https://evil.invalid/", 302).ServeHTTP)), token,
			[]string{"does not answer as an API server does", "redirection"}},
		{"no such plugin", Options{}, trusting(serve(t, good, goodKey, ok)), clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{
			APIVersion: "client.authentication.k8s.io/v1", Command: "no-such-plugin", InteractiveMode: "Never", InstallHint: "get it\nthere",
		}}, []string{"no-such-plugin", "get it there"}},
		{"no client certificate file", Options{}, trusting(nobody), clientcmdapi.AuthInfo{ClientCertificate: "/no/such.crt", ClientKey: "/no/such.key"},
			[]string{`context "shop"`, "/no/such.crt"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.cluster.Server != "" {
				test.options.Kubeconfig = writeConfig(t, test.cluster, test.user)
			}
			c, err := Connect(test.options)
			if err == nil {
				c.backoff = time.Millisecond
				var about *evidence.Cluster
				if about, err = c.Cluster(t.Context()); about == nil || about.Name != "shop" {
					t.Errorf("got %+v: the name is known beforehand", about)
				}
			}
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if strings.ContainsAny(err.Error(), "\n\t\x1b") {
				t.Errorf("error %q is not one plain line", err)
			}
		})
	}
}

// Credentials are named as far as they say whose they are.
func TestWho(t *testing.T) {
	noAccess(t)
	claims := base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"system:serviceaccount:shop:web"}`))
	cert, key := certificate(t, time.Now().Add(time.Hour), pkix.Name{CommonName: "jane", Organization: []string{"dev", "ops"}})
	at := clientcmdapi.Cluster{Server: "https://127.0.0.1:1"}
	for _, test := range []struct {
		user    clientcmdapi.AuthInfo
		options Options
		want    string
	}{
		{clientcmdapi.AuthInfo{Token: "a." + claims + ".c"}, Options{}, "system:serviceaccount:shop:web"},
		{clientcmdapi.AuthInfo{Token: "a.!!.c"}, Options{}, "user entry jane"},
		{clientcmdapi.AuthInfo{Token: "opaque"}, Options{As: "root", AsGroups: []string{"g", "h"}}, "user entry jane as root in g, h"},
		{clientcmdapi.AuthInfo{Token: "opaque", Impersonate: "root"}, Options{}, "user entry jane as root"},
		{clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}, Options{}, "jane in dev, ops"},
		{clientcmdapi.AuthInfo{Username: "basil", Password: "x"}, Options{}, "basil"},
		{clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{APIVersion: "client.authentication.k8s.io/v1", Command: "cloud", InteractiveMode: "Never"}},
			Options{}, "user entry jane (by cloud)"},
	} {
		test.options.Kubeconfig = writeConfig(t, at, test.user)
		c, err := Connect(test.options)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.who(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// The files of KUBECONFIG count together, and nothing is written.
func TestSeveralKubeconfigs(t *testing.T) {
	noAccess(t)
	one := writeConfig(t, clientcmdapi.Cluster{Server: "https://127.0.0.1:1"}, clientcmdapi.AuthInfo{})
	two := filepath.Join(t.TempDir(), "two")
	text := "apiVersion: v1\nkind: Config\ncurrent-context: other\ncontexts:\n- {name: attic, context: {cluster: shop-cluster, user: jane}}\n"
	if err := os.WriteFile(two, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", one+string(filepath.ListSeparator)+two)
	for context, name := range map[string]string{"": "shop", "attic": "attic"} {
		c, err := Connect(Options{Context: context})
		if err != nil {
			t.Fatal(err)
		}
		if c.base.String() != "https://127.0.0.1:1" || c.name != name {
			t.Errorf("context %q: got %s, %q", context, c.base, c.name)
		}
	}
}
