package firewall

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	maxBytes   = 64 << 20 // of one dump
	maxNesting = 16       // of one expression
)

var errTooLarge = fmt.Errorf("more than %d MiB", maxBytes>>20)

// ParseNft reads what `nft -j list ruleset` prints. An error is of text that is
// not such a dump; a rule that is not understood is kept and answers Unknown.
func ParseNft(data []byte) (*Ruleset, error) {
	if len(data) > maxBytes {
		return nil, fmt.Errorf("read nftables dump: %w", errTooLarge)
	}
	var dump struct {
		Objects *[]map[string]json.RawMessage `json:"nftables"`
	}
	if err := json.Unmarshal(data, &dump); err != nil {
		return nil, fmt.Errorf("read nftables dump: %w", err)
	}
	if dump.Objects == nil {
		return nil, errors.New(`read nftables dump: no "nftables" in it`)
	}
	n := &nftReader{
		rules:  &Ruleset{seen: map[Family]bool{IPv4: true, IPv6: true}},
		tables: map[nftName]*table{}, sets: map[nftName]*nftSet{}, limits: map[nftName]bool{},
	}
	// A rule may name a chain, a set or a limit that is printed after it.
	for _, pass := range []map[string]func(json.RawMessage) error{
		{"table": n.table},
		{"chain": n.chain, "set": n.set, "map": n.set, "limit": n.limit, "rule": n.fills},
		{"rule": n.rule},
	} {
		for i, object := range *dump.Objects {
			for kind, raw := range object {
				if read := pass[kind]; read != nil {
					if err := read(raw); err != nil {
						return nil, fmt.Errorf("read nftables dump: %s, object %d: %w", kind, i+1, err)
					}
				}
			}
		}
	}
	return n.rules, nil
}

// An nftName names a table, or an object in one.
type nftName struct{ family, table, name string }

// An nftSet is a named set or map.
type nftSet struct {
	Elements []json.RawMessage `json:"elem"`
	filled   bool              // rules add to it
	read     map[string]*condition
}

type nftReader struct {
	rules  *Ruleset
	tables map[nftName]*table
	sets   map[nftName]*nftSet
	limits map[nftName]bool // whether it is for what is over the limit
	at     nftName          // the table of the rule at hand
}

type nftHead struct {
	Family, Table, Name string
}

func (n *nftReader) table(raw json.RawMessage) error {
	var t struct {
		Family, Name string
		Flags        json.RawMessage
	}
	if err := json.Unmarshal(raw, &t); err != nil {
		return err
	}
	made := &table{origin: nftables, family: t.Family, name: t.Name, chains: map[string]*chain{},
		off: slices.Contains(words(t.Flags), "dormant")}
	name := nftName{t.Family, t.Name, ""}
	if n.tables[name] != nil {
		return fmt.Errorf("%s %q again", t.Family, t.Name)
	}
	n.tables[name] = made
	n.rules.tables = append(n.rules.tables, made)
	return nil
}

// words reads a string, or a list of strings.
func words(raw json.RawMessage) []string {
	var list []string
	if json.Unmarshal(raw, &list) == nil {
		return list
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return []string{s}
	}
	return nil
}

func (n *nftReader) chain(raw json.RawMessage) error {
	var c struct {
		nftHead
		Type, Hook, Policy string
		Prio               int
		Dev                json.RawMessage
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return err
	}
	t := n.tables[nftName{c.Family, c.Table, ""}]
	if t == nil {
		return fmt.Errorf("no table %s %q", c.Family, c.Table)
	}
	if t.chains[c.Name] != nil {
		return fmt.Errorf("%s %q %q again", c.Family, c.Table, c.Name)
	}
	made := &chain{name: c.Name}
	if c.Hook != "" {
		made.base = &base{hook: nftHook(c.Family, c.Hook), priority: c.Prio, nat: c.Type == "nat", devices: words(c.Dev), drop: c.Policy == "drop",
			policy: Rule{Table: c.Family + " " + c.Table, Chain: c.Name, Text: "policy " + cmp.Or(clip(c.Policy, 20), "accept")}}
		if len(made.base.devices) == 0 {
			made.base.devices = []string{"*"}
		}
	}
	t.chains[c.Name] = made
	t.order = append(t.order, made)
	return nil
}

func nftHook(family, name string) hook {
	switch {
	case name == "ingress":
		return ingress
	case family == "bridge" && (name == "prerouting" || name == "input"):
		return bridged
	case name == "prerouting":
		return prerouting
	case name == "input":
		return input
	}
	return elsewhere
}

