package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// AuditLogOff reports API servers that keep no audit log (guide: Kubernetes native audit
// logging; Appendices L and M).
var AuditLogOff = &check.Check{
	ID:             "audit-log-off",
	Title:          "API server keeps no audit log",
	Recommendation: "AUD-01",
	Severity:       guide.High,
	Remedy:         "give each API server an audit policy and a log path (--audit-policy-file, --audit-log-path), with their mounts",
	Needs:          []evidence.Fact{evidence.ControlPlanes},
	Node:           "whether the API server keeps an audit log",
	Doc: `The audit log says who asked the API server for what. It is off by default.

Looked at are the flags of each API server. It records when it has an audit policy
(` + "`--audit-policy-file`" + `) and somewhere to write to: ` + "`--audit-log-path`" + `, a file or - for the standard
output, or ` + "`--audit-webhook-config-file`" + `. One without the other records nothing, and neither
does a policy in which every rule that a request can reach has the level None.

    - --audit-policy-file=/etc/kubernetes/audit/policy.yaml
    - --audit-log-path=/var/log/kubernetes/audit/audit.log
`,
	Run: eachComponent((*node).keepsAuditLog, evidence.APIServer),
}
