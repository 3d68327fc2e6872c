//go:build cluster

package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509/pkix"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Access is how one subject reaches a cluster.
type Access struct {
	// Kubeconfig is a file with everything in it, with one context.
	Kubeconfig string

	config *rest.Config
}

// Config is for a client of its own, without client-side throttling.
func (a Access) Config() *rest.Config { return rest.CopyConfig(a.config) }

// User is a person or component with a client certificate of the cluster's
// authority. The name system:node:NAME in the group system:nodes is a node.
func (c *Cluster) User(t testing.TB, name string, groups ...string) Access {
	t.Helper()
	return c.UserUntil(t, time.Now().Add(validity), name, groups...)
}

// UserUntil is a User whose certificate expires at a time of up to a day ago or
// later.
func (c *Cluster) UserUntil(t testing.TB, notAfter time.Time, name string, groups ...string) Access {
	t.Helper()
	a, err := c.certified("user-"+rand.Text(), notAfter, name, groups...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ServiceAccount asks the API server for a token of an account that exists, good
// for an hour.
func (c *Cluster) ServiceAccount(t testing.TB, namespace, name string) Access {
	t.Helper()
	token, err := c.token(t.Context(), namespace, name)
	if err != nil {
		t.Fatal(err)
	}
	return c.Token(t, token)
}

func (c *Cluster) token(ctx context.Context, namespace, name string) (string, error) {
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return "", err
	}
	answer, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("token of ServiceAccount %s/%s: %w", namespace, name, err)
	}
	return answer.Status.Token, nil
}

// Token is whoever the API server takes a bearer token for.
func (c *Cluster) Token(t testing.TB, token string) Access {
	t.Helper()
	a, err := c.access("token-"+rand.Text(), &clientcmdapi.AuthInfo{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Command is a kubectl to be run, as the administrator unless the arguments say
// otherwise; the caller may set its input and output. It reads and writes
// nothing of the person's who runs the test.
func (c *Cluster) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, "kubectl"), args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig, "HOME="+c.Dir, "KUBECACHEDIR="+c.path("kubectl-cache"))
	return cmd
}

// Kubectl runs kubectl as the administrator and gives its output. The test fails
// if kubectl does.
func (c *Cluster) Kubectl(t testing.TB, args ...string) string {
	t.Helper()
	cmd := c.Command(t.Context(), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl %q: %v\n%s", args, err, stderr.Bytes())
	}
	return string(out)
}

// writeAccess makes the kubeconfigs of the components and of the administrator.
func (c *Cluster) writeAccess() error {
	until := time.Now().Add(validity)
	for _, component := range []string{"controller-manager", "scheduler"} {
		if _, err := c.certified(component, until, "system:kube-"+component); err != nil {
			return err
		}
	}
	var err error
	c.Access, err = c.certified("admin", until, "kubernetes-super-admin", "system:masters")
	return err
}

// certified writes the kubeconfig FILE.kubeconfig of a new client certificate.
func (c *Cluster) certified(file string, notAfter time.Time, name string, groups ...string) (Access, error) {
	p, err := c.authority.issue(pkix.Name{CommonName: name, Organization: groups}, notAfter)
	if err != nil {
		return Access{}, fmt.Errorf("make user %q: %w", name, err)
	}
	return c.access(file, &clientcmdapi.AuthInfo{ClientCertificateData: p.cert, ClientKeyData: p.key})
}

func (c *Cluster) access(file string, user *clientcmdapi.AuthInfo) (Access, error) {
	k := clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"test": {Server: c.URL, CertificateAuthorityData: c.CA}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"test": user},
		Contexts:       map[string]*clientcmdapi.Context{"test": {Cluster: "test", AuthInfo: "test"}},
		CurrentContext: "test",
	}
	a := Access{Kubeconfig: c.path(file + ".kubeconfig")}
	if err := clientcmd.WriteToFile(k, a.Kubeconfig); err != nil {
		return Access{}, err
	}
	var err error
	if a.config, err = clientcmd.NewDefaultClientConfig(k, nil).ClientConfig(); err != nil {
		return Access{}, err
	}
	a.config.QPS = -1
	return a, nil
}
