//go:build cluster

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/gabion-k8s/gabion/internal/cli"
	"github.com/gabion-k8s/gabion/test/cluster"
)

// kept are objects that something else keeps as they are.
const kept = `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: released
  namespace: tools
  labels: {app.kubernetes.io/managed-by: Helm}
  annotations: {meta.helm.sh/release-name: web, meta.helm.sh/release-namespace: tools}
spec:
  selector: {matchLabels: {app: released}}
  template:
    metadata: {labels: {app: released}}
    spec: {containers: [{name: web, image: registry.example.com/web}]}
---
apiVersion: v1
kind: Pod
metadata: {name: alone, namespace: tools}
spec: {containers: [{name: alone, image: registry.example.com/alone}]}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: made
  namespace: tools
  ownerReferences: [{apiVersion: example.com/v1, kind: Thing, name: maker, uid: 11111111-2222-3333-4444-555555555555, controller: true}]
spec:
  replicas: 1
  selector: {matchLabels: {app: made}}
  template:
    metadata: {labels: {app: made}}
    spec: {containers: [{name: made, image: registry.example.com/made}]}
`

// mesh is a custom kind that checks read, and peers an object of it.
const mesh = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: peerauthentications.security.istio.io}
spec:
  group: security.istio.io
  names: {kind: PeerAuthentication, plural: peerauthentications}
  scope: Namespaced
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`

const peers = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: tools}
spec: {mtls: {mode: PERMISSIVE}}
`

// contested sets a field that a fix would set to something else.
const contested = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: contested, namespace: tools}
spec:
  selector: {matchLabels: {app: contested}}
  template:
    metadata: {labels: {app: contested}}
    spec: {containers: [{name: web, image: registry.example.com/web, securityContext: {allowPrivilegeEscalation: true}}]}
