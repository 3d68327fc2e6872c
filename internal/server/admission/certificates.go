package admission

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Certificates are what a Server proves itself by, renewed while it runs. They come
// from a folder that somebody else keeps, or are made in memory: an authority signs one
// certificate and its key is dropped at once. What API servers are to trust is put into
// their registration first, beside what is there, and served with only afterwards.
type Certificates struct {
	// Dir has tls.crt and tls.key, as a mounted Secret has, and ca.crt where API servers
	// are to be told of it; "" for certificates of our own.
	Dir string
	// Names are DNS names and addresses that API servers call; one in a folder has to be
	// for the first.
	Names []string
	// Lifetime is that of certificates of our own. Half of it before they end there
	// are new ones.
	Lifetime time.Duration
	// Registration is where API servers read what they trust; nil when somebody else
	// sees to that.
	Registration *Registration
	Log          *slog.Logger

	mutex   sync.Mutex
	current *pair
	// fault is why there is no current one, or why API servers would not trust it.
	fault error
}

// A pair is a certificate with its key, and who vouches for it.
type pair struct {
	serving     tls.Certificate
	authorities []*x509.Certificate
	text        []byte // of the files that it was read from
}

// get is what a TLS server asks.
func (c *Certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.current == nil {
		return nil, errors.New("no certificate yet")
	}
	return &c.current.serving, nil
}

// Ready says why API servers could not connect, nil if they can.
func (c *Certificates) Ready() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	switch {
	case c.fault != nil:
		return c.fault
	case c.current == nil:
		return errors.New("no certificate yet")
	}
	return inTime(c.current.serving.Leaf, time.Now())
}

func inTime(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(leaf.NotBefore):
		return errors.New("the certificate is not valid yet")
	case now.After(leaf.NotAfter):
		return errors.New("the certificate has expired")
	}
	return nil
}

