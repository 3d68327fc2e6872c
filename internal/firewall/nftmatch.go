package firewall

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// match reads a match expression.
func (n *nftReader) match(body json.RawMessage) *condition {
	var m struct {
		Op          string
		Left, Right json.RawMessage
	}
	if json.Unmarshal(body, &m) != nil || len(m.Right) == 0 {
		return unmodelledMatch("a match")
	}
	fields, err := nftFields(m.Left, maxNesting)
	var c *condition
	if err == nil {
		c, err = n.condition(fields, m.Op, m.Right)
	}
	if err != nil {
		c = unmodelledMatch(err.Error())
		c.fields = fields // a packet without them does not match for sure
	}
	return c
}

func (n *nftReader) condition(fields []field, op string, right json.RawMessage) (*condition, error) {
	if len(fields) == 1 && fields[0].kind == otherProtocol {
		return single(fields[0], value{anything: true}, false), nil
	}
	if op == "in" || op == "!" { // any of the bits, or none
		if len(fields) != 1 || !fields[0].flags {
			return nil, fmt.Errorf("operator %q", op)
		}
		v, err := fields[0].bits(right, maxNesting)
		return single(fields[0], value{bits: uint32(v)}, op == "!"), err
	}
	if slices.Contains([]string{"<", ">", "<=", ">="}, op) && len(fields) == 1 {
		v, err := fields[0].bounded(op, right)
		return single(fields[0], v, false), err
	}
	if op != "==" && op != "!=" {
		return nil, fmt.Errorf("operator %q", op)
	}
	not := op == "!="
	list, key, err := n.elements(right)
	if err != nil {
		return nil, err
	}
	if key == nil {
		return anyOf(fields, list, not)
	}
	id := fmt.Sprint(not)
	for _, f := range fields {
		id += fmt.Sprint(" ", f.kind, f.family, f.protocol, f.register, f.fixed, f.mask)
	}
	if key.read[id] == nil {
		if key.read[id], err = anyOf(fields, list, not); err != nil {
			return nil, err
		}
	}
	return key.read[id], nil
}

// elements reads the right side of a match: a set, the name of one, or a value.
// Of a named set it is given too.
func (n *nftReader) elements(right json.RawMessage) ([]json.RawMessage, *nftSet, error) {
	var name string
	if json.Unmarshal(right, &name) == nil && strings.HasPrefix(name, "@") {
		s := n.sets[nftName{n.at.family, n.at.table, name[1:]}]
		switch {
		case s == nil:
			return nil, nil, fmt.Errorf("set %q, which is not there,", name[1:])
		case s.filled:
			return nil, nil, fmt.Errorf("set %q, which rules fill,", name[1:])
		}
		return s.Elements, s, nil
	}
	var set struct{ Set []json.RawMessage }
	if json.Unmarshal(right, &set) == nil && set.Set != nil {
		return set.Set, nil, nil
	}
	return []json.RawMessage{right}, nil, nil
}

// anyOf is the condition that the fields have the value of one of the elements.
func anyOf(fields []field, list []json.RawMessage, not bool) (*condition, error) {
	c := &condition{fields: fields, not: not}
	for _, raw := range list {
		e, err := elementOf(fields, raw)
		if err != nil {
			return nil, err
		}
		c.elements = append(c.elements, e)
	}
	return c.merged(), nil
}

// merged makes the elements of a condition of one field one element.
func (c *condition) merged() *condition {
	if len(c.fields) != 1 || len(c.elements) < 2 {
		return c
	}
	var all value
	var list []span
	for _, e := range c.elements {
		all.anything = all.anything || e[0].anything
		list = append(list, e[0].numbers...)
		all.names = append(all.names, e[0].names...)
		all.bits |= e[0].bits
	}
	all.numbers = normal(list)
	c.elements = []element{{all}}
	return c
}

