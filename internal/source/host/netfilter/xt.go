package netfilter

import "encoding/binary"

// Matches and targets of iptables that the kernel runs as they are. Their layouts are
// those of linux/netfilter/xt_*.h.

const (
	attrXTName     = 1
	attrXTRevision = 2
	attrXTInfo     = 3
)

func (r *ruleReader) xtMatch(a attrs) {
	name, revision, info := a.text(attrXTName), a.number(attrXTRevision), a[attrXTInfo]
	understood := false
	switch {
	case name == "comment":
		understood = true
	case name == "tcp" && revision == 0 && len(info) >= 12:
		understood = r.xtTCP(info)
	case name == "udp" && revision == 0 && len(info) >= 9:
		understood = info[8]&^3 == 0 && r.xtPorts("udp", info, info[8])
	case name == "multiport" && revision == 1 && len(info) >= 48:
		understood = r.xtMultiport(info)
	case name == "conntrack" && (revision == 2 || revision == 3) && len(info) >= 154:
		understood = r.xtConntrack(info)
	case name == "addrtype" && revision == 1 && len(info) >= 8:
		understood = r.xtAddressType(info)
	case name == "mark" && revision == 1 && len(info) >= 9:
		understood = r.xtMark("meta", info)
	case name == "connmark" && revision == 1 && len(info) >= 9:
		understood = r.xtMark("ct", info)
	case name == "iprange" && revision == 1 && len(info) >= 65:
		understood = r.xtAddressRange(info)
	case name == "pkttype" && revision == 0 && len(info) >= 8:
		kind, not := binary.NativeEndian.Uint32(info), binary.NativeEndian.Uint32(info[4:]) != 0
		if understood = kind <= 3; understood {
			r.match(operator(not), object{"meta": object{"key": "pkttype"}}, kind)
		}
	case name == "connlimit" && revision == 1 && len(info) >= 24:
		const upTo, known = 1, 3
		limit, flags := binary.NativeEndian.Uint32(info[16:]), binary.NativeEndian.Uint32(info[20:])
		if understood = flags&^known == 0; understood {
			r.write("ct count", object{"val": limit, "inv": flags&upTo == 0})
		}
	case name == "limit" && revision == 0:
		r.write("limit", object{"inv": false})
		understood = true
	case name == "hashlimit" && revision == 3 && len(info) >= 276:
		const above, known = 1 << 4, 0x1f // without the limit of bytes, and that of the rate
		mode := binary.NativeEndian.Uint32(info[272:])
		if understood = mode&^uint32(known) == 0; understood {
			r.write("limit", object{"inv": mode&above != 0})
		}
	}
	if !understood {
		r.write("xt", object{"type": "match", "name": name})
	}
}

func operator(not bool) string {
	if not {
		return "!="
	}
	return "=="
}

func header(protocol, name string) any {
	return object{"payload": object{"protocol": protocol, "field": name}}
}

func portRange(from, to uint16) any {
	if from == to {
		return from
	}
	return object{"range": []any{from, to}}
}

// xtPorts reads the ranges of source and destination ports that info begins with.
func (r *ruleReader) xtPorts(protocol string, info []byte, inverted byte) bool {
	for i, name := range []string{"sport", "dport"} {
		from, to := binary.NativeEndian.Uint16(info[4*i:]), binary.NativeEndian.Uint16(info[4*i+2:])
		not := inverted&(1<<i) != 0
		if from > to {
			return false
		}
		if from == 0 && to == 1<<16-1 && !not {
			continue
		}
		r.match(operator(not), header(protocol, name), portRange(from, to))
	}
	return true
}

func (r *ruleReader) xtTCP(info []byte) bool {
	const notFlags, known = 4, 7
	option, mask, want, inverted := info[8], info[9], info[10], info[11]
	not := inverted&notFlags != 0
	if option != 0 || inverted&^known != 0 || mask == 0 && (want != 0 || not) {
		return false
	}
	if mask != 0 {
		r.match(operator(not), object{"&": []any{header("tcp", "flags"), mask}}, want)
	}
	return r.xtPorts("tcp", info, inverted)
}

