//go:build cluster

// Package cluster starts a real Kubernetes control plane on loopback for tests:
// etcd, API server, controller manager and scheduler as processes of their own,
// with TLS everywhere, on ports of their own, so that many can run at once.
// It needs Linux, the Go toolchain (or GABION_KUBE) and nothing else of the
// machine; every file is below one folder, and no process outlives the one that
// started it. It has no kubelet: a Pod runs only in the books, where a fake node
// says so.
//
// Keys and certificates are made here with crypto/x509 and not by kubeadm's
// phases: that takes milliseconds instead of seconds, and a test can have one
// for any user, expired ones too. Their names and groups are those of kubeadm.
package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"
	podsecurityv1 "k8s.io/pod-security-admission/admission/api/v1"
)

// startLimit bounds a start on a busy machine; an idle one needs seconds.
const startLimit = 3 * time.Minute

// advertised stands in the endpoints of the service "kubernetes", where the API
// server refuses a loopback address. It is reserved for documentation (RFC
// 5737): nothing connects to it.
const advertised = "198.51.100.1"

const services = "10.96.0.0/12"

// Options say how a cluster differs from the usual one. The zero value is the
// whole control plane.
type Options struct {
	// APIServer has further flags of the API server, after the usual ones: of a
	// flag that takes one value the last wins, one that takes a list gets longer.
	APIServer []string
	// Audit has rules that come before the usual ones: bodies of reads of
	// Secrets, metadata of all else.
	Audit []auditv1.PolicyRule
	// PodSecurity has the levels of namespaces without labels; an empty one is
	// privileged, an empty version latest.
	PodSecurity podsecurityv1.PodSecurityDefaults
	// NoControllers leaves out the controller manager: nothing makes the default
	// ServiceAccounts, which Pods need, nor deletes or aggregates anything.
	NoControllers bool
	// NoScheduler leaves out the scheduler: only Pods that name a node get there.
	NoScheduler bool
	// FakeNodes is how many nodes there are that kwok plays: it keeps them alive,
	// and those of a Load too, and says of every Pod on one that it runs.
	FakeNodes int
}

// Cluster is a control plane that runs. Its Access is that of system:masters.
type Cluster struct {
	Access
	// URL is that of the API server, https and without a path.
	URL string
	// CA has the PEM of the authority that signs servers and users.
	CA []byte
	// Dir has everything: keys, etcd's data, logs. It goes with the cluster when
	// Start made it.
	Dir string
	// AuditFile is the API server's audit log, one JSON object a line.
	AuditFile string
	// EtcdDir is where etcd keeps its data.
	EtcdDir string

	bin       string
	authority *authority
	ports     ports
	processes []*process
}

// Start starts a cluster for one test, and stops it and deletes its folder when
// the test is over. When the test fails, the ends of the logs are in its output.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	c, err := Launch(t.Context(), t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Stop()
		if t.Failed() {
			t.Log(c.Logs())
		}
	})
	return c
}

