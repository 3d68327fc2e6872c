package firewall_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
)

// A testRule is a rule in a form that can be written for nft, for its JSON and
// for iptables, and that is evaluated for one packet by plain comparison.
type testRule struct {
	handle  int
	sources []netip.Prefix // of one family; none: any
	ports   [][2]int       // none: any
	state   string
	iface   string
	mark    [2]uint32 // value and mask; mask 0: any

	notSources, notPorts, notState, notIface bool

	named   bool   // nft: the sources are a named set
	joined  bool   // nft: sources and ports are one concatenation
	unknown bool   // a match that is not modelled
	limit   string // "under" or "over"

	effect   string // accept drop reject return jump goto mark notrack none vmap
	target   string
	set      [2]uint32 // of effect mark: (mark &^ set[1]) ^ set[0]
	branches []testBranch
}

type testBranch struct {
	source netip.Prefix // one of source and ports is set
	ports  [2]int
	effect string
	target string
}

type testChain struct {
	name     string
	hook     string // empty: a user's chain
	priority int
	drop     bool
	rules    []*testRule
}

// A testTable is for nft: of family inet; for iptables: of one family, filter or raw.
type testTable struct {
	name     string
	family   string // inet, ip, ip6
	iptables bool
	chains   []*testChain
}

type testPacket struct {
	source netip.Addr
	port   int
	iface  string
}

var (
	testPorts     = []int{7001, 7002, 7003, 7004}
	testPrefixes4 = prefixes("0.0.0.0/0 10.77.0.0/16 10.77.0.0/17 10.77.1.0/24 10.77.0.0/24 10.77.0.2/31 10.77.0.3/32 10.77.128.9/32 10.0.0.0/8 192.0.2.0/24")
	testPrefixes6 = prefixes("::/0 fd77::/64 fd77::2/127 fd77::3/128 fd77::1:0/112 fd00::/8 2001:db8::/32")
)

func prefixes(text string) (list []netip.Prefix) {
	for _, f := range strings.Fields(text) {
		list = append(list, netip.MustParsePrefix(f))
	}
	return list
}

// A generator makes random filters.
type generator struct {
	*rand.Rand
	handle     int
	priorities []int // not yet taken
	unknowns   bool  // rules that are not modelled
}

func (g *generator) priority() int {
	p := g.priorities[0]
	g.priorities = g.priorities[1:]
	return p
}

func (g *generator) one(p float64) bool { return g.Float64() < p }

func pick[T any](g *generator, list []T) T { return list[g.IntN(len(list))] }

func (g *generator) tables() []*testTable {
	var list []*testTable
	g.priorities = []int{-10, 5, 20, 30}
	if g.unknowns {
		g.priorities = []int{-10, 0, 0, 5} // in which order 0 comes is not known
	}
	g.Shuffle(len(g.priorities), func(i, j int) { g.priorities[i], g.priorities[j] = g.priorities[j], g.priorities[i] })
	for i := range 1 + g.IntN(2) {
		list = append(list, g.nft(fmt.Sprintf("t%d", i)))
	}
	if g.one(0.6) {
		list = append(list, g.iptables("ip", "filter"), g.iptables("ip6", "filter"))
	}
	if g.one(0.3) {
		list = append(list, g.iptables("ip", "raw"))
	}
	return list
}

func (g *generator) nft(name string) *testTable {
	t := &testTable{name: name, family: "inet"}
	for i := range 1 + g.IntN(2) {
		t.chains = append(t.chains, &testChain{name: fmt.Sprintf("base%d", i), hook: "input", priority: g.priority()})
	}
	if g.one(0.4) {
		t.chains = append(t.chains, &testChain{name: "early", hook: "prerouting", priority: pick(g, []int{-290, -150}) - len(g.priorities)})
	}
	for i := range g.IntN(3) {
		t.chains = append(t.chains, &testChain{name: fmt.Sprintf("user%d", i)})
	}
	g.fill(t)
	return t
}

func (g *generator) iptables(family, name string) *testTable {
	t := &testTable{name: name, family: family, iptables: true}
	if name == "filter" {
		t.chains = append(t.chains, &testChain{name: "INPUT", hook: "input"})
	} else {
		t.chains = append(t.chains, &testChain{name: "PREROUTING", hook: "prerouting", priority: -300})
	}
	for i := range g.IntN(3) {
		t.chains = append(t.chains, &testChain{name: fmt.Sprintf("USER%d", i)})
	}
	g.fill(t)
	return t
}

