package snapshot

import (
	"encoding"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// update writes the fields of the format anew: for a format that no release has
// written yet.
var update = flag.Bool("update", false, "write testdata/fields-2.txt anew")

// TestFields: the fields of a snapshot belong to its format. Whoever adds one makes a
// new format, and a file of its own here; Load goes on reading the old ones.
func TestFields(t *testing.T) {
	var fields []string
	var list func(name string, of reflect.Type)
	within := map[reflect.Type]bool{} // types that hold themselves are listed once
	list = func(name string, of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice || of.Kind() == reflect.Map {
			of = of.Elem()
		}
		foreign := !strings.HasPrefix(of.PkgPath(), "github.com/gabion-k8s/gabion/")
		if of.Kind() != reflect.Struct || foreign || within[of] || reflect.PointerTo(of).Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
			fields = append(fields, name)
			return
		}
		within[of] = true
		defer delete(within, of)
		for f := range of.Fields() {
			tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if tag == "-" {
				continue
			}
			list(name+"."+tag, f.Type)
		}
	}
	list("header", reflect.TypeFor[Header]())
	list("record", reflect.TypeFor[record]())
	list("secret", reflect.TypeFor[secret]())
	if *update {
		if err := os.WriteFile("testdata/fields-2.txt", []byte(strings.Join(fields, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/fields-2.txt")
	if err != nil || FormatVersion != 2 {
		t.Fatal(FormatVersion, err)
	}
	if diff := cmp.Diff(strings.Fields(string(want)), fields); diff != "" {
		t.Errorf("-format +now\n%s", diff)
	}
}
