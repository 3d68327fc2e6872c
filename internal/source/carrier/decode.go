package carrier

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	sigsjson "sigs.k8s.io/json"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A FieldError says that a field of an object cannot be read, and why: it has
// another type than the API gives it.
type FieldError struct {
	Path   evidence.Path // of the field; empty for the object itself
	Reason string        // `want a number, got string "80"`
}

func (e *FieldError) Error() string {
	if path := e.Path.String(); path != "" {
		return path + ": " + e.Reason
	}
	return e.Reason
}

// Decode reads JSON as the API server does: names of fields are matched with
// their case, and unknown fields are ignored. The data stand at path in their
// object. The error is a *FieldError that names the first field (in order of
// names) that has the wrong type. It shows a value only where a number, a
// boolean or another fixed form is wanted, never where free text is: free text
// may be a credential.
func Decode(data []byte, into any, at evidence.Path) error {
	err := sigsjson.UnmarshalCaseSensitivePreserveInts(data, into)
	if err == nil {
		return nil
	}
	if broken := syntaxError(data); broken != nil {
		return &FieldError{at, broken.Error()}
	}
	return locate(data, reflect.TypeOf(into), at, err)
}

// maxLocated is how long a path in an error may be. Built-in types are less deep,
// but for those that hold themselves.
const maxLocated = 64

// locate finds the field below path that makes data fail to decode as t, by
// decoding the parts one by one.
func locate(data []byte, t reflect.Type, path evidence.Path, err error) *FieldError {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for _, c := range children(data, t, path) {
		if err := sigsjson.UnmarshalCaseSensitivePreserveInts(c.data, reflect.New(c.t).Interface()); err != nil {
			return locate(c.data, c.t, c.path, err)
		}
	}
	want := wanted(t)
	if want == "" {
		return &FieldError{path, withoutPackage(err)}
	}
	if k := t.Kind(); k >= reflect.Int && k <= reflect.Uint64 && isNumber(data) {
		want = "a whole number of at most " + strconv.Itoa(t.Bits()) + " bits"
	}
	return &FieldError{path, "want " + want + ", got " + describe(data, t.Kind() != reflect.String && t.Kind() != reflect.Slice)}
}

type child struct {
	data []byte
	t    reflect.Type
	path evidence.Path
}

// children are the parts of data that have a type of their own in t.
func children(data []byte, t reflect.Type, path evidence.Path) []child {
	if reflect.PointerTo(t).Implements(unmarshaler) || path.Len() >= maxLocated {
		return nil
	}
	switch t.Kind() {
	case reflect.Struct:
		fields, _ := object(data)
		var all []child
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if f, ok := fieldNamed(t, name); ok {
				all = append(all, child{fields[name], f.Type, path.Field(name)})
			}
		}
		return all
	case reflect.Map:
		fields, _ := object(data)
		var all []child
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			all = append(all, child{fields[name], t.Elem(), path.Field(name)})
		}
		return all
	case reflect.Slice:
		var elements []json.RawMessage
		if t.Elem().Kind() == reflect.Uint8 || json.Unmarshal(data, &elements) != nil {
			return nil
		}
		all := make([]child, len(elements))
		for i, e := range elements {
			all[i] = child{e, t.Elem(), path.Index(i, text(e, "name"))}
		}
		return all
	}
	return nil
}

var (
	unmarshaler  = reflect.TypeFor[json.Unmarshaler]()
	quantityType = reflect.TypeFor[resource.Quantity]()
	intstrType   = reflect.TypeFor[intstr.IntOrString]()
	timeTypes    = []reflect.Type{reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.MicroTime](), reflect.TypeFor[time.Time]()}
	durationType = reflect.TypeFor[metav1.Duration]()
)

// wanted says in words what the type t reads, "" when there are none.
func wanted(t reflect.Type) string {
	switch {
	case t == quantityType:
		return "a quantity such as 500m or 1Gi"
	case t == intstrType:
		return "a number or a string"
	case t == durationType:
		return "a duration such as 30s"
	case slices.Contains(timeTypes, t):
		return "a time such as 2006-01-02T15:04:05Z"
	}
	switch k := t.Kind(); {
	case reflect.PointerTo(t).Implements(unmarshaler):
		return ""
	case k == reflect.Bool:
		return "true or false"
	case k >= reflect.Int && k <= reflect.Float64:
		return "a number"
	case k == reflect.String:
		return "a string"
	case k == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return "a string in base64"
	case k == reflect.Slice:
		return "a list"
	case k == reflect.Map, k == reflect.Struct:
		return "an object"
	}
	return ""
}

// longestShown is how many bytes of a wrong value an error shows.
const longestShown = 60

// describe says what data is: `string "80"`, "a list". Without show it does not
// say the value.
func describe(data []byte, show bool) string {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return "nothing"
	}
	kind := ""
	switch data[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 'n':
		return "null"
	case 't', 'f':
		return string(data)
	case '"':
		kind = "string"
	default:
		kind = "number"
	}
	if !show || len(data) > longestShown {
		return "a " + kind
	}
	return kind + " " + string(data)
}

func isNumber(data []byte) bool {
	data = bytes.TrimSpace(data)
	return len(data) > 0 && (data[0] == '-' || data[0] >= '0' && data[0] <= '9')
}

// withoutPackage drops the "json: " that decoding errors begin with.
func withoutPackage(err error) string { return strings.TrimPrefix(err.Error(), "json: ") }

// fieldNamed returns the field of the struct t that JSON calls name, also when
// it stands in an embedded struct.
func fieldNamed(t reflect.Type, name string) (reflect.StructField, bool) {
	for _, f := range reflect.VisibleFields(t) {
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == name && name != "" && name != "-" {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// object splits a JSON object into its fields; null has none.
func object(data []byte) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return nil, wrongKind("an object", data)
	}
	return fields, nil
}

// list splits a JSON list into its elements; null has none.
func list(data []byte) ([]json.RawMessage, error) {
	var elements []json.RawMessage
	if err := json.Unmarshal(data, &elements); err != nil {
		return nil, wrongKind("a list", data)
	}
	return elements, nil
}

func wrongKind(want string, data []byte) error {
	if err := syntaxError(data); err != nil {
		return err
	}
	return fmt.Errorf("want %s, got %s", want, describe(data, false))
}

func syntaxError(data []byte) error {
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		return fmt.Errorf("not valid JSON: %w", err)
	}
	return nil
}

// text returns a field of an object that is a string, or "".
func text(data []byte, field string) string {
	fields, err := object(data)
	if err != nil {
		return ""
	}
	var s string
	if json.Unmarshal(fields[field], &s) != nil {
		return ""
	}
	return s
}
