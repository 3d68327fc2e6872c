package cluster

import (
	"testing"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// An object that cannot be kept for the user's own rules is a gap, not the end of
// the run: what came before and after it is there.
func TestKeepOddObject(t *testing.T) {
	snap := &evidence.Snapshot{}
	b := NewBuilder(snap, &evidence.Cluster{Name: "prod"})
	b.KeepJSON = true
	for _, text := range []string{`{"metadata":{"name":"a"}}`, `{"spec":{}}`, `{"metadata":{"name":"c"}}`} {
		if err := b.Add(Object{APIVersion: "odd.example.com/v1", Kind: "Odd", JSON: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	b.Finish()
	if len(snap.Objects) != 3 || len(snap.Gaps) != 1 || len(snap.Sources[0].Errors) != 1 {
		t.Errorf("%d objects, gaps %v", len(snap.Objects), snap.Gaps)
	}
}
