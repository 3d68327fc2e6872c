package checks

import (
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/rbac"
)

// AnonymousBinding reports rights of requests without credentials (guide:
// Authentication).
var AnonymousBinding = &check.Check{
	ID:             "anonymous-binding",
	Title:          "anonymous users are given rights",
	Recommendation: "AUTHN-02",
	Severity:       guide.Critical,
	Remedy:         "delete the binding, or name the group that is meant",
	Needs:          []evidence.Fact{evidence.RBAC},
	Leaves:         bindingsElsewhere,
	Doc: `A request without credentials is the user system:anonymous in the group
system:unauthenticated, where the API server takes it at all. A right bound to either
is a right of everyone who reaches the API server's port.

Looked at is each subject of every binding. Left out are the bindings that the API
server and kubeadm make, by name and by what their role grants: system:public-info-viewer
and system:discovery (health, version, discovery), and
kube-public/kubeadm:bootstrap-signer-clusterinfo, by which joining nodes read the
cluster's address. Another binding to no more than health and version ranks low.

` + "```yaml" + `
subjects:
  - apiGroup: rbac.authorization.k8s.io
    kind: Group
    name: monitoring   # not system:unauthenticated
` + "```",
	Run: everywhere(check.Each(bindings, anonymousBinding)),
}

func anonymousBinding(s *check.Scan, b *evidence.Binding) (problems []check.Problem) {
	for i, subject := range b.Subjects {
		anonymous := subject.Kind == rbacv1.UserKind && subject.Name == rbac.Anonymous ||
			subject.Kind == rbacv1.GroupKind && subject.Name == rbac.Unauthenticated
		if !anonymous || publicBinding(s, b) {
			continue
		}
		p := check.Problem{
			Path: subjectPath(b, i).Field("name"), Value: subject.Name,
			Message: fmt.Sprintf("%s %q gives %s %q to requests without credentials (%s)", b.Kind, b.Name, b.RoleRef.Kind, b.RoleRef.Name, subject.Name),
		}
		if onlyRights(s, b, publicInfo) {
			p.Severity, p.SeverityReason = guide.Low, "the role grants no more than health and version, which everyone may read anyway"
		}
		problems = append(problems, p)
	}
	return problems
}

const publicInfo = "system:public-info-viewer"

// clusterInfo is what kubeadm lets joining nodes read before they have an identity.
const clusterInfo = "kubeadm:bootstrap-signer-clusterinfo"

var clusterInfoRules = []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{"cluster-info"}}}

// publicBinding reports whether a binding is one of those that the API server and
// kubeadm make for everyone, and grants no more than that.
func publicBinding(s *check.Scan, b *evidence.Binding) bool {
	switch {
	case s.Settings.ShowDefaults:
		return false
	case b.Kind == "ClusterRoleBinding" && (b.Name == publicInfo || b.Name == "system:discovery"):
		return onlyRights(s, b, b.Name)
	case b.Kind == "RoleBinding" && b.Namespace == "kube-public" && b.Name == clusterInfo:
		role := s.RBAC().Role(b)
		return role == nil && b.RoleRef.Name == clusterInfo || role != nil && coversAll(clusterInfoRules, role.Rules)
	}
	return false
}

// onlyRights reports whether a binding's role grants no more than a built-in one.
func onlyRights(s *check.Scan, b *evidence.Binding, builtIn string) bool {
	role := s.RBAC().Role(b)
	rules, _ := s.RBAC().BuiltIn("ClusterRole", "", builtIn)
	return role != nil && coversAll(rules, role.Rules)
}

func coversAll(owner, rules []rbacv1.PolicyRule) bool {
	for i := range rules {
		if !rbac.Covers(owner, &rules[i]) {
			return false
		}
	}
	return true
}