func (g *generator) fill(t *testTable) {
	for i, c := range t.chains {
		c.drop = c.hook == "input" && g.one(0.25)
		var users []string
		for _, u := range t.chains[i+1:] {
			if u.hook == "" {
				users = append(users, u.name)
			}
		}
		for range 2 + g.IntN(9) {
			c.rules = append(c.rules, g.rule(t, c, users))
		}
	}
}

func (g *generator) rule(t *testTable, c *testChain, users []string) *testRule {
	g.handle++
	r := &testRule{handle: g.handle}
	six := t.family == "ip6" || t.family == "inet" && g.one(0.5)
	pool := testPrefixes4
	if six {
		pool = testPrefixes6
	}
	if g.one(0.85) {
		r.sources = []netip.Prefix{pick(g, pool[1:])}
		if !t.iptables && g.one(0.4) {
			r.sources = disjoint(r.sources[0], pick(g, pool[1:]), pick(g, pool[1:]))
			r.named = g.one(0.5)
		}
		r.notSources = g.one(0.2)
	}
	if g.one(0.6) {
		r.ports = [][2]int{g.ports()}
		if p := g.ports(); g.one(0.4) && p[0] > r.ports[0][1]+1 {
			r.ports = append(r.ports, p)
		}
		r.notPorts = g.one(0.2)
	}
	r.joined = !t.iptables && len(r.sources) > 0 && len(r.ports) > 0 && !r.named && !r.notPorts && !r.notSources && g.one(0.5)
	if g.one(0.25) {
		r.state, r.notState = pick(g, []string{"new", "established,related", "untracked", "invalid", "new,untracked"}), g.one(0.2)
	}
	if g.one(0.15) {
		r.iface, r.notIface = pick(g, []string{"eth0", "eth*", "lo", "wan0"}), g.one(0.3)
	}
	if g.one(0.3) {
		r.mark = [2]uint32{g.Uint32N(4), 1 + g.Uint32N(3)}
		r.mark[0] &= r.mark[1]
	}
	if g.one(0.1) {
		r.limit = pick(g, []string{"under", "over"})
	}
	r.unknown = g.unknowns && g.one(0.3)
	g.effect(t, c, r, users, pool)
	return r
}

func (g *generator) ports() [2]int {
	from := pick(g, testPorts)
	return [2]int{from, from + g.IntN(2)}
}

// disjoint drops what overlaps something before it.
func disjoint(list ...netip.Prefix) (out []netip.Prefix) {
	for _, p := range list {
		if !slices.ContainsFunc(out, p.Overlaps) {
			out = append(out, p)
		}
	}
	return out
}

func (g *generator) effect(t *testTable, c *testChain, r *testRule, users []string, pool []netip.Prefix) {
	effects := []string{"accept", "drop", "return", "mark", "mark", "none"}
	if t.name != "raw" && c.hook != "prerouting" {
		effects = append(effects, "reject")
	}
	if len(users) > 0 {
		effects = append(effects, "jump", "jump", "jump", "goto")
		r.target = pick(g, users)
	}
	if c.hook == "prerouting" && c.priority < -200 {
		effects = append(effects, "notrack", "notrack")
	}
	if !t.iptables {
		effects = append(effects, "vmap", "vmap")
	}
	r.effect = pick(g, effects)
	if t.iptables && r.effect == "reject" && c.name != "INPUT" {
		r.effect = "drop"
	}
	if !t.iptables && r.effect == "reject" && c.hook == "" {
		r.effect = "drop" // a user's chain may be called from prerouting
	}
	if r.effect == "mark" {
		r.set = [2]uint32{g.Uint32N(4), pick(g, []uint32{1, 2, 3, 1<<32 - 1})}
	}
	if r.effect != "vmap" {
		return
	}
	inner := slices.DeleteFunc(effects, func(e string) bool {
		return !slices.Contains([]string{"accept", "drop", "return", "jump", "goto"}, e)
	})
	if g.one(0.5) {
		for _, p := range disjoint(pick(g, pool[1:]), pick(g, pool[1:]), pick(g, pool[1:])) {
			r.branches = append(r.branches, testBranch{source: p, effect: pick(g, inner), target: r.target})
		}
		return
	}
	for _, p := range testPorts[:1+g.IntN(3)] {
		r.branches = append(r.branches, testBranch{ports: [2]int{p, p}, effect: pick(g, inner), target: r.target})
	}
}

