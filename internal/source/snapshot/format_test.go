package snapshot

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestFields: the fields of a snapshot belong to its format. Whoever adds one makes a
// new format, and a file of its own here; Load goes on reading the old ones.
func TestFields(t *testing.T) {
	var fields []string
	var list func(name string, of reflect.Type)
	list = func(name string, of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || of == reflect.TypeFor[time.Time]() || of.PkgPath() == "k8s.io/apimachinery/pkg/apis/meta/v1" {
			fields = append(fields, name)
			return
		}
		for f := range of.Fields() {
			tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			list(name+"."+tag, f.Type)
		}
	}
	list("header", reflect.TypeFor[Header]())
	list("record", reflect.TypeFor[record]())
	list("secret", reflect.TypeFor[secret]())
	want, err := os.ReadFile("testdata/fields-1.txt")
	if err != nil || FormatVersion != 1 {
		t.Fatal(FormatVersion, err)
	}
	if diff := cmp.Diff(strings.Fields(string(want)), fields); diff != "" {
		t.Errorf("-format +now\n%s", diff)
	}
}
