//go:build cluster

package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/gabion-k8s/gabion/test/cluster"
)

// A webhookAddress stands for a Service: whoever connects gets to one of the replicas that
// say they are ready.
type webhookAddress struct {
	net.Listener
	replicas []*webhookReplica
	next     atomic.Int64
	// connections are those that the API server made, and refused those for which
	// nobody was ready.
	connections, refused atomic.Int64
}

func newWebhookAddress(t *testing.T) *webhookAddress {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := &webhookAddress{Listener: l}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			a.connections.Add(1)
			go a.forward(c)
		}
	}()
	return a
}

func (a *webhookAddress) forward(c net.Conn) {
	defer c.Close()
	for range a.replicas {
		r := a.replicas[int(a.next.Add(1))%len(a.replicas)]
		if !r.ready.Load() {
			continue
		}
		to, err := net.Dial("tcp", r.address)
		if err != nil {
			continue
		}
		defer to.Close()
		go func() {
			io.Copy(to, c)
			to.(*net.TCPConn).CloseWrite()
		}()
		io.Copy(c, to)
		return
	}
	a.refused.Add(1)
}

// A webhookReplica is one process of the webhook, started again and again on its own port.
type webhookReplica struct {
	address string
	args    []string
	ready   atomic.Bool

	mutex   sync.Mutex
	cmd     *exec.Cmd
	log     bytes.Buffer
	serials map[string]bool
}

func newWebhookReplica(t *testing.T, args ...string) *webhookReplica {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &webhookReplica{address: l.Addr().String(), serials: map[string]bool{}}
	l.Close()
	r.args = append([]string{"serve", "--admission", r.address}, args...)
	go r.watch(t)
	return r
}

// watch asks whether the replica is ready, as a kubelet does, but more often.
func (r *webhookReplica) watch(t *testing.T) {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			cert, err := x509.ParseCertificate(raw[0])
			if err != nil {
				return err
			}
			r.mutex.Lock()
			defer r.mutex.Unlock()
			r.serials[cert.SerialNumber.String()] = true
			return nil
		}},
	}}
	for t.Context().Err() == nil {
		answer, err := client.Get("https://" + r.address + "/readyz")
		if err == nil {
			answer.Body.Close()
		}
		r.ready.Store(err == nil && answer.StatusCode == http.StatusOK)
		time.Sleep(50 * time.Millisecond)
	}
}

func (r *webhookReplica) start(t *testing.T) error {
	cmd := exec.Command(filepath.Join(plugin(t), "kubectl-gabion"), r.args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = &r.log
	if err := cmd.Start(); err != nil {
		return err
	}
	r.cmd = cmd
	for end := time.Now().Add(30 * time.Second); !r.ready.Load(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%s does not get ready", r.address)
		}
	}
	return nil
}

// stop ends the process as a kubelet does and waits for it.
func (r *webhookReplica) stop() error {
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := r.cmd.Wait(); err != nil {
		return err
	}
	for r.ready.Load() {
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

func webhookPod(name string, privileged bool) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "main", Image: "registry.example.com/main:1", SecurityContext: &corev1.SecurityContext{Privileged: &privileged},
	}}}}
}

// isWebhookDenial reports whether an error is the webhook's own answer.
func isWebhookDenial(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), `admission webhook "admission.gabion.dev" denied the request: privileged-container (critical) at spec.containers[0]`)
}