// The evaluator: one packet, one rule after the other.

type evaluation struct {
	packet testPacket
	table  *testTable
	mark   uint32
	state  string
	choose func() bool // what an unknown match says
	by     int         // the handle that decided
}

// evaluate sends a packet through the tables. The handle is of the rule that
// drops, or of the last that accepts; 0 is a policy.
func evaluate(tables []*testTable, p testPacket, choose func() bool) (accepted bool, by int) {
	type entry struct {
		*testChain
		table *testTable
	}
	var entries []entry
	for _, t := range tables {
		if t.family == "ip" && !p.source.Is4() || t.family == "ip6" && p.source.Is4() {
			continue
		}
		for _, c := range t.chains {
			if c.hook != "" {
				entries = append(entries, entry{c, t})
			}
		}
	}
	slices.SortStableFunc(entries, func(a, b entry) int {
		if a.hook != b.hook {
			return -strings.Compare(a.hook, b.hook) // prerouting before input
		}
		return a.priority - b.priority
	})
	e := &evaluation{packet: p, state: "invalid", choose: choose}
	for _, entry := range entries {
		if e.state == "invalid" && (entry.hook == "input" || entry.priority > -200) {
			e.state = "new"
		}
		e.table = entry.table
		verdict := e.chain(entry.testChain)
		if verdict == "drop" {
			return false, e.by
		}
		if verdict != "accept" && entry.drop {
			return false, 0
		}
	}
	return true, e.by
}

// chain is accept, drop or, when the packet returned, empty.
func (e *evaluation) chain(c *testChain) string {
	for _, r := range c.rules {
		if !e.matches(r) {
			continue
		}
		effect, target := r.effect, r.target
		if effect == "vmap" {
			effect, target = e.branch(r)
		}
		switch effect {
		case "accept":
			e.by = r.handle
			return "accept"
		case "drop", "reject":
			e.by = r.handle
			return "drop"
		case "return":
			return ""
		case "jump":
			if v := e.chain(e.called(target)); v != "" {
				return v
			}
		case "goto":
			return e.chain(e.called(target))
		case "mark":
			e.mark = e.mark&^r.set[1] ^ r.set[0]
		case "notrack":
			if e.state == "invalid" {
				e.state = "untracked"
			}
		}
	}
	return ""
}

func (e *evaluation) called(name string) *testChain {
	i := slices.IndexFunc(e.table.chains, func(c *testChain) bool { return c.name == name })
	return e.table.chains[i]
}

func (e *evaluation) branch(r *testRule) (effect, target string) {
	for _, b := range r.branches {
		if b.source.IsValid() && b.source.Contains(e.packet.source) || !b.source.IsValid() && b.ports[0] == e.packet.port {
			return b.effect, b.target
		}
	}
	return "", ""
}

func (e *evaluation) matches(r *testRule) bool {
	p := e.packet
	if len(r.sources) > 0 {
		if r.sources[0].Addr().Is4() != p.source.Is4() {
			return false
		}
		if slices.ContainsFunc(r.sources, func(s netip.Prefix) bool { return s.Contains(p.source) }) == r.notSources {
			return false
		}
	}
	if len(r.ports) > 0 && slices.ContainsFunc(r.ports, func(s [2]int) bool { return s[0] <= p.port && p.port <= s[1] }) == r.notPorts {
		return false
	}
	if r.state != "" && slices.Contains(strings.Split(r.state, ","), e.state) == r.notState {
		return false
	}
	if prefix, wild := strings.CutSuffix(r.iface, "*"); r.iface != "" && (p.iface == r.iface || wild && strings.HasPrefix(p.iface, prefix)) == r.notIface {
		return false
	}
	if e.mark&r.mark[1] != r.mark[0] {
		return false
	}
	return r.limit != "over" && (!r.unknown || e.choose())
}

// The writers.

type object map[string]any

func jsonMatch(op string, left, right any) object {
	return object{"match": object{"op": op, "left": left, "right": right}}
}

func jsonPrefix(p netip.Prefix) any {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return object{"prefix": object{"addr": p.Addr().String(), "len": p.Bits()}}
}

