package host

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// certificate returns a self-signed certificate of that name.
func certificate(t *testing.T, name string) string {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// The node has the name of its kubelet's certificate. Those that the kubelet had
// before, and left behind, are not in use.
func TestKubeletCertificate(t *testing.T) {
	h, _, _ := read(t, node{
		"var/lib/kubelet/pki/kubelet-client-2025-01-01-00-00-00.pem": certificate(t, "system:node:old"),
		"var/lib/kubelet/pki/kubelet-client-2026-01-01-00-00-00.pem": certificate(t, "system:node:worker-7"),
		"var/lib/kubelet/pki/kubelet-client-current.pem":             "-> /var/lib/kubelet/pki/kubelet-client-2026-01-01-00-00-00.pem",
		"etc/hostname": "something\n",
	}.fs())
	if h.Node != "worker-7" || len(h.Certificates) != 1 {
		t.Errorf("%q, %d certificates", h.Node, len(h.Certificates))
	}
	if f := h.Files["/var/lib/kubelet/pki/kubelet-client-2025-01-01-00-00-00.pem"]; f == nil {
		t.Error("the file is there all the same")
	}
}
