package cidr_test

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/reach/cidr"
)

// small are blocks of 16 addresses, at the ends of both families and elsewhere, in which
// sets can be compared address by address.
var small = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/28"), netip.MustParsePrefix("192.0.2.16/28"), netip.MustParsePrefix("255.255.255.240/28"),
	netip.MustParsePrefix("::/124"), netip.MustParsePrefix("2001:db8::10/124"), netip.MustParsePrefix("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0/124"),
}

func universe() (list []netip.Addr) {
	for _, p := range small {
		a := p.Addr()
		for range 16 {
			list = append(list, a)
			a = a.Next()
		}
	}
	return list
}

type choice struct{ *rand.Rand }

// prefix is a block within the small ones, or one of those around them.
func (c choice) prefix() netip.Prefix {
	p := small[c.IntN(len(small))]
	addresses := universe()
	a := addresses[c.IntN(len(addresses))]
	for !p.Contains(a) {
		a = addresses[c.IntN(len(addresses))]
	}
	if c.IntN(8) == 0 {
		return netip.PrefixFrom(a, c.IntN(a.BitLen()+1))
	}
	return netip.PrefixFrom(a, a.BitLen()-c.IntN(5))
}

func (c choice) set() (set cidr.Set, in map[netip.Addr]bool) {
	in = map[netip.Addr]bool{}
	var prefixes []netip.Prefix
	for range c.IntN(5) {
		p := c.prefix()
		prefixes = append(prefixes, p)
		for _, a := range universe() {
			in[a] = in[a] || p.Masked().Contains(a)
		}
	}
	return cidr.Of(prefixes...), in
}

func TestArithmetic(t *testing.T) {
	c := choice{rand.New(rand.NewPCG(1, 1))}
	for range 3_000 {
		a, inA := c.set()
		b, inB := c.set()
		for _, at := range universe() {
			for what, is := range map[string][2]bool{
				"union":        {a.Union(b).Contains(at), inA[at] || inB[at]},
				"of several":   {cidr.Unite(b, a, b).Contains(at), inA[at] || inB[at]},
				"intersection": {a.Intersect(b).Contains(at), inA[at] && inB[at]},
				"difference":   {a.Minus(b).Contains(at), inA[at] && !inB[at]},
				"complement":   {cidr.All().Minus(a).Contains(at), !inA[at]},
				"prefixes":     {cidr.Of(a.Prefixes()...).Contains(at), inA[at]},
			} {
				if is[0] != is[1] {
					t.Fatalf("%s of %v and %v: %v is there: %v", what, a, b, at, is[0])
				}
			}
		}
		if a.Overlaps(b) == a.Intersect(b).Empty() || a.Covers(b) != b.Minus(a).Empty() || (a.Key() == b.Key()) != a.Equal(b) {
			t.Fatalf("%v and %v: overlap %v, covers %v, equal %v", a, b, a.Overlaps(b), a.Covers(b), a.Equal(b))
		}
		if p := c.prefix(); a.OverlapsPrefix(p) != a.Overlaps(cidr.Of(p)) {
			t.Fatalf("%v and %v: overlap %v", a, p, a.OverlapsPrefix(p))
		}
		count := 0
		for _, is := range inA {
			if is {
				count++
			}
		}
		if one, single := a.Single(); single != (count == 1 && len(a.Prefixes()) == 1 && a.Prefixes()[0].IsSingleIP()) || single && one != a.Any() {
			t.Fatalf("%v is one address: %v, %v", a, one, single)
		}
		if !a.Minus(b).Union(a.Intersect(b)).Equal(a) {
			t.Fatalf("%v cut along %v", a, b)
		}
	}
}

// The prefixes of a set hold exactly the set, and none of them can be joined with
// another, or left out.
func TestPrefixes(t *testing.T) {
	c := choice{rand.New(rand.NewPCG(2, 2))}
	for range 3_000 {
		a, _ := c.set()
		list := a.Prefixes()
		if !cidr.Of(list...).Equal(a) {
			t.Fatalf("%v has the prefixes %v", a, list)
		}
		for i, p := range list {
			if p != p.Masked() {
				t.Fatalf("%v has host bits", p)
			}
			if p.Bits() > 0 && a.Covers(cidr.Of(netip.PrefixFrom(p.Addr(), p.Bits()-1))) {
				t.Fatalf("%v: %v could be wider", a, p)
			}
			for _, q := range list[:i] {
				if p.Overlaps(q) {
					t.Fatalf("%v: %v and %v overlap", a, p, q)
				}
			}
		}
	}
}

