package remedy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// deployment is one in a namespace, "" for none, with fields of its pod.
func deployment(name, namespace, pod string) string {
	if namespace != "" {
		namespace = ", namespace: " + namespace
	}
	return fmt.Sprintf("---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: %s%s}, spec: {template: {spec: {%scontainers: [{name: a, image: x}]}}}}\n", name, namespace, pod)
}

func serviceAccount(namespace, rest string) string {
	return "---\n{apiVersion: v1, kind: ServiceAccount, metadata: {namespace: " + namespace + ", " + rest + "}\n"
}

func bind(kind, namespace, subject string) string {
	if namespace != "" {
		namespace = ", namespace: " + namespace
	}
	return "---\n{apiVersion: rbac.authorization.k8s.io/v1, kind: " + kind + ", metadata: {name: b" + namespace + "}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}, subjects: [{" + subject + "}]}\n"
}

// A workload gets an account of its own just where nothing that is seen hangs on the old
// name or the new one.
func TestAccount(t *testing.T) {
	const plainText = "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: web\n  namespace: shop\nautomountServiceAccountToken: false\n"
	web := deployment("web", "shop", "")
	policy := func(namespace, spec string) string {
		return "---\n{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p, namespace: " + namespace + "}, spec: {" + spec + "}}\n"
	}
	cilium := func(namespace string) string {
		return "---\n{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: p, namespace: " + namespace + "}, spec: {endpointSelector: {matchLabels: {io.cilium.k8s.policy.serviceaccount: default}}, ingress: [{}]}}\n"
	}
	for name, tt := range map[string]struct {
		text string
		want string // the new object, "" for no fix
		says string
	}{
		"plain":                    {web, plainText, "its pods get no token any more; and one that works by the name of the account \"default\", through a binding, a pull secret"},
		"named":                    {deployment("web", "shop", "serviceAccountName: default, "), plainText, ""},
		"both names":               {deployment("web", "shop", "serviceAccountName: default, serviceAccount: default, "), plainText, ""},
		"the old name":             {deployment("web", "shop", "serviceAccount: default, "), plainText, ""},
		"no token today":           {deployment("web", "shop", "automountServiceAccountToken: false, "), plainText, "an application that works by the name"},
		"its own token":            {deployment("web", "shop", "automountServiceAccountToken: true, "), plainText, "an application that works by the name"},
		"no namespace":             {deployment("web", "", ""), strings.Replace(plainText, "  namespace: shop\n", "", 1), ""},
		"a number":                 {deployment(`"123"`, "shop", ""), strings.Replace(plainText, "web", `"123"`, 1), ""},
		"a word":                   {deployment(`"null"`, `"true"`, ""), strings.NewReplacer("web", `"null"`, "shop", `"true"`).Replace(plainText), ""},
		"nearly a number":          {deployment(`"1e3"`, "shop", ""), strings.Replace(plainText, "web", `"1e3"`, 1), ""},
		"seen":                     {web + serviceAccount("shop", "name: default}"), plainText, "through a binding, a policy"},
		"no token of the old":      {web + serviceAccount("shop", "name: default}, automountServiceAccountToken: false"), plainText, "an application that works"},
		"pull secrets":             {web + serviceAccount("shop", "name: default}, imagePullSecrets: [{name: a}, {name: \"1\"}]"), plainText + "imagePullSecrets:\n  - name: a\n  - name: \"1\"\n", ""},
		"of another namespace":     {web + serviceAccount("tools", "name: web}"), plainText, ""},
		"rights of others":         {web + bind("RoleBinding", "shop", "kind: ServiceAccount, name: other, namespace: shop"), plainText, ""},
		"rights of all":            {web + bind("ClusterRoleBinding", "", "kind: Group, name: 'system:serviceaccounts:shop'"), plainText, ""},
		"elsewhere":                {web + bind("RoleBinding", "tools", "kind: ServiceAccount, name: default"), plainText, ""},
		"another of the name":      {web + "---\n{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: web, namespace: shop}, spec: {template: {spec: {serviceAccountName: data, containers: [{name: a, image: x}]}}}}\n", plainText, ""},
		"policy of others":         {web + policy("shop", "rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/other]}}]}]"), plainText, ""},
		"selector elsewhere":       {web + cilium("tools"), plainText, ""},
		"a pod":                    {pod("  containers: [{name: a, image: x}]\n"), "", ""},
		"no name":                  {strings.Replace(web, "name: web", "generateName: web-", 1), "", ""},
		"no possible name":         {deployment("Web", "shop", ""), "", ""},
		"rights":                   {web + bind("RoleBinding", "shop", "kind: ServiceAccount, name: default"), "", ""},
		"rights everywhere":        {web + bind("ClusterRoleBinding", "", "kind: ServiceAccount, name: default, namespace: shop"), "", ""},
		"rights of the user":       {web + bind("ClusterRoleBinding", "", "kind: User, name: 'system:serviceaccount:shop:default'"), "", ""},
		"rights of the new":        {web + bind("RoleBinding", "shop", "kind: ServiceAccount, name: web, namespace: shop"), "", ""},
		"rights in some namespace": {deployment("web", "", "") + bind("RoleBinding", "tools", "kind: ServiceAccount, name: default"), "", ""},
		"rights without namespace": {web + bind("RoleBinding", "", "kind: ServiceAccount, name: default"), "", ""},
		"there already":            {web + serviceAccount("shop", "name: web}"), "", ""},
		"perhaps there already":    {deployment("web", "", "") + serviceAccount("tools", "name: web}"), "", ""},
		"used already":             {web + deployment("other", "shop", "serviceAccountName: web, "), "", ""},
		"two want it":              {web + strings.Replace(web, "Deployment", "StatefulSet", 1), "", ""},
		"a cloud role":             {web + serviceAccount("shop", "name: default, annotations: {eks.amazonaws.com/role-arn: x}}"), "", ""},
		"labels":                   {web + serviceAccount("shop", "name: default, labels: {azure.workload.identity/use: 'true'}}"), "", ""},
		"written twice":            {web + serviceAccount("shop", "name: default}") + serviceAccount("shop", "name: default}, imagePullSecrets: [{name: a}]"), "", ""},
		"a mesh":                   {web + policy("tools", "rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/default]}}]}]"), "", ""},
		"a selector":               {web + cilium("shop"), "", ""},
		"completed by an operator": {"---\n{apiVersion: elasticsearch.k8s.elastic.co/v1, kind: Elasticsearch, metadata: {name: web, namespace: shop}, spec: {nodeSets: [{name: a, count: 1, podTemplate: {spec: {serviceAccountName: default, containers: [{name: a, image: x}]}}}]}}\n", "", ""},
		"of an unknown kind":       {strings.NewReplacer("apps/v1", "example.com/v1", "Deployment", "Thing").Replace(web), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			world := read(t, tt.text)
			found := failures(world, account)[account]
			if len(found) == 0 {
				t.Fatal("nothing was found")
			}
			k := Defaults()
			got := k.Fix(world, account, found[0])
			switch {
			case got == nil && tt.want != "":
				t.Fatal("no fix")
			case got == nil:
				return
			case tt.want == "":
				t.Fatalf("there is a fix: %+v", got)
			case got.Breaks == "" || !strings.Contains(got.Breaks, tt.says):
				t.Errorf("it says %q, want %q", got.Breaks, tt.says)
			}
			if diff := cmp.Diff(tt.want, got.Adds.Text); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			fixed, _ := mended(t, &k, tt.text, nil, account)
			if again := read(t, got.Adds.Text); len(again.ServiceAccounts) != 1 || fixed.ServiceAccountName() != again.ServiceAccounts[0].Name ||
				fixed.Namespace != again.ServiceAccounts[0].Namespace || fixed.Pod.DeprecatedServiceAccount != "" && fixed.Pod.DeprecatedServiceAccount != fixed.ServiceAccountName() {
				t.Errorf("it runs as %q, and %s was made", fixed.ServiceAccountName(), again.Objects[0])
			}
		})
	}
}

