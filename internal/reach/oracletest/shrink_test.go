package oracletest

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
)

// shrink takes away pods, policies and parts of policies while the packet's answer
// stays wrong.
func (f family) shrink(t *testing.T, w *world, p packet) *world {
	try := func(smaller *world) bool {
		if !f.wrong(t, smaller, p) {
			return false
		}
		w = smaller
		return true
	}
	for again := true; again; {
		again = false
		for i := 0; i < len(w.policies); i++ {
			if w.policies[i].referred() {
				continue
			}
			s := *w
			s.policies = slices.Delete(slices.Clone(w.policies), i, i+1)
			if try(&s) {
				again = true
				i--
			}
		}
		for i := 0; i < len(w.pods); i++ {
			if w.pods[i] == p.src.pod || w.pods[i] == p.dst.pod {
				continue
			}
			s := *w
			s.pods = slices.Delete(slices.Clone(w.pods), i, i+1)
			if try(&s) {
				again = true
				i--
			}
		}
		for i := 0; i < len(w.policies); i++ {
			for part := 0; ; part++ {
				o, more := w.policies[i].without(part)
				if !more {
					break
				}
				s := *w
				s.policies = slices.Clone(w.policies)
				s.policies[i] = o
				if try(&s) {
					again = true
					part--
				}
			}
		}
	}
	return w
}

// referred reports whether policies refer to the object: they need it.
func (o *object) referred() bool {
	switch o.spec.(type) {
	case *ciliumGroup, *calicoTier:
		return true
	}
	return false
}

// without returns a copy of the object that lacks one element of one of its lists;
// false when there are no more. The last element of a list stays: an empty list
// often means something else.
func (o *object) without(part int) (*object, bool) {
	text, err := json.Marshal(o.spec)
	if err != nil {
		panic(err)
	}
	spec := reflect.New(reflect.TypeOf(o.spec).Elem())
	if err := json.Unmarshal(text, spec.Interface()); err != nil {
		panic(err)
	}
	smaller := *o
	smaller.spec = spec.Interface()
	return &smaller, drop(spec, &part)
}

func drop(v reflect.Value, part *int) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && drop(v.Elem(), part)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() && drop(v.Field(i), part) {
				return true
			}
		}
	case reflect.Slice:
		if v.Len() > 1 {
			if *part < v.Len() {
				v.Set(reflect.AppendSlice(v.Slice(0, *part), v.Slice(*part+1, v.Len())))
				return true
			}
			*part -= v.Len()
		}
		for i := range v.Len() {
			if drop(v.Index(i), part) {
				return true
			}
		}
	}
	return false
}
