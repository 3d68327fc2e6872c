package checks

import (
	"iter"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// judgeCluster records what is wrong with the cluster as a whole, at the Namespace
// kube-system: every cluster has it, and clusters are told apart by its UID.
func judgeCluster(r *check.Run, problems ...check.Problem) {
	if ns := r.Namespace(kubeSystem); ns != nil {
		for i := range problems {
			problems[i].Path = evidence.NewPath("metadata", "name")
		}
		r.Judge(ns.Ref, problems)
		return
	}
	for _, p := range problems {
		r.Unknown("", p.Message+"; no finding stands for it, as the Namespace kube-system was not read")
	}
	if len(problems) == 0 {
		r.Unknown("", "the Namespace kube-system, which stands for the cluster as a whole, was not read")
	}
}

// absentFromCluster records that nothing of a fact was found in all of the cluster.
func absentFromCluster(r *check.Run, f evidence.Fact, p check.Problem) {
	if ok, why := r.Complete(f, ""); !ok {
		r.Unknown("", why)
		return
	}
	judgeCluster(r, p)
}

// needs ends a reason with the kind of evidence that would answer it.
func needs(what string, e guide.Evidence) string {
	return what + ": needs " + e.Describe() + " (" + e.Flag() + ")"
}

// running yields the workloads of which pods run, each as it runs: what is written
// only when some of its pods are as it says.
func running(s *evidence.Snapshot) iter.Seq[*evidence.Workload] {
	changed := map[*evidence.Workload]int{} // pods that are not as their template says
	for _, w := range s.Workloads {
		if w.Template != nil {
			changed[w.Template] += w.Running
		}
	}
	return func(yield func(*evidence.Workload) bool) {
		for _, w := range s.Workloads {
			if w.Running > changed[w] && !yield(w) {
				return
			}
		}
	}
}