// elementOf reads an element of a set of these fields.
func elementOf(fields []field, raw json.RawMessage) (element, error) {
	var wrap struct {
		Elem   *struct{ Val json.RawMessage }
		Concat []json.RawMessage
	}
	if raw[0] == '{' {
		if err := json.Unmarshal(raw, &wrap); err != nil {
			return nil, err
		}
	}
	if wrap.Elem != nil && len(wrap.Elem.Val) > 0 {
		raw, wrap.Concat = wrap.Elem.Val, nil
		if raw[0] == '{' {
			if err := json.Unmarshal(raw, &wrap); err != nil {
				return nil, err
			}
		}
	}
	parts := wrap.Concat
	if parts == nil {
		parts = []json.RawMessage{raw}
	}
	if string(raw) == `"*"` {
		return slices.Repeat(element{{anything: true}}, len(fields)), nil
	}
	if len(parts) != len(fields) {
		return nil, fmt.Errorf("an element of %d parts for %d fields", len(parts), len(fields))
	}
	e := make(element, len(fields))
	for i, f := range fields {
		v, err := f.value(parts[i])
		if err != nil {
			return nil, err
		}
		e[i] = v
	}
	return e, nil
}

// value reads what the field is compared with.
func (f field) value(raw json.RawMessage) (value, error) {
	var e struct {
		Prefix *struct {
			Addr json.RawMessage
			Len  int
		}
		Range []json.RawMessage
		Set   []json.RawMessage
	}
	switch {
	case f.kind == otherProtocol:
		return value{anything: true}, nil
	case f.kind == inInterface || f.kind == outInterface:
		var name string
		if json.Unmarshal(raw, &name) != nil || strings.Contains(name, `\`) || strings.HasPrefix(name, "@") {
			return value{}, fmt.Errorf("interface %s", raw)
		}
		return value{names: []string{name}}, nil
	case f.flags:
		v, err := f.bits(raw, maxNesting)
		return value{numbers: one(v)}, err
	case raw[0] != '{':
		a, err := f.number(raw)
		return value{numbers: spans{{a, a}}}, err
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return value{}, err
	}
	switch {
	case e.Prefix != nil:
		a, err := f.number(e.Prefix.Addr)
		if err != nil {
			return value{}, err
		}
		width := f.width()
		if e.Prefix.Len < 0 || e.Prefix.Len > width {
			return value{}, fmt.Errorf("prefix length %d", e.Prefix.Len)
		}
		rest := low(width - e.Prefix.Len)
		return value{numbers: spans{{a.andNot(rest), a.or(rest)}}}, nil
	case len(e.Range) == 2:
		from, err := f.number(e.Range[0])
		if err != nil {
			return value{}, err
		}
		to, err := f.number(e.Range[1])
		if to.less(from) {
			return value{}, err
		}
		return value{numbers: spans{{from, to}}}, err
	}
	return value{}, fmt.Errorf("value %s", clip(string(raw), 60))
}

func (f field) width() int {
	switch {
	case f.family == IPv6:
		return 128
	case f.kind == sourceAddress || f.kind == destinationAddress || f.kind == wordField:
		return 32
	case f.kind == transport || f.kind == network:
		return 8
	}
	return 16
}

// number reads an address, a number or the name of one.
func (f field) number(raw json.RawMessage) (addr, error) {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		var b bool
		if json.Unmarshal(raw, &b) == nil && len(raw) > 3 { // true, false; not null
			s = string(raw)
		}
	}
	if f.kind == sourceAddress || f.kind == destinationAddress {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Is6() != (f.family == IPv6) || a.Zone() != "" {
			return addr{}, fmt.Errorf("address %s", clip(string(raw), 60))
		}
		return addrOf(a), nil
	}
	if v, ok := f.names[s]; ok {
		return number(v), nil
	}
	var v uint32
	if string(raw) == "null" || f.kind == network || json.Unmarshal(raw, &v) != nil {
		return addr{}, fmt.Errorf("value %s", clip(string(raw), 60))
	}
	if f.kind == fixedField && !slices.Contains(slices.Collect(maps.Values(f.names)), uint64(v)) {
		return addr{}, fmt.Errorf("value %d", v)
	}
	return number(uint64(v)), nil
}

func (f field) bounded(op string, raw json.RawMessage) (value, error) {
	if f.kind == inInterface || f.kind == outInterface || f.flags || f.kind == network {
		return value{}, fmt.Errorf("operator %q", op)
	}
	a, err := f.number(raw)
	if err != nil {
		return value{}, err
	}
	s := span{first, low(f.width())}
	switch op {
	case "<=":
		s.hi = a
	case ">=":
		s.lo = a
	case "<":
		if a == first {
			return value{}, nil
		}
		s.hi = a.prev()
	case ">":
		if a == s.hi {
			return value{}, nil
		}
		s.lo = a.next()
	}
	return value{numbers: normal([]span{s})}, nil
}

// bits reads flags: a name, a number, or several joined.
func (f field) bits(raw json.RawMessage, depth int) (uint64, error) {
	var list []json.RawMessage
	var or struct {
		Or []json.RawMessage `json:"|"`
	}
	switch {
	case depth == 0 || len(raw) == 0:
		return 0, fmt.Errorf("flags nested too deep")
	case raw[0] == '[' && json.Unmarshal(raw, &list) == nil:
	case raw[0] == '{' && json.Unmarshal(raw, &or) == nil && or.Or != nil:
		list = or.Or
	default:
		a, err := f.number(raw)
		return a.lo, err
	}
	var all uint64
	for _, e := range list {
		v, err := f.bits(e, depth-1)
		if err != nil {
			return 0, err
		}
		all |= v
	}
	return all, nil
}

// nftFields reads the left side of a match, or the key of a map. With an error
// it gives what is sure of the packets that have the field.
func nftFields(raw json.RawMessage, depth int) ([]field, error) {
	var e struct {
		Payload *struct{ Protocol, Field string }
		Meta    *struct{ Key string }
		CT      *struct{ Key, Dir string }
		Fib     *struct {
			Result string
			Flags  json.RawMessage
		}
		Concat []json.RawMessage
		And    []json.RawMessage `json:"&"`
	}
	if depth == 0 || json.Unmarshal(raw, &e) != nil {
		return nil, fmt.Errorf("match on %s", clip(plain(raw, maxNesting), 60))
	}
	one := func(f field, ok bool) ([]field, error) {
		if !ok {
			return []field{{family: f.family, protocol: f.protocol}}, fmt.Errorf("match on %s", clip(plain(raw, maxNesting), 60))
		}
		return []field{f}, nil
	}
	switch {
	case e.Payload != nil:
		return one(payloadField(e.Payload.Protocol, e.Payload.Field))
	case e.Meta != nil:
		return one(metaField(e.Meta.Key))
	case e.CT != nil:
		return one(ctField(e.CT.Key, e.CT.Dir))
	case e.Fib != nil:
		return one(fibField(e.Fib.Result, words(e.Fib.Flags)))
	case len(e.And) == 2:
		fields, err := nftFields(e.And[0], depth-1)
		if err != nil {
			return fields, err
		}
		f := fields[0]
		mask, err := f.bits(e.And[1], depth-1)
		switch f.kind {
		case sourceAddress, destinationAddress, inInterface, outInterface, network:
			return one(f, false)
		}
		if err != nil || len(fields) > 1 || mask == 0 || f.mask != 0 {
			return one(f, false)
		}
		f.mask = uint32(mask)
		return []field{f}, nil
	}
	if len(e.Concat) == 0 {
		return one(field{}, false)
	}
	var fields []field
	for _, c := range e.Concat {
		f, err := nftFields(c, depth-1)
		fields = append(fields, f...)
		if err != nil {
			return fields, err
		}
		if len(fields) > 16 {
			return one(field{}, false)
		}
	}
	return fields, nil
}

func payloadField(protocol, name string) (field, bool) {
	f := field{}
	switch protocol {
	case "ip":
		f.family = IPv4
	case "ip6":
		f.family = IPv6
	case "th":
	default:
		number, ok := protocolNames()[protocol]
		if !ok {
			return f, false
		}
		f.protocol = Protocol(number)
	}
	switch {
	case f.family != 0 && name == "saddr":
		f.kind = sourceAddress
	case f.family != 0 && name == "daddr":
		f.kind = destinationAddress
	case f.family == IPv4 && name == "protocol", f.family == IPv6 && name == "nexthdr":
		f.kind, f.names = transport, protocolNames()
	case f.family == IPv4 && name == "frag-off":
		// The flag against fragmenting is the sender's; the rest is 0 in a whole packet.
		f.kind = fragmentField
	case f.family != 0:
		return f, false
	case name == "dport":
		f.kind = destinationPort
	case name == "sport":
		f.kind = sourcePort
	case f.protocol == TCP && name == "flags":
		f.kind, f.flags, f.names = flagsField, true, flagNames()
	default:
		f.kind = otherProtocol
		return f, f.protocol != 0 && !f.protocol.modelled()
	}
	return f, true
}

func metaField(key string) (field, bool) {
	switch key {
	case "iif", "iifname":
		return field{kind: inInterface}, true
	case "oif", "oifname":
		return field{kind: outInterface}, true
	case "l4proto":
		return field{kind: transport, names: protocolNames()}, true
	case "nfproto":
		return field{kind: network, names: map[string]uint64{"ipv4": uint64(IPv4), "ipv6": uint64(IPv6)}}, true
	case "protocol":
		return field{kind: network, names: map[string]uint64{"ip": uint64(IPv4), "ip6": uint64(IPv6), "arp": 0, "vlan": 0}}, true
	case "mark":
		return field{kind: wordField, register: packetMark}, true
	case "pkttype":
		return field{kind: fixedField, names: packetTypes()}, true
	}
	return field{}, false
}

func ctField(key, dir string) (field, bool) {
	original := dir == "" || dir == "original"
	switch {
	case key == "state":
		return field{kind: wordField, register: connectionState, flags: true, names: stateNames()}, true
	case key == "status":
		return field{kind: statusField, flags: true, names: statusNames()}, true
	case key == "mark":
		return field{kind: wordField, register: connectionMark}, true
	case key == "direction":
		return field{kind: fixedField, names: map[string]uint64{"original": 0, "reply": 1}}, true
	case !original:
	case key == "ip saddr":
		return field{kind: sourceAddress, family: IPv4}, true
	case key == "ip6 saddr":
		return field{kind: sourceAddress, family: IPv6}, true
	case key == "ip daddr":
		return field{kind: destinationAddress, family: IPv4}, true
	case key == "ip6 daddr":
		return field{kind: destinationAddress, family: IPv6}, true
	case key == "proto-dst":
		return field{kind: destinationPort}, true
	case key == "proto-src":
		return field{kind: sourcePort}, true
	}
	return field{}, false
}

// fibField reads a look into the routing table: a packet to the host has a
// local destination, and its source is routed by where it came from.
func fibField(result string, flags []string) (field, bool) {
	has := func(s string) bool { return slices.Contains(flags, s) }
	switch {
	case result == "type" && has("daddr") && !has("iif") && !has("oif"):
		return field{kind: fixedField, fixed: addressLocal, names: addressTypes()}, true
	case (result == "oif" || result == "check") && has("saddr") && !has("daddr"):
		return field{kind: fixedField, fixed: 1, names: map[string]uint64{"true": 1, "false": 0, "exists": 1, "missing": 0}}, true
	}
	return field{}, false
}

func (n *nftReader) vmap(body json.RawMessage) step {
	var m struct{ Key, Data json.RawMessage }
	if json.Unmarshal(body, &m) != nil {
		return unclearStep("a verdict map")
	}
	fields, err := nftFields(m.Key, maxNesting)
	if err != nil {
		return unclearStep(err.Error())
	}
	list, _, err := n.elements(m.Data)
	if err != nil {
		return unclearStep(err.Error())
	}
	l := &lookup{has: &condition{fields: fields, elements: []element{slices.Repeat(element{{anything: true}}, len(fields))}}}
	index := map[verdict]int{}
	for _, raw := range list {
		key, v, err := mapping(raw)
		if err != nil {
			return unclearStep(err.Error())
		}
		e, err := elementOf(fields, key)
		if err != nil {
			return unclearStep(err.Error())
		}
		if e[0].anything {
			l.other = &v
			continue
		}
		i, ok := index[v]
		if !ok {
			i = len(l.branches)
			index[v] = i
			l.branches = append(l.branches, branch{&condition{fields: fields}, v})
		}
		keys := l.branches[i].keys
		keys.elements = append(keys.elements, e)
	}
	for i := range l.branches {
		l.branches[i].keys = l.branches[i].keys.merged()
	}
	return step{lookup: l}
}

// mapping reads an element of a verdict map.
func mapping(raw json.RawMessage) (key json.RawMessage, v verdict, err error) {
	var pair []json.RawMessage
	var to map[string]json.RawMessage
	if json.Unmarshal(raw, &pair) != nil || len(pair) != 2 || json.Unmarshal(pair[1], &to) != nil || len(to) != 1 {
		return nil, v, fmt.Errorf("an element of a verdict map")
	}
	for kind, body := range to {
		v = nftVerdict(kind, body)
	}
	return pair[0], v, nil
}
