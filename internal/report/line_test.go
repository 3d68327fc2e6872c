package report

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"
)

// Whatever is in a finding, its line holds the bytes that encoding/json writes,
// and then what no one could see as escapes. A field that is new and forgotten
// here is noticed.
func TestAppendFinding(t *testing.T) {
	pieces := []string{"\x00", "plain", `"quoted" \ back`, "<a&b>", "tab\tline\nend\r", "\x1b[31m\x7f", "naïve 日本語 🚢",
		"\u2028\u200b\ufeff\u00ad", "\xff\xfe broken", "\U000e0001", "\ufffe\uffff"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var data []byte
		for len(data) < 600 {
			data = append(data, byte(random.IntN(256)))
			data = append(data, pieces[random.IntN(len(pieces))]...)
		}
		var f Finding
		fillValue(&feed{data: data}, reflect.ValueOf(&f).Elem())

		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(&f); err != nil {
			t.Fatal(err)
		}
		want := string(escapeInvisible(bytes.TrimSuffix(b.Bytes(), []byte("\n"))))
		got, err := appendFinding(nil, &f)
		if err != nil || string(got) != want {
			t.Fatalf("%v\n%s\nwant\n%s", err, got, want)
		}
	}
	if _, err := appendFinding(nil, &Finding{}); err == nil {
		t.Error("a finding without a severity is written")
	}
}
