package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// The files in testdata were made with openssl and ssh-keygen; fingerprints.txt has
// what those two say of the public keys.

func testFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// An authority signs certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign makes a certificate; by nobody, it signs itself.
func (a *authority) sign(t testing.TB, template *x509.Certificate) *authority {
	t.Helper()
	key := newKey(t)
	by := a
	if by == nil {
		by = &authority{template, key}
	}
	if template.SerialNumber == nil {
		template.SerialNumber = big.NewInt(0x1f)
	}
	template.NotBefore, template.NotAfter = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	template.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func (a *authority) keyPEM(t testing.TB) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func caTemplate(name string) *x509.Certificate {
	return &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, KeyUsage: x509.KeyUsageCertSign}
}

func TestCertificate(t *testing.T) {
	ca := (*authority)(nil).sign(t, caTemplate("ca"))
	leaf := ca.sign(t, &x509.Certificate{
		Subject:  pkix.Name{CommonName: "kube-apiserver", Organization: []string{"a", "b"}},
		DNSNames: []string{"kubernetes"}, IPAddresses: []net.IP{net.IPv4(10, 96, 0, 1), net.ParseIP("fd00::1")},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	file := "/etc/kubernetes/pki/x.crt"
	data := append(append([]byte("# a comment\n"), leaf.pem()...), ca.pem()...)
	got := Certificates(file, data)
	Link(got)
	if len(got) != 2 {
		t.Fatalf("%d certificates", len(got))
	}
	want := &evidence.Certificate{
		Place:   evidence.Position{File: file, Line: 2},
		Subject: "CN=kube-apiserver,O=a+O=b", Issuer: "CN=ca", CommonName: "kube-apiserver", Organizations: []string{"a", "b"},
		Serial: "1f", NotBefore: leaf.cert.NotBefore, NotAfter: leaf.cert.NotAfter,
		KeyType: "ECDSA", KeyBits: 256, Signature: "ECDSA-SHA256", DNSNames: []string{"kubernetes"},
		Addresses: []netip.Addr{netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("fd00::1")},
		Server:    true, Raw: leaf.cert.Raw,
		SHA256: fingerprint(leaf.cert.Raw), PublicKey: fingerprint(leaf.cert.RawSubjectPublicKeyInfo),
		SignedBy: []string{fingerprint(ca.cert.Raw)},
	}
	if diff := cmp.Diff(want, got[0], cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if c := got[1]; !c.IsCA || !c.Client || !c.Server || !cmp.Equal(c.SignedBy, []string{c.SHA256}) {
		t.Errorf("the authority: %+v", c)
	}
	wantLine := 2 + bytes.Count(leaf.pem(), []byte("\n"))
	if got[1].Place.Line != wantLine {
		t.Errorf("the authority is on line %d, not on %d", got[1].Place.Line, wantLine)
	}
}

func TestUsages(t *testing.T) {
	ca := (*authority)(nil).sign(t, caTemplate("ca"))
	for _, tt := range []struct {
		usages         []x509.ExtKeyUsage
		client, server bool
	}{
		{nil, true, true},
		{[]x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, true, false},
		{[]x509.ExtKeyUsage{x509.ExtKeyUsageAny}, true, true},
		{[]x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, false, false},
	} {
		c := Certificates("f", ca.sign(t, &x509.Certificate{ExtKeyUsage: tt.usages}).cert.Raw)[0]
		if c.Client != tt.client || c.Server != tt.server {
			t.Errorf("%v: client %v, server %v", tt.usages, c.Client, c.Server)
		}
	}
}

func TestFilesOfCertificates(t *testing.T) {
	ca := (*authority)(nil).sign(t, caTemplate("ca"))
	whole, key := ca.pem(), ca.keyPEM(t)
	block := func(kind string) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte{1, 2, 3}}) }
	for _, tt := range []struct {
		name string
		data []byte
		want []string // the errors, "" for a certificate
	}{
		{"empty", nil, []string{"the file is empty"}},
		{"text", []byte("PLACEHOLDER"), []string{"neither PEM nor DER"}},
		{"der", ca.cert.Raw, []string{""}},
		{"two in der", append(bytes.Clone(ca.cert.Raw), ca.cert.Raw...), []string{"", ""}},
		{"der cut", ca.cert.Raw[:200], []string{"not a certificate"}},
		{"with key", append(bytes.Clone(key), whole...), []string{""}},
		{"key only", key, nil},
		{"windows", bytes.ReplaceAll(whole, []byte("\n"), []byte("\r\n")), []string{""}},
		{"cut", whole[:len(whole)/2], []string{"damaged or has no end"}},
		{"cut, then whole", append(append(bytes.Clone(whole[:len(whole)/2]), '\n'), whole...), []string{"damaged or has no end", ""}},
		{"indented", []byte("  " + string(whole)), []string{"something stands before"}},
		{"no certificate inside", block("CERTIFICATE"), []string{"cannot|not a certificate"}},
		{"request", block("CERTIFICATE REQUEST"), []string{`"CERTIFICATE REQUEST" is no certificate`}},
		{"public key", append(block("PUBLIC KEY"), block("EC PARAMETERS")...), nil},
		{"trusted", testFile(t, "trusted.crt"), []string{""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Certificates("/f", tt.data)
			var errs []string
			for _, c := range got {
				errs = append(errs, c.Error)
				if (c.Error == "") != (c.SHA256 != "") || c.Place.File != "/f" {
					t.Errorf("%+v", c)
				}
			}
			matches(t, errs, tt.want)
		})
	}
}

