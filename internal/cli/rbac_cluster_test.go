//go:build cluster

package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/test/cluster"
)

const accessObjects = `
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: gabion}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: gabion, namespace: gabion}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: shop}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: web, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
subjects: [{kind: ServiceAccount, name: web}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: lost, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: nowhere}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: jane}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: cart-keeper}
rules:
  - {apiGroups: [shop.example.com], resources: [carts], verbs: [get]}
  - {apiGroups: [""], resources: [namespaces], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: carts, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cart-keeper}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: jane}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: carts.shop.example.com}
spec:
  group: shop.example.com
  scope: Namespaced
  names: {plural: carts, singular: cart, kind: Cart, shortNames: [ct]}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
`

// Under the role that own-role prints, and no other, nothing is missing, and the
// commands about access answer from what that shows. With a right taken away they
// say which, and no longer say no.
func TestAccessOfLiveCluster(t *testing.T) {
	c := cluster.Start(t, cluster.Options{NoScheduler: true})
	apply(t, c, accessObjects)
	role, errs, code := run(t, "rbac", "own-role", "--kubeconfig", c.Kubeconfig, "--subject", "system:serviceaccount:gabion:gabion")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	apply(t, c, role)
	as := []string{"--kubeconfig", c.ServiceAccount(t, "gabion", "gabion").Kubeconfig}

	expect(t, 0, "has all", as, "own-role", "--check")
	expect(t, 0, `ServiceAccount shop/web\n +in namespace shop`, as, "who-can", "get", "secrets", "-n", "shop")
	expect(t, 0, `User jane\n +in namespace shop`, as, "who-can", "get", "ct", "-n", "shop")
	expect(t, 1, "no binding allows it", as, "can", "jane", "get", "pods", "-n", "shop")
	expect(t, 1, "leads to Role shop/nowhere, which is not there", as, "can", "jane", "get", "pods", "-n", "shop")
	expect(t, 0, "No path to cluster-admin", as, "paths", "--from", "jane")
	expect(t, 1, "create-pods|create-token|impersonate", as, "paths", "--from", "system:serviceaccount:shop:web", "--to", "serviceaccount:shop:default")
	agree(t, c, as)

	c.Kubectl(t, "patch", "clusterrole", "gabion", "--type=json", "-p", withoutBindings(t, c))
	expect(t, 3, `list rolebindings\.rbac\.authorization\.k8s\.io`, as, "own-role", "--check")
	expect(t, 3, "^unknown", as, "can", "jane", "get", "pods", "-n", "shop")
	expect(t, 3, "not read: roles and bindings", as, "who-can", "get", "secrets", "-n", "shop")
	expect(t, 3, "No path", as, "paths", "--from", "jane")
}

func apply(t *testing.T, c *cluster.Cluster, manifests string) {
	t.Helper()
	cmd := c.Command(t.Context(), "apply", "-f", "-")
	cmd.Stdin = strings.NewReader(manifests)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kubectl apply: %v\n%s", err, out)
	}
}

// agree asks kubectl auth can-i, as an administrator who impersonates, what can is
// asked.
func agree(t *testing.T, c *cluster.Cluster, as []string) {
	t.Helper()
	yes := 0
	for _, subject := range []string{"jane", "system:serviceaccount:shop:web", "system:kube-scheduler"} {
		for _, q := range []string{"get secrets", "create pods/exec", "get carts.shop.example.com", "patch deploy", "list nodes", "get /version", "create pods/binding", "get ns"} {
			out, errs, code := run(t, slices.Concat([]string{"rbac", "can", subject}, strings.Fields(q), []string{"-n", "shop"}, as)...)
			if code > 1 {
				t.Fatalf("can %s %s: exit code %d: %s", subject, q, code, errs)
			}
			if code == 0 {
				yes++
			}
			verb, resource, _ := strings.Cut(q, " ")
			args := []string{"auth", "can-i", verb, "-n", "shop", "--as", subject}
			if strings.HasPrefix(resource, "/") {
				args = append(args, resource)
			} else {
				parent, sub, _ := strings.Cut(resource, "/")
				args = append(args, parent, "--subresource", sub)
			}
			var answer, trouble bytes.Buffer
			cmd := c.Command(t.Context(), args...)
			cmd.Stdout, cmd.Stderr = &answer, &trouble
			_ = cmd.Run() // it exits 1 for no
			if answer.Len() == 0 {
				t.Fatalf("kubectl %q: %s", args, trouble.String())
			}
			if got, want := strings.Fields(out)[0], strings.Fields(answer.String())[0]; got != want && q != "get ns" {
				t.Errorf("can %s %s: %s, kubectl says %s", subject, q, got, want)
			}
		}
	}
	if yes < 6 {
		t.Errorf("only %d times yes: the test proves little", yes)
	}
	// A request about one Namespace is in it, for the API server.
	out, _, code := run(t, slices.Concat([]string{"rbac", "can", "jane", "get", "ns", "shop"}, as)...)
	var got bytes.Buffer
	cmd := c.Command(t.Context(), "get", "ns", "shop", "--as", "jane", "-o", "name")
	cmd.Stdout = &got
	if err := cmd.Run(); (err == nil) != (code == 0) || code != 0 {
		t.Errorf("jane gets namespace shop: %q, gabion says %q", got.String(), out)
	}
}

// withoutBindings is the patch that takes the right to list bindings from the role.
func withoutBindings(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	var role struct {
		Rules []report.Rule `json:"rules"`
	}
	if err := json.Unmarshal([]byte(c.Kubectl(t, "get", "clusterrole", "gabion", "-o", "json")), &role); err != nil {
		t.Fatal(err)
	}
	for i, r := range role.Rules {
		for j, resource := range r.Resources {
			if resource == "rolebindings" {
				return fmt.Sprintf(`[{"op": "remove", "path": "/rules/%d/resources/%d"}]`, i, j)
			}
		}
	}
	t.Fatal("no right to list rolebindings")
	return ""
}

// expect runs a command about access and compares its exit code and its output, of
// both streams.
func expect(t *testing.T, want int, pattern string, as []string, args ...string) {
	t.Helper()
	out, errs, code := run(t, slices.Concat([]string{"rbac"}, args, as)...)
	if code != want || !regexp.MustCompile("(?m)"+pattern).MatchString(out+errs) {
		t.Errorf("%v: exit code %d, want %d and %s:\n%s%s", args, code, want, pattern, out, errs)
	}
}
