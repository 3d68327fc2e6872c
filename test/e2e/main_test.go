//go:build cluster

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/test/cluster"
)

func TestMain(m *testing.M) {
	if dump := os.Getenv(dumpFile); dump != "" {
		os.Exit(scanAndDump(dump, os.Args[1:]))
	}
	if kubeconfig := os.Getenv(fetchAs); kubeconfig != "" {
		os.Exit(fetchAlone(kubeconfig, os.Args[1:]))
	}
	code := m.Run()
	if common.c != nil {
		common.c.Stop()
	}
	os.RemoveAll(common.dir)
	os.Exit(code)
}

// common is what tests share that change nothing which another one looks at.
var common struct {
	cluster, plugin sync.Once
	dir             string
	c               *cluster.Cluster
}

// folder is one that lasts as long as all tests.
func folder(t *testing.T) string {
	t.Helper()
	if common.dir == "" {
		dir, err := os.MkdirTemp("", "gabion-")
		if err != nil {
			t.Fatal(err)
		}
		common.dir = dir
	}
	return common.dir
}

// shop is a control plane with the example in it. What a test adds has names of its
// own.
func shop(t *testing.T) *cluster.Cluster {
	t.Helper()
	common.cluster.Do(func() {
		dir := filepath.Join(folder(t), "cluster")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		c, err := cluster.Launch(context.Background(), dir, cluster.Options{})
		if err != nil {
			t.Fatal(err)
		}
		common.c = c
		fill(t, c)
	})
	if common.c == nil {
		t.Fatal("no control plane")
	}
	return common.c
}

// fill applies the example.
func fill(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	c.Kubectl(t, "apply", "-f", "../../examples/shop/namespaces.yaml")
	client := kubernetes.NewForConfigOrDie(c.Config())
	for _, ns := range []string{"shop", "payments", "tools"} {
		eventually(t, "the default ServiceAccount of "+ns, func() error {
			_, err := client.CoreV1().ServiceAccounts(ns).Get(t.Context(), "default", metav1.GetOptions{})
			return err
		})
	}
	c.Kubectl(t, "apply", "-f", "../../examples/shop")
	eventually(t, "the pods of the Deployments", func() error {
		list, err := client.AppsV1().ReplicaSets("").List(t.Context(), metav1.ListOptions{})
		if err == nil && len(list.Items) < 6 {
			err = fmt.Errorf("%d ReplicaSets", len(list.Items))
		}
		return err
	})
}

// eventually waits until something succeeds.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// applyText applies manifests as kubectl does.
func applyText(t *testing.T, c *cluster.Cluster, manifests string) {
	t.Helper()
	cmd := c.Command(t.Context(), "apply", "-f", "-")
	cmd.Stdin = strings.NewReader(manifests)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kubectl apply: %v: %s", err, out)
	}
}

// plugin is the folder of the program under its name as a kubectl plugin.
func plugin(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(folder(t), "bin")
	common.plugin.Do(func() {
		build := exec.Command("go", "build", "-o", filepath.Join(dir, "kubectl-gabion"), "../../cmd/gabion")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
	return dir
}

// kubectl is a kubectl that knows the plugin, with no kubeconfig but the one that
// the arguments or the environment name.
func kubectl(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	bin := plugin(t)
	cmd := shop(t).Command(t.Context(), args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+cmd.Dir, "KUBECONFIG=")
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// runCommand runs a program to its end.
func runCommand(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// kubeconfig writes a changed copy of a kubeconfig with one context.
func kubeconfig(t *testing.T, file string, change func(*clientcmdapi.Config)) string {
	t.Helper()
	k, err := clientcmd.LoadFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	change(k)
	file = filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*k, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// renamed gives the context, the cluster and the user of a kubeconfig another name.
func renamed(name string) func(*clientcmdapi.Config) {
	return func(k *clientcmdapi.Config) {
		of := k.Contexts[k.CurrentContext]
		k.Clusters = map[string]*clientcmdapi.Cluster{name: k.Clusters[of.Cluster]}
		k.AuthInfos = map[string]*clientcmdapi.AuthInfo{name: k.AuthInfos[of.AuthInfo]}
		k.Contexts = map[string]*clientcmdapi.Context{name: {Cluster: name, AuthInfo: name}}
		k.CurrentContext = name
	}
}

// rows are the recommendations of a report by their IDs.
func rows(r *report.Report) map[string]report.Recommendation {
	list := map[string]report.Recommendation{}
	for _, row := range r.Recommendations {
		list[row.ID] = row
	}
	return list
}
