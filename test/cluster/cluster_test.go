//go:build cluster

package cluster

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	podsecurityv1 "k8s.io/pod-security-admission/admission/api/v1"

	"github.com/google/go-cmp/cmp"
)

// shared is the cluster of all tests that need no options.
var shared *Cluster

func TestMain(m *testing.M) {
	if dir := os.Getenv("GABION_TEST_DEATH"); dir != "" {
		die(dir)
	}
	os.Exit(run(m))
}

// die starts a cluster, says which processes it has, and ends as nothing can
// prepare for.
func die(dir string) {
	c, err := Launch(context.Background(), dir, Options{NoControllers: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, p := range c.processes {
		fmt.Println(p.cmd.Process.Pid)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

// No process of a cluster outlives a test that is killed.
func TestDeath(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "GABION_TEST_DEATH="+t.TempDir())
	out, err := cmd.Output()
	if err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("%s, %v: want a death by signal", out, err)
	}
	pids := strings.Fields(string(out))
	if len(pids) != 3 {
		t.Fatalf("processes %q, want 3", pids)
	}
	for _, pid := range pids {
		eventually(t, "the end of process "+pid, func() error {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			if err != nil || strings.Contains(string(stat), ") Z ") { // nobody has to reap it
				return nil
			}
			return errors.New("it runs")
		})
	}
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gabion-cluster-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	begun := time.Now()
	shared, err = Launch(context.Background(), dir, Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer shared.Stop()
	fmt.Fprintf(os.Stderr, "cluster ready in %.1f s\n", time.Since(begun).Seconds())
	code := m.Run()
	if code != 0 {
		fmt.Fprintln(os.Stderr, shared.Logs())
	}
	return code
}

func client(t *testing.T, a Access) *kubernetes.Clientset {
	t.Helper()
	c, err := kubernetes.NewForConfig(a.Config())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// namespace makes one with labels, and with what Pods in it need.
func namespace(t *testing.T, c *Cluster, name string, labels map[string]string) {
	t.Helper()
	k := client(t, c.Access)
	if _, err := k.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the default ServiceAccount", func() error {
		_, err := k.CoreV1().ServiceAccounts(name).Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
}

func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	limit := time.Now().Add(time.Minute)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func pod(name string, privileged bool) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "web", Image: "registry.example/web:1",
			SecurityContext: &corev1.SecurityContext{Privileged: &privileged},
		}}},
	}
}

