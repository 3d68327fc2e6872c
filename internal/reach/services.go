package reach

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A Backend is whom a Service sends to.
type Backend struct {
	// Workload is nil for what is no pods: a node, the API server, addresses outside.
	// Endpoint is nil, too, where it is not known who it is.
	Workload *evidence.Workload
	Endpoint *Endpoint
	// Ports are, for each of the Service's ports in their order, those of the pods that
	// it leads to; empty where the pods have no port of the name that the Service sends to.
	Ports []ports.Set
	// Unknown is why it is not certain that the Service sends there, "" when it is.
	Unknown string
}

// All is every port of the pods that the Service leads to.
func (b Backend) All() ports.Set {
	var all ports.Set
	for _, p := range b.Ports {
		all = all.Union(p)
	}
	return all
}

// Backends are whom a Service sends to: the workloads that it selects, in the order of
// endpoints, then those that its EndpointSlices name. What it is not known to send to
// has no Endpoint. None are found where no workload that was read has the labels.
func (g *Graph) Backends(s *evidence.Object[corev1.Service]) []Backend {
	return g.backends(s, g.Endpoints())
}

// backends are those of a Service among the endpoints, which hold all of its namespace.
func (g *Graph) backends(s *evidence.Object[corev1.Service], among []*Endpoint) (list []Backend) {
	if why := elsewhere(s); why != "" {
		return []Backend{{Unknown: why}}
	}
	if len(s.Value.Spec.Selector) > 0 {
		for _, e := range among {
			if e.Namespace == s.Namespace {
				list = append(list, e.backends(s)...)
			}
		}
	}
	return append(list, g.sliced(s)...)
}

// backends are the workloads among an endpoint's that a Service of their namespace
// sends to.
func (e *Endpoint) backends(s *evidence.Object[corev1.Service]) (list []Backend) {
	for _, w := range e.Workloads {
		if chosen, why := selects(s.Value.Spec.Selector, w); chosen {
			list = append(list, Backend{w, e, targets(s, w), why})
		}
	}
	return list
}

// elsewhere is why it is not known where a Service leads that is but a name.
func elsewhere(s *evidence.Object[corev1.Service]) string {
	if s.Value.Spec.Type == corev1.ServiceTypeExternalName {
		return fmt.Sprintf("%s stands for the name %s: where that leads is not known", s, s.Value.Spec.ExternalName)
	}
	return ""
}

// targets are, for each port of a Service, those of a workload's pods that it sends to.
func targets(s *evidence.Object[corev1.Service], w *evidence.Workload) []ports.Set {
	list := make([]ports.Set, len(s.Value.Spec.Ports))
	for i := range s.Value.Spec.Ports {
		p := &s.Value.Spec.Ports[i]
		protocol, known := protocolOf(p.Protocol)
		if !known {
			continue
		}
		switch number := portNumber(p.TargetPort.IntVal); {
		case p.TargetPort.Type == intstr.String && p.TargetPort.StrVal != "":
			number = namedPort(w, p.TargetPort.StrVal, protocol)
			list[i] = single(protocol, number)
		case number == 0:
			list[i] = single(protocol, portNumber(p.Port))
		default:
			list[i] = single(protocol, number)
		}
	}
	return list
}

// namedPort is the number of the port that a pod's containers call so, 0 for none. It
// is looked for as the endpoint controller does, and a name of digits is their number.
func namedPort(w *evidence.Workload, name string, protocol ports.Protocol) uint16 {
	if n, err := strconv.ParseUint(name, 10, 16); err == nil {
		return uint16(n)
	}
	for _, list := range []string{evidence.Containers, evidence.InitContainers} {
		for c := range w.Containers() {
			if c.List != list || list == evidence.InitContainers && !c.Sidecar() {
				continue
			}
			for _, p := range c.Ports {
				if own, known := protocolOf(p.Protocol); known && own == protocol && p.Name == name {
					return portNumber(p.ContainerPort)
				}
			}
		}
	}
	return 0
}

// protocolOf reads a protocol as the API has it; none is TCP.
func protocolOf(p corev1.Protocol) (ports.Protocol, bool) {
	switch p {
	case "", corev1.ProtocolTCP:
		return ports.TCP, true
	case corev1.ProtocolUDP:
		return ports.UDP, true
	case corev1.ProtocolSCTP:
		return ports.SCTP, true
	}
	return 0, false
}

// portNumber is a port, 0 for what is none.
func portNumber(n int32) uint16 {
	if n < 1 || n > 65535 {
		return 0
	}
	return uint16(n)
}

// single is one port; port 0 is none.
func single(p ports.Protocol, port uint16) ports.Set {
	if port == 0 {
		return ports.Set{}
	}
	return ports.Of(p, port, port)
}

// selects reports whether the selector of a Service matches the pods of a workload,
// or some of them. It may match, and why says what that hangs on, where controllers
// or operators put labels on pods that the template does not tell.
func selects(selector map[string]string, w *evidence.Workload) (chosen bool, why string) {
	for _, key := range slices.Sorted(maps.Keys(selector)) {
		value := selector[key]
		have, written := w.PodLabels[key]
		switch {
		case written && have == value:
		case written:
			return false, ""
		case addedWith(w, key, value):
		case mayAdd(w, key):
			why = "the label " + key + " is put on the pods by their controller"
		case w.Partial != "" || w.ByShape:
			why = fmt.Sprintf("whether the pods get the label %s from the operator of %s is not known", key, w.Kind)
		default:
			return false, ""
		}
	}
	return true, why
}

// addedWith reports whether the controller of a workload puts a label with that very
// value on some of its pods.
func addedWith(w *evidence.Workload, key, value string) bool {
	switch key {
	case appsv1.StatefulSetPodNameLabel:
		return w.Kind == "StatefulSet" && strings.HasPrefix(value, w.Name+"-")
	case appsv1.PodIndexLabel:
		_, err := strconv.ParseUint(value, 10, 31)
		return w.Kind == "StatefulSet" && err == nil
	case batchv1.JobNameLabel, "job-name":
		return w.Kind == "Job" && value == w.Name
	}
	return false
}

// mayAdd reports whether the controller of a workload puts a label on its pods with a
// value that only it knows.
func mayAdd(w *evidence.Workload, key string) bool {
	switch key {
	case appsv1.DefaultDeploymentUniqueLabelKey:
		return w.Kind == "Deployment" || w.Kind == "ReplicaSet"
	case appsv1.ControllerRevisionHashLabelKey:
		return w.Kind == "StatefulSet" || w.Kind == "DaemonSet"
	case batchv1.JobNameLabel, "job-name":
		return w.Kind == "CronJob"
	case batchv1.ControllerUidLabel, "controller-uid", batchv1.JobCompletionIndexAnnotation:
		return w.Kind == "Job" || w.Kind == "CronJob"
	}
	return false
}
