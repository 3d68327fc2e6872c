// Package remedy completes fixes with what a person would otherwise have to find out:
// which folders a container writes, so that a read-only root file system comes with
// volumes for them, how much processor time and memory it needs, and whether anything
// hangs on the ServiceAccount that it runs as.
//
// It knows a table of well-known images, what somebody has observed, what metrics told
// at one moment, and defaults that are stated. All of these may be wrong for a workload,
// so no fix that is completed here is safe, and each says what may go wrong. It reads no
// file, and asks nobody.
package remedy

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// Known is what is known besides the objects.
type Known struct {
	// Writes are folders that were observed to be written; nil when nobody looked.
	Writes *Writes
	// Requests and Limits are given to containers of which no use was measured.
	Requests, Limits corev1.ResourceList
	// Headroom is what is added to measured use, in percent of it.
	Headroom int
}

// Defaults are what holds where the user says nothing else.
func Defaults() Known {
	return Known{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("512Mi")},
		Headroom: 50,
	}
}

// The rules whose fixes are completed.
const (
	readOnlyRoot = "read-only-root-filesystem"
	requests     = "resource-requests"
	limits       = "resource-limits"
	account      = "default-service-account"
)

// Fix returns the fix of a failure that a rule found in a world: the one that it has,
// completed where more is needed and known, or one where only what is known here makes
// one possible. The failure itself stays as it is.
func (k *Known) Fix(world *evidence.Snapshot, rule string, f check.Failure) *check.Fix {
	switch rule {
	case account:
		return ownAccount(world, f)
	case readOnlyRoot, requests, limits:
	default:
		return f.Problem.Fix
	}
	w, c, found := subject(world, f)
	switch {
	case !found:
		return f.Problem.Fix
	case rule == readOnlyRoot && f.Problem.Fix != nil:
		return k.readOnly(w, c, f.Problem.Fix)
	case rule != readOnlyRoot:
		return k.resources(world, w, c, f.Problem)
	}
	return nil
}

// subject finds the container, as it is written, that a problem is about.
func subject(world *evidence.Snapshot, f check.Failure) (*evidence.Workload, evidence.Container, bool) {
	at := f.Problem.Path.String()
	for _, w := range world.Workloads {
		if w.Ref != f.Ref || w.Template != nil {
			continue
		}
		for c := range w.Containers() {
			if c.List != evidence.EphemeralContainers && c.Name == f.Problem.Container &&
				(strings.HasPrefix(at, c.Path().String()+".") || strings.HasPrefix(at, w.Resolve(c.Path()).String()+".")) {
				return w, c, true
			}
		}
	}
	return nil, evidence.Container{}, false
}
