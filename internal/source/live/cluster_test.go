//go:build cluster

package live

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/evidence"
	source "github.com/gabion-k8s/gabion/internal/source/cluster"
	"github.com/gabion-k8s/gabion/test/cluster"
)

// shared is the cluster of all tests here, with testdata in it. Tests that add
// anything but roles take it away again.
var shared *cluster.Cluster

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gabion-live-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	shared, err = cluster.Launch(context.Background(), dir, cluster.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer shared.Stop()
	if err := furnish(); err != nil {
		fmt.Fprintln(os.Stderr, err, shared.Logs())
		return 1
	}
	code := m.Run()
	if code != 0 {
		fmt.Fprintln(os.Stderr, shared.Logs())
	}
	return code
}

// furnish applies testdata, and waits for what controllers make of it.
func furnish() error {
	for _, args := range [][]string{
		{"apply", "-f", "testdata/shop.yaml"},
		{"wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"},
		{"apply", "-f", "testdata/customs.yaml"},
		{"wait", "--for=create", "--timeout=60s", "-n", "shop", "pod", "-l", "app=web"},
		{"wait", "--for=jsonpath={.data.token}", "--timeout=60s", "-n", "shop", "secret", "builder-token"},
	} {
		if out, err := shared.Command(context.Background(), args...).CombinedOutput(); err != nil {
			return fmt.Errorf("kubectl %q: %w\n%s", args, err, out)
		}
	}
	return nil
}

func apply(t *testing.T, manifest string) {
	t.Helper()
	cmd := shared.Command(t.Context(), "apply", "-f", "-")
	cmd.Stdin = strings.NewReader(manifest)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() {
		cmd := shared.Command(context.Background(), "delete", "--ignore-not-found", "-f", "-")
		cmd.Stdin = strings.NewReader(manifest)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// eventually waits for what other processes do.
func eventually(t *testing.T, what string, ready func() error) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := ready()
		if err == nil {
			return
		}
		if time.Since(begun) > time.Minute {
			t.Fatalf("waited for %s: %v", what, err)
		}
	}
}

// A heap is the Sink that keeps what it gets.
type heap struct {
	objects []source.Object
	gaps    []evidence.Gap
}

func (h *heap) Add(o source.Object) error { h.objects = append(h.objects, o); return nil }
func (h *heap) Gap(g evidence.Gap)        { h.gaps = append(h.gaps, g) }

// names are the objects by kind, namespace and name, sorted.
func (h *heap) names(t *testing.T) (names []string) {
	t.Helper()
	for _, o := range h.objects {
		if strings.HasPrefix(o.APIVersion, "rbac") && o.Typed.GetName() != "cluster-admin" {
			continue // tests have some of their own
		}
		m := o.Typed
		if m == nil {
			var named struct {
				Metadata metav1.ObjectMeta `json:"metadata"`
			}
			if err := json.Unmarshal(o.JSON, &named); err != nil {
				t.Fatal(err)
			}
			m = &named.Metadata
		}
		names = append(names, fmt.Sprintf("%s %s %s/%s", o.APIVersion, o.Kind, m.GetNamespace(), m.GetName()))
	}
	slices.Sort(names)
	return names
}

func (h *heap) has(t *testing.T, name string) bool { return slices.Contains(h.names(t), name) }

// missing are the gaps by fact and scope, sorted, each once.
func (h *heap) missing() (list []string) {
	for _, g := range h.gaps {
		list = append(list, string(g.Fact)+"@"+g.Scope)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func connect(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func collect(t *testing.T, o Options) (*evidence.Cluster, *heap) {
	t.Helper()
	c := connect(t, o)
	about, err := c.Cluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h := &heap{}
	if err := c.Collect(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	return about, h
}

// grant makes a user who has exactly these rights, and waits until the server
// knows.
func grant(t *testing.T, name string, rights []Right) cluster.Access {
	t.Helper()
	whole, roles := Roles(name, rights)
	client, err := kubernetes.NewForConfig(shared.Config())
	if err != nil {
		t.Fatal(err)
	}
	rbac, subject := client.RbacV1(), []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: name}}
	_, err = rbac.ClusterRoles().Create(t.Context(), whole, metav1.CreateOptions{})
	_, bound := rbac.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: subject,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
	}, metav1.CreateOptions{})
	if err := errors.Join(err, bound); err != nil {
		t.Fatal(err)
	}
	for _, role := range roles {
		_, err := rbac.Roles(role.Namespace).Create(t.Context(), role, metav1.CreateOptions{})
		_, bound := rbac.RoleBindings(role.Namespace).Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: subject,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		}, metav1.CreateOptions{})
		if err := errors.Join(err, bound); err != nil {
			t.Fatal(err)
		}
	}
	access := shared.User(t, name)
	c := connect(t, Options{Kubeconfig: access.Kubeconfig})
	eventually(t, "the rights of "+name, func() error {
		missing, err := c.Missing(t.Context(), rights)
		if err == nil && len(missing) > 0 {
			err = fmt.Errorf("missing: %v", missing)
		}
		return err
	})
	return access
}

