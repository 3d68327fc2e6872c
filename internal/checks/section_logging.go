package checks

import "github.com/gabion-k8s/gabion/internal/check"

func logging() []*check.Check {
	return []*check.Check{
		MetricsAPI,
		LogAgent,
		LogAgentNodes,
		SeccompLearning,
		SeccompPerWorkload,
	}
}
