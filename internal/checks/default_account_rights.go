package checks

import (
	"fmt"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// DefaultAccountRights reports bindings that give rights to default ServiceAccounts,
// by name or through a group of all ServiceAccounts.
//
// Guide: authentication; role-based access control.
var DefaultAccountRights = &check.Check{
	ID:             "default-account-rights",
	Title:          "default ServiceAccount is given rights",
	Doc:            defaultAccountRightsDoc,
	Recommendation: "SAT-03",
	Severity:       guide.Medium,
	Remedy:         "bind the role to a ServiceAccount of the workload's own",
	Needs:          []evidence.Fact{evidence.RBAC},
	Run:            check.Each(func(s *evidence.Snapshot) []*evidence.Binding { return s.Bindings }, defaultAccountRights),
}

const defaultAccountRightsDoc = `Every pod that names no ServiceAccount runs as the default one of its namespace. A
role bound to that account is given to all of them, those of tomorrow included.

The subjects of every RoleBinding and ClusterRoleBinding are judged: a
ServiceAccount named default, also under its user name
system:serviceaccount:NAMESPACE:default, and the groups system:serviceaccounts and
system:serviceaccounts:NAMESPACE, in which every default account is. What the API
server itself gives them is left out.

    subjects:
      - kind: ServiceAccount
        name: web
        namespace: shop
`

func defaultAccountRights(s *check.Scan, b *evidence.Binding) (problems []check.Problem) {
	for _, i := range foreignSubjects(s, b) {
		s := b.Subjects[i]
		switch {
		case s.Kind == rbacv1.ServiceAccountKind && s.Name == "default", isDefaultAccountUser(s):
			problems = append(problems, check.Problem{
				Message: fmt.Sprintf("%s %q is given to the default ServiceAccount", b.RoleRef.Kind, b.RoleRef.Name),
			})
		case s.Kind == rbacv1.GroupKind && (s.Name == "system:serviceaccounts" || strings.HasPrefix(s.Name, "system:serviceaccounts:")):
			problems = append(problems, check.Problem{
				Message: fmt.Sprintf("%s %q is given to the group %q, and with it to every default ServiceAccount in it", b.RoleRef.Kind, b.RoleRef.Name, s.Name),
			})
		default:
			continue
		}
		p := &problems[len(problems)-1]
		p.Path = evidence.NewPath("subjects").Index(i, s.Kind+"/"+s.Namespace+"/"+s.Name).Field("name")
		p.Value = s.Name
	}
	return problems
}

// isDefaultAccountUser reports whether a subject is a default account under the
// user name that the API server knows it by.
func isDefaultAccountUser(s rbacv1.Subject) bool {
	return s.Kind == rbacv1.UserKind && strings.HasPrefix(s.Name, "system:serviceaccount:") && strings.HasSuffix(s.Name, ":default")
}
