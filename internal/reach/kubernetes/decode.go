package kubernetes

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	kjson "sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// fields are those of an object that its type does not have.
type fields []string

// String says why what the object means is not known.
func (f fields) String(at evidence.Path) string {
	return fmt.Sprintf("field %s: what it means is not known", at.Field(f[0]))
}

// decode reads an object as the API server does, by the exact names of fields. It
// returns the fields that the type does not have, and fails on what is no object
// of the type.
func decode(raw []byte, into any) (fields, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, errors.New("is missing")
	}
	strict, err := kjson.UnmarshalStrict(raw, into)
	if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
		return nil, fmt.Errorf("%s cannot be a %s", cmp.Or(wrong.Field, "it"), wrong.Value)
	}
	if err != nil {
		return nil, err
	}
	var surplus fields
	for _, e := range strict {
		name, unknown := strings.CutPrefix(e.Error(), "unknown field ")
		if !unknown {
			return nil, e
		}
		surplus = append(surplus, strings.Trim(name, `"`))
	}
	return surplus, nil
}