// matches compares error texts, one for one, with what they should contain.
func matches(t *testing.T, got, want []string) {
	t.Helper()
	ok := len(got) == len(want)
	for i := 0; ok && i < len(got); i++ {
		found := want[i] == got[i]
		for _, w := range strings.Split(want[i], "|") {
			found = found || w != "" && strings.Contains(got[i], w)
		}
		ok = found
	}
	if !ok {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestManyBlocks(t *testing.T) {
	data := bytes.Repeat(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte{1}}), maxBlocks+1)
	if keys := Keys("f", data); len(keys) != maxBlocks+1 || !strings.Contains(keys[maxBlocks].Error, "more than") {
		t.Errorf("%d keys", len(keys))
	}
	if certs := Certificates("f", data); len(certs) != 1 || !strings.Contains(certs[0].Error, "more than") {
		t.Errorf("%d certificates", len(certs))
	}
}

func TestLink(t *testing.T) {
	ca := (*authority)(nil).sign(t, caTemplate("ca"))
	other := (*authority)(nil).sign(t, caTemplate("ca")) // of the same name, with another key
	middle := ca.sign(t, caTemplate("middle"))
	leaf := middle.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "leaf"}})
	self := (*authority)(nil).sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "self"}})
	byLeaf := leaf.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "forged"}})
	read := func(a *authority) *evidence.Certificate { return Certificates("f", a.pem())[0] }
	file := func(name string) *evidence.Certificate { return Certificates(name, testFile(t, name))[0] }
	certs := map[string]*evidence.Certificate{
		"ca": read(ca), "ca again": read(ca), "other": read(other), "middle": read(middle), "leaf": read(leaf), "self": read(self), "by leaf": read(byLeaf),
		"md5-ca": file("md5-ca.crt"), "md5-leaf": file("md5-leaf.crt"), "short-ca": file("short-ca.crt"), "short-leaf": file("short-leaf.crt"),
		"broken": {Error: "broken"},
	}
	want := map[string]string{
		"ca": "ca", "ca again": "ca", "other": "other", "middle": "ca", "leaf": "middle", "self": "self", "by leaf": "",
		"md5-ca": "md5-ca", "md5-leaf": "md5-ca", "short-ca": "short-ca", "short-leaf": "short-ca", "broken": "",
	}
	var list []*evidence.Certificate
	for _, c := range certs {
		list = append(list, c)
	}
	Link(list)
	for name, by := range want {
		var fingerprints []string
		if by != "" {
			fingerprints = []string{certs[by].SHA256}
		}
		if diff := cmp.Diff(fingerprints, certs[name].SignedBy); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if c := certs["md5-leaf"]; c.Signature != "MD5-RSA" || c.Serial != "abc" || c.KeyType != "Ed25519" {
		t.Errorf("%+v", c)
	}

	// One bit of a weak signature changed, and it is none.
	forged := file("md5-leaf.crt")
	forged.Raw[len(forged.Raw)-1] ^= 1
	Link([]*evidence.Certificate{forged, certs["md5-ca"]})
	if forged.SignedBy != nil {
		t.Error("a forged signature was accepted")
	}
}

