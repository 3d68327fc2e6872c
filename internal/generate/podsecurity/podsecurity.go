// Package podsecurity finds for each namespace the strictest level of the Pod Security
// Standards (KEP-2579) that all of its pods satisfy, and writes the labels that hold it
// there, with what blocks the next level. Verdicts are those of the API server's own
// evaluator; what is added is where in an object the refused fields stand, and what was
// not seen.
//
// It reads nothing but evidence. What no object shows, the exemptions and defaults in
// the API server's admission configuration and what webhooks add to pods that do not
// run yet, is said and not guessed.
package podsecurity

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// Options say what to write.
type Options struct {
	// Namespaces are those to write for; none means all.
	Namespaces []string
	// Version is the release to judge by and to pin: that of the cluster when it is
	// zero, else the newest known.
	Version evidence.Version
	// WarnOnly leaves the labels that refuse pods out: the first step.
	WarnOnly bool
}

// A Result is what was found and written.
type Result struct {
	// Version is the release that was judged by and is pinned.
	Version    evidence.Version
	Namespaces []*Namespace // by name
	// Text is the document: Namespace objects with their labels, and comments.
	Text string
}

// A Namespace is what was found about one.
type Namespace struct {
	Name string
	// System is set for the namespaces that Kubernetes makes for its own parts.
	System bool
	// Workloads were judged, Running of their pods run, Windows are for Windows nodes.
	Workloads, Running, Windows int
	// Level is the strictest one that all of them satisfy, and Next the one above it,
	// "" above restricted.
	Level, Next api.Level
	// Doubts are why there may be pods that Level refuses; with one, Level is no claim.
	Doubts []string
	// Said is what the labels of today say.
	Said []string
	// Blockers are what Next refuses, by object.
	Blockers []*Blocker
	// Warnings are what the API server would say to enforce=Next of the pods that run,
	// line by line; nil for files. A pod whose name is not known is written NAME-*.
	Warnings []string
	// Labels are those to set.
	Labels map[string]string
	// Stricter is set when a stricter level than Level is enforced already: it is kept.
	Stricter bool

	object    *evidence.Object[corev1.Namespace]
	workloads []*evidence.Workload
}

// A Blocker is a workload that a level refuses.
type Blocker struct {
	Workload *evidence.Workload
	// Message is what the API server would say to its pods.
	Message string
	Fields  []Field
}

// Generate judges each namespace that is created or that workloads stand in.
func Generate(snap *evidence.Snapshot, o Options) (*Result, error) {
	version := chosen(snap, o)
	if !version.AtLeast(23) {
		return nil, fmt.Errorf("Kubernetes %s: Pod Security Admission is on from 1.23 on", version)
	}
	judge, err := newJudge(version)
	if err != nil {
		return nil, err
	}
	r := &Result{Version: version}
	for _, n := range namespaces(snap) {
		if len(o.Namespaces) > 0 && !slices.Contains(o.Namespaces, n.Name) {
			continue
		}
		n.doubt(snap)
		n.settle(judge)
		if snap.Cluster != nil && !n.enforces(judge.version) {
			n.Warnings = judge.warnings(n)
		}
		n.label(version, o.WarnOnly)
		r.Namespaces = append(r.Namespaces, n)
	}
	if len(r.Namespaces) == 0 {
		return nil, fmt.Errorf("no namespace%s to write labels for: none is created, and no workload names one", only(o.Namespaces))
	}
	r.Text, err = write(snap, r, o)
	return r, err
}

func only(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return " " + strings.Join(names, ", ")
}

// chosen is the release to pin: never one whose standards are not known here.
func chosen(snap *evidence.Snapshot, o Options) evidence.Version {
	v := o.Version
	if v == (evidence.Version{}) && snap.Cluster != nil {
		v, _ = evidence.ParseVersion(snap.Cluster.Version)
	}
	if v == (evidence.Version{}) || v.Major > 1 || v.Minor > evidence.Newest().Minor {
		return evidence.Newest()
	}
	return v
}

// namespaces are those that are created or that workloads stand in, by name.
func namespaces(snap *evidence.Snapshot) []*Namespace {
	byName := map[string]*Namespace{}
	of := func(name string) *Namespace {
		if byName[name] == nil {
			byName[name] = &Namespace{Name: name, System: isSystem(name)}
		}
		return byName[name]
	}
	for _, ns := range snap.Namespaces {
		if snap.Cluster == nil || snap.Cluster.Sees(ns.Name) {
			of(ns.Name).object = ns
		}
	}
	for _, w := range snap.Workloads {
		if w.Namespace == "" {
			continue
		}
		n := of(w.Namespace)
		n.workloads = append(n.workloads, w)
	}
	list := slices.SortedFunc(maps.Values(byName), func(a, b *Namespace) int { return cmp.Compare(a.Name, b.Name) })
	for _, n := range list {
		slices.SortStableFunc(n.workloads, func(a, b *evidence.Workload) int {
			return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Instance, b.Instance))
		})
	}
	return list
}

