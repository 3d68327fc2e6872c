package checks

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// PodDiffers reports running pods that are not what their template says (guide: Pod
// security enforcement, which asks to look at what runs).
var PodDiffers = &check.Check{
	ID:             "pod-differs",
	Title:          "running pod is not what was written",
	Recommendation: "ENF-03",
	Severity:       guide.Medium,
	Remedy:         "find out who changed it: a mutating webhook or policy that you know, or a person; restart the pods of the workload if it was no part of the plan",
	Needs:          []evidence.Fact{evidence.Workloads},
	Live:           "whether what runs is what was written",
	Doc: `Reviews, scans of files and signatures are about what was written. A mutating webhook or
policy can add to each pod as it is made; whoever may patch pods can change the
image of one that runs, and whoever may debug can add a container to it. None of that is
in any manifest, and it is gone when the pod is.

Looked at is each running pod against the template of the ReplicaSet, StatefulSet,
DaemonSet, Job or ReplicationController that made it. What those controllers, the API
server's defaults and its built-in admission add is taken away first: the token, the
default ServiceAccount, tolerations, priority, what a LimitRange fills in, claims, pull
policies, and what only places the pod. Labels may be added. Pods of an earlier revision
of the template and pods that an operator makes by itself are judged by the other rules,
but not compared. Containers for debugging are debug-container's.

A container that runs privileged, the node's namespaces and directories of the node are
high. Another image or command, a changed security field, account or volume is medium.
A sidecar, as meshes add them, variables and labels are low: except it by its name once
you know it. A field that only confines the pod further is informational.

    kubectl get pod web-7d9f8b6c5-x2x4z -o yaml
    kubectl get mutatingwebhookconfigurations,mutatingadmissionpolicies
`,
	Run: podDiffers,
}

func podDiffers(r *check.Run) {
	for _, w := range r.Workloads {
		if w.Running > 0 && (w.Template != nil || w.Kind != "Pod" && builtInGroup(w.Group())) {
			r.Judge(w.Ref, changes(w))
		}
	}
}

// changes are the differences of a running pod.
func changes(w *evidence.Workload) (problems []check.Problem) {
	who := "running pod " + w.Instance
	if w.Running > 1 {
		who += fmt.Sprintf(" and %d more", w.Running-1)
	}
	for _, d := range w.Differs {
		if d.Field == evidence.EphemeralContainers {
			continue // debug-container reports it
		}
		p := check.Problem{Path: d.Path, Value: d.Value, Container: d.Container, Message: who + ": " + d.Text}
		p.Severity, p.SeverityReason = gravity(w, d)
		problems = append(problems, p)
	}
	return problems
}

const reachesNode = "with it the pod is as good as the node"

// gravity ranks a difference; 0 is the check's own severity.
func gravity(w *evidence.Workload, d evidence.Difference) (guide.Severity, string) {
	switch {
	case d.Field == evidence.Containers, d.Field == evidence.InitContainers:
		for c := range w.Containers() {
			if c.Name == d.Container && privileged(c) {
				return guide.High, "it runs privileged: " + reachesNode
			}
		}
		return guide.Low, "what is added or missing stands beside the rest, and does not change it"
	case confines(d):
		return guide.Info, "it confines the pod further"
	case d.Value == "true" && slices.Contains([]string{"hostNetwork", "hostPID", "hostIPC", "securityContext.privileged"}, d.Field),
		d.Field == "volumes" && mountsNode(w, d.Path):
		return guide.High, reachesNode
	case slices.Contains([]string{"env", "labels", "livenessProbe", "readinessProbe", "startupProbe"}, d.Field):
		return guide.Low, "it changes what the program is told, not what it may do"
	}
	return 0, ""
}

// privileged reports whether a container is as good as its node.
func privileged(c evidence.Container) bool {
	own := ownContext(c)
	return is(own.Privileged, true) || own.WindowsOptions != nil && is(own.WindowsOptions.HostProcess, true)
}

// mountsNode reports whether a volume is a directory of the node.
func mountsNode(w *evidence.Workload, at evidence.Path) bool {
	return slices.ContainsFunc(w.Pod.Volumes, func(v corev1.Volume) bool {
		return v.HostPath != nil && strings.HasSuffix(at.Key(), "["+v.Name+"]")
	})
}

// confines reports whether a change can only take rights away.
func confines(d evidence.Difference) bool {
	field := strings.TrimPrefix(d.Field, "securityContext.")
	switch field {
	case "hostNetwork", "hostPID", "hostIPC", "privileged":
		return d.Value != "true"
	case "hostUsers", "allowPrivilegeEscalation", "automountServiceAccountToken":
		return d.Value == "false"
	case "readOnlyRootFilesystem", "runAsNonRoot":
		return d.Value == "true"
	case "runAsUser", "runAsGroup", "fsGroup":
		return d.Written == "" && d.Value != "0"
	case "seccompProfile.type", "appArmorProfile.type":
		return d.Written == "" && d.Value != "Unconfined"
	case "capabilities.drop", "seLinuxOptions.level":
		return d.Written == ""
	case "capabilities.add":
		return d.Value == ""
	}
	return false
}
