package live

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	_ "k8s.io/client-go/plugin/pkg/client/auth/oidc" // users of kubeconfigs that log in by OIDC
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/klog/v2"
	"sigs.k8s.io/yaml"
)

// DefaultRequestTimeout bounds a request where the user does not say.
const DefaultRequestTimeout = time.Minute

// inCluster is the name of the cluster that this runs in.
const inCluster = "in-cluster"

// silence keeps the log lines of client-go off the user's terminal: what matters
// of them comes back as an error.
var silence = sync.OnceFunc(func() {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
})

// Connect finds the cluster and the credentials, as kubectl does. It reads files
// and asks nothing of the server. Its errors are one line for the user.
func Connect(o Options) (*Client, error) {
	silence()
	o.Namespaces = slices.Compact(slices.Sorted(slices.Values(o.Namespaces)))
	for _, ns := range o.Namespaces {
		if !isName(ns, false) {
			return nil, fmt.Errorf("%q cannot be the name of a namespace", ns)
		}
	}
	file, rules, err := o.load()
	if err != nil {
		return nil, err
	}
	c := &Client{options: o, timeout: o.RequestTimeout, backoff: 250 * time.Millisecond}
	if c.timeout <= 0 {
		c.timeout = DefaultRequestTimeout
	}
	if err := c.configure(file, rules); err != nil {
		return nil, err
	}
	c.config.UserAgent = o.UserAgent
	if c.http, err = rest.HTTPClientFor(c.config); err != nil {
		return nil, fmt.Errorf("context %q: %s", c.name, oneLine(err.Error(), maxReason))
	}
	// Credentials go to no other server than the one that was named.
	c.http = &http.Client{Transport: c.http.Transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	if c.base, _, err = rest.DefaultServerUrlFor(c.config); err != nil {
		return nil, fmt.Errorf("context %q: its server %q is not an address: %s", c.name, oneLine(c.config.Host, maxName), oneLine(err.Error(), maxReason))
	}
	c.base.User, c.base.RawQuery = nil, ""
	return c, nil
}

// configure chooses the cluster and the credentials.
func (c *Client) configure(file *clientcmdapi.Config, rules *clientcmd.ClientConfigLoadingRules) error {
	o := c.options
	if len(o.AsGroups) > 0 && o.As == "" {
		return errors.New("--as-group needs --as: a group is impersonated together with a user")
	}
	overrides := &clientcmd.ConfigOverrides{AuthInfo: clientcmdapi.AuthInfo{Impersonate: o.As, ImpersonateGroups: o.AsGroups}}
	if len(file.Contexts)+len(file.Clusters) == 0 {
		return c.fromPod(rules)
	}
	if err := c.choose(file); err != nil {
		return err
	}
	config, err := clientcmd.NewNonInteractiveClientConfig(*file, c.name, overrides, rules).ClientConfig()
	if err != nil {
		return fmt.Errorf("context %q: %s", c.name, oneLine(err.Error(), maxReason))
	}
	c.config = config
	return nil
}

// choose picks the context.
func (c *Client) choose(file *clientcmdapi.Config) error {
	c.name = c.options.Context
	if c.name == "" {
		c.name = file.CurrentContext
	}
	names := "the kubeconfig has none"
	if len(file.Contexts) > 0 {
		names = "the kubeconfig has " + enumerate(slices.Sorted(maps.Keys(file.Contexts)))
	}
	if c.name == "" {
		return fmt.Errorf("the kubeconfig has no current context: choose one with --context: %s", names)
	}
	context, ok := file.Contexts[c.name]
	if !ok {
		return fmt.Errorf("context %q does not exist: %s", c.name, names)
	}
	c.user = context.AuthInfo
	return nil
}

// fromPod takes the account of the pod that this runs in.
func (c *Client) fromPod(rules *clientcmd.ClientConfigLoadingRules) error {
	config, err := rest.InClusterConfig()
	switch {
	case errors.Is(err, rest.ErrNotInCluster) && rules.ExplicitPath != "":
		return fmt.Errorf("kubeconfig %q names no cluster", rules.ExplicitPath)
	case errors.Is(err, rest.ErrNotInCluster):
		return fmt.Errorf("no cluster to look at: there is no kubeconfig (looked for %s) and this is not a pod of a cluster: name one with --kubeconfig",
			enumerate(rules.Precedence))
	case err != nil:
		return fmt.Errorf("use the account of this pod: %s", oneLine(err.Error(), maxReason))
	case c.options.Context != "":
		return fmt.Errorf("context %q does not exist: there is no kubeconfig, only the account of this pod", c.options.Context)
	}
	config.Impersonate = rest.ImpersonationConfig{UserName: c.options.As, Groups: c.options.AsGroups}
	c.config, c.name = config, inCluster
	return nil
}

// load reads the kubeconfig, or none.
func (o Options) load() (*clientcmdapi.Config, *clientcmd.ClientConfigLoadingRules, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.Kubeconfig
	rules.WarnIfAllMissing = false
	// Else a file that a long gone kubectl left elsewhere is copied: nothing is
	// written here.
	rules.MigrationRules = nil
	file, err := rules.Load()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("kubeconfig %q does not exist", o.Kubeconfig)
	case err != nil:
		return nil, nil, explainFile(err, rules.GetLoadingPrecedence())
	}
	return file, rules, nil
}

