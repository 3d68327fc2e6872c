package engine

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/report"
)

func TestPermute(t *testing.T) {
	for n := range 60 {
		list, order := make([]report.Finding, n), make([]int32, n)
		for i, p := range rand.Perm(n) {
			list[i].Location.Line = i
			order[i] = int32(p)
		}
		var want, got []int
		for _, from := range order {
			want = append(want, int(from))
		}
		permute(list, order)
		for i := range list {
			got = append(got, list[i].Location.Line)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("permute: got %v, want %v", got, want)
		}
	}
}

// What identifies a fault, and what does not.
func TestFingerprint(t *testing.T) {
	ref := func() *evidence.Ref {
		return &evidence.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web"}
	}
	base := Fingerprint("r", ref(), "c", "containers[c].image")
	same := map[string]func(*evidence.Ref){
		"another version": func(r *evidence.Ref) { r.APIVersion = "apps/v1beta2" },
		"the old group":   func(r *evidence.Ref) { r.APIVersion = "extensions/v1beta1" },
		"another source":  func(r *evidence.Ref) { r.Source = &evidence.Source{Ref: "x"}; r.ID = 7 },
	}
	for name, change := range same {
		r := ref()
		change(r)
		if got := Fingerprint("r", r, "c", "containers[c].image"); got != base {
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
		if Fingerprint("r", r, "c", "containers[c].image") == base {
			t.Errorf("another %s has the same fingerprint", name)
		}
	}
	if Fingerprint("r", ref(), "d", "containers[c].image") == base || Fingerprint("s", ref(), "c", "containers[c].image") == base ||
		Fingerprint("r", ref(), "c", "containers[c].name") == base {
		t.Error("rule, container and key belong to the fingerprint")
	}
}