// Two thousand pods are created while two replicas are restarted one after the other
// and change their certificates, with a failure policy that lets nothing pass unseen:
// every faulty one is refused by the webhook, every good one is admitted at the first
// attempt. Then nobody is there, and only the namespaces that are left alone go on.
func TestAdmissionWebhook(t *testing.T) {
	c := cluster.Start(t, cluster.Options{NoScheduler: true})
	client := kubernetes.NewForConfigOrDie(c.Config())
	applyText(t, c, "apiVersion: v1\nkind: Namespace\nmetadata: {name: load}\n")
	c.Kubectl(t, "apply", "-f", "../../deploy/admission")
	for _, ns := range []string{"load", "gabion-system", "kube-system", "kube-public", "kube-node-lease"} {
		eventually(t, "the default ServiceAccount of "+ns, func() error {
			_, err := client.CoreV1().ServiceAccounts(ns).Get(t.Context(), "default", metav1.GetOptions{})
			return err
		})
	}
	pods := client.CoreV1().Pods("load")
	if _, err := pods.Create(t.Context(), webhookPod("from-before", true), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}

	service := newWebhookAddress(t)
	url := "https://" + service.Addr().String() + "/admit"
	printed := exec.Command(filepath.Join(plugin(t), "kubectl-gabion"), "serve", "--print-webhook-configuration", "--manage-webhook-configuration",
		"--failure-policy", "Fail", "--admission-url", url, "--webhook-timeout", "5")
	manifests, err := printed.Output()
	if err != nil {
		t.Fatal(err)
	}
	applyText(t, c, string(manifests))
	// The rights that were printed have to do.
	account := c.ServiceAccount(t, "gabion-system", "gabion-admission")
	for range 2 {
		service.replicas = append(service.replicas, newWebhookReplica(t, "--kubeconfig", account.Kubeconfig, "--manage-webhook-configuration",
			"--admission-url", url, "--deny", "high", "--rule", "privileged-container", "--certificate-lifetime", "10s", "--shutdown-delay", "1s"))
	}
	for _, r := range service.replicas {
		t.Cleanup(func() {
			if r.cmd != nil && r.cmd.ProcessState == nil {
				r.cmd.Process.Kill()
				r.cmd.Wait()
			}
			if t.Failed() {
				t.Log(r.log.String())
			}
		})
		if err := r.start(t); err != nil {
			t.Fatal(err)
		}
	}

	restarts, done, stopped := 0, make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			for _, r := range service.replicas {
				select {
				case <-done:
					stopped <- nil
					return
				case <-time.After(time.Second):
				}
				if err := r.stop(); err != nil {
					stopped <- fmt.Errorf("stop: %w", err)
					return
				}
				if err := r.start(t); err != nil {
					stopped <- err
					return
				}
				restarts++
			}
		}
	}()
	const creations = 2000
	began := time.Now()
	var next, denied, admitted atomic.Int64
	var creating sync.WaitGroup
	for range 4 {
		creating.Go(func() {
			for i := next.Add(1); i <= creations; i = next.Add(1) {
				faulty := i%2 == 0
				_, err := pods.Create(t.Context(), webhookPod(fmt.Sprintf("pod-%04d", i), faulty), metav1.CreateOptions{})
				switch {
				case faulty && isWebhookDenial(err):
					denied.Add(1)
				case !faulty && err == nil:
					admitted.Add(1)
				default:
					t.Errorf("pod %d, faulty: %v: %v", i, faulty, err)
				}
				time.Sleep(50 * time.Millisecond) // so that there are restarts in between
			}
		})
	}
	creating.Wait()
	took := time.Since(began)
	close(done)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	list, err := pods.List(t.Context(), metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		t.Fatal(err)
	}
	stored := 0
	for _, p := range list.Items {
		if *p.Spec.Containers[0].SecurityContext.Privileged && p.Name != "from-before" {
			t.Errorf("%s was stored", p.Name)
		}
		if p.Name != "from-before" {
			stored++
		}
	}
	serials := 0
	for _, r := range service.replicas {
		r.mutex.Lock()
		serials += len(r.serials)
		r.mutex.Unlock()
	}
	t.Logf("%d creations in %s: %d denied, %d admitted, %d stored; %d restarts, %d certificates, %d connections, %d of them with nobody ready",
		creations, took.Round(time.Second), denied.Load(), admitted.Load(), stored, restarts, serials, service.connections.Load(), service.refused.Load())
	if denied.Load() != creations/2 || admitted.Load() != creations/2 || stored != creations/2 {
		t.Error("some are missing")
	}
	if restarts < 4 || serials < restarts+4 {
		t.Errorf("%d restarts and %d certificates prove too little", restarts, serials)
	}

	t.Run("updates", func(t *testing.T) {
		label := []byte(`{"metadata":{"labels":{"seen":"yes"}}}`)
		if _, err := pods.Patch(t.Context(), "from-before", types.StrategicMergePatchType, label, metav1.PatchOptions{}); err != nil {
			t.Errorf("an update that makes nothing worse: %v", err)
		}
		debugger := []byte(`{"spec":{"ephemeralContainers":[{"name":"debug","image":"registry.example.com/debug:1","securityContext":{"privileged":true}}]}}`)
		if _, err := pods.Patch(t.Context(), "pod-0001", types.StrategicMergePatchType, debugger, metav1.PatchOptions{}, "ephemeralcontainers"); err == nil || !strings.Contains(err.Error(), "spec.ephemeralContainers[0]") {
			t.Errorf("a privileged debug container: %v", err)
		}
		if _, err := pods.Create(t.Context(), webhookPod("dry", true), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); !isWebhookDenial(err) {
			t.Errorf("dry run: %v", err)
		}
	})

	t.Run("absent", func(t *testing.T) {
		for _, r := range service.replicas {
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
		}
		for _, ns := range []string{"kube-system", "kube-public", "kube-node-lease", "gabion-system"} {
			alone := webhookPod("alone", ns != "gabion-system")
			if ns == "gabion-system" { // it enforces the level restricted
				yes, no := true, false
				alone.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
				alone.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
			}
			if _, err := client.CoreV1().Pods(ns).Create(t.Context(), alone, metav1.CreateOptions{}); err != nil {
				t.Errorf("%s is blocked: %v", ns, err)
			}
		}
		_, err := pods.Create(t.Context(), webhookPod("unseen", false), metav1.CreateOptions{})
		if !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), "failed calling webhook") {
			t.Errorf("a pod that nobody judged: %v", err)
		}
		if _, err := client.CoordinationV1().Leases("load").Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "lead"}}, metav1.CreateOptions{}); err != nil {
			t.Errorf("a lease is blocked: %v", err)
		}
		if _, err := client.RbacV1().ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "repair"}}, metav1.CreateOptions{}); err != nil {
			t.Errorf("a cluster role is blocked: %v", err)
		}
		if err := pods.Delete(t.Context(), "pod-0001", metav1.DeleteOptions{}); err != nil {
			t.Errorf("a deletion is blocked: %v", err)
		}
		node := c.User(t, "system:node:n1", "system:nodes")
		mirror := webhookPod("static", true)
		mirror.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
		mirror.Spec.NodeName = "n1"
		n, err := client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		yes := true
		mirror.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "n1", UID: n.UID, Controller: &yes}}
		eventually(t, "a node shows its static pod", func() error {
			_, err := kubernetes.NewForConfigOrDie(node.Config()).CoreV1().Pods("load").Create(t.Context(), mirror, metav1.CreateOptions{})
			return err
		})
	})
}
