package checks

import "github.com/gabion-k8s/gabion/internal/check"

func podTokens() []*check.Check {
	return []*check.Check{
		ServiceAccountToken,
		DefaultServiceAccount,
		DefaultAccountRights,
		TokenSecret,
		SandboxRuntime,
	}
}
