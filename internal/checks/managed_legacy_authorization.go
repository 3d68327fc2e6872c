package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ManagedLegacyAuthorization finds managed clusters in which more than RBAC grants
// rights (guide: Role-based access control).
var ManagedLegacyAuthorization = &check.Check{
	ID:             "managed-legacy-authorization",
	Title:          "managed cluster does not rely on RBAC",
	Recommendation: "RBAC-01",
	Severity:       guide.Critical,
	Remedy:         "switch legacy authorization off, or RBAC on",
	Needs:          []evidence.Fact{evidence.Namespaces},
	Node:           "whether RBAC alone authorizes",
	Doc: `With the legacy authorization of GKE every ServiceAccount may do nearly everything,
whatever RBAC says; an AKS cluster made without RBAC lets every user do everything.

Looked at is what the provider's own command prints of the cluster (--cloud-config):
legacyAbac of GKE, enableRbac of AKS. EKS knows nothing but RBAC and its own access
entries.

    gcloud container clusters update … --no-enable-legacy-authorization
`,
	Run: managedSetting(managed{
		setting: func(c *evidence.CloudConfig) *evidence.CloudBool { return c.LegacyAuthorization },
		good:    false, duty: true,
		told:     []string{"GKE", "AKS"},
		question: "whether RBAC alone authorizes",
		fault:    "more than RBAC grants rights",
	}),
}
