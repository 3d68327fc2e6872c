// Package yamldoc turns the bytes of a YAML or JSON file into its documents:
// each as the JSON that kubectl would send to the API server, with an outline of
// where every field is written. It knows YAML as kubectl reads it (version 1.1
// booleans and octals, merge keys, anchors), the limits that keep a hostile file
// from costing much, and how to say in plain words what is wrong and where. One
// broken document never hides those beside it.
//
// It does not read files, and does not know what a Kubernetes object is, but
// that a List is many of them. Manifests are read by no other package.
package yamldoc

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// A Document is one YAML document or one JSON value of a file.
type Document struct {
	JSON    []byte            // what kubectl would send to the API server; to be kept, not to be written to
	Outline *evidence.Outline // where every field is written, lines as in the whole file
	Line    int               // the first line that is neither blank nor a comment

	APIVersion, Kind string // the fields of these names at the top, when they are strings
}

// An Error says what is wrong with one document, or with a whole file, and where.
type Error struct {
	Line, Column int // 1-based, column in characters; zero when no place is to blame
	Reason       string

	// APIVersion and Kind are what the broken text seems to be: the values that
	// stand unindented after these keys, "" when there are none.
	APIVersion, Kind string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Reason
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
}

// Limits that no real manifest comes near.
const (
	// maxDepth is the deepest nesting of lists and mappings.
	maxDepth = 200
	// Repeating what stands at anchors may add this many bytes to a document,
	// and this many times its own length.
	aliasBytes, aliasTimes = 16 << 10, 20
	// maxSeparators is the most line ends, commas and colons of a YAML document.
	// The library takes some 200 bytes of memory for each value between them.
	maxSeparators = 6_000_000
)

// A Decoder makes documents of files. The zero value is ready. A Decoder is not
// for several goroutines at once: let each have its own, and use it for many
// files, since the field names it has met are kept once for all of them.
type Decoder struct {
	outliner evidence.Outliner
	file     string
	out      []byte // JSON of the document so far
	seen     []seenKey
	mappings uint32 // serial number of the mapping whose keys are in seen
	walk
}

// A walk is what a Decoder knows of the one document it is in.
type walk struct {
	line    lines
	before  int          // lines that the library read before the document
	fields  []field      // of the mappings that are open, innermost last
	keys    []jsonKey    // of the JSON objects that are open, innermost last
	blocks  int          // mappings whose fields were collected
	aliases []*yaml.Node // that are being followed
	depth   int

	apiVersion, kind string // at the top

	visits   int // nodes, as often as they are reached
	repeated int // of these, the ones reached through an alias
	spent    int // bytes that aliases have added
	budget   int // bytes that aliases may add
}

// Documents yields every document of a file, in order. A broken one yields an
// error in its place, and the next ones still come.
func (d *Decoder) Documents(file string, data []byte) iter.Seq2[Document, *Error] {
	return func(yield func(Document, *Error) bool) {
		chunks, err := Split(data)
		if err != nil {
			yield(Document{}, err)
			return
		}
		d.Decode(file, chunks)(yield)
	}
}

// Decode yields the documents of chunks, in order: one of each, or several of a
// chunk that is a stream of JSON values. Many chunks at once cost less than one
// at a time.
func (d *Decoder) Decode(file string, chunks []Chunk) iter.Seq2[Document, *Error] {
	return func(yield func(Document, *Error) bool) {
		d.file = file
		for len(chunks) > 0 {
			done, more := d.decodeRun(chunks, yield)
			if done == 0 {
				done, more = 1, d.decodeOne(chunks[0], yield)
			}
			if !more {
				return
			}
			chunks = chunks[done:]
		}
	}
}

