package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// DanglingBinding reports bindings to ServiceAccounts and roles that do not exist
// (guide: Logging, on reviews of access rights).
var DanglingBinding = &check.Check{
	ID:             "dangling-binding",
	Title:          "binding names an account or a role that does not exist",
	Recommendation: "RBAC-07",
	Severity:       guide.Medium,
	Remedy:         "delete the binding, or the subject that is gone",
	Needs:          []evidence.Fact{evidence.RBAC, evidence.ServiceAccounts, evidence.Namespaces},
	Leaves:         check.Rest{What: "when access was last reviewed, and which subjects are still in use", To: []guide.Evidence{guide.Attestation, guide.AuditLog}},
	Doc: `A binding that leads nowhere is what remains of a workload or a person that is gone.
Whoever can create the missing ServiceAccount, or the missing Role, inherits the rest.

Looked at are the ServiceAccounts and the role that each binding names. The account
default is in every namespace, and the built-in ClusterRoles in every cluster. That
something is missing is only certain where everything was read: files are whole for a
namespace that they create, and never for ClusterRoles. Users and groups are no objects
of the cluster; whether they still exist, and when access was last reviewed, no file
shows. So files alone can fail this recommendation, but not pass it.

` + "```yaml" + `
subjects:
  - kind: ServiceAccount
    name: importer      # exists in the namespace
    namespace: shop
` + "```",
	Run: danglingBindings,
}

func danglingBindings(r *check.Run) {
	for _, b := range r.Bindings {
		var problems []check.Problem
		sure := danglingRole(r, b, &problems)
		for i := range b.Subjects {
			sure = danglingSubject(r, b, i, &problems) && sure
		}
		if sure || len(problems) > 0 {
			r.Judge(b.Ref, problems)
		}
	}
}

// danglingRole adds a problem when a binding's role is missing; sure tells whether
// anyone can know.
func danglingRole(r *check.Run, b *evidence.Binding, problems *[]check.Problem) (sure bool) {
	if r.RBAC().Role(b) != nil {
		return true
	}
	namespace := ""
	if b.RoleRef.Kind == "Role" {
		namespace = b.Namespace
	}
	if ok, why := r.Complete(evidence.RBAC, namespace); !ok {
		r.Unknown(b.String(), fmt.Sprintf("%s %q is not among what was read: %s", b.RoleRef.Kind, b.RoleRef.Name, why))
		return false
	}
	*problems = append(*problems, check.Problem{
		Path: evidence.NewPath("roleRef", "name"), Value: b.RoleRef.Name,
		Message: fmt.Sprintf("%s %q names the %s %q, which does not exist", b.Kind, b.Name, b.RoleRef.Kind, b.RoleRef.Name),
	})
	return true
}

func danglingSubject(r *check.Run, b *evidence.Binding, i int, problems *[]check.Problem) (sure bool) {
	s := b.Subjects[i]
	namespace := accountNamespace(b, s)
	if !isAccount(s) || s.Name == "default" || r.ServiceAccount(namespace, s.Name) != nil {
		return true
	}
	if rules, ok := r.RBAC().BuiltIn("ClusterRole", "", "system:controller:"+s.Name); ok && namespace == "kube-system" && rules != nil {
		return true
	}
	if ok, why := r.Complete(evidence.ServiceAccounts, namespace); !ok {
		r.Unknown(b.String(), fmt.Sprintf("%s is not among what was read: %s", subjectWords(b, s), why))
		return false
	}
	*problems = append(*problems, check.Problem{
		Path: subjectPath(b, i).Field("name"), Value: s.Name,
		Message: fmt.Sprintf("%s %q names the %s, which does not exist", b.Kind, b.Name, subjectWords(b, s)),
	})
	return true
}
