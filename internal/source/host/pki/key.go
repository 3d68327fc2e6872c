package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"math/big"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// maxKey is the size of a private key that is read, in bytes: one of 16384 bits has
// some 9,000.
const maxKey = 16 << 10

// Keys returns the private keys of a file, without the keys: PEM or DER of PKCS #1,
// PKCS #8, SEC 1 (EC) and OpenSSH. What should be one and is none has an entry with
// Error; certificates beside them are passed over.
func Keys(file string, data []byte) []*evidence.PrivateKey {
	place := evidence.Position{File: file}
	found, more := blocks(file, data)
	if len(found) == 0 {
		if isDER(data) {
			return []*evidence.PrivateKey{privateKey(place, "", data)}
		}
		return []*evidence.PrivateKey{{Place: place, Error: notPEM(data)}}
	}
	var list []*evidence.PrivateKey
	for _, b := range found {
		if b.private() {
			list = append(list, b.privateKey())
		}
	}
	if more {
		list = append(list, &evidence.PrivateKey{Place: place, Error: fmt.Sprintf("more than %d PEM blocks: the rest was not read", maxBlocks)})
	}
	return list
}

func (b block) privateKey() *evidence.PrivateKey {
	if b.pem == nil {
		return &evidence.PrivateKey{Place: b.place, Error: "a PEM block that is damaged or has no end"}
	}
	if b.kind == "ENCRYPTED PRIVATE KEY" {
		return &evidence.PrivateKey{Place: b.place, Encrypted: true}
	}
	// The old form of encryption, of OpenSSL before PKCS #8 (RFC 1421, 4.6.1.1).
	if b.pem.Headers["DEK-Info"] != "" || strings.HasSuffix(b.pem.Headers["Proc-Type"], "ENCRYPTED") {
		keyType := map[string]string{"RSA PRIVATE KEY": "RSA", "EC PRIVATE KEY": "ECDSA"}[b.kind]
		return &evidence.PrivateKey{Place: b.place, KeyType: keyType, Encrypted: true}
	}
	return privateKey(b.place, b.kind, b.pem.Bytes)
}

// privateKey reads a private key of a kind of PEM block, "" when that is not known.
// The errors of the parsers are not passed on: they may quote what they met.
func privateKey(place evidence.Position, kind string, der []byte) *evidence.PrivateKey {
	k := &evidence.PrivateKey{Place: place}
	if len(der) > maxKey {
		k.Error = fmt.Sprintf("larger than any key: %d bytes", len(der))
		return k
	}
	var public crypto.PublicKey
	if kind == "OPENSSH PRIVATE KEY" {
		public, k.Encrypted = openSSH(der)
	} else {
		public = publicOf(der)
	}
	if k.KeyType, k.KeyBits = keyOf(public); k.KeyType == "" {
		k.Error = "not a private key that can be parsed"
		if kind != "" {
			k.Error += fmt.Sprintf(", though it says %q", cut(kind, 40))
		}
		return k
	}
	if spki, err := x509.MarshalPKIXPublicKey(public); err == nil {
		k.PublicKey = fingerprint(spki)
	}
	return k
}

// publicOf returns the public key of a private one, nil when it is none. As the
// components do, it goes by what the key is, not by what its PEM block is called.
func publicOf(der []byte) crypto.PublicKey {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		if k, ok := key.(interface{ Public() crypto.PublicKey }); ok {
			return k.Public()
		}
		return nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key.Public()
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key.Public()
	}
	return nil
}

// openSSH reads the head of OpenSSH's own format, which has the public key in clear
// even when the private one is encrypted (PROTOCOL.key of OpenSSH).
func openSSH(data []byte) (public crypto.PublicKey, encrypted bool) {
	rest, ok := bytes.CutPrefix(data, []byte("openssh-key-v1\x00"))
	if !ok {
		return nil, false
	}
	r := sshReader{rest: rest}
	cipher := string(r.text())
	r.text() // the name of the function that makes a key of the passphrase
	r.text() // its options
	if n := r.number(); n != 1 {
		return nil, false
	}
	return sshPublic(r.text()), cipher != "none"
}

func sshPublic(wire []byte) crypto.PublicKey {
	r := sshReader{rest: wire}
	switch string(r.text()) {
	case "ssh-rsa":
		e, n := new(big.Int).SetBytes(r.text()), new(big.Int).SetBytes(r.text())
		if !e.IsInt64() || e.Int64() > 1<<31-1 || e.Sign() <= 0 || n.Sign() <= 0 {
			return nil
		}
		return &rsa.PublicKey{N: n, E: int(e.Int64())}
	case "ssh-ed25519":
		if key := r.text(); len(key) == ed25519.PublicKeySize {
			return ed25519.PublicKey(key)
		}
	case "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521":
		curves := map[string]elliptic.Curve{"nistp256": elliptic.P256(), "nistp384": elliptic.P384(), "nistp521": elliptic.P521()}
		curve, ok := curves[string(r.text())]
		if !ok {
			return nil
		}
		if key, err := ecdsa.ParseUncompressedPublicKey(curve, r.text()); err == nil {
			return key
		}
	}
	return nil
}

// An sshReader reads the encoding of RFC 4251, 5. After an error it gives nothing.
type sshReader struct{ rest []byte }

func (r *sshReader) number() uint32 {
	if len(r.rest) < 4 {
		r.rest = nil
		return 0
	}
	n := binary.BigEndian.Uint32(r.rest)
	r.rest = r.rest[4:]
	return n
}

func (r *sshReader) text() []byte {
	n := r.number()
	if uint64(n) > uint64(len(r.rest)) {
		r.rest = nil
		return nil
	}
	text := r.rest[:n]
	r.rest = r.rest[n:]
	return text
}
