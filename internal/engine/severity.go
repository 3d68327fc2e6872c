package engine

import (
	"fmt"
	"strings"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/report"
)

// A severityContext ranks findings by where their workload stands. The rule can
// be applied by hand: a finding about a workload that the outside reaches, and
// whose ServiceAccount has a strong role, ranks one step above the same finding
// elsewhere. Both reasons are written into the finding.
type severityContext struct {
	scan      *check.Scan
	workloads map[*evidence.Ref][]*evidence.Workload
	reasons   map[*evidence.Ref]string
}

func newSeverityContext(scan *check.Scan) *severityContext {
	c := &severityContext{scan: scan, workloads: map[*evidence.Ref][]*evidence.Workload{}, reasons: map[*evidence.Ref]string{}}
	for _, w := range scan.Workloads {
		c.workloads[w.Ref] = append(c.workloads[w.Ref], w)
	}
	return c
}

func (c *severityContext) raise(f *report.Finding, ref *evidence.Ref) {
	if f.Severity >= guide.Critical || f.Severity <= guide.Info || len(c.workloads[ref]) == 0 {
		return
	}
	reason, known := c.reasons[ref]
	if !known {
		reason = c.reason(ref)
		c.reasons[ref] = reason
	}
	if reason == "" {
		return
	}
	from := f.Severity
	f.Severity++
	f.SeverityReason = strings.TrimPrefix(fmt.Sprintf("%s; raised from %s to %s: %s", f.SeverityReason, from, f.Severity, reason), "; ")
}

// reason says why a workload's findings rank higher, "" when they do not.
func (c *severityContext) reason(ref *evidence.Ref) string {
	for _, w := range c.workloads[ref] {
		exposed := c.scan.Reach().Exposed(w)
		if len(exposed) == 0 {
			continue
		}
		if strong := c.scan.RBAC().Strong(w.Namespace, w.ServiceAccountName()); strong != "" {
			return fmt.Sprintf("the outside reaches it through %s, and its ServiceAccount %s %s", exposed[0], w.ServiceAccountName(), strong)
		}
	}
	return ""
}
