package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/report"
)

// attest lets a person's statement answer a row that the ledger leaves to
// people and that evidence has not answered. It never turns a failure or a pass
// that was seen into something else, nor speaks for what could not be read.
func attest(a *report.Recommendation, rec guide.Recommendation, list []Attestation, now string) {
	if !slices.Contains(rec.Evidence, guide.Attestation) || a.Status == report.Pass || a.Status == report.Excepted {
		return
	}
	for _, s := range list {
		switch {
		case !strings.EqualFold(s.Recommendation, rec.ID):
		case s.Date > now:
			a.Reason = strings.TrimPrefix(a.Reason+fmt.Sprintf("; the attestation by %s is dated %s, which is to come", s.By, s.Date), "; ")
		case s.Expires != "" && s.Expires < now:
			a.Reason = strings.TrimPrefix(a.Reason+fmt.Sprintf("; the attestation of %s by %s expired on %s", s.Date, s.By, s.Expires), "; ")
		default:
			a.Status = report.Status(s.Status)
			a.Reason = fmt.Sprintf("attested by %s on %s: %s", s.By, s.Date, s.Statement)
			return
		}
	}
}
