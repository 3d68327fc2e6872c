package checks

import (
	"fmt"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// UnsafeSysctls reports kernel parameters that are not known to stay in the pod.
//
// Pod Security Standards, baseline: sysctls (1.0, with more of them held safe in
// 1.27, 1.29, 1.32 and 1.37).
var UnsafeSysctls = &check.Check{
	ID:             "unsafe-sysctls",
	Title:          "pod sets an unsafe kernel parameter",
	Doc:            unsafeSysctlsDoc,
	Recommendation: "ENF-01",
	Severity:       guide.Medium,
	Remedy:         "remove the sysctl, or set it on the node",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            pods(everyPod, unsafeSysctls),
}

const unsafeSysctlsDoc = `Some kernel parameters belong to the pod alone, others change the node or weaken
what keeps pods apart. The baseline Pod Security Standard lets a short list of
safe ones through, so a namespace that enforces it refuses a pod with any other.
The kubelet refuses it as well, unless it was told to allow the parameter.

The names in sysctls of the pod's security context are judged by the list of the
Kubernetes release in question; it grew in 1.27, 1.29, 1.32 and 1.37.

    spec:
      securityContext:
        sysctls:
          - {name: net.ipv4.ip_unprivileged_port_start, value: "80"}
`

// safeSince is the minor release in which the standard let a sysctl through.
var safeSince = map[string]int{
	"kernel.shm_rmid_forced":              0,
	"net.ipv4.ip_local_port_range":        0,
	"net.ipv4.tcp_syncookies":             0,
	"net.ipv4.ping_group_range":           0,
	"net.ipv4.ip_unprivileged_port_start": 0,
	"net.ipv4.ip_local_reserved_ports":    27,
	"net.ipv4.tcp_keepalive_time":         29,
	"net.ipv4.tcp_fin_timeout":            29,
	"net.ipv4.tcp_keepalive_intvl":        29,
	"net.ipv4.tcp_keepalive_probes":       29,
	"net.ipv4.tcp_rmem":                   32,
	"net.ipv4.tcp_wmem":                   32,
	"net.ipv4.tcp_slow_start_after_idle":  37,
	"net.ipv4.tcp_notsent_lowat":          37,
}

func unsafeSysctls(s *check.Scan, w *evidence.Workload) (problems []check.Problem) {
	for i, sysctl := range podContext(w).Sysctls {
		if minor, ok := safeSince[sysctl.Name]; ok && s.Settings.Version.AtLeast(minor) {
			continue
		}
		problems = append(problems, check.Problem{
			Path:           podField(w, "sysctls").Index(i, sysctl.Name).Field("name"),
			Value:          sysctl.Name,
			Message:        fmt.Sprintf("the pod sets the kernel parameter %q, which is not one of the safe ones", sysctl.Name),
			Severity:       guide.Medium,
			SeverityReason: standardReason,
		})
	}
	return problems
}
