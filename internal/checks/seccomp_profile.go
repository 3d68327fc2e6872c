package checks

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// SeccompProfile reports containers whose system calls nothing filters.
//
// Guide: Table I, seccomp; hardening container environments. Pod Security
// Standards: seccompProfile_restricted (1.19, without Windows pods from 1.25),
// before that seccompProfile_baseline over the annotations.
var SeccompProfile = &check.Check{
	ID:             "seccomp-profile",
	Title:          "system calls are not filtered",
	Doc:            seccompProfileDoc,
	Recommendation: "POD-13",
	Severity:       guide.Medium,
	Remedy:         "set seccompProfile to RuntimeDefault",
	Needs:          []evidence.Fact{evidence.Workloads},
	Alone:          true, // what the kubelet does for pods without a profile is a net below them
	Run:            pods(linuxPods, seccompProfile),
}

const seccompProfileDoc = `All containers of a node share its kernel, and every system call is a way to reach
a flaw in it. A seccomp profile filters the calls; the runtime's default one
leaves out those that hardly any application needs.

The profile of every container is judged, init and ephemeral ones too, its own or
its pod's. It has to be RuntimeDefault or Localhost. Left out it is Unconfined,
unless the kubelet runs with seccompDefault, which no manifest shows: where
kubelet-seccomp-default passes on every node, such pods are filtered all the same.
What the pod sets and every container overrides is reported with low severity.
Judging as a release before 1.19, when the field did not exist, only annotations
that switch seccomp off are reported. Windows pods have no seccomp.

    spec:
      securityContext:
        seccompProfile:
          type: RuntimeDefault
`

// unusualCalls is what filtering system calls may stop.
const unusualCalls = "an application that makes system calls which the runtime's default profile leaves out"

// The annotations that the field replaced in 1.19.
const (
	seccompPodAnnotation       = "seccomp.security.alpha.kubernetes.io/pod"
	seccompContainerAnnotation = "container.seccomp.security.alpha.kubernetes.io/"
)

func seccompProfile(s *check.Scan, w *evidence.Workload) (problems []check.Problem) {
	if !s.Settings.Version.AtLeast(19) {
		return seccompAnnotations(w)
	}
	pod := podContext(w).SeccompProfile
	inherits := false
	for c := range w.Containers() {
		own := ownContext(c).SeccompProfile
		switch {
		case own == nil && pod == nil:
			problems = append(problems, check.Problem{
				Path:      ownField(c, "seccompProfile"),
				Container: c.Name,
				Message:   fmt.Sprintf("the system calls of container %q are not filtered: no seccompProfile is set", c.Name),
				Fix:       &check.Fix{Path: ownField(c, "seccompProfile"), Value: "{type: RuntimeDefault}", Breaks: unusualCalls},
			})
		case own == nil:
			inherits = true
		case !filters(own.Type):
			problems = append(problems, check.Problem{
				Path:      ownField(c, "seccompProfile", "type"),
				Value:     string(own.Type),
				Container: c.Name,
				Message:   fmt.Sprintf("the system calls of container %q are not filtered: its seccompProfile is %q", c.Name, own.Type),
				Fix:       &check.Fix{Path: ownField(c, "seccompProfile", "type"), Value: "RuntimeDefault", Breaks: unusualCalls},
			})
		}
	}
	if pod != nil && !filters(pod.Type) {
		problems = append(problems, inherited(check.Problem{
			Path:    podField(w, "seccompProfile", "type"),
			Value:   string(pod.Type),
			Message: fmt.Sprintf("the system calls of the pod are not filtered: its seccompProfile is %q", pod.Type),
			Fix:     &check.Fix{Path: podField(w, "seccompProfile", "type"), Value: "RuntimeDefault", Breaks: unusualCalls},
		}, inherits || w.Partial != ""))
	}
	return problems
}

func filters(t corev1.SeccompProfileType) bool {
	return t == corev1.SeccompProfileTypeRuntimeDefault || t == corev1.SeccompProfileTypeLocalhost
}

func seccompAnnotations(w *evidence.Workload) (problems []check.Problem) {
	judge := func(key, container, who string) {
		value, ok := w.PodAnnotations[key]
		if !ok || value == corev1.SeccompProfileRuntimeDefault || value == corev1.DeprecatedSeccompProfileDockerDefault ||
			strings.HasPrefix(value, corev1.SeccompLocalhostProfileNamePrefix) {
			return
		}
		problems = append(problems, check.Problem{
			Path:      w.MetaPath.Field("annotations", key),
			Value:     value,
			Container: container,
			Message:   fmt.Sprintf("the system calls of %s are not filtered: its seccomp annotation is %q", who, value),
			Remedy:    "annotate with runtime/default: the field exists since Kubernetes 1.19",
		})
	}
	judge(seccompPodAnnotation, "", "the pod")
	for c := range w.Containers() {
		judge(seccompContainerAnnotation+c.Name, c.Name, "container "+fmt.Sprintf("%q", c.Name))
	}
	return problems
}
