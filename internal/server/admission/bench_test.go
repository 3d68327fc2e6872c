package admission

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newPipe() (io.Reader, io.WriteCloser) { return io.Pipe() }

// podReview is a request for a Pod as a Deployment makes them: two containers with
// variables, probes and volumes, managed fields, and a dozen findings.
func podReview(t testing.TB) []byte {
	t.Helper()
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: "web-7d9f-x2x4z", Namespace: "shop", GenerateName: "web-7d9f-", Labels: map[string]string{"app": "web", "pod-template-hash": "7d9f"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", Operation: "Update", APIVersion: "v1", FieldsType: "FieldsV1",
				FieldsV1: &metav1.FieldsV1{Raw: []byte(`{"f:spec":{` + strings.Repeat(`"f:a":{},`, 200) + `"f:b":{}}}`)}}}},
	}
	for i := range 2 {
		c := corev1.Container{Name: fmt.Sprintf("c%d", i), Image: "registry.example.com/web:1.2.3", Ports: []corev1.ContainerPort{{ContainerPort: 8080}},
			VolumeMounts: []corev1.VolumeMount{{Name: "cache", MountPath: "/cache"}, {Name: "kube-api-access-x", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}}}
		for j := range 20 {
			c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("SETTING_%d", j), Value: fmt.Sprintf("https://service-%d.shop.svc/path", j)})
		}
		pod.Spec.Containers = append(pod.Spec.Containers, c)
	}
	pod.Spec.Volumes = []corev1.Volume{{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		{Name: "kube-api-access-x", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}}}}}}
	object, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(admissionv1.AdmissionReview{TypeMeta: reviewType, Request: &admissionv1.AdmissionRequest{
		UID: "u-1", Operation: admissionv1.Create, Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, Namespace: "shop", Name: pod.Name,
		Object: runtime.RawExtension{Raw: object},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func benchJudge() *Judge {
	return NewJudge(Options{Deny: guide.Critical, Settings: check.Settings{Version: evidence.Newest()}})
}

// BenchmarkReview is one request without the network.
func BenchmarkReview(b *testing.B) {
	j, body := benchJudge(), podReview(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := j.Review(b.Context(), body); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkServer is a request over TLS and HTTP/2 on loopback, as API servers send
// them over one connection. It reports how long the client waits: from when it asks,
// where the next one asks as soon as it is answered, or from when it was to ask, where
// requests come at a rate.
func BenchmarkServer(b *testing.B) {
	b.Run("one-at-a-time", func(b *testing.B) { serve(b, 1, 0) })
	b.Run("four-at-a-time", func(b *testing.B) { serve(b, 4, 0) })
	b.Run("200-a-second", func(b *testing.B) { serve(b, 16, 5*time.Millisecond) })
}

func serve(b *testing.B, abreast int, every time.Duration) {
	p, err := makePair([]string{"127.0.0.1"}, time.Hour, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	l := listen(b)
	s := NewServer(benchJudge(), &Certificates{current: p}, slog.New(slog.DiscardHandler))
	go s.Serve(b.Context(), l)
	pool := x509.NewCertPool()
	pool.AddCert(p.authorities[0])
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	body := podReview(b)
	ask := func(began time.Time) time.Duration {
		answer, err := client.Post("https://"+l.Addr().String()+Path, "application/json", bytes.NewReader(body))
		if err != nil {
			b.Error(err)
			return 0
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			b.Errorf("status %d", answer.StatusCode)
		}
		return time.Since(began)
	}
	for range 200 {
		ask(time.Now())
	}
	times := make([]time.Duration, b.N)
	var running sync.WaitGroup
	b.ResetTimer()
	start := time.Now()
	for worker := range abreast {
		running.Go(func() {
			for i := worker; i < b.N; i += abreast {
				at := time.Now()
				if every > 0 {
					at = start.Add(time.Duration(i) * every)
					time.Sleep(time.Until(at))
				}
				times[i] = ask(at)
			}
		})
	}
	running.Wait()
	b.StopTimer()
	slices.Sort(times)
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50-µs", 0.5}, {"p99-µs", 0.99}} {
		b.ReportMetric(float64(times[int(q.at*float64(len(times)-1))].Microseconds()), q.name)
	}
}
