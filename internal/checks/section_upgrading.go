package checks

import "github.com/gabion-k8s/gabion/internal/check"

func upgrading() []*check.Check {
	return []*check.Check{
		UnsupportedRelease,
		VersionSkew,
		UnsupportedRuntime,
		RemovedAPI,
		ScaledToZero,
		DanglingService,
		DanglingNetworkPolicy,
		DanglingWebhook,
		DanglingAPIService,
		CustomKindController,
	}
}
