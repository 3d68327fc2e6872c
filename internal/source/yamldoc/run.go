package yamldoc

import (
	"bytes"
	"io"

	"go.yaml.in/yaml/v3"
)

// A parser of the library is dear to make (some 8 kB), and can read many
// documents. So a run of chunks is given to one, as the stream of documents that
// it is, as long as all goes well. A chunk that the run stops at is decoded alone:
// what decodeOne says of a chunk is the truth, and a run only a short cut.

// decodeRun yields the documents of the first chunks, as many as it can. It
// returns their number, and false when no more is wanted.
func (d *Decoder) decodeRun(chunks []Chunk, yield func(Document, *Error) bool) (done int, more bool) {
	n := runLen(chunks)
	if n < 2 {
		return 0, true
	}
	r := run{chunks: chunks[:n]}
	parser := yaml.NewDecoder(&r)
	root, err := nextRoot(parser)
	if err != nil || root == nil {
		return 0, true
	}
	for done < n {
		// Only when the next document begins is it sure that this one has ended.
		next, err := nextRoot(parser)
		if err != nil || (next == nil) != (done == n-1) {
			return done, true
		}
		doc, problem := d.convert(chunks[done], root, r.before[done])
		if problem != nil {
			return done, true
		}
		done++
		if !yield(doc, nil) {
			return done, false
		}
		root = next
	}
	return done, true
}

// maxRun is the most chunks in a run. The library keeps all anchors of a stream,
// with what stands at them, until its end.
const maxRun = 64

// runLen returns the number of the first chunks that can be read in a run: YAML
// without directives, of which the library counts the lines as we do.
func runLen(chunks []Chunk) int {
	n := 0
	for n < min(len(chunks), maxRun) {
		c := chunks[n]
		content, _ := c.content()
		if len(content) == 0 || bytes.IndexByte([]byte("{[%"), content[0]) >= 0 || c.hasExoticLines() || c.tooBig() || c.unreadable() != nil {
			break
		}
		n++
		if !bytes.HasSuffix(c.Text, newline) { // the last of a file
			break
		}
	}
	return n
}

// A run reads as the texts of chunks, one after the other, each after a marker.
type run struct {
	chunks []Chunk
	before []int  // lines that stand before the text of each chunk that was begun
	lines  int    // of the chunks that were begun, and their markers
	text   []byte // what is to be read
	then   []byte // and after it
}

func (r *run) Read(p []byte) (int, error) {
	if len(r.text) == 0 && len(r.then) == 0 {
		if len(r.before) == len(r.chunks) {
			return 0, io.EOF
		}
		r.begin(r.chunks[len(r.before)])
	}
	if len(r.text) == 0 {
		r.text, r.then = r.then, nil
	}
	n := copy(p, r.text)
	r.text = r.text[n:]
	return n, nil
}

func (r *run) begin(c Chunk) {
	r.then = c.Text
	if !isMarker(c.Text, "---") {
		r.text = []byte("---\n")
		r.lines++
	}
	r.before = append(r.before, r.lines)
	r.lines += bytes.Count(c.Text, newline)
}
