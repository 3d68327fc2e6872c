package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/md5" // to recognise what was signed with it
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/netip"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// Certificates returns the certificates of a file, PEM or DER, each with the line it
// begins on. What should be one and is none has an entry with Error; keys beside them
// are passed over.
func Certificates(file string, data []byte) []*evidence.Certificate {
	place := evidence.Position{File: file}
	found, more := blocks(file, data)
	if len(found) == 0 {
		if isDER(data) {
			return derCertificates(place, data)
		}
		return []*evidence.Certificate{{Place: place, Error: notPEM(data)}}
	}
	var list []*evidence.Certificate
	for _, b := range found {
		if c := b.certificate(); c != nil {
			list = append(list, c)
		}
	}
	if more {
		list = append(list, &evidence.Certificate{Place: place, Error: fmt.Sprintf("more than %d PEM blocks: the rest was not read", maxBlocks)})
	}
	return list
}

// certificate reads a block, nil for one that has no business to be a certificate.
func (b block) certificate() *evidence.Certificate {
	switch {
	case b.private(), strings.HasSuffix(b.kind, "PUBLIC KEY"), strings.HasSuffix(b.kind, "PARAMETERS"):
		return nil
	case b.pem == nil:
		return &evidence.Certificate{Place: b.place, Error: "a PEM block that is damaged or has no end"}
	}
	switch b.kind {
	case "CERTIFICATE", "X509 CERTIFICATE":
		return certificate(b.place, b.pem.Bytes)
	case "TRUSTED CERTIFICATE": // OpenSSL's: what follows the certificate says what it is trusted for
		return certificate(b.place, first(b.pem.Bytes))
	}
	return &evidence.Certificate{Place: b.place, Error: fmt.Sprintf("%q is no certificate", cut(b.kind, 40))}
}

func derCertificates(place evidence.Position, data []byte) []*evidence.Certificate {
	var list []*evidence.Certificate
	for len(data) > 0 && len(list) < maxBlocks {
		der := first(data)
		list = append(list, certificate(place, der))
		data = data[len(der):]
	}
	return list
}

// first returns the first ASN.1 value, or all when that is none.
func first(der []byte) []byte {
	var v asn1.RawValue
	rest, err := asn1.Unmarshal(der, &v)
	if err != nil {
		return der
	}
	return der[:len(der)-len(rest)]
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

// certificate tells what a certificate says.
func certificate(place evidence.Position, der []byte) *evidence.Certificate {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return &evidence.Certificate{Place: place, Error: "not a certificate that can be parsed: " + strings.TrimPrefix(err.Error(), "x509: ")}
	}
	keyType, bits := keyOf(c.PublicKey)
	if keyType == "" && c.PublicKeyAlgorithm != x509.UnknownPublicKeyAlgorithm {
		keyType = c.PublicKeyAlgorithm.String()
	}
	e := &evidence.Certificate{
		Place: place, Raw: c.Raw,
		Subject: c.Subject.String(), Issuer: c.Issuer.String(),
		CommonName: c.Subject.CommonName, Organizations: c.Subject.Organization,
		Serial: c.SerialNumber.Text(16), NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		IsCA: c.BasicConstraintsValid && c.IsCA, KeyType: keyType, KeyBits: bits,
		DNSNames: c.DNSNames, SHA256: fingerprint(c.Raw), PublicKey: fingerprint(c.RawSubjectPublicKeyInfo),
	}
	if c.SignatureAlgorithm != x509.UnknownSignatureAlgorithm {
		e.Signature = c.SignatureAlgorithm.String()
	}
	for _, ip := range c.IPAddresses {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			e.Addresses = append(e.Addresses, addr.Unmap())
		}
	}
	e.Client, e.Server = usages(c)
	return e
}

// usages tells for which sides of a connection a certificate is good. One without an
// extended key usage is not restricted (RFC 5280, 4.2.1.12).
func usages(c *x509.Certificate) (client, server bool) {
	if len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 {
		return true, true
	}
	for _, u := range c.ExtKeyUsage {
		client = client || u == x509.ExtKeyUsageClientAuth || u == x509.ExtKeyUsageAny
		server = server || u == x509.ExtKeyUsageServerAuth || u == x509.ExtKeyUsageAny
	}
	return client, server
}

// keyOf tells the type and size of a public key, "" for one of no known type.
func keyOf(public crypto.PublicKey) (keyType string, bits int) {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return "RSA", k.N.BitLen()
	case *ecdsa.PublicKey:
		return "ECDSA", k.Curve.Params().BitSize
	case ed25519.PublicKey:
		return "Ed25519", 256
	case *ecdh.PublicKey:
		return "X25519", 256
	}
	return "", 0
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

