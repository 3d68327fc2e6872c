package checks

import (
	"fmt"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// Problems of roles, bindings and namespaces, by the example they are in, the
// object and the key of the field; 0 is the check's own severity.
func TestRoleSeverities(t *testing.T) {
	for _, test := range []struct {
		check   *check.Check
		example string
		want    map[string]guide.Severity
	}{
		{WildcardRule, "roles", map[string]guide.Severity{
			"operator rules[*|*|*||].resources":                 guide.Critical,
			"operator rules[get||||*].nonResourceURLs":          guide.Medium,
			"anything rules[*||||*].nonResourceURLs":            guide.Medium,
			"owner rules[*|*|*||].resources":                    0,
			"auditor rules[get,list|*|*||].resources":           0,
			"auditor rules[get||*||].resources":                 0,
			"auditor rules[get|shop.example.com|*||].resources": guide.Medium,
			"auditor rules[*|apps|deployments||].verbs":         guide.Medium,
			"auditor rules[get|*|pods||].apiGroups":             guide.Medium,
			"auditor rules[update|apps|*/scale||].resources":    guide.Low,
		}},
		{ClusterAdminBinding, "bindings", map[string]guide.Severity{
			"ci-admin subjects[ServiceAccount:team:ci].name":                 0,
			"ci-admin subjects[Group::system:serviceaccounts].name":          guide.Critical,
			"ci-admin subjects[Group::admins].name":                          guide.Medium,
			"ci-admin subjects[User::mara].name":                             guide.Medium,
			"hidden subjects[ServiceAccount:team:ci].name":                   0,
			"aggregated subjects[ServiceAccount:team:ci].name":               0,
			"owner subjects[ServiceAccount::ci].name":                        guide.Medium,
			"masters subjects[Group::system:masters].name":                   guide.Medium,
			"cluster-admin subjects[Group::developers].name":                 guide.Medium,
			"system:kube-operator subjects[User::system:kube-operator].name": guide.Medium,
		}},
		{AnonymousBinding, "bindings", map[string]guide.Severity{
			"dashboard subjects[User::system:anonymous].name":               0,
			"dashboard subjects[Group::system:unauthenticated].name":        0,
			"door subjects[Group::system:unauthenticated].name":             0,
			"health subjects[User::system:anonymous].name":                  guide.Low,
			"system:discovery subjects[Group::system:unauthenticated].name": 0,
		}},
		{AuthenticatedBinding, "bindings", map[string]guide.Severity{
			"viewers subjects[Group::system:authenticated].name": guide.Medium,
			"editors subjects[Group::system:authenticated].name": guide.Critical,
			"writers subjects[Group::system:authenticated].name": guide.High,
		}},
		{ClusterWideBinding, "bindings", map[string]guide.Severity{
			"reader subjects[ServiceAccount:shop:report].name": guide.Low,
			"reader subjects[Group::readers].name":             guide.Low,
			"editor subjects[ServiceAccount:shop:ci].name":     0,
		}},
		{ClusterWideBinding, "live", map[string]guide.Severity{
			"carter subjects[ServiceAccount:shop:web].name": 0,
			"carter subjects[Group::developers].name":       guide.Low,
		}},
		{TamperedDefaultRole, "files", map[string]guide.Severity{
			"kubeadm:bootstrap-signer-clusterinfo rules[get||configmaps||]":          0,
			"system:basic-user rules[get||secrets||]":                                guide.Critical,
			"system:basic-user rules[get||||/metrics]":                               0,
			"system:controller:token-cleaner rules[get||configmaps||]":               0,
			"system:node-problem-detector rules[*|*|*||]":                            guide.Critical,
			"system:node-problem-detector rules[delete,patch||nodes/status||]":       0,
			"system:node-problem-detector rules[get|apps|deployments|web|]":          0,
			"view aggregationRule.clusterRoleSelectors[1]":                           0,
			"view metadata.labels.rbac.authorization.k8s.io/aggregate-to-monitoring": 0,
		}},
		{TamperedDefaultBinding, "bindings", map[string]guide.Severity{
			"kubeadm:bootstrap-signer-clusterinfo subjects[User::mara].name":                              0,
			"system:controller:clusterrole-aggregation-controller subjects[ServiceAccount:shop:web].name": 0,
			"system:discovery roleRef.name":                                                               0,
			"system:node subjects[Group::system:authenticated].name":                                      guide.Critical,
		}},
		{SecretReader, "bindings", map[string]guide.Severity{
			"deployers roleRef": 0, "owner roleRef": guide.Medium, "collector rules[list||secrets||].resources": 0,
		}},
		{PodSecurityLabels, "namespaces", map[string]guide.Severity{
			"unpinned metadata.labels.pod-security.kubernetes.io/enforce-version":         guide.Low,
			"latest metadata.labels.pod-security.kubernetes.io/enforce-version":           guide.Low,
			"misspelt-version metadata.labels.pod-security.kubernetes.io/enforce-version": 0,
			"open metadata.labels.pod-security.kubernetes.io/enforce":                     0,
			"misspelt metadata.labels.pod-security.kubernetes.io/enforce":                 0,
			"talks metadata.labels.pod-security.kubernetes.io/enforce":                    0,
			"bare metadata.labels.pod-security.kubernetes.io/enforce":                     0,
			"network metadata.labels.pod-security.kubernetes.io/enforce":                  guide.Low,
		}},
	} {
		file := fmt.Sprintf("testdata/%s/%s.yaml", test.check.ID, test.example)
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]guide.Severity{}
		for _, f := range checktest.Judge(t, file, string(src), test.check).Failures {
			key := f.Ref.Name + " " + f.Problem.Path.Key()
			if _, twice := got[key]; twice {
				t.Errorf("%s: two problems have the key %q", file, key)
			}
			got[key] = f.Problem.Severity
			if (f.Problem.Severity != 0) != (f.Problem.SeverityReason != "") {
				t.Errorf("%s: %s: severity %d for the reason %q", file, key, f.Problem.Severity, f.Problem.SeverityReason)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
	}
}

// A rule is the same rule wherever it stands, and whatever the order of its lists.
func TestRuleKey(t *testing.T) {
	const head = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\nrules:\n"
	const a = "  - {apiGroups: [\"\"], resources: [\"*\"], verbs: [get]}\n"
	keys := func(rules string) map[string]bool {
		set := map[string]bool{}
		for _, f := range checktest.Judge(t, "roles.yaml", head+rules, WildcardRule).Failures {
			set[f.Problem.Path.Key()] = true
		}
		return set
	}
	before := keys(a + "  - {apiGroups: [apps, batch], resources: [\"*\"], verbs: [list, get]}\n")
	after := keys("  - {apiGroups: [batch, apps], resources: [\"*\"], verbs: [get, list]}\n  - {apiGroups: [\"\"], resources: [pods], verbs: [get]}\n" + a)
	if diff := cmp.Diff(before, after); diff != "" || len(before) != 2 {
		t.Errorf("%d keys: %s", len(before), diff)
	}
}
