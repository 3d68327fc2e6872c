package checks

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// SELinuxOptions reports SELinux labels that loosen the confinement.
//
// Guide: Table I, seLinuxOptions. Pod Security Standards, baseline:
// seLinuxOptions (1.0; container_engine_t may be used from 1.31 on).
var SELinuxOptions = &check.Check{
	ID:             "selinux-options",
	Title:          "SELinux label outside the confined types",
	Doc:            seLinuxOptionsDoc,
	Recommendation: "POD-11",
	Severity:       guide.Medium,
	Remedy:         "leave user and role out, and the type to the runtime's confined default",
	Needs:          []evidence.Fact{evidence.Workloads},
	Leaves:         check.Rest{What: "whether the nodes enforce SELinux", To: []guide.Evidence{guide.Host}},
	Run:            pods(seLinuxPods, seLinuxOptions),
}

const seLinuxOptionsDoc = `An SELinux label confines a process only if its type does. The runtime's own types
do; others were written for something else, and spc_t is the one for containers
that nothing confines. A user or a role of one's own changes which types a
process may turn into.

seLinuxOptions of the pod and of every container are judged. The types
container_t, container_init_t, container_kvm_t and, from Kubernetes 1.31 on,
container_engine_t are allowed; user and role have to be left out. level may be
anything: it is what keeps pods apart.

    spec:
      securityContext:
        seLinuxOptions:
          level: "s0:c123,c456"
`

// seLinuxPods are the pods that SELinux could confine, and those that say how.
func seLinuxPods(s check.Settings, w *evidence.Workload) bool {
	return asksForSELinux(w) || linuxPods(s, w) && !asksForAppArmor(s.Version, w)
}

func seLinuxOptions(s *check.Scan, w *evidence.Workload) (problems []check.Problem) {
	if o := podContext(w).SELinuxOptions; o != nil {
		problems = append(problems, seLinuxFaults(s, o, "the pod", podField(w, "seLinuxOptions"))...)
	}
	for c := range w.Containers() {
		o := ownContext(c).SELinuxOptions
		if o == nil {
			continue
		}
		for _, p := range seLinuxFaults(s, o, fmt.Sprintf("container %q", c.Name), ownField(c, "seLinuxOptions")) {
			p.Container = c.Name
			problems = append(problems, p)
		}
	}
	return problems
}

func seLinuxFaults(s *check.Scan, o *corev1.SELinuxOptions, who string, at evidence.Path) (problems []check.Problem) {
	if o.User != "" {
		problems = append(problems, check.Problem{
			Path: at.Field("user"), Value: o.User,
			Message: fmt.Sprintf("%s sets the SELinux user %q", who, o.User),
		})
	}
	if o.Role != "" {
		problems = append(problems, check.Problem{
			Path: at.Field("role"), Value: o.Role,
			Message: fmt.Sprintf("%s sets the SELinux role %q", who, o.Role),
		})
	}
	if !confinedType(s.Settings.Version, o.Type) {
		p := check.Problem{
			Path: at.Field("type"), Value: o.Type,
			Message: fmt.Sprintf("%s sets the SELinux type %q, which is not one of the confined ones", who, o.Type),
		}
		if o.Type == "spc_t" {
			p.Severity, p.SeverityReason = guide.High, "spc_t is the type of containers that SELinux does not confine at all"
		}
		problems = append(problems, p)
	}
	return problems
}

func confinedType(v evidence.Version, name string) bool {
	switch name {
	case "", "container_t", "container_init_t", "container_kvm_t":
		return true
	case "container_engine_t":
		return v.AtLeast(31)
	}
	return false
}
