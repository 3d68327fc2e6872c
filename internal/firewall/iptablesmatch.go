package firewall

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

func (p *ruleReader) protocolMatch(name string, not bool) {
	n, ok := protocolNames()[name]
	if v, err := strconv.ParseUint(name, 10, 8); err == nil {
		n, ok = v, true
	}
	switch {
	case name == "all" || ok && n == 0:
		if not {
			p.add(never())
		}
		return
	case !ok:
		p.unmodelled("protocol %q", name)
		return
	}
	if !not {
		p.protocol = Protocol(n)
	}
	p.add(single(field{kind: transport}, value{numbers: one(n)}, not))
}

func (p *ruleReader) addressMatch(kind fieldKind, text string, not bool) {
	s, err := addressSpan(text, p.family)
	if err != nil {
		p.unmodelled("address %q", text)
		return
	}
	p.add(single(field{kind: kind, family: p.family}, value{numbers: spans{s}}, not))
}

// addressSpan reads an address, with the length or the bits of its mask.
func addressSpan(text string, f Family) (span, error) {
	address, mask, masked := strings.Cut(text, "/")
	a, err := netip.ParseAddr(address)
	if err != nil || a.Is6() != (f == IPv6) || a.Zone() != "" {
		return span{}, fmt.Errorf("address %q", text)
	}
	if !masked {
		return span{addrOf(a), addrOf(a)}, nil
	}
	length, err := strconv.Atoi(mask)
	if err != nil {
		if length, err = maskLength(mask, f); err != nil {
			return span{}, err
		}
	}
	prefix, err := a.Prefix(length)
	if err != nil {
		return span{}, err
	}
	return spanOf(prefix), nil
}

// maskLength reads a mask like 255.255.0.0; one with holes is an error.
func maskLength(mask string, f Family) (int, error) {
	m, err := netip.ParseAddr(mask)
	if err != nil || m.Is6() != (f == IPv6) {
		return 0, fmt.Errorf("mask %q", mask)
	}
	for n := 0; n <= m.BitLen(); n++ {
		if addrOf(m) == space(f)[0].hi.andNot(low(m.BitLen()-n)) {
			return n, nil
		}
	}
	return 0, fmt.Errorf("mask %q", mask)
}

// interfaceMatch: a trailing + stands for any rest.
func (p *ruleReader) interfaceMatch(kind fieldKind, name string, not bool) {
	if prefix, ok := strings.CutSuffix(name, "+"); ok {
		name = prefix + "*"
	} else if strings.HasSuffix(name, "*") || name == "" {
		p.unmodelled("interface %q", name)
		return
	}
	p.add(single(field{kind: kind}, value{names: []string{name}}, not))
}

// module reads a match with its options.
func (p *ruleReader) module(name string) {
	read := map[string]func(argument) bool{
		"tcp": p.portOption, "udp": p.portOption, "sctp": p.portOption, "dccp": p.portOption, "udplite": p.portOption,
		"multiport": p.multiport, "conntrack": p.conntrack, "state": p.conntrack, "addrtype": p.addressType,
		"comment": func(argument) bool { return true }, "iprange": p.addressRange,
		"mark": p.markMatch(packetMark), "connmark": p.markMatch(connectionMark),
		"limit": p.limits, "hashlimit": p.limits, "connlimit": p.limits, "pkttype": p.packetType,
		"rpfilter": p.reversePath,
	}[name]
	options := arguments(p.group())
	switch {
	case name == "set":
		for _, a := range options {
			if a.name == "--match-set" {
				p.unmodelled("ipset %q, which was not read,", a.value())
				return
			}
		}
		p.unmodelled("match %q", name)
		return
	case name == "rpfilter" && !slices.ContainsFunc(options, func(a argument) bool { return a.name == "--invert" }):
		return // see reversePath
	case read == nil:
		p.unmodelled("match %q", name)
		return
	}
	for _, a := range options {
		if !read(a) {
			p.unmodelled("match %q with %q", name, a.name)
		}
	}
}

