package checks

import (
	"fmt"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// ServiceAccountToken reports pods that get an API token without having asked.
//
// Guide: protecting Pod service account tokens. The pod's
// automountServiceAccountToken goes over its ServiceAccount's, and both left out
// mean yes.
var ServiceAccountToken = &check.Check{
	ID:             "service-account-token",
	Title:          "API token is mounted into the pod",
	Doc:            serviceAccountTokenDoc,
	Recommendation: "SAT-01",
	Severity:       guide.High,
	Remedy:         "set automountServiceAccountToken to false in the pod unless the application calls the API",
	Needs:          []evidence.Fact{evidence.Workloads, evidence.ServiceAccounts, evidence.RBAC},
	Run:            serviceAccountTokens,
}

const serviceAccountTokenDoc = `Unless told not to, Kubernetes puts a token of the pod's ServiceAccount into every
container. Most applications never talk to the API, but whoever takes one over
can, with that token.

automountServiceAccountToken of the pod is judged, and where the pod does not say,
that of its ServiceAccount. Left out in both it means yes. A ServiceAccount that
is not among what was given is taken not to say no, and the finding says so. A
pod whose containers all mount something of their own where the token would be,
or that only projects a token by name, has asked for it and is no finding. Where
bindings give the ServiceAccount rights the application may need the token: the
finding says that too, and the change is then for you to decide. Static pods, as a
live cluster shows them, have no ServiceAccount and are left out. What a ServiceAccount
says holds for the pods that are made from then on: those that run and still have the
token are reported.

    spec:
      automountServiceAccountToken: false

An application that needs the API is better served by a projected token with a
short expirationSeconds and an audience.
`

// tokenPath is where the token is mounted, unless a container mounts something
// else there.
const tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"

func serviceAccountTokens(r *check.Run) {
	grants := grantsByAccount(r.Snapshot)
	for _, w := range r.Workloads {
		if !withAccount(r.Settings, w) {
			continue
		}
		settle(r, w, serviceAccountToken(r.Scan, w, grants))
	}
}

type account struct{ namespace, name string }

// grantsByAccount finds a binding for each ServiceAccount that is given rights
// by name.
func grantsByAccount(s *evidence.Snapshot) map[account]*evidence.Binding {
	grants := map[account]*evidence.Binding{}
	for _, b := range s.Bindings {
		for _, subject := range b.Subjects {
			if subject.Kind != rbacv1.ServiceAccountKind {
				continue
			}
			a := account{subject.Namespace, subject.Name}
			if a.namespace == "" {
				a.namespace = b.Namespace
			}
			if grants[a] == nil {
				grants[a] = b
			}
		}
	}
	return grants
}

func serviceAccountToken(s *check.Scan, w *evidence.Workload, grants map[account]*evidence.Binding) []check.Problem {
	own := w.Pod.AutomountServiceAccountToken
	if is(own, false) || takesOwnToken(w) {
		return nil
	}
	name := w.ServiceAccountName()
	why := "automountServiceAccountToken is true in the pod"
	if own == nil {
		sa := s.ServiceAccount(w.Namespace, name)
		switch {
		case sa == nil:
			why = "automountServiceAccountToken is not set in the pod, and the ServiceAccount is not among what was given"
		case is(sa.Value.AutomountServiceAccountToken, false) && w.Tokens == 0:
			return nil
		case is(sa.Value.AutomountServiceAccountToken, false):
			why = fmt.Sprintf("automountServiceAccountToken is false in the ServiceAccount, but pods that run still have the token (%d of %d)", w.Tokens, w.Running)
		case is(sa.Value.AutomountServiceAccountToken, true):
			why = "automountServiceAccountToken is true in the ServiceAccount and not set in the pod"
		default:
			why = "automountServiceAccountToken is set neither in the pod nor in the ServiceAccount"
		}
	}
	p := check.Problem{
		Path:    w.PodPath.Field("automountServiceAccountToken"),
		Value:   written(own),
		Message: fmt.Sprintf("the pod mounts the token of ServiceAccount %q: %s", name, why),
	}
	if b := grants[account{w.Namespace, name}]; b != nil {
		p.Message += fmt.Sprintf("; %s %q gives it rights, so the application may need the token", b.Kind, b.Name)
	} else {
		p.Fix = &check.Fix{Path: p.Path, Value: "false", Breaks: "an application that calls the API with what every account may do"}
	}
	return []check.Problem{p}
}

// takesOwnToken reports whether every container mounts something of the pod's
// choice where the token would be: the API server then leaves it out.
func takesOwnToken(w *evidence.Workload) bool {
	containers := 0
	for c := range w.Containers() {
		if c.List == evidence.EphemeralContainers {
			continue
		}
		if !mountsOwnToken(w, c) {
			return false
		}
		containers++
	}
	return containers > 0
}

func mountsOwnToken(w *evidence.Workload, c evidence.Container) bool {
	for i := range c.VolumeMounts {
		if m := &c.VolumeMounts[i]; m.MountPath == tokenPath && !addedByAPIServer(w, m.Name) {
			return true
		}
	}
	return false
}

// addedByAPIServer reports whether a volume, of a pod that was read back from a
// cluster, is the one that the API server put there: projected since 1.21, before
// that the Secret of the ServiceAccount.
func addedByAPIServer(w *evidence.Workload, volume string) bool {
	return strings.HasPrefix(volume, "kube-api-access-") || strings.HasPrefix(volume, w.ServiceAccountName()+"-token-")
}
