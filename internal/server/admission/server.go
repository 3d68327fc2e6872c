package admission

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Path is where requests for admission are answered.
const Path = "/admit"

const (
	// largestBody holds the largest object that an API server takes, 3 MiB, twice: as
	// it is to be and as it was.
	largestBody = 8 << 20
	// longestRead is how long a request may take to arrive. API servers are near.
	longestRead = 5 * time.Second
	// longestQueue is how long a request waits for others to be judged.
	longestQueue = time.Second
	// longestJudgement bounds one request, within the 10 seconds that any API server
	// waits.
	longestJudgement = 5 * time.Second
)

// A Server answers API servers.
type Server struct {
	judge        *Judge
	certificates *Certificates
	log          *slog.Logger
	slots        chan struct{}
	stopping     atomic.Bool
	// Drain is how long requests are still taken after it said that it is not ready
	// any more, so that nobody is sent here when it stops.
	Drain time.Duration
}

// NewServer returns a Server. The Certificates are to be kept by somebody else.
func NewServer(j *Judge, c *Certificates, log *slog.Logger) *Server {
	return &Server{judge: j, certificates: c, log: log, slots: make(chan struct{}, 4*runtime.GOMAXPROCS(0))}
}

// Serve answers until the context ends, and then until all requests have been
// answered.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler: s.Handler(),
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: s.certificates.get,
		},
		ReadHeaderTimeout: longestRead, WriteTimeout: longestRead + longestQueue + longestJudgement, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		// What a peer does wrong is not worth a line each time.
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ServeTLS(l, "", "") }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve admission: %w", err)
	case <-ctx.Done():
	}
	s.stopping.Store(true)
	s.log.Info("not ready any more: stopping", "drain", s.Drain)
	time.Sleep(s.Drain)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), longestJudgement+longestQueue+longestRead)
	defer cancel()
	if err := server.Shutdown(end); err != nil {
		return fmt.Errorf("stop admission: %w", err)
	}
	return nil
}

// Handler returns what answers requests for admission, and whether it lives and is
// ready.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+Path, s.admit)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}

// Ready says why requests should go elsewhere, nil if they may come.
func (s *Server) Ready() error {
	if s.stopping.Load() {
		return errors.New("stopping")
	}
	return s.certificates.Ready()
}

// A refusal is an answer that is no AdmissionReview.
type refusal struct {
	code int
	text string
}

func (r refusal) Error() string { return r.text }

// admit answers one request. A panic is a fault of ours: the log has all of it, and
// the API server does what its failure policy says.
func (s *Server) admit(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("a fault of the program itself", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			http.Error(w, "a fault of the program itself: see its log", http.StatusInternalServerError)
		}
	}()
	answer, err := s.answer(w, r)
	if refused, ok := errors.AsType[refusal](err); ok {
		if refused.code == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		http.Error(w, refused.text, refused.code)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(answer)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, refusal{http.StatusUnsupportedMediaType, "want application/json"}
	}
	if r.Header.Get("Content-Encoding") != "" {
		return nil, refusal{http.StatusUnsupportedMediaType, "want no Content-Encoding"}
	}
	release, err := s.queue(r.Context())
	if err != nil {
		return nil, err
	}
	defer release()
	body, err := s.read(w, r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), longestJudgement)
	defer cancel()
	review, request, err := s.judge.Review(ctx, body)
	switch {
	case err != nil && request == nil:
		return nil, refusal{http.StatusBadRequest, err.Error()}
	case err != nil:
		s.log.Error("not judged", "uid", request.UID, "kind", request.Kind.Kind, "namespace", request.Namespace, "name", request.Name, "error", err)
		return nil, err
	}
	if !review.Response.Allowed {
		s.log.Info("denied", "uid", request.UID, "operation", request.Operation, "kind", request.Kind.Kind,
			"namespace", request.Namespace, "name", request.Name, "why", review.Response.Result.Message)
	}
	return encode(review)
}

// queue waits for a place among those that are judged at the same time.
func (s *Server) queue(ctx context.Context) (release func(), err error) {
	timeout := time.NewTimer(longestQueue)
	defer timeout.Stop()
	select {
	case s.slots <- struct{}{}:
		return func() { <-s.slots }, nil
	case <-timeout.C:
		return nil, refusal{http.StatusServiceUnavailable, "too many requests at a time"}
	case <-ctx.Done():
		return nil, refusal{http.StatusServiceUnavailable, "the request was given up"}
	}
}

// read reads a body, which may neither be large nor take long.
func (s *Server) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	// Not all writers have deadlines; those of a connection do.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(longestRead))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, largestBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("more than %d bytes", largestBody)}
	}
	if err != nil {
		return nil, refusal{http.StatusBadRequest, "the body broke off"}
	}
	return body, nil
}
