package generate_test

import (
	"testing"

	"k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/gabion-k8s/gabion/internal/generate"
)

// The API server's own code reads the policy and says which level a request gets.
func TestAuditPolicy(t *testing.T) {
	text := generate.AuditPolicy()
	commented(t, text, "AUD-01", "AUD-02", "AUD-03", "LOG-04")
	p, err := policy.LoadPolicyFromBytes([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	evaluator := policy.NewPolicyRuleEvaluator(p)
	for _, test := range []struct {
		verb, group, resource, sub string
		want                       audit.Level
	}{
		{"create", "", "secrets", "", audit.LevelMetadata},
		{"list", "", "secrets", "", audit.LevelMetadata},
		{"deletecollection", "", "secrets", "", audit.LevelMetadata},
		{"patch", "", "configmaps", "", audit.LevelMetadata},
		{"create", "", "serviceaccounts", "token", audit.LevelMetadata},
		{"create", "authentication.k8s.io", "tokenreviews", "", audit.LevelMetadata},
		{"update", "coordination.k8s.io", "leases", "", audit.LevelMetadata},
		{"create", "", "events", "", audit.LevelMetadata},
		{"patch", "events.k8s.io", "events", "", audit.LevelMetadata},
		{"create", "", "serviceaccounts", "", audit.LevelRequestResponse},
		{"create", "", "pods", "", audit.LevelRequestResponse},
		{"create", "", "pods", "exec", audit.LevelRequestResponse},
		{"get", "", "pods", "exec", audit.LevelMetadata},
		{"update", "", "pods", "ephemeralcontainers", audit.LevelRequestResponse},
		{"create", "", "pods", "eviction", audit.LevelRequestResponse},
		{"patch", "apps", "deployments", "scale", audit.LevelRequestResponse},
		{"update", "rbac.authorization.k8s.io", "clusterroles", "", audit.LevelRequestResponse},
		{"create", "rbac.authorization.k8s.io", "clusterrolebindings", "", audit.LevelRequestResponse},
		{"delete", "admissionregistration.k8s.io", "validatingwebhookconfigurations", "", audit.LevelRequestResponse},
		{"create", "batch", "cronjobs", "", audit.LevelRequestResponse},
		{"update", "certificates.k8s.io", "certificatesigningrequests", "approval", audit.LevelRequestResponse},
		{"deletecollection", "example.org", "things", "", audit.LevelRequestResponse},
		{"get", "", "pods", "", audit.LevelMetadata},
		{"watch", "", "nodes", "", audit.LevelMetadata},
		{"get", "", "nodes", "proxy", audit.LevelMetadata},
		{"get", "", "", "", audit.LevelMetadata}, // no resource: a path
	} {
		for _, who := range []string{"alice", "system:anonymous", "system:node:n1", "system:kube-scheduler"} {
			a := &authorizer.AttributesRecord{
				User: &user.DefaultInfo{Name: who, Groups: []string{"system:unauthenticated"}}, Verb: test.verb, APIGroup: test.group,
				Resource: test.resource, Subresource: test.sub, ResourceRequest: test.resource != "", Path: "/healthz",
			}
			got := evaluator.EvaluatePolicyRule(a)
			if got.Level != test.want || len(got.OmitStages) != 1 || got.OmitStages[0] != audit.StageRequestReceived {
				t.Errorf("%s %s/%s/%s by %s: %+v, want %s", test.verb, test.group, test.resource, test.sub, who, got, test.want)
			}
		}
	}
}
