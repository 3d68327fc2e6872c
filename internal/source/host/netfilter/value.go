package netfilter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"slices"
	"strings"
)

// An object is one of JSON.
type object map[string]any

var errBytes = errors.New("bytes that mean nothing here")

// A kind is how the bytes of a field are its value.
type kind int

const (
	opaque kind = iota // in a way that is not known
	address4
	address6
	networkFamily
	etherType
	protocol
	number // the most significant byte first
	native // in the order of this machine
	byName // of a network device
	byIndex
)

// A part is a field in a register, or the front of one.
type part struct {
	left  any // the field as nft writes it
	kind  kind
	size  int               // bytes in the register
	whole int               // bytes of the field
	at    int               // its place among parts side by side
	flags map[uint32]string // names of bits, if several of them are one value
}

// A value is what is in registers: fields side by side, (one field & mask) ^ flip, or
// a constant.
type value struct {
	parts      []part
	size       int
	mask, flip []byte // nil: all bits, none
	constant   []byte
}

func field(left any, k kind, size int) *value {
	return &value{parts: []part{{left: left, kind: k, size: size, whole: size}}, size: size}
}

// unknown is a field of which not even the size is known, which is at most 16 bytes.
func unknown(left any) *value { return field(left, opaque, 16) }

func (v *value) plain() bool { return v.mask == nil && v.flip == nil && v.constant == nil }

// left is the value as the left side of a match; a mask is left out.
func (v *value) left() any {
	if v == nil {
		return "a register"
	}
	if v.constant != nil {
		return fmt.Sprintf("%#x", v.constant)
	}
	if len(v.parts) == 1 {
		return v.parts[0].left
	}
	var list []any
	for _, p := range v.parts {
		list = append(list, p.left)
	}
	return object{"concat": list}
}

// shape tells values apart that are compared with bytes in different ways.
func (v *value) shape() string {
	var b strings.Builder
	for _, p := range v.parts {
		fmt.Fprintf(&b, "%d/%d/%d/%d ", p.kind, p.size, p.whole, p.at)
	}
	return b.String()
}

// front is what the first bytes of a value are.
func (v *value) front(size int) *value {
	if size == v.size {
		return v
	}
	p := v.parts[0]
	if !v.plain() || len(v.parts) > 1 || p.kind != address4 && p.kind != address6 && p.kind != byName {
		return field(v.left(), opaque, size)
	}
	p.size = size
	return &value{parts: []part{p}, size: size}
}

// A decoder knows the machine's network devices.
type decoder struct{ devices map[uint32]string }

// one writes what the value, which has no mask, is compared with.
func (d decoder) one(v *value, data []byte) (any, error) { return d.between(v, data, data) }

