package cluster

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// Pods that are like others cost nothing to keep: as their template says, changed all
// alike, or made by something that was not listed.
func TestPodsAreNotKept(t *testing.T) {
	set := randomSet(rand.New(rand.NewPCG(1, 1)))
	b := fresh()
	if err := b.Add(Object{APIVersion: "apps/v1", Kind: "StatefulSet", Typed: set.DeepCopy()}); err != nil {
		t.Fatal(err)
	}
	add := func(from, to int) {
		for i := from; i < to; i++ {
			pod := created(set, rand.New(rand.NewPCG(7, 7)))
			pod.Name = fmt.Sprintf("db-%d", i)
			pod.Spec.Hostname, pod.Spec.Volumes[0].PersistentVolumeClaim.ClaimName = pod.Name, "data-"+pod.Name
			switch i % 3 {
			case 1:
				pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "proxy", Env: []corev1.EnvVar{{Name: "SELF", Value: pod.Name}}})
			case 2:
				pod.OwnerReferences[0].UID = "unlisted"
				pod.Labels["self"] = pod.Name
			}
			if err := b.Add(Object{APIVersion: "v1", Kind: "Pod", Typed: pod}); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(0, 30)
	before := heap()
	const n = 3000
	add(30, n)
	if grown := heap() - before; grown > 256<<10 {
		t.Errorf("%d pods take %d KiB", n, grown>>10)
	}
	b.Finish()
	running := 0
	for _, w := range b.snap.Workloads {
		if w.Template == nil {
			running += w.Running
		}
	}
	if running != n || len(b.snap.Workloads) != 3 {
		t.Errorf("%d pods run: %q", running, told(b.snap))
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A cluster's pods are compared in less time than decoding them takes.
func BenchmarkPods(b *testing.B) {
	set := randomSet(rand.New(rand.NewPCG(1, 1)))
	builder := fresh()
	if err := builder.Add(Object{APIVersion: "apps/v1", Kind: "StatefulSet", Typed: set.DeepCopy()}); err != nil {
		b.Fatal(err)
	}
	pod := created(set, rand.New(rand.NewPCG(7, 7)))
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		p := pod.DeepCopy()
		b.StartTimer()
		if err := builder.Add(Object{APIVersion: "v1", Kind: "Pod", Typed: p}); err != nil {
			b.Fatal(err)
		}
	}
}
