//go:build netns

package netfilter_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/gabion-k8s/gabion/internal/firewall"
	"github.com/gabion-k8s/gabion/internal/source/host/netfilter"
)

// inNamespace runs a function on a thread in a network namespace of its own, which ends
// with it.
func inNamespace(t *testing.T, f func(run func(stdin string, args ...string) string)) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("no network namespace here: %w", err)
			return
		}
		f(func(stdin string, args ...string) string {
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Stdin = strings.NewReader(stdin)
			out, err := cmd.Output()
			if err != nil {
				var exit *exec.ExitError
				if errors.As(err, &exit) {
					err = fmt.Errorf("%w: %s", err, exit.Stderr)
				}
				t.Errorf("%v: %v\n%s", args, err, stdin)
			}
			return string(out)
		})
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// packets are those that are asked about.
func packets() (list []firewall.Packet) {
	for _, protocol := range []firewall.Protocol{firewall.TCP, firewall.UDP, firewall.SCTP} {
		for _, port := range []uint16{1, 22, 53, 80, 85, 443, 6443, 8080, 30000} {
			for _, device := range []string{"", "lo", "eth0"} {
				for _, to := range []string{"", "10.0.0.1", "fd00::1"} {
					p := firewall.Packet{Protocol: protocol, Port: port, Interface: device}
					if to != "" {
						p.Destination = netip.MustParseAddr(to)
					}
					list = append(list, p)
				}
			}
		}
	}
	return list
}

// differ holds the answers of two readings of one filter against each other, and counts
// the ranges of sources of which ours, and not the other, knows nothing.
func differ(t *testing.T, what string, ours, theirs *firewall.Ruleset) (known, unknown int) {
	t.Helper()
	for _, p := range packets() {
		a, b := ours.Sources(p), theirs.Sources(p)
		for _, list := range [][]firewall.Answer{a, b} {
			for _, answer := range list {
				for _, prefix := range answer.Sources {
					mine, other := at(a, prefix.Addr()), at(b, prefix.Addr())
					switch {
					case mine.Outcome == other.Outcome:
						known++
					case mine.Outcome == firewall.Unknown:
						unknown++
						t.Logf("%s: %v from %s: %v; nft's: %v", what, p, prefix, mine.Verdict, other.Verdict)
					case other.Outcome == firewall.Unknown: // nft does not print all that iptables loads
						known++
					default:
						t.Errorf("%s: %v from %s: %v; nft's: %v", what, p, prefix, mine.Verdict, other.Verdict)
						return known, unknown
					}
				}
			}
		}
	}
	return known, unknown
}

func at(list []firewall.Answer, a netip.Addr) firewall.Answer {
	for _, answer := range list {
		for _, p := range answer.Sources {
			if p.Contains(a) {
				return answer
			}
		}
	}
	return firewall.Answer{Verdict: firewall.Verdict{Why: "in no answer"}}
}

// frame is around each rule of nft.
const frame = `table inet t {
 set dyn { type ipv4_addr; size 100; flags dynamic; }
 set s4 { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 172.16.0.1-172.16.0.9, 192.168.1.5, 240.0.0.0/4 }; }
 set s6 { type ipv6_addr; flags interval; elements = { fd00::/8, 2001:db8::5-2001:db8::9 }; }
 set plain { type ipv4_addr; elements = { 10.1.2.3, 10.1.2.4 }; }
 set timed { type ipv4_addr; flags timeout; elements = { 10.1.2.3 timeout 1h }; }
 set marks { type mark; flags interval; elements = { 0-5, 9 }; }
 set ports { type inet_service; flags interval; elements = { 22, 80-90, 30000-65535 }; }
 set ifs { type ifname; elements = { "lo", "eth0" }; }
 set cc { type ipv4_addr . inet_service; flags interval; elements = { 10.1.0.0/16 . 6440-6450, 10.2.0.1 . 443 }; }
 set c6 { type ifname . ipv6_addr . inet_service; elements = { "eth0" . fd00::7 . 22 }; }
 set limited { type ipv4_addr; limit rate 1/second; elements = { 10.1.2.3 }; }
 map vm { type inet_service : verdict; flags interval; elements = { 22 : accept, 6000-7000 : jump no1, 80-90 : drop }; }
 map to { type ipv4_addr : mark; elements = { 10.1.2.3 : 0x5 }; }
 limit over1 { rate over 5/second; }
 limit under1 { rate 5/second; }
 chain yes1 { accept; }
 chain no1 { drop; }
 chain inn { type filter hook input priority 0; policy %s;
  %s
 }
}`

