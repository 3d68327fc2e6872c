package live

import (
	"encoding/json"
	"strings"
)

// A shape is the part of an OpenAPI schema that says whether objects may hold a
// pod.
type shape struct {
	Type       string            `json:"type"`
	Properties map[string]*shape `json:"properties"`
	Items      *shape            `json:"items"`
	AllOf      []*shape          `json:"allOf"`
	Ref        string            `json:"$ref"`
	Additional json.RawMessage   `json:"additionalProperties"` // a schema or a boolean
	Free       bool              `json:"x-kubernetes-preserve-unknown-fields"`
}

// maxSchemaDepth is how deep a pod is looked for.
const maxSchemaDepth = 32

// A podSearch looks for pods in schemas that may refer to each other.
type podSearch struct {
	// definitions are what a reference may name.
	definitions map[string]*shape
	// seen are the definitions looked into: below a spec, and not.
	seen [2]map[*shape]bool
}

// carriesPods reports whether objects of a schema may hold what the carrier room
// finds by shape: a list of containers, each with a name and an image, somewhere
// below a field that ends in spec or template. A field of such a name that may
// hold anything may hold a pod.
func carriesPods(s *shape, definitions map[string]*shape) bool {
	search := podSearch{definitions, [2]map[*shape]bool{{}, {}}}
	return search.below(s, false, 0)
}

func (p *podSearch) below(s *shape, specified bool, depth int) bool {
	s = p.resolve(s)
	seen := p.seen[0]
	if specified {
		seen = p.seen[1]
	}
	if s == nil || depth > maxSchemaDepth || seen[s] {
		return false
	}
	seen[s] = true
	for name, property := range s.Properties {
		if name == "metadata" || name == "status" {
			continue
		}
		property = p.resolve(property)
		if property == nil {
			continue
		}
		specifies := specifies(name)
		if specified && name == "containers" && p.isContainers(property) || specifies && property.Free ||
			p.below(property, specified || specifies, depth+1) {
			return true
		}
	}
	var additional *shape
	if json.Unmarshal(s.Additional, &additional) != nil {
		additional = nil
	}
	return p.below(s.Items, specified, depth+1) || p.below(additional, specified, depth+1)
}

// resolve follows references, and takes of what is put together the last part
// that has any content.
func (p *podSearch) resolve(s *shape) *shape {
	for range maxSchemaDepth {
		switch {
		case s == nil:
			return nil
		case s.Ref != "":
			s = p.definitions[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
		case len(s.AllOf) > 0 && len(s.Properties) == 0 && s.Items == nil:
			s = s.AllOf[len(s.AllOf)-1]
		default:
			return s
		}
	}
	return nil
}

// isContainers reports whether a list may be of containers.
func (p *podSearch) isContainers(s *shape) bool {
	item := p.resolve(s.Items)
	if item == nil {
		return s.Free
	}
	return item.Free || item.Properties["name"] != nil && item.Properties["image"] != nil
}

func specifies(field string) bool {
	field = strings.ToLower(field)
	return strings.HasSuffix(field, "spec") || strings.HasSuffix(field, "template")
}

// A definition is the part of a CustomResourceDefinition that is looked at here.
type definition struct {
	Spec struct {
		Group string `json:"group"`
		Names struct {
			Kind string `json:"kind"`
		} `json:"names"`
		Free     bool `json:"preserveUnknownFields"`
		Versions []struct {
			Served bool `json:"served"`
			Schema struct {
				Root *shape `json:"openAPIV3Schema"`
			} `json:"schema"`
		} `json:"versions"`
	} `json:"spec"`
}

// carries reports whether objects of the definition may hold pods.
func (d *definition) carries() bool {
	for _, v := range d.Spec.Versions {
		if v.Served && (d.Spec.Free || v.Schema.Root == nil || carriesPods(v.Schema.Root, nil)) {
			return true
		}
	}
	return false
}

// carryingKinds are the kinds in an OpenAPI document of one group's version, and
// whether their objects may hold pods.
func carryingKinds(document []byte) (map[string]bool, error) {
	var d struct {
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(document, &d); err != nil {
		return nil, err
	}
	definitions := make(map[string]*shape, len(d.Components.Schemas))
	kinds := map[string]*shape{}
	for name, raw := range d.Components.Schemas {
		var s shape
		var about struct {
			Kinds []struct {
				Kind string `json:"kind"`
			} `json:"x-kubernetes-group-version-kind"`
		}
		if json.Unmarshal(raw, &s) != nil {
			continue
		}
		definitions[name] = &s
		if json.Unmarshal(raw, &about) == nil && len(about.Kinds) == 1 {
			kinds[about.Kinds[0].Kind] = &s
		}
	}
	carrying := make(map[string]bool, len(kinds))
	for name, s := range kinds {
		carrying[name] = carriesPods(s, definitions)
	}
	return carrying, nil
}