func (n *nftReader) set(raw json.RawMessage) error {
	var head nftHead
	s := &nftSet{read: map[string]*condition{}}
	if err := json.Unmarshal(raw, &head); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, s); err != nil {
		return err
	}
	name := head.in()
	if old := n.sets[name]; old != nil {
		s.filled = old.filled
	}
	n.sets[name] = s
	return nil
}

func (h nftHead) in() nftName { return nftName{h.Family, h.Table, h.Name} }

func (n *nftReader) limit(raw json.RawMessage) error {
	var l struct {
		nftHead
		Inv bool
	}
	err := json.Unmarshal(raw, &l)
	n.limits[l.in()] = l.Inv
	return err
}

type nftRule struct {
	Family, Table, Chain string
	Handle               int
	Expr                 []map[string]json.RawMessage
}

// fills notes the sets that a rule adds to: what is in them when a packet comes
// is not what was printed.
func (n *nftReader) fills(raw json.RawMessage) error {
	var r nftRule
	if err := json.Unmarshal(raw, &r); err != nil {
		return err
	}
	for _, e := range r.Expr {
		for _, kind := range []string{"set", "map"} {
			var to struct{ Set, Map string }
			if e[kind] == nil || json.Unmarshal(e[kind], &to) != nil {
				continue
			}
			name := nftName{r.Family, r.Table, strings.TrimPrefix(cmp.Or(to.Set, to.Map), "@")}
			if n.sets[name] == nil {
				n.sets[name] = &nftSet{read: map[string]*condition{}}
			}
			n.sets[name].filled = true
		}
	}
	return nil
}

func (n *nftReader) rule(raw json.RawMessage) error {
	var r nftRule
	if err := json.Unmarshal(raw, &r); err != nil {
		return err
	}
	t := n.tables[nftName{r.Family, r.Table, ""}]
	if t == nil || t.chains[r.Chain] == nil {
		return fmt.Errorf("no chain %s %q %q", r.Family, r.Table, r.Chain)
	}
	made := rule{ref: &Rule{Table: r.Family + " " + r.Table, Chain: r.Chain, Handle: r.Handle, Text: nftText(r.Expr)}}
	n.at = nftName{r.Family, r.Table, ""}
	for _, e := range r.Expr {
		if len(e) != 1 {
			made.steps = append(made.steps, unclearStep("an expression of no kind"))
			continue
		}
		for kind, body := range e {
			made.steps = append(made.steps, n.statement(kind, body)...)
		}
	}
	t.add(t.chains[r.Chain], made)
	return nil
}

func unclearStep(why string) step {
	return step{verdict: &verdict{kind: unclear, why: clip(why, longestWhy)}}
}

func matchStep(c *condition) []step { return []step{{match: c}} }

// statement reads one expression of a rule.
func (n *nftReader) statement(kind string, body json.RawMessage) []step {
	switch kind {
	case "match":
		return matchStep(n.match(body))
	case "vmap":
		return []step{n.vmap(body)}
	case "counter", "log", "last", "flow", "dup", "ct helper", "ct timeout", "ct expectation", "secmark", "optstrip", "reset":
		return nil
	case "limit":
		return n.limited(body)
	case "ct count":
		var count struct {
			Val int
			Inv bool
		}
		// The connection at hand is the first and is counted.
		switch {
		case json.Unmarshal(body, &count) != nil:
			return matchStep(unmodelledMatch("a count of connections"))
		case count.Inv != (count.Val < 1):
			return matchStep(never())
		}
		return nil
	case "quota":
		return matchStep(unmodelledMatch("a quota"))
	case "set", "map", "meter":
		return n.update(kind, body)
	case "mangle":
		return n.mangle(body)
	case "notrack":
		return []step{{untrack: true}}
	case "xt":
		return xtStep(body)
	}
	v := nftVerdict(kind, body)
	return []step{{verdict: &v}}
}

func (n *nftReader) limited(body json.RawMessage) []step {
	var l struct{ Inv bool }
	var name string
	if json.Unmarshal(body, &name) == nil {
		over, ok := n.limits[nftName{n.at.family, n.at.table, strings.TrimPrefix(name, "@")}]
		if !ok {
			return matchStep(unmodelledMatch(fmt.Sprintf("limit %q", name)))
		}
		l.Inv = over
	} else if json.Unmarshal(body, &l) != nil {
		return matchStep(unmodelledMatch("a limit"))
	}
	if l.Inv {
		return matchStep(never())
	}
	return nil
}

