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
	// of has what is known of each object, by Ref.ID.
	of []standing
}

// usual reports whether the pods of a control plane are installed with a fault.
func usual(f *report.Finding) bool {
	switch f.Rule {
	case "privileged-container", "host-pid", "host-ipc", "host-process", "added-capabilities", "debug-container", "pod-differs":
		return false
	case "host-path":
		return slices.ContainsFunc(controlPlanePaths, func(dir string) bool {
			return f.Value == dir || strings.HasPrefix(f.Value, dir+"/")
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
	c := &severityContext{scan: scan, of: make([]standing, len(scan.Objects))}
	for _, w := range scan.Workloads {
		s := &c.of[w.Ref.ID]
		s.workloads = append(s.workloads, w)
	}
	return c
}

func (c *severityContext) raise(f *report.Finding, ref *evidence.Ref) {
	s := &c.of[ref.ID]
	if ref.ControlPlane() && f.Severity > guide.Info && usual(f) {
		f.SeverityReason = fmt.Sprintf("lowered from %s: a static pod of the control plane, as it is installed", f.Severity)
		f.Severity = guide.Info
		return
	}
	if f.Severity >= guide.Critical || f.Severity <= guide.Info || len(s.workloads) == 0 {
		return
	}
	s.once.Do(func() { s.reason = c.reason(s.workloads) })
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
