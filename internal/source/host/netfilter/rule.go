package netfilter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// A ruleReader follows the instructions of one rule and writes what they are.
type ruleReader struct {
	decoder
	k         *ruleset
	in        owner
	network   kind       // address4 or address6 once the rule is for it alone
	transport int        // likewise a protocol's number, 0 before
	registers [16]*value // by the word that a value begins at
	written   []object
}

func (r *ruleReader) write(kind string, body any) { r.written = append(r.written, object{kind: body}) }

func (r *ruleReader) match(op string, left, right any) {
	r.write("match", object{"op": op, "left": left, "right": right})
}

// lost writes a match of which it is not known what it means.
func (r *ruleReader) lost(left any, right any) {
	r.match("==", object{"not understood": left}, right)
}

// strange writes an instruction of which it is not known what it does, which may be
// anything.
func (r *ruleReader) strange(name string) {
	r.forget()
	r.write("unknown "+name, nil)
}

// expression reads one instruction.
func (r *ruleReader) expression(data []byte) error {
	a, err := attributes(data)
	if err != nil {
		return err
	}
	name := a.text(attrExpressionName)
	body, err := a.nested(attrExpressionData)
	if err != nil {
		return err
	}
	known, ok := r.k.known[name]
	if !ok || body.beyond(known.last) {
		r.strange(name)
		return nil
	}
	known.read(r, body)
	return nil
}

// Registers.

// word is the place of a register; not that of the verdict.
func word(register uint32) (int, bool) {
	switch {
	case register >= 1 && register <= 4:
		return int(register-1) * 4, true
	case register >= 8 && register <= 23:
		return int(register - 8), true
	}
	return 0, false
}

func words(size int) int { return (size + 3) / 4 }

func (r *ruleReader) forget() { r.registers = [16]*value{} }

// take stores a field that the packet may not have, in which case the rule ends: of one
// that nothing is known of it is not known whether it does.
func (r *ruleReader) take(register uint32, v *value) {
	if v.parts[0].kind == opaque {
		r.lost(v.left(), "there")
	}
	r.store(register, v)
}

func (r *ruleReader) store(register uint32, v *value) {
	w, ok := word(register)
	if !ok {
		r.strange("register")
		return
	}
	end := min(w+max(words(v.size), 1), len(r.registers))
	for i, old := range r.registers[:end] {
		if old != nil && (i >= w || i+words(old.size) > w) {
			r.registers[i] = nil
		}
	}
	r.registers[w] = v
}

// load is what is in as many bytes from a register; nil if that is not known.
func (r *ruleReader) load(register uint32, size int) *value {
	w, ok := word(register)
	if !ok || size <= 0 || r.registers[w] == nil {
		return nil
	}
	v := r.registers[w]
	switch {
	case v.constant != nil:
		return nil
	case v.size >= size:
		return v.front(size)
	case len(v.parts) == 1 && v.parts[0].kind == opaque:
		return nil
	}
	joined := &value{size: size}
	for at := 0; at < size; {
		if w >= len(r.registers) || r.registers[w] == nil || !r.registers[w].plain() {
			return nil
		}
		v := r.registers[w]
		for _, p := range v.parts {
			p.at += at
			joined.parts = append(joined.parts, p)
		}
		at += 4 * words(v.size)
		w += words(v.size)
		if at > size && at-4*words(v.size)+v.size != size {
			return nil
		}
	}
	return joined
}

// Instructions.

// An expression is how to read an instruction of one kind.
type expression struct {
	last uint16 // attribute that is known
	read func(*ruleReader, attrs)
}

