package firewall_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/gabion-k8s/gabion/internal/firewall"
)

const (
	allowed = "allowed"
	dropped = "dropped"
)

// A constructTest is one rule that accepts before a policy of drop. It is asked
// about TCP to port 6443 from 10.1.2.3 by eth0 to 10.0.0.1, and from fd00::3 to
// fd00::1: allowed says that the packet matches, dropped that it does not, and
// anything else is a part of the reason why that is not known.
type constructTest struct{ rule, want, want6 string }

func ask(t *testing.T, rs *firewall.Ruleset, test constructTest) {
	t.Helper()
	for _, q := range []struct{ from, to, want string }{{"10.1.2.3", "10.0.0.1", test.want}, {"fd00::3", "fd00::1", test.want6}} {
		if q.want == "" {
			continue
		}
		got := rs.Admits(firewall.Packet{Interface: "eth0", Destination: netip.MustParseAddr(q.to), Protocol: firewall.TCP, Port: 6443}, netip.MustParseAddr(q.from))
		if said := got.Outcome.String(); said != q.want && (got.Outcome != firewall.Unknown || !strings.Contains(got.Why, q.want)) {
			t.Errorf("%s\nfrom %s: %v, want %s", test.rule, q.from, got, q.want)
		}
	}
}

// The rules are as nft 1.0.6 prints them.
var nftConstructs = []constructTest{
	{`{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}`, dropped, dropped},
	{`{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "new"}}`, allowed, allowed},
	{`{"match": {"op": "!", "left": {"ct": {"key": "state"}}, "right": ["new", "established"]}}`, dropped, dropped},
	{`{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": {"|": ["new", {"|": ["established", "related"]}]}}}`, allowed, allowed},
	{`{"match": {"op": "!=", "left": {"ct": {"key": "state"}}, "right": "new"}}`, dropped, dropped},
	{`{"match": {"op": "==", "left": {"ct": {"key": "state"}}, "right": {"set": ["new", "untracked"]}}}`, allowed, allowed},
	{`{"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"}}`, dropped, dropped},
	{`{"match": {"op": "==", "left": {"ct": {"key": "direction"}}, "right": "original"}}`, allowed, allowed},
	{`{"match": {"op": "==", "left": {"ct": {"key": "mark"}}, "right": 1}}`, dropped, dropped},
	{`{"match": {"op": "==", "left": {"ct": {"key": "ip daddr", "dir": "original"}}, "right": "10.0.0.1"}}`, allowed, dropped},
	{`{"match": {"op": "==", "left": {"ct": {"key": "ip daddr", "dir": "reply"}}, "right": "10.0.0.1"}}`, "match on ct ip daddr", ""},
	{`{"match": {"op": "==", "left": {"ct": {"key": "proto-dst", "dir": "original"}}, "right": 6443}}`, allowed, allowed},
	{`{"match": {"op": "==", "left": {"meta": {"key": "iif"}}, "right": "lo"}}`, dropped, dropped},
	{`{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth*"}}`, allowed, allowed},
	{`{"match": {"op": "!=", "left": {"meta": {"key": "iifname"}}, "right": {"set": ["eth1", "lo"]}}}`, allowed, allowed},
	{`{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "@ifs"}}`, allowed, allowed},
	{`{"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "eth0"}}`, dropped, dropped},
	{`{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": {"set": ["tcp", "udp"]}}}, {"match": {"op": "==", "left": {"payload": {"protocol": "th", "field": "dport"}}, "right": 6443}}`, allowed, allowed},
	{`{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "protocol"}}, "right": "icmp"}}`, dropped, dropped},
	{`{"match": {"op": "==", "left": {"payload": {"protocol": "icmpv6", "field": "type"}}, "right": {"set": ["echo-request", "nd-neighbor-solicit"]}}}`, dropped, dropped},
	{`{"match": {"op": "!=", "left": {"payload": {"protocol": "icmp", "field": "type"}}, "right": "echo-request"}}`, dropped, dropped},
	{`{"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": "ipv4"}}`, allowed, dropped},
	{`{"match": {"op": "==", "left": {"meta": {"key": "protocol"}}, "right": "ip6"}}`, dropped, allowed},
	{`{"match": {"op": "!=", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"prefix": {"addr": "10.0.0.0", "len": 8}}}}`, dropped, dropped},
	{`{"match": {"op": "!=", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"prefix": {"addr": "10.9.0.0", "len": 16}}}}`, allowed, dropped},
	{`{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"range": ["10.1.2.0", "10.1.2.3"]}}}`, allowed, dropped},
	{`{"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "ip", "field": "saddr"}}, "255.0.0.255"]}, "right": "10.0.0.3"}}`, "match on ip saddr & 255.0.0.255", dropped},
	{`{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@admins"}}`, allowed, dropped},
	{`{"match": {"op": "!=", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@admins"}}`, dropped, dropped},
	{`{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@timed"}}`, allowed, dropped},
	{`{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@filled"}}`, `set "filled", which rules fill`, ""},
	{`{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "@gone"}}`, `set "gone"`, ""},
	{`{"match": {"op": "==", "left": {"concat": [{"payload": {"protocol": "ip", "field": "saddr"}}, {"payload": {"protocol": "tcp", "field": "dport"}}]}, "right": "@conc"}}`, allowed, dropped},
	{`{"match": {"op": "==", "left": {"concat": [{"payload": {"protocol": "ip", "field": "saddr"}}, {"payload": {"protocol": "tcp", "field": "dport"}}]}, "right": {"set": [{"concat": ["10.1.2.3", 80]}, {"concat": [{"prefix": {"addr": "10.1.0.0", "len": 24}}, {"range": [6000, 7000]}]}]}}}`, dropped, dropped},
	{`{"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["fin", "syn", "rst", "ack"]]}, "right": "syn"}}`, allowed, allowed},
	{`{"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, {"|": ["fin", "syn"]}]}, "right": 0}}`, dropped, dropped},
	{`{"match": {"op": "in", "left": {"payload": {"protocol": "tcp", "field": "flags"}}, "right": ["ecn", "cwr"]}}`, "flags that the client chooses", ""},
	{`{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "sport"}}, "right": {"range": [1, 65535]}}}`, allowed, allowed},
	{`{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "sport"}}, "right": 53}}`, "source port", "source port"},
	{`{"match": {"op": "<", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 6443}}`, dropped, dropped},
	{`{"match": {"op": "<=", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 6443}}`, allowed, allowed},
	{`{"match": {"op": ">", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 6442}}`, allowed, allowed},
	{`{"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "tcp", "field": "dport"}}, 1]}, "right": 1}}`, allowed, allowed},
	{`{"match": {"op": "==", "left": {"payload": {"protocol": "udp", "field": "dport"}}, "right": 6443}}`, dropped, dropped},
	{`{"match": {"op": "==", "left": {"&": [{"meta": {"key": "mark"}}, 16384]}, "right": 16384}}`, dropped, dropped},
	{`{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"|": [{"&": [{"meta": {"key": "mark"}}, 65298]}, 18]}}}, {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 18}}`, allowed, allowed},
	{`{"mangle": {"key": {"meta": {"key": "mark"}}, "value": 7}}, {"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"|": [{"^": [{"meta": {"key": "mark"}}, 1]}, 8]}}}, {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 14}}`, allowed, allowed},
	{`{"mangle": {"key": {"ct": {"key": "mark"}}, "value": 7}}, {"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"ct": {"key": "mark"}}}}, {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 7}}`, allowed, allowed},
	{`{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"numgen": {"mode": "inc", "mod": 2}}}}, {"match": {"op": "==", "left": {"meta": {"key": "mark"}}, "right": 1}}`, "a mark", "a mark"},
	{`{"mangle": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "value": 7}}`, "a change of the packet", ""},
	{`{"match": {"op": "==", "left": {"fib": {"result": "type", "flags": ["daddr"]}}, "right": "local"}}`, allowed, allowed},
	{`{"match": {"op": "==", "left": {"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, "right": false}}`, dropped, dropped},
	{`{"match": {"op": "==", "left": {"fib": {"result": "type", "flags": ["saddr"]}}, "right": "local"}}`, "match on fib", ""},
	{`{"match": {"op": "!=", "left": {"&": [{"payload": {"protocol": "ip", "field": "frag-off"}}, 8191]}, "right": 0}}`, dropped, dropped},
	{`{"match": {"op": "==", "left": {"meta": {"key": "pkttype"}}, "right": "broadcast"}}`, dropped, dropped},
	{`{"match": {"op": "==", "left": {"payload": {"protocol": "ip6", "field": "nexthdr"}}, "right": "tcp"}}`, dropped, allowed},
	{`{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "ttl"}}, "right": 5}}`, "match on ip ttl", ""},
	{`{"match": {"op": ">", "left": {"meta": {"key": "time"}}, "right": "2020-01-01 00:00:00"}}`, "match on meta time", ""},
	{`{"match": {"op": "==", "left": {"socket": {"key": "transparent"}}, "right": 1}}`, "match on socket", ""},
	{`{"match": {"op": "==", "left": {"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, "right": 3}}`, "value 3", ""},
	{`{"match": {"op": "==", "left": {"concat": [{"payload": {"protocol": "ip", "field": "saddr"}}, {"ct": {"key": "ip saddr", "dir": "original"}}]}, "right": {"set": [{"concat": [{"prefix": {"addr": "10.0.0.0", "len": 8}}, {"range": ["10.1.2.3", "11.0.0.0"]}]}]}}}`, allowed, dropped},
	{`{"match": {"op": "==", "left": {"concat": [{"meta": {"key": "l4proto"}}, {"payload": {"protocol": "th", "field": "dport"}}, {"payload": {"protocol": "ip", "field": "saddr"}}]}, "right": {"set": [{"concat": ["tcp", 6443, "10.1.2.3"]}]}}}`, allowed, dropped},
	{`{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["established", {"accept": null}], ["new", {"continue": null}]]}}}`, allowed, allowed},
	{`{"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": "@vm"}}`, dropped, dropped},
	{`{"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": [[22, {"drop": null}], ["*", {"jump": {"target": "yes"}}]]}}}`, allowed, allowed},
	{`{"vmap": {"key": {"payload": {"protocol": "ip", "field": "saddr"}}, "data": {"set": [[{"elem": {"val": {"prefix": {"addr": "10.0.0.0", "len": 8}}, "comment": "x"}}, {"goto": {"target": "yes"}}]]}}}`, allowed, dropped},
	{`{"vmap": {"key": {"concat": [{"payload": {"protocol": "ip", "field": "saddr"}}, {"payload": {"protocol": "tcp", "field": "dport"}}]}, "data": {"set": [[{"concat": ["10.1.2.3", 6443]}, {"drop": null}]]}}}`, dropped, dropped}, // without a match the rule ends
	{`{"vmap": {"key": {"meta": {"key": "cpu"}}, "data": {"set": [[0, {"drop": null}]]}}}`, "match on meta cpu", ""},
	{`{"jump": {"target": "gone"}}`, `chain "gone"`, ""},
	{`{"jump": {"target": "loop"}}`, `chain "loop", which calls itself`, ""},
	{`{"limit": {"rate": 10, "burst": 5, "per": "minute"}}, {"log": {"prefix": "x "}}`, allowed, allowed},
	{`{"limit": {"rate": 10, "per": "minute", "inv": true}}`, dropped, dropped},
	{`{"limit": "@over"}`, dropped, dropped},
	{`{"quota": {"val": 10, "val_unit": "mbytes"}}`, "a quota", ""},
	{`{"ct count": {"val": 10, "inv": true}}`, dropped, dropped},
	{`{"ct count": {"val": 10}}`, allowed, allowed},
	{`{"set": {"op": "add", "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "set": "@filled", "stmt": [{"limit": {"rate": 5, "per": "second", "inv": true}}]}}`, dropped, dropped},
	{`{"set": {"op": "add", "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "set": "@filled"}}`, allowed, dropped},
	{`{"queue": {"num": 1}}`, `"queue"`, ""},
	{`{"synproxy": null}`, `"synproxy"`, ""},
	{`{"reject": {"type": "icmp", "expr": "port-unreachable"}}`, dropped, dropped},
	{`{"xt": {"type": "match", "name": "comment"}}`, allowed, allowed},
	{`{"xt": {"type": "match", "name": "owner"}}`, `xt match "owner"`, ""},
	{`{"xt": {"type": "target", "name": "REJECT"}}`, dropped, dropped},
	{`{"xt": {"type": "target", "name": "LOG"}}`, allowed, allowed},
	{`{"xt": null}`, "xt", ""},
	{`{"match": null}`, "a match", ""},
	{`{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"prefix": {"addr": "10.0.0.0", "len": 999}}}}`, "prefix length", ""},
	{`{}`, "expression of no kind", ""},
	{`{"notrack": null}, {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "new"}}`, allowed, allowed}, // too late on input
}