// between writes a range of what the value is compared with, each part by itself.
func (d decoder) between(v *value, from, to []byte) (any, error) {
	var list []any
	end := 0
	for _, p := range v.parts {
		if p.at+p.size > len(from) || p.at+p.size > len(to) || filled(from[end:p.at]) || filled(to[end:p.at]) {
			return nil, errBytes
		}
		end = p.at + p.size
		e, err := d.part(p, from[p.at:p.at+p.size], to[p.at:p.at+p.size])
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	switch {
	case len(list) == 0 || filled(from[end:]) || filled(to[end:]):
		return nil, errBytes
	case len(list) == 1:
		return list[0], nil
	}
	return object{"concat": list}, nil
}

// filled reports whether there is anything between parts, where a register has zeros.
func filled(gap []byte) bool { return len(bytes.Trim(gap, "\x00")) > 0 }

func (d decoder) part(p part, from, to []byte) (any, error) {
	equal := bytes.Equal(from, to)
	switch {
	case p.kind == address4 || p.kind == address6:
		rest := p.whole - p.size
		return addresses(append(slices.Clone(from), make([]byte, rest)...), append(slices.Clone(to), bytes.Repeat([]byte{0xff}, rest)...))
	case p.kind == byName && !equal:
		return prefixName(from, to)
	case p.kind == byName:
		return deviceByName(from)
	case p.size != p.whole:
	case equal:
		return d.single(p.kind, from)
	case p.kind == number || p.kind == protocol:
		a, errA := d.single(number, from)
		b, errB := d.single(number, to)
		if bytes.Compare(from, to) > 0 {
			return nil, errBytes
		}
		return object{"range": []any{a, b}}, errors.Join(errA, errB)
	}
	return nil, errBytes
}

func (d decoder) single(k kind, data []byte) (any, error) {
	var n uint64
	switch {
	case len(data) == 1:
		n = uint64(data[0])
	case len(data) == 2 && k == native:
		n = uint64(binary.NativeEndian.Uint16(data))
	case len(data) == 2:
		n = uint64(binary.BigEndian.Uint16(data))
	case len(data) == 4 && (k == native || k == byIndex):
		n = uint64(binary.NativeEndian.Uint32(data))
	case len(data) == 4:
		n = uint64(binary.BigEndian.Uint32(data))
	default:
		return nil, errBytes
	}
	var name string
	switch k {
	case number, native:
		return n, nil
	case protocol:
		if name = protocolNames()[n]; name == "" {
			return n, nil
		}
	case networkFamily:
		name = map[uint64]string{familyIP: "ipv4", familyIP6: "ipv6"}[n]
	case etherType:
		name = map[uint64]string{0x0800: "ip", 0x86dd: "ip6", 0x0806: "arp", 0x8100: "vlan"}[n]
	case byIndex:
		name = d.devices[uint32(n)]
		return deviceByName(append([]byte(name), 0))
	}
	if name == "" {
		return nil, errBytes
	}
	return name, nil
}

func protocolNames() map[uint64]string {
	return map[uint64]string{1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 33: "dccp", 47: "gre", 50: "esp", 51: "ah", 58: "ipv6-icmp",
		108: "comp", 112: "vrrp", 132: "sctp", 136: "udplite"}
}

// addresses writes a range of them, as a prefix if it is one.
func addresses(from, to []byte) (any, error) {
	a, okA := netip.AddrFromSlice(from)
	b, okB := netip.AddrFromSlice(to)
	if !okA || !okB || b.Less(a) {
		return nil, errBytes
	}
	if a == b {
		return a.String(), nil
	}
	for bits := range a.BitLen() {
		p, err := a.Prefix(bits)
		if err != nil || p.Addr() != a {
			continue
		}
		end := a.AsSlice()
		for i := bits; i < a.BitLen(); i++ {
			end[i/8] |= 0x80 >> (i % 8)
		}
		if last, _ := netip.AddrFromSlice(end); last == b {
			return object{"prefix": object{"addr": a.String(), "len": bits}}, nil
		}
	}
	return object{"range": []any{a.String(), b.String()}}, nil
}

// deviceByName writes the name of a device; bytes that do not end with a zero are the
// beginning of any name.
func deviceByName(data []byte) (any, error) {
	name, rest, ends := bytes.Cut(data, []byte{0})
	if len(name) == 0 || bytes.ContainsAny(name, `*\`) || name[0] == '@' || filled(rest) || len(name) > 15 {
		return nil, errBytes
	}
	if !ends {
		return string(name) + "*", nil
	}
	return string(name), nil
}

// prefixName writes the names from abc\0\0... to abc\xff\xff... .
func prefixName(from, to []byte) (any, error) {
	name := bytes.TrimRight(from, "\x00")
	if len(name) == len(from) || !bytes.Equal(to, append(slices.Clone(name), bytes.Repeat([]byte{0xff}, len(from)-len(name))...)) {
		return nil, errBytes
	}
	return deviceByName(name)
}

// before is the last of as many bytes that comes before data.
func before(data []byte) []byte {
	n := new(big.Int).SetBytes(data)
	if n.Sign() == 0 {
		return data
	}
	return n.Sub(n, big.NewInt(1)).FillBytes(make([]byte, len(data)))
}

// flagNames names the bits of a number, or gives it as it is where one has no name.
func flagNames(names map[uint32]string, bits uint32) any {
	var list []any
	for bit := uint32(1); bit != 0; bit <<= 1 {
		if bits&bit == 0 {
			continue
		}
		if names[bit] == "" {
			return bits
		}
		list = append(list, names[bit])
	}
	if len(list) == 0 {
		return bits
	}
	return list
}

func stateNames() map[uint32]string {
	return map[uint32]string{1: "invalid", 2: "established", 4: "related", 8: "new", 64: "untracked"}
}

func statusNames() map[uint32]string {
	return map[uint32]string{1: "expected", 2: "seen-reply", 4: "assured", 8: "confirmed", 16: "snat", 32: "dnat", 512: "dying"}
}

func tcpFlagNames() map[uint32]string {
	return map[uint32]string{1: "fin", 2: "syn", 4: "rst", 8: "psh", 16: "ack", 32: "urg", 64: "ecn", 128: "cwr"}
}
