package engine_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/engine"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/source/files"
)

// BenchmarkRun judges the example, a hundred times over in other namespaces.
func BenchmarkRun(b *testing.B) {
	snap := &evidence.Snapshot{}
	for i := range 100 {
		before := len(snap.Objects)
		if err := files.Read(context.Background(), snap, files.Options{Paths: []string{"../../examples/shop"}}); err != nil {
			b.Fatal(err)
		}
		for _, ref := range snap.Objects[before:] {
			if ref.Namespace != "" {
				ref.Namespace = fmt.Sprintf("%s-%d", ref.Namespace, i)
			}
		}
	}
	o := engine.Options{}
	o.Settings.Version = evidence.Newest()
	b.ReportAllocs()
	for b.Loop() {
		rep, err := engine.Run(context.Background(), snap, checks.All(), o)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(rep.Findings)), "findings/op")
	}
}
