package checks

import (
	"fmt"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/rbac"
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

Looked at are the role and the ServiceAccounts that each binding names, accounts under
their user names and the groups of all accounts of a namespace too. Accounts that the
API server's own bindings name pass: not every cluster runs its controllers under them.
That something is missing is only certain where everything was read: a live cluster is
whole, files are for a namespace that they create, and never for ClusterRoles. In files
the account default counts as being in every namespace, and the built-in ClusterRoles in
every cluster. Other users and groups are no objects of the cluster; whether they still
exist, and when access was last reviewed, no object shows. So this recommendation can
fail, but not pass without a review.

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
		for _, i := range foreignSubjects(r.Scan, b) {
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

// danglingSubject adds a problem when a subject of a binding is an account, or all
// accounts of a namespace, that do not exist.
func danglingSubject(r *check.Run, b *evidence.Binding, i int, problems *[]check.Problem) (sure bool) {
	s := b.Subjects[i]
	fact, namespace, exists := evidence.ServiceAccounts, "", false
	if of, ok := strings.CutPrefix(s.Name, rbac.ServiceAccounts+":"); ok && s.Kind == rbacv1.GroupKind {
		fact, namespace, exists = evidence.Namespaces, of, r.Namespace(of) != nil
	} else if in, name, ok := accountOf(b, s); ok {
		namespace, exists = in, accountExists(r, in, name)
	} else {
		return true
	}
	if exists {
		return true
	}
	if ok, why := r.Complete(fact, namespace); !ok {
		r.Unknown(b.String(), fmt.Sprintf("%s is not among what was read: %s", subjectWords(b, s), why))
		return false
	}
	*problems = append(*problems, check.Problem{
		Path: subjectPath(b, i).Field("name"), Value: s.Name,
		Message: fmt.Sprintf("%s %q names the %s, which does not exist", b.Kind, b.Name, subjectWords(b, s)),
	})
	return true
}

// accountOf is the ServiceAccount that a subject stands for, under either of its names.
func accountOf(b *evidence.Binding, s rbacv1.Subject) (namespace, name string, ok bool) {
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		return accountNamespace(b, s), s.Name, true
	case rbacv1.UserKind:
		return rbac.SplitAccount(s.Name)
	}
	return "", "", false
}

// accountExists reports whether a ServiceAccount is known to be there. Files do not
// write those that the cluster makes: the account default of each namespace, and those
// of the controllers.
func accountExists(r *check.Run, namespace, name string) bool {
	if r.ServiceAccount(namespace, name) != nil {
		return true
	}
	_, controller := r.RBAC().BuiltIn("ClusterRole", "", "system:controller:"+name)
	return r.Cluster == nil && (name == "default" || namespace == "kube-system" && controller)
}