// update adds to a set; statements within it may stop the rule as they would outside.
func (n *nftReader) update(kind string, body json.RawMessage) []step {
	var u struct {
		Op              string
		Elem, Key, Stmt json.RawMessage
	}
	if json.Unmarshal(body, &u) != nil {
		return []step{unclearStep(kind)}
	}
	steps := having(cmp.Or(string(u.Elem), string(u.Key)))
	var list []map[string]json.RawMessage
	var single map[string]json.RawMessage
	if json.Unmarshal(u.Stmt, &single) == nil && single != nil {
		list = append(list, single)
	} else if len(u.Stmt) > 0 && json.Unmarshal(u.Stmt, &list) != nil {
		return []step{unclearStep(kind)}
	}
	for _, s := range list {
		for k, b := range s {
			if !slices.Contains([]string{"limit", "counter", "ct count", "quota", "last"}, k) {
				return []step{unclearStep(k + " in a " + kind)}
			}
			steps = append(steps, n.statement(k, b)...)
		}
	}
	return steps
}

// having are the matches of packets that have what is added to a set: nft does not say
// that a rule adding ip saddr is over for one of IPv6.
func having(elem string) []step {
	var wrapped struct {
		Elem struct{ Val json.RawMessage }
	}
	if json.Unmarshal([]byte(elem), &wrapped) == nil && len(wrapped.Elem.Val) > 0 {
		elem = string(wrapped.Elem.Val)
	}
	fields, err := nftFields(json.RawMessage(elem), maxNesting)
	if err != nil {
		return matchStep(unmodelledMatch("what is added to a set: " + err.Error()))
	}
	var steps []step
	for _, f := range fields {
		steps = append(steps, step{match: single(f, value{anything: true}, false)})
	}
	return steps
}

// xtStep reads what nft says of a match or target of iptables: its name.
func xtStep(body json.RawMessage) []step {
	var x struct{ Type, Name string }
	if json.Unmarshal(body, &x) != nil {
		return []step{unclearStep("an xt expression")}
	}
	switch {
	case x.Type == "match" && x.Name == "comment":
		return nil
	case x.Type == "match":
		return matchStep(unmodelledMatch(fmt.Sprintf("xt match %q, which nft does not print,", x.Name)))
	case x.Type == "target":
		return xtTarget(x.Name)
	}
	return []step{unclearStep(fmt.Sprintf("xt %q", x.Type))}
}

// xtTarget reads a target of which nft does not print the options.
func xtTarget(name string) []step {
	anyMark := []step{{write: &write{to: packetMark, unknown: 1<<32 - 1}}}
	switch name {
	case "MARK":
		return anyMark
	case "CONNMARK":
		return append(anyMark, step{write: &write{to: connectionMark, unknown: 1<<32 - 1}})
	case "CT":
		return []step{{write: &write{to: connectionState, from: connectionState, keep: 1<<32 - 1, unknown: stateInvalid | stateUntracked}}}
	}
	return targetSteps(name)
}

func nftVerdict(kind string, body json.RawMessage) verdict {
	switch kind {
	case "accept", "snat", "masquerade":
		return verdict{kind: accept}
	case "drop", "reject":
		return verdict{kind: drop}
	case "continue":
		return verdict{kind: next}
	case "return":
		return verdict{kind: back}
	case "dnat", "redirect", "tproxy", "fwd":
		return verdict{kind: away}
	case "jump", "goto":
		var to struct{ Target string }
		if json.Unmarshal(body, &to) == nil {
			return verdict{kind: map[string]verdictKind{"jump": jump, "goto": goTo}[kind], target: to.Target}
		}
	}
	return verdict{kind: unclear, why: clip(fmt.Sprintf("%q", kind), longestWhy)}
}

// mangle reads a write. Only marks are followed; what changes where a packet
// goes is unclear, and the rest does not matter here.
func (n *nftReader) mangle(body json.RawMessage) []step {
	var m struct {
		Key   map[string]json.RawMessage
		Value json.RawMessage
	}
	if json.Unmarshal(body, &m) != nil {
		return []step{unclearStep("a mangle statement")}
	}
	to, ok := markRegister(m.Key)
	switch {
	case ok:
		w := markValue(m.Value, maxNesting)
		w.to = to
		return []step{{write: &w}}
	case m.Key["payload"] != nil, m.Key["meta"] != nil && keyOf(m.Key["meta"]) == "pkttype":
		return []step{unclearStep("a change of the packet")}
	}
	return nil
}

func keyOf(raw json.RawMessage) string {
	var k struct{ Key string }
	if json.Unmarshal(raw, &k) != nil {
		return ""
	}
	return k.Key
}

func markRegister(e map[string]json.RawMessage) (register, bool) {
	switch {
	case len(e) != 1:
	case e["meta"] != nil && keyOf(e["meta"]) == "mark":
		return packetMark, true
	case e["ct"] != nil && keyOf(e["ct"]) == "mark":
		return connectionMark, true
	}
	return 0, false
}