const nftFrame = `{"nftables": [{"metainfo": {"json_schema_version": 1}}, {"table": {"family": "inet", "name": "filter", "handle": 1}},
{"set": {"family": "inet", "name": "admins", "table": "filter", "type": "ipv4_addr", "flags": ["interval"], "elem": [{"prefix": {"addr": "10.0.0.0", "len": 8}}, {"range": ["172.16.0.1", "172.16.0.9"]}, "192.168.1.5"]}},
{"set": {"family": "inet", "name": "timed", "table": "filter", "type": "ipv4_addr", "flags": ["timeout"], "elem": [{"elem": {"val": "10.1.2.3", "timeout": 3600, "expires": 3598, "comment": "hi"}}]}},
{"set": {"family": "inet", "name": "filled", "table": "filter", "type": "ipv4_addr", "size": 65535, "flags": ["timeout"], "timeout": 60}},
{"set": {"family": "inet", "name": "conc", "table": "filter", "type": ["ipv4_addr", "inet_service"], "flags": ["interval"], "elem": [{"concat": [{"prefix": {"addr": "10.1.0.0", "len": 16}}, {"range": [6440, 6450]}]}, {"concat": ["10.2.0.1", 443]}]}},
{"set": {"family": "inet", "name": "ifs", "table": "filter", "type": "ifname", "elem": ["lo", "eth0"]}},
{"map": {"family": "inet", "name": "vm", "table": "filter", "type": "inet_service", "map": "verdict", "flags": ["interval"], "elem": [[22, {"accept": null}], [{"range": [6000, 7000]}, {"jump": {"target": "no"}}]]}},
{"limit": {"family": "inet", "name": "over", "table": "filter", "rate": 5, "per": "second", "inv": true}},
{"chain": {"family": "inet", "table": "filter", "name": "in", "handle": 2, "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}},
{"chain": {"family": "inet", "table": "filter", "name": "yes", "handle": 3}},
{"chain": {"family": "inet", "table": "filter", "name": "no", "handle": 4}},
{"chain": {"family": "inet", "table": "filter", "name": "loop", "handle": 5}},
{"rule": {"family": "inet", "table": "filter", "chain": "yes", "handle": 6, "expr": [{"accept": null}]}},
{"rule": {"family": "inet", "table": "filter", "chain": "no", "handle": 7, "expr": [{"drop": null}]}},
{"rule": {"family": "inet", "table": "filter", "chain": "loop", "handle": 8, "expr": [{"jump": {"target": "loop"}}]}},
{"rule": {"family": "inet", "table": "filter", "chain": "no", "handle": 9, "expr": [{"set": {"op": "add", "elem": {"payload": {"protocol": "ip", "field": "saddr"}}, "set": "@filled"}}]}},
{"rule": {"family": "inet", "table": "filter", "chain": "in", "handle": 10, "comment": "x", "expr": [%s]}}]}`

