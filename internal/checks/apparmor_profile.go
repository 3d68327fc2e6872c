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

// AppArmorProfile reports pods that switch AppArmor off.
//
// Guide: Table I, AppArmor. Pod Security Standards, baseline: appArmorProfile
// (1.0), which judges the fields and the annotations whatever the version.
var AppArmorProfile = &check.Check{
	ID:             "apparmor-profile",
	Title:          "AppArmor is switched off",
	Doc:            appArmorProfileDoc,
	Recommendation: "POD-12",
	Severity:       guide.Medium,
	Remedy:         "use an AppArmor profile of type RuntimeDefault or Localhost",
	Needs:          []evidence.Fact{evidence.Workloads},
	Alone:          true, // the kubelet starts pods that name a profile only where AppArmor is
	Run:            appArmorProfiles,
}

const appArmorProfileDoc = `On nodes with AppArmor the runtime's default profile keeps containers away from
sensitive files of the kernel. A pod that asks for Unconfined gives that up.

appArmorProfile.type of the pod and of every container has to be RuntimeDefault
or Localhost where it is set. The older annotations
container.apparmor.security.beta.kubernetes.io/NAME have to be runtime/default or
localhost/PROFILE. They are judged in every version, because the API server
copies them into the fields from 1.30 on.

    spec:
      securityContext:
        appArmorProfile:
          type: RuntimeDefault

An application that the default profile stops needs a profile of its own, not
none.
`

// appArmorAnnotation names a container's profile, the container's name appended.
const appArmorAnnotation = corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix

func appArmorProfiles(r *check.Run) {
	named := map[string]bool{}
	local := 0
	for _, w := range r.Workloads {
		problems := appArmorProfile(r.Scan, w)
		if len(problems) == 0 && !appArmorPods(r.Settings, w) {
			continue
		}
		settle(r, w, problems)
		if profiles := localAppArmorProfiles(w); w.Template == nil && len(profiles) > 0 {
			local++
			for _, p := range profiles {
				named[p] = true
			}
		}
	}
	if local > 0 && !loadedEverywhere(r, named) {
		r.Unknown("", fmt.Sprintf("whether the AppArmor profiles that %d workloads name are loaded on the nodes: needs files and processes of the nodes (--host-root)", local))
	}
}

// loadedEverywhere reports whether all nodes are known to have loaded some profiles.
func loadedEverywhere(r *check.Run, profiles map[string]bool) bool {
	if ok, _ := r.Complete(evidence.Hosts, ""); r.Cluster != nil && !ok {
		return false
	}
	for _, h := range r.Hosts {
		loaded := map[string]bool{}
		for _, line := range h.System.AppArmorProfiles {
			if i := strings.LastIndex(line, " ("); i > 0 && !strings.HasSuffix(line, "(complain)") {
				loaded[line[:i]] = true
			}
		}
		for p := range profiles {
			if !loaded[p] {
				return false
			}
		}
	}
	return len(r.Hosts) > 0
}

// localAppArmorProfiles are the profiles by which containers are to be confined and
// that somebody has to load on the node.
func localAppArmorProfiles(w *evidence.Workload) (names []string) {
	add := func(a *corev1.AppArmorProfile) {
		if localAppArmor(a) && a.LocalhostProfile != nil {
			names = append(names, *a.LocalhostProfile)
		}
	}
	add(podContext(w).AppArmorProfile)
	for c := range w.Containers() {
		add(ownContext(c).AppArmorProfile)
	}
	for key, value := range w.PodAnnotations {
		if name, is := strings.CutPrefix(value, corev1.DeprecatedAppArmorBetaProfileNamePrefix); is && strings.HasPrefix(key, appArmorAnnotation) {
			names = append(names, name)
		}
	}
	return names
}

func localAppArmor(a *corev1.AppArmorProfile) bool {
	return a != nil && a.Type == corev1.AppArmorProfileTypeLocalhost
}

func appArmorProfile(_ *check.Scan, w *evidence.Workload) (problems []check.Problem) {
	if a := podContext(w).AppArmorProfile; a != nil && !confinedByAppArmor(a.Type) {
		problems = append(problems, check.Problem{
			Path:    podField(w, "appArmorProfile", "type"),
			Value:   string(a.Type),
			Message: fmt.Sprintf("the pod's AppArmor profile is %q", a.Type),
			Fix:     appArmorFix(podField(w, "appArmorProfile"), allConfinedByAppArmor(w)),
		})
	}
	for c := range w.Containers() {
		// The API server copies a bad annotation into the field: it is one fault.
		if a := ownContext(c).AppArmorProfile; a != nil && !confinedByAppArmor(a.Type) &&
			!badAppArmorAnnotation(w.PodAnnotations[appArmorAnnotation+c.Name]) {
			problems = append(problems, check.Problem{
				Path:      ownField(c, "appArmorProfile", "type"),
				Value:     string(a.Type),
				Container: c.Name,
				Message:   fmt.Sprintf("the AppArmor profile of container %q is %q", c.Name, a.Type),
				Fix:       appArmorFix(ownField(c, "appArmorProfile"), false),
			})
		}
	}
	var bad []string
	for key, value := range w.PodAnnotations {
		if strings.HasPrefix(key, appArmorAnnotation) && badAppArmorAnnotation(value) {
			bad = append(bad, key)
		}
	}
	slices.Sort(bad)
	for _, key := range bad {
		problems = append(problems, check.Problem{
			Path:    w.MetaPath.Field("annotations", key),
			Value:   w.PodAnnotations[key],
			Message: fmt.Sprintf("the AppArmor profile of container %q is %q", strings.TrimPrefix(key, appArmorAnnotation), w.PodAnnotations[key]),
		})
	}
	return problems
}

// appArmorFix is safe where the profile is that of no container, and the kubelet makes
// sure of AppArmor for others already.
func appArmorFix(at evidence.Path, safe bool) *check.Fix {
	f := &check.Fix{Path: at.Field("type"), Value: string(corev1.AppArmorProfileTypeRuntimeDefault)}
	if !safe {
		f.Breaks = "an application that the runtime's default AppArmor profile stops, and pods on nodes without AppArmor"
	}
	return f
}

// allConfinedByAppArmor reports whether each container has a profile of its own.
func allConfinedByAppArmor(w *evidence.Workload) bool {
	some := false
	for c := range w.Containers() {
		if a := ownContext(c).AppArmorProfile; a == nil || !confinedByAppArmor(a.Type) {
			return false
		}
		some = true
	}
	return some && w.Partial == ""
}

func confinedByAppArmor(t corev1.AppArmorProfileType) bool {
	return t == corev1.AppArmorProfileTypeRuntimeDefault || t == corev1.AppArmorProfileTypeLocalhost
}

func badAppArmorAnnotation(value string) bool {
	return value != "" && !confinedByAppArmorAnnotation(value)
}

func confinedByAppArmorAnnotation(value string) bool {
	return value == corev1.DeprecatedAppArmorBetaProfileRuntimeDefault ||
		strings.HasPrefix(value, corev1.DeprecatedAppArmorBetaProfileNamePrefix)
}
