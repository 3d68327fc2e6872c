package checks

import (
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/rbac"
)

// ExecAccess reports rights to run commands in containers, and those that come to
// the same (guide: Threat model, on administrators).
var ExecAccess = &check.Check{
	ID:             "exec-access",
	Title:          "role may run commands in containers or act as the node",
	Recommendation: "RBAC-08",
	Severity:       guide.High,
	Remedy:         "take the right out of the role, and grant it for a limited time in one namespace when something has to be examined",
	Needs:          []evidence.Fact{evidence.RBAC},
	Leaves:         bindingsElsewhere,
	Doc: `Some rights let their holder act as the workload, as the node or as anyone:

- pods/exec and pods/attach (get is enough where the request is a websocket),
  pods/ephemeralcontainers, pods/portforward
- nodes/proxy: with get alone, commands run in every pod of the node, past
  admission and past the audit log
- serviceaccounts/token: a token of any account
- certificatesigningrequests/approval and /status: a certificate for any name
- webhook configurations and mutating admission policies: every object on its way in

Looked at is each rule of every Role and ClusterRole, wildcards included, and each
binding to a built-in role that nobody wrote down. Names in resourceNames do not
help for exec, since pods get new ones; they do for ServiceAccounts' tokens and
webhooks, and pass there. In a Role, rights on resources of the whole cluster give
nothing and pass. So do rules and bindings that Kubernetes itself makes, as long as
nobody has added to them.

` + "```yaml" + `
rules:
  - apiGroups: [""]
    resources: [pods, pods/log]   # not pods/exec
    verbs: [get, list]
` + "```",
	Run: everywhere(func(r *check.Run) {
		judgeRules(execAccess)(r)
		judgeBuiltInGrants(r, execPowers...)
	}),
}

// execPowers are in the order in which they are told.
var execPowers = []rbac.Power{rbac.NodeProxy, rbac.ChangeAdmission, rbac.CreateTokens, rbac.ApproveCertificates,
	rbac.SignCertificates, rbac.Exec, rbac.Debug, rbac.PortForward}

func execAccess(_ *check.Scan, w writtenRole, rule *rbacv1.PolicyRule) (p check.Problem, field string, bad bool) {
	power, q, ok := w.has(rule, execPowers...)
	if !ok && len(rule.ResourceNames) > 0 {
		unnamed := *rule
		unnamed.ResourceNames = nil
		power, q, ok = w.has(&unnamed, rbac.NodeProxy, rbac.ApproveCertificates, rbac.SignCertificates, rbac.Exec, rbac.Debug, rbac.PortForward)
	}
	if !ok {
		return p, "", false
	}
	p.Message = fmt.Sprintf("%s %q may %s (%s)", w.Kind, w.Name, power, requestWords(q))
	p.Value = yamlList(rule.Resources)
	if power == rbac.PortForward {
		p.Severity, p.SeverityReason = guide.Medium, "forwarded ports reach the workload's own services, not its inside"
	}
	return p, "resources", true
}