// Each atom lies wholly in or wholly out of every set, no two lie in the same ones,
// and together they are all addresses, once.
func TestAtoms(t *testing.T) {
	c := choice{rand.New(rand.NewPCG(3, 3))}
	for range 1_000 {
		var sets []cidr.Set
		for range c.IntN(6) {
			s, _ := c.set()
			sets = append(sets, s)
		}
		var all cidr.Set
		seen := map[string]bool{}
		for _, atom := range cidr.Atoms(sets) {
			first := atom.Any()
			place := []string{"IPv6"}
			if first.Is4() {
				place[0] = "IPv4"
			}
			for i, s := range sets {
				if s.Overlaps(atom) != s.Covers(atom) {
					t.Fatalf("%v is partly in %v", atom, s)
				}
				if s.Covers(atom) {
					place = append(place, string(rune('0'+i)))
				}
			}
			key := strings.Join(place, " ")
			if atom.Empty() || seen[key] || all.Overlaps(atom) || atom.Overlaps(cidr.IPv4()) && atom.Overlaps(cidr.IPv6()) {
				t.Fatalf("%v: atom %v (%s)", sets, atom, key)
			}
			seen[key] = true
			all = all.Union(atom)
		}
		if !all.Equal(cidr.All()) {
			t.Fatalf("the atoms of %v are not everything", sets)
		}
	}
}

// Very many sets are cut too: the work grows with their edges, not with their pairs.
func TestManyAtoms(t *testing.T) {
	var sets []cidr.Set
	for i := range 10_000 {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0})
		sets = append(sets, cidr.Of(netip.PrefixFrom(a, 24)), cidr.Of(netip.PrefixFrom(a, 16)))
	}
	atoms := cidr.Atoms(sets)
	if len(atoms) != 10_000+1+2 { // the rest of the last /16, and of both families
		t.Errorf("%d atoms", len(atoms))
	}
}

func TestParse(t *testing.T) {
	for _, test := range []struct {
		in   string
		want string // "" for an error
	}{
		{"10.0.0.1", "10.0.0.1"},
		{"10.0.0.1/8", "10.0.0.0/8"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"::/0", "::/0"},
		{"0.0.0.0/0 ::/0", "0.0.0.0/0, ::/0"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"::ffff:192.0.2.1/120", "192.0.2.0/24"},
		{"fe80::1%eth0", "fe80::1"},
		{"255.255.255.255 ::", "255.255.255.255, ::"},
		{"10.0.0.0/9 10.128.0.0/9", "10.0.0.0/8"},
		{"10.0.0.0/33", ""},
		{"10.0.0", ""},
		{"10.0.0.1/", ""},
	} {
		set, err := cidr.Parse(strings.Fields(test.in)...)
		if got := set.String(); got != test.want || (err != nil) != (test.want == "") {
			t.Errorf("%s is %q, %v; want %q", test.in, got, err, test.want)
		}
	}
}

func TestRange(t *testing.T) {
	at := netip.MustParseAddr
	for _, test := range []struct{ lo, hi, want string }{
		{"10.0.0.1", "10.0.0.6", "10.0.0.1, 10.0.0.2/31, 10.0.0.4/31, 10.0.0.6"},
		{"0.0.0.0", "255.255.255.255", "0.0.0.0/0"},
		{"::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
		{"10.0.0.2", "10.0.0.1", ""},
		{"10.0.0.2", "::1", ""},
	} {
		set := cidr.Range(at(test.lo), at(test.hi))
		if got := set.String(); test.want != "" && got != test.want || test.want == "" && test.lo != "::1" && !set.Empty() {
			t.Errorf("%s to %s is %s, want %s", test.lo, test.hi, got, test.want)
		}
	}
	if got := len(cidr.Range(at("::1"), at("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")).Prefixes()); got != 128 {
		t.Errorf("all but one IPv6 address: %d prefixes", got)
	}
}

// FuzzParse reads any text, and what it reads is what it writes.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"10.0.0.0/8", "::/0", "::ffff:1.2.3.4/97", "::ffff:0:0/90", "fe80::1%eth0", "1.2.3.4/0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, err := cidr.Parse(text)
		if err != nil {
			return
		}
		again, err := cidr.Parse(strings.Split(set.String(), ", ")...)
		if err != nil || !again.Equal(set) || set.Empty() {
			t.Errorf("%q is %v, and that is %v (%v)", text, set, again, err)
		}
	})
}
