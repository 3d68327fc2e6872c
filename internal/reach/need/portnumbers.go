package need

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// Number is a port, 0 for what is none.
func Number(n int32) uint16 {
	if n < 1 || n > 65535 {
		return 0
	}
	return uint16(n)
}

// Single is one port; none for what is no port.
func Single(p ports.Protocol, n int32) ports.Set { return ports.Of(p, Number(n), Number(n)) }

// PortsNamed are the ports that the containers of a workload call so.
func PortsNamed(w *evidence.Workload, name string) (set ports.Set) {
	for c := range w.Containers() {
		for _, p := range c.Ports {
			if p.Name == name {
				set = set.Union(Single(ProtocolOf(p.Protocol), p.ContainerPort))
			}
		}
	}
	return set
}

// containerPorts are all ports that the containers of a workload list.
func containerPorts(w *evidence.Workload) (set ports.Set) {
	for c := range w.Containers() {
		for _, p := range c.Ports {
			set = set.Union(Single(ProtocolOf(p.Protocol), p.ContainerPort))
		}
	}
	return set
}

// NamespaceLabels are those of a namespace, as far as they are known, with its name.
func (c *Catalog) NamespaceLabels(namespace string) labels.Set {
	own := labels.Set{corev1.LabelMetadataName: namespace}
	for _, ns := range c.Snap.Namespaces {
		if ns.Name == namespace {
			for key, value := range ns.Labels {
				own[key] = value
			}
		}
	}
	return own
}
