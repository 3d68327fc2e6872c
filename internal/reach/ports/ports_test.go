package ports_test

import (
	"math/rand/v2"
	"testing"

	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// numbers are ports at which something may go wrong, and some between.
var numbers = []uint16{0, 1, 2, 79, 80, 81, 443, 65534, 65535}

type port struct {
	ports.Protocol
	number uint16
}

func all() (list []port) {
	for _, p := range ports.Protocols() {
		for _, n := range numbers {
			if n > 0 {
				list = append(list, port{p, n})
			}
		}
	}
	return list
}

func random(r *rand.Rand) (set ports.Set, in map[port]bool) {
	in = map[port]bool{}
	for range r.IntN(5) {
		protocol := ports.Protocols()[r.IntN(len(ports.Protocols()))]
		lo, hi := numbers[r.IntN(len(numbers))], numbers[r.IntN(len(numbers))]
		set = set.Union(ports.Of(protocol, lo, hi))
		for _, p := range all() {
			if p.Protocol == protocol && (!protocol.HasPorts() || lo <= p.number && p.number <= hi) {
				in[p] = true
			}
		}
	}
	return set, in
}

func TestArithmetic(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	keys := map[string]ports.Set{}
	for range 3_000 {
		a, inA := random(r)
		b, inB := random(r)
		for _, p := range all() {
			for what, is := range map[string][2]bool{
				"union":        {a.Union(b).Contains(p.Protocol, p.number), inA[p] || inB[p]},
				"intersection": {a.Intersect(b).Contains(p.Protocol, p.number), inA[p] && inB[p]},
				"difference":   {a.Minus(b).Contains(p.Protocol, p.number), inA[p] && !inB[p]},
				"complement":   {ports.All().Minus(a).Contains(p.Protocol, p.number), !inA[p]},
			} {
				if is[0] != is[1] {
					t.Fatalf("%s of %v and %v: %v %d is there: %v", what, a, b, p.Protocol, p.number, is[0])
				}
			}
		}
		if !ports.All().Covers(a) || a.Covers(b) != b.Minus(a).Empty() {
			t.Fatalf("%v covers %v: %v", a, b, a.Covers(b))
		}
		if same, known := keys[a.Key()]; known && !same.Equal(a) || (a.Key() == b.Key()) != a.Equal(b) {
			t.Fatalf("key of %v", a)
		}
		keys[a.Key()] = a
	}
}

// The ranges of a set are its ports, each of one protocol.
func TestRanges(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 2_000 {
		a, _ := random(r)
		var again ports.Set
		for _, x := range a.Ranges() {
			part := ports.Of(x.Protocol, x.First, x.Last)
			if part.Empty() || !again.Intersect(part).Empty() {
				t.Fatalf("%v has the range %v", a, x)
			}
			if x.Whole() != part.Equal(ports.Every(x.Protocol)) {
				t.Fatalf("%v is all of its protocol: %v", x, x.Whole())
			}
			again = again.Union(part)
		}
		if !again.Equal(a) {
			t.Fatalf("%v is not %v", again, a)
		}
	}
}

func TestString(t *testing.T) {
	for _, test := range []struct {
		set  ports.Set
		want string
	}{
		{ports.Set{}, "none"},
		{ports.All(), "all"},
		{ports.Of(ports.TCP, 0, 0), "none"},
		{ports.Of(ports.TCP, 0, 65535), "TCP"},
		{ports.Of(ports.TCP, 81, 80), "none"},
		{ports.Of(ports.ICMP, 81, 80), "ICMP"},
		{ports.Of(ports.UDP, 53, 53).Union(ports.Of(ports.TCP, 80, 80)).Union(ports.Of(ports.TCP, 443, 450)), "TCP 80,443-450, UDP 53"},
		{ports.Of(ports.TCP, 80, 80).Union(ports.Of(ports.TCP, 81, 81)), "TCP 80-81"},
		{ports.Every(ports.TCP).Union(ports.Every(ports.UDP)), "TCP, UDP"},
		{ports.All().Minus(ports.Every(ports.TCP)), "UDP, SCTP, ICMP, ICMPv6, other protocols"},
	} {
		if got := test.set.String(); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}