func (r *ruleReader) xtMultiport(info []byte) bool {
	const most, source, destination, either = 15, 0, 1, 2
	which, count, not := info[0], int(info[1]), info[47] != 0
	if count > most || which > either {
		return false
	}
	var list []any
	for i := 0; i < count; i++ {
		from := binary.NativeEndian.Uint16(info[2+2*i:])
		to := from
		if info[32+i] != 0 { // the next one is the end of a range
			if i++; i == count {
				return false
			}
			to = binary.NativeEndian.Uint16(info[2+2*i:])
		}
		if from > to {
			return false
		}
		list = append(list, portRange(from, to))
	}
	th := "th"
	if name := protocolNames()[uint64(r.transport)]; name == "tcp" || name == "udp" || name == "sctp" {
		th = name
	}
	switch which {
	case source:
		r.match(operator(not), header(th, "sport"), object{"set": list})
	case destination:
		r.match(operator(not), header(th, "dport"), object{"set": list})
	case either:
		var pairs []any
		for _, p := range list {
			pairs = append(pairs, object{"concat": []any{p, portRange(0, 1<<16-1)}}, object{"concat": []any{portRange(0, 1<<16-1), p}})
		}
		r.match(operator(not), object{"concat": []any{header(th, "sport"), header(th, "dport")}}, object{"set": pairs})
	}
	return true
}

func (r *ruleReader) xtMark(of string, info []byte) bool {
	mark, mask := binary.NativeEndian.Uint32(info), binary.NativeEndian.Uint32(info[4:])
	if mask == 0 {
		return false
	}
	r.match(operator(info[8] != 0), object{"&": []any{object{of: object{"key": "mark"}}, mask}}, mark)
	return true
}

func (r *ruleReader) xtAddressRange(info []byte) bool {
	const size, known = 16, 1 | 2 | 16 | 32
	flags := info[4*size]
	protocol, length := "ip", 4
	switch r.network {
	case address4:
	case address6:
		protocol, length = "ip6", 16
	default:
		return false
	}
	if flags&^known != 0 {
		return false
	}
	for i, name := range []string{"saddr", "daddr"} {
		if flags&(1<<i) == 0 {
			continue
		}
		from, to := info[2*i*size:], info[(2*i+1)*size:]
		right, err := addresses(from[:length], to[:length])
		if err != nil {
			r.lost(header(protocol, name), "a range")
			continue
		}
		r.match(operator(flags&(16<<i) != 0), header(protocol, name), right)
	}
	return true
}

// xtConntrack reads those that ask for states alone.
func (r *ruleReader) xtConntrack(info []byte) bool {
	const state, alias = 1, 1 << 13
	const simple, dnat, untracked = 1 | 2 | 4 | 8, 1 << 7, 1 << 8
	asked, inverted := binary.NativeEndian.Uint16(info[146:]), binary.NativeEndian.Uint16(info[148:])
	mask := uint32(binary.NativeEndian.Uint16(info[150:]))
	not := inverted&state != 0
	op := "in"
	if not {
		op = "!"
	}
	switch {
	case asked&^alias != state || mask == 0:
		return false
	case mask&^uint32(simple|untracked) == 0:
		bits := mask & simple
		if mask&untracked != 0 {
			bits |= 64
		}
		r.match(op, object{"ct": object{"key": "state"}}, flagNames(stateNames(), bits))
	case mask == dnat:
		r.match(op, object{"ct": object{"key": "status"}}, flagNames(statusNames(), 32))
	default:
		return false
	}
	return true
}

// xtAddressType reads those that ask for the type of the destination alone.
func (r *ruleReader) xtAddressType(info []byte) bool {
	const notDestination, known = 2, 1 | 2
	source, mask := binary.NativeEndian.Uint16(info), binary.NativeEndian.Uint16(info[2:])
	flags := binary.NativeEndian.Uint32(info[4:])
	const types = 12
	if source != 0 || mask == 0 || mask>>types != 0 || flags&^uint32(known) != 0 {
		return false
	}
	var list []any
	for i := range types {
		if mask&(1<<i) != 0 {
			list = append(list, i)
		}
	}
	r.match(operator(flags&notDestination != 0), object{"fib": object{"result": "type", "flags": []any{"daddr"}}}, object{"set": list})
	return true
}

func (r *ruleReader) xtTarget(a attrs) {
	name, revision, info := a.text(attrXTName), a.number(attrXTRevision), a[attrXTInfo]
	mark := object{"meta": object{"key": "mark"}}
	const notrack = 1
	r.forget()
	switch {
	case name == "MARK" && revision == 2 && len(info) >= 8:
		set, mask := binary.NativeEndian.Uint32(info), binary.NativeEndian.Uint32(info[4:])
		kept := object{"&": []any{mark, ^mask}}
		r.write("mangle", object{"key": mark, "value": object{"^": []any{kept, set}}})
	case name == "NOTRACK", name == "CT" && revision <= 2 && len(info) >= 2 && binary.NativeEndian.Uint16(info)&notrack != 0:
		r.write("notrack", nil)
	default:
		r.write("xt", object{"type": "target", "name": name})
	}
}
