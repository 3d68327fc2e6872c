package kind

import (
	"bytes"
	"encoding/json"
)

// WithoutSchemas returns a copy of an object's JSON; of a
// CustomResourceDefinition without the schemas, which are nearly all of it and
// say nothing that a check asks.
func WithoutSchemas(group, name string, text []byte) []byte {
	if group != "apiextensions.k8s.io" || name != "CustomResourceDefinition" {
		return bytes.Clone(text)
	}
	var object, spec map[string]json.RawMessage
	var versions []map[string]json.RawMessage
	if json.Unmarshal(text, &object) != nil || json.Unmarshal(object["spec"], &spec) != nil || json.Unmarshal(spec["versions"], &versions) != nil {
		return bytes.Clone(text)
	}
	for _, v := range versions {
		delete(v, "schema")
	}
	delete(spec, "validation") // of apiextensions.k8s.io/v1beta1
	delete(object, "status")
	for _, part := range []struct {
		into  map[string]json.RawMessage
		field string
		value any
	}{{spec, "versions", versions}, {object, "spec", spec}} {
		encoded, err := json.Marshal(part.value)
		if err != nil {
			return bytes.Clone(text)
		}
		part.into[part.field] = encoded
	}
	short, err := json.Marshal(object)
	if err != nil {
		return bytes.Clone(text)
	}
	return short
}
