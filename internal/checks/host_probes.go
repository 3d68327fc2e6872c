package checks

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// HostProbes reports probes and hooks that make the kubelet talk to other hosts.
//
// Pod Security Standards, baseline: hostProbesAndHostLifecycle (1.34).
var HostProbes = &check.Check{
	ID:             "host-probes",
	Title:          "probe or hook names a host",
	Doc:            hostProbesDoc,
	Recommendation: "ENF-01",
	Severity:       guide.Medium,
	Remedy:         "remove host, so that the kubelet asks the pod itself",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            containers(since(34, everyPod), hostProbes),
}

const hostProbesDoc = `The kubelet carries probes and lifecycle hooks out from the network of the node. One
that names a host lets the author of a pod send requests from there, to the
node's loopback address or to anything that only nodes may reach. The baseline
Pod Security Standard forbids it since Kubernetes 1.34, so a namespace that
enforces it refuses the pod.

The field host in httpGet and tcpSocket is judged, in the liveness, readiness and
startup probes and in the postStart and preStop hooks of every container, init
and ephemeral ones too, when judging as 1.34 or newer.

    livenessProbe:
      httpGet: {path: /healthz, port: 8080}
`

func hostProbes(_ *check.Scan, _ *evidence.Workload, c evidence.Container) (problems []check.Problem) {
	for _, h := range handlers(c) {
		host, kind := "", ""
		switch {
		case h.http != nil && h.http.Host != "":
			host, kind = h.http.Host, "httpGet"
		case h.tcp != nil && h.tcp.Host != "":
			host, kind = h.tcp.Host, "tcpSocket"
		default:
			continue
		}
		at := c.Path()
		if h.hook {
			at = at.Field("lifecycle")
		}
		problems = append(problems, check.Problem{
			Path:           at.Field(h.field, kind, "host"),
			Value:          host,
			Message:        fmt.Sprintf("the %s of container %q makes the kubelet talk to the host %q", h.field, c.Name, host),
			Severity:       guide.Medium,
			SeverityReason: standardReason,
		})
	}
	return problems
}

// A handler is a probe or hook of a container.
type handler struct {
	field string
	hook  bool
	http  *corev1.HTTPGetAction
	tcp   *corev1.TCPSocketAction
}

// handlers are the probes and hooks that a container can have; an absent one
// asks nobody.
func handlers(c evidence.Container) (list [5]handler) {
	for i, p := range [...]struct {
		field string
		probe *corev1.Probe
	}{{"livenessProbe", c.LivenessProbe}, {"readinessProbe", c.ReadinessProbe}, {"startupProbe", c.StartupProbe}} {
		if p.probe != nil {
			list[i] = handler{p.field, false, p.probe.HTTPGet, p.probe.TCPSocket}
		}
	}
	if c.Lifecycle == nil {
		return list
	}
	if h := c.Lifecycle.PostStart; h != nil {
		list[3] = handler{"postStart", true, h.HTTPGet, h.TCPSocket}
	}
	if h := c.Lifecycle.PreStop; h != nil {
		list[4] = handler{"preStop", true, h.HTTPGet, h.TCPSocket}
	}
	return list
}
