package fix

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// AddDocument returns a file of YAML with one more document at its end. text is the file,
// which may be empty; added is one document without markers, in lines that all end in a
// line feed. The bytes that are there stay, but for a line end that the last line lacks;
// what is added has the line ends of the file. A file that has the document already, with
// equal values, is returned as it is.
//
// The file that was made is read again: it stands only if it has the old documents and
// after them the new one. A file with JSON in it, and one with a document that cannot be
// read, is refused.
func AddDocument(text, added []byte) ([]byte, error) {
	tree, err := oneDocument(added)
	if err != nil {
		return nil, fmt.Errorf("the document to be added: %w", err)
	}
	f, err := open(text)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(f.docs, func(d *document) bool { return !d.read }) {
		return nil, errors.New("a document of the file cannot be read, and so nothing is added after it")
	}
	if slices.ContainsFunc(f.docs, func(d *document) bool { return reflect.DeepEqual(d.tree, tree) }) {
		return text, nil
	}
	if slices.ContainsFunc(f.docs, func(d *document) bool { return d.isJSON }) {
		return nil, errors.New("the file is JSON, to which no document of YAML can be added")
	}
	out := slices.Concat(f.mark, f.followed(added))
	if err := f.checkAdded(out, tree); err != nil {
		return nil, err
	}
	return out, nil
}

// oneDocument returns what a text means that has to be one document and nothing else.
func oneDocument(text []byte) (any, error) {
	f, err := open(text)
	switch {
	case err != nil:
		return nil, err
	case bytes.IndexByte(text, '\r') >= 0 || !bytes.HasSuffix(text, []byte("\n")):
		return nil, errors.New("not all of its lines end in a line feed")
	case len(f.docs) != 1 || !bytes.Equal(f.docs[0].text, text) || bytes.HasPrefix(text, []byte("---")):
		return nil, errors.New("it is not one document without markers")
	case !f.docs[0].read:
		return nil, errors.New("it cannot be read")
	}
	return f.docs[0].tree, nil
}

// followed is the file, without its mark, and after it a document. The marker before
// that is left out where one stands already, or nothing at all does.
func (f *file) followed(added []byte) []byte {
	eol := []byte("\n")
	if bytes.Contains(f.data, []byte("\r\n")) {
		eol = []byte("\r\n")
	}
	var out bytes.Buffer
	out.Write(f.data)
	if len(f.data) > 0 && f.data[len(f.data)-1] != '\n' {
		out.Write(eol)
	}
	if len(bytes.TrimSpace(f.data)) > 0 && !endsInMarker(f.data) {
		out.WriteString("---")
		out.Write(eol)
	}
	out.Write(bytes.ReplaceAll(added, []byte("\n"), eol))
	return out.Bytes()
}

// endsInMarker tells whether a file ends in a marker --- and nothing after it but blank
// lines and comments: in an empty document.
func endsInMarker(data []byte) bool {
	ends := false
	for line := range bytes.Lines(data) {
		rest, marker := bytes.CutPrefix(line, []byte("---"))
		rest = bytes.TrimSpace(rest)
		switch blank := len(rest) == 0 || rest[0] == '#'; {
		case marker:
			// After a text like ---# stands no comment: no marker then.
			ends = blank && (len(rest) == 0 || line[len("---")] != '#')
		case !blank:
			ends = false
		}
	}
	return ends
}

// checkAdded reads a file that was made: it has to have the documents of f, and then one
// that means tree.
func (f *file) checkAdded(out []byte, tree any) error {
	g, err := open(out)
	if err != nil {
		return err
	}
	same := len(g.docs) == len(f.docs)+1
	for i := 0; same && i < len(f.docs); i++ {
		same = g.docs[i].read && reflect.DeepEqual(g.docs[i].tree, f.docs[i].tree)
	}
	if last := len(f.docs); !same || !g.docs[last].read || !reflect.DeepEqual(g.docs[last].tree, tree) {
		return errors.New("a document cannot be added at the end of the file without changing what stands there")
	}
	return nil
}
