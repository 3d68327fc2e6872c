package checks_test

import (
	"os"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// notJudged says which lists of containers a rule leaves out, and why.
var notJudged = map[string]map[string]string{
	"resource-requests": {evidence.EphemeralContainers: "the API server refuses resources there"},
	"resource-limits":   {evidence.EphemeralContainers: "the API server refuses resources there"},
	"debug-container": {
		evidence.InitContainers: "the API server lets nobody add one to a pod",
		evidence.Containers:     "the API server lets nobody add one to a pod",
	},
}

// A fault of a container is found in whatever list the container stands: each
// container that an example has a problem with is moved to the other lists.
func TestTraversal(t *testing.T) {
	moved := 0
	for _, c := range checks.All() {
		t.Run(c.ID, func(t *testing.T) {
			for _, file := range glob(t, "testdata/"+c.ID+"/*.yaml") {
				src, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				run := checktest.Judge(t, file, string(src), c)
				for _, f := range run.Failures {
					if f.Problem.Container != "" {
						moved += moveAround(t, file, c, run, f)
					}
				}
			}
		})
	}
	if moved == 0 {
		t.Error("nothing was moved")
	}
}

// moveAround moves the container of a failure to each list that it does not
// stand in, and returns how often.
func moveAround(t *testing.T, file string, c *check.Check, run *check.Run, f check.Failure) (moved int) {
	t.Helper()
	i := slices.IndexFunc(run.Workloads, func(w *evidence.Workload) bool {
		return w.Ref == f.Ref && listOf(w, f.Problem.Container) != ""
	})
	if i < 0 {
		t.Errorf("%s: no container %q in %s", file, f.Problem.Container, f.Ref)
		return 0
	}
	for _, list := range []string{evidence.InitContainers, evidence.Containers, evidence.EphemeralContainers} {
		if list == listOf(run.Workloads[i], f.Problem.Container) {
			continue
		}
		moved++
		snap := *run.Snapshot
		snap.Workloads = slices.Clone(snap.Workloads)
		snap.Workloads[i] = withContainerIn(list, snap.Workloads[i], f.Problem.Container)
		again := &check.Run{Scan: check.NewScan(&snap, run.Settings)}
		c.Run(again)
		found := slices.ContainsFunc(again.Failures, func(g check.Failure) bool {
			return g.Ref == f.Ref && g.Problem.Container == f.Problem.Container && g.Problem.Message == f.Problem.Message
		})
		why := notJudged[c.ID][list]
		if found && why != "" {
			t.Errorf("%s: found in %s, where it should not be: %s", file, list, why)
		}
		if !found && why == "" {
			t.Errorf("%s: not found with container %q in %s: %s", file, f.Problem.Container, list, f.Problem.Message)
		}
	}
	return moved
}

// listOf is the list that a workload's container stands in, "" when it has none
// of that name.
func listOf(w *evidence.Workload, name string) string {
	for c := range w.Containers() {
		if c.Name == name {
			return c.List
		}
	}
	return ""
}

// withContainerIn returns the workload with a container moved to a list.
func withContainerIn(list string, w *evidence.Workload, name string) *evidence.Workload {
	var moving corev1.Container
	pod := w.Pod.DeepCopy()
	pod.InitContainers, pod.Containers, pod.EphemeralContainers = nil, nil, nil
	for c := range w.Containers() {
		if c.Name == name {
			moving = *c.Container
			continue
		}
		place(pod, c.List, *c.Container)
	}
	place(pod, list, moving)
	copied := *w
	copied.Pod = pod
	return &copied
}

func place(pod *corev1.PodSpec, list string, c corev1.Container) {
	switch list {
	case evidence.InitContainers:
		pod.InitContainers = append(pod.InitContainers, c)
	case evidence.Containers:
		pod.Containers = append(pod.Containers, c)
	case evidence.EphemeralContainers:
		pod.EphemeralContainers = append(pod.EphemeralContainers,
			corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon(c)})
	}
}