// Certificates that all have one name ask for the product of signatures.
func TestLinkIsBounded(t *testing.T) {
	ca := (*authority)(nil).sign(t, caTemplate("ca"))
	var list []*evidence.Certificate
	for i := range 150 {
		template := caTemplate("ca")
		template.SerialNumber = big.NewInt(int64(i + 1))
		list = append(list, Certificates("f", ca.sign(t, template).pem())...)
	}
	start := time.Now()
	Link(list)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestKeys(t *testing.T) {
	fingerprints := map[string]string{}
	for line := range strings.Lines(string(testFile(t, "fingerprints.txt"))) {
		name, sum, _ := strings.Cut(strings.TrimSpace(line), " ")
		fingerprints[name] = sum
	}
	for name, want := range map[string]evidence.PrivateKey{
		"rsa1024":             {KeyType: "RSA", KeyBits: 1024},
		"ec-params":           {KeyType: "ECDSA", KeyBits: 256},
		"p384":                {KeyType: "ECDSA", KeyBits: 384},
		"ed25519":             {KeyType: "Ed25519", KeyBits: 256},
		"encrypted8":          {Encrypted: true},
		"encrypted1":          {KeyType: "RSA", Encrypted: true},
		"ssh-rsa":             {KeyType: "RSA", KeyBits: 1024},
		"ssh-ed25519":         {KeyType: "Ed25519", KeyBits: 256},
		"ssh-ecdsa-encrypted": {KeyType: "ECDSA", KeyBits: 521, Encrypted: true},
	} {
		t.Run(name, func(t *testing.T) {
			data := testFile(t, name+".key")
			want.PublicKey = fingerprints[name]
			want.Place = evidence.Position{File: "/f", Line: 1 + bytes.Count(data[:bytes.Index(data, []byte("PRIVATE KEY"))], []byte("\n"))}
			got := Keys("/f", data)
			if diff := cmp.Diff([]*evidence.PrivateKey{&want}, got); diff != "" {
				t.Error(diff)
			}
			if b, _ := pem.Decode(data); b != nil && b.Type == "RSA PRIVATE KEY" && !want.Encrypted {
				if got := Keys("/f", b.Bytes); len(got) != 1 || got[0].PublicKey != want.PublicKey {
					t.Errorf("in DER: %+v", got)
				}
			}
		})
	}
	leaf := (*authority)(nil).sign(t, &x509.Certificate{})
	both := append(leaf.pem(), leaf.keyPEM(t)...)
	if k, c := Keys("f", both), Certificates("f", both); len(k) != 1 || len(c) != 1 || k[0].PublicKey != c[0].PublicKey {
		t.Errorf("a file of both: %+v, %+v", k, c)
	}
	if k := Keys("f", leaf.pem()); len(k) != 0 {
		t.Errorf("%+v", k)
	}
}

func TestKeysThatAreNone(t *testing.T) {
	key := testFile(t, "rsa1024.key")
	big := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: make([]byte, maxKey+1)})
	ssh := pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: []byte("openssh-key-v1\x00\xff\xff\xff\xff")})
	for name, tt := range map[string]struct {
		data []byte
		want string
	}{
		"placeholder":     {[]byte("PLACEHOLDER: private key removed\n"), "neither PEM nor DER"},
		"empty":           {[]byte(" \n"), "the file is empty"},
		"cut":             {key[:300], "damaged or has no end"},
		"too large":       {big, "larger than any key"},
		"not a key":       {pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte{0x30, 0x80, 1}}), `though it says "RSA PRIVATE KEY"`},
		"openssh, broken": {ssh, "not a private key"},
		"der of no key":   {[]byte{0x30, 0x82, 1, 0, 1}, "not a private key"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Keys("/f", tt.data)
			if len(got) != 1 || !strings.Contains(got[0].Error, tt.want) || got[0].PublicKey != "" {
				t.Errorf("%+v", got[0])
			}
		})
	}
}

