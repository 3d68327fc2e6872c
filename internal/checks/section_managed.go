package checks

import "github.com/gabion-k8s/gabion/internal/check"

// managedControlPlanes are what providers leave to their users.
func managedControlPlanes() []*check.Check {
	return []*check.Check{
		ManagedSecretsEncryption,
		ManagedAuditLog,
		ManagedLocalAccounts,
		ManagedLegacyAuthorization,
		ManagedMetadata,
	}
}
