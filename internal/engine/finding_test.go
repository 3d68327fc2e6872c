package engine

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/guide"
	"github.com/gabion-k8s/gabion/internal/report"
)

// However many there are, in whatever order and from however many rules they come,
// they stand by severity, row, rule and object, and none is lost.
func TestSorted(t *testing.T) {
	snap := &evidence.Snapshot{}
	for i := range 50 {
		snap.Add(&evidence.Ref{APIVersion: "v1", Kind: "Pod", Name: fmt.Sprintf("p%02d", 49-i)}, nil)
	}
	place := func(f report.Finding) int {
		return slices.IndexFunc(guide.All(), func(rec guide.Recommendation) bool { return rec.ID == f.Recommendation })
	}
	m := newMaker(check.NewScan(snap, check.Settings{}), nil, 0)
	for _, n := range []int{0, 1, 2, 1000} {
		of := []findings{m.room(0), m.room(n), m.room(0)}
		want := make([]string, n)
		for i := range n {
			rule := fmt.Sprintf("r%d", rand.IntN(3))
			row := []string{"POD-05", "POD-06", ""}[rand.IntN(3)]
			f := &of[rand.IntN(len(of))]
			f.add(rule, row, guide.Severity(rand.IntN(5)+1), "", snap.Objects[rand.IntN(len(snap.Objects))], &check.Problem{Message: fmt.Sprint(i)})
			want[i] = fmt.Sprint(i)
		}
		list, err := sorted(t.Context(), [][]report.Finding{of[0].list, of[1].list, of[2].list})
		if err != nil || list == nil {
			t.Fatal(list, err)
		}
		got := make([]string, len(list))
		for i, f := range list {
			got[i] = f.Message
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%d findings of %d", len(got), n)
		}
		if !slices.IsSortedFunc(list, func(a, b report.Finding) int {
			return cmp.Or(
				cmp.Compare(b.Severity, a.Severity), cmp.Compare(place(a), place(b)),
				cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Object.Name, b.Object.Name))
		}) {
			t.Errorf("%d findings are not in order", n)
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
