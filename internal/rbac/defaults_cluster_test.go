//go:build cluster

package rbac_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/rbac"
	"github.com/gabion-k8s/gabion/test/cluster"
)

var servedVersion = evidence.Version{Major: 1, Minor: 36}

func connect(t *testing.T, c *cluster.Cluster) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// list is what a cluster serves of roles and bindings.
func list(t *testing.T, client *kubernetes.Clientset) *evidence.Snapshot {
	t.Helper()
	snap := &evidence.Snapshot{Cluster: &evidence.Cluster{Version: "v1.36.3", Lists: []evidence.Listing{
		{Resource: "clusterroles.rbac.authorization.k8s.io"}, {Resource: "roles.rbac.authorization.k8s.io"}}}}
	api, all := client.RbacV1(), metav1.ListOptions{}
	add := func(kind string, o metav1.Object) {
		snap.Add(&evidence.Ref{APIVersion: "rbac.authorization.k8s.io/v1", Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName(), Labels: o.GetLabels()}, o)
	}
	clusterRoles, err := api.ClusterRoles().List(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	for i := range clusterRoles.Items {
		add("ClusterRole", &clusterRoles.Items[i])
	}
	roles, err := api.Roles("").List(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	for i := range roles.Items {
		add("Role", &roles.Items[i])
	}
	clusterBindings, err := api.ClusterRoleBindings().List(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	for i := range clusterBindings.Items {
		add("ClusterRoleBinding", &clusterBindings.Items[i])
	}
	bindings, err := api.RoleBindings("").List(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	for i := range bindings.Items {
		add("RoleBinding", &bindings.Items[i])
	}
	return snap
}

// compare returns by name whether each object is changed, and complains of those that
// have no default.
func compare(t *testing.T, snap *evidence.Snapshot) map[string]rbac.Difference {
	t.Helper()
	x, all := rbac.NewIndex(snap), map[string]rbac.Difference{}
	note := func(ref *evidence.Ref, d rbac.Difference, ok bool) {
		if !ok {
			t.Errorf("%s is no default", ref)
		}
		all[ref.String()] = d
	}
	for _, o := range snap.ClusterRoles {
		d, ok := x.CompareClusterRole(o, servedVersion)
		note(o.Ref, d, ok)
	}
	for _, o := range snap.Roles {
		d, ok := rbac.CompareRole(o, servedVersion)
		note(o.Ref, d, ok)
	}
	for _, b := range snap.Bindings {
		d, ok := rbac.CompareBinding(b, servedVersion)
		note(b.Ref, d, ok)
	}
	return all
}

func untouched(t *testing.T, snap *evidence.Snapshot, least int) {
	t.Helper()
	all := compare(t, snap)
	if len(all) < least {
		t.Errorf("only %d roles and bindings", len(all))
	}
	for name, d := range all {
		if d.Changed() {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// What the API server and kubeadm really make are untouched defaults, and each change
// of one of them that the API server takes is seen.
func TestDefaultsOfCluster(t *testing.T) {
	c := cluster.Start(t, cluster.Options{})
	client := connect(t, c)
	untouched(t, list(t, client), 130)
	kubeadm(t, c)
	snap := list(t, client)
	untouched(t, snap, 145)

	changed := map[string]bool{}
	update := metav1.UpdateOptions{}
	conquer := rbacv1.PolicyRule{Verbs: []string{"conquer"}, APIGroups: []string{"shop.example.com"}, Resources: []string{"carts"}}
	developers := rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "Group", Name: "developers"}
	for _, o := range snap.ClusterRoles {
		if o.Value.AggregationRule != nil || o.Name == "cluster-admin" {
			continue // the rules of the former are the controller's; the latter has them all
		}
		role := o.Value.DeepCopy()
		role.Rules = append(role.Rules, conquer)
		if _, err := client.RbacV1().ClusterRoles().Update(t.Context(), role, update); err != nil {
			t.Fatal(err)
		}
		changed[o.String()] = true
	}
	for _, o := range snap.Roles {
		role := o.Value.DeepCopy()
		role.Rules = append(role.Rules, conquer)
		if _, err := client.RbacV1().Roles(o.Namespace).Update(t.Context(), role, update); err != nil {
			t.Fatal(err)
		}
		changed[o.String()] = true
	}
	for _, b := range snap.Bindings {
		subjects := append(b.Subjects[:len(b.Subjects):len(b.Subjects)], developers)
		meta := metav1.ObjectMeta{Namespace: b.Namespace, Name: b.Name}
		var err error
		if b.Namespace == "" {
			_, err = client.RbacV1().ClusterRoleBindings().Update(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: b.RoleRef, Subjects: subjects}, update)
		} else {
			_, err = client.RbacV1().RoleBindings(b.Namespace).Update(t.Context(), &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: b.RoleRef, Subjects: subjects}, update)
		}
		if err != nil {
			t.Fatal(err)
		}
		changed[b.String()] = true
	}
	// What admin, edit and view collect meanwhile is told by their sources.
	for name, d := range compare(t, list(t, client)) {
		if d.Changed() != changed[name] {
			t.Errorf("%s: changed is %t: %+v", name, d.Changed(), d)
		}
	}
	if len(changed) < 140 {
		t.Errorf("only %d objects were changed", len(changed))
	}
}

// kubeadmConfig keeps kubeadm from asking the network for the newest version.
const kubeadmConfig = `apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.36.3
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: 198.51.100.1}
nodeRegistration: {name: node, criSocket: "unix:///nowhere"}
`

// kubeadm runs its phases that make roles and bindings.
func kubeadm(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	program := filepath.Join(filepath.Dir(c.Command(context.Background()).Path), "kubeadm")
	config := filepath.Join(t.TempDir(), "kubeadm.yaml")
	if err := os.WriteFile(config, []byte(kubeadmConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, phase := range []string{"bootstrap-token", "upload-config kubeadm", "upload-config kubelet", "addon kube-proxy", "addon coredns"} {
		args := append([]string{"init", "phase"}, strings.Fields(phase)...)
		args = append(args, "--kubeconfig", c.Kubeconfig, "--config", config)
		if out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput(); err != nil {
			t.Fatalf("kubeadm %s: %v\n%s", phase, err, out)
		}
	}
}

// With all feature gates on there are more defaults.
func TestGatedDefaultsOfCluster(t *testing.T) {
	c := cluster.Start(t, cluster.Options{APIServer: []string{"--feature-gates=AllAlpha=true,AllBeta=true", "--runtime-config=api/all=true"}})
	untouched(t, list(t, connect(t, c)), 145)
}
