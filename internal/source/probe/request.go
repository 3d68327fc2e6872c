package probe

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// maxAnswer bounds what is read of an answer, in bytes: enough to tell what it is.
const maxAnswer = 64 << 10

// A question is one request without credentials.
type question struct {
	method, path, body string
	// given tells an answer that only those should get who authenticate; nil where
	// anybody may.
	given func(answer []byte) bool
}

// questions are all that is ever asked of a component.
func questions(component string) []question {
	switch component {
	case evidence.APIServer:
		return []question{
			{"GET", "/api", "", isKind("APIVersions")},
			{"GET", "/version", "", nil}, // public by default
			{"GET", "/api/v1/namespaces?limit=1", "", isKind("NamespaceList")},
		}
	case evidence.Kubelet:
		return []question{{"GET", "/pods", "", isKind("PodList")}}
	case evidence.Etcd:
		return []question{
			{"GET", "/version", "", has("etcdserver")},
			// Whether there is a key of one zero byte: no value is asked for.
			{"POST", "/v3/kv/range", `{"key":"AA==","count_only":true}`, has("header")},
		}
	case evidence.ControllerManager, evidence.CloudControllerManager, evidence.Scheduler:
		return []question{{"GET", "/metrics", "", areMetrics}}
	}
	return nil
}

// requests asks the component's questions, on one connection where it can.
func (p *prober) requests() {
	var asked atomic.Bool // for a client certificate
	config := p.config(tls.VersionTLS10, tls.VersionTLS13, everySuite())
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked.Store(true)
		return &tls.Certificate{}, nil
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{Timeout: p.attempt}).DialContext(ctx, "tcp", p.Address.String())
		},
		TLSClientConfig:        config,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxAnswer,
		TLSHandshakeTimeout:    p.attempt,
	}
	defer transport.CloseIdleConnections()
	for _, q := range questions(p.Component) {
		r, err := p.ask(transport, q)
		p.Anonymous = append(p.Anonymous, r)
		if err == nil {
			continue
		}
		if p.TLS && asked.Load() && isAlert(err) {
			p.ClientCertificate = true
		}
		if timedOut(err) {
			p.note("%s: %s", r.Request, r.Error)
			return
		}
	}
}

// ask sends one request. RoundTrip follows no redirection.
func (p *prober) ask(transport http.RoundTripper, q question) (evidence.ProbedRequest, error) {
	ctx, cancel := context.WithTimeout(p.ctx, p.attempt)
	defer cancel()
	asked := evidence.ProbedRequest{Request: q.method + " " + q.path}
	fail := func(err error) (evidence.ProbedRequest, error) {
		asked.Error = words(err)
		return asked, err
	}
	host := p.Address.String()
	if p.name != "" {
		host = net.JoinHostPort(p.name, strconv.Itoa(int(p.Address.Port())))
	}
	scheme := "http://"
	if p.TLS {
		scheme = "https://"
	}
	req, err := http.NewRequestWithContext(ctx, q.method, scheme+host+q.path, strings.NewReader(q.body))
	if err != nil {
		return fail(err)
	}
	req.Header.Set("User-Agent", "gabion")
	req.Header.Set("Accept", "application/json, text/plain;q=0.9")
	if q.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return fail(err)
	}
	defer res.Body.Close()
	asked.Status = res.StatusCode
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fail(err)
	}
	asked.Answered = q.given != nil && res.StatusCode == http.StatusOK && q.given(answer)
	if res.StatusCode == http.StatusForbidden {
		asked.User = string(anonymous.Find(answer))
	}
	return asked, nil
}

// anonymous is whom Kubernetes takes a request without credentials to be from, where
// it takes any.
var anonymous = regexp.MustCompile(`\bsystem:anonymous\b`)

// isKind tells an object or list of a kind, whole or the beginning of one.
func isKind(kind string) func([]byte) bool {
	return func(answer []byte) bool {
		value, found := field(answer, "kind")
		return found && value == kind
	}
}

// has tells an object with a field.
func has(name string) func([]byte) bool {
	return func(answer []byte) bool {
		_, found := field(answer, name)
		return found
	}
}

// field looks a field up in a JSON object, of which the end may be missing. Its value
// is "" for what is no text.
func field(answer []byte, name string) (value string, found bool) {
	dec := json.NewDecoder(strings.NewReader(string(answer)))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return "", false
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return "", false
		}
		if key == name {
			token, err := dec.Token()
			value, _ = token.(string)
			return value, err == nil
		}
		if !skip(dec) {
			return "", false
		}
	}
	return "", false
}

// skip passes over a value.
func skip(dec *json.Decoder) bool {
	for depth := 0; ; {
		token, err := dec.Token()
		if err != nil {
			return false
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return true
		}
	}
}

// areMetrics tells the text that Prometheus reads.
func areMetrics(answer []byte) bool {
	text := string(answer)
	return strings.HasPrefix(text, "# HELP ") || strings.HasPrefix(text, "# TYPE ")
}
