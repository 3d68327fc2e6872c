package firewall_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/gabion-k8s/gabion/internal/firewall"
)

func parse(t *testing.T, tables []*testTable) *firewall.Ruleset {
	t.Helper()
	nft, err := firewall.ParseNft(nftJSON(tables))
	if err != nil {
		t.Fatal(err)
	}
	text4, _ := iptablesSave(tables, "ip")
	v4, err := firewall.ParseIptables([]byte(text4), firewall.IPv4)
	if err != nil {
		t.Fatal(err)
	}
	text6, _ := iptablesSave(tables, "ip6")
	v6, err := firewall.ParseIptables([]byte(text6), firewall.IPv6)
	if err != nil {
		t.Fatal(err)
	}
	return firewall.Join(nft, v4, v6)
}

// samples are addresses at both sides of every border that random rules have.
func samples() (list []netip.Addr) {
	for _, pool := range [][]netip.Prefix{testPrefixes4, testPrefixes6} {
		for _, p := range pool {
			list = append(list, p.Addr())
			if before := p.Addr().Prev(); before.IsValid() {
				list = append(list, before)
			}
			last := lastOf(p)
			list = append(list, last)
			if after := last.Next(); after.IsValid() {
				list = append(list, after)
			}
		}
	}
	return list
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// outcomes runs the plain evaluator with everything that unknown matches may
// say, and every interface.
func outcomes(tables []*testTable, source netip.Addr, port int, ifaces []string) (accepts, drops bool, by int) {
	for _, iface := range ifaces {
		a, d, rule := outcomesOf(tables, testPacket{source, port, iface})
		accepts, drops, by = accepts || a, drops || d, rule
	}
	return accepts, drops, by
}

func outcomesOf(tables []*testTable, p testPacket) (accepts, drops bool, by int) {
	for pattern, longest := 0, 0; pattern < 1<<longest && longest <= 8 || pattern == 0; pattern++ {
		asked := 0
		accepted, rule := evaluate(tables, p, func() bool {
			asked++
			return pattern>>(asked-1)&1 == 1
		})
		accepts, drops, by = accepts || accepted, drops || !accepted, rule
		longest = max(longest, asked)
	}
	return accepts, drops, by
}

func TestRandom(t *testing.T) {
	rounds := 400
	if testing.Short() {
		rounds = 100
	}
	vague := 0
	seen := map[firewall.Outcome]int{}
	for seed := range rounds {
		g := &generator{Rand: rand.New(rand.NewPCG(uint64(seed), 4)), unknowns: seed%3 == 0}
		tables := g.tables()
		rs := parse(t, tables)
		_, lines4 := iptablesSave(tables, "ip")
		_, lines6 := iptablesSave(tables, "ip6")
		for _, port := range testPorts[:2] {
			question := firewall.Packet{Interface: "eth0", Protocol: firewall.TCP, Port: uint16(port)}
			ifaces := []string{"eth0"}
			if seed%6 == 0 {
				question.Interface, ifaces = "", []string{"eth0", "wan0", "other"}
			}
			answers := rs.Sources(question)
			covered(t, answers)
			for _, source := range samples() {
				got := rs.Admits(question, source)
				seen[got.Outcome]++
				if of := answerFor(answers, source); of != got {
					t.Fatalf("seed %d port %d from %s: Admits says %v, Sources %v", seed, port, source, got, of)
				}
				accepts, drops, by := outcomes(tables, source, port, ifaces)
				want := firewall.Unknown
				if !drops {
					want = firewall.Allowed
				} else if !accepts {
					want = firewall.Dropped
				}
				// Where it is not known whether a mark was set, two ways are
				// one afterwards: that may only cost certainty.
				if got.Outcome != want && !(g.unknowns && got.Outcome == firewall.Unknown) {
					t.Fatalf("seed %d port %d from %s: %v, want %v by %d", seed, port, source, got, want, by)
				}
				if got.Outcome != want {
					vague++
				}
				handle := got.Rule.Handle
				if l := got.Rule.Line; l != 0 && source.Is4() {
					handle = lines4[l]
				} else if l != 0 {
					handle = lines6[l]
				}
				if !g.unknowns && handle != by {
					t.Fatalf("seed %d port %d from %s: %v, want rule %d", seed, port, source, got, by)
				}
				if got.Outcome == firewall.Unknown && (got.Why == "" || got.Rule == firewall.Rule{}) {
					t.Fatalf("seed %d: unknown without a reason: %+v", seed, got)
				}
			}
		}
	}
	t.Log(seen, vague, "of them vaguer than need be")
	for _, o := range []firewall.Outcome{firewall.Allowed, firewall.Dropped, firewall.Unknown} {
		if seen[o] < rounds {
			t.Errorf("only %d answers are %v: the rules are not random enough", seen[o], o)
		}
	}
}

func answerFor(answers []firewall.Answer, a netip.Addr) firewall.Verdict {
	for _, answer := range answers {
		for _, p := range answer.Sources {
			if p.Contains(a) {
				return answer.Verdict
			}
		}
	}
	return firewall.Verdict{Why: "in no answer"}
}

// covered checks that every address is in exactly one answer: sizes add up, and
// no two prefixes overlap where one starts.
func covered(t *testing.T, answers []firewall.Answer) {
	t.Helper()
	var four, six float64
	var all []netip.Prefix
	for _, a := range answers {
		for _, p := range a.Sources {
			all = append(all, p)
			size := 1.0
			for range p.Bits() {
				size /= 2
			}
			if p.Addr().Is4() {
				four += size
			} else {
				six += size
			}
		}
	}
	for i, p := range all {
		for _, q := range all[:i] {
			if p.Overlaps(q) {
				t.Fatalf("%s and %s are both in answers", p, q)
			}
		}
	}
	if four != 1 || six < 0.9999999999 || six > 1.0000000001 {
		t.Fatalf("answers are for %g of IPv4 and %g of IPv6", four, six)
	}
}
