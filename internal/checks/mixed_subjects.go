package checks

import (
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/rbac"
)

// MixedSubjects reports bindings by which people have the rights of programs (guide:
// Role-based access control; summary).
var MixedSubjects = &check.Check{
	ID:             "mixed-subjects",
	Title:          "people have the rights of a program",
	Recommendation: "RBAC-06",
	Severity:       guide.Medium,
	Remedy:         "give people and programs a binding and a role of their own",
	Needs:          []evidence.Fact{evidence.RBAC},
	Leaves:         check.Rest{What: "who belongs to which group of people, and whether their rights differ as intended", To: []guide.Evidence{guide.Attestation}},
	Doc: `People, ServiceAccounts and the parts of the cluster do different work and need
different rights. Where one binding serves two of them, neither can be narrowed without
the other, and an audit log that shows the rights in use does not show by whom.

Looked at is each binding. One that names a user or a group of people together with a
ServiceAccount, a node or a part of the control plane is reported, and so is one that
gives people a role of the infrastructure: system:node, system:kube-scheduler,
system:kube-controller-manager or one of system:controller:*. Users and groups whose names
begin with system: are no people, but for a few groups of administrators; a machine
outside the cluster that logs in by a name of its own cannot be told from a person.

Whether the developers' rights differ from the administrators', and whether somebody is
in two groups, depends on who the people are, which no object says.

` + "```yaml" + `
subjects:
  - {apiGroup: rbac.authorization.k8s.io, kind: Group, name: developers}   # and no ServiceAccount
` + "```",
	Run: check.Each(bindings, mixedSubjects),
}

func mixedSubjects(s *check.Scan, b *evidence.Binding) []check.Problem {
	foreign := foreignSubjects(s, b)
	program := slices.IndexFunc(b.Subjects, func(s rbacv1.Subject) bool {
		kind := rbac.KindOf(s)
		return kind == rbac.Account || kind == rbac.Node || kind == rbac.ControlPlane || kind == rbac.AddOn
	})
	for _, i := range foreign {
		person := b.Subjects[i]
		if !isPeople(person) {
			continue
		}
		p := check.Problem{Path: subjectPath(b, i).Field("name"), Value: person.Name}
		switch {
		case isInfrastructure(b.RoleRef):
			p.Message = fmt.Sprintf("%s has a role of the infrastructure, ClusterRole %q", subjectWords(b, person), b.RoleRef.Name)
		case program >= 0:
			p.Message = fmt.Sprintf("%s %q gives %s %q to people and programs alike: %s and %s", b.Kind, b.Name, b.RoleRef.Kind, b.RoleRef.Name,
				subjectWords(b, person), subjectWords(b, b.Subjects[program]))
		default:
			continue
		}
		return []check.Problem{p}
	}
	return nil
}

// isInfrastructure reports whether a role is for nodes or for the control plane alone.
func isInfrastructure(role rbacv1.RoleRef) bool {
	return role.Kind == "ClusterRole" && (slices.Contains([]string{"system:node", "system:kube-scheduler", "system:kube-controller-manager"}, role.Name) ||
		strings.HasPrefix(role.Name, "system:controller:"))
}