// isSystem reports whether Kubernetes itself makes the namespace for its own parts.
func isSystem(name string) bool {
	return name == "kube-system" || name == "kube-public" || name == "kube-node-lease"
}

// doubt collects why not everything in the namespace is known.
func (n *Namespace) doubt(snap *evidence.Snapshot) {
	if whole, why := snap.Complete(evidence.Workloads, n.Name); !whole {
		n.Doubts = append(n.Doubts, why)
	}
	if snap.Cluster != nil && n.object == nil {
		n.Doubts = append(n.Doubts, "the Namespace itself was not read, so its labels of today are not known")
	}
	for _, w := range n.workloads {
		switch {
		case w.Partial != "" && w.Running == 0:
			n.Doubts = append(n.Doubts, fmt.Sprintf("%s does not hold the whole pod: %s", w.Ref, w.Partial))
		case w.ByShape:
			n.Doubts = append(n.Doubts, fmt.Sprintf("%s is of a kind that is not known: its pod was found by its shape", w.Ref))
		}
		if w.NamespaceAssumed {
			n.Doubts = append(n.Doubts, fmt.Sprintf("%s names no namespace: the one it gets is chosen when it is applied (-n)", w.Ref))
		}
	}
	slices.Sort(n.Doubts)
	n.Doubts = slices.Compact(n.Doubts)
}

// settle finds the level and what blocks the next one.
func (n *Namespace) settle(j *judge) {
	n.Level, n.Next = api.LevelRestricted, ""
	for _, level := range []api.Level{api.LevelBaseline, api.LevelRestricted} {
		if !slices.ContainsFunc(n.workloads, func(w *evidence.Workload) bool { return !j.verdict(level, w).Allowed }) {
			continue
		}
		n.Next = level
		n.Level = api.LevelPrivileged
		if level == api.LevelRestricted {
			n.Level = api.LevelBaseline
		}
		break
	}
	pods := n.pods()
	for _, w := range n.workloads {
		n.Workloads++
		if w.Running > 0 {
			n.Running += pods[w]
		}
		if w.Windows() {
			n.Windows++
		}
		if n.Next == "" {
			continue
		}
		if result := j.verdict(n.Next, w); !result.Allowed {
			n.Blockers = append(n.Blockers, &Blocker{Workload: w, Message: result.ForbiddenDetail(), Fields: j.fields(n.Next, w)})
		}
	}
}

// pods are how many pods run just like a workload. Those of an object that are not as
// it is written are workloads of their own, and its number holds them, too.
func (n *Namespace) pods() map[*evidence.Workload]int {
	count := map[*evidence.Workload]int{}
	for _, w := range n.workloads {
		count[w] += w.Running
		if w.Kind == "Pod" && w.Instance == "" && w.Running == 0 {
			count[w] = 1 // it has ended; the API server judges it all the same
		}
		if w.Template != nil {
			count[w.Template] -= w.Running
		}
	}
	return count
}

// label chooses the labels to set, and says what stands there today. What is stricter
// already is kept as it is: labels never open a namespace.
func (n *Namespace) label(v evidence.Version, warnOnly bool) {
	pinned := "v" + v.String()
	enforce := n.Level
	switch {
	case n.Name == metav1.NamespaceSystem:
		enforce = api.LevelPrivileged // what an upgrade brings there needs the node
	case n.Unseen():
		enforce = "" // nothing was seen that could carry it
	}
	today, labelled := n.today()
	kept := labelled && (enforce == "" || api.CompareLevels(today.Level, enforce) > 0)
	n.Stricter = kept && api.CompareLevels(today.Level, n.Level) > 0
	n.Labels = map[string]string{}
	switch {
	case kept:
		enforce = today.Level
		for _, key := range []string{api.EnforceLevelLabel, api.EnforceVersionLabel} {
			if value, ok := n.object.Labels[key]; ok {
				n.Labels[key] = value
			}
		}
	case enforce != "" && !warnOnly:
		n.Labels[api.EnforceLevelLabel], n.Labels[api.EnforceVersionLabel] = string(enforce), pinned
	}
	n.enforcedToday(today, labelled)
	if version := today.Version.String(); labelled && !kept && version != pinned {
		n.say("the version is %s, and becomes %s", version, pinned)
	}
	for _, key := range []string{api.AuditLevelLabel, api.WarnLevelLabel} {
		n.Labels[key], n.Labels[key+"-version"] = string(n.talk(key, above(enforce))), pinned
	}
}

