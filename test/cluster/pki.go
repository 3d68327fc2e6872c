//go:build cluster

package cluster

import (
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
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/apis/apiserver/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	podsecurityv1 "k8s.io/pod-security-admission/admission/api/v1"
)

// validity of what is signed here: longer than any test.
const validity = 24 * time.Hour

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// pair is a certificate and its key, as PEM.
type pair struct{ cert, key []byte }

func newAuthority(name string) (*authority, pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, pair{}, err
	}
	a := &authority{key: key, cert: &x509.Certificate{
		Subject:  pkix.Name{CommonName: name},
		NotAfter: time.Now().Add(validity), BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}}
	p, err := a.sign(a.cert, key)
	if err != nil {
		return nil, pair{}, err
	}
	// What signs has to be what was signed: it carries the key's identifier.
	block, _ := pem.Decode(p.cert)
	a.cert, err = x509.ParseCertificate(block.Bytes)
	return a, p, err
}

// issue makes a certificate for a client, and for a server when it has hosts.
func (a *authority) issue(subject pkix.Name, notAfter time.Time, hosts ...string) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	cert := &x509.Certificate{
		Subject: subject, NotAfter: notAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			cert.IPAddresses = append(cert.IPAddresses, ip)
		} else {
			cert.DNSNames = append(cert.DNSNames, host)
		}
	}
	if len(hosts) > 0 {
		cert.ExtKeyUsage = append(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	return a.sign(cert, key)
}

func (a *authority) sign(cert *x509.Certificate, key *ecdsa.PrivateKey) (pair, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return pair{}, err
	}
	cert.SerialNumber = serial
	// A day back, so that one may have expired already.
	cert.NotBefore = time.Now().Add(-validity)
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, key.Public(), a.key)
	if err != nil {
		return pair{}, err
	}
	keyPEM, err := encodeKey(key)
	return pair{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyPEM}, err
}

func encodeKey(key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// issued are the certificates of the components: file, signing authority, user
// and group, and the names a server is called by.
var issued = []struct {
	file, authority, name, group string
	hosts                        []string
}{
	{"etcd", "etcd-ca", "etcd", "", []string{"127.0.0.1", "localhost"}},
	{"apiserver-etcd-client", "etcd-ca", "kube-apiserver-etcd-client", "", nil},
	{"apiserver", "ca", "kube-apiserver", "", []string{
		"127.0.0.1", "localhost", "10.96.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc.cluster.local"}},
	{"apiserver-kubelet-client", "ca", "kube-apiserver-kubelet-client", "kubeadm:cluster-admins", nil},
	{"front-proxy-client", "front-proxy-ca", "front-proxy-client", "", nil},
	{"controller-manager", "ca", "kube-controller-manager", "", []string{"127.0.0.1", "localhost"}},
	{"scheduler", "ca", "kube-scheduler", "", []string{"127.0.0.1", "localhost"}},
}

// writeKeys makes the authorities, what the components prove themselves with,
// and the administrator's access.
func (c *Cluster) writeKeys() error {
	if err := os.Mkdir(c.path("pki"), 0o700); err != nil {
		return err
	}
	authorities := map[string]*authority{}
	for _, name := range []string{"ca", "etcd-ca", "front-proxy-ca"} {
		a, p, err := newAuthority(name)
		if err != nil {
			return fmt.Errorf("make authority %q: %w", name, err)
		}
		authorities[name] = a
		if name == "ca" {
			c.authority, c.CA = a, p.cert
		}
		if err := c.writePair(name, p); err != nil {
			return err
		}
	}
	for _, i := range issued {
		subject := pkix.Name{CommonName: i.name}
		if i.group != "" {
			subject.Organization = []string{i.group}
		}
		p, err := authorities[i.authority].issue(subject, time.Now().Add(validity), i.hosts...)
		if err != nil {
			return fmt.Errorf("make certificate %q: %w", i.file, err)
		}
		if err := c.writePair(i.file, p); err != nil {
			return err
		}
	}
	if err := c.writeTokenKeys(); err != nil {
		return err
	}
	return c.writeAccess()
}

func (c *Cluster) writePair(name string, p pair) error {
	if err := c.write("pki/"+name+".crt", p.cert); err != nil {
		return err
	}
	return c.write("pki/"+name+".key", p.key)
}

// writeTokenKeys makes the keys that sign and verify ServiceAccount tokens.
func (c *Cluster) writeTokenKeys() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := encodeKey(key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := c.write("pki/sa.key", private); err != nil {
		return err
	}
	return c.write("pki/sa.pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// writeConfig writes the API server's configuration files.
func (c *Cluster) writeConfig(o Options) error {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	admission, err := json.Marshal(podsecurityv1.PodSecurityConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: podsecurityv1.SchemeGroupVersion.String(), Kind: "PodSecurityConfiguration"},
		Defaults: o.PodSecurity,
	})
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name    string
		content any
	}{
		{"encryption.json", v1.EncryptionConfiguration{
			TypeMeta: metav1.TypeMeta{APIVersion: v1.SchemeGroupVersion.String(), Kind: "EncryptionConfiguration"},
			Resources: []v1.ResourceConfiguration{{
				Resources: []string{"secrets"},
				Providers: []v1.ProviderConfiguration{
					{Secretbox: &v1.SecretboxConfiguration{Keys: []v1.Key{{Name: "key1", Secret: base64.StdEncoding.EncodeToString(secret)}}}},
					{Identity: &v1.IdentityConfiguration{}},
				},
			}},
		}},
		{"admission.json", v1.AdmissionConfiguration{
			TypeMeta: metav1.TypeMeta{APIVersion: v1.SchemeGroupVersion.String(), Kind: "AdmissionConfiguration"},
			Plugins:  []v1.AdmissionPluginConfiguration{{Name: "PodSecurity", Configuration: &runtime.Unknown{Raw: admission, ContentType: runtime.ContentTypeJSON}}},
		}},
		{"audit-policy.json", auditv1.Policy{
			TypeMeta: metav1.TypeMeta{APIVersion: auditv1.SchemeGroupVersion.String(), Kind: "Policy"},
			Rules:    auditRules(o.Audit),
		}},
	} {
		data, err := json.Marshal(f.content)
		if err != nil {
			return err
		}
		if err := c.write(f.name, data); err != nil {
			return err
		}
	}
	return nil
}
