//go:build cluster

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/files"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
	"github.com/gabion-k8s/gabion/test/cluster"
)

// What fix makes is accepted by the API server wherever the original was: of the
// examples, and of a folder of manifests that the caller has.
func TestFixedManifestsAreAccepted(t *testing.T) {
	roots := []string{filepath.Join("..", "..", "examples", "shop"), filepath.Join("..", "..", "internal", "cli", "testdata", "styles")}
	if root := os.Getenv("GABION_CORPUS"); root != "" {
		roots = append(roots, root)
	}
	c := cluster.Start(t, cluster.Options{})
	for _, root := range roots {
		work := t.TempDir()
		if err := os.CopyFS(work, os.DirFS(root)); err != nil {
			t.Fatal(err)
		}
		before := objectsIn(t, work)
		made := map[string]bool{}
		for _, e := range fixReport(t, work, "--unsafe", "--write", "--fail-on", "none", "-q").Edits {
			if e.Path == "" {
				made[e.File+"\n"+e.New] = true
			}
		}
		after, added := apart(before, objectsIn(t, work))
		if len(before) != len(after) || len(added) != len(made) {
			t.Fatalf("%s: %d objects became %d, and %d were added instead of %d", root, len(before), len(after), len(added), len(made))
		}
		var fixed []int
		for i, o := range before {
			if fmt.Sprint(o.Object) != fmt.Sprint(after[i].Object) {
				fixed = append(fixed, i)
			}
		}
		apply(t, c, slices.DeleteFunc(append(needed(before), before...), func(o *unstructured.Unstructured) bool { return turn(o) > 1 }))
		time.Sleep(3 * time.Second) // the accounts named default are made by then
		try := dryRun(t, c)
		accepted := 0
		for _, i := range fixed {
			if try(before[i]) != nil {
				continue
			}
			accepted++
			if err := try(after[i]); err != nil {
				t.Errorf("%s: %s was accepted, and is not with its fixes: %v", root, nameOf(before[i]), err)
			}
		}
		for _, o := range added {
			if err := try(o); err != nil {
				t.Errorf("%s: %s was added, and is not accepted: %v", root, nameOf(o), err)
			}
		}
		t.Logf("%s: of %d objects %d were fixed; %d of these were accepted before; %d were added", filepath.Base(root), len(before), len(fixed), accepted, len(added))
		if accepted == 0 {
			t.Errorf("%s: nothing that was fixed was accepted before", root)
		}
	}
}

// apart tells the objects that were there from those that were added.
func apart(before, all []*unstructured.Unstructured) (after, added []*unstructured.Unstructured) {
	for _, o := range all {
		if i := len(after); i < len(before) && nameOf(before[i]) == nameOf(o) {
			after = append(after, o)
		} else {
			added = append(added, o)
		}
	}
	return after, added
}

// objectsIn are the objects of a folder, in the order in which they are read.
func objectsIn(t *testing.T, folder string) (list []*unstructured.Unstructured) {
	t.Helper()
	world := &evidence.Snapshot{}
	if err := files.Read(t.Context(), world, files.Options{Paths: []string{folder}, Manifest: manifest.Options{KeepJSON: true}}); err != nil {
		t.Fatal(err)
	}
	for _, ref := range world.Objects {
		if len(ref.JSON) == 0 {
			continue // of a kind that is not kept
		}
		o := &unstructured.Unstructured{}
		if err := json.Unmarshal(ref.JSON, &o.Object); err != nil {
			t.Fatal(err)
		}
		if o.GetNamespace() == "" {
			o.SetNamespace(ref.Namespace)
		}
		list = append(list, o)
	}
	return list
}

// dryRun returns what the API server says to the creation of an object, without
// creating it.
func dryRun(t *testing.T, c *cluster.Cluster) func(*unstructured.Unstructured) error {
	t.Helper()
	config := c.Config()
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	groups, err := restmapper.GetAPIGroupResources(discovery.NewDiscoveryClientForConfigOrDie(config))
	if err != nil {
		t.Fatal(err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	return func(o *unstructured.Unstructured) error {
		gvk := o.GroupVersionKind()
		m, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil {
			return err
		}
		var where dynamic.ResourceInterface = client.Resource(m.Resource)
		if m.Scope.Name() == "namespace" {
			where = client.Resource(m.Resource).Namespace(o.GetNamespace())
		}
		if m.Resource.Resource == "namespaces" { // they are there
			_, err = where.Apply(t.Context(), o.GetName(), o, metav1.ApplyOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: "gabion", Force: true})
			return err
		}
		_, err = where.Create(t.Context(), o.DeepCopy(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
}
