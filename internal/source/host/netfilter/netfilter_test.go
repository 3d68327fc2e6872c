package netfilter

import (
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-k8s/gabion/internal/firewall"
)

// The kernel's messages, by hand.

func be(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func host(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

func name(s string) []byte { return append([]byte(s), 0) }

// list joins attributes, given as kind and data in turn.
func list(pairs ...any) (out []byte) {
	for i := 0; i < len(pairs); i += 2 {
		var data []byte
		switch d := pairs[i+1].(type) {
		case []byte:
			data = d
		case int:
			data = be(uint32(d))
		case string:
			data = name(d)
		}
		out = attribute(out, uint16(pairs[i].(int)), data)
	}
	return out
}

func data(value []byte) []byte { return list(1, value) }

func instruction(kind string, pairs ...any) []byte {
	return list(attrExpressionName, kind, attrExpressionData, list(pairs...))
}

func meta(key int) []byte { return instruction("meta", 1, 1, 2, key) }

func transport(offset, size int) []byte {
	return instruction("payload", 1, 1, 2, 2, 3, offset, 4, size)
}

func network(offset, size int) []byte {
	return instruction("payload", 1, 1, 2, 1, 3, offset, 4, size)
}

func equal(value ...byte) []byte { return instruction("cmp", 1, 1, 2, 0, 3, data(value)) }

func compare(op int, value ...byte) []byte {
	return instruction("cmp", 1, 1, 2, op, 3, data(value))
}

func mask(mask, flip []byte) []byte {
	return instruction("bitwise", 1, 1, 2, 1, 3, len(mask), 4, data(mask), 5, data(flip), 6, 0)
}

func verdictOf(code int32, chain string) []byte {
	return list(2, list(1, be(uint32(code)), 2, chain))
}

func xt(kind, module string, revision int, info ...[]byte) []byte {
	var all []byte
	for _, i := range info {
		all = append(all, i...)
	}
	return instruction(kind, 1, module, 2, revision, 3, all)
}

func zeros(n int) []byte { return make([]byte, n) }

func half(n ...uint16) (out []byte) {
	for _, v := range n {
		out = binary.NativeEndian.AppendUint16(out, v)
	}
	return out
}

func machine() decoder { return decoder{map[uint32]string{1: "lo", 2: "eth0"}} }

// sample is a ruleset with sets of several kinds.
func sample() *kernel {
	set := func(name string, flags, size int, elements ...[]byte) (message, []message) {
		var all []byte
		for _, e := range elements {
			all = attribute(all, 1, e)
		}
		return message{familyInet, list(attrSetTable, "t", attrSetName, name, attrSetFlags, flags, attrSetKeySize, size)},
			[]message{{familyInet, list(attrElementsList, all)}}
	}
	k := &kernel{
		tables: []message{{familyInet, list(attrTableName, "t")}},
		chains: []message{{familyInet, list(attrChainTable, "t", attrChainName, "in", attrChainHook, list(attrHookNumber, 1, attrHookPriority, 0), attrChainPolicy, 0, attrChainType, "filter")}},
	}
	for _, s := range []struct {
		name        string
		flags, size int
		elements    [][]byte
	}{
		{"ports", 0, 2, [][]byte{list(1, data([]byte{0, 22})), list(1, data([]byte{0, 80}))}},
		{"__set0", setAnonymous | setInterval, 2, [][]byte{list(1, data([]byte{0, 91}), 3, 1), list(1, data([]byte{0, 80})), list(1, data([]byte{0, 0}), 3, 1), list(1, data([]byte{255, 0}))}},
		{"nets", setInterval, 4, [][]byte{list(1, data([]byte{10, 0, 0, 0})), list(1, data([]byte{11, 0, 0, 0}), 3, 1), list(1, data([]byte{12, 0, 0, 1})), list(1, data([]byte{12, 0, 0, 4}))}},
		{"vm", setMap, 2, [][]byte{list(1, data([]byte{0, 22}), 2, verdictOf(-3, "yes")), list(3, 2, 2, verdictOf(0, ""))}},
		{"counted", 0, 2, [][]byte{list(1, data([]byte{0, 22}), 11, list(1, instruction("counter")))}},
		{"rationed", 0, 2, [][]byte{list(1, data([]byte{0, 22}), 11, list(1, instruction("quota")))}},
		{"pair", setInterval | setConcat, 8, [][]byte{list(1, data([]byte{10, 1, 0, 0, 0, 80, 0, 0}), 10, data([]byte{10, 1, 255, 255, 0, 90, 0, 0}))}},
	} {
		m, e := set(s.name, s.flags, s.size, s.elements...)
		k.sets, k.elements = append(k.sets, m), append(k.elements, e)
	}
	return k
}

// read gives the expressions of a rule as JSON, and what it means to who reads it.
func read(t *testing.T, family uint8, rule [][]byte) (string, *firewall.Ruleset) {
	t.Helper()
	var all []byte
	for _, e := range rule {
		all = attribute(all, 1, e)
	}
	k := sample()
	if family != familyInet {
		k.tables = append(k.tables, message{family, list(attrTableName, "t")})
		k.chains = append(k.chains, message{family, list(attrChainTable, "t", attrChainName, "in")})
	}
	k.rules = []message{{family, list(attrRuleTable, "t", attrRuleChain, "in", attrRuleHandle, binary.BigEndian.AppendUint64(nil, 7), attrRuleExpressions, all)}}
	text, err := k.text(machine().devices)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := firewall.ParseNft(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var dump struct{ Nftables []map[string]json.RawMessage }
	if err := json.Unmarshal(text, &dump); err != nil {
		t.Fatal(err)
	}
	for _, object := range dump.Nftables {
		var r struct{ Expr json.RawMessage }
		if object["rule"] != nil && json.Unmarshal(object["rule"], &r) == nil {
			return strings.NewReplacer(`"`, "").Replace(string(r.Expr)), rs
		}
	}
	t.Fatalf("no rule in %s", text)
	return "", nil
}

func TestInstructions(t *testing.T) {
	const lost = "not understood"
	tcp := [][]byte{meta(16), equal(6)}
	ip := [][]byte{meta(15), equal(2)}
	then := func(before [][]byte, more ...[]byte) [][]byte { return append(append([][]byte{}, before...), more...) }
	lookup := func(set string, more ...any) []byte {
		return instruction("lookup", append([]any{1, set, 2, 1}, more...)...)
	}
	isTCP := "{match:{left:{meta:{key:l4proto}},op:==,right:tcp}},"
	isIP := "{match:{left:{meta:{key:nfproto}},op:==,right:ipv4}},"
	dport, saddr := "{payload:{field:dport,protocol:tcp}}", "{payload:{field:saddr,protocol:ip}}"
	for _, test := range []struct {
		what string
		rule [][]byte
		want string // what comes of it, without quotes, or a part of that
	}{
		{"nothing", nil, "[]"},
		{"port", then(tcp, transport(2, 2), equal(0, 22)), "[" + isTCP + "{match:{left:" + dport + ",op:==,right:22}}]"},
		{"port of any", [][]byte{transport(2, 2), equal(0, 22)}, "[{match:{left:{payload:{field:dport,protocol:th}},op:==,right:22}}]"},
		{"ports at once", then(tcp, transport(0, 4), equal(0, 1, 0, 22)), "[" + isTCP + "{match:{left:{concat:[{payload:{field:sport,protocol:tcp}}," + dport + "]},op:==,right:{concat:[1,22]}}}]"},
		{"half a port", then(tcp, transport(2, 1), equal(1)), lost},
		{"port and zeros", then(tcp, transport(2, 2), equal(0, 22, 0, 0)), "[" + isTCP + "{match:{left:" + dport + ",op:==,right:22}}]"},
		{"port and more", then(tcp, transport(2, 2), equal(0, 22, 0, 1)), lost},
		{"order", then(tcp, transport(2, 2), compare(4, 0, 22)), "[" + isTCP + "{match:{left:" + dport + ",op:>,right:22}}]"},
		{"address", then(ip, network(12, 4), equal(10, 1, 2, 3)), "[" + isIP + "{match:{left:" + saddr + ",op:==,right:10.1.2.3}}]"},
		{"address of which family", [][]byte{network(12, 4), equal(10, 1, 2, 3)}, lost},
		{"front of an address", then(ip, network(12, 2), compare(1, 10, 1)), "[" + isIP + "{match:{left:" + saddr + ",op:!=,right:{prefix:{addr:10.1.0.0,len:16}}}}]"},
		{"prefix", then(ip, network(12, 4), mask([]byte{255, 240, 0, 0}, zeros(4)), equal(10, 16, 0, 0)), "[" + isIP + "{match:{left:" + saddr + ",op:==,right:{prefix:{addr:10.16.0.0,len:12}}}}]"},
		{"mask with a hole", then(ip, network(12, 4), mask([]byte{255, 0, 255, 0}, zeros(4)), equal(10, 0, 1, 0)), lost},
		{"never equal", then(ip, network(12, 4), mask([]byte{255, 0, 0, 0}, zeros(4)), equal(10, 0, 1, 0)), lost},
		{"beside the field", then(ip, network(13, 4), equal(10, 1, 2, 3)), lost},
		{"range", then(tcp, transport(2, 2), instruction("range", 1, 1, 2, 1, 3, data([]byte{0, 1}), 4, data([]byte{1, 0}))), "[" + isTCP + "{match:{left:" + dport + ",op:!=,right:{range:[1,256]}}}]"},
		{"mark", [][]byte{meta(3), mask(host(3), zeros(4)), equal(host(1)...)}, "[{match:{left:{&:[{meta:{key:mark}},3]},op:==,right:1}}]"},
		{"mark twice masked", [][]byte{meta(3), mask(host(0xff), host(1)), mask(host(0xf), host(2)), equal(host(7)...)}, "[{match:{left:{&:[{meta:{key:mark}},15]},op:==,right:4}}]"},
		{"order of a mark", [][]byte{meta(3), compare(3, host(5)...)}, lost},
		{"order of a swapped mark", [][]byte{meta(3), instruction("byteorder", 1, 1, 2, 1, 3, 1, 4, 4, 5, 4), compare(3, be(5)...)}, "[{match:{left:{meta:{key:mark}},op:<=,right:5}}]"},
		{"set mark", [][]byte{meta(3), mask(host(0xff), host(1)), instruction("meta", 2, 3, 3, 1)}, "[{mangle:{key:{meta:{key:mark}},value:{^:[{&:[{meta:{key:mark}},255]},1]}}}]"},
		{"set mark to a number", [][]byte{instruction("immediate", 1, 1, 2, data(host(5))), instruction("meta", 2, 3, 3, 1)}, "[{mangle:{key:{meta:{key:mark}},value:5}}]"},
		{"stale register", [][]byte{meta(3), instruction("meta", 2, 3, 3, 1), equal(host(1)...)}, lost},
		{"overwritten register", [][]byte{meta(15), equal(10), network(8, 16), instruction("immediate", 1, 10, 2, data(be(0))), equal(zeros(16)...)}, lost},
		{"device", [][]byte{meta(4), equal(host(2)...)}, "[{match:{left:{meta:{key:iif}},op:==,right:eth0}}]"},
		{"device that is gone", [][]byte{meta(4), equal(host(9)...)}, lost},
		{"name of a device", [][]byte{meta(6), equal(append([]byte("eth0"), zeros(12)...)...)}, "[{match:{left:{meta:{key:iifname}},op:==,right:eth0}}]"},
		{"front of a name", [][]byte{meta(6), equal([]byte("eth")...)}, "[{match:{left:{meta:{key:iifname}},op:==,right:eth*}}]"},
		{"name with a star", [][]byte{meta(6), equal(name("eth*")...)}, lost},
		{"name like a set", [][]byte{meta(6), equal(name("@nets")...)}, lost},
		{"state", [][]byte{instruction("ct", 1, 1, 2, 0), mask(host(6), zeros(4)), compare(1, zeros(4)...)}, "[{match:{left:{ct:{key:state}},op:in,right:[established,related]}}]"},
		{"state by number", [][]byte{instruction("ct", 1, 1, 2, 0), mask(host(16), zeros(4)), compare(1, zeros(4)...)}, "[{match:{left:{ct:{key:state}},op:in,right:16}}]"},
		{"key of ct that is new", [][]byte{instruction("ct", 1, 1, 2, 77), equal(host(1)...)}, lost},
		{"key of meta that is new", [][]byte{meta(77), equal(host(1)...)}, lost},
		{"load alone", [][]byte{instruction("exthdr", 1, 1, 2, 43, 3, 0, 4, 1)}, lost},
		{"type of route", [][]byte{instruction("fib", 1, 1, 2, 3, 3, 2), equal(host(2)...)}, "[{match:{left:{fib:{flags:[daddr],result:type}},op:==,right:2}}]"},
		{"device of a route", [][]byte{instruction("fib", 1, 1, 2, 1, 3, 1), equal(host(1)...)}, lost},
		{"shift", [][]byte{meta(3), instruction("bitwise", 1, 1, 2, 1, 3, 4, 6, 1, 7, data(be(1))), equal(host(1)...)}, lost},
		{"operation of two registers", [][]byte{meta(3), instruction("bitwise", 1, 1, 2, 1, 3, 4, 4, data(host(1)), 5, data(host(0)), 6, 0, 8, 2), equal(host(1)...)}, "unknown bitwise"},
		{"attribute that is new", then(tcp, transport(2, 2), instruction("cmp", 1, 1, 2, 0, 3, data([]byte{0, 22}), 4, 1)), "unknown cmp"},
		{"instruction that is new", [][]byte{instruction("inner", 1, 1)}, "[{unknown inner:null}]"},
		{"set", then(tcp, transport(2, 2), lookup("ports", 5, 1)), "[" + isTCP + "{match:{left:" + dport + ",op:!=,right:@ports}}]"},
		{"set within", then(tcp, transport(2, 2), lookup("__set0")), "[" + isTCP + "{match:{left:" + dport + ",op:==,right:{set:[{range:[80,90]},{range:[65280,65535]}]}}}]"},
		{"set with counters", then(tcp, transport(2, 2), lookup("counted")), "[" + isTCP + "{match:{left:" + dport + ",op:==,right:@counted}}]"},
		{"set with quotas", then(tcp, transport(2, 2), lookup("rationed")), lost},
		{"set of something else", [][]byte{meta(1), lookup("ports")}, lost},
		{"set that is gone", then(ip, network(12, 2), lookup("gone")), "unknown lookup"},
		{"pairs", then(ip, network(12, 4), instruction("payload", 1, 9, 2, 2, 3, 2, 4, 2), lookup("pair")), "[" + isIP + "{match:{left:{concat:[" + saddr + ",{payload:{field:dport,protocol:th}}]},op:==,right:@pair}}]"},
		{"pairs without the second", then(ip, network(12, 4), lookup("pair")), lost},
		{"map", then(tcp, transport(2, 2), lookup("vm", 3, 0)), "[" + isTCP + "{vmap:{data:@vm,key:" + dport + "}}]"},
		{"map that does not fit", [][]byte{meta(15), lookup("vm", 3, 0)}, lost},
		{"verdicts", [][]byte{instruction("immediate", 1, 0, 2, verdictOf(1, "")), instruction("immediate", 1, 0, 2, verdictOf(-3, "c")), instruction("immediate", 1, 0, 2, verdictOf(-2, "")), instruction("immediate", 1, 0, 2, verdictOf(3|1<<16, ""))}, "[{accept:null},{jump:{target:c}},{unknown verdict:null},{queue:null}]"},
		{"limits", [][]byte{instruction("limit", 1, zeros(8), 2, append(zeros(7), 1), 5, 1), instruction("connlimit", 1, 5, 2, 1)}, "[{limit:{inv:true,per:second,rate:0}},{ct count:{inv:true,val:5}}]"},
		{"nat", [][]byte{instruction("nat", 1, 1), instruction("nat", 1, 0), instruction("nat", 1, 5), instruction("masq"), instruction("redir")}, "[{dnat:null},{snat:null},{unknown nat:null},{masquerade:null},{redirect:null}]"},
		{"write", [][]byte{instruction("payload", 5, 1, 2, 2, 3, 2, 4, 2)}, "[{mangle:{key:{payload:{base:2,len:2,offset:2}},value:?}}]"},
		{"objects", [][]byte{instruction("objref", 1, 4, 2, "l"), instruction("objref", 1, 5, 2, "c"), instruction("objref", 3, 1, 4, "m")}, "[{limit:l},{unknown objref:null},{unknown objref:null}]"},
		{"update", then(ip, network(12, 4), instruction("dynset", 1, "nets", 3, 1, 4, 1, 7, instruction("limit", 5, 1))), "[" + isIP + "{set:{elem:" + saddr + ",op:update,set:@nets,stmt:[{limit:{inv:true,per:,rate:0}}]}}]"},

		{"xt tcp", [][]byte{xt("match", "tcp", 0, half(0, 65535, 22, 30), []byte{0, 2, 2, 2})}, "[{match:{left:{&:[{payload:{field:flags,protocol:tcp}},2]},op:==,right:2}},{match:{left:" + dport + ",op:!=,right:{range:[22,30]}}}]"},
		{"xt tcp with an option", [][]byte{xt("match", "tcp", 0, half(0, 65535, 22, 30), []byte{5, 0, 0, 0})}, "[{xt:{name:tcp,type:match}}]"},
		{"xt tcp of a later revision", [][]byte{xt("match", "tcp", 1, half(0, 65535, 22, 30), []byte{0, 0, 0, 0})}, "[{xt:{name:tcp,type:match}}]"},
		{"xt tcp cut off", [][]byte{xt("match", "tcp", 0, half(0, 65535))}, "[{xt:{name:tcp,type:match}}]"},
		{"xt udp", [][]byte{xt("match", "udp", 0, half(0, 65535, 53, 53), []byte{0})}, "[{match:{left:{payload:{field:dport,protocol:udp}},op:==,right:53}}]"},
		{"xt multiport", then(tcp, xt("match", "multiport", 1, []byte{1, 3}, half(22, 80, 90), zeros(24), []byte{0, 1}, zeros(13), []byte{1})), "[" + isTCP + "{match:{left:" + dport + ",op:!=,right:{set:[22,{range:[80,90]}]}}}]"},
		{"xt conntrack", [][]byte{xt("match", "conntrack", 3, zeros(146), half(1|1<<13, 1, 2|4|1<<8, 0), zeros(8))}, "[{match:{left:{ct:{key:state}},op:!,right:[established,related,untracked]}}]"},
		{"xt conntrack of more", [][]byte{xt("match", "conntrack", 3, zeros(146), half(1|8, 0, 2, 0), zeros(8))}, "[{xt:{name:conntrack,type:match}}]"},
		{"xt addrtype", [][]byte{xt("match", "addrtype", 1, half(0, 4|8), host(2))}, "[{match:{left:{fib:{flags:[daddr],result:type}},op:!=,right:{set:[2,3]}}}]"},
		{"xt addrtype of the source", [][]byte{xt("match", "addrtype", 1, half(4, 4), host(0))}, "[{xt:{name:addrtype,type:match}}]"},
		{"xt mark", [][]byte{xt("match", "mark", 1, host(1), host(3), []byte{1})}, "[{match:{left:{&:[{meta:{key:mark}},3]},op:!=,right:1}}]"},
		{"xt comment", [][]byte{xt("match", "comment", 0, name("hello"))}, "[]"},
		{"xt set", [][]byte{xt("match", "set", 4, zeros(40))}, "[{xt:{name:set,type:match}}]"},
		{"xt targets", [][]byte{xt("target", "MARK", 2, host(4), host(0xff)), xt("target", "CT", 2, half(1)), xt("target", "REJECT", 0, host(0))}, "[{mangle:{key:{meta:{key:mark}},value:{^:[{&:[{meta:{key:mark}},4294967040]},4]}}},{notrack:null},{xt:{name:REJECT,type:target}}]"},
	} {
		got, _ := read(t, familyInet, test.rule)
		whole := strings.HasPrefix(test.want, "[")
		if whole && got != test.want || !strings.Contains(got, test.want) {
			t.Errorf("%s:\n%s", test.what, cmp.Diff(test.want, got))
		}
	}
}

// The network header of a table of one family needs no condition to be known.
func TestFamily(t *testing.T) {
	for family, rule := range map[uint8][][]byte{familyIP: {network(12, 1), equal(10)}, familyIP6: {network(8, 1), equal(0xfd)}} {
		got, _ := read(t, family, rule)
		if !strings.Contains(got, "saddr") || !strings.Contains(got, "len:8") {
			t.Errorf("family %d: %s", family, got)
		}
	}
	if got, _ := read(t, familyBridge, [][]byte{network(12, 1), equal(10)}); !strings.Contains(got, "not understood") {
		t.Errorf("bridge: %s", got)
	}
}

// A condition that is made unreadable never turns an answer into another one than
// unknown: neither wider nor narrower.
func TestNothingIsLost(t *testing.T) {
	accept := instruction("immediate", 1, 0, 2, verdictOf(1, ""))
	conditions := [][][]byte{
		{meta(16), equal(6), transport(2, 2), equal(0, 22)}, {meta(15), equal(2), network(12, 1), equal(10)}, {meta(3), mask(host(3), zeros(4)), equal(host(1)...)},
		{instruction("ct", 1, 1, 2, 0), mask(host(8), zeros(4)), compare(1, zeros(4)...)}, {meta(6), equal([]byte("eth")...)},
		{meta(16), equal(6), transport(2, 2), instruction("lookup", 1, "ports", 2, 1)}, {instruction("fib", 1, 1, 2, 3, 3, 2), equal(host(2)...)},
		{xt("match", "tcp", 0, half(0, 65535, 22, 30), []byte{0, 0, 0, 0})}, {xt("match", "conntrack", 3, zeros(146), half(1, 0, 2, 0), zeros(8))},
	}
	for i, condition := range conditions {
		_, whole := read(t, familyInet, append(append([][]byte{}, condition...), accept))
		for broken := range condition {
			for _, instead := range [][]byte{instruction("news", 1, 1), meta(77), meta(8)} {
				rule := append([][]byte{}, condition...)
				if e, _ := attributes(rule[broken]); string(instead) != string(instruction("news", 1, 1)) && !strings.Contains("meta payload ct fib", e.text(attrExpressionName)) {
					continue // only a load is replaced by another
				}
				rule[broken] = instead
				_, rs := read(t, familyInet, append(rule, accept))
				for _, p := range []firewall.Packet{{Protocol: firewall.TCP, Port: 22, Interface: "eth0"}, {Protocol: firewall.UDP, Port: 53, Interface: "wan0"}} {
					for _, answer := range rs.Sources(p) {
						for _, source := range answer.Sources {
							if want := whole.Admits(p, source.Addr()).Outcome; answer.Outcome != firewall.Unknown && answer.Outcome != want {
								t.Errorf("condition %d without %d: %v from %s is %v, and was %v", i, broken, p, source, answer.Outcome, want)
							}
						}
					}
				}
			}
		}
	}
}

// Messages that are cut off or garbled are an error or unknown, and nothing panics.
func TestGarbled(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	rules := [][]byte{meta(16), equal(6), transport(0, 4), mask([]byte{255, 240, 0, 0}, zeros(4)), equal(0, 1, 0, 22), instruction("lookup", 1, "pair", 2, 1, 3, 0),
		xt("match", "multiport", 1, []byte{1, 3}, half(22, 80, 90), zeros(24), []byte{0, 1}, zeros(13), []byte{1}), xt("match", "iprange", 1, zeros(65)), xt("match", "hashlimit", 3, zeros(280)),
		instruction("dynset", 1, "nets", 3, 1, 4, 1, 7, instruction("limit", 5, 1)), instruction("immediate", 1, 1, 2, data(host(5)))}
	var all []byte
	for _, e := range rules {
		all = attribute(all, 1, e)
	}
	for range 20000 {
		k := sample()
		bytes := append([]byte{}, all...)
		for range 1 + random.IntN(4) {
			bytes[random.IntN(len(bytes))] = byte(random.UintN(256))
		}
		k.rules = []message{{uint8(random.IntN(12)), list(attrRuleTable, "t", attrRuleChain, "in", attrRuleExpressions, bytes[:len(bytes)-random.IntN(8)])}}
		text, err := k.text(nil)
		if err == nil && !json.Valid(text) {
			t.Fatalf("not JSON: %s", text)
		}
	}
}
