package apply

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gabion-k8s/gabion/internal/fix/patch"
)

// A registry plays an API server that has one ServiceAccount, or none: what it has is
// what it was given, and what is done to it.
type registry struct {
	has patch.Object
	// besides is what it puts into what it makes, refuses the status of what it refuses.
	besides func(patch.Object)
	refuses int
	// writes counts what was no dry run.
	writes int
}

func (s *registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(code int) {
		w.WriteHeader(code)
		io.WriteString(w, `{"kind":"Status","message":"no"}`)
	}
	dry := r.URL.Query().Get("dryRun") == "All"
	var body patch.Object
	if text, _ := io.ReadAll(r.Body); len(text) > 0 {
		body, _ = patch.Decode(text)
	}
	switch of := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/api/v1"); {
	case of == "GET ":
		io.WriteString(w, `{"kind":"APIResourceList","resources":[{"name":"serviceaccounts","kind":"ServiceAccount","namespaced":true}]}`)
	case s.refuses != 0 && r.Method != http.MethodGet:
		refuse(s.refuses)
	case of == "POST /namespaces/shop/serviceaccounts" && r.URL.Query().Get("fieldManager") == Manager && r.URL.Query().Get("fieldValidation") == "Strict":
		if s.has != nil {
			refuse(http.StatusConflict)
			return
		}
		metadata := body["metadata"].(map[string]any)
		metadata["uid"], metadata["resourceVersion"], metadata["creationTimestamp"] = "u1", "1", "2026-01-01T00:00:00Z"
		metadata["managedFields"] = []any{map[string]any{"manager": Manager, "operation": "Update", "fieldsV1": map[string]any{"f:automountServiceAccountToken": map[string]any{}}}}
		if s.besides != nil {
			s.besides(body)
		}
		if !dry {
			s.has = body
			s.writes++
		}
		w.WriteHeader(http.StatusCreated)
		json.NewEncoder(w).Encode(body)
	case of != "GET /namespaces/shop/serviceaccounts/web" && of != "DELETE /namespaces/shop/serviceaccounts/web":
		http.Error(w, "no", http.StatusTeapot)
	case s.has == nil:
		refuse(http.StatusNotFound)
	case r.Method == http.MethodGet:
		json.NewEncoder(w).Encode(s.has)
	case body.Text("preconditions", "uid") != s.has.Text("metadata", "uid") || body.Text("preconditions", "resourceVersion") != s.has.Text("metadata", "resourceVersion"):
		refuse(http.StatusConflict)
	default:
		if !dry {
			s.has = nil
			s.writes++
		}
		io.WriteString(w, `{"kind":"Status","status":"Success"}`)
	}
}

const own = `{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"web","namespace":"shop"},"automountServiceAccountToken":false}`

// A new object is made after a dry run, just as it is written, and only where there is none.
func TestNew(t *testing.T) {
	for _, c := range []struct {
		name     string
		server   registry
		want     string // the error
		unproven bool
	}{
		{"as it is written", registry{}, "", false},
		{"with more", registry{besides: func(o patch.Object) { o["secrets"] = []any{map[string]any{"name": "x"}} }}, "would also change .secrets", false},
		{"with another token", registry{besides: func(o patch.Object) { o["automountServiceAccountToken"] = true }}, "would also change .automountServiceAccountToken", false},
		{"one is there", registry{has: patch.Object{}}, "somebody else has made it since", false},
		{"may not", registry{refuses: http.StatusForbidden}, "", true},
		{"invalid", registry{refuses: http.StatusUnprocessableEntity}, "answered 422: no", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := at(t, &c.server)
			object := decoded(t, own)
			trial, err := client.TryNew(t.Context(), object, "Deployment shop/web")
			if c.server.writes > 0 {
				t.Fatal("the dry run wrote")
			}
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %s", err, c.want)
				}
				return
			}
			if err != nil || (trial.Unproven != "") != c.unproven {
				t.Fatalf("%+v %v", trial, err)
			}
			if err := client.Do(t.Context(), trial); (err != nil) != c.unproven || (c.server.has == nil) != c.unproven {
				t.Errorf("%v %v", err, c.server.has)
			}
		})
	}
}

