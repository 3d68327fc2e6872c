package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// mayNeedRoot is what asking for another user than root may stop.
const mayNeedRoot = "a container whose image starts as root"

// RunAsNonRoot reports containers that the kubelet would start as root, and
// settings that ask for it although nothing follows from them yet.
//
// Guide: non-root containers, Table I runAsUser. Pod Security Standards,
// restricted: runAsNonRoot (1.0) and runAsUser (1.23). Both let root be root in
// a user namespace of the pod's own from 1.35 on (KEP-127).
var RunAsNonRoot = &check.Check{
	ID:             "run-as-non-root",
	Title:          "container may run as root",
	Doc:            runAsNonRootDoc,
	Recommendation: "POD-02",
	Severity:       guide.High,
	Remedy:         "set runAsNonRoot to true, with a runAsUser above 0 where the image names its user by name",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            pods(everyPod, runAsNonRoot),
}

const runAsNonRootDoc = `A process that is root in its container is root on the node as soon as it gets
out, and inside it may change everything the image holds. With runAsNonRoot the
kubelet refuses to start a container as user 0, whatever the image says.

Every container is judged, init and ephemeral ones too. Its own securityContext
goes over the pod's, field by field. It is safe when the effective runAsNonRoot
is true, or the effective runAsUser is above 0. A runAsUser of 0 is reported
even beside runAsNonRoot: the kubelet will not start such a container. What the
pod sets and every container overrides is reported with low severity, since the
next container will inherit it. From Kubernetes 1.35 on a pod with
hostUsers: false may run as root, which then is nobody on the node.

    spec:
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001

An image whose user is a name needs runAsUser as well: the kubelet cannot tell
whether a name is root. An image that only works as root has to be rebuilt.
`

func runAsNonRoot(s *check.Scan, w *evidence.Workload) (problems []check.Problem) {
	if s.Settings.Version.AtLeast(35) && is(w.Pod.HostUsers, false) {
		return nil
	}
	pod := podContext(w)
	anyRoot, inheritsRoot, inheritsFalse := false, false, false
	for c := range w.Containers() {
		own := ownContext(c)
		uid, nonRoot := or(own.RunAsUser, pod.RunAsUser), or(own.RunAsNonRoot, pod.RunAsNonRoot)
		anyRoot = anyRoot || is(uid, 0)
		inheritsRoot = inheritsRoot || own.RunAsUser == nil && is(uid, 0)
		switch {
		case is(own.RunAsUser, 0):
			problems = append(problems, runsAsRoot(c, is(nonRoot, true)))
		case is(own.RunAsNonRoot, false):
			problems = append(problems, allowsRoot(c, uid))
		case uid != nil: // not root, or the pod's fault
		case nonRoot == nil:
			problems = append(problems, check.Problem{
				Path:      ownField(c, "runAsNonRoot"),
				Container: c.Name,
				Message:   fmt.Sprintf("container %q may run as root: neither runAsNonRoot nor runAsUser is set", c.Name),
				Fix:       &check.Fix{Path: ownField(c, "runAsNonRoot"), Value: "true", Breaks: mayNeedRoot},
			})
		case !*nonRoot:
			inheritsFalse = true
		}
	}
	if is(pod.RunAsUser, 0) {
		problems = append(problems, inherited(check.Problem{
			Path:    podField(w, "runAsUser"),
			Value:   "0",
			Message: "the pod runs its containers as user 0, root",
		}, inheritsRoot))
	}
	if is(pod.RunAsNonRoot, false) {
		p := check.Problem{
			Path:    podField(w, "runAsNonRoot"),
			Value:   "false",
			Message: "the pod lets its containers run as root: runAsNonRoot is false",
		}
		if !anyRoot {
			p.Fix = &check.Fix{Path: p.Path, Value: "true", Breaks: mayNeedRoot}
		}
		problems = append(problems, inherited(p, inheritsFalse || w.Partial != ""))
	}
	return problems
}

// inherited lowers a problem of the pod's own settings when no container takes
// them over. To set them right then changes nothing for the containers that there are.
func inherited(p check.Problem, taken bool) check.Problem {
	if !taken {
		p.Severity, p.SeverityReason = guide.Low, "every container overrides it, so only the next one would inherit it"
		if p.Fix != nil {
			p.Fix.Breaks = ""
		}
	}
	return p
}

func runsAsRoot(c evidence.Container, refused bool) check.Problem {
	p := check.Problem{
		Path:      ownField(c, "runAsUser"),
		Value:     "0",
		Container: c.Name,
		Message:   fmt.Sprintf("container %q runs as user 0, root", c.Name),
	}
	if refused {
		p.Message = fmt.Sprintf("container %q asks for user 0 while runAsNonRoot is true: the kubelet will not start it", c.Name)
	}
	return p
}

func allowsRoot(c evidence.Container, uid *int64) check.Problem {
	p := check.Problem{
		Path:      ownField(c, "runAsNonRoot"),
		Value:     "false",
		Container: c.Name,
		Message:   fmt.Sprintf("container %q may run as root: runAsNonRoot is false", c.Name),
	}
	if is(uid, 0) {
		return p
	}
	p.Fix = &check.Fix{Path: p.Path, Value: "true", Breaks: mayNeedRoot}
	if uid != nil {
		p.Message = fmt.Sprintf("container %q sets runAsNonRoot to false although it runs as user %d", c.Name, *uid)
		p.Severity, p.SeverityReason = guide.Low, "runAsUser names another user than root"
		p.Fix.Breaks = ""
	}
	return p
}

// mayRunAsRoot reports whether any container of the pod can be root.
func mayRunAsRoot(w *evidence.Workload) bool {
	pod := podContext(w)
	for c := range w.Containers() {
		own := ownContext(c)
		uid := or(own.RunAsUser, pod.RunAsUser)
		if is(uid, 0) || uid == nil && !is(or(own.RunAsNonRoot, pod.RunAsNonRoot), true) {
			return true
		}
	}
	return false
}
