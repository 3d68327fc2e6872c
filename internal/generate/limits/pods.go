package limits

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A controller is what of an object says how many pods there may be at once.
type controller struct {
	Spec struct {
		Replicas             *int32             `json:"replicas"`
		Strategy             strategy           `json:"strategy"`
		UpdateStrategy       strategy           `json:"updateStrategy"`
		ConcurrencyPolicy    string             `json:"concurrencyPolicy"`
		JobTemplate          struct{ Spec job } `json:"jobTemplate"`
		VolumeClaimTemplates []struct {
			Metadata struct{ Name string }
		} `json:"volumeClaimTemplates"`
		job
	} `json:"spec"`
}

type strategy struct {
	Type          string `json:"type"`
	RollingUpdate *struct {
		MaxSurge *intstr.IntOrString `json:"maxSurge"`
	} `json:"rollingUpdate"`
}

type job struct {
	Parallelism *int32 `json:"parallelism"`
	Completions *int32 `json:"completions"`
}

// read decodes the parts of an object that are asked for; an object without JSON, or with
// another shape, says nothing.
func read[T any](ref *evidence.Ref) (o T, read bool) {
	if len(ref.JSON) == 0 {
		return o, false
	}
	err := json.Unmarshal(ref.JSON, &o)
	return o, err == nil
}

// A target is an object that an autoscaler scales.
type target struct{ namespace, kind, name string }

// An autoscaler is how far one may scale; 0 where that was not read.
type autoscaler struct {
	ref *evidence.Ref
	max int32
}

// scalers are the autoscalers, by what they scale. One of which no more than the name was
// read scales nothing that has a name.
func scalers(snap *evidence.Snapshot) map[target]autoscaler {
	found := map[target]autoscaler{}
	for _, ref := range snap.Objects {
		var o struct {
			Spec struct {
				ScaleTargetRef struct{ Kind, Name string } `json:"scaleTargetRef"`
				MaxReplicas    int32                       `json:"maxReplicas"`
				// Of KEDA's ScaledObjects.
				MaxReplicaCount *int32 `json:"maxReplicaCount"`
			} `json:"spec"`
		}
		keda := ref.Group() == "keda.sh" && ref.Kind == "ScaledObject"
		if !keda && (ref.Group() != "autoscaling" || ref.Kind != "HorizontalPodAutoscaler") || len(ref.JSON) == 0 || json.Unmarshal(ref.JSON, &o) != nil {
			continue
		}
		to := target{ref.Namespace, o.Spec.ScaleTargetRef.Kind, o.Spec.ScaleTargetRef.Name}
		if keda {
			if o.Spec.MaxReplicas = 100; o.Spec.MaxReplicaCount != nil {
				o.Spec.MaxReplicas = *o.Spec.MaxReplicaCount
			}
			if to.kind == "" {
				to.kind = "Deployment"
			}
		}
		if have, there := found[to]; !there || o.Spec.MaxReplicas > have.max {
			found[to] = autoscaler{ref, o.Spec.MaxReplicas}
		}
	}
	return found
}

// count is how many pods of a workload there may be at once, and why.
func (l *load) count(snap *evidence.Snapshot, scale map[target]autoscaler, n *Namespace) (pods int64, why string) {
	c, known := read[controller](l.Ref)
	if !known && l.Kind != "Pod" {
		n.say("%s was not read whole: what it adds while it rolls out is not known", l.Ref)
	}
	switch l.Kind {
	case "Pod":
		return l.bare(snap)
	case "DaemonSet":
		return l.onNodes(snap, c.Spec.UpdateStrategy, n)
	case "Job":
		p := c.Spec.job.atOnce()
		return p, plural(p, "pod") + " at once"
	case "CronJob":
		return c.cron()
	}
	replicas := int64(1)
	switch {
	case c.Spec.Replicas != nil && l.Replicas == nil:
		replicas = int64(*c.Spec.Replicas)
	case l.Replicas != nil:
		replicas = int64(*l.Replicas)
	}
	replicas = max(replicas, 0)
	why = plural(replicas, "replica")
	if s := scale[target{l.Namespace, l.Kind, l.Name}]; int64(s.max) > replicas {
		replicas = int64(s.max)
		why = fmt.Sprintf("%s, the most that %s scales to", plural(replicas, "replica"), s.ref)
	}
	if running := int64(l.Running); running > replicas && l.Replicas == nil && c.Spec.Replicas == nil {
		replicas, why = running, plural(running, "running pod")
	}
	if l.Kind != "Deployment" || c.Spec.Strategy.Type == "Recreate" {
		return replicas, why
	}
	extra := surge(c.Spec.Strategy, replicas, intstr.FromString("25%"))
	if extra > 0 {
		why += fmt.Sprintf(", %d more while it rolls out (maxSurge)", extra)
	}
	return replicas + extra, why
}

// bare are the pods that no object made that was seen.
func (l *load) bare(snap *evidence.Snapshot) (int64, string) {
	if snap.Cluster == nil {
		return 1, "1 pod"
	}
	if l.Running == 0 {
		return 0, "it has ended"
	}
	return int64(l.Running), plural(int64(l.Running), "running pod")
}

// onNodes are the pods of a DaemonSet: one for each node, as far as nodes were seen.
func (l *load) onNodes(snap *evidence.Snapshot, s strategy, n *Namespace) (int64, string) {
	nodes := int64(max(len(snap.Nodes), l.Running))
	why := fmt.Sprintf("one on each of %s", plural(nodes, "node"))
	if nodes == 0 {
		nodes, why = 1, "counted as 1 pod"
		n.say("%s runs a pod on every node, and how many nodes there are was not seen: it is counted as one", l.Ref)
	}
	if extra := surge(s, nodes, intstr.FromInt32(0)); extra > 0 {
		nodes += extra
		why += fmt.Sprintf(", %d more while it rolls out (maxSurge)", extra)
	}
	return nodes, why
}

// atOnce is how many pods of a Job run at once.
func (j job) atOnce() int64 {
	p := int64(1)
	if j.Parallelism != nil {
		p = max(int64(*j.Parallelism), 0)
	}
	if j.Completions != nil && int64(*j.Completions) < p {
		p = max(int64(*j.Completions), 0)
	}
	return p
}

// cron is how many pods of a CronJob run at once.
func (c controller) cron() (int64, string) {
	p := c.Spec.JobTemplate.Spec.atOnce()
	switch c.Spec.ConcurrencyPolicy {
	case "Forbid":
		return p, plural(p, "pod") + " at once (Forbid)"
	case "Replace":
		return 2 * p, plural(2*p, "pod") + ": a run and the one that it replaces"
	}
	return 2 * p, plural(2*p, "pod") + ": two runs, though concurrencyPolicy Allow sets no bound"
}

// surge is how many pods a rollout adds.
func surge(s strategy, replicas int64, usual intstr.IntOrString) int64 {
	most := usual
	if s.RollingUpdate != nil && s.RollingUpdate.MaxSurge != nil {
		most = *s.RollingUpdate.MaxSurge
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(&most, int(min(replicas, math.MaxInt32)), true)
	if err != nil || n < 0 {
		return 0
	}
	return int64(n)
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, strings.TrimSuffix(what, "s"))
}
