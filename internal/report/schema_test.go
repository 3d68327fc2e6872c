package report

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

const schemaDir = "../../docs"

func readSchema(t testing.TB, name string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(schemaDir, name))
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return schema
}

// The published schema lets unknown fields through, since readers must; the
// strict one does not, so that a field without an entry is found.
func strictSchema(t testing.TB, name string) *jsonschema.Schema {
	t.Helper()
	if s, ok := strictSchemas.Load(name); ok {
		return s.(*jsonschema.Schema)
	}
	s := compile(t, name, true)
	strictSchemas.Store(name, s)
	return s
}

var strictSchemas sync.Map // *jsonschema.Schema by name: the fuzzer asks often

func compile(t testing.TB, name string, strict bool) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, file := range []string{"report.schema.json", "diff.schema.json", "who-can.schema.json", "can.schema.json", "paths.schema.json"} {
		doc := readSchema(t, file)
		if strict {
			closeObjects(doc)
		}
		if err := c.AddResource("file:///"+file, doc); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Compile("file:///" + name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return s
}

func closeObjects(node any) {
	switch n := node.(type) {
	case map[string]any:
		if _, ok := n["properties"].(map[string]any); ok && n["type"] == "object" {
			n["additionalProperties"] = false
		}
		for _, child := range n {
			closeObjects(child)
		}
	case []any:
		for _, child := range n {
			closeObjects(child)
		}
	}
}

func validate(t testing.TB, schema *jsonschema.Schema, text string) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Errorf("%v", err)
	}
}

// Every field of the Go types stands in the schema with a description, required
// unless it may be left out, and the schema has no other.
func TestSchemaCoversTypes(t *testing.T) {
	for name, root := range map[string]reflect.Type{
		"report.schema.json":  reflect.TypeFor[Report](),
		"diff.schema.json":    reflect.TypeFor[Diff](),
		"who-can.schema.json": reflect.TypeFor[WhoCan](),
		"can.schema.json":     reflect.TypeFor[Can](),
		"paths.schema.json":   reflect.TypeFor[PathReport](),
	} {
		s := schemaWalk{t: t, schemas: map[string]map[string]any{}, seen: map[reflect.Type]bool{}}
		s.object(name, s.file(name), root)
		if len(s.seen) < 5 {
			t.Errorf("%s: only %d types looked at", name, len(s.seen))
		}
	}
}

type schemaWalk struct {
	t       *testing.T
	schemas map[string]map[string]any
	seen    map[reflect.Type]bool
}

func (s *schemaWalk) file(name string) map[string]any {
	if s.schemas[name] == nil {
		s.schemas[name] = readSchema(s.t, name)
	}
	return s.schemas[name]
}

// resolve follows a $ref, in the file it stands in or in another.
func (s *schemaWalk) resolve(file string, node map[string]any) (string, map[string]any) {
	ref, ok := node["$ref"].(string)
	if !ok {
		return file, node
	}
	other, def, _ := strings.Cut(ref, "#/$defs/")
	if other != "" {
		file = other
	}
	target, ok := s.file(file)["$defs"].(map[string]any)[def].(map[string]any)
	if !ok {
		s.t.Fatalf("%s: %s leads nowhere", file, ref)
	}
	return file, target
}

func (s *schemaWalk) object(file string, node map[string]any, typ reflect.Type) {
	if s.seen[typ] {
		return
	}
	s.seen[typ] = true
	properties, _ := node["properties"].(map[string]any)
	required := map[string]bool{}
	names, _ := node["required"].([]any)
	for _, n := range names {
		required[n.(string)] = true
	}
	left := map[string]bool{}
	for name := range properties {
		left[name] = true
	}
	for i := range typ.NumField() {
		if !typ.Field(i).IsExported() {
			continue
		}
		name, options, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		if name == "-" {
			continue // never written
		}
		delete(left, name)
		where := file + ": " + typ.Name() + "." + name
		property, ok := properties[name].(map[string]any)
		if !ok {
			s.t.Errorf("%s is not in the schema", where)
			continue
		}
		if text, _ := property["description"].(string); text == "" {
			s.t.Errorf("%s has no description", where)
		}
		if required[name] == strings.Contains(options, "omitempty") {
			s.t.Errorf("%s: required is %v", where, required[name])
		}
		s.value(where, file, property, typ.Field(i).Type)
	}
	for name := range left {
		s.t.Errorf("%s: %s has no field %s", file, typ.Name(), name)
	}
}

func (s *schemaWalk) value(where, file string, node map[string]any, typ reflect.Type) {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
		if either, ok := node["oneOf"].([]any); ok {
			node = either[0].(map[string]any)
		}
	}
	file, node = s.resolve(file, node)
	switch {
	case typ == reflect.TypeFor[time.Time]():
	case typ.Kind() == reflect.Struct:
		s.object(file, node, typ)
	case typ.Kind() == reflect.Slice:
		items, ok := node["items"].(map[string]any)
		if !ok {
			s.t.Errorf("%s: no items", where)
			return
		}
		s.value(where, file, items, typ.Elem())
	}
}

// The published schema takes what a later release may add; the strict one, with
// which every report of these tests is checked, does not.
func TestSchemaIsOpen(t *testing.T) {
	r := load(t, "testdata/shop.json")
	text := strings.Replace(render(t, "json", r, Options{}), `"tool": {`, `"later": 1, "tool": {"later": 2,`, 1)
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := compile(t, "report.schema.json", false).Validate(doc); err != nil {
		t.Errorf("the published schema refuses a later report: %v", err)
	}
	if err := compile(t, "report.schema.json", true).Validate(doc); err == nil {
		t.Error("the strict schema takes any field")
	}
}

func TestDiffSchema(t *testing.T) {
	before, after := load(t, "testdata/shop.json"), load(t, "testdata/baseline.json")
	for _, d := range []*Diff{Compare(before, after), Compare(after, before), Compare(before, before), Compare(&Report{}, &Report{})} {
		var b bytes.Buffer
		if err := encodeJSON(io.Writer(&b), d); err != nil {
			t.Fatal(err)
		}
		validate(t, strictSchema(t, "diff.schema.json"), b.String())
	}
}

// Lists that hold nothing are written as such: no reader need expect null.
func TestEmptyLists(t *testing.T) {
	r := &Report{APIVersion: APIVersion, Kind: Kind, Sources: []*evidence.Source{{}}}
	text := render(t, "json", r, Options{})
	validate(t, strictSchema(t, "report.schema.json"), text)
	if strings.Contains(text, "null") {
		t.Errorf("a list is null:\n%s", text)
	}
}