// requests are those of one user, self-reviews apart.
func requests(t *testing.T, user string) (list []auditv1.Event) {
	for _, e := range shared.AuditLog(t) {
		if e.User.Username == user && (e.ObjectRef == nil || e.ObjectRef.Resource != "selfsubjectaccessreviews") {
			list = append(list, e)
		}
	}
	return list
}

// harmless fails the test where a user did anything but read what it may.
func harmless(t *testing.T, user string) {
	t.Helper()
	events := requests(t, user)
	if len(events) < 20 {
		t.Errorf("%d requests of %s: not all?", len(events), user)
	}
	for _, e := range events {
		secrets := e.ObjectRef != nil && e.ObjectRef.Resource == "secrets"
		if e.ResponseStatus.Code != 200 || e.Verb != "get" && e.Verb != "list" || secrets && e.Verb != "list" ||
			!strings.HasPrefix(e.UserAgent, "gabion/") {
			t.Errorf("%d %s %s by %q", e.ResponseStatus.Code, e.Verb, e.RequestURI, e.UserAgent)
		}
	}
}

// The role that is printed is enough, all of it is made use of, and what each
// right is for is missing without it: that and nothing else.
func TestLeastRights(t *testing.T) {
	admin := connect(t, Options{Kubeconfig: shared.Kubeconfig})
	rights, err := admin.Rights(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	access := grant(t, "least", rights)
	about, h := collect(t, Options{Kubeconfig: access.Kubeconfig, UserAgent: "gabion/test"})
	if len(h.gaps) > 0 {
		t.Errorf("gaps: %v", h.gaps)
	}
	if about.User != "least" || about.Name != "test" || about.Server != shared.URL || about.UID == "" || about.Version != "v1.36.3" {
		t.Errorf("got %+v", about)
	}
	harmless(t, "least")
	_, all := collect(t, Options{Kubeconfig: shared.Kubeconfig})
	if diff := cmp.Diff(all.names(t), h.names(t)); diff != "" {
		t.Errorf("with all rights, and with the least:\n%s", diff)
	}
	for _, want := range []string{
		"apps/v1 Deployment shop/web", "v1 ConfigMap shop/settings", "v1 PersistentVolumeClaim shop/data", "v1 Namespace /attic",
		"v1 Secret shop/builder-token", "v1 Secret kube-system/bootstrap-token-abcdef", "crops.example/v1 Farm shop/north", "crops.example/v1 Barn /red",
		"security.istio.io/v1 PeerAuthentication shop/default", "apiextensions.k8s.io/v1 CustomResourceDefinition /seeds.crops.example",
		"apiregistration.k8s.io/v1 APIService /v1.apps", "rbac.authorization.k8s.io/v1 ClusterRole /cluster-admin",
	} {
		if !h.has(t, want) {
			t.Errorf("%s is missing", want)
		}
	}
	for _, name := range h.names(t) {
		if strings.Contains(name, " Seed ") || strings.Contains(name, " Lease ") || strings.HasSuffix(name, "/password") {
			t.Errorf("%s was asked for", name)
		}
	}
	counted := 0
	for _, l := range about.Lists {
		counted += l.Objects
	}
	if counted != len(h.objects) {
		t.Errorf("%d objects in the lists, %d handed over", counted, len(h.objects))
	}

	for i, r := range rights {
		if r.URL != "" {
			continue // every user has these by default
		}
		t.Run("without "+r.String(), func(t *testing.T) {
			others := slices.Delete(slices.Clone(rights), i, i+1)
			access := grant(t, fmt.Sprintf("without-%d", i), others)
			c := connect(t, Options{Kubeconfig: access.Kubeconfig})
			missing, err := c.Missing(t.Context(), rights)
			if err != nil || len(missing) != 1 || compareRights(missing[0], r) != 0 {
				t.Errorf("missing: %v, %v, want %v", missing, err, r)
			}
			_, h := collect(t, Options{Kubeconfig: access.Kubeconfig})
			if len(r.Facts) == 0 {
				t.Error("a right for nothing")
			}
			var want []string
			for _, f := range r.Facts {
				want = append(want, string(f)+"@")
			}
			if r.Resource == "secrets" {
				want = append(want, "secrets@"+kubeSystem)
			}
			if diff := cmp.Diff(want, h.missing()); diff != "" {
				t.Errorf("gaps:\n%s\n%v", diff, h.gaps)
			}
			reason := fmt.Sprintf("may not list %s", resource{group: r.Group, name: r.Resource})
			if len(h.gaps) > 0 && !strings.HasPrefix(h.gaps[0].Reason, reason) {
				t.Errorf("the reason is %q", h.gaps[0].Reason)
			}
		})
	}
}

// With rights in one namespace only, what is in it is seen, and what lives in
// none is a gap.
func TestNamespaced(t *testing.T) {
	o := Options{Kubeconfig: shared.Kubeconfig, Namespaces: []string{"shop", "shop"}, UserAgent: "gabion/test"}
	rights, err := connect(t, o).Rights(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o.Kubeconfig = grant(t, "namespaced", rights).Kubeconfig
	about, h := collect(t, o)
	if len(h.gaps) > 0 || about.UID == "" {
		t.Errorf("gaps: %v, UID %q", h.gaps, about.UID)
	}
	harmless(t, "namespaced")
	for _, o := range h.objects {
		if o.Typed != nil && o.Typed.GetNamespace() != "" && o.Typed.GetNamespace() != "shop" {
			t.Errorf("%s %s/%s was asked for", o.Kind, o.Typed.GetNamespace(), o.Typed.GetName())
		}
	}
	whole := h.names(t)

	inside := slices.DeleteFunc(slices.Clone(rights), func(r Right) bool { return r.Namespace != "shop" })
	o.Kubeconfig = grant(t, "inside", inside).Kubeconfig
	about, h = collect(t, o)
	if about.UID != "" {
		t.Error("the UID of a Namespace that may not be read")
	}
	var seen []string
	for _, name := range whole {
		if strings.Contains(name, " shop/") || name == "v1 Namespace /shop" {
			seen = append(seen, name)
		}
	}
	if diff := cmp.Diff(seen, h.names(t)); diff != "" {
		t.Errorf("in the namespace:\n%s", diff)
	}
	if !h.has(t, "crops.example/v1 Farm shop/north") {
		t.Error("without the definitions, nobody asked for what their schemas as published have pods")
	}
	want := []string{"admission policies and webhooks@", "custom resource definitions and API services@", "nodes@", "other objects@",
		"persistent volumes@", "roles and bindings@", "runtime classes@", "workloads@"}
	if diff := cmp.Diff(want, h.missing()); diff != "" {
		t.Errorf("gaps:\n%s", diff)
	}
	for _, g := range h.gaps {
		if g.Fact == evidence.Workloads && !strings.Contains(g.Reason, "barns.crops.example") {
			t.Errorf("a gap that is none: %v", g)
		}
	}

	o = Options{Kubeconfig: shared.Kubeconfig, Namespaces: []string{"shpo"}}
	if err := connect(t, o).Collect(t.Context(), &heap{}); err == nil || err.Error() != `namespace "shpo" does not exist in cluster "test"` {
		t.Errorf("got %v", err)
	}
}

// Secrets are known by name only: no value of one is in what is handed over, and
// none is in what the server sent.
func TestSecrets(t *testing.T) {
	rights, err := connect(t, Options{Kubeconfig: shared.Kubeconfig}).Rights(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	access := grant(t, "secretive", rights)
	_, h := collect(t, Options{Kubeconfig: access.Kubeconfig})

	client, err := kubernetes.NewForConfig(shared.Config())
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := client.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, s := range secrets.Items {
		for key, value := range s.Data {
			if key == "namespace" || key == "token-id" || key == "ca.crt" || len(value) < 8 {
				continue // known to all
			}
			values = append(values, string(value), base64.StdEncoding.EncodeToString(value))
		}
	}
	if len(values) < 6 || !slices.Contains(values, "Hunter2-of-the-shop") {
		t.Fatalf("only the values %q", values)
	}
	text, err := json.Marshal(h.objects)
	if err != nil {
		t.Fatal(err)
	}
	lists := 0
	for _, e := range requests(t, "secretive") {
		if e.ObjectRef == nil || e.ObjectRef.Resource != "secrets" {
			continue
		}
		lists++
		if e.ResponseObject == nil {
			t.Error("the audit log does not hold what was sent")
			continue
		}
		text = append(text, e.ResponseObject.Raw...)
	}
	if lists != 2 {
		t.Errorf("Secrets were listed %d times, want 2", lists)
	}
	for _, v := range values {
		if bytes.Contains(text, []byte(v)) {
			t.Errorf("the value %q is there", v)
		}
	}
	var got []corev1.Secret
	for _, o := range h.objects {
		if s, ok := o.Typed.(*corev1.Secret); ok {
			got = append(got, *s)
			if s.Name == "builder-token" && (s.Annotations[corev1.ServiceAccountNameKey] != "builder" || len(s.Annotations) != 1 ||
				s.Type != corev1.SecretTypeServiceAccountToken || s.UID == "" || s.CreationTimestamp.IsZero()) {
				t.Errorf("got %+v", s)
			}
		}
	}
	if len(got) != 2 {
		t.Errorf("got %d Secrets, want 2", len(got))
	}

	_, h = collect(t, Options{Kubeconfig: shared.Kubeconfig, NoSecrets: true})
	if diff := cmp.Diff([]string{"secrets@"}, h.missing()); diff != "" {
		t.Error(diff)
	}
	for _, o := range h.objects {
		if o.Kind == "Secret" {
			t.Error("a Secret, though none was to be asked for")
		}
	}
}

// What makes pods comes before them, and the order is always the same.
func TestOrder(t *testing.T) {
	var first []string
	for range 3 {
		about, h := collect(t, Options{Kubeconfig: shared.Kubeconfig})
		var kinds []string
		for _, o := range h.objects {
			kinds = append(kinds, o.Kind)
		}
		at := func(kind string) int { return slices.Index(kinds, kind) }
		if !(at("Farm") < at("Deployment") && at("Deployment") < at("ReplicaSet") && at("ReplicaSet") < at("Pod") && at("Pod") > 0) {
			t.Errorf("the order is %q", slices.Compact(kinds))
		}
		var lists []string
		for _, l := range about.Lists {
			lists = append(lists, l.Resource)
		}
		if first == nil {
			first = lists
		}
		if diff := cmp.Diff(first, lists); diff != "" {
			t.Error(diff)
		}
	}
}

// Long lists are read in pages, each object once.
func TestPaging(t *testing.T) {
	const many = 1203
	apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: many}}")
	client, err := kubernetes.NewForConfig(shared.Config())
	if err != nil {
		t.Fatal(err)
	}
	for i := range many {
		_, err := client.CoreV1().ConfigMaps("many").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("m%04d", i)}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	access := shared.User(t, "pager", "system:masters")
	_, h := collect(t, Options{Kubeconfig: access.Kubeconfig, Namespaces: []string{"many"}})
	seen := map[string]int{}
	for _, o := range h.objects {
		if o.Kind == "ConfigMap" && strings.HasPrefix(o.Typed.GetName(), "m") {
			seen[o.Typed.GetName()]++
		}
	}
	if len(seen) != many || slices.Max(slices.Collect(maps.Values(seen))) != 1 {
		t.Errorf("%d of %d, one of them %d times", len(seen), many, slices.Max(slices.Collect(maps.Values(seen))))
	}
	pages := 0
	for _, e := range requests(t, "pager") {
		if e.ObjectRef != nil && e.ObjectRef.Resource == "configmaps" {
			pages++
			if !strings.Contains(e.RequestURI, "limit=500") {
				t.Errorf("asked for %s", e.RequestURI)
			}
		}
	}
	if pages != 3 {
		t.Errorf("%d pages, want 3", pages)
	}
}

// An extension API server that is down is a gap for what its group is known to
// hold, or may hold.
func TestAggregatedDown(t *testing.T) {
	for version, want := range map[string][]string{
		"v1beta1.metrics.k8s.io": nil,
		"v3.projectcalico.org":   {"network policies@"},
		"v1.apps.openshift.io":   {"workloads@"},
		"v1.extension.example":   {"workloads@"},
	} {
		t.Run(version, func(t *testing.T) {
			short, group, _ := strings.Cut(version, ".")
			apply(t, fmt.Sprintf(`
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: %s}
spec: {group: %s, version: %s, groupPriorityMinimum: 100, versionPriority: 100, insecureSkipTLSVerify: true, service: {name: gone, namespace: shop}}
`, version, group, short))
			c := connect(t, Options{Kubeconfig: shared.Kubeconfig})
			eventually(t, "the group in discovery", func() error {
				found, err := c.discover(t.Context())
				if err == nil && found.down[group] == "" {
					err = errors.New("it is not there")
				}
				return err
			})
			_, h := collect(t, Options{Kubeconfig: shared.Kubeconfig})
			if diff := cmp.Diff(want, h.missing()); diff != "" {
				t.Errorf("%s\n%v", diff, h.gaps)
			}
			if !h.has(t, "apps/v1 Deployment shop/web") {
				t.Error("the rest is missing")
			}
		})
	}
}

// Objects that the server cannot convert are a gap, and all others are there.
func TestConversionDown(t *testing.T) {
	version := func(name string, storage bool) string {
		return fmt.Sprintf("{name: %s, served: true, storage: %v, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {spec: {type: object, x-kubernetes-preserve-unknown-fields: true}}}}}", name, storage)
	}
	apply(t, `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: wrecks.sea.example}
spec:
  group: sea.example
  scope: Namespaced
  names: {kind: Wreck, plural: wrecks}
  conversion: {strategy: Webhook, webhook: {conversionReviewVersions: [v1], clientConfig: {url: "https://127.0.0.1:1/"}}}
  versions: [`+version("v1", false)+", "+version("v1beta1", true)+"]\n")
	shared.Kubectl(t, "wait", "--for=condition=Established", "--timeout=60s", "crd", "wrecks.sea.example")
	eventually(t, "a wreck", func() error {
		cmd := shared.Command(t.Context(), "create", "--raw", "/apis/sea.example/v1beta1/namespaces/shop/wrecks", "-f", "-")
		cmd.Stdin = strings.NewReader(`{"apiVersion": "sea.example/v1beta1", "kind": "Wreck", "metadata": {"name": "titan"}, "spec": {}}`)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	// So that it can be deleted.
	t.Cleanup(func() {
		shared.Command(context.Background(), "patch", "crd", "wrecks.sea.example", "--type=merge", "-p", `{"spec": {"conversion": {"strategy": "None", "webhook": null}}}`).Run()
	})
	_, h := collect(t, Options{Kubeconfig: shared.Kubeconfig})
	if diff := cmp.Diff([]string{"workloads@"}, h.missing()); diff != "" {
		t.Errorf("%s\n%v", diff, h.gaps)
	}
	if len(h.gaps) == 1 && !strings.HasPrefix(h.gaps[0].Reason, "could not list wrecks.sea.example: the API server answered 500") {
		t.Errorf("the reason is %q", h.gaps[0].Reason)
	}
	if !h.has(t, "apps/v1 Deployment shop/web") {
		t.Error("the rest is missing")
	}
}

// What servers publish as OpenAPI says the same of a kind as its definition does.
func TestPublishedSchemas(t *testing.T) {
	c := connect(t, Options{Kubeconfig: shared.Kubeconfig})
	co := &collection{Client: c, sink: nowhere{}, carrying: map[schema.GroupKind]bool{}}
	found, err := c.discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.cluster = &evidence.Cluster{}
	lists, _ := c.options.builtin(found)
	lists = slices.DeleteFunc(lists, func(l listing) bool { return l.group != definitions })
	if err := co.list(t.Context(), lists); err != nil {
		t.Fatal(err)
	}
	group := "crops.example"
	want := map[schema.GroupKind]bool{{Group: group, Kind: "Farm"}: true, {Group: group, Kind: "Barn"}: true, {Group: group, Kind: "Seed"}: false,
		{Group: "security.istio.io", Kind: "PeerAuthentication"}: false}
	if diff := cmp.Diff(want, co.carrying); diff != "" {
		t.Errorf("by definition:\n%s", diff)
	}
	schemas := openAPI{client: c, documents: map[string]map[string]bool{}}
	for gk, carries := range want {
		eventually(t, "the published schema", func() error {
			if got, known := schemas.carries(t.Context(), found.versions(gk.Group, gk.Kind)[0]); !known || got != carries {
				clear(schemas.documents)
				return fmt.Errorf("%v: published %v, %v, want %v", gk, got, known, carries)
			}
			return nil
		})
	}
	// Those of the server itself refer to each other.
	for kind, carries := range map[string]bool{"Deployment": true, "ControllerRevision": false} {
		if got, known := schemas.carries(t.Context(), found.versions("apps", kind)[0]); !known || got != carries {
			t.Errorf("%s: %v, %v, want %v", kind, got, known, carries)
		}
	}
}

// An older server, which is asked group by group, serves the same.
func TestOldDiscovery(t *testing.T) {
	c := connect(t, Options{Kubeconfig: shared.Kubeconfig})
	found, err := c.discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	old := &catalogue{down: map[string]string{}}
	for _, root := range []string{"api", "apis"} {
		var body bytes.Buffer
		if _, err := c.get(t.Context(), request{path: []string{root}, accept: jsonForm}, &body); err != nil {
			t.Fatal(err)
		}
		if err := c.discoverEach(t.Context(), root, body.Bytes(), old); err != nil {
			t.Fatal(err)
		}
	}
	byText := func(list []served) (texts []string) {
		for _, s := range list {
			texts = append(texts, fmt.Sprintf("%+v", s))
		}
		slices.Sort(texts)
		return texts
	}
	if diff := cmp.Diff(byText(found.resources), byText(old.resources)); diff != "" {
		t.Error(diff)
	}
}

// A Sink that cancels, or fails, ends the collection.
func TestEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := connect(t, Options{Kubeconfig: shared.Kubeconfig}).Collect(ctx, &ending{n: 50, end: func() error { cancel(); return nil }}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	full := errors.New("the disk is full")
	if err := connect(t, Options{Kubeconfig: shared.Kubeconfig}).Collect(t.Context(), &ending{n: 50, end: func() error { return full }}); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

type ending struct {
	nowhere
	n   int
	end func() error
}

func (e *ending) Add(source.Object) error {
	if e.n--; e.n <= 0 {
		return e.end()
	}
	return nil
}

// Impersonation reaches the server, and is refused in one line.
func TestImpersonation(t *testing.T) {
	about, h := collect(t, Options{Kubeconfig: shared.Kubeconfig, As: "nobody-special", AsGroups: []string{"guests"}})
	if !strings.HasSuffix(about.User, " as nobody-special in guests") {
		t.Errorf("the user is %q", about.User)
	}
	if len(h.objects) > 0 || !slices.Contains(h.missing(), "workloads@") {
		t.Errorf("%d objects", len(h.objects))
	}
	seen := false
	for _, e := range shared.AuditLog(t) {
		if e.ImpersonatedUser != nil && e.ImpersonatedUser.Username == "nobody-special" && slices.Contains(e.ImpersonatedUser.Groups, "guests") {
			seen = true
		}
	}
	if !seen {
		t.Error("the server does not know")
	}
	plain := shared.User(t, "plain").Kubeconfig
	for _, o := range []Options{{As: "root"}, {As: "root", AsGroups: []string{"wheel"}}, {As: "system:serviceaccount:shop:web"}} {
		o.Kubeconfig = plain
		_, err := connect(t, o).Cluster(t.Context())
		if err == nil || !strings.Contains(err.Error(), "--as") || !strings.Contains(err.Error(), "plain") {
			t.Errorf("got %v", err)
		}
	}
}

// A real server's answers to credentials that it does not take.
func TestNotLetIn(t *testing.T) {
	expired := time.Now().Add(-time.Hour)
	for want, access := range map[string]cluster.Access{
		"expired on " + day(expired):                 shared.UserUntil(t, expired, "alice"),
		"does not accept the credentials of context": shared.Token(t, "wrong"),
		"has no credentials":                         shared.Token(t, ""),
	} {
		_, err := connect(t, Options{Kubeconfig: access.Kubeconfig}).Cluster(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	about, err := connect(t, Options{Kubeconfig: shared.ServiceAccount(t, "shop", "builder").Kubeconfig}).Cluster(t.Context())
	if err != nil || about.User != "system:serviceaccount:shop:builder" || about.UID != "" {
		t.Errorf("got %+v, %v", about, err)
	}
}
