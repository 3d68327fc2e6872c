package probe

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/host/pki"
)

// maxChain bounds how many certificates of a served chain are kept.
const maxChain = 10

// An outcome is what came of one handshake.
type outcome int

const (
	unclear outcome = iota // nobody knows: the connection broke, something odd was said
	agreed
	refused
	notTLS
	silent // there was no answer in time
)

// handshakes finds out about TLS. It reports whether anything more can be asked.
func (p *prober) handshakes() bool {
	var broken error
	highest := uint16(0) // of the versions below 1.3 that it agreed to
	for version := uint16(tls.VersionTLS13); version >= tls.VersionTLS10; version-- {
		was, state, err := p.handshake(version, everySuite())
		switch was {
		case agreed:
			p.TLS = true
			p.Versions = append([]string{tls.VersionName(version)}, p.Versions...)
			if version < tls.VersionTLS13 {
				highest = max(highest, version)
			}
			if p.Chain == nil {
				p.Chain = chain(state)
			}
		case refused:
			p.TLS = true
		case notTLS:
			return true
		case silent:
			p.note("%s: %s", tls.VersionName(version), words(err))
			return false
		default:
			broken = err
			if p.TLS {
				p.note("%s: %s", tls.VersionName(version), words(err))
			}
		}
	}
	if broken != nil && p.TLS {
		p.note("a handshake failed: %s", words(broken))
	}
	if highest > 0 {
		p.weakSuites(highest)
		slices.Sort(p.Ciphers)
	}
	return true // a server without TLS may as well close the connection as answer
}

// weakSuites offers all weak cipher suites, then all but the one that was chosen, and
// so on: as many times as the server agrees to one.
func (p *prober) weakSuites(version uint16) {
	var left []uint16
	for _, s := range tls.InsecureCipherSuites() {
		if slices.Contains(s.SupportedVersions, version) {
			left = append(left, s.ID)
		}
	}
	for len(left) > 0 {
		was, state, err := p.handshake(version, left)
		switch was {
		case refused:
			return
		case agreed:
			if !slices.Contains(left, state.CipherSuite) {
				return
			}
			p.Ciphers = append(p.Ciphers, tls.CipherSuiteName(state.CipherSuite))
			left = slices.DeleteFunc(left, func(id uint16) bool { return id == state.CipherSuite })
		default:
			p.note("weak cipher suites: %s", words(err))
			return
		}
	}
}

// handshake offers one version and some suites. What the server chose is known even
// where it then breaks off for want of a client certificate.
func (p *prober) handshake(version uint16, suites []uint16) (outcome, tls.ConnectionState, error) {
	conn, done, err := p.dial()
	if err != nil {
		if timedOut(err) {
			return silent, tls.ConnectionState{}, err
		}
		return unclear, tls.ConnectionState{}, err
	}
	defer done()
	defer conn.Close()
	var chosen tls.ConnectionState
	chose, asked := false, false
	config := p.config(version, version, suites)
	config.VerifyConnection = func(s tls.ConnectionState) error {
		chosen, chose = s, true
		return nil
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked = true
		return &tls.Certificate{}, nil
	}
	err = tls.Client(conn, config).HandshakeContext(p.ctx)
	if chose {
		p.ClientCertificate = p.ClientCertificate || asked && isAlert(err)
		return agreed, chosen, nil
	}
	return failure(err), chosen, err
}

// config is that of a client which sends no certificate and takes any: what the server
// is gets looked at, not trusted.
func (p *prober) config(lowest, highest uint16, suites []uint16) *tls.Config {
	return &tls.Config{
		MinVersion: lowest, MaxVersion: highest, CipherSuites: suites,
		ServerName: p.name, InsecureSkipVerify: true,
	}
}

// everySuite are all suites, the weak ones too: a server that knows no others agrees
// to the version all the same.
func everySuite() (ids []uint16) {
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		ids = append(ids, s.ID)
	}
	return ids
}

// failure says what a failed handshake means.
func failure(err error) outcome {
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &record):
		return notTLS
	case timedOut(err):
		return silent
	case isAlert(err), strings.Contains(err.Error(), "unsupported protocol version"):
		return refused
	}
	return unclear
}

// isAlert reports whether the other side broke off, and said so.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

func closed(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

func chain(s tls.ConnectionState) (list []*evidence.Certificate) {
	for _, c := range s.PeerCertificates[:min(len(s.PeerCertificates), maxChain)] {
		for _, told := range pki.Certificates("", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})) {
			told.Place = evidence.Position{}
			list = append(list, told)
		}
	}
	return list
}
