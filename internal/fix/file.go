package fix

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/gabion-k8s/gabion/internal/evidence"
	"github.com/gabion-k8s/gabion/internal/fix/fieldpath"
	"github.com/gabion-k8s/gabion/internal/source/yamldoc"
)

// A file is what stands in it, as documents and what is between them.
type file struct {
	mark []byte // the byte order mark
	data []byte // after it
	docs []*document
	work int
	// objects are the places at which objects stand, nil for those at which several do.
	objects map[evidence.Position]*object
}

// A document is a part of the file's bytes.
type document struct {
	start, end int // of the file as it was
	text       []byte
	was        any // before all edits, nil of one that cannot be read
	tree       any // as it is now
	read       bool
	isJSON     bool
	work       *int
}

// An object is a document, or an item of a list in it.
type object struct {
	doc   *document
	below fieldpath.Path
}

// A place is what an edit is about.
type place struct {
	doc    *document
	fields []setting
}

// A setting is a field of a document and what it is set to.
type setting struct {
	path  fieldpath.Path
	value value
}

// stands reports whether all fields have the values that they were set to.
func (p place) stands() bool {
	return !slices.ContainsFunc(p.fields, func(s setting) bool {
		now, found := fieldpath.Get(p.doc.tree, s.path)
		return !found || !reflect.DeepEqual(now, s.value.tree)
	})
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// open finds the documents of a file.
func open(data []byte) (*file, error) {
	f := &file{data: data, objects: map[evidence.Position]*object{}}
	if rest, ok := bytes.CutPrefix(data, byteOrderMark); ok {
		f.mark, f.data = byteOrderMark, rest
	}
	switch {
	case bytes.Contains(f.data, byteOrderMark):
		return nil, errors.New("a byte order mark stands inside the file")
	case bytes.HasPrefix(f.data, []byte("\xff\xfe")), bytes.HasPrefix(f.data, []byte("\xfe\xff")):
		return nil, errors.New("the file is UTF-16: save it as UTF-8")
	case bytes.Count(f.data, []byte("\r")) != bytes.Count(f.data, []byte("\r\n")):
		return nil, errors.New("lines end in a carriage return alone")
	}
	for _, exotic := range []string{"\u0085", "\u2028", "\u2029"} {
		if bytes.Contains(f.data, []byte(exotic)) {
			return nil, fmt.Errorf("the file has the character %U, at which YAML ends a line and no editor does", []rune(exotic)[0])
		}
	}
	chunks, bad := yamldoc.Split(f.data)
	if bad != nil {
		return nil, bad
	}
	line, at := 1, 0
	for _, c := range chunks {
		for ; line < c.Line; line++ {
			at += bytes.IndexByte(f.data[at:], '\n') + 1
		}
		start := at
		if !bytes.HasPrefix(f.data[start:], c.Text) || bytes.HasPrefix(f.data[start:], []byte("...")) {
			start += len("...")
		}
		if start > len(f.data) || !bytes.HasPrefix(f.data[start:], c.Text) {
			return nil, fmt.Errorf("the document on line %d cannot be told from its neighbours", c.Line)
		}
		f.add(start, c)
	}
	return f, nil
}

// add adds the documents of a chunk: one, or the values of a stream of JSON.
func (f *file) add(start int, c yamldoc.Chunk) {
	ends := valueEnds(c.Text)
	if len(ends) < 2 {
		f.addOne(start, c)
		return
	}
	from := 0
	for _, end := range ends {
		for from < end && bytes.IndexByte([]byte(" \t\r\n"), c.Text[from]) >= 0 {
			from++
		}
		f.addOne(start+from, yamldoc.Chunk{Text: c.Text[from:end], Line: c.Line + bytes.Count(c.Text[:from], []byte("\n"))})
		from = end
	}
}

// valueEnds are where the values of a stream of JSON end; none if it is no such stream.
func valueEnds(text []byte) (ends []int) {
	d := json.NewDecoder(bytes.NewReader(text))
	for {
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			if d.More() {
				return nil
			}
			return ends
		}
		ends = append(ends, int(d.InputOffset()))
	}
}

