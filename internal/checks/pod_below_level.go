package checks

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// PodBelowLevel reports running pods that the level of their namespace would
// refuse today (guide: Pod security enforcement, which acts at creation only).
var PodBelowLevel = &check.Check{
	ID:             "pod-below-level",
	Title:          "running pod is below the level that its namespace enforces",
	Recommendation: "ENF-03",
	Severity:       guide.Medium,
	Remedy:         "harden the workload and restart it, or move it to a namespace of a lower level; its pods could not be made again as they are",
	Needs:          []evidence.Fact{evidence.Workloads, evidence.Namespaces},
	Live:           "whether running pods meet the level of their namespace",
	Doc: `Pod Security Admission looks at pods when they are made. A label that was set later, or
taken off for a moment, leaves pods running that the level forbids, and nothing says
so.

Looked at are the pods that run in each namespace with a label enforce of baseline or
restricted, against that level in its pinned version, or else in the version of the
API server, by the very code that the API server judges by. Which users, namespaces and
runtime classes the admission configuration exempts no object shows.

    kubectl label --dry-run=server --overwrite ns shop pod-security.kubernetes.io/enforce=restricted
`,
	Run: podBelowLevel,
}

func podBelowLevel(r *check.Run) {
	emulated := api.MajorMinorVersion(r.Settings.Version.Major, r.Settings.Version.Minor)
	judge, err := policy.NewEvaluator(policy.DefaultChecks(), &emulated)
	if err != nil {
		r.Unknown("", "the Pod Security Standards cannot be evaluated: "+err.Error())
		return
	}
	levels := map[string]api.LevelVersion{}
	for _, ns := range r.Namespaces {
		if level, ok := enforcedLevel(ns); ok {
			levels[ns.Name] = level
		}
	}
	for w := range running(r.Snapshot) {
		level, labelled := levels[w.Namespace]
		if !labelled {
			continue
		}
		var problems []check.Problem
		if reasons := refusals(judge, level, w); len(reasons) > 0 {
			problems = []check.Problem{{
				Path: w.PodPath,
				Message: fmt.Sprintf("pods of %s %q run below the level %s that namespace %q enforces: %s",
					w.Kind, w.Name, levelText(level), w.Namespace, strings.Join(reasons, ", ")),
			}}
		}
		r.JudgeWorkload(w, problems)
	}
}

// enforcedLevel reads a namespace's labels as the admission plugin does.
func enforcedLevel(ns *evidence.Object[corev1.Namespace]) (api.LevelVersion, bool) {
	level, err := api.ParseLevel(ns.Labels[api.EnforceLevelLabel])
	if err != nil || level == api.LevelPrivileged {
		return api.LevelVersion{}, false
	}
	version, err := api.ParseVersion(ns.Labels[api.EnforceVersionLabel])
	if err != nil {
		version = api.LatestVersion()
	}
	return api.LevelVersion{Level: level, Version: version}, true
}

func levelText(l api.LevelVersion) string { return string(l.Level) + " (" + l.Version.String() + ")" }

// refusals are the reasons for which a level refuses the pod, as the API server
// would say them.
func refusals(judge policy.Evaluator, level api.LevelVersion, w *evidence.Workload) (reasons []string) {
	meta := &metav1.ObjectMeta{Labels: w.PodLabels, Annotations: w.PodAnnotations}
	for _, result := range judge.EvaluatePod(level, meta, w.Pod) {
		if !result.Allowed {
			reasons = append(reasons, result.ForbiddenReason)
		}
	}
	return reasons
}
