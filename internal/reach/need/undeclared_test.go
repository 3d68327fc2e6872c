package need

import (
	"math/rand"
	"net/netip"
	"testing"

	"github.com/gabion-k8s/gabion/internal/reach/cidr"
	"github.com/gabion-k8s/gabion/internal/reach/netpol"
	"github.com/gabion-k8s/gabion/internal/reach/ports"
)

// What is left of rectangles after taking others away is just the points that are in none
// of those, each in one of them.
func TestRectangles(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	const size = 8
	address := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}) }
	some := func() rectangle {
		lo, first := random.Intn(size), 1+random.Intn(size)
		return rectangle{
			cidr.Range(address(lo), address(lo+random.Intn(size-lo))),
			ports.Of(ports.TCP, uint16(first), uint16(first+random.Intn(size+1-first))),
		}
	}
	for range 2000 {
		whole, taken := some(), []rectangle{some(), some(), some()}
		left := []rectangle{whole}
		for _, r := range taken {
			var next []rectangle
			for _, l := range left {
				next = append(next, l.minus(r)...)
			}
			left = next
		}
		holds := func(list []rectangle, a, p int) (n int) {
			for _, r := range list {
				if r.addresses.Contains(address(a)) && r.ports.Contains(ports.TCP, uint16(p)) {
					n++
				}
			}
			return n
		}
		for a := range size {
			for p := 1; p <= size; p++ {
				want := 0
				if holds([]rectangle{whole}, a, p) == 1 && holds(taken, a, p) == 0 {
					want = 1
				}
				if got := holds(left, a, p); got != want {
					t.Fatalf("%v without %v: %d of %s port %d, want %d", whole, taken, got, address(a), p, want)
				}
			}
		}
	}
}

// Only an expression that demands both their namespace and their label means none but
// the name servers.
func TestDemandsNameServers(t *testing.T) {
	label := func(of netpol.Owner, key string, values ...string) netpol.Expr {
		return netpol.Label{Of: of, Key: key, Op: netpol.In, Values: values}
	}
	pod, space := netpol.Is{Kind: netpol.OfPod}, label(netpol.Namespace, "kubernetes.io/metadata.name", "kube-system")
	dns := label(netpol.Pod, "k8s-app", "kube-dns")
	for _, test := range []struct {
		x    netpol.Expr
		want bool
	}{
		{netpol.Every{pod, space, dns}, true},
		{netpol.Every{netpol.Every{pod, netpol.Named{Of: netpol.Namespace, Name: "kube-system"}}, netpol.Every{dns}}, true},
		{netpol.Every{pod, space}, false},
		{netpol.Every{pod, dns}, false},
		{netpol.Every{pod, space, netpol.Not{Of: dns}}, false},
		{netpol.Every{pod, space, label(netpol.Pod, "k8s-app", "kube-dns", "other")}, false},
		{netpol.Every{pod, space, label(netpol.Pod, "app", "")}, false},
		{netpol.Some{netpol.Every{pod, space, dns}, pod}, false},
		{netpol.Everyone(), false},
	} {
		if got := demandsNameServers(test.x); got != test.want {
			t.Errorf("%+v: %v, want %v", test.x, got, test.want)
		}
	}
}

// The bound of an expression is never narrower than what it means.
func TestWithin(t *testing.T) {
	parse := func(text string) cidr.Set {
		set, err := cidr.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	ten, inner := netpol.Address{In: parse("10.0.0.0/8")}, netpol.Address{In: parse("10.1.0.0/16")}
	world := netpol.Is{Kind: netpol.OfWorld}
	for _, test := range []struct {
		x    netpol.Expr
		want string // "" for no bound
	}{
		{ten, "10.0.0.0/8"},
		{netpol.Every{world, ten}, "10.0.0.0/8"},
		{netpol.Every{ten, inner}, "10.1.0.0/16"},
		{netpol.Every{inner, netpol.Not{Of: netpol.Address{In: parse("10.1.0.0/17")}}}, "10.1.128.0/17"},
		{netpol.Unknown{Within: netpol.Every{world, ten}, Why: "x"}, "10.0.0.0/8"},
		{netpol.Some{ten, inner}, "10.0.0.0/8"},
		{netpol.Some{ten, world}, ""},
		{netpol.Not{Of: ten}, ""},
		{world, ""},
		{netpol.Everyone(), ""},
		{netpol.Nobody(), ""},
	} {
		set, ok := within(test.x)
		if ok != (test.want != "") || ok && set.String() != test.want {
			t.Errorf("%+v: %s %v, want %q", test.x, set, ok, test.want)
		}
	}
}
