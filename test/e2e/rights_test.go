//go:build cluster

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/cli"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/internal/source/live"
	"github.com/gabion-k8s/gabion/test/cluster"
)

// Under the role that own-role prints a scan and a snapshot are refused nothing, and
// ask for nothing but lists: of Secrets never for one.
func TestOwnRoleIsEnough(t *testing.T) {
	c := shop(t)
	for name, where := range map[string][]string{"everywhere": nil, "one-namespace": {"-n", "shop"}, "no-secrets": {"--no-secrets"}} {
		t.Run(name, func(t *testing.T) {
			user := "own-role-" + name
			a := c.User(t, user)
			applyText(t, c, run(t, append([]string{"rbac", "own-role", "--name", user, "--subject", user}, where...)...).out)
			as := append([]string{"--kubeconfig", a.Kubeconfig}, where...)
			eventually(t, "the rights", func() error {
				if r := try(t, append([]string{"rbac", "own-role", "--check"}, as...)...); r.code != 0 {
					return fmt.Errorf("exit code %d: %s%s", r.code, r.out, r.errors)
				}
				return nil
			})
			before := len(requests(t, c, user))
			full := scan(t, as...)
			run(t, append([]string{"snapshot", "--output-file", filepath.Join(t.TempDir(), "c.snap")}, as...)...)
			asked := requests(t, c, user)[before:]
			if len(asked) < 80 || len(full.Findings) == 0 {
				t.Errorf("%d requests, %d findings", len(asked), len(full.Findings))
			}
			for _, e := range asked {
				if e.ResponseStatus.Code == 403 || !slices.Contains([]string{"get", "list", "watch"}, e.Verb) {
					t.Errorf("%s %s: %d", e.Verb, e.RequestURI, e.ResponseStatus.Code)
				}
				if e.ObjectRef != nil && e.ObjectRef.Resource == "secrets" && (e.Verb != "list" || name == "no-secrets") {
					t.Errorf("%s %s", e.Verb, e.RequestURI)
				}
			}
		})
	}
}

// requests are those of one user.
func requests(t *testing.T, c *cluster.Cluster, user string) []auditv1.Event {
	t.Helper()
	return slices.DeleteFunc(c.AuditLog(t), func(e auditv1.Event) bool { return e.User.Username != user })
}

// further objects are of kinds that the example does not have.
const further = `
apiVersion: v1
kind: Secret
metadata: {name: robot-token, namespace: tools, annotations: {kubernetes.io/service-account.name: ci-runner}}
type: kubernetes.io/service-account-token
---
apiVersion: v1
kind: Secret
metadata: {name: bootstrap-token-fedcba, namespace: kube-system}
type: bootstrap.kubernetes.io/token
stringData: {token-id: fedcba, token-secret: "0123456789abcdef"}
---
apiVersion: v1
kind: Node
metadata: {name: retired}
spec: {unschedulable: true}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: root}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /}, storageClassName: manual}
---
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: sandboxed}
handler: runsc
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: read-only}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]}
  validations: [{expression: "object.spec.containers.all(c, has(c.securityContext) && has(c.securityContext.readOnlyRootFilesystem) && c.securityContext.readOnlyRootFilesystem)"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: read-only}
spec: {policyName: read-only, validationActions: [Warn]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: lost}
webhooks:
- name: lost.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Ignore
  clientConfig: {service: {namespace: tools, name: lost}}
  rules: [{apiGroups: [example.com], apiVersions: [v1], operations: [CREATE], resources: [things]}]
`

// Without any one of the rights, exactly the rows that needed it are open, and say
// which right is missing. No row passes for it, and no other row changes.
func TestEachRightMissing(t *testing.T) {
	c := shop(t)
	applyText(t, c, further)
	rights := rightsOf(t, live.Options{Kubeconfig: c.Kubeconfig})
	var users []cluster.Access
	var roles []string
	for i := range rights {
		roles = append(roles, fmt.Sprintf("missing-%d", i))
		users = append(users, c.User(t, roles[i]))
		grant(t, c, roles[i], slices.Delete(slices.Clone(rights), i, i+1))
	}
	whole := c.User(t, "missing-none")
	grant(t, c, "missing-none", rights)
	await(t, whole, rights[0])
	for i := range rights {
		await(t, users[i], rights[(i+1)%len(rights)])
	}
	full, code := judged(t, "--kubeconfig", whole.Kubeconfig)
	if code != 0 {
		t.Fatalf("exit code %d with all rights", code)
	}
	open := 0
	for i, right := range rights {
		t.Run(right.String(), func(t *testing.T) {
			without, code := judged(t, "--kubeconfig", users[i].Kubeconfig)
			if code != 3 {
				t.Errorf("exit code %d", code)
			}
			for _, e := range requests(t, c, roles[i]) {
				if e.ResponseStatus.Code == 403 && (e.ObjectRef == nil || e.ObjectRef.Resource != right.Resource || e.ObjectRef.APIGroup != right.Group) {
					t.Errorf("refused as well: %s", e.RequestURI)
				}
			}
			open += compareRights(t, full, without, right)
		})
	}
	if open < 50 {
		t.Errorf("only %d rows turned open", open)
	}
}