// decodeOne yields what is in a chunk, or the error. It returns false when no
// more is wanted.
func (d *Decoder) decodeOne(c Chunk, yield func(Document, *Error) bool) bool {
	if err := c.unreadable(); err != nil {
		return yield(Document{}, err)
	}
	if startsLikeJSON(c.Text) {
		if read, more := d.decodeJSON(c, yield); read {
			return more
		}
	}
	if c.tooBig() {
		return yield(Document{}, c.errorAt(0, "the document is too big to be read as YAML: give it in pieces, or as JSON"))
	}
	root, err := parse(c.Text)
	if err != nil {
		return yield(Document{}, explain(c, err))
	}
	if root == nil { // nothing but exotic line ends
		return true
	}
	doc, problem := d.convert(c, root, 0)
	if problem != nil {
		problem = c.orTemplate(problem)
	}
	return yield(doc, problem)
}

// convert makes a document of its nodes, whose lines count from those that came
// before the chunk.
func (d *Decoder) convert(c Chunk, root *yaml.Node, before int) (Document, *Error) {
	d.walk = walk{
		line:    linesOf(c),
		before:  before,
		fields:  d.fields[:0],
		keys:    d.keys[:0],
		aliases: d.aliases[:0],
		budget:  aliasBytes + aliasTimes*len(c.Text),
	}
	d.line.before -= before
	d.out = d.out[:0]
	if err := d.value(root, root.Line, root.Column, 0); err != nil {
		d.outliner.Cut(0)
		clear(d.fields)
		return Document{}, err
	}
	_, line := c.content()
	doc := Document{
		JSON:       bytes.Clone(d.out),
		Outline:    d.outliner.Outline(d.file),
		Line:       line,
		APIVersion: d.apiVersion,
		Kind:       d.kind,
	}
	if cap(d.out) > maxKeptBuffer {
		d.out = nil
	}
	return doc, nil
}

// maxKeptBuffer is the largest buffer that is kept for the next document.
const maxKeptBuffer = 1 << 20

// note remembers the value of a field at the top that says what a document is.
func (w *walk) note(name string, value []byte) {
	if value[0] != '"' {
		return
	}
	switch name {
	case "apiVersion":
		w.apiVersion = unquote(value)
	case "kind":
		w.kind = unquote(value)
	}
}

// parse returns the top node of a text that holds one document, nil if it holds none.
func parse(chunk []byte) (*yaml.Node, error) {
	parser := yaml.NewDecoder(bytes.NewReader(chunk))
	root, err := nextRoot(parser)
	if err != nil || root == nil {
		return nil, err
	}
	if more, err := nextRoot(parser); err != nil {
		return nil, err
	} else if more != nil {
		return nil, errTextAfter
	}
	return root, nil
}

// nextRoot returns the top node of the next document, nil after the last.
func nextRoot(parser *yaml.Decoder) (root *yaml.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, fmt.Errorf("the YAML library gives up: %v", r)
		}
	}()
	var doc yaml.Node
	if err := parser.Decode(&doc); err == io.EOF {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return doc.Content[0], nil
}

// sniff returns the apiVersion and kind that a text seems to have: none when it
// gives several, for then it may be any of them.
func sniff(chunk []byte) (apiVersion, kind string) {
	var seen [2]string
	for line := range bytes.Lines(chunk) {
		for i, key := range [...]string{"apiVersion:", "kind:"} {
			v, ok := bytes.CutPrefix(line, []byte(key))
			if !ok {
				continue
			}
			if value := plainValue(v); seen[i] == "" {
				seen[i] = value
			} else if seen[i] != value {
				return "", ""
			}
		}
	}
	return seen[0], seen[1]
}

// maxSniffed bounds what of a broken text is repeated elsewhere.
const maxSniffed = 128

func plainValue(b []byte) string {
	v, _, _ := strings.Cut(string(b), " #")
	v = strings.Trim(strings.TrimSpace(v), `"'`)
	if len(v) > maxSniffed || strings.ContainsAny(v, "{}") || strings.ContainsFunc(v, unprintable) {
		return ""
	}
	return v
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }
