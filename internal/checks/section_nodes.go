package checks

import "github.com/gabion-k8s/gabion/internal/check"

func workerNodes() []*check.Check {
	return []*check.Check{
		ExposedWorkloadPlacement,
		SharedNode,
		SensitiveRangeEgress,
	}
}
