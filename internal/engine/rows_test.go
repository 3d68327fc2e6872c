package engine_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/checks"
	"github.com/gabion-k8s/gabion/internal/engine"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/report"
	"github.com/gabion-k8s/gabion/internal/source/manifest"
)

// The rows that files alone can prove. What the proof of any other row asks for
// is in the cluster, on its nodes, in images, in logs or in somebody's head: from
// files such a row may fail, but never pass.
var provenByFiles = strings.Fields(`
	POD-02 POD-03 POD-05 POD-06 POD-07 POD-08 POD-09 POD-10 POD-12 POD-13 POD-14
	FS-01 IMG-01 ENF-01 SAT-01 SAT-03 NS-01 NS-02 NS-03 NET-02 NET-03 RES-01 RES-02 RES-03`)

func TestRowsOfFiles(t *testing.T) {
	text, err := os.ReadFile("testdata/whole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	snap, source := &evidence.Snapshot{}, &evidence.Source{Type: "manifest"}
	manifest.Add(snap, source, new(manifest.Reader).Read("whole.yaml", text))
	if len(source.Errors)+len(source.Skipped)+len(source.Warnings) > 0 {
		t.Fatalf("the file is not sound: %+v", source)
	}
	rep := run(t, snap, engine.Options{Settings: check.Settings{
		TrustedRegistries: []string{"registry.example.com"},
		SensitiveRanges:   map[string]string{"db": "10.1.0.0/16"},
		UntrustedSelector: map[string]string{"untrusted": "yes"},
	}}, checks.All()...)
	for _, f := range rep.Findings {
		t.Errorf("%s: %s", f.Rule, f.Message)
	}
	for _, rec := range rep.Recommendations {
		if want := slices.Contains(provenByFiles, rec.ID); want != (rec.Status == report.Pass) {
			t.Errorf("%s is %s (%s)", rec.ID, rec.Status, rec.Reason)
		}
		if rec.Status != report.Pass && rec.Reason == "" {
			t.Errorf("%s is %s and does not say why", rec.ID, rec.Status)
		}
	}
}
