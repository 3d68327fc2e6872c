package checks

import "github.com/gabion-k8s/gabion/internal/check"

// hostLogs are the checks of encryption at rest, of the API server's audit log and of
// what the nodes do with their logs.
func hostLogs() []*check.Check {
	return []*check.Check{
		EncryptionAtRest,
		EncryptionProvider,
		EncryptionConfigFile,
		EncryptionKeyService,
		SecretsRewritten,
		LogLayers,
		LogTransport,
		AuditLogOff,
		AuditLogMounts,
		AuditLogFile,
		AuditLogRetention,
		AuditWebhook,
		SystemLogKept,
		SystemLogForwarded,
		LogSpace,
		LogBuffer,
	}
}
