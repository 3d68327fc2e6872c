package checks

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// What is left of addresses without others is told address by address.
func TestOutside(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func(base string, width int) netip.Prefix {
		bytes := netip.MustParseAddr(base).AsSlice()
		bytes[len(bytes)-1] = byte(r.IntN(1 << width))
		a, _ := netip.AddrFromSlice(bytes)
		return netip.PrefixFrom(a, a.BitLen()-r.IntN(width+1)).Masked()
	}
	for range 2000 {
		base := []string{"203.0.113.0", "2001:db8::"}[r.IntN(2)]
		var list, expected []netip.Prefix
		for range r.IntN(4) {
			list = append(list, random(base, 6))
		}
		for range r.IntN(4) {
			expected = append(expected, random(base, 6))
		}
		left := outside(list, expected)
		a := netip.MustParseAddr(base)
		for range 1 << 6 {
			in := func(set []netip.Prefix) bool {
				return slices.ContainsFunc(set, func(p netip.Prefix) bool { return p.Contains(a) })
			}
			if want := in(list) && !in(expected); in(left) != want {
				t.Fatalf("%v without %v is %v: %v is there: %v", list, expected, left, a, !want)
			}
			a = a.Next()
		}
	}
}

func TestWide(t *testing.T) {
	for text, want := range map[string]bool{
		"0.0.0.0/0": true, "0.0.0.0/1": true, "8.0.0.0/8": true, "8.0.0.0/9": false, "10.0.0.0/8": false, "10.0.0.0/7": true,
		"127.0.0.0/8": false, "224.0.0.0/4": false, "192.168.0.0/16": false, "203.0.113.0/24": false,
		"::/0": true, "2000::/3": true, "2001::/16": true, "2001:db8::/32": false, "fc00::/7": false, "fe80::/10": false,
	} {
		if got := wide([]netip.Prefix{netip.MustParsePrefix(text)}); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestParseRange(t *testing.T) {
	for text, want := range map[string]portRange{
		"30000-32767": {30000, 32767}, "30000+10": {30000, 30010}, "30000": {30000, 30000}, "1-65535": {1, 65535},
		"": {}, "x": {}, "5-4": {}, "1-70000": {}, "65000+1000": {}, "1-2-3": {}, "1+x": {}, "-5": {},
	} {
		got, ok := parseRange(text)
		if ok != (want != portRange{}) || ok && got != want {
			t.Errorf("%q: %v, %v", text, got, ok)
		}
	}
}