const (
	maxSignatures = 4096  // that are verified for one node
	maxRSABits    = 16384 // of a key that is calculated with
)

// Link says of each certificate which of all of them signed it. A signature counts
// whatever its hash, MD5 included, and whatever the size of the key: what is weak is
// to be reported, not to be lost. Only an authority signs others (as
// x509.Certificate.CheckSignatureFrom has it); any certificate may have signed
// itself. The Raw of the certificates must be there.
func Link(certs []*evidence.Certificate) {
	parsed := make([]*x509.Certificate, len(certs))
	bySubject := map[string][]*x509.Certificate{} // each certificate once, whatever number of files has it
	links := map[string][]string{}                // the fingerprints of the signers of a fingerprint
	for i, e := range certs {
		c, err := x509.ParseCertificate(e.Raw)
		if err != nil {
			continue
		}
		parsed[i] = c
		if _, known := links[e.SHA256]; !known {
			links[e.SHA256] = nil
			bySubject[string(c.RawSubject)] = append(bySubject[string(c.RawSubject)], c)
		}
	}
	tries := 0
	done := map[string]bool{}
	for i, e := range certs {
		if parsed[i] == nil || done[e.SHA256] {
			continue
		}
		done[e.SHA256] = true
		for _, signer := range bySubject[string(parsed[i].RawIssuer)] {
			if tries++; tries > maxSignatures {
				break
			}
			if signed(parsed[i], signer) {
				links[e.SHA256] = append(links[e.SHA256], fingerprint(signer.Raw))
			}
		}
	}
	for i, e := range certs {
		if parsed[i] != nil {
			e.SignedBy = links[e.SHA256]
		}
	}
}

// signed reports whether a certificate was signed by another, or itself.
func signed(c, by *x509.Certificate) bool {
	if !bytes.Equal(c.Raw, by.Raw) && !maySign(by) {
		return false
	}
	key, isRSA := by.PublicKey.(*rsa.PublicKey)
	if isRSA && key.N.BitLen() > maxRSABits {
		return false
	}
	if by.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
		return true
	}
	return isRSA && signedWeakly(c, key)
}

// maySign reports whether a certificate is that of an authority, or so old in form
// that it cannot say.
func maySign(c *x509.Certificate) bool {
	if c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0 {
		return false
	}
	if c.BasicConstraintsValid {
		return c.IsCA
	}
	return c.Version < 3
}

// signedWeakly verifies the RSA signatures (PKCS #1 v1.5, RFC 8017, 8.2.2) that the
// standard library refuses to look at: those with MD5, and those of short keys.
func signedWeakly(c *x509.Certificate, key *rsa.PublicKey) bool {
	hash, oid, ok := weakHash(c)
	size := (key.N.BitLen() + 7) / 8
	if !ok || len(c.Signature) != size || key.E < 2 {
		return false
	}
	info, err := asn1.Marshal(struct {
		Algorithm struct {
			OID  asn1.ObjectIdentifier
			Null asn1.RawValue
		}
		Digest []byte
	}{Algorithm: struct {
		OID  asn1.ObjectIdentifier
		Null asn1.RawValue
	}{oid, asn1.NullRawValue}, Digest: hash})
	if err != nil || size < len(info)+11 {
		return false
	}
	want := append([]byte{0, 1}, bytes.Repeat([]byte{0xff}, size-len(info)-3)...)
	want = append(append(want, 0), info...)
	got := new(big.Int).Exp(new(big.Int).SetBytes(c.Signature), big.NewInt(int64(key.E)), key.N)
	return bytes.Equal(got.FillBytes(make([]byte, size)), want)
}

// weakHash is the hash that an RSA signature was made of, with the name of its kind.
func weakHash(c *x509.Certificate) (hash []byte, oid asn1.ObjectIdentifier, ok bool) {
	sum := func(h crypto.Hash) []byte {
		w := h.New()
		w.Write(c.RawTBSCertificate)
		return w.Sum(nil)
	}
	switch c.SignatureAlgorithm {
	case x509.MD5WithRSA:
		digest := md5.Sum(c.RawTBSCertificate)
		return digest[:], asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 5}, true
	case x509.SHA1WithRSA:
		return sum(crypto.SHA1), asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, true
	case x509.SHA256WithRSA:
		return sum(crypto.SHA256), asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, true
	case x509.SHA384WithRSA:
		return sum(crypto.SHA384), asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, true
	case x509.SHA512WithRSA:
		return sum(crypto.SHA512), asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, true
	}
	return nil, nil, false
}
