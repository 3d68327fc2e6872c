package patch

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// A Difference is a field that is not the same in two states of an object. Elements of
// lists that are told apart by keys are fields of their own; other lists are one.
type Difference struct {
	Path Path `json:"path"`
	// Made is how many of the last steps of the path were not there before: 0 for a
	// field that had another value.
	Made int `json:"made,omitempty"`
	// Before and After are the values; nil for none.
	Before any `json:"before,omitempty"`
	After  any `json:"after,omitempty"`
}

// Compare returns what differs between two states of an object, in the order of their
// fields. What the API server and controllers keep for themselves is passed over: the
// status, the version, who manages what.
func Compare(before, after Object) []Difference {
	c := comparison{custom: before.custom()}
	c.fields(nil, 0, map[string]any(before), map[string]any(after))
	return c.found
}

type comparison struct {
	custom bool
	found  []Difference
}

// kept reports whether a field is kept by the API server or a controller.
func kept(p Path) bool {
	switch p.String() {
	case ".status", ".metadata.managedFields", ".metadata.resourceVersion", ".metadata.generation",
		".metadata.annotations.deprecated.daemonset.template.generation":
		return true
	}
	return false
}

// fields compares mappings. made is how many of the last steps were not there before,
// -1 for none.
func (c *comparison) fields(at Path, made int, before, after map[string]any) {
	names := slices.Compact(slices.Sorted(func(yield func(string) bool) {
		for _, m := range []map[string]any{before, after} {
			for name := range maps.Keys(m) {
				if !yield(name) {
					return
				}
			}
		}
	}))
	for _, name := range names {
		if p := at.with(Step{Field: name}); !kept(p) {
			c.value(p, made, before[name], after[name])
		}
	}
}

// value compares what stands at a path. made counts the steps above that were not there
// before.
func (c *comparison) value(at Path, made int, before, after any) {
	if before == nil {
		made++
	}
	wasMap, nowMap := asMap(before), asMap(after)
	keys := c.keys(at)
	was, told := apart(before, keys)
	now, toldNow := apart(after, keys)
	switch {
	case reflect.DeepEqual(before, after):
	case nowMap != nil && (wasMap != nil || before == nil && len(nowMap) > 0):
		c.fields(at, made, wasMap, nowMap)
	case keys != nil && toldNow && (told || before == nil && len(now) > 0):
		c.elements(at, made, keys, was, now)
	default:
		c.found = append(c.found, Difference{at, made, before, after})
	}
}

// elements compares lists whose elements have keys. One that is new is one difference.
func (c *comparison) elements(at Path, made int, keys []string, before, after []any) {
	for _, e := range before {
		step := stepOf(e, keys)
		if find(after, step.Keys) < 0 {
			c.found = append(c.found, Difference{Path: at.with(step), Before: e})
		}
	}
	for _, e := range after {
		step := stepOf(e, keys)
		if i := find(before, step.Keys); i >= 0 {
			c.fields(at.with(step), 0, asMap(before[i]), asMap(e))
		} else {
			c.found = append(c.found, Difference{Path: at.with(step), Made: made + 1, After: e})
		}
	}
}

func asMap(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

func stepOf(element any, keys []string) Step {
	s := Step{Keys: map[string]any{}}
	for _, k := range keys {
		s.Keys[k] = asMap(element)[k]
	}
	return s
}

// apart returns the elements of a list, and whether the keys tell them apart.
func apart(list any, keys []string) ([]any, bool) {
	elements, ok := list.([]any)
	if !ok || keys == nil {
		return nil, false
	}
	for i, e := range elements {
		s := stepOf(e, keys)
		for _, v := range s.Keys {
			if v == nil {
				return nil, false
			}
		}
		if find(elements, s.Keys) != i {
			return nil, false
		}
	}
	return elements, true
}

// custom reports whether the object is of a kind that is not of Kubernetes itself: how
// its lists merge is not known here.
func (o Object) custom() bool {
	group, _, named := strings.Cut(o.Text("apiVersion"), "/")
	return named && strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io")
}

// keys are what tells the elements of a list apart for the API server, nil for a list
// that is one value. They are those of the API's own types (x-kubernetes-list-map-keys),
// for the lists that fixes touch.
func (c *comparison) keys(at Path) []string {
	if c.custom {
		return nil
	}
	switch at[len(at)-1].Field {
	case "containers", "initContainers", "ephemeralContainers", "volumes", "env", "imagePullSecrets", "webhooks":
		return []string{"name"}
	case "volumeMounts":
		return []string{"mountPath"}
	case "volumeDevices":
		return []string{"devicePath"}
	case "hostAliases":
		return []string{"ip"}
	case "topologySpreadConstraints":
		return []string{"topologyKey", "whenUnsatisfiable"}
	case "ports":
		if at.String() == ".spec.ports" {
			return []string{"port", "protocol"} // of a Service
		}
		return []string{"containerPort", "protocol"}
	}
	return nil
}

// Equal reports whether two differences are the same.
func (d Difference) Equal(other Difference) bool {
	return reflect.DeepEqual(d.Path, other.Path) && reflect.DeepEqual(d.Before, other.Before) && reflect.DeepEqual(d.After, other.After)
}

// Valid reports what is wrong with a difference that was read from a file: it has to be
// one that Compare could have found.
func (d Difference) Valid() error {
	switch {
	case len(d.Path) == 0 || d.Made < 0 || d.Made > len(d.Path):
		return errors.New("a change without a path")
	case d.Path[0].Keys != nil || kept(d.Path) || identity(d.Path):
		return fmt.Errorf("%s is no field that is changed", d.Path)
	case d.Before == nil && d.After == nil, d.Made > 0 && d.Before != nil:
		return fmt.Errorf("%s: neither what was nor what is", d.Path)
	}
	return nil
}

// identity reports whether a field says which object it is.
func identity(p Path) bool {
	switch p.String() {
	case ".apiVersion", ".kind", ".metadata", ".metadata.name", ".metadata.namespace", ".metadata.uid":
		return true
	}
	return false
}