// In a cluster the old account and all bindings have to be seen.
func TestAccountOfCluster(t *testing.T) {
	look := func() *evidence.Snapshot {
		world := read(t, deployment("web", "shop", "")+serviceAccount("shop", "name: default}")+bind("RoleBinding", "shop", "kind: User, name: jane"))
		world.Cluster = &evidence.Cluster{}
		return world
	}
	k := Defaults()
	for name, tt := range map[string]struct {
		change func(*evidence.Snapshot)
		says   string // "" for no fix
	}{
		"all is seen":   {func(*evidence.Snapshot) {}, "through a policy or a cloud role"},
		"one namespace": {func(s *evidence.Snapshot) { s.Cluster.Namespaces = []string{"shop"} }, "through a binding of another namespace, a policy"},
		"no bindings":   {func(s *evidence.Snapshot) { s.Gaps = []evidence.Gap{{Fact: evidence.RBAC, Reason: "may not"}} }, ""},
		"no accounts":   {func(s *evidence.Snapshot) { s.Gaps = []evidence.Gap{{Fact: evidence.ServiceAccounts, Scope: "shop"}} }, ""},
		"not the old":   {func(s *evidence.Snapshot) { s.ServiceAccounts = nil }, ""},
		"its own right": {func(s *evidence.Snapshot) {
			s.Bindings[0].Subjects[0] = rbacv1.Subject{Kind: "ServiceAccount", Name: "default", Namespace: "shop"}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			world := look()
			tt.change(world)
			got := k.Fix(world, account, failures(world, account)[account][0])
			if (got != nil) != (tt.says != "") || got != nil && !strings.Contains(got.Breaks, tt.says) {
				t.Errorf("%+v", got)
			}
		})
	}
}
