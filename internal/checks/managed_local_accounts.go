package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ManagedLocalAccounts finds managed clusters with accounts besides those of the
// provider's identity service (guide: Authentication).
var ManagedLocalAccounts = &check.Check{
	ID:             "managed-local-accounts",
	Title:          "managed cluster has static accounts",
	Recommendation: "AUTHN-04",
	Severity:       guide.Medium,
	Remedy:         "switch local accounts, basic authentication and client certificates off",
	Needs:          []evidence.Fact{evidence.Namespaces},
	Node:           "whether static accounts are allowed",
	Doc: `A password, or an administrator's certificate that the provider gives to whoever may ask
for it, is not tied to a person and cannot be taken back.

Looked at is what the provider's own command prints of the cluster (--cloud-config):
disableLocalAccounts of AKS, masterAuth of GKE. EKS has no such accounts.

    az aks update … --disable-local-accounts
`,
	Run: managedSetting(managed{
		setting: func(c *evidence.CloudConfig) *evidence.CloudBool { return c.LocalAccounts },
		good:    false, duty: true,
		told:     []string{"GKE", "AKS"},
		question: "whether static accounts are allowed",
		fault:    "static accounts are allowed",
	}),
}