func TestNftConstructs(t *testing.T) {
	for _, test := range nftConstructs {
		rule := test.rule
		if !strings.Contains(rule, `{"target"`) {
			rule += `, {"accept": null}`
		}
		rs, err := firewall.ParseNft(fmt.Appendf(nil, nftFrame, rule))
		if err != nil {
			t.Errorf("%s: %v", test.rule, err)
			continue
		}
		ask(t, rs, test)
	}
}

// As iptables-save 1.8.9 prints them; each rule accepts unless it says otherwise.
var iptablesConstructs = []constructTest{
	{`-m conntrack --ctstate RELATED,ESTABLISHED`, dropped, dropped},
	{`-m conntrack --ctstate NEW`, allowed, allowed},
	{`-m state --state NEW,INVALID`, allowed, allowed},
	{`-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT`, allowed, allowed},
	{`-m conntrack --ctstate DNAT`, dropped, dropped},
	{`-m conntrack --ctorigdstport 6440:6450 --ctdir ORIGINAL`, allowed, allowed},
	{`-m conntrack --ctdir REPLY`, dropped, dropped},
	{`-m conntrack --ctorigdst 10.0.0.1`, allowed, ""},
	{`-m conntrack --ctexpire 5`, "--ctexpire", ""},
	{`-i lo`, dropped, dropped},
	{`! -i lo`, allowed, allowed},
	{`-i eth+`, allowed, allowed},
	{`-o eth0`, dropped, dropped},
	{`! -o eth0`, allowed, allowed},
	{`-s 10.0.0.0/8`, allowed, ""},
	{`-s 10.0.0.0/255.0.0.0`, allowed, ""},
	{`-s 10.0.0.3/255.0.0.255`, "address", ""},
	{`! -s 10.0.0.0/8`, dropped, ""},
	{`-s fd00::/8`, "", allowed},
	{`-d 10.0.0.1/32`, allowed, ""},
	{`! -d 127.0.0.0/8`, allowed, ""},
	{`-p tcp -m tcp --dport 6443`, allowed, allowed},
	{`-p tcp -m tcp ! --dport 6443`, dropped, dropped},
	{`-p tcp -m tcp --dport 6000:`, allowed, allowed},
	{`-p tcp -m tcp --sport 1024:65535`, "source port", "source port"},
	{`-p tcp -m tcp --sport 0:65535`, allowed, allowed},
	{`-p udp -m udp --dport 6443`, dropped, dropped},
	{`-p icmp -m icmp --icmp-type 8`, dropped, ""},
	{`-p ipv6-icmp -m icmp6 --icmpv6-type 128`, "", dropped},
	{`-p 6`, allowed, allowed},
	{`! -p tcp`, dropped, dropped},
	{`! -p udp`, allowed, allowed},
	{`-p tcp -m multiport --dports 22,6440:6450`, allowed, allowed},
	{`-p tcp -m multiport ! --dports 22,6443`, dropped, dropped},
	{`-p tcp -m multiport --ports 6443`, allowed, allowed},
	{`-p tcp -m multiport --ports 80`, "source port", ""},
	{`-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN`, allowed, allowed},
	{`-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN`, dropped, dropped},
	{`-p tcp -m tcp --tcp-flags ALL NONE`, dropped, dropped},
	{`-p tcp -m tcp --tcp-option 5`, "--tcp-option", ""},
	{`-m addrtype --dst-type LOCAL`, allowed, allowed},
	{`-m addrtype ! --dst-type LOCAL,BROADCAST`, dropped, dropped},
	{`-m addrtype --src-type LOCAL`, `"addrtype" with "--src-type"`, ""},
	{`-m mark --mark 0x8000/0x8000`, dropped, dropped},
	{`-m mark ! --mark 0x8000/0x8000`, allowed, allowed},
	{`-m connmark --mark 0x0`, allowed, allowed},
	{`-m limit --limit 5/min --limit-burst 3`, allowed, allowed},
	{`-m hashlimit --hashlimit-above 5/sec --hashlimit-burst 5 --hashlimit-name x`, dropped, dropped},
	{`-m connlimit --connlimit-above 3 --connlimit-mask 32 --connlimit-saddr`, dropped, dropped},
	{`-m connlimit --connlimit-upto 3 --connlimit-mask 32 --connlimit-saddr`, allowed, allowed},
	{`-m iprange --src-range 10.1.2.3-10.1.2.9`, allowed, ""},
	{`-m iprange ! --src-range 10.1.2.4-10.1.2.9`, allowed, ""},
	{`-m pkttype --pkt-type broadcast`, dropped, dropped},
	{`-m rpfilter --loose --validmark --invert`, dropped, dropped},
	{`-m rpfilter --loose`, allowed, allowed},
	{`-f`, dropped, ""},
	{`! -f`, allowed, ""},
	{`-m set --match-set cali40all src`, `ipset "cali40all"`, `ipset "cali40all"`},
	{`-m set ! --match-set KUBE-X dst,dst -m comment --comment x`, `ipset "KUBE-X"`, ""},
	{`-p udp -m set --match-set cali40all src`, dropped, dropped},
	{`-m physdev --physdev-is-bridged`, `"physdev"`, ""},
	{`-m statistic --mode random --probability 0.50000000000`, `"statistic"`, ""},
	{`-m recent --rcheck --seconds 60 --name x --mask 255.255.255.255 --rsource`, `"recent"`, ""},
	{`-m comment --comment "a \"b\" ! -j DROP"`, allowed, allowed},
	{`-m comment --comment -j`, allowed, allowed},
	{`--new-thing 5`, `"--new-thing"`, ""},
	{`-j DROP`, dropped, dropped},
	{`-j REJECT --reject-with icmp-port-unreachable`, dropped, dropped},
	{`-j RETURN`, dropped, dropped},
	{`-j NFQUEUE --queue-num 1`, `target "NFQUEUE"`, ""},
	{`-j yes`, allowed, allowed},
	{`-g marks`, allowed, allowed},
	{`-j gone`, `target "gone"`, ""},
}