// markValue reads a mark as keep and flip of a register.
func markValue(raw json.RawMessage, depth int) write {
	nothing := write{unknown: 1<<32 - 1}
	var v uint32
	if json.Unmarshal(raw, &v) == nil {
		return write{flip: v}
	}
	var e map[string]json.RawMessage
	if depth == 0 || json.Unmarshal(raw, &e) != nil || len(e) != 1 {
		return nothing
	}
	if from, ok := markRegister(e); ok {
		return write{from: from, keep: 1<<32 - 1}
	}
	for op, body := range e {
		var args []json.RawMessage
		if json.Unmarshal(body, &args) != nil || len(args) < 2 {
			return nothing
		}
		w := markValue(args[0], depth-1)
		for _, a := range args[1:] {
			if json.Unmarshal(a, &v) != nil {
				return nothing
			}
			switch op {
			case "&":
				w.keep, w.flip, w.unknown = w.keep&v, w.flip&v, w.unknown&v
			case "|":
				w.keep, w.flip, w.unknown = w.keep&^v, w.flip|v, w.unknown&^v
			case "^":
				w.flip ^= v
			default:
				return nothing
			}
		}
		return w
	}
	return nothing
}

// nftText writes a rule much as nft does.
func nftText(list []map[string]json.RawMessage) string {
	var parts []string
	for _, e := range list {
		for kind, body := range e {
			switch kind {
			case "counter":
			case "match":
				var m struct {
					Op          string
					Left, Right json.RawMessage
				}
				if json.Unmarshal(body, &m) == nil {
					op := m.Op + " "
					if m.Op == "==" || m.Op == "in" {
						op = ""
					}
					parts = append(parts, plain(m.Left, maxNesting)+" "+op+plain(m.Right, maxNesting))
				}
			case "vmap":
				var m struct{ Key, Data json.RawMessage }
				if json.Unmarshal(body, &m) == nil {
					parts = append(parts, plain(m.Key, maxNesting)+" vmap "+plain(m.Data, maxNesting))
				}
			default:
				parts = append(parts, strings.TrimSpace(kind+" "+plain(body, maxNesting)))
			}
		}
		if len(parts) > longestText {
			break
		}
	}
	return clip(strings.Join(parts, " "), longestText)
}

// plain writes an expression without the notation of JSON.
func plain(raw json.RawMessage, depth int) string {
	raw = bytes.TrimSpace(raw)
	if depth == 0 || len(raw) == 0 {
		return "..."
	}
	switch raw[0] {
	case '"':
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return "?"
		}
		return s
	case 'n':
		return ""
	case '[':
		return "{ " + joined(raw, ", ", depth) + " }"
	case '{':
		return plainObject(raw, depth)
	}
	return string(raw)
}

func joined(raw json.RawMessage, with string, depth int) string {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return plain(raw, depth-1)
	}
	var parts []string
	size := 0
	for _, e := range list {
		if size > longestText {
			parts = append(parts, "...")
			break
		}
		parts = append(parts, plain(e, depth-1))
		size += len(parts[len(parts)-1]) + 1
	}
	return strings.Join(parts, with)
}

func plainObject(raw json.RawMessage, depth int) string {
	var e struct {
		Payload, Meta, CT, Prefix, Range, Concat, Set, Target json.RawMessage
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(raw, &all) != nil {
		return "?"
	}
	var keys []string
	for k := range all {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	_ = json.Unmarshal(raw, &e) // each key that is an expression is seen below
	switch {
	case e.Payload != nil:
		var p struct{ Protocol, Field string }
		_ = json.Unmarshal(e.Payload, &p) // a raw payload has neither
		return cmp.Or(strings.TrimSpace(p.Protocol+" "+p.Field), "payload")
	case e.Meta != nil:
		return "meta " + keyOf(e.Meta)
	case e.CT != nil:
		return "ct " + keyOf(e.CT)
	case e.Prefix != nil:
		var p struct {
			Addr json.RawMessage
			Len  int
		}
		_ = json.Unmarshal(e.Prefix, &p)
		return fmt.Sprintf("%s/%d", plain(p.Addr, depth-1), p.Len)
	case e.Range != nil:
		return joined(e.Range, "-", depth)
	case e.Concat != nil:
		return joined(e.Concat, " . ", depth)
	case e.Set != nil:
		return plain(e.Set, depth-1)
	case e.Target != nil:
		return plain(e.Target, depth-1)
	}
	var parts []string
	for _, k := range keys {
		if len(keys) == 1 && slices.Contains([]string{"&", "|", "^", "<<", ">>"}, k) {
			return joined(all[k], " "+k+" ", depth)
		}
		parts = append(parts, strings.TrimSpace(k+" "+plain(all[k], depth-1)))
		if len(parts) > 8 {
			break
		}
	}
	return strings.Join(parts, " ")
}