// Launch starts a cluster in a folder that exists and is the caller's, as for a
// TestMain whose tests share it. It returns when the API server is ready and,
// with controllers, when they have made what Kubernetes starts with.
func Launch(ctx context.Context, dir string, o Options) (_ *Cluster, err error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit) // building takes longer, the first time
	defer cancel()
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	c := &Cluster{
		Dir: dir, bin: bin,
		AuditFile: filepath.Join(dir, "audit.log"),
		EtcdDir:   filepath.Join(dir, "etcd"),
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("start a cluster in %q: %w\n%s", dir, err, c.Logs())
			c.Stop()
		}
	}()
	if err := c.start(ctx, o); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, o Options) error {
	var err error
	if c.ports, err = reservePorts(5); err != nil {
		return err
	}
	etcd, peer, api, manager, scheduler := c.ports.numbers[0], c.ports.numbers[1], c.ports.numbers[2], c.ports.numbers[3], c.ports.numbers[4]
	c.URL = "https://" + loopback(api)

	if err := c.writeKeys(); err != nil {
		return err
	}
	if err := c.writeConfig(o); err != nil {
		return err
	}
	if err := c.run("etcd", etcdFlags(c.path, etcd, peer)...); err != nil {
		return err
	}
	if err := c.run("kube-apiserver", append(apiServerFlags(c.path, etcd, api), o.APIServer...)...); err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return err
	}
	if err := c.await(ctx, "the API server to be ready", func(ctx context.Context) error {
		return client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}); err != nil {
		return err
	}
	if !o.NoScheduler {
		if err := c.run("kube-scheduler", schedulerFlags(c.path, scheduler)...); err != nil {
			return err
		}
	}
	if !o.NoControllers {
		// Not before the API server is ready: it would give up some controllers.
		if err := c.run("kube-controller-manager", managerFlags(c.path, manager)...); err != nil {
			return err
		}
		if err := c.await(ctx, "the controllers' first objects", func(ctx context.Context) error {
			return firstObjects(ctx, client)
		}); err != nil {
			return err
		}
	}
	if o.FakeNodes > 0 {
		return c.fake(ctx, o.FakeNodes)
	}
	return nil
}

// firstObjects fails until Pods can be made in the default namespace and the
// aggregated roles have all their rules.
func firstObjects(ctx context.Context, client kubernetes.Interface) error {
	if _, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{}); err != nil {
		return err
	}
	roles, err := client.RbacV1().ClusterRoles().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, role := range roles.Items {
		for _, part := range roles.Items {
			if aggregates(role, part) && !containsAll(role.Rules, part.Rules) {
				return fmt.Errorf("ClusterRole %q has not the rules of %q yet", role.Name, part.Name)
			}
		}
	}
	return nil
}

func containsAll(rules, wanted []rbacv1.PolicyRule) bool {
	return !slices.ContainsFunc(wanted, func(w rbacv1.PolicyRule) bool {
		return !slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool { return equality.Semantic.DeepEqual(r, w) })
	})
}

func aggregates(role, part rbacv1.ClusterRole) bool {
	if role.AggregationRule == nil {
		return false
	}
	return slices.ContainsFunc(role.AggregationRule.ClusterRoleSelectors, func(s metav1.LabelSelector) bool {
		selector, err := metav1.LabelSelectorAsSelector(&s)
		return err == nil && selector.Matches(labels.Set(part.Labels))
	})
}

// path is that of a file or folder of the cluster.
func (c *Cluster) path(name string) string { return filepath.Join(c.Dir, filepath.FromSlash(name)) }

// Stop kills every process of the cluster and returns when they are gone. The
// folder stays.
func (c *Cluster) Stop() {
	for _, p := range c.processes {
		p.kill()
	}
	for _, p := range c.processes {
		<-p.done
	}
	c.ports.release()
}

