package checktest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strconv"
	"strings"
	"time"
)

// A certificate is one that an example has made, with its key:
//
//	cn=NAME o=A,B dns=A,B ip=A,B     whom it is for
//	ca client server                 what it is for; client=false takes it back
//	signer=PATH                      the path of the signer's without .crt; else itself
//	key=PATH                         else that of the certificate, in .key; "-" for none
//	days=10                          validity left at the time of the look, 300 unless said
//	life=365                         days of its whole life, of a CA's 3650
//	rsa=2048 ecdsa=384 ed25519       the kind of its key, ecdsa=256 unless said
//	sha1                             how it is signed, SHA-256 unless said
type certificate struct {
	path, key         string
	attributes        map[string]string
	hidden, keyHidden bool
	// serial is its number among the certificates of the node.
	serial int64
}

// certify takes the words of a line about a certificate.
func (n *Node) certify(words []string) error {
	var c *certificate
	for _, other := range n.certificates {
		if other.path == words[0] {
			c = other
		}
	}
	if c == nil {
		stem, ok := strings.CutSuffix(words[0], ".crt")
		if !ok {
			stem = strings.TrimSuffix(words[0], ".pem")
		}
		c = &certificate{path: words[0], key: stem + ".key", attributes: map[string]string{}, serial: int64(len(n.certificates) + 1)}
		n.certificates = append(n.certificates, c)
	}
	delete(n.files, c.path)
	c.hidden = false
	for _, w := range words[1:] {
		name, value, given := strings.Cut(w, "=")
		switch name {
		case "key":
			if c.key, c.keyHidden = value, false; value == "-" {
				c.key = ""
			}
		case "rsa", "ecdsa", "ed25519":
			c.attributes["type"], c.attributes["bits"] = name, value
		case "ca", "client", "server", "sha1":
			if !given {
				value = "true"
			}
			c.attributes[name] = value
		case "cn", "o", "dns", "ip", "signer", "days", "life":
			c.attributes[name] = value
		default:
			return fmt.Errorf("certificates have no %q", name)
		}
	}
	return nil
}

func (c *certificate) list(name string) []string {
	if c.attributes[name] == "" {
		return nil
	}
	return strings.Split(c.attributes[name], ",")
}

func (c *certificate) number(name string, otherwise int) (int, error) {
	if c.attributes[name] == "" {
		return otherwise, nil
	}
	return strconv.Atoi(c.attributes[name])
}

func (c *certificate) is(name string) bool { return c.attributes[name] == "true" }

// template is what is to be signed.
func (c *certificate) template() (*x509.Certificate, error) {
	otherwiseDays, otherwiseLife := 300, 365
	if c.is("ca") {
		otherwiseDays, otherwiseLife = 3300, 3650
	}
	days, err := c.number("days", otherwiseDays)
	if err != nil {
		return nil, err
	}
	life, err := c.number("life", max(otherwiseLife, days+1))
	if err != nil {
		return nil, err
	}
	until := LookedAt.AddDate(0, 0, days)
	made := &x509.Certificate{
		SerialNumber:          big.NewInt(c.serial),
		Subject:               pkix.Name{CommonName: c.attributes["cn"], Organization: c.list("o")},
		NotBefore:             until.AddDate(0, 0, -life),
		NotAfter:              until.Add(time.Hour),
		BasicConstraintsValid: true,
		IsCA:                  c.is("ca"),
		DNSNames:              c.list("dns"),
		KeyUsage:              x509.KeyUsageDigitalSignature,
	}
	if made.IsCA {
		made.KeyUsage |= x509.KeyUsageCertSign
	}
	if c.is("client") {
		made.ExtKeyUsage = append(made.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	if c.is("server") {
		made.ExtKeyUsage = append(made.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, ip := range c.list("ip") {
		made.IPAddresses = append(made.IPAddresses, net.ParseIP(ip))
	}
	return made, nil
}

func (c *certificate) newKey() (crypto.Signer, error) {
	bits, err := c.number("bits", 0)
	if err != nil {
		return nil, err
	}
	switch c.attributes["type"] {
	case "rsa":
		return rsa.GenerateKey(rand.Reader, bits)
	case "ed25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	curve := map[int]elliptic.Curve{0: elliptic.P256(), 224: elliptic.P224(), 256: elliptic.P256(), 384: elliptic.P384()}[bits]
	if curve == nil {
		return nil, fmt.Errorf("no curve of %d bits", bits)
	}
	return ecdsa.GenerateKey(curve, rand.Reader)
}

// An issuer makes the certificates of a node, those first that sign others.
type issuer struct {
	node   *Node
	signed map[string]*x509.Certificate // by the path without .crt
	keys   map[string]crypto.Signer     // by path
	files  map[string][]byte
}

// issue makes all certificates and keys: their files, those that are not on the node
// included.
func (n *Node) issue() (map[string][]byte, error) {
	i := &issuer{n, map[string]*x509.Certificate{}, map[string]crypto.Signer{}, map[string][]byte{}}
	for _, c := range n.certificates {
		if _, err := i.make(c, 0); err != nil {
			return nil, fmt.Errorf("certificate %s: %w", c.path, err)
		}
	}
	return i.files, nil
}

func (i *issuer) make(c *certificate, depth int) (*x509.Certificate, error) {
	stem := strings.TrimSuffix(c.path, ".crt")
	if done := i.signed[stem]; done != nil {
		return done, nil
	}
	template, err := c.template()
	if err != nil {
		return nil, err
	}
	key, err := i.key(c)
	if err != nil {
		return nil, err
	}
	parent, signer := template, key
	if by := c.attributes["signer"]; by != "" {
		if parent, signer, err = i.signer(by, depth); err != nil {
			return nil, err
		}
	}
	if c.is("sha1") {
		template.SignatureAlgorithm = x509.ECDSAWithSHA1
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	i.signed[stem] = cert
	i.files[c.path] = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), i.files[c.path]...)
	return cert, nil
}

// signer returns the certificate and the key of who signs.
func (i *issuer) signer(stem string, depth int) (*x509.Certificate, crypto.Signer, error) {
	for _, c := range i.node.certificates {
		if strings.TrimSuffix(c.path, ".crt") != stem || depth > 3 {
			continue
		}
		cert, err := i.make(c, depth+1)
		if err != nil {
			return nil, nil, err
		}
		key, err := i.key(c)
		return cert, key, err
	}
	return nil, nil, fmt.Errorf("there is no signer %s", stem)
}

// key returns the key of a certificate; those that name the same file share it.
func (i *issuer) key(c *certificate) (crypto.Signer, error) {
	at := c.key
	if at == "" {
		at = "-" + c.path
	}
	if key := i.keys[at]; key != nil {
		return key, nil
	}
	key, err := c.newKey()
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	i.keys[at] = key
	i.files[publicOf(at)] = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	if c.key != "" {
		i.files[at] = append(i.files[at], pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
	}
	return key, nil
}

// publicOf is where, off the node, the public key is that belongs to a key.
func publicOf(key string) string { return "-/public/" + key }
