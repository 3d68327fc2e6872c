package admission

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// A text for a header is one line of characters that can be seen, of bounded length.
func TestShorten(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "",
		"as it is, \u00e9":       "as it is, \u00e9",
		"a\nb\x00c\u202ed\x7f":   "a b c d ",
		"broken \xff":            "broken \ufffd",
		strings.Repeat("é", 256): strings.Repeat("é", 255) + "…",
		strings.Repeat("é", 900): strings.Repeat("é", 255) + "…",
	} {
		if got := shorten(text); got != want || !utf8.ValidString(got) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
