//go:build cluster

package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/evidence"
	source "github.com/gabion-k8s/gabion/internal/source/cluster"
	"github.com/gabion-k8s/gabion/internal/source/live"
	"github.com/gabion-k8s/gabion/test/cluster"
)

// What real controllers and the real API server make of templates is no difference,
// and what a mutating policy adds is exactly that difference.
func TestRealPods(t *testing.T) {
	c := cluster.Start(t, cluster.Options{FakeNodes: 2})
	apply(t, c, "-f", "testdata/sidecar.yaml")
	for _, ns := range []string{"plain", "mesh"} {
		c.Kubectl(t, "create", "namespace", ns)
		c.Kubectl(t, "wait", "--for=create", "--timeout=60s", "-n", ns, "serviceaccount/default")
	}
	c.Kubectl(t, "label", "namespace", "mesh", "mesh=on")
	injects(t, c)
	for _, ns := range []string{"plain", "mesh"} {
		c.Kubectl(t, "create", "-n", ns, "-f", "testdata/real.yaml")
		c.Kubectl(t, "create", "job", "-n", ns, "report-now", "--from=cronjob/report")
	}
	const added = `: container "proxy" was added, with the image example.com/proxy:1`
	var want []string
	for _, w := range []struct {
		name string
		pods int
	}{{"CronJob %s/report", 1}, {"DaemonSet %s/agent", 2}, {"Deployment %s/web", 2}, {"Job %s/once", 2}, {"ReplicationController %s/old", 1}, {"StatefulSet %s/db", 2}} {
		for _, ns := range []string{"plain", "mesh"} {
			text := fmt.Sprintf(w.name+": %d", ns, w.pods)
			want = append(want, text)
			if ns == "mesh" {
				want = append(want, text+" run otherwise"+added)
			}
		}
	}
	want = append(want, "Pod mesh/naked-: 1", "Pod plain/naked-: 1")
	slices.Sort(want)

	var got []string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		if got = seen(t, c); slices.Equal(got, want) {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}

	// Somebody debugs one of the pods, and a rollout that never ends begins.
	pods := strings.Fields(c.Kubectl(t, "get", "pods", "-n", "plain", "-l", "app=old", "-o", "name"))
	c.Kubectl(t, "debug", "-n", "plain", pods[0], "--image=example.com/shell", "--container=shell", "--profile=general", "--attach=false")
	c.Kubectl(t, "set", "image", "-n", "plain", pods[0], "old=example.com/evil:1")
	c.Kubectl(t, "patch", "-n", "plain", "daemonset", "agent", "--patch", `{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":null},"template":{"spec":{"hostPID":true}}}}`)
	got = seen(t, c)
	for _, line := range []string{
		`ReplicationController plain/old: 1 run otherwise: container "old": image is example.com/evil:1, the template has example.com/old:2; an ephemeral container "shell" was added (kubectl debug), with the image example.com/shell`,
		`DaemonSet plain/agent: 2 run otherwise`,
	} {
		if !slices.Contains(got, line) {
			t.Errorf("no %q in %q", line, got)
		}
	}
}

func apply(t *testing.T, c *cluster.Cluster, args ...string) {
	t.Helper()
	c.Kubectl(t, append([]string{"apply"}, args...)...)
}

// injects waits for the policy to be in force.
func injects(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	for range 120 {
		cmd := c.Command(context.Background(), "run", "try", "-n", "mesh", "--image=a", "--dry-run=server", "-o", "jsonpath={.spec.containers[*].name}")
		if out, err := cmd.CombinedOutput(); err == nil && strings.Contains(string(out), "proxy") {
			return
		}
		time.Sleep(250 * time.Millisecond)
	}
	t.Fatal("the policy adds nothing")
}

// seen are the workloads of the two namespaces in words.
func seen(t *testing.T, c *cluster.Cluster) (lines []string) {
	t.Helper()
	client, err := live.Connect(live.Options{Kubeconfig: c.Kubeconfig})
	if err != nil {
		t.Fatal(err)
	}
	info, err := client.Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	snap := &evidence.Snapshot{}
	b := source.NewBuilder(snap, info)
	if err := client.Collect(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	b.Finish()
	for _, w := range snap.Workloads {
		if w.Namespace != "plain" && w.Namespace != "mesh" {
			continue
		}
		text := fmt.Sprintf("%s: %d", w.Ref, w.Running)
		if w.Template != nil {
			text += " run otherwise"
		}
		for i, d := range w.Differs {
			text += []string{": ", "; "}[min(i, 1)] + d.Text
		}
		lines = append(lines, text)
	}
	slices.Sort(lines)
	return lines
}