// As nft reads them; each accepts, or drops, unless it says otherwise.
var nftRules = []string{
	"", "ip saddr 10.0.0.0/8", "ip saddr 10.0.0.0/12", "ip saddr != 10.1.0.0/16", "ip saddr != 10.0.0.0/13", "ip saddr 10.1.2.3", "ip saddr 10.1.2.3 ip daddr 10.0.0.1",
	"ip saddr 10.1.2.3 ip daddr 10.0.0.0/8 tcp sport 5 tcp dport 22", "ip saddr 10.1.2.3-10.1.2.77", "ip saddr != 10.1.2.3-10.1.2.77", "ip saddr > 10.0.0.0",
	"ip6 saddr fd00::/8 tcp dport 1-100", "ip6 saddr fd00::/13", "ip6 saddr { fd00::/16, 2001:db8::1-2001:db8::99 }", "ip6 saddr @s6", "ip6 saddr != @s6", "ip6 daddr fd00::1",
	"tcp dport 22", "tcp dport != 22", "udp dport 53", "sctp dport 80", "tcp dport != 1-100", "tcp dport { 22, 80-90 }", "tcp dport != { 22, 80-90 }", "tcp dport @ports", "tcp dport >= 80", "tcp dport < 80",
	"tcp dport vmap @vm", "tcp dport vmap { 22 : accept, 80-90 : goto yes1, * : drop }", "tcp dport vmap { 22 : jump no1, 80 : return }", "tcp sport 1-65535", "tcp sport 1024-65535",
	"ip saddr vmap { 10.0.0.0/8 : jump yes1, 11.0.0.0-12.0.0.9 : drop }", "ip saddr . tcp dport vmap { 10.1.2.3 . 22 : accept, 10.1.0.0/24 . 80-90 : drop }",
	"meta mark @marks", "meta mark 0-10", "meta mark 1-10", "meta mark 0", "meta mark != 0", "meta mark & 3 == 1", "meta mark set 7 meta mark & 3 == 3", "meta mark set meta mark & 0xff ^ 0x11 meta mark 0x11",
	"meta mark set meta mark | 0x10 meta mark and 0x10 == 0x10", "meta mark set ip saddr map @to meta mark 5", "ct mark set 5 meta mark set ct mark meta mark 5", "meta mark set jhash ip saddr mod 2 meta mark 1",
	"iif lo", "iif != lo", `iifname { "eth*", lo }`, `iifname "eth*"`, `iifname "eth0"`, `iifname != "eth0"`, `iifname @ifs`, `oifname "eth0"`, `iifname . tcp dport { "eth0" . 22, "lo" . 80 }`, "iifname . ip6 saddr . tcp dport @c6",
	"ct state established,related", "ct state new", "ct state != new", "ct state { new, untracked }", "ct state vmap { established : accept, invalid : drop, new : jump yes1 }", "ct state invalid", "ct status dnat", "ct direction original",
	"ct original ip saddr 10.0.0.0/8", "tcp dport 1-100 ct original proto-dst 22", "ct reply ip saddr 10.0.0.1", "ct mark 0", "ct state new tcp dport 22 ct state new", "ct count over 5", "ct count 5", "ct helper \"ftp\"", "ct zone 0",
	"tcp flags & (fin|syn|rst|ack) == syn", "tcp flags syn", "tcp flags & (fin|syn) == 0", "tcp flags & (syn|ack) != syn", "tcp option maxseg size 1-500", "exthdr hbh exists", "rt type 0",
	"fib daddr type local", "fib daddr type { local, broadcast }", "fib daddr type != local", "fib saddr . iif oif missing", "fib saddr . iif oif exists", "fib saddr . iif oif lo", "fib saddr type local", "fib daddr . iif type local",
	"ip saddr . tcp dport @cc", "ip saddr . tcp dport != @cc", "ip saddr . tcp dport { 10.1.2.3 . 80, 10.1.0.0/24 . 6000-7000 }", "meta l4proto . th dport { tcp . 22, udp . 53 }", "meta l4proto { tcp, udp } th dport 53", "meta l4proto tcp", "meta l4proto != tcp",
	"ip protocol tcp", "ip6 nexthdr udp", "ip protocol { tcp, udp } th dport 22", "meta nfproto ipv4", "meta nfproto != ipv4", "meta nfproto { ipv4, ipv6 }", "meta protocol ip", "meta protocol ip6 tcp dport 22",
	"limit name \"over1\"", "limit name \"under1\"", "limit rate 5/second", "limit rate over 5/second", "limit rate 5 mbytes/second", "quota 5 mbytes", "add @dyn { ip saddr limit rate over 5/second }",
	"ip saddr @dyn", "ip saddr @plain", "ip saddr @s4", "ip saddr != @s4", "ip saddr @timed", "ip saddr @limited", "icmp type echo-request", "icmpv6 type { nd-neighbor-solicit, nd-router-advert }", "ip ttl 5", "ip frag-off & 0x1fff != 0", "ip dscp 5", "@th,16,16 22", "@nh,96,32 0x0a010203",
	"meta skuid 0", "meta pkttype broadcast", "meta pkttype host", "meta cpu 0", "meta length 5-100", "socket transparent 1", "numgen random mod 2 0", "osf name \"Linux\"", "meta hour \"08:00\"-\"09:00\"", "meta day \"Monday\"", "ip saddr 10.1.2.3 meta nftrace set 1", "log prefix \"x \" counter", "ip dscp set 5", "udp length 9", "ether type ip", "ip saddr & 0.255.0.0 == 0.1.0.0", "meta priority set 5", "tcp option maxseg size set 1200",
}

