package checks

import (
	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// DefaultServiceAccount reports pods that share their namespace's default account.
//
// Guide: authentication; role-based access control.
var DefaultServiceAccount = &check.Check{
	ID:             "default-service-account",
	Title:          "pod runs as the default ServiceAccount",
	Doc:            defaultServiceAccountDoc,
	Recommendation: "SAT-03",
	Severity:       guide.Medium,
	Remedy:         "create a ServiceAccount for the workload and name it in serviceAccountName",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            pods(withAccount, defaultServiceAccount),
}

const defaultServiceAccountDoc = `A pod that names no ServiceAccount runs as the default one of its namespace, as do
all the others that name none. A right that one of them needs is then held by
all.

serviceAccountName of the pod is judged, and the older serviceAccount where it is
not set. Left out, both mean default. A pod that switches the token off cannot
use the account, so that the finding is low there. Static pods have no ServiceAccount.

    spec:
      serviceAccountName: web
`

func defaultServiceAccount(_ *check.Scan, w *evidence.Workload) []check.Problem {
	if w.ServiceAccountName() != "default" {
		return nil
	}
	p := check.Problem{
		Path:    w.PodPath.Field("serviceAccountName"),
		Message: "the pod runs as the default ServiceAccount of its namespace: it names none",
	}
	// The API server copies the older field into the newer one, so that both have
	// one fingerprint.
	if w.Pod.ServiceAccountName != "" || w.Pod.DeprecatedServiceAccount != "" {
		p.Value, p.Message = "default", "the pod runs as the default ServiceAccount of its namespace"
	}
	if is(w.Pod.AutomountServiceAccountToken, false) {
		p.Severity, p.SeverityReason = guide.Low, "the pod does not mount the account's token"
	}
	return []check.Problem{p}
}
