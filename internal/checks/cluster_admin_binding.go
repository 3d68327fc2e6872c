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

// ClusterAdminBinding reports subjects that may do everything, and uses of the
// group system:masters (guide: Threat model; Role-based access control).
var ClusterAdminBinding = &check.Check{
	ID:             "cluster-admin-binding",
	Title:          "subject is bound to a role that grants everything",
	Recommendation: "RBAC-03",
	Severity:       guide.High,
	Remedy:         "bind a role with the rights that are really needed",
	Needs:          []evidence.Fact{evidence.RBAC},
	Leaves:         bindingsElsewhere,
	Doc: `An administrator's credential is a key to everything, and a pod's token is easier
to steal than a person's. cluster-admin is one such role; any other with all verbs on
all resources of all groups is the same under another name.

Looked at is each subject of every binding, and what its role grants, not what it is
called: rules of the role among the objects, rules that an aggregated ClusterRole
collects, or, when it is a built-in role, what the API server puts there. A
ServiceAccount ranks high, a group that holds everyone critical. A user or a group of
persons ranks lower: somebody has to administrate, so make an exception for those
that the organization has named. A RoleBinding grants everything in one namespace
only, which in kube-system is as good as the whole cluster. The group system:masters
is reported wherever a binding names it. The subjects that the API server and kubeadm
themselves put into their bindings pass, and so do those of the distribution as far as
they can be told.

` + "```yaml" + `
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: deployer   # not cluster-admin
` + "```",
	Run: everywhere(clusterAdminBindings),
}

func clusterAdminBindings(r *check.Run) {
	for _, b := range r.Bindings {
		role := r.RBAC().Role(b)
		problems := clusterAdminBinding(r.Scan, b, role)
		if role == nil {
			unknownRole(r, b)
		}
		if role != nil || len(problems) > 0 {
			r.Judge(b.Ref, problems)
		}
	}
}

func clusterAdminBinding(scan *check.Scan, b *evidence.Binding, role *rbac.Role) (problems []check.Problem) {
	admin := role != nil && slices.ContainsFunc(role.Rules, func(rule rbacv1.PolicyRule) bool {
		_, ok := rbac.Everything.In(&rule, false)
		return ok
	})
	for _, i := range foreignSubjects(scan, b) {
		s := b.Subjects[i]
		masters := s.Kind == rbacv1.GroupKind && s.Name == rbac.Masters
		if !admin && !masters {
			continue
		}
		p := check.Problem{Path: subjectPath(b, i).Field("name"), Value: s.Name}
		if masters {
			p.Message = fmt.Sprintf("%s %q names the group %q, which may do everything whatever the bindings say", b.Kind, b.Name, rbac.Masters)
			p.Severity, p.SeverityReason = guide.Medium, "the group has its rights without the binding; what counts is who is in it"
		} else {
			p.Message = fmt.Sprintf("%s may do everything%s: %s grants it", subjectWords(b, s), inNamespace(b.Namespace), role)
			p.Severity, p.SeverityReason = adminSeverity(b, s)
		}
		problems = append(problems, p)
	}
	return problems
}

// adminSeverity ranks a subject that may do everything; zero is the check's own.
func adminSeverity(b *evidence.Binding, s rbacv1.Subject) (guide.Severity, string) {
	switch {
	case isEveryone(s):
		return guide.Critical, "the subject is everyone, or every pod"
	case b.Namespace == "kube-system":
		return 0, ""
	case b.Namespace != "":
		return guide.Medium, "the binding holds in one namespace"
	case s.Kind == rbacv1.ServiceAccountKind, strings.HasPrefix(s.Name, "system:serviceaccount"):
		return 0, ""
	}
	return guide.Medium, "at least one administrator is unavoidable; nobody but the organization knows whether this is one of them"
}
