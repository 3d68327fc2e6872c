package engine

import (
	"math/rand/v2"
	"testing"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
)

// However many there are, and in whatever order they come, the worst stand first
// and none is lost.
func TestSorted(t *testing.T) {
	for _, n := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 3*chunkSize + 7} {
		fs := newFindings()
		ref := &evidence.Ref{APIVersion: "v1", Kind: "Pod", Name: "p"}
		seen := map[string]bool{}
		for i := range n {
			path := evidence.NewPath("spec").Index(i, "")
			fs.add("r", "POD-05", guide.Severity(rand.IntN(5)+1), "", ref, &check.Problem{Path: path})
			seen[path.String()] = true
		}
		list := fs.sorted()
		if list == nil || len(list) != n {
			t.Fatalf("%d findings of %d", len(list), n)
		}
		for i := range list {
			delete(seen, list[i].Path)
			if i > 0 && list[i].Severity > list[i-1].Severity {
				t.Fatalf("finding %d of %d ranks above the one before", i, n)
			}
		}
		if len(seen) > 0 {
			t.Fatalf("%d of %d findings are lost", len(seen), n)
		}
	}
}

// What identifies a fault, and what does not.
func TestFingerprint(t *testing.T) {
	ref := func() *evidence.Ref {
		return &evidence.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web"}
	}
	image := evidence.NewPath("containers").Index(0, "c").Field("image")
	base := Fingerprint("r", ref(), "c", image)
	same := map[string]func(*evidence.Ref){
		"another version": func(r *evidence.Ref) { r.APIVersion = "apps/v1beta2" },
		"the old group":   func(r *evidence.Ref) { r.APIVersion = "extensions/v1beta1" },
		"another source":  func(r *evidence.Ref) { r.Source = &evidence.Source{Ref: "x"}; r.ID = 7 },
	}
	for name, change := range same {
		r := ref()
		change(r)
		if got := Fingerprint("r", r, "c", image); got != base {
			t.Errorf("%s changes the fingerprint", name)
		}
	}
	other := map[string]func(*evidence.Ref){
		"namespace": func(r *evidence.Ref) { r.Namespace = "other" },
		"name":      func(r *evidence.Ref) { r.Name = "other" },
		"kind":      func(r *evidence.Ref) { r.Kind = "StatefulSet" },
		"group":     func(r *evidence.Ref) { r.APIVersion = "example.com/v1" },
		// What moves from one field to the next is another object.
		"boundary": func(r *evidence.Ref) { r.Namespace, r.Name = "shopw", "eb" },
	}
	for name, change := range other {
		r := ref()
		change(r)
		if Fingerprint("r", r, "c", image) == base {
			t.Errorf("another %s has the same fingerprint", name)
		}
	}
	if Fingerprint("r", ref(), "d", image) == base || Fingerprint("s", ref(), "c", image) == base ||
		Fingerprint("r", ref(), "c", evidence.NewPath("containers").Index(0, "c").Field("name")) == base {
		t.Error("rule, container and key belong to the fingerprint")
	}
}
