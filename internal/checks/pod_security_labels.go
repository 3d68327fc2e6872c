package checks

import (
	"fmt"
	"regexp"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// PodSecurityLabels reports namespaces in which Pod Security Admission enforces no
// level (guide: Pod security enforcement; KEP-2579).
var PodSecurityLabels = &check.Check{
	ID:             "pod-security-labels",
	Title:          "namespace enforces no pod security level",
	Recommendation: "ENF-01",
	Severity:       guide.High,
	Remedy:         "set the label pod-security.kubernetes.io/enforce to baseline or restricted, after a server-side dry run that lists the pods it would refuse",
	Needs:          []evidence.Fact{evidence.Namespaces, evidence.Workloads, evidence.Admission, evidence.ControlPlanes},
	Alone:          true,
	Doc: `Without a control that refuses them, privileged pods are one kubectl command away,
whatever the manifests of today say. Pod Security Admission is part of the API server
and works by labels of the namespace: enforce refuses pods, warn and audit only talk.

Looked at is each Namespace but kube-*, with pods in it or not. The level must be
baseline or restricted. A version that is missing or latest ranks low: an upgrade
then changes what the level means. privileged, or no label, is a problem; in a
namespace that the configuration calls a system namespace it ranks low, and so it does
in default of a live cluster while nothing runs there. Where another
policy engine among the objects refuses insecure pods, a missing label is not judged.
The labels of namespaces that no file creates are not known. A default in the API
server's admission configuration counts for namespaces without a label where the
API server's node was looked at; it is not seen in files.

` + "```yaml" + `
metadata:
  labels:
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/enforce-version: v1.34
` + "```",
	Run: podSecurityLabels,
}

const (
	enforceLabel   = "pod-security.kubernetes.io/enforce"
	enforceVersion = "pod-security.kubernetes.io/enforce-version"
)

func podSecurityLabels(r *check.Run) {
	other := podSecurityControl(r.Scan)
	for _, sp := range spaces(r.Scan) {
		_, labelled := "", false
		if sp.object != nil {
			_, labelled = sp.object.Labels[enforceLabel]
		}
		switch {
		case isSystemNamespace(sp.name):
		case sp.object == nil:
			r.Unknown(sp.scope(), sp.unseen(r)+", so the level that its labels enforce is not known")
		case !labelled && other != "":
			r.Unknown(sp.scope(), "it has no label "+enforceLabel+"; whether "+other+" enforces a level there was not evaluated")
		default:
			r.Judge(sp.object.Ref, podSecurityLabel(r.Scan, sp))
		}
	}
	if r.Evaluated.Len()+len(r.Unknowns) == 0 && len(r.Workloads) > 0 {
		r.Unknown("", "no namespace that has to enforce a level was seen")
	}
}

func podSecurityLabel(s *check.Scan, sp *space) []check.Problem {
	ns := sp.object
	labels := evidence.NewPath("metadata", "labels")
	level, labelled := ns.Labels[enforceLabel]
	p := check.Problem{Path: labels.Field(enforceLabel), Value: level}
	switch {
	case level == "baseline" || level == "restricted":
		return enforcedVersion(s, ns, labels.Field(enforceVersion))
	case level == "privileged":
		p.Message = fmt.Sprintf("namespace %q enforces the level privileged, which refuses nothing", ns.Name)
	case labelled:
		p.Message = fmt.Sprintf("namespace %q enforces %q, which is no level: the API server refuses the object", ns.Name, level)
	case !labelled && podSecurityDefault(s, ns.Name) != "":
		return nil // the API server enforces its default
	default:
		p.Message = fmt.Sprintf("namespace %q has no label %s: pods of any kind are let in%s", ns.Name, enforceLabel, onlyTalks(ns))
	}
	switch {
	case !isUserNamespace(s, ns.Name):
		p.Severity, p.SeverityReason = guide.Low, "the configuration calls it a system namespace, whose pods may need the node"
	case idleDefault(s, sp):
		p.Severity, p.SeverityReason = guide.Low, "every cluster has this namespace, and nothing runs in it"
	}
	return []check.Problem{p}
}

func onlyTalks(ns *evidence.Object[corev1.Namespace]) string {
	for _, mode := range []string{"warn", "audit"} {
		if ns.Labels["pod-security.kubernetes.io/"+mode] != "" {
			return "; the label " + mode + " refuses nothing"
		}
	}
	return ""
}

// releaseVersion is how a level's version is written.
var releaseVersion = regexp.MustCompile(`^v1\.(0|[1-9][0-9]*)$`)

func enforcedVersion(s *check.Scan, ns *evidence.Object[corev1.Namespace], at evidence.Path) []check.Problem {
	version := ns.Labels[enforceVersion]
	switch {
	case releaseVersion.MatchString(version):
		return nil
	case version != "" && version != "latest":
		return []check.Problem{{
			Path: at, Value: version,
			Message: fmt.Sprintf("namespace %q enforces version %q, which is none (v1.34, latest): the API server refuses the object", ns.Name, version),
		}}
	}
	return []check.Problem{{
		Path: at, Value: version,
		Message:  fmt.Sprintf("namespace %q enforces the latest version of its level, so an upgrade changes what is refused", ns.Name),
		Severity: guide.Low, SeverityReason: "the level is enforced; only its version is not pinned",
		Remedy: "pin the version of the level",
		Fix:    &check.Fix{Path: at, Value: "v" + s.Settings.Version.String()},
	}}
}

// podSecurityWords are what policies that do the work of Pod Security Admission
// speak of.
var podSecurityWords = regexp.MustCompile(`privileged|privilegeescalation|runasnonroot|hostnetwork|hostpid|capabilities|podsecurity`)

// podSecurityControl names a policy of another engine that refuses insecure pods,
// "" when there is none.
func podSecurityControl(s *check.Scan) string {
	for _, c := range controls(s) {
		if c.enforced() && podSecurityWords.MatchString(c.text) {
			return c.Ref.String()
		}
	}
	return ""
}
