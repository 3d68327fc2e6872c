// Package checks holds every check, one file each, judged by pure functions over
// evidence. It knows the Kubernetes fields that the recommendations are about;
// it reads no file, asks no API and prints nothing.
//
// To add a check, write my_check.go, list it in the section of the guide that it
// belongs to (section_*.go), and put examples under testdata/my-check/.
package checks

import (
	"cmp"
	"slices"
	"sync"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// All returns every check, in the order of the guide. The slice is the caller's own.
func All() []*check.Check { return slices.Clone(every()) }

// every puts the sections' checks in the order of the rows that they serve: what nodes
// say serves rows of many sections.
var every = sync.OnceValue(func() []*check.Check {
	list := slices.Concat(
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
		apiServer(),
		hostFiles(),
		nodeNetwork(),
		kubelets(),
		hostLogs(),
		managedControlPlanes(),
	)
	row := map[string]int{}
	for i, rec := range guide.All() {
		row[rec.ID] = i
	}
	slices.SortStableFunc(list, func(a, b *check.Check) int {
		return cmp.Compare(row[a.Recommendation], row[b.Recommendation])
	})
	return list
})

// Find returns the check with an ID.
func Find(id string) (*check.Check, bool) {
	for _, c := range every() {
		if c.ID == id {
			return c, true
		}
	}
	return nil, false
}
