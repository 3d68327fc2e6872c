package oracletest

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// count is what was rolled, and what came of it.
type count struct {
	differences, packets, allowed, unknown int
	constructs                             map[string]int
}

// add counts the fields and the words of a world's policies.
func (c *count) add(w *world) {
	if c.constructs == nil {
		c.constructs = map[string]int{}
	}
	for _, o := range w.policies {
		c.constructs["kind "+o.kind]++
		c.fields(reflect.ValueOf(o.spec))
	}
}

// fields counts the fields of specs that are not empty.
func (c *count) fields(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			c.fields(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); !f.IsZero() {
				name := v.Type().Name() + "." + v.Type().Field(i).Name
				c.constructs[name]++
				if f.Kind() == reflect.String {
					c.constructs[name+"="+f.String()]++
				}
			}
			c.fields(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			c.fields(v.Index(i))
		}
	}
}

// check fails if something was never rolled, or the answers are nearly always the same.
func (c *count) check(t *testing.T, f family, vague bool) {
	for _, s := range f.specs {
		for _, name := range fieldsOf(reflect.TypeOf(s), vague, nil) {
			if c.constructs[name] == 0 {
				t.Errorf("%s was never rolled", name)
			}
		}
	}
	for _, name := range f.words {
		field, values, _ := strings.Cut(name, "=")
		for v := range strings.SplitSeq(values, ",") {
			if c.constructs[field+"="+v] == 0 {
				t.Errorf("%s was never rolled as %s", field, v)
			}
		}
	}
	if share := float64(c.allowed) / float64(c.packets); share < 0.1 || share > 0.9 {
		t.Errorf("of %d packets %d are allowed: that shows little", c.packets, c.allowed)
	}
	if !vague && c.unknown*10 > c.packets {
		t.Errorf("of %d packets %d are not known", c.packets, c.unknown)
	}
}

// fieldsOf are the fields of the oracle's own types, those that only vague worlds have
// among them or not.
func fieldsOf(t reflect.Type, vague bool, list []string) []string {
	switch {
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice:
		return fieldsOf(t.Elem(), vague, list)
	case t.Kind() != reflect.Struct || !slices.Contains([]string{
		reflect.TypeOf(world{}).PkgPath(), reflect.TypeOf(networkingv1.IPBlock{}).PkgPath(), reflect.TypeOf(metav1.LabelSelector{}).PkgPath(),
	}, t.PkgPath()):
		return list
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name := t.Name() + "." + f.Name
		if slices.Contains(list, name) {
			return list
		}
		if vague || f.Tag.Get("oracle") != "vague" {
			list = fieldsOf(f.Type, vague, append(list, name))
		}
	}
	return list
}