// Keep looks after the certificates until the context ends.
func (c *Certificates) Keep(ctx context.Context) {
	tick := time.NewTicker(c.interval())
	defer tick.Stop()
	said := ""
	for {
		switch err := c.step(ctx); {
		case err == nil:
			said = ""
		case ctx.Err() == nil && err.Error() != said:
			said = err.Error()
			c.Log.Error("certificates", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// interval is how often it is looked after them.
func (c *Certificates) interval() time.Duration {
	if c.Dir != "" {
		return time.Second
	}
	return min(5*time.Second, max(c.Lifetime/20, 100*time.Millisecond))
}

// overlap is how long API servers get to learn of an authority.
func (c *Certificates) overlap() time.Duration {
	if c.Dir != "" {
		return 3 * time.Second
	}
	return min(3*time.Second, max(c.Lifetime/10, 100*time.Millisecond))
}

// step sees to it that the current certificate is trusted, and changes to a new one if
// there is one. Where the registration cannot be asked, what was known of it holds.
func (c *Certificates) step(ctx context.Context) error {
	c.mutex.Lock()
	current := c.current
	c.mutex.Unlock()
	if current != nil && c.Registration != nil {
		err := c.Registration.trust(ctx, current.authorities, nil)
		if err == nil || errors.Is(err, errNotTrusted) {
			c.set(current, err)
		}
		if err != nil {
			return err
		}
	}
	next, err := c.next(current)
	if err == nil && next != nil && c.Registration != nil {
		err = c.introduce(ctx, next, current)
	}
	switch {
	case err != nil && current == nil:
		c.set(nil, err)
		return err
	case err != nil || next == nil:
		return err
	}
	c.set(next, nil)
	leaf := next.serving.Leaf
	c.Log.Info("serving with a new certificate", "serial", leaf.SerialNumber.Text(16), "until", leaf.NotAfter.UTC())
	return nil
}

// introduce has a pair trusted beside the current one, and waits until all API servers
// know.
func (c *Certificates) introduce(ctx context.Context, next, current *pair) error {
	if err := c.Registration.trust(ctx, next.authorities, current.vouchers()); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(c.overlap()):
		return nil
	}
}

func (c *Certificates) set(current *pair, fault error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.current, c.fault = current, fault
}

func (p *pair) vouchers() []*x509.Certificate {
	if p == nil {
		return nil
	}
	return p.authorities
}

// next is the pair to change to, nil to stay.
func (c *Certificates) next(current *pair) (*pair, error) {
	if c.Dir != "" {
		return c.load(current)
	}
	if current != nil && time.Until(current.serving.Leaf.NotAfter) > c.Lifetime/2 {
		return nil, nil
	}
	return makePair(c.Names, c.Lifetime, time.Now())
}

// load reads the folder. It may be halfway through a change: then there is an error,
// and the next look finds it whole.
func (c *Certificates) load(current *pair) (*pair, error) {
	var text [3][]byte
	for i, name := range [...]string{"tls.crt", "tls.key", "ca.crt"} {
		var err error
		if text[i], err = os.ReadFile(filepath.Join(c.Dir, name)); err != nil && (i < 2 || c.Registration != nil) {
			return nil, fmt.Errorf("read certificate: %w", err)
		}
	}
	all := bytes.Join(text[:], []byte{0})
	if current != nil && bytes.Equal(current.text, all) {
		return nil, nil
	}
	serving, err := tls.X509KeyPair(text[0], text[1])
	if err != nil {
		return nil, fmt.Errorf("certificate in %s: tls.crt and tls.key are not a certificate and its key", c.Dir)
	}
	if err := inTime(serving.Leaf, time.Now()); err != nil {
		return nil, fmt.Errorf("certificate in %s: %w", c.Dir, err)
	}
	if name := c.Names[0]; serving.Leaf.VerifyHostname(name) != nil {
		return nil, fmt.Errorf("certificate in %s: not for %s", c.Dir, name)
	}
	p := &pair{serving: serving, authorities: parsePEM(text[2]), text: all}
	if c.Registration != nil && !p.vouched() {
		return nil, fmt.Errorf("certificate in %s: ca.crt does not vouch for tls.crt", c.Dir)
	}
	return p, nil
}

// vouched reports whether whoever trusts the authorities accepts the certificate.
func (p *pair) vouched() bool {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range p.authorities {
		roots.AddCert(c)
	}
	for _, der := range p.serving.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	_, err := p.serving.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
	return err == nil
}

// parsePEM are the certificates of a text.
func parsePEM(text []byte) (list []*x509.Certificate) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			list = append(list, cert)
		}
	}
	return list
}

// clockSkew is by how much the clocks of API servers may be behind.
const clockSkew = 5 * time.Minute

// makePair makes an authority and a certificate that it signs.
func makePair(names []string, lifetime time.Duration, now time.Time) (*pair, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca, err := template("gabion admission authority", now, lifetime)
	if err != nil {
		return nil, err
	}
	ca.IsCA, ca.BasicConstraintsValid, ca.MaxPathLenZero, ca.KeyUsage = true, true, true, x509.KeyUsageCertSign
	leaf, err := template("gabion admission", now, lifetime)
	if err != nil {
		return nil, err
	}
	leaf.KeyUsage, leaf.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, name)
		}
	}
	authority, err := sign(ca, ca, caKey, &caKey.PublicKey)
	if err != nil {
		return nil, err
	}
	serving, err := sign(leaf, authority, caKey, &key.PublicKey)
	if err != nil {
		return nil, err
	}
	return &pair{
		serving:     tls.Certificate{Certificate: [][]byte{serving.Raw}, PrivateKey: key, Leaf: serving},
		authorities: []*x509.Certificate{authority},
	}, nil
}

func template(name string, now time.Time, lifetime time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	// Authorities of one name would be told apart by key alone.
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name + " " + serial.Text(16)[:8]},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(lifetime),
	}, nil
}

func sign(of, by *x509.Certificate, key *ecdsa.PrivateKey, public *ecdsa.PublicKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, of, by, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
