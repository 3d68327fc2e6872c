package evidence

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// whole is everything that an outline tells.
func whole(o *Outline) []string {
	var all []string
	o.Walk(func(n int, p Path) {
		all = append(all, fmt.Sprintf("%s %+v %+v", p, o.At(n), o.Place(p.Field("missing"))))
	})
	return all
}

// TestEncode: what is decoded tells what the outline told that was encoded, parts
// of a document and what was moved included.
func TestEncode(t *testing.T) {
	var from, to Outliner
	rapid.Check(t, func(t *rapid.T) {
		var add func(depth int, key Key)
		add = func(depth int, key Key) {
			place := func(name string) int { return int(rapid.Uint32().Draw(t, name)) }
			sequence := rapid.Bool().Draw(t, "sequence")
			n := from.Open(key, place("line"), place("column"), sequence)
			for range rapid.IntRange(0, 3-depth/2).Draw(t, "children") {
				key := Key(0)
				if !sequence {
					key = from.Key(rapid.StringN(0, 3, -1).Draw(t, "key"))
				}
				add(depth+1, key)
			}
			from.Close(n)
		}
		add(0, 0)
		o := from.Outline("a.yaml")
		for range rapid.IntRange(0, 5).Draw(t, "moves") {
			n := rapid.IntRange(0, o.Len()-1).Draw(t, "node")
			o.Move(n, Position{File: rapid.SampledFrom([]string{"a.yaml", "b.yaml", "\xff"}).Draw(t, "file"), Line: 1, ValuesKey: rapid.SampledFrom([]string{"", "image.tag"}).Draw(t, "values key")})
			if rapid.Bool().Draw(t, "block") {
				o.SetValuesBlock(n, "resources")
			}
		}
		for n := range o.Len() {
			part := o.Sub(n)
			got, err := to.Decode(part.Encode())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(whole(part), whole(got)); diff != "" {
				t.Fatalf("-encoded +decoded\n%s", diff)
			}
		}
	})
	var none *Outline
	if got, err := to.Decode(none.Encode()); got != nil || err != nil {
		t.Errorf("no outline becomes %v, %v", got, err)
	}
}

// numbers are an encoding by hand.
func numbers(list ...uint64) (data []byte) {
	for _, n := range list {
		data = binary.AppendUvarint(data, n)
	}
	return data
}

// The numbers are: 1 file "f", no values keys, 1 name "n", the nodes; of each its
// name and flags, line, column, size, file and values key.
func TestDecodeRefuses(t *testing.T) {
	encoding := func(nodes ...[]uint64) []byte {
		data := numbers(1, 1, 'f', 0, 1, 1, 'n', uint64(len(nodes)))
		for _, n := range nodes {
			data = append(data, numbers(n...)...)
		}
		return data
	}
	deep := [][]uint64{}
	for n := range maxOutlineDepth + 1 {
		deep = append(deep, []uint64{0, 0, 1, uint64(maxOutlineDepth + 1 - n), 0, 0})
	}
	for name, test := range map[string]struct {
		data []byte
		good bool
	}{
		"a node":                {encoding([]uint64{0, 2, 1, 1, 0, 0}), true},
		"a node with a child":   {encoding([]uint64{0, 2, 1, 2, 0, 0}, []uint64{4, 0, 1, 1, 0, 0}), true},
		"no nodes":              {encoding(), true},
		"deep":                  {encoding(deep[1:]...), true},
		"too deep":              {encoding(deep...), false},
		"no size":               {encoding([]uint64{0, 2, 1, 0, 0, 0}), false},
		"two documents":         {encoding([]uint64{0, 2, 1, 1, 0, 0}, []uint64{0, 2, 1, 1, 0, 0}), false},
		"bigger than all":       {encoding([]uint64{0, 2, 1, 2, 0, 0}), false},
		"bigger than parent":    {encoding([]uint64{0, 2, 1, 3, 0, 0}, []uint64{0, 2, 1, 1, 0, 0}, []uint64{0, 2, 1, 2, 0, 0}), false},
		"name that is not":      {encoding([]uint64{8, 2, 1, 1, 0, 0}), false},
		"file that is not":      {encoding([]uint64{0, 2, 1, 1, 1, 0}), false},
		"values that are not":   {encoding([]uint64{0, 2, 1, 1, 0, 1}), false},
		"line before the first": {encoding([]uint64{0, 1, 1, 1, 0, 0}), false},
		"huge line":             {encoding([]uint64{0, 2 * math.MaxUint32, 1, 2, 0, 0}, []uint64{0, 2, 1, 1, 0, 0}), false},
		"huge column":           {encoding([]uint64{0, 2, math.MaxUint32 + 1, 1, 0, 0}), false},
		"more":                  {append(encoding([]uint64{0, 2, 1, 1, 0, 0}), 0), false},
		"many files":            {numbers(math.MaxUint64), false},
		"a long name":           {numbers(1, math.MaxUint64), false},
		"many nodes":            {numbers(0, 0, 0, math.MaxUint64), false},
		"no file":               {numbers(0, 0, 0, 1, 0, 2, 1, 1, 0, 0), false},
		"not a number":          {slices.Repeat([]byte{0xff}, 20), false},
	} {
		t.Run(name, func(t *testing.T) {
			var b Outliner
			_, err := b.Decode(test.data)
			if good := err == nil; good != test.good {
				t.Errorf("%v", err)
			}
			if b.Len() != 0 {
				t.Errorf("%d nodes are left", b.Len())
			}
			if !test.good {
				return
			}
			for cut := 1; cut < len(test.data); cut++ {
				if _, err := b.Decode(test.data[:cut]); err == nil {
					t.Errorf("the first %d of %d bytes are taken for an outline", cut, len(test.data))
				}
			}
		})
	}
}

// FuzzDecode: whatever the bytes, what is decoded can be gone through, is encoded to
// the same again, and takes memory in proportion.
func FuzzDecode(f *testing.F) {
	var b Outliner
	b.outline(pod())
	o := b.Outline("pod.yaml")
	o.SetValuesBlock(1, "image")
	f.Add(o.Encode())
	f.Add(o.Sub(3).Encode())
	f.Add(numbers(1, 1, 'f', 0, 0, 2, 0, 2, 1, 2, 0, 0, 1, 0, 1, 1, 0, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		var b Outliner
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		o, err := b.Decode(data)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > uint64(100*len(data)+1<<16) {
			t.Errorf("%d bytes for %d", used, len(data))
		}
		if err != nil || o == nil {
			return
		}
		seen := 0
		o.Walk(func(n int, p Path) {
			if n != seen {
				t.Fatalf("node %d comes after %d", n, seen-1)
			}
			seen++
			o.Place(p)
		})
		if seen != o.Len() {
			t.Fatalf("%d of %d nodes", seen, o.Len())
		}
		again, err := b.Decode(o.Encode())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole(o), whole(again)); diff != "" {
			t.Errorf("-first +again\n%s", diff)
		}
	})
}
