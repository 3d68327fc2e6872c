package checks

import (
	"iter"

	"sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// customs yields the custom objects of a kind, decoded into the part of it that
// T spells out. One that does not decode is recorded as not judged.
func customs[T any](r *check.Run, group, kind string) iter.Seq2[*evidence.Ref, *T] {
	return func(yield func(*evidence.Ref, *T) bool) {
		for _, c := range r.Custom {
			if c.Kind != kind || c.Group() != group {
				continue
			}
			object := new(T)
			if err := json.UnmarshalCaseSensitivePreserveInts(c.JSON, object); err != nil {
				r.Unknown(c.String(), "it cannot be read as "+c.APIVersion+": "+err.Error())
				continue
			}
			if !yield(c.Ref, object) {
				return
			}
		}
	}
}
