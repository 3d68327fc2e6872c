// Package apply is the only room that writes to a cluster: it makes changes of single
// fields by server-side apply, under one field manager, makes objects that these need,
// and takes both back. It is told which object should become what; it does not know why.
//
// Nothing is written that was not tried before by a dry run on the API server, on the
// very version of the object that was looked at. An object that has changed meanwhile,
// a field that somebody else manages, or an answer that is not the foretold one is an
// error, and never forced unless that was asked for.
package apply

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/fix/patch"
)

// Manager is the field manager of everything that is applied here.
const Manager = "gabion"

// maxAnswer is how many bytes of one answer are read.
const maxAnswer = 32 << 20

// A Client writes to one cluster. Its methods are not for use at the same time.
type Client struct {
	http    *http.Client
	base    *url.URL
	timeout time.Duration
	agent   string
	// resources are those of each API version that was asked for, by kind.
	resources map[string]map[string]resource
}

type resource struct {
	name       string
	namespaced bool
}

// NewClient returns a client for the API server at base. The timeout bounds each
// request; agent is what the server writes into its audit log.
func NewClient(client *http.Client, base *url.URL, timeout time.Duration, agent string) *Client {
	return &Client{http: client, base: base, timeout: timeout, agent: agent, resources: map[string]map[string]resource{}}
}

// What the API server may answer instead of doing as it was told.
var (
	// ErrForbidden is in the error of what the user may not do.
	ErrForbidden = errors.New("may not")
	// ErrGone is in the error of an object that is not there.
	ErrGone = errors.New("is not there")
	// errModified is in the error of a write to an object that has changed since.
	errModified = errors.New("has changed meanwhile")
)

// A Conflict is the error of fields that other managers set, which were not forced.
type Conflict struct {
	// Fields are the paths, as patch.Path spells them, and Managers who set each.
	Fields, Managers []string
}

// Error names the fields and who sets them.
func (c *Conflict) Error() string {
	var parts []string
	for i, f := range c.Fields {
		parts = append(parts, fmt.Sprintf("%s is set by the field manager %s", f, c.Managers[i]))
	}
	return strings.Join(parts, ", ")
}

// A request is one to the API server.
type request struct {
	method, contentType string
	path                []string
	query               url.Values
	body                any
}

// do makes a request once and decodes the answer.
func (c *Client) do(ctx context.Context, r request) (patch.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	var body io.Reader = http.NoBody
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	segments := make([]string, len(r.path))
	for i, s := range r.path {
		segments[i] = url.PathEscape(s)
	}
	u := c.base.JoinPath(segments...)
	u.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.agent)
	if r.body != nil {
		req.Header.Set("Content-Type", r.contentType)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxAnswer:
		return nil, errors.New("the answer of the API server is too large")
	case resp.StatusCode/100 != 2:
		return nil, refusal(resp.StatusCode, text)
	}
	answer, err := patch.Decode(text)
	if err != nil {
		return nil, fmt.Errorf("the API server answered something that is %w", err)
	}
	return answer, nil
}

// refusal is the error of an answer that is none of success.
func refusal(code int, text []byte) error {
	var status metav1.Status
	if json.Unmarshal(text, &status) != nil || status.Kind != "Status" {
		status = metav1.Status{Message: http.StatusText(code)}
	}
	message := oneLine(status.Message)
	switch code {
	case http.StatusForbidden:
		return fmt.Errorf("%w: %s", ErrForbidden, message)
	case http.StatusNotFound:
		return fmt.Errorf("it %w: %s", ErrGone, message)
	case http.StatusConflict:
		if conflict := conflictOf(status); conflict != nil {
			return conflict
		}
		return fmt.Errorf("it %w: %s", errModified, message)
	}
	return fmt.Errorf("the API server answered %d: %s", code, message)
}

// conflictOf reads who sets the fields of a conflict out of the server's words, nil for
// another kind of conflict.
func conflictOf(status metav1.Status) *Conflict {
	if status.Details == nil {
		return nil
	}
	c := &Conflict{}
	for _, cause := range status.Details.Causes {
		if cause.Type != metav1.CauseTypeFieldManagerConflict {
			continue
		}
		who := cause.Message
		if _, after, ok := strings.Cut(who, `conflict with "`); ok {
			who, _, _ = strings.Cut(after, `"`)
		}
		c.Fields, c.Managers = append(c.Fields, oneLine(cause.Field)), append(c.Managers, oneLine(who))
	}
	if len(c.Fields) == 0 {
		return nil
	}
	return c
}

// maxMessage is how many bytes of the server's words are repeated.
const maxMessage = 500

// oneLine is what a server says, as it may stand in a message.
func oneLine(text string) string {
	if len(text) > maxMessage {
		text = text[:maxMessage] + "…"
	}
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)), " ")
}

// path is where the API server has an object.
func (c *Client) path(ctx context.Context, o patch.Object) ([]string, error) {
	version, kind := o.Text("apiVersion"), o.Text("kind")
	at := []string{"api", version}
	if group, v, named := strings.Cut(version, "/"); named {
		at = []string{"apis", group, v}
	}
	if c.resources[version] == nil {
		list, err := c.do(ctx, request{method: http.MethodGet, path: at})
		if err != nil {
			return nil, fmt.Errorf("ask what %s serves: %w", version, err)
		}
		c.resources[version] = resourcesOf(list)
	}
	r, ok := c.resources[version][kind]
	if !ok {
		return nil, fmt.Errorf("the API server serves no %s of %s", kind, version)
	}
	if r.namespaced {
		at = append(at, "namespaces", o.Text("metadata", "namespace"))
	}
	return append(at, r.name, o.Text("metadata", "name")), nil
}

// resourcesOf reads a list of what an API version serves.
func resourcesOf(list patch.Object) map[string]resource {
	served := map[string]resource{}
	entries, _ := list["resources"].([]any)
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		name, _ := entry["name"].(string)
		kind, _ := entry["kind"].(string)
		namespaced, _ := entry["namespaced"].(bool)
		if _, taken := served[kind]; !taken && name != "" && !strings.Contains(name, "/") {
			served[kind] = resource{name, namespaced}
		}
	}
	return served
}

// get reads an object as it is now.
func (c *Client) get(ctx context.Context, o patch.Object) (patch.Object, error) {
	at, err := c.path(ctx, o)
	if err != nil {
		return nil, err
	}
	return c.do(ctx, request{method: http.MethodGet, path: at})
}

// The ways to write, and what a dry run is.
const (
	serverSideApply = "application/apply-patch+yaml"
	mergePatch      = "application/merge-patch+json"
)

// A writing is one way to write.
type writing struct {
	contentType   string
	dryRun, force bool
}

// write patches an object.
func (c *Client) write(ctx context.Context, o patch.Object, body map[string]any, w writing) (patch.Object, error) {
	at, err := c.path(ctx, o)
	if err != nil {
		return nil, err
	}
	query := url.Values{"fieldManager": {Manager}, "fieldValidation": {"Strict"}}
	if w.dryRun {
		query.Set("dryRun", "All")
	}
	if w.force {
		query.Set("force", "true")
	}
	return c.do(ctx, request{method: http.MethodPatch, contentType: w.contentType, path: at, query: query, body: body})
}

// UID is the UID of the Namespace kube-system, which no two clusters share.
func (c *Client) UID(ctx context.Context) (string, error) {
	ns, err := c.do(ctx, request{method: http.MethodGet, path: []string{"api", "v1", "namespaces", "kube-system"}})
	if err != nil {
		return "", fmt.Errorf("find out which cluster this is: %w", err)
	}
	return ns.Text("metadata", "uid"), nil
}
