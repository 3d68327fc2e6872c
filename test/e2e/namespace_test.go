//go:build cluster

package e2e

import (
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/test/cluster"
)

// modestPod keeps to the level restricted, and sets no amounts.
const modestPod = `
apiVersion: v1
kind: Pod
metadata: {name: modest, namespace: fresh}
spec:
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: web
      image: registry.example.com/web
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
`

// The bundle of a new namespace is accepted, passes the rows that it is about, lets a
// modest pod in and refuses others. Generated once more for what then is there it is
// accepted by the server, too, and the pod with it.
func TestGenerateNamespace(t *testing.T) {
	c := cluster.Start(t, cluster.Options{})
	dryRun := func(manifests string, args ...string) (string, error) {
		cmd := c.Command(t.Context(), append([]string{"apply", "--server-side", "--field-manager=gabion", "--dry-run=server", "-f", "-"}, args...)...)
		cmd.Stdin = strings.NewReader(manifests)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	lay := func(manifests string) {
		t.Helper()
		cmd := c.Command(t.Context(), "apply", "--server-side", "--force-conflicts", "--field-manager=gabion", "-f", "-")
		cmd.Stdin = strings.NewReader(manifests)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("kubectl apply: %v: %s", err, out)
		}
	}

	text := run(t, "generate", "namespace", "fresh", "--group", "fresh-team", "--kubeconfig", c.Kubeconfig).out
	lay(text)
	if out, err := dryRun(text); err != nil || strings.Contains(out, "Warning") {
		t.Errorf("a second time: %v: %s", err, out)
	}
	applyText(t, c, modestPod)
	pod := c.Kubectl(t, "get", "pod", "modest", "-n", "fresh", "-o", "jsonpath={.spec.containers[0].resources.limits.memory} {.spec.volumes}")
	if pod != "512Mi " {
		t.Errorf("the pod has limits and volumes %q, want the LimitRange's, and no token", pod)
	}
	for what, change := range map[string][2]string{
		"restricted:v":         {"runAsNonRoot: true", "runAsNonRoot: false"},
		"maximum memory usage": {"image:", "resources: {limits: {memory: 64Gi}}\n      image:"},
	} {
		bad := strings.NewReplacer("name: modest", "name: bad", change[0], change[1]).Replace(modestPod)
		if out, err := dryRun(bad); err == nil || !strings.Contains(out, what) {
			t.Errorf("not refused for %q: %v: %s", what, err, out)
		}
	}
	service := "apiVersion: v1\nkind: Service\nmetadata: {name: out, namespace: fresh}\nspec: {type: NodePort, ports: [{port: 80}]}\n"
	if out, err := dryRun(service); err == nil || !strings.Contains(out, "exceeded quota: total") {
		t.Errorf("a node port is not refused: %v: %s", err, out)
	}

	// The team sees the pod and no Secret.
	for _, question := range []struct{ want, verb, what string }{{"yes", "list", "pods"}, {"no", "list", "secrets"}, {"no", "create", "pods"}} {
		cmd := c.Command(t.Context(), "auth", "can-i", question.verb, question.what, "-n", "fresh", "--as", "somebody", "--as-group", "fresh-team")
		out, _ := cmd.Output() // exit code 1 says no
		if got := strings.TrimSpace(string(out)); got != question.want {
			t.Errorf("%s %s: %s, want %s", question.verb, question.what, got, question.want)
		}
	}

	r := scan(t, "--kubeconfig", c.Kubeconfig, "-n", "fresh")
	for _, f := range r.Findings {
		for _, about := range []string{"ENF-01", "NET-0", "RES-01", "RES-02", "RES-03", "SAT-01", "NS-", "RBAC-"} {
			if f.Object.Namespace == "fresh" && strings.HasPrefix(f.Recommendation, about) {
				t.Errorf("%s: %s: %s", f.Recommendation, f.Rule, f.Message)
			}
		}
	}
	for _, row := range r.Recommendations {
		switch row.ID {
		case "ENF-01", "NET-02", "NET-03", "RES-01", "RES-02", "RES-03", "SAT-01":
			if row.Status != report.Pass {
				t.Errorf("%s: %s", row.ID, row.Status)
			}
		}
	}

	again := run(t, "generate", "namespace", "fresh", "--kubeconfig", c.Kubeconfig).out
	if !strings.Contains(again, "pod-security.kubernetes.io/enforce: restricted") {
		t.Errorf("the level is lost:\n%s", again)
	}
	lay(again)
	c.Kubectl(t, "delete", "pod", "modest", "-n", "fresh", "--now")
	applyText(t, c, modestPod)
}