func expressions() map[string]expression {
	says := func(kind string) func(*ruleReader, attrs) {
		return func(r *ruleReader, _ attrs) { r.write(kind, nil) }
	}
	loads := func(name string, register uint16, always bool) expression {
		const known = 9 // attributes, at most
		return expression{known, func(r *ruleReader, a attrs) {
			v := unknown(object{name: nil})
			switch {
			case !a.has(register):
				r.strange(name)
			case always:
				r.store(a.number(register), v)
			default:
				r.take(a.number(register), v)
			}
		}}
	}
	return map[string]expression{
		"meta": {3, (*ruleReader).meta}, "ct": {4, (*ruleReader).ct}, "payload": {8, (*ruleReader).payload}, "fib": {3, (*ruleReader).fib},
		"immediate": {2, (*ruleReader).immediate}, "bitwise": {7, (*ruleReader).bitwise}, "byteorder": {5, (*ruleReader).byteorder},
		"cmp": {3, (*ruleReader).cmp}, "range": {4, (*ruleReader).between}, "lookup": {5, (*ruleReader).lookup},
		"exthdr": {7, (*ruleReader).exthdr}, "rt": loads("rt", 1, false), "socket": loads("socket", 2, false), "osf": loads("osf", 1, false),
		"xfrm": loads("xfrm", 1, false), "tunnel": loads("tunnel", 2, false), "numgen": loads("numgen", 1, true), "hash": loads("hash", 2, true),
		"counter": {3, says("counter")}, "last": {3, says("last")}, "log": {6, (*ruleReader).log}, "limit": {6, (*ruleReader).limit},
		"connlimit": {2, (*ruleReader).connlimit}, "quota": {4, says("quota")}, "objref": {5, (*ruleReader).object}, "dynset": {10, (*ruleReader).dynset},
		"notrack": {0, func(r *ruleReader, _ attrs) { r.forget(); r.write("notrack", nil) }},
		"reject":  {2, (*ruleReader).reject}, "masq": {3, says("masquerade")}, "redir": {3, says("redirect")}, "nat": {7, (*ruleReader).nat},
		"tproxy": {3, says("tproxy")}, "fwd": {3, says("fwd")}, "dup": {2, says("dup")}, "flow_offload": {1, says("flow")},
		"queue": {4, says("queue")}, "synproxy": {3, says("synproxy")},
		"match": {3, (*ruleReader).xtMatch}, "target": {3, (*ruleReader).xtTarget},
	}
}

func (r *ruleReader) meta(a attrs) {
	const dreg, keyAttr, sreg = 1, 2, 3
	key := a.number(keyAttr)
	if a.has(sreg) {
		r.setMeta(key, a.number(sreg))
		return
	}
	named := func(name string, k kind, size int) {
		r.take(a.number(dreg), field(object{"meta": object{"key": name}}, k, size))
	}
	switch key {
	case 1:
		named("protocol", etherType, 2)
	case metaMark:
		named("mark", native, 4)
	case 4:
		named("iif", byIndex, 4)
	case 5:
		named("oif", byIndex, 4)
	case 6:
		named("iifname", byName, 16)
	case 7:
		named("oifname", byName, 16)
	case 15:
		named("nfproto", networkFamily, 1)
	case 16:
		named("l4proto", protocol, 1)
	case 19:
		named("pkttype", number, 1)
	default:
		name := map[uint32]string{0: "length", 2: "priority", 8: "iiftype", 9: "oiftype", 10: "skuid", 11: "skgid", 17: "ibrname", 18: "obrname",
			20: "cpu", 21: "iifgroup", 22: "oifgroup", 23: "cgroup", 24: "random", 25: "ipsec", 30: "time", 31: "day", 32: "hour"}[key]
		if name == "" {
			name = fmt.Sprintf("number %d", key)
		}
		named(name, opaque, 16)
	}
}

const metaMark = 3 // also that of ct

func (r *ruleReader) setMeta(key, from uint32) {
	name := map[uint32]string{2: "priority", metaMark: "mark", 12: "nftrace", 14: "secmark", 19: "pkttype"}[key]
	if name == "" {
		r.strange("meta")
		return
	}
	r.mangle(object{"meta": object{"key": name}}, from)
}

// mangle writes that something is set to what is in a register.
func (r *ruleReader) mangle(key any, from uint32) {
	var v any = "?"
	if w, ok := word(from); ok {
		v = r.markValue(r.registers[w])
	}
	r.forget() // what was loaded may be another value now
	r.write("mangle", object{"key": key, "value": v})
}

// markValue writes a value of 32 bits if it is a constant or comes of a mark.
func (r *ruleReader) markValue(v *value) any {
	switch {
	case v == nil || v.size != 4:
		return "?"
	case v.constant != nil:
		return binary.NativeEndian.Uint32(v.constant)
	case len(v.parts) != 1 || v.parts[0].kind != native || v.parts[0].flags != nil:
		return "?"
	}
	left := v.left()
	if v.mask != nil {
		left = object{"&": []any{left, binary.NativeEndian.Uint32(v.mask)}}
	}
	if v.flip != nil {
		left = object{"^": []any{left, binary.NativeEndian.Uint32(v.flip)}}
	}
	return left
}

