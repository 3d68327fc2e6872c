package checks

import (
	"fmt"
	"time"

	"github.com/gabion-k8s/gabion/internal/check"
	"github.com/gabion-k8s/gabion/internal/evidence"
)

// releasesKnown is the day as of which the end dates below are: what was released,
// or prolonged, since then is not in them.
var releasesKnown = day(2026, time.September, 15)

// listsKeep is how long the lists are good for: Kubernetes releases about every
// four months.
const listsKeep = 183 * 24 * time.Hour

// kubernetesEnds are the days on which the Kubernetes project ended, or will end,
// its support of the releases 1.N (https://kubernetes.io/releases/). All releases
// before the first of them have ended.
var kubernetesEnds = map[int]time.Time{
	10: day(2019, time.February, 13),
	11: day(2019, time.May, 1),
	12: day(2019, time.July, 8),
	13: day(2019, time.October, 15),
	14: day(2019, time.December, 11),
	15: day(2020, time.May, 6),
	16: day(2020, time.September, 2),
	17: day(2021, time.January, 13),
	18: day(2021, time.June, 18),
	19: day(2021, time.October, 28),
	20: day(2022, time.February, 28),
	21: day(2022, time.June, 28),
	22: day(2022, time.October, 28),
	23: day(2023, time.February, 28),
	24: day(2023, time.July, 28),
	25: day(2023, time.October, 28),
	26: day(2024, time.February, 28),
	27: day(2024, time.July, 16),
	28: day(2024, time.October, 22),
	29: day(2025, time.February, 28),
	30: day(2025, time.July, 15),
	31: day(2025, time.November, 11),
	32: day(2026, time.February, 28),
	33: day(2026, time.June, 28),
	34: day(2026, time.October, 27),
	35: day(2027, time.February, 28),
	36: day(2027, time.June, 28),
	37: day(2027, time.October, 28),
}

// containerdEnds are the same of containerd (https://containerd.io/releases/).
var containerdEnds = map[evidence.Version]time.Time{
	{Major: 1, Minor: 0}: day(2018, time.December, 5),
	{Major: 1, Minor: 1}: day(2019, time.October, 23),
	{Major: 1, Minor: 2}: day(2020, time.October, 15),
	{Major: 1, Minor: 3}: day(2021, time.March, 4),
	{Major: 1, Minor: 4}: day(2022, time.March, 3),
	{Major: 1, Minor: 5}: day(2023, time.February, 28),
	{Major: 1, Minor: 6}: day(2025, time.August, 23),
	{Major: 1, Minor: 7}: day(2026, time.September, 30),
	{Major: 2, Minor: 0}: day(2025, time.November, 7),
	{Major: 2, Minor: 1}: day(2026, time.May, 5),
	{Major: 2, Minor: 2}: day(2026, time.November, 6),
	{Major: 2, Minor: 3}: day(2028, time.April, 27),
}

func day(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
}

// A support is what is known of a release's support at some time.
type support int

const (
	unknownSupport support = iota
	supported
	ended
)

// kubernetesSupport says whether the project supports a release at a time, and
// until when it did.
func kubernetesSupport(v evidence.Version, at time.Time) (support, time.Time) {
	end, listed := kubernetesEnds[v.Minor]
	switch {
	case v.Major == 1 && !v.AtLeast(10):
		return ended, kubernetesEnds[10]
	case v.Major != 1 || !listed:
		return unknownSupport, time.Time{}
	}
	return supportUntil(end, at), end
}

// containerdSupport is the same of containerd.
func containerdSupport(v evidence.Version, at time.Time) (support, time.Time) {
	end, listed := containerdEnds[v]
	if !listed {
		return unknownSupport, time.Time{}
	}
	return supportUntil(end, at), end
}

// supportUntil counts the last day as supported.
func supportUntil(end, at time.Time) support {
	if at.After(end.AddDate(0, 0, 1)) {
		return ended
	}
	return supported
}

// sayAge says that the lists are old, once they are.
func sayAge(r *check.Run) {
	if age := r.Cluster.CollectedAt.Sub(releasesKnown); age > listsKeep {
		r.Unknown("", listAge(releasesKnown, age))
	}
}

// listAge says how old a list of releases is.
func listAge(asOf time.Time, age time.Duration) string {
	return fmt.Sprintf("the list of releases in this program is %d months old (as of %s): a newer gabion knows the later ones",
		int(age.Hours()/24/30), asOf.Format(time.DateOnly))
}
