// Package checks holds every check, one file each, judged by pure functions over
// evidence. It knows the Kubernetes fields that the recommendations are about;
// it reads no file, asks no API and prints nothing.
//
// To add a check, write my_check.go, list it in the section of the guide that it
// belongs to (section_*.go), and put examples under testdata/my-check/.
package checks

import (
	"slices"

	"github.com/gabion-k8s/gabion/internal/check"
)

// All returns every check, in the order of the guide.
func All() []*check.Check {
	return slices.Concat(
		podSecurity(),
		podEnforcement(),
		podTokens(),
		networkSeparation(),
		controlPlane(),
		workerNodes(),
		encryption(),
		authorization(),
		logging(),
		detection(),
		upgrading(),
	)
}

// Find returns the check with an ID.
func Find(id string) (*check.Check, bool) {
	for _, c := range All() {
		if c.ID == id {
			return c, true
		}
	}
	return nil, false
}