func (f *file) addOne(start int, c yamldoc.Chunk) {
	d := &document{start: start, end: start + len(c.Text), text: c.Text, work: &f.work, isJSON: isJSON(c.Text)}
	f.docs = append(f.docs, d)
	var decoder yamldoc.Decoder
	n := 0
	for doc, bad := range decoder.Decode("", []yamldoc.Chunk{c}) {
		n++
		if bad != nil || n > 1 {
			d.read = false
			return
		}
		tree, err := fromJSON(doc.JSON)
		if err != nil {
			return
		}
		d.was, d.tree, d.read = tree, tree, true
		doc.Outline.Walk(func(n int, p evidence.Path) { f.note(d, doc.Outline.At(n), p) })
	}
}

// maxLists is how deep lists are looked for in lists.
const maxLists = 3

// note remembers where an object stands: at the top, or in the items of a list.
func (f *file) note(d *document, at evidence.Position, p evidence.Path) {
	if p.Len() > 2*maxLists {
		return
	}
	var below fieldpath.Path
	if p.Len() > 0 {
		var err error
		if below, err = parsePath(p.String()); err != nil || !areItems(below) {
			return
		}
	}
	before, known := f.objects[at]
	switch {
	case !known:
		f.objects[at] = &object{d, below}
	case before != nil && before.doc == d && len(before.below) < len(below):
		// What is inside an object may begin where it does.
	default:
		f.objects[at] = nil
	}
}

func areItems(p fieldpath.Path) bool {
	for i, s := range p {
		if i%2 == 0 && s.Name != "items" || i%2 == 1 && s.Name != "" {
			return false
		}
	}
	return len(p)%2 == 0
}

// place finds what an edit is about.
func (f *file) place(e Edit) (place, error) {
	o, err := f.object(e.Object)
	if err != nil {
		return place{}, err
	}
	fields, err := settings(o.below, e.Fields)
	return place{o.doc, fields}, err
}

// settings reads fields of an object.
func settings(object fieldpath.Path, fields []Field) ([]setting, error) {
	list := make([]setting, len(fields))
	for i, field := range fields {
		at, err := parsePath(field.Path)
		if err != nil {
			return nil, err
		}
		v, err := parseValue(field.Value)
		if err != nil {
			return nil, err
		}
		list[i] = setting{slices.Concat(object, at), v}
	}
	return list, nil
}

// object finds the object that stands at a place.
func (f *file) object(at evidence.Position) (*object, error) {
	if at.Line == 0 {
		if len(f.docs) != 1 || !f.docs[0].read {
			return nil, errors.New("the file is not one document")
		}
		return &object{doc: f.docs[0]}, nil
	}
	switch o, known := f.objects[evidence.Position{Line: at.Line, Column: at.Column}]; {
	case !known:
		return nil, fmt.Errorf("no object begins on line %d", at.Line)
	case o == nil:
		return nil, fmt.Errorf("several objects are written on line %d at once", at.Line)
	default:
		return o, nil
	}
}

// bytes is the file with its documents as they are now.
func (f *file) bytes() []byte {
	out := bytes.NewBuffer(nil)
	out.Write(f.mark)
	done := 0
	for _, d := range f.docs {
		out.Write(f.data[done:d.start])
		out.Write(d.text)
		done = d.end
	}
	out.Write(f.data[done:])
	return out.Bytes()
}

// check reads the file that was made: it has to have the documents that it should.
func (f *file) check(out []byte) error {
	g, err := open(out)
	if err != nil {
		return err
	}
	same := len(g.docs) == len(f.docs)
	for i := 0; same && i < len(f.docs); i++ {
		a, b := f.docs[i], g.docs[i]
		same = a.read == b.read && bytes.Equal(a.text, b.text) && reflect.DeepEqual(a.tree, b.tree)
	}
	if !same {
		return errElsewise
	}
	return nil
}
