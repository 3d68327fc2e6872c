package evidence

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// A Use is the most that any of the running containers of one name in a workload used,
// as the metrics API told at one moment: the mean over a short window, mostly of 10 to 60
// seconds. It says nothing of the peaks before and after.
type Use struct {
	// CPU is in processors, Memory in bytes: the working set, by which the kernel kills.
	CPU, Memory resource.Quantity
	// Pods is how many pods were measured.
	Pods int
}

// Of is what was used of a resource, zero of one that is not measured.
func (u Use) Of(name corev1.ResourceName) resource.Quantity {
	switch name {
	case corev1.ResourceCPU:
		return u.CPU
	case corev1.ResourceMemory:
		return u.Memory
	}
	return resource.Quantity{}
}

// Join takes what another pod used into account.
func (u Use) Join(other Use) Use {
	if other.CPU.Cmp(u.CPU) > 0 {
		u.CPU = other.CPU
	}
	if other.Memory.Cmp(u.Memory) > 0 {
		u.Memory = other.Memory
	}
	u.Pods += other.Pods
	return u
}