func (r *ruleReader) ct(a attrs) {
	const dreg, keyAttr, direction, sreg = 1, 2, 3, 4
	key := a.number(keyAttr)
	if a.has(sreg) {
		switch key {
		case metaMark:
			r.mangle(object{"ct": object{"key": "mark"}}, a.number(sreg))
		case 4, 13, 17, 18: // secmark, labels, zone, events
			r.mangle(object{"ct": object{"key": fmt.Sprintf("number %d", key)}}, a.number(sreg))
		default:
			r.strange("ct")
		}
		return
	}
	named := func(name string, k kind, size int) *value {
		left := object{"key": name}
		if a.has(direction) {
			left["dir"] = "reply"
			if a.number(direction) == 0 {
				left["dir"] = "original"
			}
		}
		v := field(object{"ct": left}, k, size)
		r.take(a.number(dreg), v)
		return v
	}
	addr := map[uint32]string{8: "saddr", 9: "daddr", 19: "saddr", 20: "daddr", 21: "saddr", 22: "daddr"}[key]
	switch {
	case key == 0:
		named("state", native, 4).parts[0].flags = stateNames()
	case key == 1:
		named("direction", number, 1)
	case key == 2:
		named("status", native, 4).parts[0].flags = statusNames()
	case key == metaMark:
		named("mark", native, 4)
	case key == 11 || key == 12:
		named(map[uint32]string{11: "proto-src", 12: "proto-dst"}[key], number, 2)
	case key == 19 || key == 20 || (key == 8 || key == 9) && r.network == address4:
		named("ip "+addr, address4, 4)
	case key == 21 || key == 22 || (key == 8 || key == 9) && r.network == address6:
		named("ip6 "+addr, address6, 16)
	default:
		named(fmt.Sprintf("number %d", key), opaque, 16)
	}
}