// portOption reads the options of a transport protocol.
func (p *ruleReader) portOption(a argument) bool {
	switch a.name {
	case "--dport", "--destination-port", "--sport", "--source-port":
		kind := destinationPort
		if strings.HasPrefix(a.name, "--s") {
			kind = sourcePort
		}
		s, err := portSpan(a.value())
		if err != nil {
			return false
		}
		p.add(single(field{kind: kind, protocol: p.protocol}, value{numbers: normal([]span{s})}, a.not))
	case "--syn":
		p.add(tcpFlags(1|flagSyn|4|16, flagSyn, a.not))
	case "--tcp-flags":
		if len(a.values) != 2 {
			return false
		}
		mask, err := flagBits(a.values[0])
		if err != nil {
			return false
		}
		want, err := flagBits(a.values[1])
		if err != nil {
			return false
		}
		p.add(tcpFlags(mask, want, a.not))
	default:
		return false
	}
	return true
}

func tcpFlags(mask, want uint32, not bool) *condition {
	f := field{kind: flagsField, protocol: TCP, mask: mask}
	if mask == 0 {
		f = field{kind: fixedField, protocol: TCP}
	}
	return single(f, value{numbers: one(uint64(want))}, not)
}

func flagBits(text string) (uint32, error) {
	var bits uint32
	for name := range strings.SplitSeq(text, ",") {
		switch v, ok := flagNames()[strings.ToLower(name)]; {
		case name == "NONE":
		case name == "ALL":
			bits |= 1 | 2 | 4 | 8 | 16 | 32
		case !ok:
			return 0, fmt.Errorf("flag %q", name)
		default:
			bits |= uint32(v)
		}
	}
	return bits, nil
}

func portSpan(text string) (span, error) {
	from, to, ok := strings.Cut(text, ":")
	s := span{number(0), number(1<<16 - 1)}
	if from != "" || !ok {
		n, err := strconv.ParseUint(from, 10, 16)
		if err != nil {
			return s, err
		}
		s.lo = number(n)
	}
	if !ok {
		s.hi = s.lo
	} else if to != "" {
		n, err := strconv.ParseUint(to, 10, 16)
		if err != nil {
			return s, err
		}
		s.hi = number(n)
	}
	return s, nil
}

func (p *ruleReader) multiport(a argument) bool {
	var list []span
	for text := range strings.SplitSeq(a.value(), ",") {
		s, err := portSpan(text)
		if err != nil {
			return false
		}
		list = append(list, s)
	}
	ports, anything := value{numbers: normal(list)}, value{anything: true}
	c := &condition{not: a.not, fields: []field{{kind: destinationPort, protocol: p.protocol}, {kind: sourcePort, protocol: p.protocol}}}
	switch a.name {
	case "--dports", "--destination-ports":
		c.elements = []element{{ports, anything}}
	case "--sports", "--source-ports":
		c.elements = []element{{anything, ports}}
	case "--ports":
		c.elements = []element{{ports, anything}, {anything, ports}}
	default:
		return false
	}
	p.add(c)
	return true
}