func TestIptablesConstructs(t *testing.T) {
	const frame = "# Generated by iptables-save v1.8.9 on Mon\n*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:yes - [0:0]\n:marks - [0:0]\n" +
		"[12:345] -A INPUT %s\n-A yes -j ACCEPT\n" +
		"-A marks -j MARK --set-xmark 0x4000/0x4000\n-A marks -j MARK --set-xmark 0x1/0x0\n-A marks -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff\n" +
		"-A marks -j MARK --set-xmark 0x0/0xffffffff\n-A marks -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff\n" +
		"-A marks -m mark --mark 0x4001 -j ACCEPT\nCOMMIT\n# Completed on Mon\n"
	for _, test := range iptablesConstructs {
		rule := test.rule
		if !strings.HasPrefix(rule, "-j") && !strings.HasPrefix(rule, "-g") {
			rule += " -j ACCEPT"
		}
		text := fmt.Appendf(nil, frame, rule)
		v4, err := firewall.ParseIptables(text, firewall.IPv4)
		if err != nil {
			t.Errorf("%s: %v", test.rule, err)
			continue
		}
		v6, err := firewall.ParseIptables(text, firewall.IPv6)
		if err != nil {
			t.Fatal(err)
		}
		ask(t, firewall.Join(v4, v6), test)
	}
}
