package live

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Limits of what the server may send or make the client do.
const (
	// maxAnswer is how many bytes of one answer are read.
	maxAnswer = 32 << 20
	// maxError is how many bytes of an error are read.
	maxError = 64 << 10
	// maxWait is how long a server may ask to be left alone.
	maxWait = 30 * time.Second
	// maxTries is how often a request is made that fails, if it fails fast, and
	// maxThrottled one that the server has no time for.
	maxTries, maxThrottled           = 4, 10
	maxFailingTime, maxThrottledTime = 3 * time.Second, 2 * time.Minute
	// maxSilent is how many requests in a row may time out before no more are made.
	maxSilent = 4
)

// The forms in which answers are asked for.
const (
	jsonForm     = "application/json"
	protobufForm = "application/vnd.kubernetes.protobuf,application/json"
	// A server that knows none of these forms must refuse: what it sent instead would
	// hold the values of Secrets.
	metadataForm = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1," +
		"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
	tableForm = "application/json;as=Table;g=meta.k8s.io;v=v1"
)

// A request is one thing to ask of the server: a GET, or a POST if there is a body.
type request struct {
	path   []string
	query  url.Values
	accept string
	body   []byte
	// quiet keeps the server's words out of errors.
	quiet bool
}

// An answerError is an answer other than the one asked for.
type answerError struct {
	code int
	// message is what the server says, on one line; "" if nothing.
	message string
	// resume is with what an expired list can be gone on with, "" for no such answer.
	resume string
	// wait is how long the server wants to be left alone, negative if it does not say.
	wait time.Duration
}

func (e *answerError) Error() string {
	text := fmt.Sprintf("the API server answered %d %s", e.code, http.StatusText(e.code))
	if e.code == http.StatusOK {
		text = "the API server answered"
	}
	if e.message != "" {
		text += ": " + e.message
	}
	return text
}

var (
	errTooLarge = errors.New("the answer is too large")
	errTimeout  = errors.New("no answer in time (--request-timeout allows more)")
	errSilent   = errors.New("the API server has stopped answering")
)

// code is the HTTP status of an error, 0 if it has none.
func code(err error) int {
	if e, ok := errors.AsType[*answerError](err); ok {
		return e.code
	}
	return 0
}

// somebody reports whether the server knows the caller and refuses what was asked
// for, not who asks.
func somebody(err error) bool {
	answer, ok := errors.AsType[*answerError](err)
	return ok && answer.code == http.StatusForbidden && !answer.anonymous() && !answer.impersonation()
}

// anonymous reports whether the server took the caller for nobody.
func (e *answerError) anonymous() bool { return strings.Contains(e.message, `User "system:anonymous"`) }

// impersonation reports whether the caller may not act as whom it wants to.
func (e *answerError) impersonation() bool {
	return strings.Contains(e.message, " cannot impersonate")
}

// get reads an answer into body. It tries again where that can help, for a
// bounded time; it returns the context's error when that ends.
func (c *Client) get(ctx context.Context, r request, body *bytes.Buffer) (contentType string, err error) {
	begun := time.Now()
	for try := 1; ; try++ {
		if c.silent.Load() >= maxSilent {
			return "", errSilent
		}
		contentType, err = c.attempt(ctx, r, body)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		c.note(err)
		wait, again := c.again(err, try, time.Since(begun))
		if !again {
			return contentType, err
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(wait):
		}
	}
}

// note remembers whether the server is there at all.
func (c *Client) note(err error) {
	switch {
	case errors.Is(err, errTimeout):
		c.silent.Add(1)
	case err == nil || code(err) != 0:
		c.answered.Store(true)
		c.silent.Store(0)
	}
}

