package live

import (
	"fmt"
	"strings"
	"testing"
)

// Schemas that refer to each other in circles, or are deep, end the search.
func TestHostileSchemas(t *testing.T) {
	var circles strings.Builder
	circles.WriteString(`{"components": {"schemas": {"x": {"x-kubernetes-group-version-kind": [{"kind": "X"}], "properties": {"spec": {"$ref": "#/components/schemas/0"}}}`)
	const many = 200
	for i := range many {
		fmt.Fprintf(&circles, `, "%d": {"properties": {`, i)
		for j := range many {
			fmt.Fprintf(&circles, `"p%d": {"$ref": "#/components/schemas/%d"},`, j, j)
		}
		fmt.Fprintf(&circles, `"last": {"type": "string"}}}`)
	}
	circles.WriteString(`, "self": {"$ref": "#/components/schemas/self"}, "y": {"x-kubernetes-group-version-kind": [{"kind": "Y"}], "$ref": "#/components/schemas/self"}}}}`)
	kinds, err := carryingKinds([]byte(circles.String()))
	if err != nil || len(kinds) != 2 || kinds["X"] || kinds["Y"] {
		t.Errorf("got %v, %v", kinds, err)
	}
	deep := strings.Repeat(`{"properties": {"spec": `, 4000) + `{}` + strings.Repeat(`}}`, 4000)
	if _, err := carryingKinds([]byte(`{"components": {"schemas": {"x": ` + deep + `}}}`)); err != nil {
		t.Error(err)
	}
}

func FuzzCarryingKinds(f *testing.F) {
	f.Add([]byte(`{"components": {"schemas": {"x": {"x-kubernetes-group-version-kind": [{"kind": "X"}], "properties": {"spec": {"allOf": [{"$ref": "#/components/schemas/x"}]}}}}}}`))
	f.Fuzz(func(_ *testing.T, document []byte) { carryingKinds(document) })
}