`

// asWritten are the objects of the cluster as people and controllers wrote them, by kind and name.
func asWritten(t *testing.T, c *cluster.Cluster) map[string]any {
	t.Helper()
	kinds := "deployments,statefulsets,daemonsets,cronjobs,serviceaccounts,services,configmaps,secrets,namespaces,roles,rolebindings,clusterroles,clusterrolebindings,networkpolicies"
	if strings.Contains(c.Kubectl(t, "api-resources", "-o", "name"), "peerauthentications") {
		kinds += ",peerauthentications.security.istio.io"
	}
	var list struct{ Items []map[string]any }
	if err := json.Unmarshal([]byte(c.Kubectl(t, "get", kinds, "--all-namespaces", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	objects := map[string]any{}
	for _, o := range list.Items {
		meta := o["metadata"].(map[string]any)
		for _, own := range []string{"managedFields", "resourceVersion", "generation"} {
			delete(meta, own)
		}
		delete(o, "status")
		annotations, _ := meta["annotations"].(map[string]any)
		delete(annotations, "deployment.kubernetes.io/revision")
		delete(annotations, "deprecated.daemonset.template.generation")
		if len(annotations) == 0 {
			delete(meta, "annotations")
		}
		namespace, _ := meta["namespace"].(string)
		objects[o["kind"].(string)+" "+namespace+"/"+meta["name"].(string)] = o
	}
	return objects
}

// changedObjects are the names of those that differ.
func changedObjects(before, after map[string]any) map[string]bool {
	names := map[string]bool{}
	for name := range before {
		if !cmp.Equal(before[name], after[name]) {
			names[name] = true
		}
	}
	for name := range after {
		if _, was := before[name]; !was {
			names[name] = true
		}
	}
	return names
}

// fixReport is what fix -o json says.
func fixReport(t *testing.T, args ...string) cli.FixReport {
	t.Helper()
	var r cli.FixReport
	if err := json.Unmarshal([]byte(run(t, append([]string{"fix", "-o", "json"}, args...)...).out), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestFixCluster: what fix makes of a live cluster is what it said, nothing else changes,
// and the way back leads back.
func TestFixCluster(t *testing.T) {
	c := cluster.Start(t, cluster.Options{})
	fill(t, c)
	applyText(t, c, kept)
	applyText(t, c, mesh)
	c.Kubectl(t, "wait", "--for=condition=Established", "crd/peerauthentications.security.istio.io")
	applyText(t, c, peers)
	ssa := c.Command(t.Context(), "apply", "--server-side", "--field-manager=their-tool", "-f", "-")
	ssa.Stdin = strings.NewReader(contested)
	if out, err := ssa.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	live := []string{"--kubeconfig", c.Kubeconfig, "--unsafe"}
	before := asWritten(t, c)
	undo := filepath.Join(t.TempDir(), "undo.json")

	// Patches as files: nothing is changed, and kubectl takes every one of them.
	dir := t.TempDir()
	foretold := fixReport(t, append(live, "--output-dir", dir)...)
	if len(foretold.Edits) < 20 {
		t.Fatalf("%d edits", len(foretold.Edits))
	}
	if some := changedObjects(before, asWritten(t, c)); len(some) > 0 {
		t.Fatalf("without --apply these have changed: %v", some)
	}
	files := map[string]bool{}
	for _, e := range foretold.Edits {
		files[e.File] = true
	}
	for file := range files {
		c.Kubectl(t, "apply", "--server-side", "--field-manager=gabion", "--dry-run=server", "-f", filepath.Join(dir, file))
	}
	reasons := map[string]bool{}
	for _, r := range foretold.Refused {
		reasons[r.Reason] = true
	}
	for _, want := range []string{
		"kept by Helm release tools/web", "kept by Thing maker", "a pod cannot be changed", "the pods of a Job cannot be changed",
		".spec.template.spec.containers[name=\"web\"].securityContext.allowPrivilegeEscalation is set by the field manager their-tool",
	} {
		found := false
		for r := range reasons {
			found = found || strings.Contains(r, want)
		}
		if !found {
			t.Errorf("nothing was refused because %s", want)
		}
	}

	// Some first, then all: what was applied before stays.
	fixed := map[string]bool{}
	first := filepath.Join(t.TempDir(), "first.json")
	for _, step := range [][]string{{"--rule", "drop-capabilities", "--undo-file", first}, {"--undo-file", undo}} {
		for _, e := range fixReport(t, append(append(live, "--apply"), step...)...).Edits {
			fixed[e.Finding] = true
		}
	}
	for _, e := range foretold.Edits {
		if !fixed[e.Finding] {
			t.Errorf("%s %s was to be fixed, and is not", e.File, e.Path)
		}
	}
	for _, f := range scan(t, "--kubeconfig", c.Kubeconfig).Findings {
		// Without nodes no rollout ends: what still runs of before is not the object.
		if fixed[f.ID] && !strings.Contains(f.Message, "not in the template") {
			t.Errorf("still there: %s: %s", f.Object, f.Message)
		}
	}
	after := asWritten(t, c)
	touched := changedObjects(before, after)
	if len(touched) != len(files) {
		t.Errorf("%d objects were to be changed, these have: %v", len(files), touched)
	}
	for _, untouched := range []string{"Deployment tools/released"} {
		if touched[untouched] {
			t.Errorf("%s has changed", untouched)
		}
	}

	// Again: nothing is left to do.
	if again := fixReport(t, append(live, "--apply")...); len(again.Edits) > 0 {
		t.Errorf("the second time: %+v", again.Edits)
	}

	// Another cluster's way back is refused.
	text, err := os.ReadFile(undo)
	if err != nil {
		t.Fatal(err)
	}
	var way struct{ Cluster struct{ UID string } }
	if err := json.Unmarshal(text, &way); err != nil || way.Cluster.UID == "" {
		t.Fatal(err, way)
	}
	other := filepath.Join(t.TempDir(), "other.json")
	if err := os.WriteFile(other, []byte(strings.ReplaceAll(string(text), way.Cluster.UID, "99999999-0000-0000-0000-000000000000")), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := try(t, "fix", "--undo", other, "--kubeconfig", c.Kubeconfig); r.code != cli.ExitUsage || !strings.Contains(r.errors, "another cluster") {
		t.Errorf("exit code %d: %s", r.code, r.errors)
	}

	// A field that somebody has changed since is left; everything else comes back.
	c.Kubectl(t, "patch", "deployment", "search", "-n", "shop", "--type=json", "-p", `[{"op": "replace", "path": "/spec/template/spec/containers/0/securityContext/readOnlyRootFilesystem", "value": false}]`)
	r := try(t, "fix", "--undo", undo, "--kubeconfig", c.Kubeconfig)
	if r.code != cli.ExitIncomplete || strings.Count(r.errors, "left as it is") != 1 || !strings.Contains(r.errors, `Deployment shop/search: .spec.template.spec.containers[name="search"].securityContext.readOnlyRootFilesystem`) {
		t.Errorf("exit code %d: %s", r.code, r.errors)
	}
	c.Kubectl(t, "patch", "deployment", "search", "-n", "shop", "--type=json", "-p", `[{"op": "remove", "path": "/spec/template/spec/containers/0/securityContext/readOnlyRootFilesystem"}]`)
	for range 2 { // the second time there is nothing to do
		for _, file := range []string{undo, first} {
			if r := try(t, "fix", "--undo", file, "--kubeconfig", c.Kubeconfig); r.code != cli.ExitClean {
				t.Errorf("exit code %d: %s", r.code, r.errors)
			}
		}
		if diff := cmp.Diff(before, asWritten(t, c)); diff != "" {
			t.Fatalf("-before +undone\n%s", diff)
		}
	}

	// Taken over by force, and given back.
	forced := filepath.Join(t.TempDir(), "forced.json")
	run(t, append([]string{"fix"}, append(live, "--apply", "--force-conflicts", "-n", "tools", "--rule", "privilege-escalation,mesh-mtls", "--undo-file", forced)...)...)
	touched = changedObjects(before, asWritten(t, c))
	for _, want := range []string{"Deployment tools/contested", "Deployment tools/released", "PeerAuthentication tools/default"} {
		if !touched[want] {
			t.Errorf("%s was not changed by force", want)
		}
	}
	run(t, "fix", "--undo", forced, "--kubeconfig", c.Kubeconfig)
	if diff := cmp.Diff(before, asWritten(t, c)); diff != "" {
		t.Errorf("-before +undone\n%s", diff)
	}
}

// Who may only read gets patches that nobody proved, told as such, and changes nothing.
func TestFixClusterReader(t *testing.T) {
	c := shop(t)
	c.Kubectl(t, "create", "clusterrolebinding", "fix-reader", "--clusterrole=view", "--user=fix-reader")
	reader := c.User(t, "fix-reader")
	r := run(t, "fix", "--kubeconfig", reader.Kubeconfig, "--unsafe", "-n", "shop")
	if !strings.Contains(r.out, "# NOT proven by the API server") || !strings.Contains(r.errors, "needs the right patch") {
		t.Errorf("%s\n%s", r.out, r.errors)
	}
	before := asWritten(t, c)
	file := filepath.Join(t.TempDir(), "undo.json")
	if r := try(t, "fix", "--kubeconfig", reader.Kubeconfig, "--unsafe", "-n", "shop", "--apply", "--undo-file", file); r.code != cli.ExitFindings || !strings.Contains(r.errors, "not proven by the API server") {
		t.Errorf("exit code %d: %s", r.code, r.errors)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("there is a way back from nothing")
	}
	if some := changedObjects(before, asWritten(t, c)); len(some) > 0 {
		t.Errorf("these have changed: %v", some)
	}
}

// sharers are workloads of which some can have a ServiceAccount of their own, without
// anybody losing anything that the cluster shows.
const sharers = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: own, namespace: lab}
spec:
  replicas: 1
  selector: {matchLabels: {app: own}}
  template:
    metadata: {labels: {app: own}}
    spec: {containers: [{name: web, image: registry.example.com/web}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: "123", namespace: lab}
spec:
  replicas: 1
  serviceName: data
  selector: {matchLabels: {app: data}}
  template:
    metadata: {labels: {app: data}}
    spec: {serviceAccountName: default, containers: [{name: data, image: registry.example.com/data}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: bound, namespace: rights}
spec:
  replicas: 1
  selector: {matchLabels: {app: bound}}
  template:
    metadata: {labels: {app: bound}}
    spec: {containers: [{name: web, image: registry.example.com/web}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: views, namespace: rights}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: default}]
`