// compareRights compares what is known without a right with what is known with all,
// and returns how many rows that were answered are open.
func compareRights(t *testing.T, full, without *report.Report, right live.Right) (open int) {
	t.Helper()
	before, now := rows(full), rows(without)
	needs := needs()
	lost := "may not list " + strings.TrimPrefix(right.String(), "list ")
	for _, row := range full.Recommendations {
		was, is := before[row.ID], now[row.ID]
		if !slices.ContainsFunc(right.Facts, func(f evidence.Fact) bool { return needs[row.ID][f] }) {
			if is.Status != was.Status || is.Reason != was.Reason || is.Evaluated != was.Evaluated || is.Failed != was.Failed {
				t.Errorf("%s needs no %v, and changes from %s (%s; %d of %d) to %s (%s; %d of %d)", row.ID, right.Facts,
					was.Status, was.Reason, was.Failed, was.Evaluated, is.Status, is.Reason, is.Failed, is.Evaluated)
			}
			continue
		}
		switch {
		case is.Status == report.Fail && was.Status == report.Fail:
		case is.Status == report.NotEvaluated:
			if was.Status != report.NotEvaluated {
				open++
			}
		default:
			t.Errorf("%s needs %v, and is %s (%s), with the right %s", row.ID, right.Facts, is.Status, is.Reason, was.Status)
		}
		if !strings.Contains(is.Reason, lost) && !strings.Contains(is.Reason, "; and ") {
			t.Errorf("%s is %s and does not say %q: %s", row.ID, is.Status, lost, is.Reason)
		}
	}
	had := map[string]report.Finding{}
	for _, f := range full.Findings {
		had[f.ID] = f
	}
	for _, f := range without.Findings {
		if old, ok := had[f.ID]; !ok && slices.Contains(right.Facts, evidence.Workloads) && slices.Contains(made, f.Object.Kind) {
			continue // whose owner is not seen is judged by itself
		} else if !ok {
			t.Errorf("a finding only without the right: %s %s: %s", f.Rule, f.Object, f.Message)
		} else if f.Severity > old.Severity {
			t.Errorf("%s %s: ranked %s, with the right %s", f.Rule, f.Object, f.Severity, old.Severity)
		}
	}
	said := false
	for _, issue := range without.Sources[0].Errors {
		said = said || strings.HasPrefix(issue.Reason, lost) && strings.Contains(issue.Reason, "gabion rbac own-role")
	}
	if !said {
		t.Errorf("the report does not say %q: %v", lost, without.Sources[0].Errors)
	}
	return open
}

// made are the kinds of what other objects make.
var made = []string{"ReplicaSet", "Pod", "Job"}

// needs are the facts that the rows need, as their checks say.
func needs() map[string]map[evidence.Fact]bool {
	list := map[string]map[evidence.Fact]bool{}
	for _, c := range checks.All() {
		if c.Written+c.Node+c.Probe != "" { // not asked of this cluster: it shows no mirror pods
			continue
		}
		if list[c.Recommendation] == nil {
			list[c.Recommendation] = map[evidence.Fact]bool{}
		}
		for _, f := range c.Needs {
			list[c.Recommendation][f] = true
		}
	}
	return list
}

// rightsOf are the rights to lists that a scan of a cluster takes.
func rightsOf(t *testing.T, o live.Options) []live.Right {
	t.Helper()
	client, err := live.Connect(o)
	if err != nil {
		t.Fatal(err)
	}
	rights, err := client.Rights(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(rights, func(r live.Right) bool { return r.URL != "" }) // everyone has those
}

// grant gives rights, all of them for the whole cluster, to a user of the same name.
func grant(t *testing.T, c *cluster.Cluster, name string, rights []live.Right) {
	t.Helper()
	role, local := live.Roles(name, rights)
	if len(local) > 0 {
		t.Fatalf("%d Roles", len(local))
	}
	client := kubernetes.NewForConfigOrDie(c.Config()).RbacV1()
	if _, err := client.ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: name}},
	}
	if _, err := client.ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// await waits until a user has a right.
func await(t *testing.T, a cluster.Access, right live.Right) {
	t.Helper()
	client, err := live.Connect(live.Options{Kubeconfig: a.Kubeconfig})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the right to "+right.String(), func() error {
		missing, err := client.Missing(t.Context(), []live.Right{right})
		if err == nil && len(missing) > 0 {
			err = fmt.Errorf("%s is missing", missing)
		}
		return err
	})
}

// judged is a report that may be incomplete, whatever fails.
func judged(t *testing.T, args ...string) (*report.Report, int) {
	t.Helper()
	r := try(t, append([]string{"scan", "-o", "json", "--fail-on", "none"}, args...)...)
	var rep report.Report
	if err := json.Unmarshal([]byte(r.out), &rep); err != nil {
		t.Fatalf("exit code %d: %s: %v", r.code, r.errors, err)
	}
	return &rep, r.code
}

