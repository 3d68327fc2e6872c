package firewall_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gabion-k8s/gabion/internal/firewall"
)

// check asks everything of a filter: no panic, no answer missing, bounded time.
func check(t *testing.T, rs *firewall.Ruleset) {
	t.Helper()
	start := time.Now()
	for _, p := range []firewall.Packet{
		{Interface: "eth0", Protocol: firewall.TCP, Port: 6443},
		{Protocol: firewall.UDP, Port: 53, SourcePort: 1000},
	} {
		covered(t, rs.Sources(p))
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("answered after %v", took)
	}
}

func FuzzParseNft(f *testing.F) {
	for _, test := range nftConstructs {
		f.Add(fmt.Appendf(nil, nftFrame, test.rule))
	}
	f.Add([]byte(guard))
	f.Fuzz(func(t *testing.T, data []byte) {
		if rs, err := firewall.ParseNft(data); err == nil {
			check(t, rs)
		}
	})
}

func FuzzParseIptables(f *testing.F) {
	f.Add([]byte(node), false)
	for _, test := range iptablesConstructs {
		f.Add(fmt.Appendf(nil, "*filter\n:INPUT DROP [0:0]\n:yes - [0:0]\n-A INPUT %s\nCOMMIT\n", test.rule), test.want == "")
	}
	f.Fuzz(func(t *testing.T, data []byte, six bool) {
		family := firewall.IPv4
		if six {
			family = firewall.IPv6
		}
		if rs, err := firewall.ParseIptables(data, family); err == nil {
			check(t, firewall.Join(rs))
		}
	})
}
