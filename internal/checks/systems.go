package checks

import (
	"strings"
	"time"
)

// systemsKnown is the day as of which the end dates of operating systems are.
var systemsKnown = day(2026, time.August, 22)

// An endOfSystem is how long a release of a distribution gets security fixes that are
// free to all its users. Until paid is when its makers' paid service ends, zero for none.
type endOfSystem struct{ free, paid time.Time }

// systemEnds are the ends of distributions by ID and the part of VERSION_ID of
// os-release that counts, as their makers publish them: wiki.debian.org/LTS,
// ubuntu.com/about/release-cycle, access.redhat.com/support/policy/updates/errata,
// wiki.rockylinux.org/rocky/version, wiki.almalinux.org, centos.org/cl-vs-cs,
// aws.amazon.com/amazon-linux-2/faqs, docs.aws.amazon.com/linux/al2023,
// suse.com/lifecycle. Debian's is that of its long term support.
func systemEnds() map[string]endOfSystem {
	return map[string]endOfSystem{
		"debian 8":     {free: day(2020, time.June, 30)},
		"debian 9":     {free: day(2022, time.July, 1)},
		"debian 10":    {free: day(2024, time.June, 30)},
		"debian 11":    {free: day(2026, time.August, 31)},
		"debian 12":    {free: day(2028, time.June, 30)},
		"debian 13":    {free: day(2030, time.June, 30)},
		"ubuntu 14.04": {day(2019, time.April, 30), day(2024, time.April, 30)},
		"ubuntu 16.04": {day(2021, time.April, 30), day(2026, time.April, 30)},
		"ubuntu 18.04": {day(2023, time.May, 31), day(2028, time.April, 30)},
		"ubuntu 20.04": {day(2025, time.May, 31), day(2030, time.April, 30)},
		"ubuntu 22.04": {day(2027, time.April, 30), day(2032, time.April, 30)},
		"ubuntu 22.10": {free: day(2023, time.July, 20)},
		"ubuntu 23.04": {free: day(2024, time.January, 25)},
		"ubuntu 23.10": {free: day(2024, time.July, 12)},
		"ubuntu 24.04": {day(2029, time.May, 31), day(2036, time.May, 31)},
		"ubuntu 24.10": {free: day(2025, time.July, 10)},
		"ubuntu 25.04": {free: day(2026, time.January, 17)},
		"ubuntu 25.10": {free: day(2026, time.July, 31)},
		"ubuntu 26.04": {day(2031, time.April, 30), day(2036, time.April, 30)},
		"rhel 6":       {day(2020, time.November, 30), day(2024, time.June, 30)},
		"rhel 7":       {day(2024, time.June, 30), day(2029, time.May, 31)},
		"rhel 8":       {day(2029, time.May, 31), day(2033, time.May, 31)},
		"rhel 9":       {day(2032, time.May, 31), day(2036, time.May, 31)},
		"rhel 10":      {day(2035, time.May, 31), day(2039, time.May, 31)},
		"rocky 8":      {free: day(2029, time.May, 31)},
		"rocky 9":      {free: day(2032, time.May, 31)},
		"rocky 10":     {free: day(2035, time.May, 31)},
		"almalinux 8":  {free: day(2029, time.May, 31)},
		"almalinux 9":  {free: day(2032, time.May, 31)},
		"almalinux 10": {free: day(2035, time.May, 31)},
		"centos 6":     {free: day(2020, time.November, 30)},
		"centos 7":     {free: day(2024, time.June, 30)},
		"centos 8":     {free: day(2024, time.May, 31)}, // Stream's, the later one
		"centos 9":     {free: day(2027, time.May, 31)},
		"centos 10":    {free: day(2030, time.May, 31)},
		"amzn 2018.03": {free: day(2023, time.December, 31)},
		"amzn 2":       {free: day(2026, time.June, 30)},
		"amzn 2023":    {free: day(2029, time.June, 30)},
		"ol 7":         {day(2024, time.December, 31), day(2028, time.June, 30)},
		"ol 8":         {day(2029, time.July, 31), day(2032, time.July, 31)},
		"ol 9":         {day(2032, time.June, 30), day(2035, time.June, 30)},
		"sles 12.5":    {day(2024, time.October, 31), day(2027, time.October, 31)},
		"sles 15.3":    {day(2022, time.December, 31), day(2025, time.December, 31)},
		"sles 15.4":    {day(2023, time.December, 31), day(2026, time.December, 31)},
		"sles 15.5":    {day(2024, time.December, 31), day(2027, time.December, 31)},
		"sles 15.6":    {day(2025, time.December, 31), day(2028, time.December, 31)},
		"sles 15.7":    {day(2031, time.July, 31), day(2034, time.July, 31)},
		"sles 16.0":    {day(2027, time.November, 30), day(2030, time.November, 30)},
	}
}

// systemEnd returns how long a release of an operating system is supported; false when
// it is not in the list.
func systemEnd(id, version string) (endOfSystem, bool) {
	switch id {
	case "rhel", "rocky", "almalinux", "centos", "ol", "debian":
		version, _, _ = strings.Cut(version, ".") // support goes by the major release
	}
	end, listed := systemEnds()[id+" "+version]
	return end, listed
}