// What was made is deleted just where it still is what it was, and nobody else's.
func TestUnmake(t *testing.T) {
	set := func(path string, v any) func(*registry) {
		return func(s *registry) {
			o := map[string]any(s.has)
			if below, ok := strings.CutPrefix(path, "metadata."); ok {
				o, path = o["metadata"].(map[string]any), below
			}
			o[path] = v
		}
	}
	for _, c := range []struct {
		name   string
		change func(*registry)
		left   int
		gone   bool
		want   string // the error
	}{
		{"as it was made", func(*registry) {}, 0, true, ""},
		{"gone already", func(s *registry) { s.has = nil }, 0, true, ""},
		{"with a label", set("metadata.labels", map[string]any{"a": "b"}), 1, false, ""},
		{"with a token", set("automountServiceAccountToken", true), 1, false, ""},
		{"applied by somebody else", set("metadata.managedFields", []any{map[string]any{"manager": "argo", "operation": "Apply", "fieldsV1": map[string]any{"f:automountServiceAccountToken": map[string]any{}}}}), 0, false, "argo has applied it"},
		{"may not", func(s *registry) { s.refuses = http.StatusForbidden }, 0, false, "may not"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &registry{}
			client := at(t, s)
			trial, err := client.TryNew(t.Context(), decoded(t, own), "Deployment shop/web")
			if err != nil {
				t.Fatal(err)
			}
			way := &WayBack{Cluster: Cluster{UID: "c"}}
			way.Add(trial)
			if err := client.Do(t.Context(), trial); err != nil {
				t.Fatal(err)
			}
			file := t.TempDir() + "/undo.json"
			if err := way.Write(file); err != nil {
				t.Fatal(err)
			}
			c.change(s)
			o, err := client.Undo(t.Context(), readWayBack(t, file).Objects[0])
			if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
			if len(o.Left) != c.left || (s.has == nil) != c.gone || o.Deleted != (c.gone && s.writes == 2) {
				t.Errorf("%+v, there is %v", o, s.has)
			}
		})
	}
}

// A file that says something else than what fix makes is refused.
func TestMadeIsValid(t *testing.T) {
	for _, bad := range []string{
		`{"apiVersion":"v1","kind":"ServiceAccount","name":"web","namespace":"shop"}`,
		`{"apiVersion":"v1","kind":"ServiceAccount","name":"web","namespace":"shop","uid":"u","made":` + own + `}`,
		`{"apiVersion":"v1","kind":"ServiceAccount","name":"other","namespace":"shop","made":` + own + `}`,
		`{"apiVersion":"v1","kind":"Secret","name":"web","namespace":"shop","made":` + own + `}`,
		`{"apiVersion":"v2","kind":"ServiceAccount","name":"web","namespace":"shop","made":` + own + `}`,
		`{"apiVersion":"v1","kind":"ServiceAccount","name":"web","namespace":"shop","made":` + own + `,"changes":[{"path":["a"],"after":1}]}`,
	} {
		text := `{"apiVersion":"gabion.dev/v1","kind":"FixUndo","cluster":{"name":"c","uid":"c"},"objects":[` + bad + `]}`
		if w, err := ReadWayBack(strings.NewReader(text)); err == nil {
			t.Errorf("%s: %+v", bad, w)
		}
	}
}

func at(t *testing.T, s http.Handler) *Client {
	t.Helper()
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	base, err := url.Parse(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	return NewClient(h.Client(), base, time.Minute, "test")
}

func decoded(t *testing.T, text string) patch.Object {
	t.Helper()
	o, err := patch.Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func readWayBack(t *testing.T, file string) *WayBack {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w, err := ReadWayBack(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return w
}
