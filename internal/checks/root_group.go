package checks

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// RootGroup reports containers that are, or by default become, members of group 0.
//
// Guide: Table I and Appendix C, runAsGroup, supplementalGroups and fsGroup in
// the range 1 to 65535. No Pod Security Standard looks at groups.
var RootGroup = &check.Check{
	ID:             "root-group",
	Title:          "container is in the root group",
	Doc:            rootGroupDoc,
	Recommendation: "POD-03",
	Severity:       guide.Medium,
	Remedy:         "set runAsGroup, and fsGroup and supplementalGroups where they are used, to groups above 0",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            rootGroups,
}

const rootGroupDoc = `A user that is not root but belongs to group 0 can still change whatever group 0
may write: on volumes, and in the many images that open their files to that
group. The Pod Security Standards do not look at groups at all.

The primary group is judged for every container, its own runAsGroup over the
pod's. Missing, it is group 0 unless the image's own user has another one, which
a manifest does not show: that is reported too. fsGroup and supplementalGroups
add groups, so only a 0 in them is a fault and leaving them out is none. Groups
that the image's /etc/group adds are not seen, and keep the row from passing;
supplementalGroupsPolicy: Strict, from Kubernetes 1.33 on, keeps them away.
Windows pods have no such groups.

    spec:
      securityContext:
        runAsUser: 10001
        runAsGroup: 10001
        fsGroup: 10001
        supplementalGroupsPolicy: Strict
`

func rootGroups(r *check.Run) {
	pods(linuxPods, rootGroup)(r)
	lax := 0
	for _, w := range r.Workloads {
		if w.Template == nil && linuxPods(r.Settings, w) && !ignoresImageGroups(r.Settings.Version, w) {
			lax++
		}
	}
	if lax > 0 {
		r.Unknown("", fmt.Sprintf("whether the /etc/group of an image puts its user into group 0, for %d workloads: needs the images (--image), or supplementalGroupsPolicy Strict in the pod", lax))
	}
}

// ignoresImageGroups reports whether the runtime leaves out the groups that the
// image gives its user. Since 1.33 the kubelet refuses the pod where the runtime
// cannot (KEP-3619).
func ignoresImageGroups(v evidence.Version, w *evidence.Workload) bool {
	return v.AtLeast(33) && is(podContext(w).SupplementalGroupsPolicy, corev1.SupplementalGroupsPolicyStrict)
}

func rootGroup(_ *check.Scan, w *evidence.Workload) (problems []check.Problem) {
	pod := podContext(w)
	inherits := false
	for c := range w.Containers() {
		own := ownContext(c)
		switch {
		case is(own.RunAsGroup, 0):
			problems = append(problems, check.Problem{
				Path:      ownField(c, "runAsGroup"),
				Value:     "0",
				Container: c.Name,
				Message:   fmt.Sprintf("container %q runs with group 0, root's", c.Name),
			})
		case own.RunAsGroup != nil:
		case pod.RunAsGroup == nil:
			problems = append(problems, check.Problem{
				Path:      ownField(c, "runAsGroup"),
				Container: c.Name,
				Message:   fmt.Sprintf("container %q may run with group 0: runAsGroup is not set, so the image decides", c.Name),
			})
		default:
			inherits = true
		}
	}
	if is(pod.RunAsGroup, 0) {
		problems = append(problems, inherited(check.Problem{
			Path:    podField(w, "runAsGroup"),
			Value:   "0",
			Message: "the pod runs its containers with group 0, root's",
		}, inherits))
	}
	if is(pod.FSGroup, 0) {
		problems = append(problems, check.Problem{
			Path:    podField(w, "fsGroup"),
			Value:   "0",
			Message: "the pod's volumes belong to group 0, and every container to that group: fsGroup is 0",
		})
	}
	for i, group := range pod.SupplementalGroups {
		if group == 0 {
			problems = append(problems, check.Problem{
				Path:    podField(w, "supplementalGroups").Index(i, ""),
				Value:   "0",
				Message: "the pod adds its containers to group 0: supplementalGroups holds it",
			})
		}
	}
	return problems
}
