package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// AppArmorUnset reports containers that state no AppArmor profile.
//
// Guide: Table I asks for AppArmor where nodes offer it. No Pod Security
// Standard does: they only forbid Unconfined. KEP-24: the field since 1.30, the
// annotation before and, copied into the field, after.
var AppArmorUnset = &check.Check{
	ID:             "apparmor-unset",
	Title:          "no AppArmor profile is set",
	Doc:            appArmorUnsetDoc,
	Recommendation: "POD-12",
	Severity:       guide.Low,
	Remedy:         "on nodes with AppArmor, set appArmorProfile to RuntimeDefault",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            pods(appArmorPods, withoutAppArmor),
}

const appArmorUnsetDoc = `A pod that names an AppArmor profile runs only where AppArmor confines it: the
kubelet refuses it elsewhere. Without one, nodes with AppArmor apply the
runtime's default profile, and others silently nothing, which is why this is of
low severity.

The profile of every container is judged, its own or its pod's: the field
appArmorProfile from Kubernetes 1.30 on, the annotation
container.apparmor.security.beta.kubernetes.io/NAME in every version. A pod that
sets seLinuxOptions is not judged: it is written for nodes with SELinux. Windows
has no AppArmor.

    spec:
      securityContext:
        appArmorProfile:
          type: RuntimeDefault
`

// appArmorPods are the pods that AppArmor could confine.
func appArmorPods(s check.Settings, w *evidence.Workload) bool {
	return linuxPods(s, w) && !asksForSELinux(w)
}

func withoutAppArmor(s *check.Scan, w *evidence.Workload) (problems []check.Problem) {
	field := s.Settings.Version.AtLeast(30)
	if field && podContext(w).AppArmorProfile != nil {
		return nil
	}
	for c := range w.Containers() {
		if field && ownContext(c).AppArmorProfile != nil || w.PodAnnotations[appArmorAnnotation+c.Name] != "" {
			continue
		}
		p := check.Problem{
			Path:           ownField(c, "appArmorProfile"),
			Container:      c.Name,
			Message:        fmt.Sprintf("container %q sets no AppArmor profile", c.Name),
			Severity:       guide.Low,
			SeverityReason: "nodes with AppArmor apply the runtime's default profile",
		}
		if !field {
			p.Path = w.MetaPath.Field("annotations", appArmorAnnotation+c.Name)
			p.Remedy = "on nodes with AppArmor, annotate the pod with a profile for each container: the field exists since Kubernetes 1.30"
		}
		problems = append(problems, p)
	}
	return problems
}

// asksForAppArmor reports whether the kubelet would start the pod only where
// AppArmor is there.
func asksForAppArmor(v evidence.Version, w *evidence.Workload) bool {
	field := v.AtLeast(30)
	if a := podContext(w).AppArmorProfile; field && a != nil && confinedByAppArmor(a.Type) {
		return true
	}
	for c := range w.Containers() {
		if a := ownContext(c).AppArmorProfile; field && a != nil && confinedByAppArmor(a.Type) {
			return true
		}
		if confinedByAppArmorAnnotation(w.PodAnnotations[appArmorAnnotation+c.Name]) {
			return true
		}
	}
	return false
}
