package checks

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// syslogDaemons keep what journald and programs log in files of their own.
var syslogDaemons = map[string]bool{"rsyslog": true, "syslog-ng": true}

// auditDaemon records what the kernel's audit reports.
const auditDaemon = "auditd"

// senders are the daemons of a node that run and send logs away from it.
func senders(h *evidence.Host) (list []evidence.LogDaemon) {
	for _, d := range h.Logging.Daemons {
		if d.Running && slices.ContainsFunc(d.Outputs, func(o evidence.LogOutput) bool { return !local(o.Target) }) {
			list = append(list, d)
		}
	}
	return list
}

// eachOutput visits what the running daemons of the node send logs to, but for the node
// itself. It reports whether there is anything; that a configuration was not understood
// is recorded.
func (n *node) eachOutput(visit func(d evidence.LogDaemon, path evidence.Path, o evidence.LogOutput)) (any bool) {
	n.sees(evidence.TheLogging)
	if ok, why := n.Saw(evidence.TheProcesses); !ok && n.Cluster == nil {
		n.cannot("an agent may run in a pod: %s", why)
	}
	for _, d := range n.Logging.Daemons {
		if !d.Running {
			continue
		}
		if d.Error != "" {
			any = true
			n.cannot("the configuration of %s was not wholly understood: %s", d.Name, d.Error)
		}
		for i, o := range d.Outputs {
			if !local(o.Target) {
				any = true
				visit(d, evidence.NewPath("logging", d.Name, "outputs").Index(i, o.Target), o)
			}
		}
	}
	return any
}

// agentsOn are the DaemonSets with a known log agent that run on a node, as far as they
// and the node say, and see a path of it.
func (n *node) agentsOn(path string) (list []*evidence.Workload) {
	for _, w := range n.Workloads {
		if w.Kind == "DaemonSet" && w.Instance == "" && runsLogAgent(w) && seesPath(w, path) && n.mayRun(w) {
			list = append(list, w)
		}
	}
	return list
}

// seesPath reports whether a workload mounts a path of its node, or a folder above it.
func seesPath(w *evidence.Workload, path string) bool {
	return slices.ContainsFunc(w.Pod.Volumes, func(v corev1.Volume) bool {
		return v.HostPath != nil && strings.HasPrefix(path+"/", strings.TrimRight(v.HostPath.Path, "/")+"/")
	})
}

// mayRun reports whether a DaemonSet runs on the node: by the Node object, or by the
// taint of control planes where there is none.
func (n *node) mayRun(w *evidence.Workload) bool {
	for _, o := range n.Nodes {
		if o.Name == n.Node {
			return mayRunOn(w.Pod, o)
		}
	}
	for _, taint := range controlPlaneTaints(n.Settings.Version) {
		if n.Has(evidence.ControlPlane) && !tolerates(w.Pod.Tolerations, taint) {
			return false
		}
	}
	return true
}

// unsent says why it is not known whether anything sends logs away from a node on which
// nothing was seen to do so; "" when all was looked at.
func (n *node) unsent() string {
	if ok, why := n.Saw(evidence.TheLogging); !ok {
		return why
	}
	for _, d := range n.Logging.Daemons {
		switch {
		case !d.Running || d.Name == auditDaemon:
		case d.Error != "":
			return fmt.Sprintf("the configuration of %s was not wholly understood: %s", d.Name, d.Error)
		case len(d.Outputs) > 0:
			return fmt.Sprintf("%s sends it to %q on the node itself, and where that sends it was not seen", d.Name, d.Outputs[0].Target)
		}
	}
	for _, w := range n.Workloads {
		if w.Kind == "DaemonSet" && w.Instance == "" && readsNodeLogs(w) && !runsLogAgent(w) && n.mayRun(w) {
			return fmt.Sprintf("%s mounts the node's logs, and is not a log agent that is known here", w.Ref)
		}
	}
	if n.Cluster != nil {
		_, why := n.Complete(evidence.Workloads, "")
		return why
	}
	if ok, why := n.Saw(evidence.TheProcesses); !ok {
		return "an agent may run in a pod: " + why
	}
	return ""
}

// nothingSent says of a node on which nothing was seen to send logs away that how they are
// sent is no question, where all was looked at.
func (n *node) nothingSent() {
	c := n.Component(evidence.APIServer)
	if n.unsent() != "" || c != nil && c.Doubt(auditWebhookFlag) != "" {
		n.cannot("nothing was seen on it that sends logs away")
		return
	}
	n.inapplicable("nothing on it sends logs away (SYS-01)")
}

// isAgent reports whether a daemon is a log agent, one that reads the logs of containers.
func isAgent(d evidence.LogDaemon) bool {
	return d.Running && !syslogDaemons[d.Name] && d.Name != auditDaemon && !strings.Contains(d.Name, "journal")
}

// hasAgent reports whether the host of a name runs a log agent that sends logs away.
func hasAgent(hosts []*evidence.Host, name string) bool {
	return slices.ContainsFunc(hosts, func(h *evidence.Host) bool {
		return h.Node == name && slices.ContainsFunc(senders(h), isAgent)
	})
}

// local reports whether a target is on the node itself.
func local(target string) bool {
	if strings.HasPrefix(target, "/") || strings.HasPrefix(target, "unix:") {
		return true
	}
	name := target
	if _, rest, ok := strings.Cut(target, "://"); ok {
		name, _, _ = strings.Cut(rest, "/")
	}
	if a, err := netip.ParseAddrPort(name); err == nil {
		return a.Addr().IsLoopback()
	}
	if strings.Count(name, ":") == 1 { // more are an address of IPv6
		name, _, _ = strings.Cut(name, ":")
	}
	if a, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return a.IsLoopback()
	}
	return name == "localhost"
}
