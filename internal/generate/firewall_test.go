package generate

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, s := range texts {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

func someFirewall() Firewall {
	return Firewall{
		Role: ControlPlane, ControlPlane: prefixes("10.0.0.0/28", "fd00::/64"), Nodes: prefixes("10.0.1.0/24", "fd00:1::/64"),
		Admin: prefixes("192.0.2.1/32", "2001:db8::1/128"), NodePortSources: prefixes("0.0.0.0/0"), DefaultDrop: true,
	}
}

// The proof is worth something: a ruleset that lacks any one rule does not pass,
// but for those that it does not ask about, and those that another rule repeats.
func TestProof(t *testing.T) {
	tried := 0
	for _, drop := range []bool{false, true} {
		o := someFirewall()
		o.DefaultDrop = drop
		whole := o.table()
		if err := o.prove(whole); err != nil {
			t.Fatal(err)
		}
		for i, c := range whole.chains {
			for j, r := range c.rules {
				text := ""
				for _, e := range r.expr {
					text += e.text + " "
				}
				notAsked := slices.ContainsFunc([]string{"ct state", "iifname", "icmp", "dport 546"}, func(s string) bool { return strings.Contains(text, s) })
				repeated := r.verdict == "drop" && (drop || strings.Contains(text, "30000"))
				if r.heading != "" || notAsked || repeated {
					continue
				}
				less := nftTable{slices.Clone(whole.chains)}
				less.chains[i].rules = slices.Delete(slices.Clone(c.rules), j, j+1)
				tried++
				if o.prove(less) == nil {
					t.Errorf("without %q %s in %s the proof holds", text, r.verdict, c.name)
				}
			}
		}
	}
	if tried < 30 {
		t.Errorf("only %d rules were taken away", tried)
	}
}

func TestFirewallText(t *testing.T) {
	text, err := someFirewall().Ruleset()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"CP-04", "ETCD-01", "WRK-02", "To put it in place", "table inet gabion\ndelete table inet gabion\ntable inet gabion {",
		"type filter hook input priority filter; policy drop;", "type filter hook prerouting priority mangle; policy accept;",
		"ip saddr { 10.0.0.0/28 } tcp dport 2379-2380 accept", "ip6 saddr { fd00::/64 } tcp dport 2379-2380 accept", "tcp dport 2379-2380 drop",
		"ip saddr { 192.0.2.1 } tcp dport 22 accept", "ip6 saddr { 2001:db8::1 } tcp dport 22 accept", "nd-neighbor-solicit",
		"meta nfproto ipv4 tcp dport 30000-32767 accept", "fib daddr type local udp dport 30000-32767 drop",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "%!") {
		t.Error(text)
	}
	for name, change := range map[string]func(*Firewall){
		"no role":          func(o *Firewall) { o.Role = "" },
		"no control plane": func(o *Firewall) { o.ControlPlane = nil },
		"no nodes":         func(o *Firewall) { o.Nodes = nil },
		"no administrator": func(o *Firewall) { o.Admin = nil },
		"not the first":    func(o *Firewall) { o.Nodes = prefixes("10.0.0.1/8") },
		"mapped": func(o *Firewall) {
			o.Nodes = []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr("::ffff:10.0.0.0"), 104)}
		},
		"not a range at all": func(o *Firewall) { o.Pods = []netip.Prefix{{}} },
	} {
		o := someFirewall()
		change(&o)
		if _, err := o.Ruleset(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestCanonical(t *testing.T) {
	for _, test := range []struct{ in, want []string }{
		{nil, nil},
		{[]string{"10.1.0.0/16", "10.0.0.0/8", "10.0.0.0/8"}, []string{"10.0.0.0/8"}},
		{[]string{"10.0.0.128/25", "10.0.0.0/25", "10.0.1.0/24"}, []string{"10.0.0.0/23"}},
		{[]string{"10.0.1.0/24", "10.0.2.0/24"}, []string{"10.0.1.0/24", "10.0.2.0/24"}},
		{[]string{"::/0", "0.0.0.0/0", "fd00::/8"}, []string{"0.0.0.0/0", "::/0"}},
		{[]string{"0.0.0.0/1", "128.0.0.0/1", "8000::/1", "::/1"}, []string{"0.0.0.0/0", "::/0"}},
	} {
		if diff := cmp.Diff(prefixes(test.want...), canonical(prefixes(test.in...)), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("%v: -want +got\n%s", test.in, diff)
		}
	}
}

// Whatever the addresses, the rules can be proven.
func TestFirewallProperty(t *testing.T) {
	prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		if rapid.Bool().Draw(t, "v4") {
			b := rapid.Uint32().Draw(t, "address")
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(b >> 16 & 3), byte(b >> 8), byte(b)}), rapid.IntRange(0, 32).Draw(t, "bits")).Masked()
		}
		b := rapid.Uint16().Draw(t, "address")
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 7: byte(b >> 8 & 3), 15: byte(b)}), rapid.IntRange(0, 128).Draw(t, "bits")).Masked()
	})
	some := rapid.SliceOfN(prefix, 1, 4)
	any := rapid.SliceOfN(prefix, 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		o := Firewall{
			Role: rapid.SampledFrom(Roles()).Draw(t, "role"), DefaultDrop: rapid.Bool().Draw(t, "drop"),
			ControlPlane: some.Draw(t, "control plane"), Nodes: some.Draw(t, "nodes"), Admin: some.Draw(t, "admin"),
			Etcd: any.Draw(t, "etcd"), Pods: any.Draw(t, "pods"), APIClients: any.Draw(t, "api"), KubeletClients: any.Draw(t, "kubelet"), NodePortSources: any.Draw(t, "node ports"),
		}
		if _, err := o.Ruleset(); err != nil {
			t.Fatal(err)
		}
	})
}