// explainFile says which of several files is no kubeconfig, and what it is.
func explainFile(err error, files []string) error {
	for _, file := range files {
		_, wrong := clientcmd.LoadFromFile(file)
		if wrong == nil || errors.Is(wrong, fs.ErrNotExist) {
			continue
		}
		text, unreadable := os.ReadFile(file)
		var any map[string]any
		syntax := yaml.Unmarshal(text, &any)
		switch kind, _ := any["kind"].(string); {
		case unreadable != nil:
			return fmt.Errorf("read the kubeconfig: %s", oneLine(unreadable.Error(), maxReason))
		case syntax != nil && strings.HasPrefix(syntax.Error(), "error converting YAML to JSON: "):
			return fmt.Errorf("kubeconfig %q is not YAML: %s", file, oneLine(strings.TrimPrefix(syntax.Error(), "error converting YAML to JSON: "), maxReason))
		case syntax != nil:
			return fmt.Errorf("%q is not a kubeconfig", file)
		case kind == "":
			return fmt.Errorf("%q is not a kubeconfig: it has no kind", file)
		case kind != "Config":
			return fmt.Errorf("%q is not a kubeconfig: it is of kind %q, not Config", file, kind)
		}
		return fmt.Errorf("kubeconfig %q: %s", file, oneLine(wrong.Error(), maxReason))
	}
	return fmt.Errorf("read the kubeconfig: %s", oneLine(err.Error(), maxReason))
}

// who is who looks, as far as the credentials say.
func (c *Client) who() string {
	name := c.credentials()
	if as := c.config.Impersonate; as.UserName != "" {
		name += " as " + as.UserName
		if len(as.Groups) > 0 {
			name += " in " + strings.Join(as.Groups, ", ")
		}
	}
	return oneLine(name, maxReason)
}

// credentials names whom the credentials belong to. Only the server knows; this
// is what they say themselves, else the kubeconfig's word for them.
func (c *Client) credentials() string {
	if subject := tokenSubject(c.token()); subject != "" {
		return subject
	}
	if cert := c.certificate(); cert != nil {
		if groups := cert.Subject.Organization; len(groups) > 0 {
			return cert.Subject.CommonName + " in " + strings.Join(groups, ", ")
		}
		return cert.Subject.CommonName
	}
	if c.config.Username != "" {
		return c.config.Username
	}
	if exec := c.config.ExecProvider; exec != nil {
		return fmt.Sprintf("user entry %s (by %s)", c.user, exec.Command)
	}
	if c.user != "" {
		return "user entry " + c.user
	}
	return "nobody in particular"
}

// token is the bearer token, "" if none is known beforehand.
func (c *Client) token() string {
	if c.config.BearerTokenFile != "" {
		if text, err := os.ReadFile(c.config.BearerTokenFile); err == nil {
			return string(text)
		}
	}
	return c.config.BearerToken
}

// tokenSubject is the subject that a JSON Web Token claims, "" for other tokens.
func tokenSubject(token string) string {
	parts := strings.Split(strings.TrimSpace(token), ".")
	if len(parts) != 3 {
		return ""
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Subject string `json:"sub"`
	}
	if json.Unmarshal(text, &claims) != nil {
		return ""
	}
	return claims.Subject
}

// certificate is the client certificate, nil if none is known beforehand.
func (c *Client) certificate() *x509.Certificate {
	text := c.config.CertData
	if len(text) == 0 && c.config.CertFile != "" {
		text, _ = os.ReadFile(c.config.CertFile)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil
			}
			return cert
		}
	}
	return nil
}

// maxNames is how many names an error lists.
const maxNames = 12

// enumerate lists names for a person.
func enumerate(names []string) string {
	var quoted []string
	for _, name := range names[:min(len(names), maxNames)] {
		quoted = append(quoted, fmt.Sprintf("%q", name))
	}
	if more := len(names) - len(quoted); more > 0 {
		quoted = append(quoted, fmt.Sprintf("%d more", more))
	}
	return strings.Join(quoted, ", ")
}
