package apply

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gabion-k8s/gabion/internal/fix/patch"
)

// A server plays an API server with one Deployment: it does with a patch what it is told
// to here, not what a real one would.
type server struct {
	object patch.Object
	// answers are those to patches, one after the other; after them comes the last again.
	answers []func(w http.ResponseWriter, s *server)
	// writes are the patches that were no dry run, tries those that were.
	writes, tries []map[string]any
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/apis/apps/v1":
		io.WriteString(w, `{"kind":"APIResourceList","resources":[{"name":"deployments/scale","kind":"Scale","namespaced":true},{"name":"deployments","kind":"Deployment","namespaced":true}]}`)
	case r.URL.Path != "/apis/apps/v1/namespaces/shop/deployments/web":
		http.NotFound(w, r)
	case r.Method == http.MethodGet:
		json.NewEncoder(w).Encode(s.object)
	case r.Method == http.MethodPatch && r.URL.Query().Get("fieldManager") == Manager:
		var body map[string]any
		json.NewDecoder(r.Body).Decode(&body)
		if r.URL.Query().Get("dryRun") == "All" {
			s.tries = append(s.tries, body)
		} else {
			s.writes = append(s.writes, body)
		}
		answer := s.answers[0]
		if len(s.answers) > 1 {
			s.answers = s.answers[1:]
		}
		answer(w, s)
	default:
		http.Error(w, "no", http.StatusTeapot)
	}
}

// says answers with the object in which a text is another one.
func says(old, new string) func(http.ResponseWriter, *server) {
	return func(w http.ResponseWriter, s *server) {
		text, _ := json.Marshal(s.object)
		io.WriteString(w, strings.Replace(string(text), old, new, 1))
	}
}

func status(code int, text string) func(http.ResponseWriter, *server) {
	return func(w http.ResponseWriter, _ *server) {
		w.WriteHeader(code)
		io.WriteString(w, text)
	}
}

// modified answers that the object has changed, which it has by then.
func modified(old, new string) func(http.ResponseWriter, *server) {
	return func(w http.ResponseWriter, s *server) {
		text, _ := json.Marshal(s.object)
		s.object, _ = patch.Decode([]byte(strings.Replace(string(text), old, new, 1)))
		status(409, `{"kind":"Status","message":"the object has been modified"}`)(w, s)
	}
}

const web = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop","uid":"u1","resourceVersion":"7","generation":2},"spec":{"paused":true,"replicas":1},"status":{"replicas":1}}`

func start(t *testing.T, answers ...func(http.ResponseWriter, *server)) (*server, *Client) {
	t.Helper()
	object, err := patch.Decode([]byte(web))
	if err != nil {
		t.Fatal(err)
	}
	s := &server{object: object, answers: answers}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	base, err := url.Parse(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	return s, NewClient(h.Client(), base, time.Minute, "test")
}

// wanted is the change that is tried: the Deployment is paused no longer.
func wanted(t *testing.T) (patch.Object, []patch.Difference) {
	t.Helper()
	before, err := patch.Decode([]byte(web))
	if err != nil {
		t.Fatal(err)
	}
	after := maps.Clone(before)
	after["spec"] = map[string]any{"paused": "no", "replicas": before["spec"].(map[string]any)["replicas"]}
	return before, patch.Compare(before, patch.Object(after))
}

func TestTry(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(http.ResponseWriter, *server)
		judged string // as it was judged, of the object
		want   string
	}{
		{"as it was wanted", says(`"paused":true`, `"paused":"no"`), "", ""},
		{"more than was wanted", says(`"paused":true,"replicas":1`, `"paused":"no","replicas":3`), "", "would also change .spec.replicas from 1 to 3"},
		{"something else", says(`"paused":true`, `"paused":"yes"`), "", `would set .spec.paused to "yes" instead of "no"`},
		{"nothing", says(`x`, `y`), "", "would not set .spec.paused"},
		{"invalid", status(422, `{"kind":"Status","message":"spec.paused: Invalid"}`), "", "answered 422: spec.paused: Invalid"},
		{"no object", status(200, `[]`), "", "something that is not an object"},
		{"a conflict", status(409, `{"kind":"Status","message":"x","details":{"causes":[{"reason":"FieldManagerConflict","message":"conflict with \"argo\" using apps/v1","field":".spec.paused"}]}}`), "", ".spec.paused is set by the field manager argo"},
		{"another version", says(`x`, `y`), strings.Replace(strings.Replace(web, `"7"`, `"6"`, 1), `"generation":2`, `"generation":1`, 1), "changed since it was judged"},
		{"another object", says(`x`, `y`), strings.Replace(web, "u1", "u0", 1), "changed since it was judged"},
		{"another status", says(`"paused":true`, `"paused":"no"`), strings.Replace(web, `"7"`, `"6"`, 1), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, client := start(t, c.answer)
			judged, change := wanted(t)
			if c.judged != "" {
				var err error
				if judged, err = patch.Decode([]byte(c.judged)); err != nil {
					t.Fatal(err)
				}
			}
			trial, err := client.Try(t.Context(), judged, change, false)
			switch {
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %s", err, c.want)
			case c.want == "" && (err != nil || trial.Unproven != "" || len(trial.Changes) != 1):
				t.Errorf("%+v %v", trial, err)
			}
			if len(s.writes) > 0 {
				t.Errorf("it was written: %v", s.writes)
			}
			for _, body := range s.tries {
				metadata := body["metadata"].(map[string]any)
				if metadata["uid"] != "u1" || metadata["resourceVersion"] != "7" {
					t.Errorf("not for this version of the object alone: %v", metadata)
				}
			}
		})
	}
}