// Logs has the last lines of each process's log, for a person who looks for
// what went wrong.
func (c *Cluster) Logs() string {
	var b strings.Builder
	for _, p := range c.processes {
		fmt.Fprintf(&b, "--- %s ---\n%s\n", p.name, p.tail())
	}
	return b.String()
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func etcdFlags(path func(string) string, client, peer int) []string {
	return []string{
		"--name=etcd", "--data-dir=" + path("etcd"), "--log-level=warn",
		// Tests need no data after a power cut, and syncing is most of a write.
		"--unsafe-no-fsync", "--quota-backend-bytes=8589934592",
		"--listen-client-urls=https://" + loopback(client), "--advertise-client-urls=https://" + loopback(client),
		"--listen-peer-urls=https://" + loopback(peer), "--initial-advertise-peer-urls=https://" + loopback(peer),
		"--initial-cluster=etcd=https://" + loopback(peer),
		"--client-cert-auth", "--trusted-ca-file=" + path("pki/etcd-ca.crt"),
		"--cert-file=" + path("pki/etcd.crt"), "--key-file=" + path("pki/etcd.key"),
		"--peer-client-cert-auth", "--peer-trusted-ca-file=" + path("pki/etcd-ca.crt"),
		"--peer-cert-file=" + path("pki/etcd.crt"), "--peer-key-file=" + path("pki/etcd.key"),
	}
}

func apiServerFlags(path func(string) string, etcd, port int) []string {
	return []string{
		"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(port), "--advertise-address=" + advertised,
		"--etcd-servers=https://" + loopback(etcd), "--etcd-cafile=" + path("pki/etcd-ca.crt"),
		"--etcd-certfile=" + path("pki/apiserver-etcd-client.crt"), "--etcd-keyfile=" + path("pki/apiserver-etcd-client.key"),
		"--tls-cert-file=" + path("pki/apiserver.crt"), "--tls-private-key-file=" + path("pki/apiserver.key"),
		"--client-ca-file=" + path("pki/ca.crt"), "--enable-bootstrap-token-auth",
		"--kubelet-client-certificate=" + path("pki/apiserver-kubelet-client.crt"),
		"--kubelet-client-key=" + path("pki/apiserver-kubelet-client.key"),
		"--kubelet-certificate-authority=" + path("pki/ca.crt"), "--kubelet-preferred-address-types=InternalIP,Hostname",
		"--proxy-client-cert-file=" + path("pki/front-proxy-client.crt"), "--proxy-client-key-file=" + path("pki/front-proxy-client.key"),
		"--requestheader-client-ca-file=" + path("pki/front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + path("pki/sa.pub"), "--service-account-signing-key-file=" + path("pki/sa.key"),
		"--service-cluster-ip-range=" + services, "--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction,PodSecurity", "--admission-control-config-file=" + path("admission.json"),
		"--audit-policy-file=" + path("audit-policy.json"), "--audit-log-path=" + path("audit.log"),
		// One file: what reads it does not look for rotated ones.
		"--audit-log-maxsize=0",
		"--encryption-provider-config=" + path("encryption.json"),
		// Else a privileged Pod is refused before Pod Security sees it.
		"--allow-privileged", "--profiling=false",
	}
}

func managerFlags(path func(string) string, port int) []string {
	return append(componentFlags(path, "controller-manager", port),
		"--root-ca-file="+path("pki/ca.crt"), "--service-account-private-key-file="+path("pki/sa.key"),
		"--cluster-signing-cert-file="+path("pki/ca.crt"), "--cluster-signing-key-file="+path("pki/ca.key"),
		"--use-service-account-credentials", "--controllers=*,bootstrapsigner,tokencleaner",
		"--allocate-node-cidrs", "--cluster-cidr=10.128.0.0/9", "--node-cidr-mask-size=24", "--service-cluster-ip-range="+services,
		"--kube-api-qps=500", "--kube-api-burst=1000",
	)
}

func schedulerFlags(path func(string) string, port int) []string {
	return componentFlags(path, "scheduler", port)
}

func componentFlags(path func(string) string, name string, port int) []string {
	access := path(name + ".kubeconfig")
	return []string{
		"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(port), "--leader-elect=false",
		"--tls-cert-file=" + path("pki/"+name+".crt"), "--tls-private-key-file=" + path("pki/"+name+".key"),
		"--kubeconfig=" + access, "--authentication-kubeconfig=" + access, "--authorization-kubeconfig=" + access,
	}
}

func (c *Cluster) run(name string, args ...string) error {
	p, err := startProcess(filepath.Join(c.bin, name), c.path(name+".log"), args)
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	c.processes = append(c.processes, p)
	return nil
}

// await polls until ready gives no error, a process ends or the context does.
func (c *Cluster) await(ctx context.Context, what string, ready func(context.Context) error) error {
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		for _, p := range c.processes {
			if p.ended() {
				return fmt.Errorf("wait for %s: %s has ended", what, p.name)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %w", what, ctx.Err(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (c *Cluster) write(name string, data []byte) error {
	return os.WriteFile(c.path(name), data, 0o600)
}