var nftVerdicts = []string{"reject with tcp reset", "reject", "drop", "accept", "return", "jump yes1", "goto no1", "continue", "tcp dport 22 accept; udp dport 53 drop", "queue num 1", "ip protocol tcp reject with icmp port-unreachable"}

// TestShapes loads each rule alone and holds what is read against what nft lists.
func TestShapes(t *testing.T) {
	var known, unknown int
	inNamespace(t, func(run func(string, ...string) string) {
		run("", "ip", "link", "set", "lo", "up")
		for i, rule := range append(nftRules, nftVerdicts...) {
			policy, end := "drop", " accept"
			if i%2 == 1 {
				policy, end = "accept", " drop"
			}
			if i >= len(nftRules) || strings.Contains(rule, "vmap") {
				end = ""
			}
			cmd := exec.Command("nft", "-f", "-")
			cmd.Stdin = strings.NewReader("flush ruleset\n" + fmt.Sprintf(frame, policy, rule+end))
			if out, err := cmd.CombinedOutput(); err != nil {
				first, _, _ := strings.Cut(string(out), "\n")
				t.Logf("%s: not loaded: %s", rule, first)
				continue
			}
			k, u := read(t, rule, run)
			known, unknown = known+k, unknown+u
		}
	})
	bounded(t, known, unknown)
}

// bounded reports that too much is not known.
func bounded(t *testing.T, known, unknown int) {
	t.Helper()
	t.Logf("%d answers are the same, %d are not known", known, unknown)
	if unknown*50 > known {
		t.Errorf("%d of %d answers are not known: more than one in fifty", unknown, known+unknown)
	}
}

func read(t *testing.T, what string, run func(string, ...string) string) (known, unknown int) {
	text, err := netfilter.Rules()
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return 0, 0
	}
	ours, err := firewall.ParseNft(text)
	if err != nil {
		t.Errorf("%s: %v\n%s", what, err, text)
		return 0, 0
	}
	listed, err := firewall.ParseNft([]byte(run("", "nft", "-j", "list", "ruleset")))
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return 0, 0
	}
	return differ(t, what, ours, listed)
}

