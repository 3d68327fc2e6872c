package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/rbac"
)

// TamperedDefaultBinding reports bindings of Kubernetes' own to which somebody has
// added a subject, or that lead to another role (guide: Role-based access control).
var TamperedDefaultBinding = &check.Check{
	ID:             "tampered-default-binding",
	Title:          "a default binding names others than Kubernetes makes it name",
	Recommendation: "RBAC-04",
	Severity:       guide.High,
	Remedy:         "take the subject out of the default binding, and bind a role of its own to whoever needs it",
	Needs:          []evidence.Fact{evidence.RBAC},
	Doc: `The API server binds its own roles to the parts of the system, to system:masters and to
everyone, and kubeadm does the same for the nodes. Who is added to such a binding holds a
controller's rights, or an administrator's, where nobody looks; and the API server, which
adds what is missing to its bindings at each start, takes nothing away.

Looked at is each RoleBinding and ClusterRoleBinding that bears the name of a default
one, in files too. Its subjects and its role are compared with those that its release
makes, behind feature gates as well. A subject of an earlier release is left over from an
upgrade and passes, as does one of the next. A subject that is missing is not reported.
A release that is not known is compared with the nearest one that is.

` + "```yaml" + `
kind: ClusterRoleBinding
metadata: {name: team-schedulers}   # not system:kube-scheduler
` + "```",
	Run: func(r *check.Run) {
		for _, b := range r.Bindings {
			if d, ok := rbac.CompareBinding(b, r.Settings.Version); ok {
				r.Judge(b.Ref, tamperedDefaultBinding(r.Scan, b, d))
			}
		}
	},
}

func tamperedDefaultBinding(s *check.Scan, b *evidence.Binding, d rbac.Difference) (problems []check.Problem) {
	begin := fmt.Sprintf("%s %q is not as %s of %s makes it: ", b.Kind, b.Name, d.Maker, release(s, d))
	if d.RoleRef != nil {
		problems = append(problems, check.Problem{
			Path: evidence.NewPath("roleRef", "name"), Value: b.RoleRef.Name,
			Message: begin + fmt.Sprintf("it leads to %s %q instead of %s %q", b.RoleRef.Kind, b.RoleRef.Name, d.RoleRef.Kind, d.RoleRef.Name),
		})
	}
	for _, i := range d.Subjects {
		subject := b.Subjects[i]
		p := check.Problem{
			Path: subjectPath(b, i).Field("name"), Value: subject.Name,
			Message: begin + fmt.Sprintf("it also gives %s %q to %s", b.RoleRef.Kind, b.RoleRef.Name, subjectWords(b, subject)),
		}
		if role := s.RBAC().Role(b); role != nil && isEveryone(subject) {
			if severity, _ := breadth(s, b, role); severity == guide.Critical {
				p.Severity, p.SeverityReason = guide.Critical, "the subject is everyone, and the role lets its holder become somebody else"
			}
		}
		problems = append(problems, p)
	}
	return problems
}
