package checktest

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"crypto/x509"
	"encoding/pem"

	"github.com/gabion-k8s/gabion/internal/source/host/tree"
)

// The bases can be made, and hold what their lines say.
func TestBases(t *testing.T) {
	for _, file := range Bases(t) {
		fsys := built(t, BaseNode(t, file))
		for name, f := range fsys {
			switch {
			case strings.HasPrefix(name, "-"):
				t.Errorf("%s: %s is on the node", file, name)
			case strings.Contains(string(f.Data), "PRIVATE KEY") && f.Mode != 0o600:
				t.Errorf("%s: %s: mode %o", file, name, f.Mode)
			case strings.Contains(string(f.Data), "{{"):
				t.Errorf("%s: %s: %s", file, name, f.Data)
			}
		}
	}
}

// Lines change the base one after the other.
func TestLines(t *testing.T) {
	n, err := parseNode("x.txtar", []byte(`Some words.
# base: kubeadm
# replace: etc/hostname "cp-1" "other"
# remove: etc/kubernetes/pki/etcd
# mode: 4755 7:8 usr/bin/kubelet
# link: etc/kubernetes/other /var/lib/pki
# certificate: etc/kubernetes/pki/apiserver.crt days=-3 rsa=2048 key=-
# certificate: home/alice/own.crt cn=alice ca=false
# copy: etc/kubernetes/admin.conf root/.kube/config
# also: one, two
-- etc/kubernetes/pki/front-proxy-ca.crt --
broken
-- proc/77/cmdline --
a
b
-- empty/folder/ --
`))
	if err != nil {
		t.Fatal(err)
	}
	fsys := built(t, n)
	for name, want := range map[string]string{
		"etc/hostname":                          "other\n",
		"etc/kubernetes/pki/front-proxy-ca.crt": "broken\n",
		"proc/77/cmdline":                       "a\x00b\x00",
		"etc/kubernetes/other":                  "/var/lib/pki",
		"root/.kube/config":                     string(fsys["etc/kubernetes/admin.conf"].Data),
	} {
		if f := fsys[name]; f == nil || string(f.Data) != want {
			t.Errorf("%s: %v, want %q", name, f, want)
		}
	}
	for _, name := range []string{"etc/kubernetes/pki/etcd", "etc/kubernetes/pki/etcd/ca.crt", "etc/kubernetes/pki/etcd/ca.key"} {
		if fsys[name] != nil {
			t.Errorf("%s is still there", name)
		}
	}
	if f := fsys["usr/bin/kubelet"]; f.Mode != fs.ModeSetuid|0o755 || f.Sys != (tree.Owner{UID: 7, GID: 8}) {
		t.Errorf("%+v", f)
	}
	if !fsys["empty/folder"].Mode.IsDir() || fsys["etc/kubernetes/pki/front-proxy-ca.key"] == nil {
		t.Error("folder or key missing")
	}
	cert, ca := parsed(t, fsys, "etc/kubernetes/pki/apiserver.crt"), parsed(t, fsys, "etc/kubernetes/pki/ca.crt")
	if err := cert.CheckSignatureFrom(ca); err != nil {
		t.Error(err)
	}
	if cert.PublicKeyAlgorithm != x509.RSA || !cert.NotAfter.Before(LookedAt) || cert.Subject.CommonName != "kube-apiserver" || len(cert.DNSNames) == 0 {
		t.Errorf("%+v", cert)
	}
	if len(n.Also) != 2 || len(n.Faults) != 10 {
		t.Error(n.Also, n.Faults)
	}
}

// An example that does not say what it means is refused.
func TestBadLines(t *testing.T) {
	for _, line := range []string{
		`# replace: etc/hostname "cp-2" "other"`,
		`# replace: etc/hostname "cp-1"`,
		`# replace: etc/nowhere "cp-1" "x"`,
		`# replace: etc/passwd "root" "x"`,
		`# remove: etc/nowhere`,
		`# mode: 0644 root:root etc/hostname`,
		`# mode: 0644 0:0 etc/nowhere`,
		`# mode: 0888 0:0 etc/hostname`,
		`# copy: etc/nowhere etc/somewhere`,
		`# certificate: a.crt signer=nobody`,
		`# certificate: a.crt signer=a`,
		`# certificate: a.crt bits=9`,
		`# certificate: a.crt days=soon`,
		`# base: nothing`,
	} {
		n, err := parseNode("x.txtar", []byte("# base: kubeadm\n"+line+"\n"))
		if err == nil {
			_, err = n.build()
		}
		if err == nil && !strings.HasPrefix(line, "# base") {
			t.Errorf("%s is accepted", line)
		}
	}
}

func built(t *testing.T, n *Node) fstest.MapFS {
	t.Helper()
	fsys, err := n.build()
	if err != nil {
		t.Fatal(err)
	}
	return fsys
}

func parsed(t *testing.T, fsys fstest.MapFS, name string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(fsys[name].Data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
