package engine

import (
	"fmt"
	"slices"
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
	scan *check.Scan
	// of has what is known of each object, by Ref.ID.
	of []standing
}

// unusual are the rules whose faults the pods of a control plane are not installed
// with.
var unusual = []string{"privileged-container", "host-pid", "host-ipc", "host-process", "added-capabilities", "debug-container"}

// A standing is where an object's workloads stand.
type standing struct {
	workloads []*evidence.Workload
	reason    string // why their findings rank higher, "" when they do not
	known     bool   // the reason was looked for
}

func newSeverityContext(scan *check.Scan) *severityContext {
	c := &severityContext{scan: scan, of: make([]standing, len(scan.Objects))}
	for _, w := range scan.Workloads {
		s := &c.of[w.Ref.ID]
		s.workloads = append(s.workloads, w)
	}
	return c
}

func (c *severityContext) raise(f *report.Finding, ref *evidence.Ref) {
	s := &c.of[ref.ID]
	if ref.ControlPlane() && f.Severity > guide.Info && !slices.Contains(unusual, f.Rule) {
		f.SeverityReason = fmt.Sprintf("lowered from %s: a static pod of the control plane, as it is installed", f.Severity)
		f.Severity = guide.Info
		return
	}
	if f.Severity >= guide.Critical || f.Severity <= guide.Info || len(s.workloads) == 0 {
		return
	}
	if !s.known {
		s.reason, s.known = c.reason(s.workloads), true
	}
	if s.reason == "" {
		return
	}
	from := f.Severity
	f.Severity++
	f.SeverityReason = strings.TrimPrefix(fmt.Sprintf("%s; raised from %s to %s: %s", f.SeverityReason, from, f.Severity, s.reason), "; ")
}

// reason says why a workload's findings rank higher, "" when they do not.
func (c *severityContext) reason(workloads []*evidence.Workload) string {
	for _, w := range workloads {
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
