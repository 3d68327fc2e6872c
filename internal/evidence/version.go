package evidence

import (
	"fmt"
	"strconv"
	"strings"
)

// A Version is a release of Kubernetes; patch releases change no rule.
type Version struct{ Major, Minor int }

// Newest is the newest release whose rules are known here.
func Newest() Version { return Version{1, 37} }

// ParseVersion reads "1.34", "v1.34" or "v1.34.2+k3s1".
func ParseVersion(s string) (Version, error) {
	major, rest, ok := strings.Cut(strings.TrimPrefix(s, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	minor = strings.TrimRight(minor, "+")
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	if !ok || errA != nil || errB != nil || a < 1 || b < 0 {
		return Version{}, fmt.Errorf("Kubernetes version %q: want X.Y, such as 1.34", s)
	}
	return Version{a, b}, nil
}

// AtLeast reports whether v is 1.minor or newer.
func (v Version) AtLeast(minor int) bool { return v.Major > 1 || v.Minor >= minor }

// String is X.Y.
func (v Version) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }
