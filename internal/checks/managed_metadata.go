package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ManagedMetadata finds managed clusters whose pods reach the credentials of their node
// (guide: Protecting sensitive cloud infrastructure).
var ManagedMetadata = &check.Check{
	ID:             "managed-metadata",
	Title:          "pods of a managed cluster reach the node's metadata service",
	Recommendation: "CLD-01",
	Severity:       guide.High,
	Remedy:         "run every node pool with the metadata server for workloads",
	Needs:          []evidence.Fact{evidence.Namespaces},
	Node:           "whether pods are kept from the metadata service of the nodes",
	Doc: `The metadata service of a node gives its credentials to whoever asks from there, pods
included.

Looked at is what the provider's own command prints of the cluster (--cloud-config): on GKE
every node pool has workloadMetadataConfig.mode GKE_METADATA. Elsewhere policies decide,
which other rules judge.

    gcloud container node-pools update … --workload-metadata=GKE_METADATA
`,
	Run: managedSetting(managed{
		setting: func(c *evidence.CloudConfig) *evidence.CloudBool { return c.MetadataConcealed },
		good:    true, duty: false,
		told:     []string{"GKE"},
		question: "whether pods are kept from the metadata service of the nodes",
		fault:    "pods of some node pools reach the metadata service",
	}),
}
