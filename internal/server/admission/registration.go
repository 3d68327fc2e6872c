package admission

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// A Registration is the ValidatingWebhookConfiguration by which API servers know a
// webhook. Of it the caBundle alone is written: get and patch on that one object.
type Registration struct {
	http *http.Client
	url  string
}

// errNotTrusted is what Ready says while API servers would not accept the certificate.
var errNotTrusted = errors.New("the webhook configuration does not hold the authority of the certificate")

// Connect finds the cluster as kubectl does, or the one that this runs in. It asks
// nothing of it yet.
func Connect(kubeconfig, kubeContext, name string) (*Registration, error) {
	load := clientcmd.NewDefaultClientConfigLoadingRules()
	load.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(load, &clientcmd.ConfigOverrides{CurrentContext: kubeContext}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	config.Timeout = 10 * time.Second
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w", err)
	}
	return NewRegistration(client, base, name), nil
}

// NewRegistration returns the configuration of a name at an API server.
func NewRegistration(client *http.Client, server *url.URL, name string) *Registration {
	return &Registration{client, server.JoinPath("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", name).String()}
}

// mostAuthorities are so many that replicas which are restarted again and again do not
// fill the object.
const mostAuthorities = 64

// trust has API servers trust authorities, and go on trusting those of before and of
// other replicas until they expire. An error that is errNotTrusted says that they do
// not; after any other it is not known.
func (r *Registration) trust(ctx context.Context, authorities, before []*x509.Certificate) error {
	for range 8 {
		found, err := r.get(ctx)
		if err != nil {
			return err
		}
		patch, err := found.patch(authorities, before, time.Now())
		if err != nil || patch == nil {
			return err
		}
		done, err := r.patch(ctx, patch)
		if err != nil || done {
			return err
		}
	}
	return fmt.Errorf("%w: others change it all the time", errNotTrusted)
}

// A registered is what is read of the object.
type registered struct {
	Metadata struct {
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Webhooks []struct {
		ClientConfig struct {
			CABundle []byte `json:"caBundle"`
		} `json:"clientConfig"`
	} `json:"webhooks"`
}

type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// patch is what changes the bundles so that they hold the authorities, nil if they do.
func (r *registered) patch(authorities, before []*x509.Certificate, now time.Time) ([]operation, error) {
	if len(r.Webhooks) == 0 {
		return nil, fmt.Errorf("%w: it has no webhooks", errNotTrusted)
	}
	list := []operation{{"test", "/metadata/resourceVersion", r.Metadata.ResourceVersion}}
	for i, w := range r.Webhooks {
		there := parsePEM(w.ClientConfig.CABundle)
		if holds(there, authorities) {
			continue
		}
		list = append(list, operation{"add", fmt.Sprintf("/webhooks/%d/clientConfig/caBundle", i), bundle(there, authorities, before, now)})
	}
	if len(list) == 1 {
		return nil, nil
	}
	return list, nil
}

func holds(list, wanted []*x509.Certificate) bool {
	for _, w := range wanted {
		if !slices.ContainsFunc(list, w.Equal) {
			return false
		}
	}
	return len(wanted) > 0
}

// bundle is ours first, then what else is there and in force, the youngest first.
func bundle(there, authorities, before []*x509.Certificate, now time.Time) []byte {
	slices.SortStableFunc(there, func(a, b *x509.Certificate) int { return b.NotBefore.Compare(a.NotBefore) })
	var kept []*x509.Certificate
	for _, c := range slices.Concat(authorities, before, there) {
		if now.Before(c.NotAfter) && !slices.ContainsFunc(kept, c.Equal) && len(kept) < mostAuthorities {
			kept = append(kept, c)
		}
	}
	var text bytes.Buffer
	for _, c := range kept {
		_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // a buffer takes everything
	}
	return text.Bytes()
}

func (r *Registration) get(ctx context.Context) (*registered, error) {
	body, code, err := r.do(ctx, http.MethodGet, "", nil)
	switch {
	case err != nil:
		return nil, err
	case code == http.StatusNotFound:
		return nil, fmt.Errorf("%w: it does not exist", errNotTrusted)
	case code != http.StatusOK:
		return nil, fmt.Errorf("read the webhook configuration: status %d", code)
	}
	found := &registered{}
	if err := json.Unmarshal(body, found); err != nil {
		return nil, errors.New("read the webhook configuration: not JSON")
	}
	return found, nil
}

// patch reports whether the change was made: another one may have come first.
func (r *Registration) patch(ctx context.Context, change []operation) (done bool, err error) {
	text, err := json.Marshal(change)
	if err != nil {
		return false, err
	}
	_, code, err := r.do(ctx, http.MethodPatch, "application/json-patch+json", text)
	switch {
	case err != nil:
		return false, err
	case code == http.StatusConflict, code == http.StatusUnprocessableEntity:
		return false, nil
	case code != http.StatusOK:
		return false, fmt.Errorf("%w, and it cannot be changed: status %d", errNotTrusted, code)
	}
	return true, nil
}

func (r *Registration) do(ctx context.Context, method, contentType string, body []byte) ([]byte, int, error) {
	request, err := http.NewRequestWithContext(ctx, method, r.url, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	request.Header.Set("Accept", "application/json")
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	answer, err := r.http.Do(request)
	if err != nil {
		return nil, 0, fmt.Errorf("ask for the webhook configuration: %w", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4<<20))
	if err != nil {
		return nil, 0, fmt.Errorf("ask for the webhook configuration: %w", err)
	}
	return text, answer.StatusCode, nil
}
