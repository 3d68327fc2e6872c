package netfilter

import (
	"bytes"
	"encoding/binary"
	"errors"
)

var errCut = errors.New("a message of the kernel that is cut off")

// attrs are the attributes of a message, by kind.
type attrs map[uint16][]byte

// An item is an attribute of a list, in which a kind comes more than once.
type item struct {
	kind uint16
	data []byte
}

func items(data []byte) (list []item, err error) {
	for len(data) >= 4 {
		size := int(binary.NativeEndian.Uint16(data))
		if size < 4 || size > len(data) {
			return nil, errCut
		}
		const bits = 0x3fff // without those for nesting and byte order
		list = append(list, item{binary.NativeEndian.Uint16(data[2:]) & bits, data[4:size]})
		data = data[min((size+3)&^3, len(data)):]
	}
	return list, nil
}

func attributes(data []byte) (attrs, error) {
	list, err := items(data)
	a := attrs{}
	for _, i := range list {
		a[i.kind] = i.data
	}
	return a, err
}

// attribute appends an attribute.
func attribute(to []byte, kind uint16, data []byte) []byte {
	to = binary.NativeEndian.AppendUint16(to, uint16(4+len(data)))
	to = binary.NativeEndian.AppendUint16(to, kind)
	to = append(to, data...)
	return append(to, make([]byte, -len(data)&3)...)
}

// nested are the attributes within an attribute. One that is not there has none.
func (a attrs) nested(kind uint16) (attrs, error) { return attributes(a[kind]) }

// number is one of 8, 16, 32 or 64 bits, of which the low 32 are taken; 0 if it is not there.
func (a attrs) number(kind uint16) uint32 {
	switch d := a[kind]; len(d) {
	case 1:
		return uint32(d[0])
	case 2:
		return uint32(binary.BigEndian.Uint16(d))
	case 4:
		return binary.BigEndian.Uint32(d)
	case 8:
		return uint32(binary.BigEndian.Uint64(d))
	}
	return 0
}

func (a attrs) text(kind uint16) string { return text(a[kind]) }

// text is a string that ends with a zero.
func text(data []byte) string {
	before, _, _ := bytes.Cut(data, []byte{0})
	return string(before)
}

func (a attrs) has(kind uint16) bool { _, ok := a[kind]; return ok }

// beyond reports whether there is an attribute of a kind above the last that is known.
func (a attrs) beyond(last uint16) bool {
	for kind := range a {
		if kind > last {
			return true
		}
	}
	return false
}
