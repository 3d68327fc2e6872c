package escalate

import (
	"strings"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// An operator applies, with its own rights, the objects that somebody describes
// in an object of its own.
type operator struct {
	need need
	// kind is that of the objects, and resource what their definition is called.
	kind, resource string
	program        string // what its workload is called
	// confined is set when it follows objects of its own namespace only.
	confined bool
	// refused are arguments by which it acts with other rights than its own.
	refused []string
	account account
}

func knownOperators() []*operator {
	impersonation := []string{"--default-service-account"}
	return []*operator{
		{need: writeArgoApplications, kind: "Application", resource: "applications.argoproj.io", program: "argocd-application-controller", confined: true},
		{need: writeFluxKustomizations, kind: "Kustomization", resource: "kustomizations.kustomize.toolkit.fluxcd.io", program: "kustomize-controller", refused: impersonation},
		{need: writeFluxReleases, kind: "HelmRelease", resource: "helmreleases.helm.toolkit.fluxcd.io", program: "helm-controller", refused: impersonation},
		{need: writeCrossplaneObjects, kind: "Object", resource: "objects.kubernetes.crossplane.io", program: "provider-kubernetes"},
		{need: writeCrossplaneReleases, kind: "Release", resource: "releases.helm.crossplane.io", program: "provider-helm"},
	}
}

// confined reports whether the objects of a need count in one namespace only.
func confined(n need) bool {
	for _, o := range knownOperators() {
		if o.need == n {
			return o.confined
		}
	}
	return false
}

// addOperators finds the operators that run, and whose resource is defined.
func (w *world) addOperators() {
	defined := map[string]bool{}
	for _, ref := range w.snap.Objects {
		if ref.Kind == "CustomResourceDefinition" {
			defined[ref.Name] = true
		}
	}
	for _, known := range knownOperators() {
		for _, ref := range w.snap.Objects {
			if ref.Kind == known.kind && strings.HasSuffix(known.resource, "."+ref.Group()) {
				w.applied[known.need] = append(w.applied[known.need], ref)
			}
		}
		if !defined[known.resource] {
			continue
		}
		for _, wl := range w.snap.Workloads {
			if wl.Namespace == "" || !runs(wl) || !isProgram(wl, known.program) || argues(wl, known.refused) {
				continue
			}
			o := *known
			o.account = accountOf(wl)
			w.operators = append(w.operators, &o)
		}
	}
}

// isProgram reports whether a workload is an installation of a program, by its
// name or by the labels that its installers give it.
func isProgram(wl *evidence.Workload, program string) bool {
	if wl.Name == program || strings.HasPrefix(wl.Name, program+"-") || strings.HasSuffix(wl.Name, "-"+program) {
		return true
	}
	for _, label := range []string{"app.kubernetes.io/name", "app", "pkg.crossplane.io/provider"} {
		if wl.PodLabels[label] == program {
			return true
		}
	}
	return false
}

func argues(wl *evidence.Workload, arguments []string) bool {
	for c := range wl.Containers() {
		for _, a := range append(c.Command, c.Args...) {
			for _, want := range arguments {
				if value, ok := strings.CutPrefix(a, want); ok && value != "=" {
					return true
				}
			}
		}
	}
	return false
}
