package checks

import "github.com/gabion-k8s/gabion/internal/check"

func detection() []*check.Check {
	return []*check.Check{
		SensorNodes,
	}
}