func (r *ruleReader) fib(a attrs) {
	const dreg, result, flags = 1, 2, 3
	bits := a.number(flags)
	var names []any
	for i, name := range []string{"saddr", "daddr", "mark", "iif", "oif"} {
		if bits&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	const present, all = 32, 63
	fib := func(result string) any { return object{"fib": object{"result": result, "flags": names}} }
	switch res := a.number(result); {
	case bits&^all != 0:
		r.strange("fib")
	case res == 3 && bits&present == 0:
		r.store(a.number(dreg), field(fib("type"), native, 4))
	case (res == 1 || res == 2) && bits&present != 0:
		r.store(a.number(dreg), field(fib("check"), number, 1))
	default:
		r.store(a.number(dreg), unknown(fib("a device")))
	}
}

// A headerField is a field of a header. Not all are listed.
type headerField struct {
	name   string
	offset int
	size   int
	kind   kind
}

func headerFields(of string) []headerField {
	ports := []headerField{{"sport", 0, 2, number}, {"dport", 2, 2, number}}
	switch of {
	case "ip":
		return []headerField{{"frag-off", 6, 2, number}, {"protocol", 9, 1, protocol}, {"saddr", 12, 4, address4}, {"daddr", 16, 4, address4}}
	case "ip6":
		return []headerField{{"nexthdr", 6, 1, protocol}, {"saddr", 8, 16, address6}, {"daddr", 24, 16, address6}}
	case "th", "udp", "sctp":
		return ports
	case "tcp":
		return append(ports, headerField{"flags", 13, 1, number})
	case "icmp", "ipv6-icmp":
		return []headerField{{"type", 0, 1, number}, {"code", 1, 1, number}}
	}
	return nil
}

func (r *ruleReader) payload(a attrs) {
	const dreg, base, offsetAttr, length, sreg = 1, 2, 3, 4, 5
	if a.has(sreg) {
		r.mangle(object{"payload": object{"base": a.number(base), "offset": a.number(offsetAttr), "len": a.number(length)}}, a.number(sreg))
		return
	}
	of := ""
	switch {
	case a.number(base) == 1 && r.network == address4:
		of = "ip"
	case a.number(base) == 1 && r.network == address6:
		of = "ip6"
	case a.number(base) == 2 && r.transport == 0:
		of = "th"
	case a.number(base) == 2:
		of = protocolNames()[uint64(r.transport)]
	}
	offset, size := int(a.number(offsetAttr)), int(a.number(length))
	raw := field(object{"payload": object{"base": a.number(base), "offset": offset, "len": size}}, opaque, min(size, 64))
	v := &value{size: size}
	for at := 0; at < size; {
		fields := headerFields(of)
		i := slices.IndexFunc(fields, func(f headerField) bool { return f.offset == offset+at })
		if i < 0 {
			v = raw
			break
		}
		f := fields[i]
		p := part{left: object{"payload": object{"protocol": of, "field": f.name}}, kind: f.kind, size: min(f.size, size-at), whole: f.size, at: at}
		if f.name == "flags" {
			p.flags = tcpFlagNames()
		}
		v.parts = append(v.parts, p)
		at += f.size
	}
	if len(v.parts) == 0 {
		v = raw
	}
	r.take(a.number(dreg), v)
}

func (r *ruleReader) exthdr(a attrs) {
	const dreg, kindAttr, op, sreg, tcpOption = 1, 2, 6, 7, 1
	left := object{"exthdr": object{"type": a.number(kindAttr), "op": a.number(op)}}
	switch {
	case a.has(dreg):
		r.take(a.number(dreg), unknown(left))
	case a.number(op) != tcpOption:
		r.strange("exthdr")
	case a.has(sreg):
		r.mangle(left, a.number(sreg))
	default:
		r.write("optstrip", nil)
	}
}

func (r *ruleReader) immediate(a attrs) {
	const dreg, data = 1, 2
	d, err := a.nested(data)
	switch {
	case err != nil || d.beyond(attrDataVerdict):
		r.strange("immediate")
	case a.number(dreg) == 0:
		r.written = append(r.written, verdict(d[attrDataVerdict]))
	default:
		r.store(a.number(dreg), &value{constant: slices.Clone(d[attrDataValue]), size: len(d[attrDataValue])})
	}
}

// verdict writes what becomes of a packet.
func verdict(data []byte) object {
	a, err := attributes(data)
	if err != nil || !a.has(attrVerdictCode) {
		return object{"unknown verdict": nil}
	}
	name := map[int32]string{0: "drop", 1: "accept", -1: "continue", -3: "jump", -4: "goto", -5: "return"}[int32(a.number(attrVerdictCode))]
	switch {
	case name == "" && a.number(attrVerdictCode)&0xff == 3:
		return object{"queue": nil}
	case name == "":
		return object{"unknown verdict": nil}
	case name == "jump" || name == "goto":
		return object{name: object{"target": a.text(attrVerdictChain)}}
	}
	return object{name: nil}
}

func dataValue(a attrs, kind uint16) []byte {
	d, err := a.nested(kind)
	if err != nil {
		return nil
	}
	return d[attrDataValue]
}

func (r *ruleReader) bitwise(a attrs) {
	const sreg, dreg, length, maskAttr, flipAttr, op = 1, 2, 3, 4, 5, 6
	size := int(a.number(length))
	mask, flip := dataValue(a, maskAttr), dataValue(a, flipAttr)
	v := r.load(a.number(sreg), size)
	if v == nil || len(v.parts) != 1 || a.number(op) != 0 || len(mask) != size || len(flip) != size {
		lost := field(object{"bitwise": map[string]any{"of": v.left()}}, opaque, min(size, 64))
		r.store(a.number(dreg), lost)
		return
	}
	// ((v & m1) ^ f1) & m2 ^ f2 is (v & m1 & m2) ^ (f1 & m2 ^ f2)
	made := &value{parts: v.parts, size: size, mask: bytes.Repeat([]byte{0xff}, size), flip: make([]byte, size)}
	for i := range size {
		m, f := byte(0xff), byte(0)
		if v.mask != nil {
			m, f = v.mask[i], v.flip[i]
		}
		made.mask[i], made.flip[i] = m&mask[i], f&mask[i]^flip[i]
	}
	r.store(a.number(dreg), made)
}

// byteorder swaps the bytes of a number. That of this machine's order becomes one with
// the most significant byte first, or stays so.
func (r *ruleReader) byteorder(a attrs) {
	const sreg, dreg, op, length, sizeAttr, hton = 1, 2, 3, 4, 5, 1
	size := int(a.number(length))
	v := r.load(a.number(sreg), size)
	if v == nil || len(v.parts) != 1 || !v.plain() || v.parts[0].kind != native || a.number(sizeAttr) != a.number(length) || a.number(op) != hton || v.parts[0].size != size {
		r.store(a.number(dreg), field(object{"byteorder": map[string]any{"of": v.left()}}, opaque, min(size, 64)))
		return
	}
	made := field(v.left(), number, size)
	r.store(a.number(dreg), made)
}

func (r *ruleReader) cmp(a attrs) {
	const sreg, opAttr, dataAttr = 1, 2, 3
	data := dataValue(a, dataAttr)
	v := r.load(a.number(sreg), len(data))
	ops := []string{"==", "!=", "<", "<=", ">", ">="}
	op := a.number(opAttr)
	if v == nil || int(op) >= len(ops) {
		r.lost(v.left(), fmt.Sprintf("%#x", data))
		return
	}
	r.compare(v, ops[op], data)
}

func (r *ruleReader) compare(v *value, op string, data []byte) {
	left, right := v.left(), any(nil)
	var err error
	p := v.parts[0]
	equality := op == "==" || op == "!="
	switch {
	case len(data) != v.size:
		err = errBytes
	case !v.plain() && equality:
		op, left, right, err = r.masked(v, op, data)
	case equality:
		right, err = r.one(v, data)
		if op == "==" && err == nil && len(v.parts) == 1 {
			r.narrow(p, data)
		}
	case !v.plain() || len(v.parts) > 1 || p.size != p.whole || !slices.Contains([]kind{address4, address6, number, protocol}, p.kind):
		err = errBytes
	default:
		right, err = r.one(v, data)
	}
	if err != nil {
		r.lost(left, fmt.Sprintf("%#x", data))
		return
	}
	r.match(op, left, right)
}

// narrow notes what packets the rest of the rule is for.
func (r *ruleReader) narrow(p part, data []byte) {
	if p.size != p.whole {
		return
	}
	switch {
	case p.kind == protocol:
		r.transport = int(data[0])
	case p.kind == networkFamily && data[0] == familyIP, p.kind == etherType && bytes.Equal(data, []byte{8, 0}):
		r.network = address4
	case p.kind == networkFamily && data[0] == familyIP6, p.kind == etherType && bytes.Equal(data, []byte{0x86, 0xdd}):
		r.network = address6
	}
}

// masked writes (field & mask) ^ flip == data, or !=.
func (r *ruleReader) masked(v *value, op string, data []byte) (newOp string, left, right any, err error) {
	p := v.parts[0]
	want, high := slices.Clone(data), slices.Clone(data)
	for i := range want {
		want[i] ^= v.flip[i]
		if want[i]&^v.mask[i] != 0 { // it never is
			return op, v.left(), nil, errBytes
		}
		high[i] = want[i] | ^v.mask[i]
	}
	switch p.kind {
	case address4, address6:
		if !contiguous(v.mask) {
			return op, v.left(), nil, errBytes
		}
		right, err = r.part(p, want, high)
		return op, v.left(), right, err
	case number, native:
		if p.size != p.whole {
			return op, v.left(), nil, errBytes
		}
		mask, err := r.single(p.kind, v.mask)
		if err != nil {
			return op, v.left(), nil, err
		}
		if right, err = r.single(p.kind, want); err != nil {
			return op, v.left(), nil, err
		}
		if p.flags != nil && op == "!=" && right == uint64(0) && mask != uint64(0) {
			return "in", v.left(), flagNames(p.flags, uint32(mask.(uint64))), nil
		}
		return op, object{"&": []any{v.left(), mask}}, right, nil
	}
	return op, v.left(), nil, errBytes
}

// contiguous reports whether the bits of a mask are all in front.
func contiguous(mask []byte) bool {
	ended := false
	for _, b := range mask {
		for bit := byte(0x80); bit != 0; bit >>= 1 {
			if b&bit != 0 && ended {
				return false
			}
			ended = ended || b&bit == 0
		}
	}
	return true
}

func (r *ruleReader) between(a attrs) {
	const sreg, op, fromAttr, toAttr = 1, 2, 3, 4
	from, to := dataValue(a, fromAttr), dataValue(a, toAttr)
	v := r.load(a.number(sreg), len(from))
	var right any
	err := errBytes
	if v != nil && v.plain() && len(v.parts) == 1 && len(to) == len(from) && a.number(op) <= 1 {
		right, err = r.decoder.between(v, from, to)
	}
	if err != nil {
		r.lost(v.left(), fmt.Sprintf("%#x-%#x", from, to))
		return
	}
	r.match([]string{"==", "!="}[a.number(op)], v.left(), right)
}

func (r *ruleReader) lookup(a attrs) {
	const nameAttr, sreg, dreg, flags = 1, 2, 3, 5
	name := a.text(nameAttr)
	s := r.k.sets[r.in.of(name)]
	if s == nil || a.number(flags) > 1 {
		r.strange("lookup")
		return
	}
	v := r.load(a.number(sreg), s.keySize)
	toVerdict := a.has(dreg) && a.number(dreg) == 0
	var right any
	err := errBytes
	if v != nil && (v.plain() || bytes.Equal(v.flip, make([]byte, v.size))) {
		right, err = r.k.listed(s, v, r.decoder, toVerdict)
	}
	left := v.left()
	if err == nil && v.mask != nil {
		var mask any
		if mask, err = r.single(v.parts[0].kind, v.mask); err == nil {
			left = object{"&": []any{left, mask}}
		}
	}
	if a.has(dreg) && !toVerdict { // what the key leads to; without a key the rule ends
		r.forget() // not knowing how long it is
		r.store(a.number(dreg), unknown(object{"map": object{"key": left, "data": "@" + name}}))
	}
	switch {
	case err != nil && toVerdict:
		r.write("vmap", object{"key": object{"not understood": left}, "data": "@" + name})
	case err != nil:
		r.lost(left, "@"+name)
	case toVerdict && a.number(flags) == 0:
		r.write("vmap", object{"key": left, "data": right})
	case toVerdict:
		r.strange("lookup")
	default:
		r.match([]string{"==", "!="}[a.number(flags)], left, right)
	}
}

func (r *ruleReader) log(a attrs) { r.write("log", object{"prefix": a.text(2)}) }

func (r *ruleReader) limit(a attrs) { r.write("limit", limitBody(a)) }

func limitBody(a attrs) object {
	const rate, unit, flags = 1, 2, 5
	per := map[uint32]string{1: "second", 60: "minute", 3600: "hour", 86400: "day", 604800: "week"}[a.number(unit)]
	return object{"rate": a.number(rate), "per": per, "inv": a.number(flags)&1 != 0}
}

func (r *ruleReader) connlimit(a attrs) {
	r.write("ct count", object{"val": a.number(1), "inv": a.number(2)&1 != 0})
}

// object reads the use of an object that has a name.
func (r *ruleReader) object(a attrs) {
	const kindAttr, name = 1, 2
	switch what := a.number(kindAttr); {
	case !a.has(name):
		r.strange("objref")
	case what == objectCounter:
		r.write("counter", a.text(name))
	case what == objectQuota:
		r.write("quota", a.text(name))
	case what == objectLimit:
		r.write("limit", a.text(name))
	case what == 8:
		r.write("secmark", a.text(name))
	case what == 3 || what == 7 || what == 9: // helper, timeout and expectation of a connection
		r.write("ct helper", a.text(name))
	default:
		r.strange("objref")
	}
}

func (r *ruleReader) dynset(a attrs) {
	const name, op, key, data, one, flags, several = 1, 3, 4, 5, 7, 9, 10
	var stmts []object
	list, err := items(a[several])
	if a.has(one) && !a.has(several) {
		list = []item{{1, a[one]}}
	}
	inner := &ruleReader{decoder: r.decoder, k: r.k, in: r.in}
	for _, i := range list {
		err = errors.Join(err, inner.expression(i.data))
	}
	stmts = inner.written
	if err != nil || a.number(flags)&1 != 0 || a.number(op) > 2 {
		r.strange("dynset")
		return
	}
	var left any = "a register"
	if w, ok := word(a.number(key)); ok && r.registers[w] != nil {
		left = r.registers[w].left()
	}
	body := object{"op": []string{"add", "update", "delete"}[a.number(op)], "elem": left, "set": "@" + a.text(name)}
	if len(stmts) > 0 {
		body["stmt"] = stmts
	}
	r.write("set", body)
}

func (r *ruleReader) reject(a attrs) {
	kind := map[uint32]string{0: "icmp", 1: "tcp reset", 2: "icmpx"}[a.number(1)]
	r.write("reject", object{"type": kind})
}

func (r *ruleReader) nat(a attrs) {
	switch a.number(1) {
	case 0:
		r.write("snat", nil)
	case 1:
		r.write("dnat", nil)
	default:
		r.strange("nat")
	}
}