// Each is for iptables, ip6tables or both.
var iptablesRules = []string{
	"-p tcp -m tcp --dport 22", "-p tcp -m tcp ! --dport 22", "-p tcp -m tcp --dport 22:90", "-p tcp -m tcp --sport 1024:65535 --dport 22", "-p tcp --syn", "-p tcp -m tcp ! --tcp-flags SYN,ACK SYN", "-p udp -m udp --dport 53", "-p udp -m udp ! --dport 50:60", "! -p tcp", "-p sctp -m sctp --dport 80",
	"-p tcp -m multiport --dports 22,80:90,443", "-p tcp -m multiport ! --dports 22,80:90,443", "-p udp -m multiport --dports 53,1", "-p tcp -m multiport --ports 22,80:90", "-p tcp -m multiport --sports 22,80:90",
	"-m conntrack --ctstate RELATED,ESTABLISHED", "-m conntrack --ctstate NEW", "-m conntrack ! --ctstate NEW", "-m conntrack --ctstate UNTRACKED,INVALID", "-m conntrack --ctstate DNAT", "-m conntrack --ctstate NEW,DNAT", "-m conntrack --ctorigdstport 22 --ctstate NEW", "-m state --state NEW",
	"-m addrtype --dst-type LOCAL", "-m addrtype ! --dst-type LOCAL", "-m addrtype --dst-type BROADCAST,MULTICAST", "-m addrtype --src-type LOCAL", "-m addrtype --dst-type LOCAL --limit-iface-in",
	"-m mark --mark 1/3", "-m mark ! --mark 1/3", "-m mark --mark 0x0", "-m comment --comment hello", "-i eth+", "-i eth0", "! -i lo", "-o eth0", "-m limit --limit 5/sec", "-m hashlimit --hashlimit-above 5/sec --hashlimit-name a", "-m hashlimit --hashlimit-upto 5/sec --hashlimit-name b",
	"-m iprange --src-range %[2]s", "-m pkttype --pkt-type broadcast", "-m cpu --cpu 0", "-m statistic --mode random --probability 0.5", "-m owner --uid-owner 0", "-m length --length 5:100", "-m connlimit --connlimit-above 3", "-m recent --set", "-m time --timestart 08:00",
	"-s %[1]s", "! -s %[1]s", "-s %[1]s -p tcp -m tcp --dport 80", "-d %[1]s", "-m physdev --physdev-is-bridged", "-m rpfilter", "-m connmark --mark 0", "-m u32 --u32 0>>22=1",
}

var iptablesTargets = []string{"ACCEPT", "DROP", "REJECT", "LOG", "RETURN", "MARK --set-xmark 4/0xff", "NFLOG", "NFQUEUE", "CONNMARK --save-mark", "user"}

// TestIptables does the same with rules that iptables loads, of whose matches nft lists
// only the names, and asks iptables-save too.
func TestIptables(t *testing.T) {
	var known, unknown int
	var lost []string
	inNamespace(t, func(run func(string, ...string) string) {
		for i, rule := range append(iptablesRules, iptablesTargets...) {
			six := i%2 == 1
			program, family, source, from := "iptables", firewall.IPv4, "10.0.0.0/12", "10.0.0.5-10.0.0.9"
			if six {
				program, family, source, from = "ip6tables", firewall.IPv6, "fd00::/13", "fd00::5-fd00::9"
			}
			rule = strings.NewReplacer("%[1]s", source, "%[2]s", from).Replace(rule)
			text := "*filter\n:INPUT DROP [0:0]\n:user - [0:0]\n-A INPUT " + rule + " -j ACCEPT\n-A user -s " + source + " -j ACCEPT\nCOMMIT\n"
			if i >= len(iptablesRules) {
				text = "*filter\n:INPUT ACCEPT [0:0]\n:user - [0:0]\n-A INPUT -j " + rule + "\n-A INPUT -m mark --mark 4/4 -j DROP\n-A user -s " + source + " -j DROP\nCOMMIT\n"
			}
			run("flush ruleset", "nft", "-f", "-")
			cmd := exec.Command(program + "-nft-restore")
			cmd.Stdin = strings.NewReader(text)
			if out, err := cmd.CombinedOutput(); err != nil {
				first, _, _ := strings.Cut(string(out), "\n")
				t.Logf("%s: not loaded: %s", rule, first)
				continue
			}
			k, u := read(t, rule, run)
			known, unknown = known+k, unknown+u
			saved, err := firewall.ParseIptables([]byte(run("", program+"-nft-save")), family)
			if err != nil {
				t.Error(err)
				continue
			}
			ours, err := netfilter.Rules()
			if err != nil {
				t.Error(err)
				continue
			}
			mine, err := firewall.ParseNft(ours)
			if err != nil {
				t.Error(err)
				continue
			}
			if n := compareFamily(t, program+" "+rule, mine, saved, six); n > 0 {
				t.Logf("%s: not known, though iptables-save tells", rule)
				lost = append(lost, rule)
			}
		}
	})
	bounded(t, known, unknown)
	if len(lost) > 4 {
		t.Errorf("%d rules are not understood that iptables-save tells: %q", len(lost), lost)
	}
}