const kubeconfigText = `apiVersion: v1
kind: Config
clusters:
- name: kubernetes
  cluster:
    server: https://SECRET1:SECRET2@10.0.0.1:6443/k8s?token=SECRET3
    certificate-authority-data: U0VDUkVU
    proxy-url: http://SECRET4:SECRET5@proxy:3128
- name: plain
  cluster:
    server: SECRET17:SECRET16@[::1]:8080
    insecure-skip-tls-verify: true
contexts: [{name: x, context: {user: certificate, cluster: kubernetes}}]
users:
- name: certificate
  user:
    client-certificate-data: CERT
    client-key-data: SECRET6
- name: files
  user: {client-certificate: pki/a.crt, client-key: /b.key, tokenFile: ../token}
- name: token
  user:
    token: TOKEN
- name: plugin
  user:
    username: SECRET7
    password: SECRET8
    exec: {apiVersion: v1, command: aws, args: [SECRET9], env: [{name: T, value: SECRET10}]}
    auth-provider: {name: oidc, config: {id-token: SECRET11}}
- name: broken certificate
  user: {client-certificate-data: SECRET12%, token: SECRET13.SECRET14.SECRET15}
`

func TestKubeconfig(t *testing.T) {
	leaf := (*authority)(nil).sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "kubernetes-admin"}})
	jwt := "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp": 1893456000, "sub": "SECRET"}`)) + ".SECRET"
	text := strings.NewReplacer("CERT", base64.StdEncoding.EncodeToString(leaf.pem()), "TOKEN", jwt).Replace(kubeconfigText)
	file := "/etc/kubernetes/admin.conf"
	at := func(line, column int) evidence.Position {
		return evidence.Position{File: file, Line: line, Column: column}
	}
	certificate := Certificates("", leaf.pem())[0]
	certificate.Place = at(17, 30)
	want := &evidence.Kubeconfig{
		Path: file,
		Users: []evidence.KubeconfigUser{
			{Name: "certificate", Certificate: certificate, Key: true, Place: at(15, 3)},
			{Name: "files", CertificateFile: "/etc/kubernetes/pki/a.crt", KeyFile: "/b.key", TokenFile: "/etc/token", Place: at(19, 3)},
			{Name: "token", Token: true, TokenExpires: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), Place: at(21, 3)},
			{Name: "plugin", Password: true, Exec: "aws", AuthProvider: "oidc", Place: at(24, 3)},
			{Name: "broken certificate", Token: true, Certificate: &evidence.Certificate{Place: at(31, 35), Error: "not base64"}, Place: at(30, 3)},
		},
		Clusters: []evidence.KubeconfigCluster{
			{Name: "kubernetes", Server: "https://10.0.0.1:6443/k8s", CA: true, Proxy: "http://proxy:3128", Place: at(4, 3)},
			{Name: "plain", Server: "[::1]:8080", Insecure: true, Place: at(9, 3)},
		},
	}
	got := Kubeconfig(file, []byte(text))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	noSecret(t, got)
}

// noSecret fails when a planted credential is anywhere in what was read.
func noSecret(t *testing.T, k *evidence.Kubeconfig) {
	t.Helper()
	stored, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}
	if all := string(stored) + fmt.Sprintf("%+v", k); strings.Contains(all, "SECRET") {
		t.Errorf("a credential was kept: %s", all)
	}
}

func TestKubeconfigsThatAreNone(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "empty",
		"# SECRET\n":                   "empty",
		"a: b\n\t- SECRET: [":          "not valid YAML (line 2)",
		"users: {{ SECRET }}":          "not valid YAML (line 1)",
		"SECRET: 1\nSECRET: 2":         "not valid YAML (line 2)",
		"SECRET":                       "a field has a value of another type",
		"[SECRET]":                     "a field has a value of another type",
		"users: SECRET":                "a field has a value of another type",
		"users: [{user: {token: 12}}]": "a field has a value of another type",
		"kind: SECRET\nusers: []":      "of another kind",
		"users:\n- user: {token: !!binary SECRET*}": "not valid YAML (line 2)",
	} {
		k := Kubeconfig("/f", []byte(text))
		if !strings.Contains(k.Error, want) || k.Users != nil {
			t.Errorf("%q: %+v", text, k)
		}
		noSecret(t, k)
	}
	for _, text := range []string{"apiVersion: v1\nkind: Config\n", "null", "users:\n- {}\n- null\n"} {
		if k := Kubeconfig("/f", []byte(text)); k.Error != "" {
			t.Errorf("%q: %s", text, k.Error)
		}
	}
}

func TestTokenExpires(t *testing.T) {
	for payload, want := range map[string]int64{
		`{"exp": 1893456000}`: 1893456000, `{"exp": 1893456000.7}`: 1893456000, `{"exp": 1.8934560e9}`: 1893456000,
		`{"exp": 1e300}`: 0, `{"exp": -1}`: 0, `{"exp": "x"}`: 0, `{}`: 0, `[`: 0,
	} {
		got := tokenExpires("e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".x")
		if want == 0 && !got.IsZero() || want != 0 && got.Unix() != want {
			t.Errorf("%s: %v", payload, got)
		}
	}
	if !tokenExpires("abc.def").IsZero() || !tokenExpires("a.!.c").IsZero() {
		t.Error("an opaque token has an end")
	}
}

func TestAddress(t *testing.T) {
	for text, want := range map[string]string{
		"":                           "",
		"https://10.0.0.1:6443":      "https://10.0.0.1:6443",
		"https://u:SECRET@h/p?q=1#f": "https://h/p",
		"localhost:8080":             "localhost:8080",
		"u:SECRET@h:1":               "h:1",
		"https://u:SEC%zzRET@h":      "(not a URL)",
		"SECRET:SECRET":              "(not a URL)",
		"https://":                   "(not a URL)",
	} {
		if got := address(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzCertificates(f *testing.F) {
	for _, name := range []string{"md5-ca.crt", "trusted.crt", "short-leaf.crt", "ec-params.key"} {
		f.Add(testFile(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		list := Certificates("/f", data)
		Link(list)
		for _, c := range list {
			if (c.Error == "") != (c.SHA256 != "") || c.Error != "" && c.SignedBy != nil {
				t.Errorf("%+v", c)
			}
		}
		if _, err := json.Marshal(list); err != nil {
			t.Error(err)
		}
	})
}

func FuzzKeys(f *testing.F) {
	names, err := filepath.Glob("testdata/*.key")
	if err != nil || len(names) == 0 {
		f.Fatal(err)
	}
	for _, name := range names {
		f.Add(testFile(f, filepath.Base(name)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, k := range Keys("/f", data) {
			if k.Error != "" && k.PublicKey != "" || k.Error == "" && k.PublicKey == "" && !k.Encrypted && k.KeyType != "X25519" {
				t.Errorf("%+v", k)
			}
		}
	})
}

func FuzzKubeconfig(f *testing.F) {
	f.Add([]byte(kubeconfigText))
	f.Add([]byte("users:\n- user: &a {token: x}\n- user: *a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		k := Kubeconfig("/f", data)
		if k.Error != "" && (k.Users != nil || k.Clusters != nil) {
			t.Errorf("%+v", k)
		}
		if _, err := json.Marshal(k); err != nil {
			t.Error(err)
		}
	})
}
