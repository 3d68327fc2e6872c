//go:build cluster

package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/gabion-k8s/gabion/test/cluster"
)

// levels are namespaces of every kind: what runs satisfies each of the levels, and the
// labels of today are missing, looser or (set later) stricter.
const levels = `
apiVersion: v1
kind: Namespace
metadata: {name: strict}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: strict}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers: [{name: web, image: registry.example.com/web, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]
---
apiVersion: v1
kind: Namespace
metadata: {name: plain, labels: {pod-security.kubernetes.io/enforce: privileged}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: plain}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: registry.example.com/web}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: plain}
spec:
  serviceName: db
  podManagementPolicy: Parallel
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      securityContext: {runAsUser: 0, seccompProfile: {type: RuntimeDefault}}
      containers: [{name: db, image: registry.example.com/db, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [CHOWN]}}}]
---
apiVersion: v1
kind: Pod
metadata: {name: alone, namespace: plain}
spec:
  containers: [{name: alone, image: registry.example.com/alone}]
---
apiVersion: v1
kind: Namespace
metadata: {name: node}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: proxy, namespace: node}
spec:
  replicas: 3
  selector: {matchLabels: {app: proxy}}
  template:
    metadata: {labels: {app: proxy}}
    spec:
      hostNetwork: true
      containers: [{name: proxy, image: registry.example.com/proxy, ports: [{containerPort: 8443}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: shell, namespace: node}
spec:
  volumes: [{name: root, hostPath: {path: /}}]
  containers: [{name: shell, image: registry.example.com/shell, securityContext: {privileged: true}}]
---
apiVersion: v1
kind: Pod
metadata: {name: fine, namespace: node}
spec:
  containers: [{name: fine, image: registry.example.com/fine}]
---
apiVersion: v1
kind: Namespace
metadata: {name: tight}
---
apiVersion: v1
kind: Pod
metadata: {name: old, namespace: tight}
spec:
  containers: [{name: old, image: registry.example.com/old}]
---
apiVersion: v1
kind: Namespace
metadata: {name: windows}
---
apiVersion: v1
kind: Pod
metadata: {name: iis, namespace: windows}
spec:
  os: {name: windows}
  securityContext: {runAsNonRoot: true}
  containers: [{name: iis, image: registry.example.com/iis}]
---
apiVersion: v1
kind: Namespace
metadata: {name: idle}
`

// The API server says nothing to the labels that are generated, and to the next level
// just what was foretold.
func TestGeneratePodSecurity(t *testing.T) {
	c := cluster.Start(t, cluster.Options{})
	client := kubernetes.NewForConfigOrDie(c.Config())
	for _, ns := range []string{"strict", "plain", "node", "tight", "windows"} {
		applyText(t, c, fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", ns))
		eventually(t, "the default ServiceAccount of "+ns, func() error {
			_, err := client.CoreV1().ServiceAccounts(ns).Get(t.Context(), "default", metav1.GetOptions{})
			return err
		})
	}
	applyText(t, c, levels)
	c.Kubectl(t, "label", "namespace", "tight", "pod-security.kubernetes.io/enforce=restricted")
	eventually(t, "the pods", func() error {
		list, err := client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
		if err == nil && len(list.Items) != 14 {
			err = fmt.Errorf("%d pods", len(list.Items))
		}
		return err
	})

	r := run(t, "generate", "pod-security", "--kubeconfig", c.Kubeconfig)
	if r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.errors)
	}
	found := documents(t, r.out)
	for name, want := range map[string]string{"strict": "restricted", "plain": "baseline", "node": "privileged", "tight": "baseline", "windows": "restricted", "idle": "restricted", "kube-public": "restricted"} {
		if !regexp.MustCompile(`(?m)^# Namespace ` + name + `: ` + want + `\b`).MatchString(found[name].text) {
			t.Errorf("%s is not %s:\n%s", name, want, found[name].text)
		}
	}
	list, err := client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	foretold := 0
	for _, ns := range list.Items {
		d, ok := found[ns.Name]
		if !ok {
			t.Errorf("no labels for %s", ns.Name)
			continue
		}
		var set []string
		for key, value := range d.Metadata.Labels {
			set = append(set, key+"="+value)
		}
		if said := labelled(t, c, ns.Name, set...); len(said) > 0 {
			t.Errorf("%s: warnings of the labels that were generated: %q", ns.Name, said)
		}
		level := regexp.MustCompile(`(?m)^# What blocks (\w+):$`).FindStringSubmatch(d.text)
		if level == nil {
			continue
		}
		foretold++
		next := labelled(t, c, ns.Name, "pod-security.kubernetes.io/enforce="+level[1],
			"pod-security.kubernetes.io/enforce-version="+d.Metadata.Labels["pod-security.kubernetes.io/warn-version"])
		if len(next) < 2 || !slices.EqualFunc(d.warnings, next, foretells) {
			t.Errorf("%s: foretold for %s:\n%s\nsaid:\n%s", ns.Name, level[1], strings.Join(d.warnings, "\n"), strings.Join(next, "\n"))
		}
	}
	if foretold != 3 {
		t.Errorf("%d namespaces with a level above, want plain, node and tight", foretold)
	}

	// As the document says: warn first, then enforce.
	for _, step := range []string{run(t, "generate", "pod-security", "--warn-only", "--kubeconfig", c.Kubeconfig).out, r.out} {
		cmd := c.Command(t.Context(), "apply", "--server-side", "--field-manager=gabion", "--force-conflicts", "-f", "-")
		cmd.Stdin = strings.NewReader(step)
		if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "Warning:") {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if again := documents(t, run(t, "generate", "pod-security", "--kubeconfig", c.Kubeconfig).out); again["plain"].Metadata.Labels["pod-security.kubernetes.io/enforce"] != "baseline" {
		t.Errorf("with the labels in force: %s", again["plain"].text)
	}
}

// A document is one of those that were generated.
type document struct {
	Metadata struct {
		Name   string
		Labels map[string]string
	}
	text     string
	warnings []string
}

func documents(t *testing.T, text string) map[string]document {
	t.Helper()
	list := map[string]document{}
	for _, part := range strings.Split(text, "---\n")[1:] {
		d := document{text: part}
		if err := yaml.Unmarshal([]byte(part), &d); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(part) {
			if w, ok := strings.CutPrefix(strings.TrimSpace(line), "#   Warning: "); ok {
				d.warnings = append(d.warnings, w)
			}
		}
		list[d.Metadata.Name] = d
	}
	return list
}

// labelled is what the API server warns of when labels are tried.
func labelled(t *testing.T, c *cluster.Cluster, namespace string, labels ...string) (warnings []string) {
	t.Helper()
	out, err := c.Command(t.Context(), append([]string{"label", "--dry-run=server", "--overwrite", "namespace", namespace}, labels...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", namespace, err, out)
	}
	for line := range strings.Lines(string(out)) {
		if w, ok := strings.CutPrefix(strings.TrimSpace(line), "Warning: "); ok {
			warnings = append(warnings, w)
		}
	}
	return warnings
}

// foretells compares a warning with one whose pod may be known by how its name begins.
func foretells(foretold, said string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(foretold), `-\*`, `-[a-z0-9-]+`)
	return regexp.MustCompile("^" + pattern + "$").MatchString(said)
}
