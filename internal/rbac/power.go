package rbac

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
)

// A Power is a right that reaches further than it looks: who has it can act as
// someone else, or as the node, or read what they must not. The order is that of
// their weight.
type Power int

// The powers.
const (
	// Everything is every verb on every resource of every group.
	Everything Power = iota
	// Escalate lifts the rule that nobody may write a role with rights they lack.
	Escalate
	// Bind lifts the rule that nobody may bind a role with rights they lack.
	Bind
	// Impersonate is to act as another user, group, ServiceAccount or node: in
	// everything, or, from 1.36 on, in what a right of its own for each verb says
	// (KEP-5284).
	Impersonate
	// ReadSecrets is to get, list or watch all Secrets: each of the three verbs
	// returns their content.
	ReadSecrets
	// NodeProxy is to talk to kubelets through the API server: a get is enough to
	// run commands in every pod of the node, past admission and audit.
	NodeProxy
	// ChangeAdmission is to write what changes or refuses every object on its way in.
	ChangeAdmission
	// CreateTokens is to get a token of any ServiceAccount.
	CreateTokens
	// ApproveCertificates is to have the cluster sign an identity.
	ApproveCertificates
	// SignCertificates is to put a certificate into a request.
	SignCertificates
	// Exec is to run commands in containers, or to attach to them.
	Exec
	// Debug is to put a container into a pod that runs.
	Debug
	// CreatePods is to have pods run, with whatever ServiceAccount and Secret of the
	// namespace: directly, or through a controller's template.
	CreatePods
	// PortForward is to open connections to pods past network policies.
	PortForward
	// EditRoles is to write roles and bindings, within one's own rights.
	EditRoles
)

const (
	rbacGroup           = rbacv1.GroupName
	authenticationGroup = "authentication.k8s.io"
)

// powers are how each is called after "may", and the requests of which any one
// gives it.
var powers = [...]struct {
	words    string
	requests []Request
}{
	Everything: {"do everything", of([]string{"*"}, "*", "*")},
	Escalate:   {"give roles any rights (verb escalate)", of([]string{"escalate"}, rbacGroup, "clusterroles", "roles")},
	Bind:       {"bind any role (verb bind)", of([]string{"bind"}, rbacGroup, "clusterroles", "roles")},
	Impersonate: {"act as others (verb impersonate)", slices.Concat(
		of([]string{"impersonate"}, "", "users", "groups", "serviceaccounts"), of([]string{"impersonate"}, authenticationGroup, "uids"),
		of([]string{"impersonate:user-info"}, authenticationGroup, "users", "groups"),
		of([]string{"impersonate:serviceaccount"}, authenticationGroup, "serviceaccounts"),
		of([]string{"impersonate:arbitrary-node", "impersonate:associated-node"}, authenticationGroup, "nodes"))},
	ReadSecrets: {"read all Secrets", of([]string{"get", "list", "watch"}, "", "secrets")},
	NodeProxy:   {"reach kubelets through nodes/proxy", of([]string{"get", "create", "update", "patch", "delete"}, "", "nodes/proxy")},
	ChangeAdmission: {"change admission webhooks", of([]string{"create", "update", "patch"}, "admissionregistration.k8s.io",
		"mutatingwebhookconfigurations", "validatingwebhookconfigurations", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings")},
	CreateTokens:        {"create tokens of ServiceAccounts", of([]string{"create"}, "", "serviceaccounts/token")},
	ApproveCertificates: {"approve certificate requests", of([]string{"update", "patch"}, "certificates.k8s.io", "certificatesigningrequests/approval")},
	SignCertificates:    {"sign certificate requests", of([]string{"update", "patch"}, "certificates.k8s.io", "certificatesigningrequests/status")},
	Exec:                {"run commands in containers", of([]string{"create", "get"}, "", "pods/exec", "pods/attach")},
	Debug:               {"put containers into running pods", of([]string{"update", "patch"}, "", "pods/ephemeralcontainers")},
	CreatePods: {"create pods", append(append(
		of([]string{"create"}, "", "pods"),
		of([]string{"create", "update", "patch"}, "apps", "deployments", "daemonsets", "statefulsets", "replicasets")...),
		append(of([]string{"create", "update", "patch"}, "batch", "jobs", "cronjobs"),
			of([]string{"create", "update", "patch"}, "", "replicationcontrollers")...)...)},
	PortForward: {"forward ports of pods", of([]string{"create", "get"}, "", "pods/portforward")},
	EditRoles: {"change roles and bindings", of([]string{"create", "update", "patch"}, rbacGroup,
		"clusterroles", "roles", "clusterrolebindings", "rolebindings")},
}

func of(verbs []string, group string, resources ...string) (list []Request) {
	for _, resource := range resources {
		for _, verb := range verbs {
			list = append(list, Request{Verb: verb, Group: group, Resource: resource})
		}
	}
	return list
}

// String is the power in words that follow "may".
func (p Power) String() string { return powers[p].words }

// In returns the first request that a rule allows and that gives the power. In a
// namespace, rights on resources of the whole cluster give nothing.
func (p Power) In(rule *rbacv1.PolicyRule, inNamespace bool) (Request, bool) {
	for _, q := range powers[p].requests {
		if Allows(rule, q) && !(inNamespace && p != Everything && ScopeOf(q.Group, q.Resource) == ClusterWide) {
			return q, true
		}
	}
	return Request{}, false
}
