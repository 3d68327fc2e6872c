package evidence

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
)

// maxOutlineDepth is the deepest outline that is decoded: those who walk one call
// themselves for every level. Documents are not read deeper than a fifth of it.
const maxOutlineDepth = 1000

// maxOutlineList is the most files, and the most values keys, of an outline: its
// nodes refer to them by 16 bits.
const maxOutlineList = 1<<16 - 1

// Flags of an encoded node, below the number of its name.
const (
	flagSequence = 1 << iota
	flagValuesBlock
	nameShift = iota
)

// Encode returns the outline as bytes, for Outliner.Decode: the files, the values
// keys, the names that the nodes have, and the nodes in document order; all numbers
// as varints. It holds no more of the document than the outline: no values. The
// encoding of nil is nil.
func (o *Outline) Encode() []byte {
	if o == nil {
		return nil
	}
	numbers := map[Key]uint64{0: 0}
	var names []string
	for _, d := range o.nodes {
		if _, known := numbers[d.key]; !known {
			names = append(names, o.names[d.key])
			numbers[d.key] = uint64(len(names))
		}
	}
	var data []byte
	for _, list := range [][]string{o.Files, o.ValuesKeys, names} {
		data = binary.AppendUvarint(data, uint64(len(list)))
		for _, s := range list {
			data = binary.AppendUvarint(data, uint64(len(s)))
			data = append(data, s...)
		}
	}
	data = binary.AppendUvarint(data, uint64(len(o.nodes)))
	line := int64(0) // of the node before
	for _, d := range o.nodes {
		data = binary.AppendUvarint(data, numbers[d.key]<<nameShift|d.flags())
		data = binary.AppendVarint(data, int64(d.line)-line)
		line = int64(d.line)
		for _, n := range []uint64{uint64(d.column), uint64(d.size), uint64(d.file), uint64(d.valuesKey)} {
			data = binary.AppendUvarint(data, n)
		}
	}
	return data
}

func (d outlineNode) flags() (flags uint64) {
	if d.isSequence {
		flags |= flagSequence
	}
	if d.valuesBlock {
		flags |= flagValuesBlock
	}
	return flags
}

var errOutline = errors.New("not an outline of a document")

// Decode returns the outline that data is the encoding of, and forgets the nodes
// that were added so far. Whatever data is, what is returned without an error is a
// tree and refers to nothing that it does not have; it takes some ten times the
// memory of data at most. Names are shared with the other outlines of the Outliner.
func (b *Outliner) Decode(data []byte) (*Outline, error) {
	if len(data) == 0 {
		return nil, nil
	}
	b.Cut(0)
	r := outlineReader{rest: data}
	files, valuesKeys := r.list(maxOutlineList), r.list(maxOutlineList)
	b.Key("") // so that there is a list of names, whether any node has one or not
	keys := []Key{0}
	for _, name := range r.list(len(data) / leastNode) { // each is the name of some node
		keys = append(keys, b.Key(name))
	}
	count := int(r.number(uint64(len(r.rest) / leastNode)))
	var ends []int // of the nodes that are open, outermost first
	for n := 0; n < count && !r.bad; n++ {
		for len(ends) > 0 && ends[len(ends)-1] == n {
			ends = ends[:len(ends)-1]
		}
		end := count
		if len(ends) > 0 {
			end = ends[len(ends)-1]
		}
		d := r.node(keys, end-n)
		second := n > 0 && len(ends) == 0 // a second document
		if second || len(ends) == maxOutlineDepth || int(d.file) >= len(files) || d.valuesKey > 0 && int(d.valuesKey) >= len(valuesKeys) {
			r.bad = true
		}
		ends = append(ends, n+int(d.size))
		b.nodes = append(b.nodes, d)
	}
	if r.bad || len(r.rest) > 0 {
		b.Cut(0)
		return nil, errOutline
	}
	o := b.Outline("")
	o.Files, o.ValuesKeys = files, valuesKeys
	return o, nil
}

// leastNode is the length of the shortest node: six numbers.
const leastNode = 6

// An outlineReader reads numbers and texts until there is something wrong.
type outlineReader struct {
	rest []byte
	line int64 // of the last node
	bad  bool
}

// node reads a node that has at most room nodes below it, itself included.
func (r *outlineReader) node(keys []Key, room int) (d outlineNode) {
	head := r.number(math.MaxUint64)
	r.line += r.difference()
	d.line = uint32(r.line)
	d.column = uint32(r.number(math.MaxUint32))
	d.size = uint32(r.number(uint64(room)))
	d.file = uint16(r.number(maxOutlineList))
	d.valuesKey = uint16(r.number(maxOutlineList))
	d.isSequence, d.valuesBlock = head&flagSequence != 0, head&flagValuesBlock != 0
	name := head >> nameShift
	if d.size == 0 || name >= uint64(len(keys)) || r.line < 0 || r.line > math.MaxUint32 {
		r.bad = true
		return d
	}
	d.key = keys[name]
	return d
}

// number reads a number of at most limit.
func (r *outlineReader) number(limit uint64) uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > limit {
		r.bad = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// difference reads a number that may be negative, of less than 33 bits.
func (r *outlineReader) difference() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 || v > math.MaxUint32 || v < -math.MaxUint32 {
		r.bad = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// list reads at most limit texts. Each has a length of its own, so there are not
// more of them than bytes.
func (r *outlineReader) list(limit int) []string {
	var list []string
	for range r.number(uint64(min(limit, len(r.rest)))) {
		size := r.number(uint64(len(r.rest)))
		if r.bad || size > uint64(len(r.rest)) {
			r.bad = true
			return nil
		}
		list = append(list, string(r.rest[:size]))
		r.rest = r.rest[size:]
	}
	return list
}

// MarshalText returns what Encode does, as text.
func (o *Outline) MarshalText() ([]byte, error) {
	return base64.StdEncoding.AppendEncode(nil, o.Encode()), nil
}

// UnmarshalText reads what MarshalText wrote, and refuses what it cannot have written.
func (o *Outline) UnmarshalText(text []byte) error {
	data, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return errOutline
	}
	read, err := new(Outliner).Decode(data)
	if err != nil {
		return err
	}
	*o = *read
	return nil
}
