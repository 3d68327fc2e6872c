package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ManagedSecretsEncryption finds managed clusters whose Secrets no key of a key service
// encrypts (guide: Secrets).
var ManagedSecretsEncryption = &check.Check{
	ID:             "managed-secrets-encryption",
	Title:          "Secrets of a managed cluster are not encrypted with a key of a key service",
	Recommendation: "SEC-03",
	Severity:       guide.High,
	Remedy:         "switch the provider's encryption of Secrets with a key of a key service on",
	Needs:          []evidence.Fact{evidence.Namespaces},
	Node:           "whether Secrets are encrypted with a key of a key service",
	Doc: `Providers encrypt the disks below etcd, but whoever reads etcd, or a backup of it, then
reads Secrets in the clear. Encryption of Secrets with a key of a key service is the
user's to switch on.

Looked at is what the provider's own command prints of the cluster (--cloud-config):
encryptionConfig of EKS (which since 1.28 encrypts all API data with a key of its own),
databaseEncryption of GKE, azureKeyVaultKms of AKS.

    aws eks associate-encryption-config …
    gcloud container clusters update … --database-encryption-key …
    az aks update … --enable-azure-keyvault-kms …
`,
	Run: managedSetting(managed{
		setting: func(c *evidence.CloudConfig) *evidence.CloudBool { return c.SecretsEncryption },
		good:    true, duty: true,
		told:     []string{"EKS", "GKE", "AKS"},
		question: "whether Secrets are encrypted with a key of a key service",
		fault:    "Secrets are not encrypted with a key of a key service",
	}),
}