// TestFixClusterAccounts: workloads get ServiceAccounts of their own, their pods are made
// with these and without a token, and the way back leads back, but to nothing that
// somebody else needs by then.
func TestFixClusterAccounts(t *testing.T) {
	c := cluster.Start(t, cluster.Options{})
	client := kubernetes.NewForConfigOrDie(c.Config())
	for _, ns := range []string{"lab", "rights"} {
		c.Kubectl(t, "create", "namespace", ns)
		eventually(t, "the default ServiceAccount of "+ns, func() error {
			_, err := client.CoreV1().ServiceAccounts(ns).Get(t.Context(), "default", metav1.GetOptions{})
			return err
		})
	}
	c.Kubectl(t, "patch", "serviceaccount", "default", "-n", "lab", "-p", `{"imagePullSecrets": [{"name": "pull"}]}`)
	applyText(t, c, sharers)
	podsOf := func(app string, runsAs string) {
		t.Helper()
		eventually(t, "a pod of "+app+" that runs as "+runsAs, func() error {
			list, err := client.CoreV1().Pods("lab").List(t.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
			if err != nil {
				return err
			}
			for _, p := range list.Items {
				tokens := slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.Projected != nil })
				if p.Spec.ServiceAccountName == runsAs && tokens == (runsAs == "default") && len(p.Spec.ImagePullSecrets) == 1 {
					return nil
				}
			}
			return fmt.Errorf("%d pods, none like this", len(list.Items))
		})
	}
	podsOf("own", "default")
	live := []string{"--kubeconfig", c.Kubeconfig, "--rule", "default-service-account", "--unsafe", "--force-conflicts"}

	// As files: kubectl makes them, and nothing is there yet.
	dir := t.TempDir()
	foretold := fixReport(t, append(live, "--output-dir", dir)...)
	var files []string
	for _, e := range foretold.Edits {
		files = append(files, e.File+" "+e.Path)
	}
	slices.Sort(files)
	want := []string{
		"lab/deployment.apps_own.yaml spec.template.spec.serviceAccountName", "lab/serviceaccount_123.yaml ", "lab/serviceaccount_own.yaml ",
		"lab/statefulset.apps_123.yaml spec.template.spec.serviceAccount", "lab/statefulset.apps_123.yaml spec.template.spec.serviceAccountName",
	}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Fatalf("-want +foretold\n%s\n%+v", diff, foretold.Refused)
	}
	c.Kubectl(t, "apply", "--server-side", "--field-manager=gabion", "--force-conflicts", "--dry-run=server", "-R", "-f", dir)

	// Who may not make accounts is told so, and no workload is left without one.
	c.Kubectl(t, "create", "clusterrolebinding", "viewer", "--clusterrole=view", "--user=patcher")
	c.Kubectl(t, "create", "clusterrole", "patches", "--verb=get,list,patch", "--resource=deployments.apps,statefulsets.apps,rolebindings.rbac.authorization.k8s.io,clusterrolebindings.rbac.authorization.k8s.io,roles.rbac.authorization.k8s.io,clusterroles.rbac.authorization.k8s.io,namespaces")
	c.Kubectl(t, "create", "clusterrolebinding", "patcher", "--clusterrole=patches", "--user=patcher")
	before := asWritten(t, c)
	patcher := c.User(t, "patcher")
	r := try(t, "fix", "--kubeconfig", patcher.Kubeconfig, "-n", "lab", "--rule", "default-service-account,seccomp-profile", "--unsafe", "--apply", "--undo-file", filepath.Join(t.TempDir(), "undo.json"))
	if !strings.Contains(r.errors, "needs the right create") || !strings.Contains(r.errors, "changed Deployment lab/own") {
		t.Errorf("exit code %d: %s", r.code, r.errors)
	}
	if some := changedObjects(before, asWritten(t, c)); len(some) != 2 || !some["Deployment lab/own"] || !some["StatefulSet lab/123"] {
		t.Errorf("without the right these have changed: %v\n%s", some, r.errors)
	}
	podsOf("own", "default")
	before = asWritten(t, c)

	// Made: each workload has its own, and pods are made with it.
	undo := filepath.Join(t.TempDir(), "undo.json")
	r = try(t, append(append([]string{"fix"}, live...), "--apply", "--undo-file", undo)...)
	if account, workload := strings.Index(r.errors, "made ServiceAccount lab/own"), strings.Index(r.errors, "changed Deployment lab/own"); account < 0 || workload < account {
		t.Fatalf("exit code %d: %s", r.code, r.errors)
	}
	after := asWritten(t, c)
	if some := changedObjects(before, after); len(some) != 4 {
		t.Errorf("these have changed: %v", some)
	}
	for _, name := range []string{"own", "123"} {
		sa, err := client.CoreV1().ServiceAccounts("lab").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil || sa.AutomountServiceAccountToken == nil || *sa.AutomountServiceAccountToken || len(sa.ImagePullSecrets) != 1 || sa.ImagePullSecrets[0].Name != "pull" {
			t.Errorf("%s: %+v %v", name, sa, err)
		}
	}
	podsOf("own", "own")
	c.Kubectl(t, "delete", "pod", "123-0", "-n", "lab", "--force", "--grace-period=0")
	podsOf("data", "123")
	if again := fixReport(t, append(live, "--apply")...); len(again.Edits) > 0 {
		t.Errorf("the second time: %+v", again.Edits)
	}

	// An account that its workload still needs is left, and so is one that somebody else
	// has changed since.
	c.Kubectl(t, "annotate", "serviceaccount", "123", "-n", "lab", "example.com/owner=somebody")
	c.Kubectl(t, "patch", "deployment", "own", "-n", "lab", "-p", `{"spec": {"template": {"spec": {"serviceAccountName": "else", "serviceAccount": "else"}}}}`)
	r = try(t, "fix", "--undo", undo, "--kubeconfig", c.Kubeconfig)
	for _, want := range []string{
		"Deployment lab/own: .spec.template.spec.serviceAccountName was changed by somebody else", "ServiceAccount lab/own: not undone: Deployment lab/own, which it was made for, may still need it",
		"StatefulSet lab/123: 2 fields undone", "ServiceAccount lab/123: .metadata.annotations.example.com/owner was changed by somebody else",
	} {
		if r.code != cli.ExitIncomplete || !strings.Contains(r.errors, want) {
			t.Errorf("exit code %d: nothing of %s: %s", r.code, want, r.errors)
		}
	}
	c.Kubectl(t, "annotate", "serviceaccount", "123", "-n", "lab", "example.com/owner-")
	c.Kubectl(t, "patch", "deployment", "own", "-n", "lab", "-p", `{"spec": {"template": {"spec": {"serviceAccountName": "own", "serviceAccount": "own"}}}}`)
	for range 2 { // the second time there is nothing to do
		if r := try(t, "fix", "--undo", undo, "--kubeconfig", c.Kubeconfig); r.code != cli.ExitClean {
			t.Errorf("exit code %d: %s", r.code, r.errors)
		}
		if diff := cmp.Diff(before, asWritten(t, c)); diff != "" {
			t.Fatalf("-before +undone\n%s", diff)
		}
	}
}