// Who may not try gets the patch, unproven, and cannot make it.
func TestForbidden(t *testing.T) {
	s, client := start(t, status(403, `{"kind":"Status","message":"no"}`))
	judged, change := wanted(t)
	trial, err := client.Try(t.Context(), judged, change, false)
	if err != nil || trial.Unproven == "" {
		t.Fatalf("%+v %v", trial, err)
	}
	if client.Do(t.Context(), trial) == nil || len(s.writes) > 0 {
		t.Error("what was not proven was made")
	}
}

// A newer status is no reason not to write, a newer spec is; and what comes of it is
// compared with what was foretold.
func TestDo(t *testing.T) {
	as := says(`"paused":true`, `"paused":"no"`)
	for _, c := range []struct {
		name   string
		answer []func(http.ResponseWriter, *server)
		writes int
		want   string
	}{
		{"at once", []func(http.ResponseWriter, *server){as, as}, 1, ""},
		{"after a new status", []func(http.ResponseWriter, *server){as, modified(`"7"`, `"8"`), as}, 2, ""},
		{"after a new spec", []func(http.ResponseWriter, *server){as, modified(`"generation":2,"name":"web","namespace":"shop","resourceVersion":"7"`, `"generation":3,"name":"web","namespace":"shop","resourceVersion":"8"`), as}, 1, "changed since it was tried"},
		{"after a new label", []func(http.ResponseWriter, *server){as, modified(`"resourceVersion":"7"`, `"resourceVersion":"8","labels":{"a":"b"}`), as}, 1, "changed since it was tried"},
		{"again and again", []func(http.ResponseWriter, *server){as, modified(`x`, `y`)}, maxTries, "has changed meanwhile"},
		{"not as foretold", []func(http.ResponseWriter, *server){as, says(`"paused":true`, `"paused":"maybe"`)}, 1, "not as the dry run said"},
		{"gone", []func(http.ResponseWriter, *server){as, status(404, `{"kind":"Status","message":"not found"}`)}, 1, "is not there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, client := start(t, c.answer...)
			judged, change := wanted(t)
			trial, err := client.Try(t.Context(), judged, change, false)
			if err != nil {
				t.Fatal(err)
			}
			err = client.Do(t.Context(), trial)
			if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) || len(s.writes) != c.writes {
				t.Errorf("%v after %d writes, want %q after %d", err, len(s.writes), c.want, c.writes)
			}
		})
	}
}

// What an Undo would bring back is tried first; an object that was made anew is not touched.
func TestUndo(t *testing.T) {
	_, change := wanted(t)
	entry := Entry{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web", UID: "u1", Changes: change}
	unpaused := func(s *server) {
		text, _ := json.Marshal(s.object)
		s.object, _ = patch.Decode([]byte(strings.Replace(string(text), `"paused":true`, `"paused":"no"`, 1)))
	}

	s, client := start(t, says(`"paused":"no"`, `"paused":true`))
	unpaused(s)
	if o, err := client.Undo(t.Context(), entry); err != nil || o.Undone != 1 || o.Nothing || len(s.tries) != 1 || len(s.writes) != 1 {
		t.Errorf("%+v %v %v", o, err, s)
	}
	s, client = start(t, says(`"paused":"no"`, `"paused":"other"`))
	unpaused(s)
	if _, err := client.Undo(t.Context(), entry); err == nil || len(s.writes) > 0 {
		t.Errorf("%v %v", err, s.writes)
	}
	s, client = start(t, says(`x`, `y`))
	if o, err := client.Undo(t.Context(), entry); err != nil || !o.Nothing || len(s.tries)+len(s.writes) > 0 {
		t.Errorf("%+v %v", o, err)
	}
	entry.UID = "u0"
	if _, err := client.Undo(t.Context(), entry); err == nil || !strings.Contains(err.Error(), "made anew") {
		t.Errorf("%v", err)
	}
	entry.Name = "other"
	if _, err := client.Undo(t.Context(), entry); !errors.Is(err, ErrGone) {
		t.Errorf("%v", err)
	}
}

// What is written is read again; what is none of it is an error.
func TestWayBack(t *testing.T) {
	_, change := wanted(t)
	way := &WayBack{Cluster: Cluster{"test", "c1"}, Objects: []Entry{{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web", UID: "u1", Changes: change}}}
	file := filepath.Join(t.TempDir(), "undo.json")
	if err := way.Write(file); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ReadWayBack(bytes.NewReader(text))
	if err != nil || len(again.Objects) != 1 || again.Cluster != way.Cluster || !again.Objects[0].Changes[0].Equal(change[0]) {
		t.Fatalf("%+v %v", again, err)
	}
	for _, bad := range []string{
		"", "{}", "[]", strings.Replace(string(text), "FixUndo", "FixReport", 1), strings.Replace(string(text), `"c1"`, `""`, 1),
		strings.Replace(string(text), `"paused"`, `"status"`, 1)[:len(text)/2], strings.Replace(string(text), `"spec"`, `{"name":"x"}`, 1), strings.Replace(string(text), `"uid": "u1"`, `"uid": ""`, 1),
	} {
		if _, err := ReadWayBack(strings.NewReader(bad)); err == nil {
			t.Errorf("taken: %s", bad)
		}
	}
}