// Unseen reports whether nothing was seen there, and not all was looked at: then there
// is no level to speak of.
func (n *Namespace) Unseen() bool { return len(n.Doubts) > 0 && n.Workloads == 0 }

// talk is the level of a label that only talks, or a stricter one that is there.
func (n *Namespace) talk(key string, wanted api.Level) api.Level {
	if n.object == nil {
		return wanted
	}
	level, err := api.ParseLevel(n.object.Labels[key])
	if err != nil || api.CompareLevels(level, wanted) <= 0 {
		return wanted
	}
	n.say("label %s is %s already: kept", key, level)
	return level
}

// above is the level to work towards.
func above(l api.Level) api.Level {
	if l == api.LevelPrivileged {
		return api.LevelBaseline
	}
	return api.LevelRestricted
}

// enforces reports whether the next level is enforced already in this version: the API
// server says nothing to a label that does not change.
func (n *Namespace) enforces(v api.Version) bool {
	today, labelled := n.today()
	return labelled && today == (api.LevelVersion{Level: n.Next, Version: v})
}

// today is the level that the namespace's label enforces, false without a label that
// says one.
func (n *Namespace) today() (l api.LevelVersion, labelled bool) {
	if n.object == nil {
		return l, false
	}
	level, err := api.ParseLevel(n.object.Labels[api.EnforceLevelLabel])
	if err != nil {
		return l, false
	}
	version, err := api.ParseVersion(n.object.Labels[api.EnforceVersionLabel])
	if err != nil {
		version = api.LatestVersion()
	}
	return api.LevelVersion{Level: level, Version: version}, true
}

// enforcedToday says what the label of today enforces, beside the level that was found.
func (n *Namespace) enforcedToday(today api.LevelVersion, labelled bool) {
	switch {
	case n.object == nil:
		n.say("the Namespace was not read: what its labels enforce is not known")
	case !labelled && n.object.Labels[api.EnforceLevelLabel] != "":
		n.say("label %s is %q, which is no level", api.EnforceLevelLabel, n.object.Labels[api.EnforceLevelLabel])
	case !labelled:
		n.say("no label enforces a level: the default of the API server holds, which no object shows")
	case n.Unseen():
		n.say("enforces %s: kept as it is", today.String())
	case n.Stricter:
		n.say("enforces %s, stricter than what is there satisfies: kept as it is. Pods that it refuses run on and could not be made again", today.String())
	case api.CompareLevels(today.Level, n.Level) < 0:
		n.say("enforces %s, looser than what is there satisfies", today.String())
	default:
		n.say("enforces %s, the level that is satisfied", today.String())
	}
}

func (n *Namespace) say(format string, args ...any) {
	n.Said = append(n.Said, fmt.Sprintf(format, args...))
}

// A judge asks the upstream evaluator, as a server of one release does.
type judge struct {
	evaluator policy.Evaluator
	version   api.Version
}

func newJudge(v evidence.Version) (*judge, error) {
	version := api.MajorMinorVersion(v.Major, v.Minor)
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), &version)
	if err != nil {
		return nil, fmt.Errorf("evaluate the Pod Security Standards: %w", err)
	}
	return &judge{evaluator, version}, nil
}

func (j *judge) verdict(level api.Level, w *evidence.Workload) policy.AggregateCheckResult {
	return j.evaluate(level, w.PodAnnotations, served(w.Pod))
}

func (j *judge) evaluate(level api.Level, annotations map[string]string, pod *corev1.PodSpec) policy.AggregateCheckResult {
	at := api.LevelVersion{Level: level, Version: j.version}
	return policy.AggregateCheckResults(j.evaluator.EvaluatePod(at, &metav1.ObjectMeta{Annotations: annotations}, pod))
}

// served is the pod as the API server completes it before it judges: a volume that
// says no kind is an emptyDir, and on the node's network each port is the node's.
func served(pod *corev1.PodSpec) *corev1.PodSpec {
	bare := func(v corev1.Volume) bool { return v.VolumeSource == corev1.VolumeSource{} }
	if !pod.HostNetwork && !slices.ContainsFunc(pod.Volumes, bare) {
		return pod
	}
	pod = pod.DeepCopy()
	for i := range pod.Volumes {
		if bare(pod.Volumes[i]) {
			pod.Volumes[i].EmptyDir = &corev1.EmptyDirVolumeSource{}
		}
	}
	if !pod.HostNetwork {
		return pod
	}
	for _, list := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range list {
			for k := range list[i].Ports {
				if p := &list[i].Ports[k]; p.HostPort == 0 {
					p.HostPort = p.ContainerPort
				}
			}
		}
	}
	return pod
}
