//go:build cluster

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"

	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
	"github.com/gabion-k8s/gabion/test/cluster"
)

var manifests = flag.String("manifests", "", "folder of manifests to compare by as well, such as a corpus of other people's")

// The same object has the same findings, by ID, in a file, in the real API
// server that the file was applied to, and in a snapshot of it.
func TestSameFindings(t *testing.T) {
	for name, dirs := range map[string][]string{
		"shop":   {"../../examples/shop"},
		"checks": {"../../internal/checks/testdata"},
		"own":    {*manifests},
	} {
		if dirs[0] == "" {
			continue
		}
		t.Run(name, func(t *testing.T) { sameFindings(t, dirs) })
	}
}

func sameFindings(t *testing.T, dirs []string) {
	c := cluster.Start(t, cluster.Options{})
	applied, refused := apply(t, c, read(t, dirs))
	t.Logf("%d objects applied, %d refused", len(applied), len(refused))
	for reason, n := range tally(refused) {
		t.Logf("refused: %4d %s", n, reason)
	}
	known := slices.Clone(applied)
	for _, namespace := range []string{"default", "kube-system", "kube-public", "kube-node-lease"} {
		known = append(known, plain("Namespace", "", namespace))
	}
	files := write(t, known)
	snapshot := filepath.Join(t.TempDir(), "cluster.snap")

	written := scan(t, files, "--kubernetes-version", "1.36")
	live := scan(t, "--cluster", "--kubeconfig", c.Kubeconfig)
	run(t, "snapshot", "--cluster", "--kubeconfig", c.Kubeconfig, "--output-file", snapshot)
	stored := scan(t, "--snapshot", snapshot)

	ours := map[name]bool{}
	for _, o := range applied {
		ours[nameOf(o)] = true
	}
	for _, n := range changed(t, c, applied) {
		delete(ours, n)
	}
	inFiles, inCluster := findings(written, ours), findings(live, ours)
	for id, f := range inCluster {
		// That something is nowhere in a cluster no file can show.
		if _, both := inFiles[id]; !both && slices.Contains(absence, f.Rule) {
			delete(inCluster, id)
		}
	}
	for id, f := range inFiles {
		// Templates ask for a proxy that nobody here injects: the pods that run are in no mesh.
		if _, both := inCluster[id]; !both && f.Rule == "mesh-mtls" && f.Object.Kind != "Namespace" && f.Object.Kind != "PeerAuthentication" {
			delete(inFiles, id)
		}
	}
	compare(t, "file and cluster", inFiles, inCluster)
	all := map[name]bool{}
	for _, f := range live.Findings {
		all[of(f.Object)] = true
	}
	if len(live.Findings) < len(written.Findings)/2 {
		t.Errorf("%d findings in the cluster, %d in the files", len(live.Findings), len(written.Findings))
	}
	compare(t, "cluster and snapshot", findings(live, all), findings(stored, all))
	for i, row := range live.Recommendations {
		if s := stored.Recommendations[i]; s.Status != row.Status || s.Reason != row.Reason {
			t.Errorf("%s: %s (%s) in the cluster, %s (%s) in its snapshot", row.ID, row.Status, row.Reason, s.Status, s.Reason)
		}
	}
}

// absence are the rules that are about what is missing from a whole cluster.
var absence = []string{"dangling-binding", "dangling-webhook", "dangling-api-service", "beyond-pod-security"}

type name struct{ group, kind, namespace, name string }

func nameOf(o *unstructured.Unstructured) name {
	return name{o.GroupVersionKind().Group, o.GetKind(), o.GetNamespace(), o.GetName()}
}

func of(o report.Object) name {
	group, _, ok := strings.Cut(o.APIVersion, "/")
	if !ok {
		group = ""
	}
	return name{group, o.Kind, o.Namespace, o.Name}
}

// findings are those of some objects, by ID, of rules that both kinds of world
// can be asked about.
func findings(r *report.Report, some map[name]bool) map[string]report.Finding {
	list := map[string]report.Finding{}
	for _, f := range r.Findings {
		c, ok := checks.Find(f.Rule)
		// kubectl's copy of an object is not kept of live objects.
		copied := strings.Contains(f.Path, corev1.LastAppliedConfigAnnotation)
		if some[of(f.Object)] && ok && c.Live == "" && c.Written == "" && !copied {
			list[f.ID] = f
		}
	}
	return list
}

func compare(t *testing.T, what string, a, b map[string]report.Finding) {
	t.Helper()
	only := func(which string, these, those map[string]report.Finding) {
		for _, id := range slices.Sorted(maps.Keys(these)) {
			if _, ok := those[id]; !ok {
				f := these[id]
				t.Errorf("%s: only in the %s: %s %s: %s (%s)", what, which, f.Rule, f.Object, f.Message, f.Path)
			}
		}
	}
	only("first", a, b)
	only("second", b, a)
	t.Logf("%s: %d and %d findings", what, len(a), len(b))
}

