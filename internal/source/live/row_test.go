package live

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
)

// An age is read as the API server writes it, for every age: no more than what it
// rounds away is lost.
func TestParseAge(t *testing.T) {
	for age := time.Duration(0); age < 20*365*24*time.Hour; age += age/50 + 7*time.Second {
		text := duration.HumanDuration(age)
		got, ok := parseAge(text)
		if !ok || duration.HumanDuration(got) != text || got > age || age-got > max(age/3, time.Hour) {
			t.Errorf("%s is written %s and read %s, %v", age, text, got, ok)
		}
	}
	for _, text := range []string{"", "<unknown>", "<invalid>", "5", "d", "3d4", "4h3d", "99999y", "300y", "-1d", "1.5h", "3x"} {
		if age, ok := parseAge(text); ok {
			t.Errorf("%q is read as %s", text, age)
		}
	}
}
