package admission_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/server/admission"
)

// review is what an API server sends.
func review(t testing.TB, r *admissionv1.AdmissionRequest) []byte {
	t.Helper()
	text, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: r,
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func newJudge(deny guide.Severity) *admission.Judge {
	return admission.NewJudge(admission.Options{Deny: deny, Settings: check.Settings{Version: evidence.Newest()}})
}

// handler answers with a judge, and logs into a buffer.
func handler(j *admission.Judge) (http.Handler, *bytes.Buffer) {
	log := &bytes.Buffer{}
	return admission.NewServer(j, &admission.Certificates{}, slog.New(slog.NewJSONHandler(log, nil))).Handler(), log
}

func post(h http.Handler, body io.Reader, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", admission.Path, body)
	r.Header.Set("Content-Type", "application/json")
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func answer(t testing.TB, w *httptest.ResponseRecorder) *admissionv1.AdmissionResponse {
	t.Helper()
	var out admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != http.StatusOK || out.Response == nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if out.APIVersion != "admission.k8s.io/v1" || out.Kind != "AdmissionReview" || out.Response.UID != "u-1" {
		t.Errorf("answered with %+v", out)
	}
	return out.Response
}

func TestAnswer(t *testing.T) {
	privileged := with(plain, "web:1}", "web:1, securityContext: {privileged: true}}")
	h, log := handler(newJudge(guide.Critical))
	got := answer(t, post(h, bytes.NewReader(review(t, request(t, "CREATE", privileged, ""))), nil))
	const want = `privileged-container (critical) at spec.containers[0].securityContext.privileged: container "web" runs privileged: `
	if got.Allowed || got.Result.Code != http.StatusForbidden || !strings.HasPrefix(got.Result.Message, want) || len(got.Result.Message) < len(want)+10 {
		t.Errorf("denied with %+v", got.Result)
	}
	if len(got.Warnings) == 0 || got.Patch != nil {
		t.Errorf("warnings %q, patch %s", got.Warnings, got.Patch)
	}
	if !strings.Contains(log.String(), `"name":"web"`) {
		t.Errorf("nothing is logged of a denial: %s", log)
	}
	h, _ = handler(newJudge(0))
	if got := answer(t, post(h, bytes.NewReader(review(t, request(t, "CREATE", privileged, ""))), nil)); !got.Allowed || got.Result != nil || !strings.HasPrefix(got.Warnings[0], want) {
		t.Errorf("warned with %+v", got)
	}
}

// However much is wrong, and whatever the names are, warnings are such as an API server
// passes on.
func TestBounds(t *testing.T) {
	var pod strings.Builder
	pod.WriteString("apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\nspec:\n  containers:\n")
	for i := range 300 {
		fmt.Fprintf(&pod, "  - {name: \"%d\\n\\u0007\\u202e%s\", image: i, securityContext: {privileged: true}}\n", i, strings.Repeat("é", 300))
	}
	for _, deny := range []guide.Severity{0, guide.Info} {
		h, _ := handler(newJudge(deny))
		got := answer(t, post(h, bytes.NewReader(review(t, request(t, "CREATE", pod.String(), ""))), nil))
		texts := got.Warnings
		if deny != 0 {
			texts = append(texts, got.Result.Message)
			if n := utf8.RuneCountInString(got.Result.Message); n > 2200 || !strings.HasSuffix(got.Result.Message, "gabion scan tells all of them") {
				t.Errorf("a message of %d characters: %q", n, got.Result.Message)
			}
		} else if len(texts) == 0 {
			t.Error("no warnings")
		}
		total := 0
		for _, text := range got.Warnings {
			total += utf8.RuneCountInString(text)
			if utf8.RuneCountInString(text) > 256 {
				t.Errorf("too long: %q", text)
			}
		}
		if total > 4096 {
			t.Errorf("%d characters of warnings", total)
		}
		for _, text := range texts {
			if strings.ContainsAny(text, "\n\a\u202e") || !utf8.ValidString(text) {
				t.Errorf("not printable: %q", text)
			}
		}
	}
}

// What no API server sends is refused without harm.
func TestHostile(t *testing.T) {
	good := string(review(t, request(t, "CREATE", plain, "")))
	object := func(text string) string {
		return `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1","operation":"CREATE","kind":{"group":"","version":"v1","kind":"Pod"},"object":` + text + `}}`
	}
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	h, _ := handler(newJudge(guide.Low))
	for name, test := range map[string]struct {
		body   string
		change func(*http.Request)
		want   int
	}{
		"empty":            {"", nil, 400},
		"null":             {"null", nil, 400},
		"array":            {"[]", nil, 400},
		"truncated":        {good[:len(good)/2], nil, 400},
		"more behind":      {good + "{}", nil, 400},
		"twice":            {strings.Replace(good, `"request":`, `"request":null,"request":`, 1), nil, 400},
		"other version":    {strings.Replace(good, "admission.k8s.io/v1", "admission.k8s.io/v1beta1", 1), nil, 400},
		"other kind":       {strings.Replace(good, "AdmissionReview", "TokenReview", 1), nil, 400},
		"no request":       {`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, nil, 400},
		"no uid":           {strings.Replace(good, `"uid":"u-1"`, `"uid":""`, 1), nil, 400},
		"deep":             {deep(200_000), nil, 400},
		"deep object":      {object(deep(9000)), nil, 200}, // fields that no Pod has
		"too deep object":  {object(deep(200_000)), nil, 400},
		"no object":        {object("null"), nil, 500},
		"object of a list": {object("[1]"), nil, 500},
		"wrong type":       {object(`{"spec":{"containers":"all"}}`), nil, 500},
		"large":            {strings.Repeat(" ", 9<<20), nil, 413},
		"text":             {good, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415},
		"no type":          {good, func(r *http.Request) { r.Header.Del("Content-Type") }, 415},
		"gzip":             {good, func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, 415},
		"get":              {"", func(r *http.Request) { r.Method = "GET" }, 405},
		"elsewhere":        {good, func(r *http.Request) { r.URL.Path = "/" }, 404},
		"charset":          {good, func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-8") }, 200},
	} {
		t.Run(name, func(t *testing.T) {
			if w := post(h, strings.NewReader(test.body), test.change); w.Code != test.want {
				t.Errorf("%d %.200s, want %d", w.Code, w.Body, test.want)
			}
		})
	}
}

// Neither the log nor the answer holds what is secret.
func TestNoSecrets(t *testing.T) {
	h, log := handler(newJudge(guide.Info))
	for _, object := range []string{
		"{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: shop}, stringData: {password: Wint3rTr33}}",
		"{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: shop}, stringData: {password: [Wint3rTr33]}}",
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: s, namespace: shop}, data: {password: Wint3rTr33}}",
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: s, namespace: shop}, data: {password: [Wint3rTr33]}}",
		"{apiVersion: v1, kind: Pod, metadata: {name: s, namespace: shop}, spec: {containers: [{name: c, image: i, env: [{name: PASSWORD, value: Wint3rTr33}], args: [--password=Wint3rTr33]}]}}",
	} {
		w := post(h, bytes.NewReader(review(t, request(t, "CREATE", object, ""))), nil)
		if strings.Contains(w.Body.String(), "Wint3r") {
			t.Errorf("answered %s", w.Body)
		}
	}
	if strings.Contains(log.String(), "Wint3r") || !strings.Contains(log.String(), "denied") {
		t.Errorf("logged %s", log)
	}
}

// A fault of a rule costs the one request, and the log has all of it.
func TestPanic(t *testing.T) {
	broken := *admission.Rules()[0]
	broken.Run = func(*check.Run) { panic("out of order") }
	h, log := handler(admission.NewJudge(admission.Options{Rules: []*check.Check{&broken}}))
	w := post(h, bytes.NewReader(review(t, request(t, "CREATE", plain, ""))), nil)
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "out of order") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "out of order") || !strings.Contains(log.String(), "server_test.go") {
		t.Errorf("logged %s", log)
	}
	if w := post(h, strings.NewReader("{}"), nil); w.Code != http.StatusBadRequest {
		t.Errorf("afterwards %d", w.Code)
	}
}

// So many are judged at a time, others wait a moment and are sent away.
func TestQueue(t *testing.T) {
	t.Parallel()
	slow := *admission.Rules()[0]
	started, release := make(chan struct{}, 1000), make(chan struct{})
	slow.Run = func(*check.Run) { started <- struct{}{}; <-release }
	h, _ := handler(admission.NewJudge(admission.Options{Rules: []*check.Check{&slow}}))
	body := review(t, request(t, "CREATE", plain, ""))
	slots := 4 * runtime.GOMAXPROCS(0)
	var running sync.WaitGroup
	codes := make(chan int, slots)
	for range slots {
		running.Go(func() { codes <- post(h, bytes.NewReader(body), nil).Code })
	}
	for range slots {
		<-started
	}
	if w := post(h, bytes.NewReader(body), nil); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("one too many: %d", w.Code)
	}
	given, cancel := context.WithCancel(t.Context())
	cancel()
	if w := post(h, bytes.NewReader(body), func(r *http.Request) { *r = *r.WithContext(given) }); w.Code != http.StatusServiceUnavailable {
		t.Errorf("one that was given up: %d", w.Code)
	}
	close(release)
	running.Wait()
	for range slots {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("one of those that were first: %d", code)
		}
	}
}

func FuzzReview(f *testing.F) {
	for _, object := range []string{plain, with(plain, "web:1}", "web:1, securityContext: {privileged: true}}"),
		"{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: web}, spec: {template: {spec: {containers: [{name: web, image: i}]}}}}",
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: s, namespace: shop}, data: {password: Wint3rTr33}}"} {
		f.Add(review(f, request(f, "CREATE", object, "")))
		f.Add(review(f, request(f, "UPDATE", object, plain)))
	}
	j := newJudge(guide.Low)
	f.Fuzz(func(t *testing.T, body []byte) {
		out, request, err := j.Review(t.Context(), body)
		switch {
		case err != nil && out != nil, err == nil && (out == nil || request == nil):
			t.Errorf("%v and %v", out, err)
		case err == nil && (out.Response.UID != request.UID || out.Response.Allowed != (out.Response.Result == nil)):
			t.Errorf("answered %+v", out.Response)
		}
	})
}