// What is known of one namespace is what is known of the whole cluster, as far as it
// goes: of its objects, and of those that live in none, no finding is lost in a row
// that passes.
func TestOneNamespace(t *testing.T) {
	c := shop(t)
	all := scan(t, "--kubeconfig", c.Kubeconfig)
	for _, ns := range []string{"shop", "payments", "tools", "kube-system"} {
		one, code := judged(t, "--kubeconfig", c.Kubeconfig, "-n", ns)
		if code != 0 {
			t.Errorf("%s: exit code %d: %v", ns, code, one.Sources[0].Errors)
		}
		answers, seen := rows(one), map[string]bool{}
		for _, f := range one.Findings {
			seen[f.ID] = true
			if f.Object.Namespace != "" && f.Object.Namespace != ns {
				t.Errorf("%s: a finding about %s", ns, f.Object)
			}
		}
		for _, f := range all.Findings {
			mine := f.Object.Namespace == ns || f.Object.Namespace == "" && (f.Object.Kind != "Namespace" || f.Object.Name == ns)
			if row := answers[f.Recommendation]; mine && !seen[f.ID] && row.Status == report.Pass {
				t.Errorf("%s: %s passes, although %s: %s", ns, row.ID, f.Object, f.Message)
			}
		}
	}
}

// With rights in one namespace alone a scan of it works, says what it could not see,
// and passes nothing that would take more.
func TestOnlyNamespacedRights(t *testing.T) {
	c := shop(t)
	a := c.User(t, "namespaced")
	printed := strings.Split(run(t, "rbac", "own-role", "-n", "shop", "--name", "namespaced", "--subject", "namespaced").out, "---\n")
	local := slices.DeleteFunc(printed, func(text string) bool { return strings.Contains(text, "kind: Cluster") })
	if len(local) != 2 {
		t.Fatalf("%d documents of one namespace", len(local))
	}
	applyText(t, c, strings.Join(local, "---\n"))
	await(t, a, live.Right{Verb: "list", Resource: "pods", Namespace: "shop"})

	best, _ := judged(t, "--kubeconfig", c.Kubeconfig, "-n", "shop")
	got, code := judged(t, "--kubeconfig", a.Kubeconfig, "-n", "shop")
	if code != 3 {
		t.Errorf("exit code %d", code)
	}
	missing := map[evidence.Fact]bool{}
	for _, g := range got.Gaps {
		missing[g.Fact] = true
	}
	for _, f := range []evidence.Fact{evidence.RBAC, evidence.Nodes, evidence.Admission} {
		if !missing[f] {
			t.Errorf("not said to be missing: %s; only %v", f, slices.Collect(maps.Keys(missing)))
		}
	}
	passed := 0
	answers, needs := rows(best), needs()
	for _, row := range got.Recommendations {
		if row.Status != report.Pass {
			continue
		}
		passed++
		if answers[row.ID].Status != report.Pass {
			t.Errorf("%s passes; for who sees all of the namespace it is %s", row.ID, answers[row.ID].Status)
		}
		for f := range needs[row.ID] {
			if missing[f] {
				t.Errorf("%s passes without %s", row.ID, f)
			}
		}
	}
	if passed < 4 {
		t.Errorf("%d rows pass", passed)
	}
	text := try(t, "scan", "--kubeconfig", a.Kubeconfig, "-n", "shop")
	for _, want := range []string{"only namespace shop and what lives in none", "may not list clusterroles.rbac.authorization.k8s.io", "may not list nodes", "Deployment shop/catalog"} {
		if !strings.Contains(strings.Join(strings.Fields(text.out), " "), want) {
			t.Errorf("the table does not say %q", want)
		}
	}
	if text.code != 1 {
		t.Errorf("exit code %d", text.code)
	}
	for _, e := range requests(t, c, "namespaced") {
		if ns := e.ObjectRef; ns != nil && ns.Namespace != "" && ns.Namespace != "shop" && ns.Namespace != "kube-system" {
			t.Errorf("asked for %s", e.RequestURI)
		}
	}
}

// What the user did not want read leaves rows open, and is no failure to read.
func TestDeclined(t *testing.T) {
	c := shop(t)
	r := try(t, "scan", "--cluster", "--kubeconfig", c.Kubeconfig, "--no-secrets", "--fail-on", "none", "-o", "json")
	if r.code != cli.ExitClean {
		t.Errorf("exit code %d: %s", r.code, r.errors)
	}
	var rep report.Report
	if err := json.Unmarshal([]byte(r.out), &rep); err != nil {
		t.Fatal(err)
	}
	for _, row := range rep.Recommendations {
		if row.ID == "AUTHN-05" && (row.Status != report.NotEvaluated || !strings.Contains(row.Reason, "--no-secrets")) {
			t.Errorf("%s: %s (%s)", row.ID, row.Status, row.Reason)
		}
	}
}
