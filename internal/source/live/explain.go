package live

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// explain says in one line why the cluster cannot be looked at, and what to do.
func (c *Client) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if answer, ok := errors.AsType[*answerError](err); ok {
		return c.explainAnswer(answer)
	}
	if text := c.explainCertificate(err); text != "" {
		return errors.New(text)
	}
	dns, unknown := errors.AsType[*net.DNSError](err)
	switch proxy := c.proxy(); {
	case isLogin(err):
		return c.explainLogin(err)
	case errors.Is(err, errTimeout):
		return fmt.Errorf("the API server %s did not answer within %s: is it reachable from here (VPN, proxy, firewall)? --request-timeout allows more", c.base, c.timeout)
	case proxy != "":
		return fmt.Errorf("cannot ask the API server %s through the proxy %s: %s: check proxy-url in the kubeconfig, HTTPS_PROXY and NO_PROXY (context %q)", c.base, proxy, plain(err), c.name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("the API server %s refused the connection: is the cluster running, and is this its address? (context %q)", c.base, c.name)
	case unknown && dns.IsNotFound:
		return fmt.Errorf("the API server %s has an unknown name, %q: is this its address, and does it take a VPN? (context %q)", c.base, dns.Name, c.name)
	}
	return fmt.Errorf("cannot ask the API server %s: %s (context %q)", c.base, plain(err), c.name)
}

// proxy is the proxy on the way to the server, "" for none.
func (c *Client) proxy() string {
	choose := c.config.Proxy
	if choose == nil {
		choose = http.ProxyFromEnvironment
	}
	if u, err := choose(&http.Request{URL: c.base}); err == nil && u != nil {
		return u.Redacted()
	}
	return ""
}

// login begins the errors of the program that the kubeconfig names for getting
// credentials.
const login = "getting credentials: exec: "

func isLogin(err error) bool { return strings.Contains(err.Error(), login) }

// explainLogin is for a program that gets credentials and has failed. What it had
// to say has gone to the terminal.
func (c *Client) explainLogin(err error) error {
	_, why, _ := strings.Cut(err.Error(), login)
	why, _, _ = strings.Cut(why, "\n") // general advice
	advice := "install it or log in with it, or choose another --context"
	if exec := c.config.ExecProvider; exec != nil && exec.InstallHint != "" && strings.HasSuffix(why, "not found") {
		advice = oneLine(exec.InstallHint, maxReason)
	}
	return fmt.Errorf("context %q gets its credentials by a program, and that failed: %s: %s", c.name, oneLine(why, maxReason), advice)
}

func (c *Client) explainAnswer(answer *answerError) error {
	switch {
	case answer.code == http.StatusUnauthorized && c.lapsed() != "":
		return errors.New(c.lapsed())
	case answer.code == http.StatusUnauthorized:
		return fmt.Errorf("the API server %s does not accept the credentials of context %q (401 Unauthorized): log in again, or choose another --context", c.base, c.name)
	case answer.anonymous():
		return fmt.Errorf("the API server %s takes context %q for nobody (system:anonymous): its user entry has no credentials: log in, or choose another --context", c.base, c.name)
	case answer.impersonation():
		return fmt.Errorf("context %q may not be used --as somebody else: %s", c.name, answer.message)
	case answer.code == http.StatusTooManyRequests || answer.code >= http.StatusInternalServerError:
		return fmt.Errorf("the API server %s is not ready: %w; try again later", c.base, answer)
	}
	return fmt.Errorf("%s does not answer as an API server does (%s): is this its address? (context %q)",
		c.base, strings.TrimPrefix(answer.Error(), "the API server answered "), c.name)
}

// explainCertificate is for faults of TLS, "" for others.
func (c *Client) explainCertificate(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fmt.Sprintf("the certificate of the API server %s is not signed by the authority that context %q trusts: its certificate-authority is missing or of another cluster, or something else answers", c.base, c.name)
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return fmt.Sprintf("the certificate of the API server %s is valid from %s to %s, which is not now: renew it, or set this machine's clock",
			c.base, day(invalid.Cert.NotBefore), day(invalid.Cert.NotAfter))
	}
	if host, ok := errors.AsType[x509.HostnameError](err); ok {
		return fmt.Sprintf("the certificate of the API server %s is not for %q: use a name that it has, or set tls-server-name in the kubeconfig (context %q)", c.base, host.Host, c.name)
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return c.lapsed()
	}
	return ""
}

// lapsed says so if the client certificate is not valid now, else it is "".
func (c *Client) lapsed() string {
	cert, now := c.certificate(), time.Now()
	switch {
	case cert == nil:
		return ""
	case now.After(cert.NotAfter):
		return fmt.Sprintf("the client certificate of user %q in context %q expired on %s: get a new kubeconfig or renew the certificate", c.user, c.name, day(cert.NotAfter))
	case now.Before(cert.NotBefore):
		return fmt.Sprintf("the client certificate of user %q in context %q is not valid before %s: set this machine's clock", c.user, c.name, day(cert.NotBefore))
	}
	return ""
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// isTLS reports whether a connection failed for what one side holds of the other.
func isTLS(err error) bool {
	_, verification := errors.AsType[*tls.CertificateVerificationError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	return verification || alert || record
}

// plain is an error without the address that was asked, which is long and holds
// nothing for a person.
func plain(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return oneLine(err.Error(), maxReason)
}