// Each way in is who it says, as the API server sees it.
func TestAuthentication(t *testing.T) {
	k := client(t, shared.Access)
	if _, err := k.CoreV1().Secrets("kube-system").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "bootstrap-token-abcdef"},
		Type:       corev1.SecretTypeBootstrapToken,
		StringData: map[string]string{"token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true"},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	proxy := rest.AnonymousClientConfig(shared.Config())
	proxy.CertFile, proxy.KeyFile = shared.path("pki/front-proxy-client.crt"), shared.path("pki/front-proxy-client.key")
	proxy.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.Header.Set("X-Remote-User", "carol")
			return next.RoundTrip(r)
		})
	})
	for name, tt := range map[string]struct {
		access Access
		want   []string // the user, then its groups
	}{
		"administrator":    {shared.Access, []string{"kubernetes-super-admin", "system:authenticated", "system:masters"}},
		"user":             {shared.User(t, "alice", "dev", "ops"), []string{"alice", "dev", "ops", "system:authenticated"}},
		"service account":  {shared.ServiceAccount(t, "default", "default"), []string{"system:serviceaccount:default:default", "system:authenticated", "system:serviceaccounts", "system:serviceaccounts:default"}},
		"bootstrap token":  {shared.Token(t, "abcdef.0123456789abcdef"), []string{"system:bootstrap:abcdef", "system:authenticated", "system:bootstrappers"}},
		"aggregated proxy": {Access{config: proxy}, []string{"carol", "system:authenticated"}},
	} {
		t.Run(name, func(t *testing.T) {
			review, err := client(t, tt.access).AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(review.Status.UserInfo.Groups)
			got := append([]string{review.Status.UserInfo.Username}, review.Status.UserInfo.Groups...)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for name, access := range map[string]Access{
		"expired certificate": shared.UserUntil(t, time.Now().Add(-time.Hour), "alice"),
		"wrong token":         shared.Token(t, "nonsense"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client(t, access).CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
			if !apierrors.IsUnauthorized(err) {
				t.Errorf("got %v, want 401", err)
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A user may do what a binding says and nothing else; a node may write its own
// Node and no other.
func TestAuthorization(t *testing.T) {
	admin := client(t, shared.Access)
	alice := client(t, shared.User(t, "alice"))
	list := func() error {
		_, err := alice.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
		return err
	}
	if err := list(); !apierrors.IsForbidden(err) {
		t.Errorf("before the binding: got %v, want 403", err)
	}
	if _, err := admin.RbacV1().RoleBindings("default").Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "alice"},
		Subjects:   []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "alice"}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a list with the binding", list)
	if _, err := alice.CoreV1().ConfigMaps("kube-system").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("elsewhere: got %v, want 403", err)
	}

	node := client(t, shared.User(t, "system:node:own", "system:nodes"))
	for name, allowed := range map[string]bool{"own": true, "other": false} {
		_, err := node.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if allowed && err != nil || !allowed && !apierrors.IsForbidden(err) {
			t.Errorf("node %q: %v", name, err)
		}
	}
}

func TestPodSecurity(t *testing.T) {
	namespace(t, shared, "guarded", map[string]string{"pod-security.kubernetes.io/enforce": "baseline"})
	pods := client(t, shared.Access).CoreV1().Pods("guarded")
	_, err := pods.Create(t.Context(), pod("privileged", true), metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `violates PodSecurity "baseline:latest"`) {
		t.Errorf("privileged: got %v, want a refusal", err)
	}
	if _, err := pods.Create(t.Context(), pod("plain", false), metav1.CreateOptions{}); err != nil {
		t.Errorf("plain: %v", err)
	}
}

// What the audit log holds of a read of Secrets, by what was asked for: the
// values when they were sent, and nothing of them when they were not. On this
// rest the tests that say that nobody was sent a value.
func TestAuditLog(t *testing.T) {
	const value = "a value that nobody should see"
	encoded := base64.StdEncoding.EncodeToString([]byte(value))
	namespace(t, shared, "audited", nil)
	admin := client(t, shared.Access)
	if _, err := admin.CoreV1().Secrets("audited").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "token", Annotations: map[string]string{"note": "kept"}}, StringData: map[string]string{"key": value},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	table := func(include string) func(Access) error {
		return func(a Access) error {
			return client(t, a).CoreV1().RESTClient().Get().AbsPath("/api/v1/namespaces/audited/secrets").
				SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").Param("includeObject", include).
				Do(t.Context()).Error()
		}
	}
	for name, tt := range map[string]struct {
		read func(Access) error
		kind string // of the response
		sent bool
	}{
		"objects": {func(a Access) error {
			_, err := client(t, a).CoreV1().Secrets("audited").List(t.Context(), metav1.ListOptions{})
			return err
		}, "SecretList", true},
		"protobuf": {func(a Access) error {
			config := a.Config()
			config.ContentType = "application/vnd.kubernetes.protobuf"
			_, err := client(t, Access{config: config}).CoreV1().Secrets("audited").Get(t.Context(), "token", metav1.GetOptions{})
			return err
		}, "Secret", true},
		"metadata": {func(a Access) error {
			m, err := metadata.NewForConfig(a.Config())
			if err != nil {
				return err
			}
			_, err = m.Resource(corev1.SchemeGroupVersion.WithResource("secrets")).Namespace("audited").List(t.Context(), metav1.ListOptions{})
			return err
		}, "PartialObjectMetadataList", false},
		"table without objects": {table("None"), "Table", false},
		"table with metadata":   {table("Metadata"), "Table", false},
		"table with objects":    {table("Object"), "Table", true},
	} {
		t.Run(name, func(t *testing.T) {
			user := "reader of " + name
			a := shared.User(t, user, "system:masters")
			if err := tt.read(a); err != nil {
				t.Fatal(err)
			}
			events := slices.DeleteFunc(shared.AuditLog(t), func(e auditv1.Event) bool { return e.User.Username != user })
			if len(events) != 1 {
				t.Fatalf("%d events, want 1: %v", len(events), events)
			}
			body := string(events[0].ResponseObject.Raw)
			if !strings.Contains(body, `"kind":"`+tt.kind+`"`) {
				t.Errorf("the response is not a %s: %s", tt.kind, body)
			}
			if got := strings.Contains(body, encoded); got != tt.sent {
				t.Errorf("value in the log: %v, want %v: %s", got, tt.sent, body)
			}
		})
	}
}

// Every request is in the log as soon as it has an answer, of many at once too.
func TestAuditLogIsComplete(t *testing.T) {
	a := shared.User(t, "hurried", "system:masters")
	k := client(t, a)
	const n = 100
	errs := make(chan error, n)
	for range n {
		go func() {
			_, err := k.CoreV1().ConfigMaps("").List(t.Context(), metav1.ListOptions{})
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	got := 0
	for _, e := range shared.AuditLog(t) {
		if e.User.Username == "hurried" {
			got++
		}
	}
	if got != n {
		t.Errorf("%d events, want %d", got, n)
	}
}

func TestUnfinished(t *testing.T) {
	event := func(id, uri string, stage auditv1.Stage) auditv1.Event {
		return auditv1.Event{AuditID: types.UID(id), RequestURI: uri, Stage: stage}
	}
	log := []auditv1.Event{
		event("1", "/a", auditv1.StageRequestReceived),
		event("2", "/watch", auditv1.StageRequestReceived),
		event("2", "/watch", auditv1.StageResponseStarted),
		event("3", "/mark", auditv1.StageRequestReceived),
		event("4", "/later", auditv1.StageRequestReceived),
		event("3", "/mark", auditv1.StageResponseComplete),
		event("1", "/a", auditv1.StageResponseComplete),
	}
	for n, want := range [][]string{{"/mark"}, {"/mark"}, {"/mark"}, {"/mark"}, {"/a", "/mark"}, {"/a", "/mark"}, {"/a"}, nil} {
		if diff := cmp.Diff(want, unfinished(log[:n], "/mark")); diff != "" {
			t.Errorf("first %d events: %s", n, diff)
		}
	}
}

// In etcd's files there is the value of a ConfigMap and not that of a Secret.
func TestEncryptionAtRest(t *testing.T) {
	const plain, secret = "plain-4f1c0a7d", "secret-4f1c0a7d"
	core := client(t, shared.Access).CoreV1()
	if _, err := core.ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "at-rest"}, Data: map[string]string{"key": plain},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := core.Secrets("default").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "at-rest"}, StringData: map[string]string{"key": secret},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for needle, want := range map[string]bool{
		plain: true, secret: false, "/registry/secrets/default/at-rest": true, "k8s:enc:secretbox:v1:key1:": true,
	} {
		if got := inFiles(t, shared.EtcdDir, needle); got != want {
			t.Errorf("%q in etcd's files: %v, want %v", needle, got, want)
		}
	}
}

func inFiles(t *testing.T, dir, needle string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		found = found || bytes.Contains(data, []byte(needle))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A Deployment becomes a ReplicaSet and Pods, each with its owner.
func TestControllers(t *testing.T) {
	namespace(t, shared, "controlled", nil)
	k := client(t, shared.Access)
	labels := map[string]string{"app": "web"}
	replicas := int32(2)
	if _, err := k.AppsV1().Deployments("controlled").Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod("", false).Spec},
		},
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "two Pods of a ReplicaSet of the Deployment", func() error {
		pods, err := k.CoreV1().Pods("controlled").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		if len(pods.Items) != 2 {
			return fmt.Errorf("%d Pods", len(pods.Items))
		}
		owner := metav1.GetControllerOf(&pods.Items[0])
		if owner == nil {
			return errors.New("no owner")
		}
		set, err := k.AppsV1().ReplicaSets("controlled").Get(t.Context(), owner.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if of := metav1.GetControllerOf(set); of == nil || of.Kind != "Deployment" || of.Name != "web" {
			return fmt.Errorf("owner of the ReplicaSet: %v", of)
		}
		return nil
	})
}

func TestKubectl(t *testing.T) {
	cmd := shared.Command(t.Context(), "create", "-f", "-", "-o", "name")
	cmd.Stdin = strings.NewReader(`{apiVersion: v1, kind: Namespace, metadata: {name: by-kubectl}}`)
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "namespace/by-kubectl\n" {
		t.Fatalf("%s, %v", out, err)
	}
	if got := shared.Kubectl(t, "get", "namespace", "by-kubectl", "-o", "jsonpath={.status.phase}"); got != "Active" {
		t.Errorf("got %q", got)
	}
}

// A Deployment's Pods run on the fake nodes, a Job's succeed, and what is
// deleted goes; a load is all there, and its Pods run as well.
func TestFakeNodesAndLoad(t *testing.T) {
	c := Start(t, Options{FakeNodes: 3})
	c.Kubectl(t, "create", "deployment", "web", "--image=registry.example/web:1", "--replicas=5")
	c.Kubectl(t, "create", "job", "once", "--image=registry.example/once:1")
	c.Kubectl(t, "wait", "--for=condition=Available", "--timeout=60s", "deployment/web")
	c.Kubectl(t, "wait", "--for=condition=Complete", "--timeout=60s", "job/once")
	c.Kubectl(t, "delete", "deployment", "web", "--timeout=60s")

	want := Load{Namespaces: 20, Pods: 1000, Bindings: 200}
	begun := time.Now()
	if err := c.Load(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	t.Logf("loaded in %.1f s", time.Since(begun).Seconds())
	k := client(t, c.Access)
	eventually(t, "all Pods of the load running", func() error {
		pods, err := k.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=load", FieldSelector: "status.phase=Running"})
		if err == nil && len(pods.Items) != want.Pods {
			err = fmt.Errorf("%d of %d", len(pods.Items), want.Pods)
		}
		return err
	})
	roles, err := k.RbacV1().RoleBindings("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	clusterRoles, err := k.RbacV1().ClusterRoleBindings().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	bindings := 0
	for _, b := range roles.Items {
		bindings += strings.Count(b.Name, "load-")
	}
	for _, b := range clusterRoles.Items {
		bindings += strings.Count(b.Name, "load-")
	}
	if bindings != want.Bindings {
		t.Errorf("%d bindings, want %d", bindings, want.Bindings)
	}
	if events := c.AuditLog(t); slices.ContainsFunc(events, func(e auditv1.Event) bool { return e.User.Username == loader }) {
		t.Error("the load is in the audit log")
	}
}

// BenchmarkLoad fills a cluster as large as those that the promises are about.
func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		c := Start(b, Options{NoControllers: true, NoScheduler: true})
		begun := time.Now()
		if err := c.Load(b.Context(), Load{Namespaces: 2000, Pods: 20000, Bindings: 5000}); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(begun).Seconds(), "s/load")
	}
}

