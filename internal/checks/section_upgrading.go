package checks

import "github.com/gabion-k8s/gabion/internal/check"

func upgrading() []*check.Check {
	return []*check.Check{
		RemovedAPI,
		ScaledToZero,
		DanglingService,
		DanglingNetworkPolicy,
		DanglingWebhook,
	}
}
