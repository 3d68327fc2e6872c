package checks

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// HostPorts reports containers that listen on a port of the node.
//
// Pod Security Standards, baseline: hostPorts (1.0).
var HostPorts = &check.Check{
	ID:             "host-ports",
	Title:          "container takes a port of the node",
	Doc:            hostPortsDoc,
	Recommendation: "ENF-01",
	Severity:       guide.Medium,
	Remedy:         "remove hostPort and reach the container through a Service",
	Needs:          []evidence.Fact{evidence.Workloads},
	Run:            containers(everyPod, hostPorts),
}

const hostPortsDoc = `With hostPort a container answers on the address of its node, past Services and
ingress controllers and often past the firewall that guards them. Two pods with
the same one cannot share a node. The baseline Pod Security Standard forbids it,
so a namespace that enforces it refuses the pod.

hostPort of every port of every container is judged, init and ephemeral ones too.
Left out or 0 it takes none. A pod on the node's network has all its ports there, and
the API server writes them into hostPort: host-network reports it.

    ports:
      - containerPort: 8080

A Service of type LoadBalancer, or an ingress controller, brings traffic in.
`

// standardReason is why what the standard forbids ranks below the row itself.
const standardReason = "one pod breaks the standard; the row is about enforcing it"

func hostPorts(_ *check.Scan, w *evidence.Workload, c evidence.Container) (problems []check.Problem) {
	for i, port := range c.Ports {
		if port.HostPort == 0 || w.Pod.HostNetwork && port.HostPort == port.ContainerPort {
			continue
		}
		name := port.Name
		if name == "" {
			name = fmt.Sprintf("%d/%s", port.ContainerPort, cmp.Or(port.Protocol, corev1.ProtocolTCP))
		}
		problems = append(problems, check.Problem{
			Path:           c.Path().Field("ports").Index(i, name).Field("hostPort"),
			Value:          fmt.Sprint(port.HostPort),
			Message:        fmt.Sprintf("container %q takes port %d of its node", c.Name, port.HostPort),
			Severity:       guide.Medium,
			SeverityReason: standardReason,
		})
	}
	return problems
}