func jsonPorts(p [2]int) any {
	if p[0] == p[1] {
		return p[0]
	}
	return object{"range": []int{p[0], p[1]}}
}

func jsonSet[T any](list []T, write func(T) any) any {
	var out []any
	for _, e := range list {
		out = append(out, write(e))
	}
	if len(out) == 1 {
		return out[0]
	}
	return object{"set": out}
}

func saddr(p netip.Prefix) any {
	if p.Addr().Is4() {
		return object{"payload": object{"protocol": "ip", "field": "saddr"}}
	}
	return object{"payload": object{"protocol": "ip6", "field": "saddr"}}
}

func op(not bool) string {
	if not {
		return "!="
	}
	return "=="
}

func dport() any { return object{"payload": object{"protocol": "tcp", "field": "dport"}} }

func jsonVerdict(effect, target string) object {
	switch effect {
	case "jump", "goto":
		return object{effect: object{"target": target}}
	case "reject":
		return object{"reject": object{"type": "tcp reset"}}
	}
	return object{effect: nil}
}

func (r *testRule) json() (sets []object, expr []object) {
	switch {
	case r.joined:
		var list []any
		for _, s := range r.sources {
			for _, p := range r.ports {
				list = append(list, object{"concat": []any{jsonPrefix(s), jsonPorts(p)}})
			}
		}
		expr = append(expr, jsonMatch("==", object{"concat": []any{saddr(r.sources[0]), dport()}}, object{"set": list}))
	default:
		if len(r.sources) > 0 {
			right := jsonSet(r.sources, jsonPrefix)
			if r.named {
				name := fmt.Sprintf("s%d", r.handle)
				var list []any
				for _, s := range r.sources {
					list = append(list, jsonPrefix(s))
				}
				sets, right = append(sets, object{"name": name, "elem": list}), "@"+name
			}
			expr = append(expr, jsonMatch(op(r.notSources), saddr(r.sources[0]), right))
		}
		if len(r.ports) > 0 {
			expr = append(expr, jsonMatch(op(r.notPorts), dport(), jsonSet(r.ports, jsonPorts)))
		}
	}
	if r.state != "" {
		states := strings.Split(r.state, ",")
		key := object{"ct": object{"key": "state"}}
		if r.notState {
			expr = append(expr, jsonMatch("!=", key, object{"set": states}))
		} else {
			expr = append(expr, jsonMatch("in", key, states))
		}
	}
	if r.iface != "" {
		expr = append(expr, jsonMatch(op(r.notIface), object{"meta": object{"key": "iifname"}}, r.iface))
	}
	if r.mark[1] != 0 {
		expr = append(expr, jsonMatch("==", object{"&": []any{object{"meta": object{"key": "mark"}}, r.mark[1]}}, r.mark[0]))
	}
	if r.limit != "" {
		expr = append(expr, object{"limit": object{"rate": 5, "per": "second", "inv": r.limit == "over"}})
	}
	if r.unknown {
		expr = append(expr, jsonMatch("==", object{"meta": object{"key": "cpu"}}, 0))
	}
	expr = append(expr, object{"counter": object{"packets": 0, "bytes": 0}})
	switch r.effect {
	case "none":
	case "mark":
		mark := object{"meta": object{"key": "mark"}}
		kept := object{"&": []any{mark, ^r.set[1]}}
		expr = append(expr, object{"mangle": object{"key": mark, "value": object{"^": []any{kept, r.set[0]}}}})
	case "vmap":
		var key any = dport()
		var list []any
		for _, b := range r.branches {
			if b.source.IsValid() {
				key = saddr(b.source)
				list = append(list, []any{jsonPrefix(b.source), jsonVerdict(b.effect, b.target)})
			} else {
				list = append(list, []any{jsonPorts(b.ports), jsonVerdict(b.effect, b.target)})
			}
		}
		expr = append(expr, object{"vmap": object{"key": key, "data": object{"set": list}}})
	default:
		expr = append(expr, jsonVerdict(r.effect, r.target))
	}
	return sets, expr
}

