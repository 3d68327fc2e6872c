package checks

import (
	"os"
	"testing"

	"github.com/gabion-k8s/gabion/internal/checktest"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// A pod whose policies let it reach the metadata service is no pass, though the
// finding is about the policy.
func TestMetadataEgressCountsNoPass(t *testing.T) {
	const file = "testdata/metadata-egress/rules.yaml"
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	run := checktest.Judge(t, file, string(src), MetadataEgress)
	failed := map[int]bool{}
	for _, f := range run.Failures {
		failed[f.Ref.ID] = true
	}
	if run.Evaluated.Len() != len(failed) {
		t.Errorf("%d objects judged, %d of them failed: the others cannot have passed", run.Evaluated.Len(), len(failed))
	}
}

// Where no address is outside there is nobody to be kept from, and no pass.
func TestKeptFromNobody(t *testing.T) {
	if a := answer(nil, nil, nil, ports.All()); a.kept || a.unknown == "" {
		t.Errorf("got %+v", a)
	}
}