// Clusters run beside each other, each as its options say, and nothing is left
// of one that is over.
func TestOptions(t *testing.T) {
	var c *Cluster
	t.Run("cluster", func(t *testing.T) {
		c = Start(t, Options{
			NoControllers: true, NoScheduler: true,
			APIServer:   []string{"--anonymous-auth=false"},
			PodSecurity: podsecurityv1.PodSecurityDefaults{Enforce: "baseline"},
			Audit:       []auditv1.PolicyRule{{Level: auditv1.LevelNone}},
		})
		if c.URL == shared.URL {
			t.Error("two clusters with one URL")
		}
		k := client(t, c.Access)
		if _, err := k.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := k.CoreV1().Pods("default").Create(t.Context(), pod("privileged", true), metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("PodSecurity: got %v, want a refusal", err)
		}
		anonymous := Access{config: rest.AnonymousClientConfig(c.Config())}
		if err := client(t, anonymous).RESTClient().Get().AbsPath("/readyz").Do(t.Context()).Error(); !apierrors.IsUnauthorized(err) {
			t.Errorf("APIServer: got %v, want 401", err)
		}
		if events := c.AuditLog(t); len(events) != 0 {
			t.Errorf("Audit: %d events", len(events))
		}
		if len(c.processes) != 2 {
			t.Errorf("%d processes", len(c.processes))
		}
	})
	for _, p := range c.processes {
		if !p.ended() {
			t.Errorf("%s runs", p.name)
		}
	}
	if _, err := os.Stat(c.Dir); !os.IsNotExist(err) {
		t.Errorf("%s: %v", c.Dir, err)
	}
}

// A component that cannot start is named, with what it says.
func TestLaunchFails(t *testing.T) {
	_, err := Launch(t.Context(), t.TempDir(), Options{APIServer: []string{"--no-such-flag"}})
	if err == nil || !strings.Contains(err.Error(), "kube-apiserver has ended") || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
		t.Error(err)
	}
}