func (p *ruleReader) conntrack(a argument) bool {
	switch a.name {
	case "--state", "--ctstate":
		return p.connectionStates(a)
	case "--ctstatus":
		return p.connectionStatus(a)
	case "--ctdir":
		p.add(single(field{kind: fixedField, fixed: 1}, value{numbers: one(flag(a.value() == "ORIGINAL"))}, a.not))
	case "--ctproto":
		p.protocolMatch(a.value(), a.not)
	case "--ctorigsrc":
		p.addressMatch(sourceAddress, a.value(), a.not)
	case "--ctorigdst":
		p.addressMatch(destinationAddress, a.value(), a.not)
	case "--ctorigdstport":
		s, err := portSpan(a.value())
		if err != nil {
			return false
		}
		p.add(single(field{kind: destinationPort}, value{numbers: normal([]span{s})}, a.not))
	default:
		return false
	}
	return true
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// connectionStates reads a list in which SNAT and DNAT stand for the status.
func (p *ruleReader) connectionStates(a argument) bool {
	var states, status uint32
	for name := range strings.SplitSeq(a.value(), ",") {
		name = strings.ToLower(name)
		if s, ok := stateNames()[name]; ok {
			states |= uint32(s)
		} else if name == "snat" || name == "dnat" {
			status |= uint32(statusNames()[name])
		} else {
			return false
		}
	}
	p.add(&condition{
		not:      a.not,
		fields:   []field{{kind: wordField, register: connectionState}, {kind: statusField}},
		elements: []element{{{bits: states}, {anything: true}}, {{anything: true}, {bits: status}}},
	})
	return true
}

func (p *ruleReader) connectionStatus(a argument) bool {
	names := map[string]string{"EXPECTED": "expected", "SEEN_REPLY": "seen-reply", "ASSURED": "assured", "CONFIRMED": "confirmed"}
	var bits uint32
	for name := range strings.SplitSeq(a.value(), ",") {
		if names[name] == "" {
			return false
		}
		bits |= uint32(statusNames()[names[name]])
	}
	p.add(single(field{kind: statusField}, value{bits: bits}, a.not))
	return true
}

// addressType: the destination is the host's own; of what type the source is
// depends on the host's routes.
func (p *ruleReader) addressType(a argument) bool {
	if a.name != "--dst-type" {
		return false
	}
	var list []span
	for name := range strings.SplitSeq(a.value(), ",") {
		n, ok := addressTypes()[strings.ToLower(name)]
		if !ok {
			return false
		}
		list = append(list, one(n)...)
	}
	p.add(single(field{kind: fixedField, fixed: addressLocal}, value{numbers: normal(list)}, a.not))
	return true
}

func (p *ruleReader) addressRange(a argument) bool {
	kind := sourceAddress
	switch a.name {
	case "--src-range":
	case "--dst-range":
		kind = destinationAddress
	default:
		return false
	}
	first, last, ok := strings.Cut(a.value(), "-")
	if !ok {
		last = first
	}
	from, err := addressSpan(first, p.family)
	if err != nil {
		return false
	}
	to, err := addressSpan(last, p.family)
	if err != nil {
		return false
	}
	p.add(single(field{kind: kind, family: p.family}, value{numbers: normal([]span{{from.lo, to.hi}})}, a.not))
	return true
}

func markAndMask(text string) (mark, mask uint32, err error) {
	m, rest, masked := strings.Cut(text, "/")
	v, err := strconv.ParseUint(m, 0, 32)
	if err != nil {
		return 0, 0, err
	}
	k := uint64(1<<32 - 1)
	if masked {
		k, err = strconv.ParseUint(rest, 0, 32)
	}
	return uint32(v), uint32(k), err
}

func (p *ruleReader) markMatch(r register) func(argument) bool {
	return func(a argument) bool {
		mark, mask, err := markAndMask(a.value())
		if a.name != "--mark" || err != nil {
			return false
		}
		f := field{kind: wordField, register: r, mask: mask}
		if mask == 0 {
			f = field{kind: fixedField}
		}
		p.add(single(f, value{numbers: one(uint64(mark))}, a.not))
		return true
	}
}

// limits reads limits of rate and number: the packet is the first, and under
// them all.
func (p *ruleReader) limits(a argument) bool {
	switch a.name {
	case "--limit", "--hashlimit-upto", "--hashlimit":
		p.certain(!a.not)
	case "--hashlimit-above":
		p.certain(a.not)
	case "--connlimit-upto":
		p.certain((a.value() != "0") != a.not)
	case "--connlimit-above":
		p.certain((a.value() == "0") != a.not)
	default:
		known := strings.HasPrefix(a.name, "--limit-") || strings.HasPrefix(a.name, "--hashlimit-") || strings.HasPrefix(a.name, "--connlimit-")
		return known && !a.not
	}
	return true
}

// certain adds a match that every packet passes, or none.
func (p *ruleReader) certain(passes bool) {
	if !passes {
		p.add(never())
	}
}

func (p *ruleReader) packetType(a argument) bool {
	n, ok := packetTypes()[strings.ToLower(a.value())]
	if ok {
		p.add(single(field{kind: fixedField}, value{numbers: one(n)}, a.not))
	}
	return ok && a.name == "--pkt-type"
}

// reversePath: a genuine source passes the check, so that only the inverted
// match, for those that do not, matters.
func (p *ruleReader) reversePath(a argument) bool {
	if a.name == "--invert" {
		p.add(never())
	}
	return true
}
