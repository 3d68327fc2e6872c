package engine

import (
	"fmt"
	"slices"
	"strings"
	"sync"

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
	// standings has what is known of each object, by Ref.ID.
	standings []standing
}

// usual reports whether the pods of a control plane are installed with a fault.
func usual(rule, value string) bool {
	switch rule {
	case "privileged-container", "host-pid", "host-ipc", "host-process", "added-capabilities", "debug-container", "pod-differs":
		return false
	case "host-path":
		return slices.ContainsFunc(controlPlanePaths, func(dir string) bool {
			return value == dir || strings.HasPrefix(value, dir+"/")
		})
	}
	return true
}

// controlPlanePaths are the folders that installers give a control plane's pods.
var controlPlanePaths = []string{
	"/etc/kubernetes", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
	"/var/lib/etcd", "/var/log/kubernetes", "/usr/libexec/kubernetes",
}

// A standing is where an object's workloads stand.
type standing struct {
	workloads []*evidence.Workload
	once      sync.Once
	reason    string // why their findings rank higher, "" when they do not; see once
}

func newSeverityContext(scan *check.Scan) *severityContext {
	c := &severityContext{scan: scan, standings: make([]standing, len(scan.Objects))}
	for _, w := range scan.Workloads {
		s := &c.standings[w.Ref.ID]
		s.workloads = append(s.workloads, w)
	}
	return c
}

// of is the severity of a finding, with the value that it is about, where its object
// stands.
func (c *severityContext) of(rule, value string, severity guide.Severity, ref *evidence.Ref) guide.Severity {
	s := &c.standings[ref.ID]
	if severity > guide.Info && ref.ControlPlane() && usual(rule, value) {
		return guide.Info
	}
	if severity >= guide.Critical || severity <= guide.Info || len(s.workloads) == 0 {
		return severity
	}
	s.once.Do(func() { s.reason = c.reason(s.workloads) })
	if s.reason == "" {
		return severity
	}
	return severity + 1
}

// why says why a finding has another severity than it would have elsewhere.
func (c *severityContext) why(f *report.Finding, from guide.Severity, ref *evidence.Ref) string {
	if f.Severity < from {
		return fmt.Sprintf("lowered from %s: a static pod of the control plane, as it is installed", from)
	}
	reason := c.standings[ref.ID].reason
	return strings.TrimPrefix(fmt.Sprintf("%s; raised from %s to %s: %s", f.SeverityReason, from, f.Severity, reason), "; ")
}

// reason says why a workload's findings rank higher, "" when they do not.
func (c *severityContext) reason(workloads []*evidence.Workload) string {
	for _, w := range workloads {
		exposed := c.scan.Exposures().Exposed(w)
		if len(exposed) == 0 {
			continue
		}
		if strong := c.scan.RBAC().Strong(w.Namespace, w.ServiceAccountName()); strong != "" {
			return fmt.Sprintf("the outside reaches it through %s, and its ServiceAccount %s %s", exposed[0], w.ServiceAccountName(), strong)
		}
	}
	return ""
}
