package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ManagedAuditLog finds managed clusters that do not hand their audit log over (guide:
// Native audit logging).
var ManagedAuditLog = &check.Check{
	ID:             "managed-audit-log",
	Title:          "audit log of a managed cluster is not kept",
	Recommendation: "AUD-01",
	Severity:       guide.High,
	Remedy:         "have the provider deliver the API server's audit log",
	Needs:          []evidence.Fact{evidence.Namespaces},
	Node:           "whether the audit log is delivered",
	Doc: `The API server of a managed cluster writes an audit log only where the user asks for it.

Looked at is what the provider's own command prints of the cluster (--cloud-config): of EKS
the type audit in logging.clusterLogging. GKE keeps its audit log always; that of AKS is a
diagnostic setting, which az aks show does not print.

    aws eks update-cluster-config --name CLUSTER \
      --logging '{"clusterLogging":[{"types":["audit"],"enabled":true}]}'
`,
	Run: managedSetting(managed{
		setting: func(c *evidence.CloudConfig) *evidence.CloudBool { return c.AuditLog },
		good:    true, duty: true,
		told:      []string{"EKS"},
		elsewhere: map[string]string{"AKS": "needs what az monitor diagnostic-settings list --resource ID prints: kube-audit is to be among its logs"},
		question:  "whether the audit log is delivered",
		fault:     "the audit log is not delivered",
	}),
}
