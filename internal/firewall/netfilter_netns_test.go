//go:build netns

package firewall_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/gabion-k8s/gabion/internal/firewall"
	"github.com/gabion-k8s/gabion/internal/source/host/netfilter"
)

// TestRulesOfKernel reads random filters from the kernel without a program, and holds
// the answers against those that the programs' dumps of the same filters give.
func TestRulesOfKernel(t *testing.T) {
	node := newNamespace(t)
	node.run(t, "", "ip", "link", "set", "lo", "up")
	lab := &lab{t: t, node: node}
	same, less := 0, 0
	for seed := range 60 {
		g := &generator{Rand: rand.New(rand.NewPCG(uint64(seed), 41)), unknowns: seed%5 == 0}
		lab.load(g.tables())
		dumped := lab.read()
		var text []byte
		var err error
		node.do(func() { text, err = netfilter.Rules() })
		if err != nil {
			t.Fatal(err)
		}
		read, err := firewall.ParseNft(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, port := range testPorts {
			for _, device := range []string{"eth0", "lo", "wan0"} {
				for _, to := range nodeAddresses {
					p := firewall.Packet{Interface: device, Destination: to, Protocol: firewall.TCP, Port: uint16(port)}
					ours, theirs := read.Sources(p), dumped.Sources(p)
					for _, list := range [][]firewall.Answer{ours, theirs} {
						for _, answer := range list {
							for _, source := range answer.Sources {
								a, b := outcomeAt(ours, source.Addr()), outcomeAt(theirs, source.Addr())
								switch {
								case a == b:
									same++
								case a == firewall.Unknown:
									less++
								case b != firewall.Unknown:
									t.Fatalf("seed %d: %v from %s: %v, and by the dumps %v\n%s\n%s", seed, p, source, a, b, text, lab.inside("nft", "list", "ruleset"))
								}
							}
						}
					}
				}
			}
		}
	}
	t.Logf("%d answers are the same, %d are not known", same, less)
	if less*50 > same {
		t.Errorf("%d of %d answers are not known: more than one in fifty", less, same+less)
	}
}

func outcomeAt(list []firewall.Answer, a netip.Addr) firewall.Outcome {
	for _, answer := range list {
		for _, p := range answer.Sources {
			if p.Contains(a) {
				return answer.Outcome
			}
		}
	}
	return firewall.Unknown
}