// read gives every object below the folders, of each name the first.
func read(t *testing.T, dirs []string) []*unstructured.Unstructured {
	t.Helper()
	reader := manifest.Reader{Options: manifest.Options{KeepJSON: true}}
	seen := map[name]bool{}
	var list []*unstructured.Unstructured
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(file)) {
				return err
			}
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if bytes.HasPrefix(text, []byte("# cluster:")) {
				return nil // objects as a cluster shows them, which nobody wrote so
			}
			for _, res := range reader.Read(file, text) {
				if res.Ref == nil || res.Ref.JSON == nil {
					continue
				}
				o := &unstructured.Unstructured{}
				if err := o.UnmarshalJSON(res.Ref.JSON); err != nil {
					continue
				}
				o.SetNamespace(res.Ref.Namespace)
				if len(o.GetOwnerReferences()) > 0 {
					continue // of an owner that is not there: the garbage collector's
				}
				if o.GetName() != "" && !seen[nameOf(o)] && o.GetKind() != "Node" && o.GetNamespace() != "kube-system" {
					seen[nameOf(o)] = true
					list = append(list, o)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// turn says when a kind is applied: first what others need, last what stops or
// changes others.
func turn(o *unstructured.Unstructured) int {
	switch o.GetKind() {
	case "Namespace":
		return 0
	case "ServiceAccount", "RuntimeClass", "PriorityClass", "CustomResourceDefinition", "ClusterRole", "Role":
		return 1
	case "LimitRange", "ResourceQuota":
		return 3
	case "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding":
		return 4
	case "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration":
		return 5
	}
	return 2
}

// apply creates the objects, with the namespaces and the accounts that they need,
// and returns those that the API server took.
func apply(t *testing.T, c *cluster.Cluster, list []*unstructured.Unstructured) (applied []*unstructured.Unstructured, refused []error) {
	t.Helper()
	list = append(list, needed(list)...)
	slices.SortStableFunc(list, func(a, b *unstructured.Unstructured) int { return cmp.Compare(turn(a), turn(b)) })
	client, err := dynamic.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	groups, err := restmapper.GetAPIGroupResources(discovery.NewDiscoveryClientForConfigOrDie(c.Config()))
	if err != nil {
		t.Fatal(err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	waited := false
	for _, o := range list {
		if turn(o) == 2 && !waited {
			time.Sleep(3 * time.Second) // the accounts named default are made by then
			waited = true
		}
		gvk := o.GroupVersionKind()
		m, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil {
			refused = append(refused, fmt.Errorf("%s: no such kind", gvk.GroupKind()))
			continue
		}
		var where dynamic.ResourceInterface = client.Resource(m.Resource)
		if m.Scope.Name() == "namespace" {
			where = client.Resource(m.Resource).Namespace(o.GetNamespace())
		}
		if _, err := where.Create(context.Background(), o.DeepCopy(), metav1.CreateOptions{}); err != nil {
			refused = append(refused, err)
			continue
		}
		applied = append(applied, o)
	}
	return applied, refused
}

// needed are the namespaces and ServiceAccounts that objects live in and run as.
func needed(list []*unstructured.Unstructured) (more []*unstructured.Unstructured) {
	have := map[name]bool{{kind: "Namespace", name: "default"}: true, {kind: "Namespace", name: "kube-system"}: true, {kind: "Namespace", name: "kube-public"}: true}
	for _, o := range list {
		have[nameOf(o)] = true
	}
	add := func(n name) {
		if have[n] || n.name == "" {
			return
		}
		have[n] = true
		more = append(more, plain(n.kind, n.namespace, n.name))
	}
	for _, o := range list {
		add(name{kind: "Namespace", name: o.GetNamespace()})
		if account, _, _ := unstructured.NestedString(o.Object, "spec", "serviceAccountName"); o.GetKind() == "Pod" && account != "default" {
			add(name{kind: "ServiceAccount", namespace: o.GetNamespace(), name: account})
		}
	}
	return more
}

// plain is an object with nothing but a name.
func plain(kind, namespace, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": kind}}
	o.SetName(name)
	o.SetNamespace(namespace)
	return o
}

// changed are the pods that were applied and that controllers deleted since, or
// took for their own, with those controllers: they are not what was applied.
func changed(t *testing.T, c *cluster.Cluster, applied []*unstructured.Unstructured) (list []name) {
	t.Helper()
	k, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	pods, err := k.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	owners := map[name]*metav1.OwnerReference{}
	for _, p := range pods.Items {
		owners[name{"", "Pod", p.Namespace, p.Name}] = metav1.GetControllerOf(&p)
	}
	for _, o := range applied {
		n := nameOf(o)
		owner, exists := owners[n]
		if n.kind != "Pod" || exists && owner == nil {
			continue
		}
		list = append(list, n)
		if owner != nil {
			group := schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind).Group
			list = append(list, name{group, owner.Kind, n.namespace, owner.Name})
		}
		for _, other := range applied {
			if other.GetNamespace() == n.namespace && other.GetKind() == "ReplicationController" {
				list = append(list, nameOf(other))
			}
		}
	}
	return list
}

func tally(errs []error) map[string]int {
	n := map[string]int{}
	for _, err := range errs {
		text := err.Error()
		n[text[:min(len(text), 160)]]++
	}
	return n
}

// write writes the objects into files.
func write(t *testing.T, list []*unstructured.Unstructured) string {
	t.Helper()
	dir := t.TempDir()
	for i, o := range list {
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%04d.json", i)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
