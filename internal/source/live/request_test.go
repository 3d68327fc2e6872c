package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// What a real API server does not do when it is asked to is played here; all else
// is tested with a real one, in the files with the build tag cluster.

var quiet = log.New(io.Discard, "", 0)

// fake connects to a server that is played.
func fake(t *testing.T, o Options, handler http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	server.Config.ErrorLog = quiet
	o.Kubeconfig = writeConfig(t, clientcmdapi.Cluster{Server: server.URL}, clientcmdapi.AuthInfo{Token: "opaque"})
	c, err := Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	c.backoff = time.Millisecond
	return c
}

func named(names ...string) (list corev1.ConfigMapList) {
	for _, name := range names {
		list.Items = append(list.Items, corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	return list
}

// protobuf writes a list as the API server does.
func protobuf(t *testing.T, w io.Writer, list corev1.ConfigMapList) {
	raw, err := list.Marshal()
	if err != nil {
		t.Error(err)
	}
	text, err := (&runtime.Unknown{TypeMeta: runtime.TypeMeta{APIVersion: "v1", Kind: "ConfigMapList"}, Raw: raw}).Marshal()
	if err != nil {
		t.Error(err)
	}
	w.Write(append([]byte("k8s\x00"), text...))
}

var configMaps = listing{resource: resource{version: "v1", kind: "ConfigMap", name: "configmaps", namespaced: true, form: inFull, facts: []evidence.Fact{evidence.ConfigMaps}}}

// names lists the ConfigMaps of a server.
func names(ctx context.Context, c *Client) (got []string, err error) {
	err = c.pages(ctx, configMaps, func(p page) bool {
		for _, item := range p.items {
			o, err := configMaps.decode(item, p.protobuf)
			if err != nil {
				got = append(got, "?")
				continue
			}
			got = append(got, o.Typed.GetName())
		}
		return true
	})
	return got, err
}

// Lists survive what passes, say what does not, and neither lose nor double an
// object.
func TestPages(t *testing.T) {
	all := []string{"a", "b", "c", "d", "e", "f"}
	// part serves two objects from where a token says.
	part := func(w io.Writer, r *http.Request) {
		from, _ := strconv.Atoi(r.URL.Query().Get("continue"))
		list := named(all[from:min(from+2, len(all))]...)
		if from+2 < len(all) {
			list.Continue = strconv.Itoa(from + 2)
		}
		protobuf(t, w, list)
	}
	expired := func(w http.ResponseWriter, resume string) {
		w.WriteHeader(http.StatusGone)
		json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status"}, Reason: metav1.StatusReasonExpired,
			ListMeta: metav1.ListMeta{Continue: resume}, Message: "too old"})
	}
	for _, test := range []struct {
		name string
		// answer is called with the number of the request, from 1.
		answer func(n int, w http.ResponseWriter, r *http.Request)
		want   string
		err    string
	}{
		{"as usual", func(_ int, w http.ResponseWriter, r *http.Request) { part(w, r) }, "a b c d e f", ""},
		{"throttled", func(n int, w http.ResponseWriter, r *http.Request) {
			if n%4 != 0 {
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			part(w, r)
		}, "a b c d e f", ""},
		{"throttled for ever", func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusTooManyRequests)
		}, "", "429"},
		{"failing now and then", func(n int, w http.ResponseWriter, r *http.Request) {
			if n%3 != 0 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			part(w, r)
		}, "a b c d e f", ""},
		{"failing for ever", func(n int, w http.ResponseWriter, r *http.Request) {
			if n > 2 {
				refuse(500, "conversion webhook for x failed")(w, r)
				return
			}
			part(w, r)
		}, "a b c d", "conversion webhook"},
		{"expired, with a token to go on", func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 2 {
				expired(w, "2")
				return
			}
			part(w, r)
		}, "a b c d e f", ""},
		{"expired on every page", func(n int, w http.ResponseWriter, r *http.Request) {
			if n > 1 && n%2 == 0 {
				expired(w, r.URL.Query().Get("continue"))
				return
			}
			part(w, r)
		}, "a b c d e f", ""},
		{"expired again and again", func(n int, w http.ResponseWriter, r *http.Request) {
			if n > 1 {
				expired(w, "2")
				return
			}
			part(w, r)
		}, "a b", "410"},
		{"expired, without a token", func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 2 {
				expired(w, "")
				return
			}
			part(w, r)
		}, "a b", "410"},
		{"cut off once", func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 2 {
				w.Header().Set("Content-Length", "1000")
				w.Write([]byte("k8s\x00"))
				return
			}
			part(w, r)
		}, "a b c d e f", ""},
		{"cut off always", func(n int, w http.ResponseWriter, r *http.Request) {
			if n > 1 {
				w.Header().Set("Content-Length", "1000")
				return
			}
			part(w, r)
		}, "a b", "EOF"},
		{"connection dropped once", func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 2 {
				panic(http.ErrAbortHandler)
			}
			part(w, r)
		}, "a b c d e f", ""},
		{"garbage", func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 2 {
				w.Write([]byte("k8s\x00\xff\xff\xff\xff\xff"))
				return
			}
			part(w, r)
		}, "a b", "broken protobuf"},
		{"cut short", func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte("k8s\x00\x12\x7f"))
		}, "", "broken protobuf"},
		{"another list, in protobuf", func(_ int, w http.ResponseWriter, _ *http.Request) {
			text, _ := (&runtime.Unknown{TypeMeta: runtime.TypeMeta{Kind: "SecretList"}, Raw: []byte("\x12\x05\x0a\x03\x0a\x01a")}).Marshal()
			w.Write(append([]byte("k8s\x00"), text...))
		}, "", `"SecretList" instead of a ConfigMapList`},
		{"one object is garbage", func(_ int, w http.ResponseWriter, _ *http.Request) {
			// An item of four bytes, none of which is a field, between two good ones.
			text, _ := (&runtime.Unknown{TypeMeta: runtime.TypeMeta{Kind: "ConfigMapList"},
				Raw: []byte("\x12\x05\x0a\x03\x0a\x01a" + "\x12\x04\xff\xff\xff\xff" + "\x12\x05\x0a\x03\x0a\x01b")}).Marshal()
			w.Write(append([]byte("k8s\x00"), text...))
		}, "a ? b", ""},
		{"another list", func(_ int, w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"kind":"SecretList","items":[]}`)
		}, "", `"SecretList" instead of a ConfigMapList`},
		{"JSON", func(_ int, w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"kind":"ConfigMapList","items":[{"metadata":{"name":"a"}},7]}`)
		}, "a ?", ""},
		{"no list", func(_ int, w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"kind":"ConfigMapList"}`) }, "", "no list"},
		{"a web page", func(_ int, w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }, "", "neither protobuf nor JSON"},
		{"the same page for ever", func(_ int, w http.ResponseWriter, _ *http.Request) {
			list := named("a")
			list.Continue = "same"
			protobuf(t, w, list)
		}, "a a", "again and again"},
		{"pages too large", func(_ int, w http.ResponseWriter, r *http.Request) {
			if limit, _ := strconv.Atoi(r.URL.Query().Get("limit")); limit > 10 {
				io.CopyN(w, zeros{}, maxAnswer+1)
				return
			}
			part(w, r)
		}, "a b c d e f", ""},
		{"an object too large", func(n int, w http.ResponseWriter, r *http.Request) {
			if n > 1 {
				io.CopyN(w, zeros{}, maxAnswer+1)
				return
			}
			part(w, r)
		}, "a b", "too large"},
		{"asked to wait for too long", func(n int, w http.ResponseWriter, r *http.Request) {
			if n > 1 {
				w.Header().Set("Retry-After", "100000")
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			part(w, r)
		}, "a b", "503"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var n atomic.Int32
			c := fake(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
				test.answer(int(n.Add(1)), w, r)
			})
			begun := time.Now()
			got, err := names(t.Context(), c)
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("took %s", took)
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got error %v, want %q", err, test.err)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// What the server asks for is waited for.
func TestRetryAfter(t *testing.T) {
	var n atomic.Int32
	c := fake(t, Options{}, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		protobuf(t, w, named("a"))
	})
	begun := time.Now()
	if got, err := names(t.Context(), c); err != nil || len(got) != 1 {
		t.Errorf("got %q, %v", got, err)
	}
	if waited := time.Since(begun); waited < time.Second || waited > 20*time.Second {
		t.Errorf("waited %s, want a second", waited)
	}
}

// A server that hangs, before the answer or in the middle of it, costs a bounded
// time and gives gaps.
func TestHang(t *testing.T) {
	for _, begin := range []string{"", "k8s\x00"} {
		var asked atomic.Int32
		c := fake(t, Options{RequestTimeout: 100 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/version":
				io.WriteString(w, `{"gitVersion":"v1.36.0"}`)
			case "/api/v1/namespaces":
				if r.URL.Query().Get("fieldSelector") != "" {
					io.WriteString(w, `{"items":[]}`)
					return
				}
				fallthrough
			default:
				asked.Add(1)
				io.WriteString(w, begin)
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}
		})
		sink := &gapSink{}
		begun := time.Now()
		if err := c.Collect(t.Context(), sink); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("took %s", took)
		}
		for _, f := range []evidence.Fact{evidence.Workloads, evidence.RBAC, evidence.Mesh} {
			if !slices.ContainsFunc(sink.gaps, func(g evidence.Gap) bool { return g.Fact == f }) {
				t.Errorf("no gap for %s", f)
			}
		}
		if n := asked.Load(); n > maxSilent+abreast {
			t.Errorf("a server that hangs was asked %d times", n)
		}
	}
}

// When the context ends, so does everything else.
func TestCancel(t *testing.T) {
	reached := make(chan bool, 100)
	c := fake(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/version" {
			io.WriteString(w, `{"gitVersion":"v1.36.0"}`)
			return
		}
		if r.URL.Query().Get("fieldSelector") != "" {
			io.WriteString(w, `{"items":[]}`)
			return
		}
		reached <- true
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-reached; cancel() }()
	begun := time.Now()
	if err := c.Collect(ctx, &gapSink{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

// A program that makes credentials and hangs does not hold up a request for
// longer than it may take.
func TestHangingPlugin(t *testing.T) {
	file := writeConfig(t, clientcmdapi.Cluster{Server: "https://127.0.0.1:1"}, clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{
		APIVersion: "client.authentication.k8s.io/v1", Command: "sleep", Args: []string{"2"}, InteractiveMode: "Never",
	}})
	c, err := Connect(Options{Kubeconfig: file, RequestTimeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if _, err := c.Cluster(t.Context()); err == nil {
		t.Error("no error")
	}
	if took := time.Since(begun); took > 1500*time.Millisecond {
		t.Errorf("took %s", took)
	}
}

// Credentials follow no redirection to another server.
func TestRedirection(t *testing.T) {
	var reached atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	defer other.Close()
	c := fake(t, Options{}, http.RedirectHandler(other.URL, http.StatusTemporaryRedirect).ServeHTTP)
	if _, err := names(t.Context(), c); code(err) != http.StatusTemporaryRedirect {
		t.Errorf("got %v", err)
	}
	if reached.Load() {
		t.Error("the other server was asked")
	}
}

// What an API server says of a Secret is not repeated.
func TestSecretErrors(t *testing.T) {
	c := fake(t, Options{}, refuse(500, "cannot decode czNjcjN0"))
	l := configMaps
	l.secretType = corev1.SecretTypeBootstrapToken
	err := c.pages(t.Context(), l, func(page) bool { return true })
	if err == nil || strings.Contains(err.Error(), "czNjcjN0") || code(err) != 500 {
		t.Errorf("got %v", err)
	}
}

type gapSink struct {
	nowhere
	gaps []evidence.Gap
}

func (s *gapSink) Gap(g evidence.Gap) { s.gaps = append(s.gaps, g) }

func FuzzParsePage(f *testing.F) {
	var text strings.Builder
	list := named("a", "b")
	raw, _ := list.Marshal()
	unknown, _ := (&runtime.Unknown{TypeMeta: runtime.TypeMeta{Kind: "ConfigMapList"}, Raw: raw}).Marshal()
	fmt.Fprintf(&text, "k8s\x00%s", unknown)
	f.Add([]byte(text.String()))
	f.Add([]byte(`{"kind":"ConfigMapList","items":[{}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := parsePage(body, "ConfigMapList")
		if err != nil {
			return
		}
		for _, item := range p.items {
			configMaps.decode(item, p.protobuf)
		}
	})
}
