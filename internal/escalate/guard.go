package escalate

import (
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/pod-security-admission/api"
	standards "k8s.io/pod-security-admission/policy"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// enforceLabel is the level of the Pod Security Standards that a namespace
// enforces (KEP-2579).
const enforceLabel = "pod-security.kubernetes.io/enforce"

// The levels of the Pod Security Standards.
const (
	privileged = "privileged"
	baseline   = "baseline"
	restricted = "restricted"
)

// level is the Pod Security level that a namespace enforces, "" when it says
// none: then the API server's own default holds, which no object shows. What a
// technique needs is forbidden, or not, in every version of a level, so the version
// that the namespace pins does not matter.
func (w *world) level(namespace string) string {
	switch l := w.labels[namespace][enforceLabel]; l {
	case privileged, baseline, restricted:
		if w.version.AtLeast(23) {
			return l
		}
	}
	return ""
}

// admits says whether a namespace admits a pod that reaches the node, of a kind
// that breaks some of the levels: the guard that refuses it, or "", and what is to
// be said about it.
func (w *world) admits(namespace string, broken ...string) (guard, note string) {
	if guard, note = w.leveled(namespace, broken...); guard != "" {
		return guard, ""
	}
	if slices.Contains(broken, baseline) { // else it is not seen in the pod
		if list := w.policies.refuse(namespace); len(list) > 0 {
			return fmt.Sprintf("ValidatingAdmissionPolicy %s in namespace %s", strings.Join(list, ", "), namespace), ""
		}
	}
	return "", note + w.doubts(namespace)
}

// leveled is admits by the Pod Security level alone.
func (w *world) leveled(namespace string, broken ...string) (guard, note string) {
	l := w.level(namespace)
	switch {
	case slices.Contains(broken, l):
		return levelOf(l, namespace), ""
	case l == "" && len(broken) > 0:
		note = fmt.Sprintf("; namespace %s enforces no Pod Security level, and a default of the API server cannot be seen", namespace)
	}
	return "", note
}

func levelOf(level, namespace string) string {
	return fmt.Sprintf("Pod Security level %s of namespace %s", level, namespace)
}

// frozen names the level that the pods of a workload do not meet, as those may that
// are older than its label, "" for none: they run on, and every change of their
// containers is refused.
func (w *world) frozen(wl *evidence.Workload) string {
	guard, ok := w.below[wl]
	if ok {
		return guard
	}
	if l := w.level(wl.Namespace); (l == baseline || l == restricted) && !w.meets(l, wl) {
		guard = levelOf(l, wl.Namespace)
	}
	w.below[wl] = guard
	return guard
}

// meets judges the pods of a workload by a level as the API server does, in the
// version that their namespace pins.
func (w *world) meets(level string, wl *evidence.Workload) bool {
	judge := w.judge()
	if judge == nil {
		return true
	}
	version, err := api.ParseVersion(w.labels[wl.Namespace][api.EnforceVersionLabel])
	if err != nil {
		version = api.LatestVersion()
	}
	meta := &metav1.ObjectMeta{Labels: wl.PodLabels, Annotations: wl.PodAnnotations}
	results := judge.EvaluatePod(api.LevelVersion{Level: api.Level(level), Version: version}, meta, wl.Pod)
	return !slices.ContainsFunc(results, func(r standards.CheckResult) bool { return !r.Allowed })
}

// newJudge is nil for a version that the standards do not know.
func newJudge(v evidence.Version) standards.Evaluator {
	emulated := api.MajorMinorVersion(v.Major, v.Minor)
	judge, err := standards.NewEvaluator(standards.DefaultChecks(), &emulated)
	if err != nil {
		return nil
	}
	return judge
}

// doubts names what else may refuse a pod in a namespace.
func (w *world) doubts(namespace string) string {
	note := w.webhooks.note(w.labels[namespace], namespace)
	if len(w.policies.doubtful) > 0 {
		note += "; ValidatingAdmissionPolicy " + strings.Join(w.policies.doubtful, ", ") + " may refuse it"
	}
	return note
}

// podWebhooks are the webhooks that are asked before a pod is made.
type podWebhooks []podWebhook

type podWebhook struct {
	name     string
	selector labels.Selector
}

func newPodWebhooks(snap *evidence.Snapshot) (list podWebhooks) {
	for _, c := range snap.ValidatingWebhooks {
		for _, h := range c.Value.Webhooks {
			if !slices.ContainsFunc(h.Rules, asksAboutPods) {
				continue
			}
			selector := labels.Everything()
			if h.NamespaceSelector != nil {
				var err error
				if selector, err = metav1.LabelSelectorAsSelector(h.NamespaceSelector); err != nil {
					continue // the API server refuses it
				}
			}
			list = append(list, podWebhook{c.Name, selector})
		}
	}
	return list
}

func asksAboutPods(r admissionregistrationv1.RuleWithOperations) bool {
	has := func(list []string, want string) bool {
		return slices.Contains(list, want) || slices.Contains(list, "*")
	}
	return has(r.APIGroups, "") && (has(r.Resources, "pods") || slices.Contains(r.Resources, "*/*")) &&
		slices.ContainsFunc(r.Operations, func(o admissionregistrationv1.OperationType) bool {
			return o == admissionregistrationv1.Create || o == admissionregistrationv1.OperationAll
		})
}

// note names the webhooks that may refuse a pod in a namespace.
func (list podWebhooks) note(of map[string]string, namespace string) string {
	set := labels.Merge(of, labels.Set{"kubernetes.io/metadata.name": namespace})
	var names []string
	for _, h := range list {
		if h.selector.Matches(set) && !slices.Contains(names, h.name) {
			names = append(names, h.name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "; the admission webhook " + strings.Join(names, ", ") + " may refuse it"
}