// again says whether a request that was made so often, for so long, is worth
// another try, and when.
func (c *Client) again(err error, try int, spent time.Duration) (wait time.Duration, again bool) {
	if err == nil || errors.Is(err, errTooLarge) || errors.Is(err, errTimeout) {
		return 0, false
	}
	// Half to one and a half times as long, so that requests that failed together
	// do not come back together.
	wait = c.backoff << (min(try, maxTries) - 1)
	wait = wait/2 + rand.N(wait+1)
	answer, answered := errors.AsType[*answerError](err)
	switch {
	case !answered:
		again = c.passing(err) && try < maxTries && spent < maxFailingTime
	case answer.code == http.StatusTooManyRequests:
		again = try < maxThrottled && spent < maxThrottledTime
	case answer.code >= http.StatusInternalServerError && answer.code != http.StatusNotImplemented:
		again = try < maxTries && spent < maxFailingTime
	}
	if answered && answer.wait >= 0 {
		wait = answer.wait
	}
	return wait, again && wait <= maxWait
}

// passing reports whether a fault of the connection may be gone the next time.
func (c *Client) passing(err error) bool {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return c.answered.Load()
	}
	if _, dns := errors.AsType[*net.DNSError](err); dns {
		return c.answered.Load()
	}
	return !isTLS(err) && !isLogin(err)
}

// attempt makes a request once.
func (c *Client) attempt(ctx context.Context, r request, body *bytes.Buffer) (contentType string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, errTimeout)
	defer cancel()
	resp, err := c.do(ctx, r)
	if err == nil {
		defer resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			err = answer(resp, r.quiet)
		} else {
			err = read(resp.Body, body)
		}
	}
	if _, answered := errors.AsType[*answerError](err); err != nil && !answered && errors.Is(context.Cause(ctx), errTimeout) {
		err = errTimeout
	}
	if err != nil {
		return "", err
	}
	return resp.Header.Get("Content-Type"), nil
}

// do sends a request. It returns when the context ends, even if a program that
// makes credentials does not.
func (c *Client) do(ctx context.Context, r request) (*http.Response, error) {
	method, content := http.MethodGet, io.Reader(http.NoBody)
	if r.body != nil {
		method, content = http.MethodPost, bytes.NewReader(r.body)
	}
	u := *c.base.JoinPath(escaped(r.path)...)
	u.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", r.accept)
	if r.body != nil {
		req.Header.Set("Content-Type", jsonForm)
	}
	type result struct {
		resp *http.Response
		err  error
	}
	done := make(chan result, 1)
	go func() {
		resp, err := c.http.Do(req)
		done <- result{resp, err}
	}()
	select {
	case got := <-done:
		return got.resp, got.err
	case <-ctx.Done():
		go func() {
			if got := <-done; got.err == nil {
				got.resp.Body.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

func escaped(path []string) []string {
	segments := make([]string, len(path))
	for i, segment := range path {
		segments[i] = url.PathEscape(segment)
	}
	return segments
}

// read reads a whole answer.
func read(from io.Reader, body *bytes.Buffer) error {
	body.Reset()
	n, err := body.ReadFrom(io.LimitReader(from, maxAnswer+1))
	if n > maxAnswer {
		return errTooLarge
	}
	return err
}

// answer is the error of a response that is none of success.
func answer(resp *http.Response, quiet bool) error {
	e := &answerError{code: resp.StatusCode, wait: -1}
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		e.wait = time.Duration(min(seconds, 1+int(maxWait/time.Second))) * time.Second
	}
	if resp.StatusCode/100 == 3 {
		e.message = "a redirection, which is not followed"
		return e
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxError))
	if err != nil {
		return e
	}
	status := decodeStatus(text)
	e.resume = status.Continue
	if e.message = oneLine(status.Message, maxReason); quiet {
		e.message = string(status.Reason)
	}
	return e
}

// decodeStatus reads the error of an API server; one without content where the
// text is none.
func decodeStatus(text []byte) (status metav1.Status) {
	if raw, ok := bytes.CutPrefix(text, protobufMagic); ok {
		if envelope, err := unwrap(raw); err == nil && status.Unmarshal(envelope.raw) == nil {
			return status
		}
		return metav1.Status{}
	}
	if json.Unmarshal(text, &status) != nil || status.Kind != "Status" {
		return metav1.Status{}
	}
	return status
}