// nftJSON writes tables as nft -j lists them.
func nftJSON(tables []*testTable) []byte {
	list := []object{{"metainfo": object{"json_schema_version": 1}}}
	var rules []object
	for _, t := range tables {
		if t.iptables {
			continue
		}
		list = append(list, object{"table": object{"family": t.family, "name": t.name}})
		for _, c := range t.chains {
			made := object{"family": t.family, "table": t.name, "name": c.name}
			if c.hook != "" {
				made["type"], made["hook"], made["prio"], made["policy"] = "filter", c.hook, c.priority, "accept"
				if c.drop {
					made["policy"] = "drop"
				}
			}
			list = append(list, object{"chain": made})
			for _, r := range c.rules {
				sets, expr := r.json()
				for _, s := range sets {
					s["family"], s["table"] = t.family, t.name
					list = append(list, object{"set": s})
				}
				rules = append(rules, object{"rule": object{"family": t.family, "table": t.name, "chain": c.name, "handle": r.handle, "expr": expr}})
			}
		}
	}
	data, err := json.Marshal(object{"nftables": append(list, rules...)})
	if err != nil {
		panic(err)
	}
	return data
}

func (r *testRule) iptables(chain string, six bool) string {
	var b strings.Builder
	not := func(n bool) {
		if n {
			b.WriteString(" !")
		}
	}
	b.WriteString("-A " + chain)
	if len(r.sources) > 0 {
		not(r.notSources)
		b.WriteString(" -s " + r.sources[0].String())
	}
	if r.iface != "" {
		not(r.notIface)
		b.WriteString(" -i " + strings.Replace(r.iface, "*", "+", 1))
	}
	b.WriteString(" -p tcp")
	switch {
	case len(r.ports) == 1:
		b.WriteString(" -m tcp")
		not(r.notPorts)
		fmt.Fprintf(&b, " --dport %d:%d", r.ports[0][0], r.ports[0][1])
	case len(r.ports) > 1:
		b.WriteString(" -m multiport")
		not(r.notPorts)
		b.WriteString(" --dports ")
		for i, p := range r.ports {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprint(&b, p[0])
			if p[1] > p[0] {
				fmt.Fprintf(&b, ":%d", p[1])
			}
		}
	}
	if r.state != "" {
		b.WriteString(" -m conntrack")
		not(r.notState)
		b.WriteString(" --ctstate " + strings.ToUpper(r.state))
	}
	if r.mark[1] != 0 {
		fmt.Fprintf(&b, " -m mark --mark %#x/%#x", r.mark[0], r.mark[1])
	}
	switch r.limit {
	case "under":
		b.WriteString(" -m limit --limit 1000/sec --limit-burst 1000")
	case "over":
		fmt.Fprintf(&b, " -m hashlimit --hashlimit-above 1000/sec --hashlimit-burst 1000 --hashlimit-name h%d", r.handle)
	}
	if r.unknown {
		b.WriteString(" -m cpu --cpu 0")
	}
	fmt.Fprintf(&b, ` -m comment --comment "rule \"%d\" -j ACCEPT"`, r.handle)
	switch r.effect {
	case "none":
	case "jump":
		b.WriteString(" -j " + r.target)
	case "goto":
		b.WriteString(" -g " + r.target)
	case "mark":
		fmt.Fprintf(&b, " -j MARK --set-xmark %#x/%#x", r.set[0], r.set[1])
	case "notrack":
		b.WriteString(" -j CT --notrack")
	case "reject":
		b.WriteString(" -j REJECT --reject-with icmp")
		if six {
			b.WriteByte('6')
		}
		b.WriteString("-port-unreachable")
	default:
		b.WriteString(" -j " + strings.ToUpper(r.effect))
	}
	return b.String()
}

// iptablesSave writes the tables of a family as iptables-save does, and says in
// which line each rule is.
func iptablesSave(tables []*testTable, family string) (text string, lines map[int]int) {
	var b strings.Builder
	line := 1
	lines = map[int]int{}
	write := func(s string) {
		b.WriteString(s + "\n")
		line++
	}
	for _, t := range tables {
		if !t.iptables || t.family != family {
			continue
		}
		write("*" + t.name)
		for _, c := range t.chains {
			policy := "-"
			if c.hook != "" {
				policy = map[bool]string{true: "DROP", false: "ACCEPT"}[c.drop]
			}
			write(":" + c.name + " " + policy + " [0:0]")
		}
		for _, c := range t.chains {
			for _, r := range c.rules {
				lines[line] = r.handle
				write(r.iptables(c.name, family == "ip6"))
			}
		}
		write("COMMIT")
	}
	return b.String(), lines
}