// compareFamily holds answers for one family against those of iptables-save.
func compareFamily(t *testing.T, what string, ours, saved *firewall.Ruleset, six bool) (unknown int) {
	t.Helper()
	for _, p := range packets() {
		if !p.Destination.IsValid() || p.Destination.Is6() != six {
			continue
		}
		a, b := ours.Sources(p), saved.Sources(p)
		for _, answer := range append(append([]firewall.Answer{}, a...), b...) {
			for _, prefix := range answer.Sources {
				mine, other := at(a, prefix.Addr()), at(b, prefix.Addr())
				switch {
				case mine.Outcome == other.Outcome:
				case mine.Outcome == firewall.Unknown:
					unknown++
				case other.Outcome == firewall.Unknown:
				default:
					t.Errorf("%s: %v from %s: %v; iptables-save's: %v", what, p, prefix, mine.Verdict, other.Verdict)
					return unknown
				}
			}
		}
	}
	return unknown
}

// TestBeyondNft has the rules of which nft's JSON says less than the kernel does.
func TestBeyondNft(t *testing.T) {
	for _, test := range []struct {
		rule      string
		four, six firewall.Outcome
	}{
		{"update @dyn { ip saddr } drop", firewall.Dropped, firewall.Allowed}, // no update of what is no IPv4 address
		{"meter m1 size 10 { ip saddr limit rate 5/second } drop", firewall.Dropped, firewall.Allowed},
		{"tcp dport 22 jump { drop; }", firewall.Dropped, firewall.Dropped},
	} {
		inNamespace(t, func(run func(string, ...string) string) {
			run(fmt.Sprintf(frame, "accept", test.rule), "nft", "-f", "-")
			text, err := netfilter.Rules()
			if err != nil {
				t.Error(err)
				return
			}
			rs, err := firewall.ParseNft(text)
			if err != nil {
				t.Error(err)
				return
			}
			for source, want := range map[string]firewall.Outcome{"10.1.2.3": test.four, "fd00::5": test.six} {
				if got := rs.Admits(firewall.Packet{Protocol: firewall.TCP, Port: 22}, netip.MustParseAddr(source)); got.Outcome != want {
					t.Errorf("%s: from %s: %v, want %v", test.rule, source, got, want)
				}
			}
		})
	}
}

// TestLegacy makes a table of legacy iptables, which hides rules from nf_tables.
func TestLegacy(t *testing.T) {
	if _, err := exec.LookPath("ip6tables-legacy"); err != nil {
		t.Fatal("the package iptables has it: ", err)
	}
	inNamespace(t, func(run func(string, ...string) string) {
		if _, err := netfilter.Rules(); err != nil {
			t.Errorf("a namespace without rules: %v", err)
		}
		run("", "ip6tables-legacy", "-A", "INPUT", "-j", "DROP")
		if _, err := netfilter.Rules(); !errors.Is(err, netfilter.ErrLegacy) || !strings.Contains(err.Error(), "ip6tables filter") {
			t.Errorf("legacy rules: %v", err)
		}
	})
}

// TestChanging reads rules that are replaced all the time: one state of them, or none.
func TestChanging(t *testing.T) {
	inNamespace(t, func(run func(string, ...string) string) {
		cmd := exec.Command("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do nft -f /dev/fd/3 3<<E\nflush ruleset\n"+
			"table inet t { set s$i { type ipv4_addr; elements = { 10.0.0.$i }; }; chain c$i { ip saddr @s$i drop; }\n"+
			"chain in { type filter hook input priority 0; jump c$i; }; }\nE\ndone")
		if err := cmd.Start(); err != nil {
			t.Error(err)
			return
		}
		done := make(chan error)
		go func() { done <- cmd.Wait() }()
		looks, changed := 0, 0
		for {
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
				t.Logf("%d looks, of which %d saw nothing but changes", looks, changed)
				return
			default:
			}
			looks++
			text, err := netfilter.Rules()
			if err != nil {
				if changed++; !strings.Contains(err.Error(), "changed") {
					t.Error(err)
				}
				continue
			}
			rs, err := firewall.ParseNft(text)
			if err != nil {
				t.Error(err)
				continue
			}
			for _, answer := range rs.Sources(firewall.Packet{Protocol: firewall.TCP, Port: 22}) {
				if answer.Outcome == firewall.Unknown {
					t.Errorf("%v\n%s", answer.Verdict, text)
				}
			}
		}
	})
}
