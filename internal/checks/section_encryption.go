package checks

import "github.com/gabion-k8s/gabion/internal/check"

func encryption() []*check.Check {
	return []*check.Check{
		MeshMTLS,
		PodOutsideMesh,
		CredentialInEnv,
		CredentialInArgs,
		CredentialInConfigMap,
		CredentialInAnnotation,
		SecretInManifest,
		SecretReader,
		MetadataEgress,
	}
}
