package checks

import "github.com/gabion-k8s/gabion/internal/check"

func controlPlane() []*check.Check {
	return []*check.Check{
		InsecurePort,
	}
}
